"""Baskets in a trader's words: the outcome, and what became of each leg. Pure."""

import math
from collections.abc import Callable
from typing import Final

from dashboard import format as fmt
from dashboard import order_words as words
from dashboard.sheet import Shown, Tone
from trading.basket import Basket, BasketState, LegReceipt, LegStatus, OnFilled
from trading.model import Instrument, InstrumentType
from trading.order import Side
from trading.pnl import amount, default_multiplier

TONES: Final = {
    BasketState.REFUSED: Tone.BAD,
    BasketState.PLACED: Tone.GOOD,
    BasketState.NOTHING_DONE: Tone.MUTED,
    BasketState.REVERSED: Tone.WARN,
    BasketState.PARTIAL_KEPT: Tone.WARN,
    BasketState.UNRESOLVED: Tone.BAD,
}
_MEANING: Final = {
    BasketState.VALIDATING: "Being checked; nothing was sent yet.",
    BasketState.REFUSED: "Nothing was sent, no money moved. Mend what the reason names.",
    BasketState.PLACING: "Sent; the legs are being followed until each is known.",
    BasketState.COMPENSATING: "A leg failed: the others are being cancelled or reversed.",
    BasketState.NOTHING_DONE: "Nothing is left of any leg, and it cost nothing.",
    BasketState.REVERSED: "Nothing is left of any leg; reversing them cost what is shown.",
    BasketState.PARTIAL_KEPT: "Some legs stand and others do not: look at Positions.",
    BasketState.UNRESOLVED: (
        "Something is left, or nobody knows: compare with the broker's own book and act there."
    ),
}
# What happens to filled legs when another one failed, in honest words.
CHOICES: Final = {
    OnFilled.REVERSE: "Reverse them",
    OnFilled.KEEP: "Keep them",
    OnFilled.ASK: "Ask me",
}
_PROMISE: Final = {
    OnFilled.REVERSE: (
        "If a leg fails, the desk cancels the others and reverses what was filled, at the market. "
        "Until then you hold a part of the basket; reversing costs, and it may fail."
    ),
    OnFilled.KEEP: (
        "If a leg fails, the desk cancels what still rests and keeps what was filled. "
        "You then hold a part of the basket, which may be riskier than the whole."
    ),
    OnFilled.ASK: (
        "If a leg fails, the desk cancels what still rests and asks you about what was filled. "
        "While it asks you hold a part of the basket."
    ),
}
ALL_FILLED: Final = "Every leg is filled."
ALL_ACCEPTED: Final = "Every leg was accepted; Orders says what still rests."
OPTIONS: Final = (InstrumentType.CALL, InstrumentType.PUT)
NO_ROLLBACK: Final = (
    "If a leg fails, the others stay as they are: you may hold a part of the basket, "
    "which may be riskier than the whole."
)


def promise(on_filled: OnFilled, *, rollback: bool) -> str:
    """Return what happens when a leg fails, and what is not promised."""
    return _PROMISE[on_filled] if rollback else NO_ROLLBACK


def name(basket: Basket) -> str:
    return basket.name or f"{len(basket.legs)} legs"


def state(basket: Basket) -> Shown:
    word = "waits for you" if basket.asking else basket.state.value
    tone = Tone.WARN if basket.asking else TONES.get(basket.state, Tone.NONE)
    if basket.state is BasketState.UNRESOLVED:
        word = "UNRESOLVED"
    return Shown(word, tone, basket.id)


def meaning(basket: Basket) -> str:
    """Return what the state means for the money and what to do, in one or two sentences."""
    if basket.asking:
        return "A leg failed and others are filled: say below whether to reverse or keep them."
    if basket.state is BasketState.PLACED:
        filled = all(leg.status is LegStatus.FILLED for leg in basket.legs)
        return ALL_FILLED if filled else ALL_ACCEPTED
    return _MEANING[basket.state]


def summary(basket: Basket) -> str:
    """Return the total time and what it cost; a part that is unknown is a dash."""
    took = fmt.milliseconds(basket.elapsed_ms) if basket.elapsed_ms is not None else ""
    parts = [f"in {took}" if took else ""]
    if any(leg.reversed for leg in basket.legs):
        parts.append(f"cost {fmt.rupees(basket.cost)}{_cost_parts(basket)}")
    return " · ".join(part for part in parts if part)


def _cost_parts(basket: Basket) -> str:
    """Return of what the cost consists, as far as that is known: the legs show prices alone."""
    prices = [leg.price_cost for leg in basket.legs]
    charges = [leg.charges for leg in basket.legs]
    if None in prices or None in charges:
        return ""
    on_prices, on_charges = sum(p or 0 for p in prices), sum(c or 0 for c in charges)
    return f": {fmt.rupees(on_prices)} on prices, {fmt.rupees(on_charges)} of charges"


def premium(basket: Basket, instrument: Callable[[str], Instrument | None]) -> str:
    """Return what filled options took in or cost; empty if there is anything else to tell of."""
    if basket.state is not BasketState.PLACED:
        return ""
    paise = 0
    for leg in basket.legs:
        known = instrument(leg.request.instrument_key)
        filled = leg.status is LegStatus.FILLED and not math.isnan(leg.average)
        if not filled or known is None or known.type not in OPTIONS:
            return ""
        value = amount(leg.average, leg.filled, default_multiplier(known.instrument_key))
        if value is None:  # a quantity in lots, whose size only the broker knows
            return ""
        paise -= value * leg.request.side.sign
    word = "received" if paise > 0 else "paid"
    return f"Net premium {fmt.rupees(abs(paise))} {word}, before charges."


def leg_asked(leg: LegReceipt, instrument: Instrument | None) -> str:
    return f"{leg.number}  {words.sentence(leg.request, instrument)}"


def leg_result(leg: LegReceipt) -> Shown:
    """Return what became of the leg itself: `✓ filled 142.35 (82 ms)`."""
    took = "" if leg.answer_ms is None else f" ({fmt.milliseconds(leg.final_ms or leg.answer_ms)})"
    because = f": {leg.reason}" if leg.reason else ""
    part = f"{fmt.grouped(str(leg.filled))}/{fmt.grouped(str(leg.request.quantity))}"
    match leg.status:
        case LegStatus.PLANNED:
            return Shown("· never sent", Tone.MUTED)
        case LegStatus.SENT:
            return Shown("◌ sent")
        case LegStatus.REJECTED:
            return Shown(f"✗ rejected{because}", Tone.BAD)
        case LegStatus.UNKNOWN:
            return Shown(f"? IN DOUBT{because}", Tone.WARN)
        case LegStatus.OPEN:
            return Shown(f"○ open{took}")
        case LegStatus.PARTIAL:
            return Shown(f"◐ {part} filled {_price(leg.average)}")
        case LegStatus.FILLED:
            return Shown(f"✓ filled {_price(leg.average)}{took}", Tone.GOOD)
        case LegStatus.CANCELLED if leg.filled:
            return Shown(f"⊘ cancelled after {part} {_price(leg.average)}{because}", Tone.MUTED)
        case LegStatus.CANCELLED:
            return Shown(f"⊘ cancelled{because}", Tone.MUTED)


def leg_undone(leg: LegReceipt, *, final: bool) -> Shown:
    """Return how the leg was reversed and what is left of it; mostly nothing."""
    parts = []
    if leg.reversed:
        at = _price(leg.reversed_average)
        cost = "" if leg.price_cost is None else f", cost {fmt.rupees(leg.price_cost)}"
        at = at if math.isnan(leg.reversed_average) else f"at {at}"
        parts.append(f"↩ reversed {fmt.grouped(str(leg.reversed))} {at}{cost}")
    wanted = bool(leg.reversal_ids or leg.reversal_reason)
    if leg.residual is None:
        parts.append("✖ nobody knows how much is held")
    elif wanted and leg.residual:
        reason = f": {leg.reversal_reason}" if leg.reversal_reason else ""
        word = "NAKED LEG, " if final and leg.request.side is Side.SELL else ""
        parts.append(f"✖ {word}{fmt.grouped(str(leg.residual))} left{reason}")
    bad = leg.residual is None or (wanted and bool(leg.residual))
    return Shown(" · ".join(parts), Tone.BAD if bad else Tone.WARN)


def _price(value: float) -> str:
    return "at a price not told yet" if math.isnan(value) else fmt.price(value)
