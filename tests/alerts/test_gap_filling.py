"""Minutes nobody watched: fetched in order and within bounds, and the ledger told the truth."""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta

import pytest

from alerts.gap_filling import (
    AT_ONCE,
    BETWEEN,
    CLOSED_THEN,
    MOST,
    RETRY,
    TRIES,
    GapFilling,
    session_seconds,
)
from tests.alerts.scripted_feeds import MORNING, Bench
from tests.dashboard.fakes import CALL, NIFTY, PUT, RELIANCE, TCS, WEEKDAYS
from trading.errors import BadRequest, RateLimited, Retryable, VigilError
from trading.hours import IST, TradingHours
from trading.model import Candle, Gap, Mode
from trading.ports import FeedState

MINUTE = 60_000


def ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


class Broker:
    """The far side: has a candle of each minute of a day's session so far, or fails."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.asked: list[tuple[str, date, date]] = []
        self.fails: dict[str, VigilError] = {}
        self.down: VigilError | None = None
        self.meanwhile: Callable[[], None] = lambda: None  # happens while it is asked

    async def minutes(self, instrument_key: str, first: date, last: date) -> list[Candle]:
        self.asked.append((instrument_key, first, last))
        self.meanwhile()
        if error := self.down or self.fails.get(instrument_key):
            raise error
        opening = datetime.combine(last, datetime.min.time(), IST) + timedelta(hours=9, minutes=15)
        until = ms(self._bench.clock.now())
        return [
            Candle(instrument_key, start, 1.0, 2.0, 0.5, 1.5, 10, 0, True, True)
            for start in range(ms(opening), until, MINUTE)
        ]


class Ledger:
    """The disk: gaps, and what was said of them."""

    def __init__(self) -> None:
        self.open: list[Gap] = []
        self.told: list[Gap] = []
        self.reads = 0

    async def gaps(self, feed: str, *, since: datetime, until: datetime) -> list[Gap]:
        return [*self.open, *self.told]

    async def unfilled(self, feed: str) -> list[Gap]:
        self.reads += 1
        return [gap for gap in self.open if gap.feed == feed]

    async def filled(self, gap: Gap) -> None:
        self.open = [known for known in self.open if known.number != gap.number]
        self.told.append(gap)


class Store:
    def __init__(self) -> None:
        self.kept: dict[str, list[int]] = {}

    async def fill(self, candles: Sequence[Candle]) -> int:
        for candle in candles:
            self.kept.setdefault(candle.instrument_key, []).append(candle.start)
        return len(candles)


class Pit:
    def __init__(self, *, at: datetime = MORNING, keys: Sequence[str] = (NIFTY, RELIANCE)) -> None:
        self.bench = Bench(at=at, wanted=dict.fromkeys(keys, Mode.FULL))
        self.clock, self.desk, self.feed = self.bench.clock, self.bench.desk, self.bench.feed
        self.broker, self.ledger, self.store = Broker(self.bench), Ledger(), Store()
        self.pauses: list[float] = []
        self.filling = GapFilling(
            self.desk,
            ledger=self.ledger,
            source=self.broker,
            store=self.store,
            pause=self.pause,
        )

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def gap(
        self, began: float, ended: float | None, *, number: int = 1, rate: float | None = 20.0
    ) -> Gap:
        """Put a gap into the ledger; seconds ago."""
        now = self.clock.now()
        end = None if ended is None else now - timedelta(seconds=ended)
        start = now - timedelta(seconds=began)
        made = Gap("market", start, end, "no price for 15 s", True, number, rate=rate)
        self.ledger.open.append(made)
        return made

    @property
    def told(self) -> Gap:
        [gap] = self.ledger.told
        return gap


async def quiet() -> Pit:
    """Return one that has caught up with everything it was started with."""
    pit = Pit()
    await pit.filling.run()
    pit.clock.advance(300)
    await pit.filling.run()
    pit.broker.asked.clear()
    pit.store.kept.clear()
    return pit


async def test_the_minutes_of_a_gap_are_fetched_and_the_ledger_told() -> None:
    pit = await quiet()
    gap = pit.gap(200, 95)
    pit.feed.comes_back()
    await pit.filling.run()

    first, last = (ms(gap.start) // MINUTE * MINUTE, ms(gap.end or MORNING) // MINUTE * MINUTE)
    lost = list(range(first, last + 1, MINUTE))
    assert pit.store.kept == {NIFTY: lost, RELIANCE: lost}
    assert len(lost) == 3  # what we saw ourselves is not even offered
    assert (pit.told.instruments, pit.told.filled) == (2, 6)
    assert pit.told.fill_words == "1-minute candles of 2 instruments"
    assert pit.told.ticks_missed == 20 * 105


async def test_without_a_rate_the_ticks_are_not_guessed() -> None:
    pit = await quiet()
    pit.gap(200, 95, rate=None)
    pit.feed.comes_back()
    await pit.filling.run()

    assert pit.told.ticks_missed is None


async def test_a_gap_waits_until_its_last_minute_is_over() -> None:
    pit = await quiet()
    pit.gap(30, 1)  # ended at 10:59:59: that minute is over, but not settled
    pit.feed.comes_back()
    await pit.filling.run()
    assert pit.ledger.told == []

    pit.clock.advance(5)
    await pit.filling.run()

    assert pit.told.filled == 2


async def test_a_gap_that_ends_while_another_is_being_filled_is_filled_too() -> None:
    pit = await quiet()
    pit.gap(300, 200)
    pit.feed.comes_back()

    def lost_and_back() -> None:
        if len(pit.ledger.open) == 1:
            pit.gap(190, 180, number=2)
            pit.feed.comes_back()

    pit.broker.meanwhile = lost_and_back
    await pit.filling.run()
    await pit.filling.run()

    assert [gap.number for gap in pit.ledger.told] == [1, 2]


async def test_an_open_gap_is_left_and_looked_at_again() -> None:
    pit = await quiet()
    pit.gap(30, None)
    pit.feed.comes_back()
    await pit.filling.run()
    await pit.filling.run()

    assert pit.ledger.told == []
    assert pit.broker.asked == []


async def test_while_nothing_is_missing_neither_the_disk_nor_the_broker_is_asked() -> None:
    pit = await quiet()
    reads = pit.ledger.reads
    for _ in range(100):
        await pit.filling.look()

    assert pit.ledger.reads == reads
    assert pit.broker.asked == []


async def test_a_gap_of_a_closed_market_needs_nothing() -> None:
    pit = Pit(at=datetime.fromisoformat("2025-11-29T11:00:00+05:30"))  # a Saturday
    pit.gap(3600, 95)
    await pit.filling.run()

    assert (pit.told.filled, pit.told.ticks_missed) == (0, 0)
    assert pit.told.fill_words == CLOSED_THEN
    assert pit.broker.asked == []


async def test_a_night_counts_only_what_was_open_of_it() -> None:
    at = datetime.fromisoformat("2025-11-26T09:20:00+05:30")
    pit = Pit(at=at)
    began = at - datetime.fromisoformat("2025-11-25T15:20:00+05:30")
    pit.gap(began.total_seconds(), 95)
    await pit.filling.run()

    assert pit.told.ticks_missed == 20 * (600 + 205)  # the end of yesterday, the start of today
    assert pit.broker.asked[0] == (NIFTY, date(2025, 11, 25), date(2025, 11, 26))


async def test_what_is_held_comes_first_and_more_than_two_hundred_are_not_asked() -> None:
    keys = [f"NSE_EQ|{n:04d}" for n in range(MOST + 50)]
    pit = Pit(keys=keys)
    pit.desk.marks.want("positions", [keys[-1]])
    pit.gap(200, 95)
    await pit.filling.run()

    gap_calls = pit.broker.asked[:MOST]
    assert gap_calls[0][0] == keys[-1]
    assert pit.told.instruments == MOST + 50
    assert pit.told.fill_words == f"1-minute candles of {MOST} instruments"
    assert len(pit.broker.asked) <= MOST + AT_ONCE
    assert pit.pauses == [BETWEEN] * len(pit.broker.asked)  # four a second at most


async def test_what_was_wanted_when_the_feed_was_lost_is_filled_too() -> None:
    pit = await quiet()
    release = pit.desk.subscriptions.hold("page", [TCS], Mode.FULL)
    pit.feed.goes(FeedState.BACKING_OFF, "lost")
    release()
    pit.gap(200, 95)
    pit.feed.comes_back()
    await pit.filling.run()

    assert {key for key, _, _ in pit.broker.asked} == {NIFTY, RELIANCE, TCS}


async def test_one_instrument_that_is_refused_does_not_stop_the_others() -> None:
    pit = await quiet()
    pit.broker.fails[NIFTY] = BadRequest("candles: Invalid Instrument key")
    pit.gap(200, 95)
    pit.feed.comes_back()
    await pit.filling.run()

    assert pit.told.fill_words == (
        "1-minute candles of 1 of 2 instruments; 1 instrument refused: "
        "candles: Invalid Instrument key"
    )


async def test_a_broker_that_is_down_is_asked_again_later_and_in_the_end_that_is_said() -> None:
    pit = await quiet()
    pit.broker.down = Retryable("candles: status 503")
    pit.gap(200, 95)
    pit.feed.comes_back()
    for _ in range(TRIES):
        await pit.filling.run()
        await pit.filling.run()  # too early: nothing is asked
        pit.clock.advance(RETRY)

    assert len(pit.broker.asked) == TRIES
    assert (pit.told.filled, pit.told.fill_words) == (0, "not filled: candles: status 503")


async def test_told_to_slow_down_it_waits_as_long() -> None:
    pit = await quiet()
    pit.broker.down = RateLimited("candles: status 429", retry_after=90)
    pit.gap(200, 95)
    pit.feed.comes_back()
    await pit.filling.run()
    pit.broker.down = None
    pit.clock.advance(89)
    await pit.filling.run()
    assert len(pit.broker.asked) == 1

    pit.clock.advance(1)
    await pit.filling.run()

    assert pit.told.filled == 6


async def test_a_desk_that_came_late_gets_the_session_from_its_beginning() -> None:
    pit = Pit()
    changed: list[frozenset[str]] = []
    pit.filling.changed.subscribe(changed.append)
    await pit.filling.run()

    opening = ms(datetime.fromisoformat("2025-11-26T09:15:00+05:30"))
    last = ms(MORNING) - MINUTE - MINUTE  # 10:59 is over, but for less than five seconds
    assert pit.store.kept[NIFTY] == list(range(opening, last + 1, MINUTE))
    assert set(changed) == {frozenset({NIFTY}), frozenset({RELIANCE})}
    await pit.filling.run()
    assert len(pit.broker.asked) == 2

    pit.clock.advance(65)  # the minute in which it came is over
    await pit.filling.run()
    assert pit.store.kept[NIFTY][-1] == ms(MORNING)
    pit.clock.advance(600)
    await pit.filling.run()
    assert len(pit.broker.asked) == 4


async def test_a_desk_that_was_there_before_the_opening_asks_nothing() -> None:
    pit = Pit(at=datetime.fromisoformat("2025-11-26T09:00:00+05:30"))
    pit.clock.advance(3600)
    await pit.filling.run()

    assert pit.broker.asked == []


async def test_an_instrument_that_a_page_opens_later_gets_its_past() -> None:
    pit = await quiet()
    release = pit.desk.subscriptions.hold("page", [TCS], Mode.FULL)
    await pit.filling.run()
    assert [key for key, _, _ in pit.broker.asked] == [TCS]

    release()
    pit.desk.subscriptions.hold("page", [TCS], Mode.FULL)
    await pit.filling.run()

    assert len(pit.broker.asked) == 1  # a page that is reloaded costs nothing


async def test_an_instrument_that_is_left_while_it_is_fetched_is_kept_and_forgotten() -> None:
    pit = await quiet()
    pit.broker.meanwhile = pit.desk.subscriptions.hold("page", [TCS], Mode.FULL)
    await pit.filling.run()
    assert [key for key, _, _ in pit.broker.asked] == [TCS]
    assert pit.store.kept[TCS]

    pit.broker.meanwhile = lambda: None
    pit.clock.advance(2)
    pit.desk.subscriptions.hold("another page", [NIFTY], Mode.FULL)
    pit.feed.comes_back()
    pit.gap(200, 95)
    await pit.filling.run()

    assert pit.told.filled  # no error of the one before makes it wait


async def test_one_that_is_left_while_another_is_fetched_is_passed_over() -> None:
    pit = await quiet()
    pit.desk.subscriptions.hold("page", [TCS, PUT], Mode.FULL)
    pit.broker.meanwhile = pit.desk.subscriptions.hold("another page", [CALL], Mode.FULL)
    await pit.filling.run()

    assert [key for key, _, _ in pit.broker.asked] == [TCS, PUT]
    assert pit.store.kept.keys() == {TCS, PUT}


@pytest.mark.parametrize(
    ("start", "end", "seconds"),
    [
        ("2025-11-26T10:00:00", "2025-11-26T10:01:00", 60),
        ("2025-11-26T15:29:30", "2025-11-26T16:00:00", 30),
        ("2025-11-28T15:29:00", "2025-12-01T09:16:00", 120),  # over a weekend
        ("2025-11-26T20:00:00", "2025-11-26T21:00:00", 0),
        ("2025-11-26T10:00:00", "2025-11-26T10:00:00", 0),
    ],
)
def test_session_time_of_a_stretch(start: str, end: str, seconds: float) -> None:
    """Two segments with the same hours count once."""
    moments = [datetime.fromisoformat(text).replace(tzinfo=IST) for text in (start, end)]

    found = session_seconds(TradingHours(WEEKDAYS), ["NSE_EQ", "NSE_FO"], moments[0], moments[1])

    assert found == seconds
