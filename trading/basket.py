"""The words of a basket and its rules: all legs, or what became of some of them is undone.

"All or nothing" is not sold by any exchange, so the promise is all-or-compensate: a leg that fails
makes the desk stop, find out, cancel and reverse, and the outcome says per leg what is left.

    VALIDATING -> REFUSED | PLACING
    PLACING -> PLACED | COMPENSATING | REFUSED | NOTHING_DONE | PARTIAL_KEPT | UNRESOLVED
    COMPENSATING -> NOTHING_DONE | REVERSED | PARTIAL_KEPT | UNRESOLVED
    NOTHING_DONE, REVERSED -> UNRESOLVED, if the broker tells later what it had not told

Everything here is a pure function of what the orders say.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from trading.errors import Problem
from trading.model import UNKNOWN
from trading.order import BrokerPosition, Order, OrderRequest, OrderStatus, OrderType, Side

MOST_LEGS: Final = 10
MOST_LINES: Final = 25  # of one multi-order call, slices counted (upstox.md section 7)
MOST_ATTEMPTS: Final = 3  # of one leg's reversal


class BasketState(StrEnum):
    VALIDATING = "validating"  # never on the disk: nothing was sent, nothing to resume
    REFUSED = "refused"  # nothing was sent
    PLACING = "placing"
    COMPENSATING = "compensating"
    PLACED = "placed"  # every leg accepted; a limit leg may still rest
    NOTHING_DONE = "nothing done"  # residual 0 in every leg, no cost
    REVERSED = "reversed"  # residual 0 in every leg, at a cost
    PARTIAL_KEPT = "partly kept"  # some legs stand, by the trader's choice
    UNRESOLVED = "unresolved"  # something is left, or nobody knows: a person must look

    @property
    def final(self) -> bool:
        return self not in (BasketState.VALIDATING, BasketState.PLACING, BasketState.COMPENSATING)


_ENDS: Final = frozenset(
    {
        BasketState.NOTHING_DONE,
        BasketState.REVERSED,
        BasketState.PARTIAL_KEPT,
        BasketState.UNRESOLVED,
    }
)
_ARROWS: Final[Mapping[BasketState, frozenset[BasketState]]] = {
    BasketState.VALIDATING: frozenset({BasketState.REFUSED, BasketState.PLACING}),
    BasketState.PLACING: (_ENDS - {BasketState.REVERSED})
    | {BasketState.PLACED, BasketState.COMPENSATING, BasketState.REFUSED},
    BasketState.COMPENSATING: _ENDS,
    BasketState.NOTHING_DONE: frozenset({BasketState.UNRESOLVED}),
    BasketState.REVERSED: frozenset({BasketState.UNRESOLVED}),
}


class LegStatus(StrEnum):
    PLANNED = "planned"  # never sent
    SENT = "sent"
    REJECTED = "rejected"  # proven that it does not exist or was refused
    UNKNOWN = "in doubt"
    OPEN = "open"
    PARTIAL = "part-filled"
    FILLED = "filled"
    CANCELLED = "cancelled"  # what was filled before stays filled

    @property
    def unknown(self) -> bool:
        """Nobody knows whether it exists."""
        return self in (LegStatus.SENT, LegStatus.UNKNOWN)

    @property
    def live(self) -> bool:
        """It can still be filled."""
        return self.unknown or self in (LegStatus.OPEN, LegStatus.PARTIAL)


class OnFilled(StrEnum):
    """What to do with the filled legs when another one failed."""

    REVERSE = "reverse"
    KEEP = "keep"
    ASK = "ask"  # the trader decides while the basket waits


@dataclass(frozen=True, slots=True)
class BasketRequest:
    """What somebody wants sent together; the legs are numbered from 1 in this order.

    `nonce` is one press of a button. Nonce, batch_id and leg of the legs are ignored: the basket
    gives its own. `on_filled` None means the default of the desk.
    """

    legs: tuple[OrderRequest, ...]
    nonce: str
    rollback_on_failure: bool = True
    on_filled: OnFilled | None = None
    name: str = ""  # "Iron condor", for the screens
    source: str = "basket"


@dataclass(frozen=True, slots=True)
class LegReceipt:
    """One leg and what became of it; quantities in units, averages in rupees, costs in paise.

    `residual` is what is still held because of this leg, None while nobody knows. `price_cost` is
    what the reversal lost on the price (negative: gained), `charges` what brokerage, taxes and fees
    took both ways for what was reversed; None while unknown.
    """

    number: int
    request: OrderRequest  # as it is sent, with its own nonce
    status: LegStatus = LegStatus.PLANNED
    order_id: str = ""  # ours; empty: never sent
    filled: int = 0
    average: float = UNKNOWN
    reason: str = ""  # the broker's own words, or ours
    reversal_ids: tuple[str, ...] = ()  # our orders, one for each attempt
    reversed: int = 0
    reversed_average: float = UNKNOWN
    reversal_reason: str = ""  # why the last attempt did not do all of it
    residual: int | None = 0
    answer_ms: float | None = None  # from our sending to the first word of the broker
    final_ms: float | None = None
    price_cost: int | None = 0
    charges: int | None = 0


@dataclass(frozen=True, slots=True)
class BasketStep:
    """One moment of a basket's life."""

    state: BasketState
    at: datetime
    words: str = ""


@dataclass(frozen=True, slots=True)
class Basket:
    """A basket as it is now. `id` is the batch_id of all its orders, reversals too."""

    id: str
    account: str
    nonce: str
    name: str
    source: str
    rollback_on_failure: bool
    on_filled: OnFilled
    state: BasketState
    created: datetime
    updated: datetime
    is_mock: bool
    legs: tuple[LegReceipt, ...]
    problems: tuple[Problem, ...] = ()  # why it was refused
    reason: str = ""  # why it is in this state, for the trader
    decision: OnFilled | None = None  # REVERSE or KEEP, once the trader was asked and chose
    asking: bool = False  # it waits for that choice
    acknowledged: datetime | None = None  # of an unresolved basket
    steps: tuple[BasketStep, ...] = ()

    @property
    def alarming(self) -> bool:
        """Something is left that no person has taken note of."""
        return self.state is BasketState.UNRESOLVED and self.acknowledged is None

    @property
    def cost(self) -> int | None:
        """Paise that sending and reversing took; None while a part of it is unknown."""
        total = 0
        for leg in self.legs:
            if leg.price_cost is None or leg.charges is None:
                return None
            total += leg.price_cost + leg.charges
        return total

    @property
    def elapsed_ms(self) -> float | None:
        """From the commit before sending to the outcome; None before that."""
        began = next((s.at for s in self.steps if s.state is BasketState.PLACING), None)
        ended = next((s.at for s in self.steps if s.state.final), None)
        return None if began is None or ended is None else _ms(began, ended)


class BatchJournal(Protocol):
    """Baskets on the disk, by the same writer and in the same order as the orders."""

    async def open_basket(self, basket: Basket) -> Basket:
        """Commit a new basket with all its legs in one transaction, before anything is sent.

        Return it, or, if its nonce is known, the basket that this press has made already: then
        nothing was written and nothing may be sent.
        """
        ...

    def keep_basket(self, basket: Basket) -> None:
        """Write a basket as it is now (state, legs, new steps), in the order of the calls.

        Never lost while the process lives, and committed before any later `open_intents`. Losing
        the last ones in a crash is harmless: they are told again by the orders.
        """
        ...

    async def baskets(self, *, since: datetime) -> list[Basket]:
        """Return the baskets created since then, oldest first, and all older ones that are not
        final, or UNRESOLVED and not acknowledged.
        """
        ...


# what the orders say


def entry_nonce(batch_id: str, leg: int) -> str:
    return f"{batch_id}/{leg}"


def reversal_nonce(batch_id: str, leg: int, attempt: int) -> str:
    """One nonce for one attempt, whenever it is made: a crash in between cannot make it two."""
    return f"{batch_id}/{leg}/r{attempt}"


def moved(
    basket: Basket, state: BasketState, at: datetime, words: str, *, asking: bool = False
) -> Basket:
    """Return the basket one arrow further; raise ValueError where there is none."""
    if state not in _ARROWS.get(basket.state, frozenset()):
        raise ValueError(f"a basket does not go from {basket.state} to {state}")
    steps = (*basket.steps, BasketStep(state, at, words))
    return replace(basket, state=state, updated=at, reason=words, asking=asking, steps=steps)


def told(leg: LegReceipt, orders: Sequence[Order]) -> LegReceipt:
    """Return the receipt as the basket's orders say now; without any it stays as it was."""
    entry = next((o for o in orders if o.request.nonce == leg.request.nonce), None)
    if entry is None:
        return leg
    status = _status(entry)
    reversals = reversals_of(leg, orders)
    undone = sum(o.filled for o in reversals)
    average, undone_at = _average([entry]), _average(reversals)
    unsure = status.unknown or any(_status(o).unknown for o in reversals)
    return replace(
        leg,
        status=status,
        order_id=entry.id,
        filled=entry.filled,
        average=average,
        reason=entry.message,
        reversal_ids=tuple(o.id for o in reversals),
        reversed=undone,
        reversed_average=undone_at,
        reversal_reason=next((o.message for o in reversed(reversals) if o.message), "")
        or leg.reversal_reason,
        residual=None if unsure else entry.filled - undone,
        answer_ms=_since_sent(entry, answered=True),
        final_ms=_since_sent(entry, answered=False),
        price_cost=_price_cost(leg.request.side, undone, average, undone_at),
        charges=leg.charges if undone == leg.reversed else None,
    )


def reversals_of(leg: LegReceipt, orders: Sequence[Order]) -> list[Order]:
    """Return the leg's reversing orders, the first attempt first."""
    start = f"{leg.request.nonce}/r"
    found = [o for o in orders if o.request.nonce.startswith(start)]
    return sorted(found, key=lambda o: int(o.request.nonce.removeprefix(start)))


def _status(order: Order) -> LegStatus:
    match order.status:
        case OrderStatus.SENT:
            return LegStatus.SENT
        case OrderStatus.IN_DOUBT:
            return LegStatus.UNKNOWN
        case OrderStatus.WORKING:
            return LegStatus.PARTIAL if order.filled else LegStatus.OPEN
        case OrderStatus.FILLED:
            return LegStatus.FILLED
        case OrderStatus.CANCELLED:
            return LegStatus.CANCELLED
        case _:
            return LegStatus.REJECTED


def _average(orders: Sequence[Order]) -> float:
    filled = [o for o in orders if o.filled]
    units = sum(o.filled for o in filled)
    price = sum(o.filled * o.average_price for o in filled) / units if units else UNKNOWN
    return UNKNOWN if math.isnan(price) else price  # the one NaN, which is equal to itself


def _price_cost(side: Side, units: int, entry: float, exit_: float) -> int | None:
    if not units:
        return 0
    lost = (entry - exit_) * side.sign * units
    return None if math.isnan(lost) else round(lost * 100)


def _since_sent(order: Order, *, answered: bool) -> float | None:
    """Return ms from our intent to the broker's first word, or to a final state."""
    for step in order.steps:
        if step.status.final or (answered and step.status is OrderStatus.WORKING):
            return _ms(order.created, step.at)
    return None


def _ms(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() * 1000


# what is wrong before anything is sent


def shape_problems(request: BasketRequest) -> list[Problem]:
    """Return what is wrong with the basket as a whole, whatever is in its legs."""
    legs = request.legs
    found = [] if request.nonce else [Problem("nonce", "every press needs one of its own")]
    if not 1 <= len(legs) <= MOST_LEGS:
        words = f"{len(legs)} legs: a basket has 1 to {MOST_LEGS}"
        return [*found, Problem("legs", words)]
    if len({leg.account for leg in legs}) > 1:
        found.append(Problem("account", "all legs of a basket must be of one account"))
    found += _twice(legs)
    if request.rollback_on_failure:
        found += [
            Problem(f"legs[{n}].reduces", f"leg {n + 1} is an exit: exits are not rolled back")
            for n, leg in enumerate(legs)
            if leg.reduces
        ]
    return found


def _twice(legs: Sequence[OrderRequest]) -> list[Problem]:
    """One instrument and product is one position: what one leg does could not be told from two."""
    first: dict[tuple[str, str], int] = {}
    found: list[Problem] = []
    for n, leg in enumerate(legs, 1):
        before = first.setdefault((leg.instrument_key, leg.product), n)
        if before != n:
            words = f"leg {n} is the same instrument and product as leg {before}"
            found.append(Problem(f"legs[{n - 1}].instrument_key", words))
    return found


def of_leg(number: int, problem: Problem) -> Problem:
    """Return a leg's problem as one of the basket's."""
    field, words = f"legs[{number - 1}].{problem.field}", f"leg {number}: {problem.words}"
    return Problem(field, words)


def buys_first(requests: Sequence[OrderRequest]) -> list[OrderRequest]:
    return sorted(requests, key=lambda request: request.side is Side.SELL)


# what to think of it


def failure(legs: Sequence[LegReceipt]) -> str:
    """Return in words why the basket has failed as a whole; empty if it has not (yet).

    A limit leg that rests has not failed. One that was cancelled before it was filled has.
    """
    for leg in legs:
        because = f": {leg.reason}" if leg.reason else ""
        if leg.status is LegStatus.REJECTED:
            return f"leg {leg.number} rejected{because}"
        if leg.status is LegStatus.UNKNOWN:
            return f"leg {leg.number} in doubt{because}"
        if leg.status is LegStatus.CANCELLED and leg.filled < leg.request.quantity:
            return f"leg {leg.number} cancelled after {leg.filled} of {leg.request.quantity}"
        if leg.status is LegStatus.PLANNED:
            return f"leg {leg.number} was never sent"
    return ""


def settled(legs: Sequence[LegReceipt]) -> bool:
    """Return whether no leg can change any more."""
    return not any(leg.status.live for leg in legs)


def standing(legs: Sequence[LegReceipt]) -> BasketState:
    """Return the outcome if everything is left as it stands."""
    if any(leg.status.unknown for leg in legs):
        return BasketState.UNRESOLVED
    if not failure(legs):
        return BasketState.PLACED
    left = any(leg.status.live or leg.residual for leg in legs)
    return BasketState.PARTIAL_KEPT if left else BasketState.NOTHING_DONE


def compensated(legs: Sequence[LegReceipt], *, kept: bool) -> BasketState:
    """Return the outcome once everything was tried; `kept`: the rest was left on purpose."""
    if any(leg.residual is None or leg.status.live for leg in legs):
        return BasketState.UNRESOLVED
    if all(leg.residual == 0 for leg in legs):
        undone = any(leg.reversed for leg in legs)
        return BasketState.REVERSED if undone else BasketState.NOTHING_DONE
    return BasketState.PARTIAL_KEPT if kept else BasketState.UNRESOLVED


def closed(leg: LegReceipt) -> bool:
    """Return whether nothing of this leg is left or can come."""
    return leg.residual == 0 and not leg.status.live


def left_words(legs: Sequence[LegReceipt]) -> str:
    """Return what is left of which leg, for the trader."""
    return "; ".join(_left(leg) for leg in legs if not closed(leg)) or "nothing is left"


def _left(leg: LegReceipt) -> str:
    because = leg.reversal_reason or (leg.reason if leg.residual is None else "")
    tail = f" ({because})" if because else ""
    if leg.residual is None:
        return f"leg {leg.number}: nobody knows{tail}"
    held = "bought" if leg.request.side is Side.BUY else "sold"
    rests = ", still working" if leg.status.live else ""
    if leg.residual < 0:
        return f"leg {leg.number}: {-leg.residual} more reversed than were {held}{rests}{tail}"
    return f"leg {leg.number}: {leg.residual} {held}{rests}{tail}"


def reversible(leg: LegReceipt, positions: Sequence[BrokerPosition]) -> int:
    """Return how many units of the leg the broker's net position lets us reverse.

    Nothing at the broker is reduce-only: more than the net would open a position the other way.
    """
    wanted = (leg.request.instrument_key, leg.request.product)
    rows = (p.quantity for p in positions if (p.instrument_key, p.product) == wanted)
    held = sum(rows) * leg.request.side.sign
    return max(0, min(leg.residual or 0, held))


def reversal(leg: LegReceipt, quantity: int, *, attempt: int) -> OrderRequest:
    """Return the order that undoes this much of a leg."""
    request = leg.request
    return OrderRequest(
        account=request.account,
        instrument_key=request.instrument_key,
        side=request.side.opposite,
        quantity=quantity,
        product=request.product,
        order_type=OrderType.MARKET,
        nonce=reversal_nonce(request.batch_id, leg.number, attempt),
        source="basket: reversal",
        reduces=True,
        batch_id=request.batch_id,
        leg=leg.number,
    )
