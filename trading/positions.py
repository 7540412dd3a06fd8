"""What we hold and what it is worth: our own count of the fills, checked against the broker's.

A position changes by fills, by what was carried over, and by nothing else that is silent. Where
the broker's book says something different, ours stays visible and in doubt until a second read
says the same, and is then adjusted to it, which the position shows; a read whose parts do not fit
together is only adopted by the trader. A failed read changes nothing.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from trading.books import BookRow, Books
from trading.clock import Clock
from trading.errors import Denied
from trading.held import Doubt, Heard, Held, contradiction
from trading.hours import IST
from trading.marks import Mark, Marks
from trading.model import UNKNOWN, Tick
from trading.order import Account, BrokerPosition, Fill, OrderFills, Product, Side
from trading.orders import BookRead, ReadFailed
from trading.pnl import amount, average
from trading.ports import PolledQuote
from trading.signal import Signal

log = logging.getLogger(__name__)

APART: Final = 1.0  # seconds between two reads that say the same, before the broker is believed
SETTLES: Final = 3.0  # seconds after a fill in which a book may lag behind without being in doubt
MARK_EVERY: Final = 0.05  # seconds between two tellings of prices that moved

Key = tuple[str, str, Product]


@dataclass(frozen=True, slots=True)
class Position:
    """One instrument in one account and product; flat ones of today have quantity 0.

    `quantity` is signed, in the broker's units; `average` rupees, NaN while flat or unknown;
    `realised` today's and `cost` of what is open in paise, None while the price of a fill is not
    known. `generation` counts its openings of today, from flat or through zero; what was carried
    over is the first. `in_doubt` is why the quantity may be wrong, or empty. `adjusted` are signed
    units that no fill explains and that were taken over from the broker's book.
    """

    account: str
    instrument_key: str
    product: Product
    quantity: int
    average: float
    realised: int | None
    cost: int | None
    carried: bool
    multiplier: float
    opened_at: datetime | None  # None if flat or carried over
    generation: int
    is_mock: bool
    in_doubt: str = ""
    adjusted: int = 0
    last_fill: datetime | None = None


@dataclass(frozen=True, slots=True)
class PositionMoved:
    """A position became another one, by fills or by what the broker's book says, never by prices.

    `before` is None for one that was not known.
    """

    before: Position | None
    after: Position


@dataclass(frozen=True, slots=True)
class Value:
    """P&L of today in paise, never guessed: None is unknown.

    Of several positions it is the sum of what is known, and `missing` names the instruments whose
    value is not in it, or whose quantity is in doubt; `reason` says why. `as_of` is the age in
    seconds of the oldest price, None if there is none; `sources` the letters of where prices came
    from; `closed` that all are the last of sessions that are over.
    """

    realised: int | None
    unrealised: int | None
    total: int | None
    complete: bool
    missing: tuple[str, ...] = ()
    as_of: float | None = None
    sources: str = ""
    closed: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Read:
    at: datetime
    monotonic: float


class PositionBook:
    """Owns the positions. Prices are looked up when a value is asked for, so ticks cost nothing."""

    def __init__(self, accounts: Iterable[Account], *, clock: Clock, marks: Marks) -> None:
        self.changes: Signal[PositionMoved] = Signal("positions")
        self.marked: Signal[frozenset[str]] = Signal("marks of positions")
        self._mock = {account.id: account.is_mock for account in accounts}
        self._clock = clock
        self._marks = marks
        self._held: dict[Key, Held] = {}
        self._told: dict[Key, Position] = {}
        self._where: dict[tuple[str, str], Key] = {}
        self._reads: dict[str, _Read] = {}
        self._failed: dict[str, str] = {}
        self._open_keys: frozenset[str] = frozenset()
        self._moved: set[str] = set()
        self._marked_at = 0.0
        self._day = clock.now().astimezone(IST).date()

    # what is told

    def on_fills(self, told: OrderFills) -> None:
        """Take all fills of one order in the place of those known before."""
        self._turn_day()
        key = self._key_of(told)
        if key is None:
            return
        fills = tuple(f for f in told.fills if self._is_today(f) and f.quantity > 0)
        held = self._get(key)
        if not fills and told.order_id not in held.orders:
            return
        before = held.counted
        held.orders[told.order_id] = fills
        if held.counted != before:
            held.filled_at = self._clock.monotonic()
            _explain(held, fills)
        self._tell(held)

    def on_read(self, read: BookRead) -> None:
        """Compare the broker's books with ours; take over what was carried from another day."""
        self._turn_day()
        self._reads[read.account] = _Read(read.at, self._clock.monotonic())
        self._failed.pop(read.account, None)
        rows = {(read.account, r.instrument_key, r.product): r for r in read.positions}
        trades: dict[Key, list[Fill]] = {}
        for fill in filter(self._is_today, read.trades):
            trades.setdefault(_key(fill), []).append(fill)
        ours = [key for key in self._held if key[0] == read.account]
        for key in dict.fromkeys((*ours, *rows)):
            self._compare(self._get(key), rows.get(key), trades.get(key, []), read.at)

    def on_read_failed(self, failed: ReadFailed) -> None:
        """Note that the broker's books are unknown; a failed read never means flat."""
        self._failed[failed.account] = failed.reason

    def on_told(self, told: BrokerPosition) -> None:
        """Keep what the stream says of a position: the third book."""
        self._turn_day()
        held = self._get(_key(told))
        held.heard = Heard(told.quantity, self._clock.monotonic())

    def adopt(self, account: str, instrument_key: str, product: Product) -> None:
        """Take the broker's quantity for ours because the trader says so.

        Raises Denied if the broker has not been asked yet.
        """
        held = self._held.get((account, instrument_key, product))
        if held is None or held.broker is None:
            raise Denied("the broker's book has not been read yet: there is nothing to adopt")
        if held.doubt is not None:
            self._adopt(held, self._clock.now(), "the trader adopted the broker's book")
            self._tell(held)

    # what others ask

    def positions(self, account: str | None = None) -> list[Position]:
        """Return the open positions, then those that were closed today."""
        found = [p for p in self._told.values() if account in (None, p.account)]
        return sorted(found, key=lambda p: p.quantity == 0)

    def open_keys(self, account: str) -> frozenset[str]:
        """Return the instruments whose price counts, those that only the broker holds included."""
        held = (h for h in self._held.values() if h.account == account)
        return frozenset(h.instrument_key for h in held if h.running.quantity or _in_doubt(h))

    def get(self, account: str, instrument_key: str, product: Product) -> Position | None:
        return self._told.get((account, instrument_key, product))

    def closable(self, account: str, instrument_key: str, product: Product, side: Side) -> int:
        """Return how many units an order of this side can close by any of the three books.

        Where they differ the largest counts: nobody shall be kept in who may be in.
        """
        held = self._held.get((account, instrument_key, product))
        if held is None:
            return 0
        told = [held.running.quantity, held.broker or 0]
        read = self._reads.get(account)
        if held.heard is not None and (read is None or held.heard.at > read.monotonic):
            told.append(held.heard.quantity)
        return max(0, *(-side.sign * quantity for quantity in told))

    def fills(self, account: str | None = None) -> list[Fill]:
        """Return today's executions as they count here, oldest first."""
        found = (h for h in self._held.values() if account in (None, h.account))
        return sorted((f for held in found for f in held.fills()), key=lambda f: f.at)

    def is_open(self, account: str) -> bool:
        """Return whether there is a position to watch."""
        return bool(self.open_keys(account))

    def differs(self, account: str) -> bool:
        return self.books(account).differs

    def value(self, position: Position) -> Value:
        if not position.quantity:
            return _valued(position, None, "")
        mark = self._marks.of(position.instrument_key)
        why_not = "" if mark else self._marks.why_not(position.instrument_key)
        return _valued(position, mark, why_not)

    def total(self, account: str | None = None) -> Value:
        """Return the sum over one account or all; not complete before the broker's book was read.

        Cheap enough for a page, a few times a second.
        """
        positions = self.positions(account)
        total = summed([(p, self.value(p)) for p in positions])
        unread = [a for a in self._mock if account in (None, a) and a not in self._reads]
        return _before_reading(total, unread, nothing=not positions) if unread else total

    def books(self, account: str) -> Books:
        read = self._reads.get(account)
        rows = [
            self._row(held, read)
            for held in self._held.values()
            if held.account == account and not (held.is_empty and held.heard is None)
        ]
        age = None if read is None else self._clock.monotonic() - read.monotonic
        failed = self._failed.get(account, "")
        return Books(account, tuple(rows), read.at if read else None, age, failed)

    # prices, for rules that must hear of them

    def on_ticks(self, ticks: Sequence[Tick]) -> None:
        """Collect whose price moved, if anybody wants to hear it; tell a few times a second."""
        if len(self.marked):
            self._moved.update(tick[0] for tick in ticks if tick[0] in self._open_keys)
            self._tell_marks()

    def on_polled(self, quotes: Sequence[PolledQuote]) -> None:
        if len(self.marked):
            keys = (quote.instrument_key for quote in quotes)
            self._moved.update(key for key in keys if key in self._open_keys)
            self._tell_marks()

    async def look(self) -> None:
        """Tell the last prices that moved, and begin a new day; a job of each second."""
        self._tell_marks()
        self._turn_day()

    def _tell_marks(self) -> None:
        now = self._clock.monotonic()
        if self._moved and now - self._marked_at >= MARK_EVERY:
            moved, self._moved, self._marked_at = frozenset(self._moved), set(), now
            self.marked.emit(moved)

    # inside

    def _compare(
        self, held: Held, row: BrokerPosition | None, trades: list[Fill], at: datetime
    ) -> None:
        held.row, held.broker = row, row.quantity if row else 0
        if row is not None:
            held.take_terms(row)
        if held.counted == held.broker:
            held.correction, held.doubt = (), None
        elif held.counted + held.adjusted == held.broker:
            held.doubt = None
        else:
            held.doubt = self._doubt(held, held.broker, contradiction(row, trades))
            if self._is_confirmed(held.doubt):
                self._adopt(held, at, f"{held.doubt.reads} reads said so")
        self._tell(held)

    def _doubt(self, held: Held, broker: int, contradicts: str) -> Doubt:
        now, known = self._clock.monotonic(), held.doubt
        if now - held.filled_at < SETTLES:
            return Doubt(broker, 0, now, contradicts)
        if known is None or known.broker != broker or not known.reads:
            return Doubt(broker, 1, now, contradicts)
        return Doubt(broker, known.reads + 1, known.since, contradicts)

    def _is_confirmed(self, doubt: Doubt) -> bool:
        again = self._clock.monotonic() - doubt.since >= APART
        return again and not doubt.contradicts

    def _adopt(self, held: Held, at: datetime, why: str) -> None:
        before = held.running.quantity
        held.adopt(at)
        log.warning(
            "%s %s %s: %d -> %d by the broker's book, %s",
            *(held.account, held.instrument_key, held.product, before, held.broker, why),
        )

    def _row(self, held: Held, read: _Read | None) -> BookRow:
        agree, reason = self._verdict(held, read)
        return BookRow(
            held.instrument_key,
            held.product,
            held.running.quantity,
            held.broker,
            held.heard.quantity if held.heard else None,
            agree,
            reason,
        )

    def _verdict(self, held: Held, read: _Read | None) -> tuple[bool | None, str]:
        if held.doubt is not None:
            return False, _in_doubt(held) or "the broker's book has not followed the last fill yet"
        if words := self._stream_differs(held, read):
            return False, words
        if held.broker != held.running.quantity:
            return None, "not compared since the last fill"
        if held.adjusted:
            return True, f"{held.adjusted:+d} taken over from the broker: no fill explains it"
        return True, ""

    def _stream_differs(self, held: Held, read: _Read | None) -> str:
        """Return why the stream's word stands against ours; a later read decides between them."""
        heard = held.heard
        if heard is None or heard.quantity == held.running.quantity:
            return ""
        if read is not None and read.monotonic > heard.at:
            return ""
        waited = self._clock.monotonic() - max(heard.at, held.filled_at)
        return f"the stream says {heard.quantity}" if waited >= SETTLES else ""

    def _get(self, key: Key) -> Held:
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = Held(*key, is_mock=self._mock[key[0]])
            held.broker = 0 if key[0] in self._reads else None  # it was not listed
        return held

    def _key_of(self, told: OrderFills) -> Key | None:
        order = (told.account, told.order_id)
        if told.fills:
            self._where[order] = _key(told.fills[0])
        return self._where.get(order)

    def _is_today(self, fill: Fill) -> bool:
        return fill.at.astimezone(IST).date() == self._day

    def _turn_day(self) -> None:
        """Carry everything over when the date has changed in India."""
        today = self._clock.now().astimezone(IST).date()
        if today == self._day:
            return
        self._day = today
        self._where.clear()
        for held in self._held.values():
            held.end_day()
            self._tell(held)
        self._held = {key: held for key, held in self._held.items() if not held.is_empty}

    def _tell(self, held: Held) -> None:
        """Work the position out anew, and tell if it is another one."""
        held.rebuild()
        key = (held.account, held.instrument_key, held.product)
        before = self._told.get(key)
        if before is None and held.is_empty:
            return
        after = _position(held, unread=held.account not in self._reads)
        self._told[key] = after
        if held.is_empty:  # such as one that the broker said it had, and took back
            del self._told[key]
        if after != before:
            self._open_keys = frozenset(p.instrument_key for p in self.positions() if p.quantity)
            self.changes.emit(PositionMoved(before, after))


def _key(of: Fill | BrokerPosition) -> Key:
    return (of.account, of.instrument_key, of.product)


def _explain(held: Held, fills: Sequence[Fill]) -> None:
    """Drop a correction that these fills turn out to be, told after the broker's book was."""
    older = held.correction and any(fill.at <= held.correction[0].at for fill in fills)
    if older and held.counted == held.broker:
        held.correction = ()


def _in_doubt(held: Held) -> str:
    doubt = held.doubt
    if doubt is None or not doubt.reads:
        return ""
    times = "once" if doubt.reads == 1 else f"{doubt.reads} times"
    words = f"the broker says {doubt.broker} ({times}), we count {held.counted + held.adjusted}"
    if doubt.contradicts:
        return f"{words}, but {doubt.contradicts}: asking again, or adopt it"
    return f"{words}: asking again"


def _position(held: Held, *, unread: bool) -> Position:
    running = held.running
    fills = held.fills()
    waits = "not compared with the broker's book yet" if unread else ""
    return Position(
        account=held.account,
        instrument_key=held.instrument_key,
        product=held.product,
        quantity=running.quantity,
        average=average(running, held.multiplier),
        realised=running.realised,
        cost=running.cost,
        carried=held.carried.quantity != 0,
        multiplier=held.multiplier,
        opened_at=running.opened_at,
        generation=running.generation,
        is_mock=held.is_mock,
        in_doubt=_in_doubt(held) or waits,
        adjusted=held.adjusted,
        last_fill=max((fill.at for fill in fills), default=None),
    )


def _valued(position: Position, mark: Mark | None, why_not: str) -> Value:
    """Value one position; without a mark for the reason `why_not`."""
    price = mark.price if mark else UNKNOWN
    worth = amount(price, position.quantity, position.multiplier) if position.quantity else 0
    unrealised = None if worth is None or position.cost is None else worth - position.cost
    known = unrealised is not None and position.realised is not None
    return Value(
        position.realised,
        unrealised,
        _sum_or_none(position.realised, unrealised),
        complete=known,
        missing=() if known else (position.instrument_key,),
        as_of=mark.age if mark else None,
        sources=mark.source if mark else "",
        closed=mark is not None and mark.closed,
        reason="" if known else why_not or _why_unknown(position),
    )


def _why_unknown(position: Position) -> str:
    if math.isnan(position.multiplier):
        return "the broker has not told the size of a lot yet"
    return "the price of a fill, or of what was carried over, is not known"


def summed(parts: Sequence[tuple[Position, Value]]) -> Value:
    """Add up what is known, and say what is not."""
    missing = [p.instrument_key for p, v in parts if not v.complete or p.in_doubt]
    reasons = [p.in_doubt or v.reason for p, v in parts if not v.complete or p.in_doubt]
    priced = [v for _, v in parts if v.as_of is not None]
    realised = _known([v.realised for _, v in parts])
    unrealised = _known([v.unrealised for p, v in parts if p.quantity])
    return Value(
        realised,
        unrealised,
        _sum_or_none(realised, unrealised),
        complete=not missing,
        missing=tuple(dict.fromkeys(missing)),
        as_of=max((v.as_of for v in priced if v.as_of is not None), default=None),
        sources="".join(sorted({v.sources for v in priced})),
        closed=bool(priced) and all(v.closed for v in priced),
        reason=_in_short(reasons),
    )


def _known(amounts: Sequence[int | None]) -> int | None:
    """Return the sum of what is known; None only if there is something and all of it is unknown."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known or not amounts else None


def _sum_or_none(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _in_short(reasons: Sequence[str]) -> str:
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return reasons[0] + more if reasons else ""


def _before_reading(total: Value, unread: Sequence[str], *, nothing: bool) -> Value:
    """Return the total before the broker has said what there is: never complete, never zero."""
    reason = f"the books of {', '.join(unread)} have not been read yet"
    if nothing:
        return Value(None, None, None, complete=False, reason=reason)
    return replace(total, complete=False, reason=reason)
