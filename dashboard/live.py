"""The way of a number to the screen: one patch a tab a refresh, and only what changed is in it.

The browser ages what it was given by its own monotonic clock (components/live.js), so that numbers
turn late and stale when this process is frozen or gone. Every moment in a patch is therefore
sent as this machine's monotonic milliseconds, never as an age that would stop on the way.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

import orjson
from nicegui import core
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from dashboard import light as lights
from dashboard.light import Light
from dashboard.sheet import BLANK, Sheet, Shown, Tone
from trading import trust
from trading.desk import Desk
from trading.model import Candle, segment_of
from trading.ports import FeedChange, FeedState

log = logging.getLogger(__name__)

REFRESH: Final = 0.25  # seconds
SOON: Final = 0.05  # and after news of an order, whose steps come in bursts, but not more often
UNACKNOWLEDGED: Final = 8  # patches on the way before a slow or sleeping tab gets no more
CONTACT: Final = 3.0  # seconds without a patch until the browser says so
SLOW_BEATS: Final = 2  # groups and bars are looked at every so many refreshes
JITTER: Final = 0.05  # seconds; a moment that is computed from an age is never twice the same
PRUNE_BEATS: Final = 40  # and what no element shows any more is forgotten
MESSAGE: Final = "vigil"  # the name of a patch on the page's own socket


Patch = dict[str, Any]
Emit = Callable[[str, Patch], Awaitable[None]]  # to all sockets of one client, by its id


async def emit(client_id: str, patch: Patch) -> None:
    """Send a patch past NiceGUI's outbox, which would keep the last two hundred of them.

    It goes as one text: of anything else socketio looks at each value whether it is binary.
    """
    await core.sio.emit(MESSAGE, orjson.dumps(patch).decode(), room=client_id)


class Since(NamedTuple):
    """An age: the browser counts on from this monotonic moment; None means never."""

    moment: float | None


class Backing(NamedTuple):
    """What a reckoned number rests on: the oldest price in it, judged by that price's own age.

    `moment` is monotonic seconds, None if there is no price; `said` is what is wrong in words,
    whatever the age. A number that rests on nothing has neither.
    """

    moment: float | None
    source: str
    segment: str
    ltt: int = 0
    said: str = ""


Fact = str | Shown | Since | Backing
Facts = Mapping[str, Fact]


class _Leaf(Element):
    """A piece of text that belongs to one tab and leaves it when its element is deleted."""

    def __init__(self, tab: "Live", classes: str, shown: Shown = BLANK) -> None:
        super().__init__("span")
        self.tab = tab
        self.shown = shown
        self._text = shown.text
        self.classes(classes)
        if shown.tone:
            self._props["data-tone"] = int(shown.tone)
        if shown.title:
            self._props["title"] = shown.title

    @property
    def text(self) -> str:
        return self.shown.text

    def show(self, shown: Shown) -> None:
        """Change what the next patch says; the page is not rebuilt for it."""
        if shown != self.shown:
            self.shown = shown
            self._text = shown.text  # what a reload or a re-rendering would show
            self.tab.changed_cells.add(self.id)

    def _handle_delete(self) -> None:
        self.tab.forget(self)
        super()._handle_delete()


class Cell(_Leaf):
    """One written value of one instrument, or one fact of a group."""


class Age(_Leaf):
    """An age that the browser draws."""

    since: float | None = None

    def start(self, since: float | None) -> None:
        before = self.since
        if before is not None and since is not None and abs(since - before) < JITTER:
            return
        self.since = since
        if before != since:
            self.tab.changed_ages.add(self.id)


class Badge(_Leaf):
    """Whether the price beside it may be believed; drawn by the browser only."""


class BackedBadge(_Leaf):
    """The same for a number that was reckoned; `number` is its own in the patches."""

    def __init__(self, tab: "Live", number: int, classes: str) -> None:
        super().__init__(tab, f"badge {classes}", Shown(""))
        self.number = number
        self.backing: Backing | None = None
        self.marks(self)

    def marks(self, element: Element) -> None:
        """Let the browser set `data-trust` on the element, for its style."""
        element.classes("vq")
        element._props["data-q"] = self.number

    def rest_on(self, backing: Backing) -> None:
        before = self.backing
        if before is not None and _same(before, backing):
            return
        self.backing = backing
        self.tab.segments.add(backing.segment)
        if before != backing:
            self.tab.changed_backings.add(self.id)


def _same(one: Backing, other: Backing) -> bool:
    """Return whether they say the same; a moment reckoned from an age is never twice the same."""
    if one[1:] != other[1:]:
        return False
    if one.moment is None or other.moment is None:
        return one.moment is other.moment
    return abs(one.moment - other.moment) < JITTER


@dataclass(slots=True)
class _Quote:
    """One instrument on one tab: its number in the patches, and the cells that show it."""

    number: int
    version: int = -1
    received: float = math.inf  # of the last tick that was shown; the first is not measured
    cells: dict[int, tuple[Cell, str]] = field(default_factory=dict)
    watchers: set[int] = field(default_factory=set)  # elements whose style follows its trust
    price_received: float | None = None
    source: str = ""
    ltt: int = 0


@dataclass(slots=True)
class _Bars:
    """The minutes of one chart that its browser has not been told yet, by their start."""

    instrument_key: str
    reload: Callable[[], None]
    current: Candle | None = None
    waiting: dict[int, Candle] = field(default_factory=dict)

    def take(self) -> list[Candle]:
        taken = list(self.waiting.values())
        self.waiting.clear()
        return taken


@dataclass(slots=True)
class Group:
    """Facts that are read together, such as all figures of one feed."""

    tab: "Live"
    read: Callable[[], Facts]
    fast: bool = False  # at every refresh, not at every other
    leaves: dict[int, tuple[_Leaf, str]] = field(default_factory=dict)
    _seen: Facts | None = None

    def cell(self, name: str, classes: str = "") -> _Leaf:
        value = self.read()[name]
        leaf: _Leaf
        if isinstance(value, Since):
            leaf = Age(self.tab, f"va {classes}")
        elif isinstance(value, Backing):
            leaf = BackedBadge(self.tab, self.tab.next_number(), classes)
        else:
            leaf = Cell(self.tab, classes, _shown(value))
        _tell(leaf, value)
        self.leaves[leaf.id] = (leaf, name)
        return leaf

    def badge(self, name: str, *, full: bool = False) -> "BackedBadge":
        """Show how far a fact that is a `Backing` carries."""
        leaf = self.cell(name, "full" if full else "")
        assert isinstance(leaf, BackedBadge)
        return leaf

    def collect(self) -> None:
        """Look at the facts; the same object as before says that nothing has changed."""
        if not self.leaves:
            return
        facts = self.read()
        if facts is self._seen:
            return
        self._seen = facts
        for leaf, name in self.leaves.values():
            _tell(leaf, facts[name])


def _tell(leaf: _Leaf, value: Fact) -> None:
    if isinstance(leaf, Age):
        assert isinstance(value, Since)
        leaf.start(value.moment)
    elif isinstance(leaf, BackedBadge):
        assert isinstance(value, Backing)
        leaf.rest_on(value)
    else:
        assert isinstance(value, str | Shown)
        leaf.show(_shown(value))


class Live(Element, component="components/live.js"):
    """All live numbers of one tab. What is shown is held here; only differences travel."""

    def __init__(self, desk: Desk, sheet: Sheet) -> None:
        super().__init__()
        self.desk = desk
        self.changed_cells: set[int] = set()
        self.changed_ages: set[int] = set()
        self.changed_backings: set[int] = set()
        self.segments: set[str] = set()  # of reckoned numbers
        self.sent = 0  # patches
        self._sheet = sheet
        self._quotes: dict[str, _Quote] = {}
        self._changed_quotes: set[str] = set()
        self._fresh: dict[str, float] = {}  # when the ticks of the next patch were received
        room = desk.watch
        self._took = room.latencies.screen if room and room.latencies else None
        self._groups: list[Group] = []
        self._bars: dict[int, _Bars] = {}
        self._header: dict[str, Any] = {}
        self._header_sent: dict[str, Any] = {}
        self._numbers = 0
        self._beat = 0
        self._acknowledged = 0
        self._ready = False
        self._undo: list[Callable[[], None]] = []
        self._props["live-within"] = int(trust.LIVE_WITHIN * 1000)
        self._props["stale-after"] = int(trust.STALE_AFTER * 1000)
        self._props["contact"] = int(CONTACT * 1000)
        words = lights.words_of(desk)
        self._props["words"] = {str(level): word for level, word in words.items()}
        self._props["no-contact"] = lights.NO_CONTACT
        self.on("ready", self._on_ready)
        self.on("ack", self._on_ack)

    # what a page puts on the screen

    def cell(self, instrument_key: str, name: str, classes: str = "") -> Cell:
        """Show one field (a name of `sheet.FIELDS`) of an instrument here."""
        quote = self._quote(instrument_key)
        cell = Cell(self, f"n {classes}", self._sheet.row(instrument_key).cell(name))
        quote.cells[cell.id] = (cell, name)
        return cell

    def badge(self, instrument_key: str, *, full: bool = False) -> Badge:
        """Show how far the price may be believed; `full` always with its age."""
        badge = Badge(self, "badge full" if full else "badge", Shown(""))
        self.watch(instrument_key, badge)
        return badge

    def watch(self, instrument_key: str, element: Element) -> None:
        """Let the browser set `data-trust` on the element, for its style."""
        quote = self._quote(instrument_key)
        quote.watchers.add(element.id)
        element.classes("vq")
        element._props["data-q"] = quote.number

    def group(self, read: Callable[[], Facts], *, fast: bool = False) -> Group:
        group = Group(self, read, fast)
        self._groups.append(group)
        return group

    def next_number(self) -> int:
        """Return the number of one more price or badge in the patches of this tab."""
        self._numbers += 1
        return self._numbers

    def bar(self, element: Element, instrument_key: str, reload: Callable[[], None]) -> None:
        """Send the chart every minute once it is finished, and the one under way as it grows.

        `reload` gives the chart the whole picture again, for a browser that missed something.
        """
        self._bars[element.id] = _Bars(instrument_key, reload)

    def chart(self, element: Element, reload: Callable[[], None]) -> None:
        """Have `reload` called for a chart that is not of one instrument, for the same reason."""
        self._bars[element.id] = _Bars("", reload)

    def finished(self, candles: Sequence[Candle]) -> None:
        """Note what charts have to learn: the last look at a minute under way missed its end."""
        for bars in self._bars.values():
            for candle in candles:
                if candle.instrument_key == bars.instrument_key:
                    bars.waiting[candle.start] = candle

    def reload_charts(self) -> None:
        for bars in self._bars.values():
            bars.reload()

    def on_leave(self, undo: Callable[[], None]) -> None:
        """Call this when the tab is gone."""
        self._undo.append(undo)

    def instruments(self) -> set[str]:
        return set(self._quotes)

    def forget(self, leaf: _Leaf) -> None:
        for quote in self._quotes.values():
            quote.cells.pop(leaf.id, None)
        for group in self._groups:
            group.leaves.pop(leaf.id, None)
        for changed in (self.changed_cells, self.changed_ages, self.changed_backings):
            changed.discard(leaf.id)

    # what travels

    def collect(self) -> None:
        """Compare what is shown with what is known, and note the differences."""
        for key, quote in self._quotes.items():
            row = self._sheet.row(key)
            if row.version == quote.version or row.tick is None:
                continue
            quote.version = row.version
            known = row.shown
            for cell, name in quote.cells.values():
                shown = known.get(name) or row.cell(name)
                if shown is not cell.shown:  # what stayed is the same object on every tab
                    cell.show(shown)
            if row.tick.received > quote.received:
                self._fresh[key] = row.tick.received
            quote.received = row.tick.received
            quote.price_received, quote.source = row.tick.price_received, row.source
            quote.ltt = row.tick.ltt
            self._changed_quotes.add(key)
        self._beat += 1
        slow = self._beat % SLOW_BEATS == 0
        for group in self._groups:
            if slow or group.fast:
                group.collect()
        if slow:
            self._collect_bars()
        if self._beat % PRUNE_BEATS == 0:
            self._prune()

    async def send(self, header: dict[str, Any], emit: Emit) -> None:
        """Send one patch, unless the tab is away, asleep or behind: then it is kept for later."""
        self._header = header
        if not self._ready or self.sent - self._acknowledged >= UNACKNOWLEDGED:
            return
        if self.is_deleted or not self.client.has_socket_connection:
            return
        self.sent += 1
        fresh, self._fresh = self._fresh, {}
        await emit(self.client.id, self._patch())
        self._measure(fresh.values())

    def _measure(self, received: Iterable[float]) -> None:
        """Note how long ticks took from their receipt to the connection of this tab.

        Only what a newer tick did not overtake on the way; the network and the browser come after.
        """
        if self._took is not None:
            now = self.desk.clock.monotonic()
            for moment in received:
                self._took.note((now - moment) * 1000)

    def _patch(self) -> Patch:
        elements = self.client.elements
        patch: Patch = {"n": self.sent, "m": _ms(self.desk.clock.monotonic())}
        patch["w"] = int(self.desk.clock.now().timestamp() * 1000)
        heard = self.desk.market_data.heard_age()
        patch["h"] = None if heard is None else patch["m"] - round(heard * 1000)
        cells = [
            _cell_entry(e) for i in self.changed_cells if isinstance(e := elements.get(i), _Leaf)
        ]
        ages = [
            (i, _ms_or_none(e.since))
            for i in self.changed_ages
            if isinstance(e := elements.get(i), Age)
        ]
        quotes = [_quote_entry(key, self._quotes[key]) for key in self._changed_quotes]
        quotes += [
            _backing_entry(e.number, e.backing)
            for i in self.changed_backings
            if isinstance(e := elements.get(i), BackedBadge) and e.backing is not None
        ]
        bars = [_bar_entry(i, candle) for i, bar in self._bars.items() for candle in bar.take()]
        header = {k: v for k, v in self._header.items() if self._header_sent.get(k) != v}
        parts = {"c": cells, "a": ages, "q": quotes, "b": bars, "s": header}
        patch |= {name: part for name, part in parts.items() if part}
        self._header_sent = self._header
        for changed in (self.changed_cells, self.changed_ages, self.changed_backings):
            changed.clear()
        self._changed_quotes.clear()
        return patch

    def _collect_bars(self) -> None:
        for bars in self._bars.values():
            candle = self.desk.candles.current(bars.instrument_key)
            if candle is not None and candle != bars.current:
                bars.current = bars.waiting[candle.start] = candle

    def _prune(self) -> None:
        shown = self.client.elements
        for key, quote in list(self._quotes.items()):
            quote.watchers = {i for i in quote.watchers if i in shown}
            if not quote.cells and not quote.watchers:
                del self._quotes[key]
                self._changed_quotes.discard(key)
        self._groups = [group for group in self._groups if group.leaves]
        for element_id in self._bars.keys() - shown.keys():
            del self._bars[element_id]

    def _on_ready(self) -> None:
        """Start afresh: the browser has just opened the page, reconnected, or missed a patch."""
        again, self._ready = self._ready, True
        self._acknowledged = self.sent
        self._header_sent = {}
        self._fresh.clear()  # a whole picture holds what the tab may have missed for hours
        self._changed_quotes |= {k for k, q in self._quotes.items() if q.version >= 0}
        for leaf in self.client.elements.values():
            if isinstance(leaf, Age | Cell | BackedBadge) and leaf.tab is self:
                self._changes_of(leaf).add(leaf.id)
        if again:
            self.reload_charts()

    def _changes_of(self, leaf: _Leaf) -> set[int]:
        if isinstance(leaf, Age):
            return self.changed_ages
        return self.changed_backings if isinstance(leaf, BackedBadge) else self.changed_cells

    def _on_ack(self, event: GenericEventArguments) -> None:
        if isinstance(event.args, int):  # it comes from a browser: anything may be in it
            self._acknowledged = max(self._acknowledged, min(event.args, self.sent))

    def _quote(self, instrument_key: str) -> _Quote:
        quote = self._quotes.get(instrument_key)
        if quote is None:
            quote = self._quotes[instrument_key] = _Quote(self.next_number())
        return quote

    def _handle_delete(self) -> None:
        for undo in self._undo:
            undo()
        super()._handle_delete()


class Pulse:
    """Refreshes all open tabs from one look at the cache: each quarter second, and soon after
    news of an order.
    """

    def __init__(
        self,
        desk: Desk,
        sheet: Sheet,
        emit: Emit,
        light: Callable[[], Light] | None = None,
        *,
        every: float = REFRESH,
    ) -> None:
        self._desk = desk
        self._sheet = sheet
        self._emit = emit
        self._every = every
        self._light = light or partial(lights.desk_light, desk)
        self._tabs: list[Live] = []
        self._befores: list[Callable[[], Mapping[str, Any]]] = []
        self._order_moved = asyncio.Event()
        desk.candles.finished.subscribe(self._finished)
        desk.feed.changes.subscribe(self._feed_changed)
        desk.orders.changes.subscribe(lambda _: self._order_moved.set())

    def open_tab(self) -> Live:
        tab = Live(self._desk, self._sheet)
        self._tabs.append(tab)
        tab.on_leave(lambda: self._tabs.remove(tab))
        return tab

    def before(self, look: Callable[[], Mapping[str, Any]]) -> None:
        """Call this before each refresh; what it returns goes into the header of all tabs."""
        self._befores.append(look)

    @property
    def tabs(self) -> int:
        return len(self._tabs)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self._order_moved.clear()
            try:
                await self.beat()
            except Exception:
                log.exception("a refresh of the pages failed")
            if (now := loop.time()) >= due:
                due = max(due + self._every, now)
            await asyncio.sleep(SOON)
            await self._order_moves(until=due)

    async def _order_moves(self, *, until: float) -> None:
        """Wait for news of an order, and the rest of its burst; at most till a time of the loop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._order_moved.wait()
                await asyncio.sleep(SOON)

    async def beat(self) -> None:
        """Refresh once. A tab that fails is logged and does not stop the others."""
        if not self._tabs:
            return
        self._sheet.sample(key for tab in self._tabs for key in tab.instruments())
        header = self._read_header()
        for look in self._befores:
            header |= look()
        for tab in list(self._tabs):
            try:
                tab.collect()
                await tab.send(header, self._emit)
            except Exception:
                log.exception("refreshing a page failed")

    def _finished(self, candles: list[Candle]) -> None:
        for tab in self._tabs:
            tab.finished(candles)

    def _feed_changed(self, change: FeedChange) -> None:
        """A gap has begun or ended, and charts draw gaps."""
        if FeedState.LIVE in (change.before, change.after):
            for tab in self._tabs:
                tab.reload_charts()

    def _read_header(self) -> dict[str, Any]:
        desk = self._desk
        now = desk.clock.now()
        segments = {segment_of(key) for tab in self._tabs for key in tab.instruments()}
        segments |= {segment for tab in self._tabs for segment in tab.segments}
        light = self._light()
        session = lights.countdown(desk.hours.state(lights.header_segment(desk), now), now)
        return {
            "light": (str(light.level), light.text),
            "session": (session.session, session.verb, session.until),
            "open": {segment: desk.hours.is_open(segment, now) for segment in segments},
        }


def _shown(value: str | Shown) -> Shown:
    return value if isinstance(value, Shown) else Shown(value)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _ms_or_none(seconds: float | None) -> int | None:
    return None if seconds is None or seconds != seconds else _ms(seconds)


def _cell_entry(leaf: _Leaf) -> tuple[int | str, ...]:
    text, tone, title = leaf.shown
    if title:
        return (leaf.id, text, int(tone), title)
    return (leaf.id, text, int(tone)) if tone is not Tone.NONE else (leaf.id, text)


def _quote_entry(instrument_key: str, quote: _Quote) -> tuple[int | str | None, ...]:
    received = _ms_or_none(quote.price_received)
    return (quote.number, received, quote.source, segment_of(instrument_key), quote.ltt)


def _backing_entry(number: int, backing: Backing) -> tuple[int | str | None, ...]:
    moment = _ms_or_none(backing.moment)
    return (number, moment, backing.source, backing.segment, backing.ltt, backing.said or 1)


def _bar_entry(element_id: int, candle: Candle) -> tuple[float, ...]:
    prices = (candle.open, candle.high, candle.low, candle.close)
    return (element_id, candle.start, *prices, candle.volume, int(candle.complete))
