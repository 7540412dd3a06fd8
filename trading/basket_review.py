"""What a basket would need, cost and be refused for, before it is sent."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from trading.basket import MOST_LINES, BasketRequest, OnFilled, buys_first, of_leg, shape_problems
from trading.basket_book import Dealing
from trading.broker import Broker
from trading.checks import doubtful, slices
from trading.clock import Clock
from trading.errors import Problem, VigilError
from trading.model import UNKNOWN, Instrument
from trading.order import Funds, Margin, OrderRequest, Side
from trading.unwinding import charges

MARGIN_FRESH: Final = 10.0  # seconds that the margin of a preview serves the press that follows it


class Quote(Protocol):
    """Rupees; NaN where a side of the book is empty or unknown."""

    @property
    def bid(self) -> float: ...

    @property
    def ask(self) -> float: ...


@dataclass(frozen=True, slots=True)
class LegPreview:
    """Rupees (NaN unknown) and paise (None unknown): what undoing this leg at once would cost."""

    number: int
    request: OrderRequest
    title: str
    slices: int
    bid: float
    ask: float
    spread: int | None
    charges: int | None  # in and out


@dataclass(frozen=True, slots=True)
class Preview:
    """What a press would do; the legs in the order in which they are sent. Sums in paise.

    `unwinding` is the worst that a rollback costs at these quotes: every leg filled, then every leg
    reversed across its spread, with the charges of both. A gap in the market can cost more.
    """

    legs: tuple[LegPreview, ...]
    problems: tuple[Problem, ...]
    margin: Margin | None
    funds: Funds | None
    unwinding: int | None
    unknown: tuple[str, ...]  # why a number is missing
    lines: int  # of the multi-order call, slices counted
    on_filled: OnFilled  # what happens unless something else is chosen


class BasketReview:
    """Asks the rules and the broker; owns only the margins it has just read."""

    def __init__(
        self,
        *,
        clock: Clock,
        orders: Dealing,
        brokers: Mapping[str, Broker],
        instrument: Callable[[str], Instrument | None],
        quote: Callable[[str], Quote | None],
        on_filled: OnFilled,
    ) -> None:
        self._clock = clock
        self._orders = orders
        self._brokers = brokers
        self._instrument, self._quote = instrument, quote
        self._on_filled = on_filled
        self._margins: dict[tuple[OrderRequest, ...], tuple[float, Margin, Funds]] = {}

    async def problems(self, request: BasketRequest) -> list[Problem]:
        """Return everything wrong with the basket and its legs, the margin aside."""
        found = shape_problems(request)
        if found:
            return found
        checked = await asyncio.gather(*(self._orders.check(leg) for leg in request.legs))
        found = [of_leg(n, p) for n, problems in enumerate(checked, 1) for p in problems]
        found += self._doubts(request.legs)
        lines = 0 if found else sum(self._slices(leg) for leg in request.legs)
        if lines > MOST_LINES:
            words = f"{lines} orders after slicing: one call carries at most {MOST_LINES}"
            found = [Problem("legs", words)]
        return found

    def _doubts(self, legs: Sequence[OrderRequest]) -> list[Problem]:
        """Tell of legs that may be on the market already, by an order that nobody answered for."""
        working = self._orders.working(legs[0].account)
        lost = [(n, doubtful(working, leg)) for n, leg in enumerate(legs, 1)]
        words = "order {} for the same is in doubt: wait until it is known what became of it"
        return [
            of_leg(n, Problem("instrument_key", words.format(order.id)))
            for n, order in lost
            if order is not None
        ]

    async def short_of_margin(self, legs: tuple[OrderRequest, ...]) -> list[Problem]:
        """Return why the margin does not allow it; exits need none."""
        if all(leg.reduces for leg in legs):
            return []
        try:
            return _short(*await self._margin(legs))
        except VigilError as error:
            return [Problem("margin", f"the margin cannot be read ({error})")]
        finally:
            self._margins.pop(_bare(legs), None)  # sent: what is available is another sum now

    async def preview(self, legs: Sequence[OrderRequest]) -> Preview:
        request = BasketRequest(tuple(legs), nonce="preview", rollback_on_failure=False)
        problems = await self.problems(request)
        if problems:
            return Preview((), tuple(problems), None, None, None, (), 0, self._on_filled)
        numbers = {id(leg): n for n, leg in enumerate(request.legs, 1)}
        ordered = buys_first(request.legs)
        shown = await asyncio.gather(*(self._leg(numbers[id(leg)], leg) for leg in ordered))
        unknown = [words for leg in shown if (words := _missing(leg))]
        margin = funds = None
        try:
            margin, funds = await self._margin(request.legs)
            problems = _short(margin, funds)
        except VigilError as error:
            unknown.append(f"the margin cannot be read: {error}")
        return Preview(
            legs=tuple(shown),
            problems=tuple(problems),
            margin=margin,
            funds=funds,
            unwinding=_sum(cost for leg in shown for cost in (leg.spread, leg.charges)),
            unknown=tuple(unknown),
            lines=sum(leg.slices for leg in shown),
            on_filled=self._on_filled,
        )

    async def _leg(self, number: int, request: OrderRequest) -> LegPreview:
        quote = self._quote(request.instrument_key)
        bid, ask = (quote.bid, quote.ask) if quote is not None else (UNKNOWN, UNKNOWN)
        spread = taken = None
        if bid > 0 and ask > 0:
            spread = round((ask - bid) * request.quantity * 100)
            enter, leave = (ask, bid) if request.side is Side.BUY else (bid, ask)
            undone = replace(request, side=request.side.opposite)
            broker = self._brokers[request.account]
            taken = await charges(broker, (request, enter), (undone, leave))
        instrument = self._instrument(request.instrument_key)
        title = instrument.title if instrument is not None else request.instrument_key
        return LegPreview(number, request, title, self._slices(request), bid, ask, spread, taken)

    async def _margin(self, legs: tuple[OrderRequest, ...]) -> tuple[Margin, Funds]:
        """Return margin and funds, also those read a moment ago; raises VigilError."""
        now = self._clock.monotonic()
        fresh = {k: v for k, v in self._margins.items() if now - v[0] <= MARGIN_FRESH}
        self._margins, key = fresh, _bare(legs)
        if key not in fresh:
            broker = self._brokers[legs[0].account]
            fresh[key] = (now, *await asyncio.gather(broker.margin(legs), broker.funds()))
        return fresh[key][1:]

    def _slices(self, request: OrderRequest) -> int:
        instrument = self._instrument(request.instrument_key)
        return slices(request.quantity, instrument) if instrument is not None else 1


def _bare(legs: Sequence[OrderRequest]) -> tuple[OrderRequest, ...]:
    """Return the legs without what differs from press to press."""
    return tuple(replace(leg, nonce="", batch_id="", leg=0, source="") for leg in legs)


def _short(margin: Margin, funds: Funds) -> list[Problem]:
    """What stands in between may need more than the end; only the end is sure to be needed."""
    if margin.final <= funds.available:
        return []
    words = f"₹{margin.final / 100:,.2f} is needed, ₹{funds.available / 100:,.2f} is available"
    return [Problem("margin", words)]


def _missing(leg: LegPreview) -> str:
    if leg.spread is None:
        return f"leg {leg.number}: {leg.title} has no price on both sides now"
    return "" if leg.charges is not None else f"leg {leg.number}: its charges cannot be read"


def _sum(values: Iterable[int | None]) -> int | None:
    """Return the sum, None as soon as one is unknown."""
    total = 0
    for value in values:
        if value is None:
            return None
        total += value
    return total
