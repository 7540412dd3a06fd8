"""What is done about a trouble, by a scripted feed and a clock that a test moves."""

import asyncio
from collections.abc import Callable

import pytest

from alerts.ladders import HANDS_OFF, MINUTE, MOST_A_MINUTE
from alerts.recovery import Recovery
from tests.alerts.scripted_feeds import Bench
from tests.alerts.scripted_incidents import ScriptedWatch, finding
from tests.dashboard.fakes import NIFTY, RELIANCE, TCS
from tests.trading.holdings import quote
from trading.health import Component
from trading.model import Mode
from trading.ports import FeedState

SILENT = finding()
STALE = finding("stale_position", about=TCS, instruments=(TCS,))
STREAM = finding("stream", Component.PORTFOLIO, about="main")


class Ward:
    """A desk whose troubles a test makes up, and the recovery that deals with them."""

    def __init__(self) -> None:
        self.bench = Bench(wanted={NIFTY: Mode.FULL, RELIANCE: Mode.LTPC, TCS: Mode.FULL})
        self.clock, self.desk = self.bench.clock, self.bench.desk
        self.feed, self.stream = self.bench.feed, self.bench.stream
        self.watch = ScriptedWatch(self.clock)
        self.recovery = Recovery(self.desk, self.watch, self.watch, self.clock)
        for key in (NIFTY, RELIANCE, TCS):
            self.bench.price(key)

    def hold(self, *keys: str) -> Callable[[], None]:
        return self.desk.marks.want("positions", keys)

    def ltt(self, key: str) -> int:
        """Return when it traded last, as the feed has told."""
        last = self.desk.market_data.last(key)
        assert last is not None
        return last.ltt

    async def passes(self, seconds: float, *prices: str) -> None:
        """Let time pass in quarters of a second; these instruments have prices all the time."""
        for _ in range(round(seconds * 4)):
            self.clock.advance(0.25)
            for key in prices:
                self.bench.price(key)
            await self.recovery.look()

    async def polled(self, seconds: int, *prices: str, trades: bool = False) -> None:
        """The same, while quotes are asked for every second, which show trades of TCS or none."""
        for _ in range(seconds):
            if trades:
                ltt = int(self.clock.now().timestamp() * 1000)
                self.bench.quotes.told[TCS] = quote(TCS, ltt=ltt)
            await self.desk.marks.poll()
            await self.passes(1, *prices)

    def steps(self, key: str = SILENT.key) -> list[tuple[str, str]]:
        return self.watch.steps(key)


@pytest.fixture
def ward() -> Ward:
    return Ward()


async def test_while_all_is_well_nothing_is_done(ward: Ward) -> None:
    await ward.passes(10, NIFTY)

    assert ward.feed.reconnects == ward.feed.asked_again == []
    assert ward.recovery.status() == "idle"


async def test_f01_an_outage_that_the_feed_mends_is_told_in_its_incident(ward: Ward) -> None:
    ward.clock.advance(15)
    ward.watch.finds(SILENT)
    ward.feed.goes(FeedState.STALLED, "no price for 15 s")
    ward.feed.goes(FeedState.BACKING_OFF, "no price for 15 s, though the exchange trades")
    ward.feed.goes(FeedState.CONNECTING, "attempt 1")
    ward.clock.advance(0.3)
    ward.feed.goes(FeedState.BACKING_OFF, "the connection was lost")
    ward.clock.advance(1.0)
    ward.feed.goes(FeedState.CONNECTING, "attempt 2")
    ward.feed.goes(FeedState.OPEN, "connected, no price yet")
    ward.clock.advance(0.4)
    ward.feed.goes(FeedState.LIVE, "prices arrive")

    assert ward.steps() == [
        ("stalled: no price for 15 s", "it is being replaced"),
        ("dial, attempt 1", "failed: the connection was lost"),
        ("dial, attempt 2", "a price after 0.4 s"),
    ]
    assert ward.feed.reconnects == []


async def test_what_the_feed_did_before_the_incident_is_written_with_its_time(ward: Ward) -> None:
    ward.feed.comes_back()
    ward.feed.goes(FeedState.BACKING_OFF, "the connection was lost")
    ward.clock.advance(0.5)
    ward.feed.goes(FeedState.CONNECTING, "attempt 1")
    ward.clock.advance(2.5)
    ward.watch.finds(SILENT, wake=True)

    assert ward.steps() == [
        ("connection ended: the connection was lost (11:00:00)", "it dials again"),
        ("dial, attempt 1", "under way"),
    ]
    ward.feed.goes(FeedState.LIVE, "prices arrive")
    assert ward.steps()[-1] == ("dial, attempt 1", "a price after 2.5 s")
    ward.recovery.stop()


async def test_steps_of_before_the_incident_stand_before_those_after_it(ward: Ward) -> None:
    ward.feed.goes(FeedState.CONNECTING, "attempt 1")
    ward.feed.goes(FeedState.BACKING_OFF, "no answer in time")
    ward.watch.finds(SILENT)
    ward.feed.goes(FeedState.CONNECTING, "attempt 2")

    assert ward.steps() == [
        ("dial, attempt 1 (11:00:00)", "failed: no answer in time"),
        ("dial, attempt 2", "under way"),
    ]


async def test_f09_an_outage_of_ten_minutes_is_a_few_lines(ward: Ward) -> None:
    ward.watch.finds(SILENT)
    for attempt in range(1, 41):
        ward.feed.goes(FeedState.CONNECTING, f"attempt {attempt}")
        ward.clock.advance(15)
        ward.feed.goes(FeedState.BACKING_OFF, "the feed's server refuses connections")

    told = [what for what, _ in ward.steps()]
    assert told == [f"dial, attempt {n}" for n in (1, 2, 3, 5, 10, 20)]


async def test_b5_while_the_feed_dials_it_is_not_asked_to(ward: Ward) -> None:
    ward.feed.now(state=FeedState.BACKING_OFF)
    ward.clock.advance(20)
    ward.watch.finds(SILENT)
    await ward.passes(120)

    assert ward.feed.reconnects == []


async def test_f03_a_feed_whose_quotes_show_no_trade_is_left_alone(ward: Ward) -> None:
    ward.clock.advance(20)
    ward.feed.now(quiet_age=1.0)
    ward.watch.finds(SILENT)
    await ward.passes(120)

    assert ward.feed.reconnects == []


async def test_a_feed_that_only_looks_alive_is_reconnected_and_a_price_proves_it(
    ward: Ward,
) -> None:
    ward.clock.advance(20)
    ward.watch.finds(SILENT)
    await ward.passes(HANDS_OFF + 0.5)
    assert len(ward.feed.reconnects) == 1
    assert ward.recovery.status() == "step 1 of 4: reconnect, waiting for a price"

    ward.feed.goes(FeedState.CONNECTING, "attempt 1")
    ward.feed.goes(FeedState.OPEN, connections=3)
    await ward.passes(1)
    assert ("reconnect", "under way") in ward.steps()  # a socket proves nothing
    ward.bench.price(connection=2)
    ward.feed.goes(FeedState.LIVE, "prices arrive")
    await ward.passes(0.25, NIFTY)

    assert ("reconnect", "a price after 1.5 s") in ward.steps()
    ward.watch.ends(SILENT)
    await ward.passes(60, NIFTY)
    assert len(ward.feed.reconnects) == 1
    assert ward.recovery.status() == "idle"


async def test_a_step_without_proof_says_so_and_the_next_is_taken(ward: Ward) -> None:
    ward.clock.advance(20)
    ward.watch.finds(SILENT)
    await ward.passes(HANDS_OFF + 33)

    assert ward.steps() == [
        ("reconnect", "no price within 15 s"),
        ("authorise again", "no price within 15 s"),
        ("give up and tell", "a person is needed"),
    ]
    assert len(ward.feed.reconnects) == 2
    [given_up] = ward.recovery.findings()
    assert given_up.component is Component.RECOVERY
    assert "all that can be tried was tried" in given_up.what
    assert ward.recovery.status().startswith("given up")
    ward.watch.ends(SILENT)
    await ward.passes(1, NIFTY)
    assert ward.recovery.findings() == []


@pytest.mark.parametrize("held", [(), (TCS,)])
async def test_what_was_given_up_is_not_called_over_because_it_is_tried_again(
    ward: Ward, held: tuple[str, ...]
) -> None:
    """It was told as over every 5 minutes, and 45 s later as new; quotes of it prove nothing."""
    ward.hold(*held)
    ward.bench.quotes.told[TCS] = quote(TCS, ltt=ward.ltt(TCS))
    ward.clock.advance(20)
    ward.watch.finds(SILENT)
    await ward.polled(75)
    [before] = ward.recovery.findings()
    for _ in range(400):
        await ward.polled(1)
        assert [f.key for f in ward.recovery.findings()] == [before.key]

    assert [what for what, _ in ward.steps()].count("give up and tell") == 2
    ward.watch.ends(SILENT)
    await ward.passes(1, NIFTY)
    assert ward.recovery.findings() == []


async def test_a_stream_that_was_given_up_is_not_over_because_its_books_were_read(
    ward: Ward,
) -> None:
    ward.stream.goes(FeedState.OPEN, "connected, not caught up yet")
    ward.watch.finds(STREAM)
    await ward.passes(50, NIFTY)
    assert len(ward.recovery.findings()) == 1
    ward.stream.goes(FeedState.BACKING_OFF, "the connection was lost")
    for _ in range(310):
        await ward.passes(1, NIFTY)
        await ward.bench.read_books()
        assert len(ward.recovery.findings()) == 1

    results = [result for what, result in ward.steps(STREAM.key) if what == "read the books"]
    assert results[-1].startswith("the books were read after ")


async def test_what_was_given_up_is_over_once_quotes_tell_enough_or_nothing_is_held(
    ward: Ward,
) -> None:
    ward.hold(TCS)
    await ward.passes(10, NIFTY)
    ward.watch.finds(STALE)
    await ward.polled(90, NIFTY)
    assert len(ward.recovery.findings()) == 1
    ward.bench.quotes.told[TCS] = quote(TCS, ltt=ward.ltt(TCS))
    await ward.polled(340, NIFTY)
    assert ward.recovery.findings() == []

    other = Ward()
    release = other.hold(TCS)
    await other.passes(10, NIFTY)
    other.watch.finds(STALE)
    await other.polled(90, NIFTY)
    assert len(other.recovery.findings()) == 1
    release()
    await other.passes(1, NIFTY)
    assert other.recovery.findings() == [], "nobody holds it any more"


async def test_f13_a_held_instrument_without_prices_is_asked_for_again_at_once(ward: Ward) -> None:
    ward.hold(TCS)
    await ward.passes(10, NIFTY, RELIANCE)
    ward.watch.finds(STALE, wake=True)
    await asyncio.sleep(0)
    assert ward.feed.asked_again == [(TCS,)]
    assert ward.steps(STALE.key) == [("ask again for 1 instrument", "under way")]

    ward.clock.advance(1.0)
    ward.bench.price(TCS)
    ward.bench.price(NIFTY)
    await ward.recovery.look()

    assert ward.steps(STALE.key) == [("ask again for 1 instrument", "a price of it after 1.0 s")]
    assert ward.feed.reconnects == []
    ward.recovery.stop()


async def test_f13_of_several_missing_ones_the_last_price_is_the_proof(ward: Ward) -> None:
    both = finding("stale_position", about=TCS, instruments=(TCS, RELIANCE))
    ward.hold(TCS, RELIANCE)
    await ward.passes(10, NIFTY)
    ward.watch.finds(both)
    await ward.passes(0.25, NIFTY)
    await ward.passes(1, NIFTY, RELIANCE)
    assert ward.steps(both.key) == [("ask again for 2 instruments", "under way")]

    await ward.passes(0.25, NIFTY, RELIANCE, TCS)

    assert ward.steps(both.key)[0][1].startswith("a price of ")


async def test_quotes_bridge_for_what_is_held_and_that_is_told(ward: Ward) -> None:
    ward.hold(TCS)
    ward.bench.quotes.told[TCS] = quote(TCS, ltt=ward.ltt(TCS))  # it does not trade
    await ward.passes(10, NIFTY)
    ward.watch.finds(STALE)
    await ward.polled(20, NIFTY)

    told = dict(ward.steps(STALE.key))
    assert told["ask again for 1 instrument"] == "no price within 12 s"
    assert told["poll quotes of 1 held instrument"].startswith("quotes, the oldest ")
    assert ward.recovery.findings() == []
    assert ward.feed.reconnects == []  # the others live


async def test_a_feed_that_tells_no_trades_of_a_held_instrument_is_replaced_in_the_end(
    ward: Ward,
) -> None:
    ward.hold(TCS)
    await ward.passes(10, NIFTY)
    ward.watch.finds(STALE)
    await ward.polled(20, NIFTY, trades=True)

    told = ward.steps(STALE.key)
    assert [what for what, _ in told] == ["ask again for 1 instrument", "reconnect"]
    assert len(ward.feed.reconnects) == 1


async def test_refused_only_a_person_helps(ward: Ward) -> None:
    ward.clock.advance(20)
    ward.feed.goes(FeedState.CONNECTING)
    ward.feed.goes(FeedState.REFUSED, "the feed refused the token")
    ward.watch.finds(SILENT, wake=True)
    await asyncio.sleep(0)
    await ward.passes(600)

    assert ward.feed.reconnects == ward.feed.asked_again == []
    assert ward.steps()[0][1] == "refused: the feed refused the token"
    ward.recovery.stop()


async def test_in_a_closed_market_nothing_is_done(ward: Ward) -> None:
    ward.clock.advance(6 * 3600)
    ward.watch.finds(SILENT)
    ward.watch.finds(STALE)
    await ward.passes(60)

    assert ward.feed.reconnects == ward.feed.asked_again == []


async def test_a_stream_that_is_not_caught_up_gets_its_books_read_then_a_new_connection(
    ward: Ward,
) -> None:
    ward.stream.goes(FeedState.OPEN, "connected, not caught up yet")
    ward.watch.finds(STREAM)
    await ward.passes(11, NIFTY)

    assert ward.steps(STREAM.key) == [
        ("read the books", "no reading of the books within 10 s"),
        ("reconnect", "under way"),
    ]
    assert ward.recovery.status() == (
        "step 2 of 4: reconnect, waiting for a connection that is up to date"
    )
    assert len(ward.stream.reconnects) == 1
    assert ward.feed.reconnects == []


async def test_books_that_differ_are_read_again_and_that_they_agree_is_the_proof(
    ward: Ward,
) -> None:
    differ = finding("books", Component.BOOKS, about="main")
    ward.watch.finds(differ)
    await ward.passes(0.5, NIFTY)
    await ward.bench.read_books()
    await ward.passes(0.5, NIFTY)

    [(what, result)] = ward.steps(differ.key)
    assert what == "read the books"
    assert result.startswith("the books were read after ")


async def test_books_that_nobody_could_read_are_not_said_to_differ(ward: Ward) -> None:
    unread = finding("books_unread", Component.BOOKS, about="main")
    ward.watch.finds(unread)
    await ward.passes(11, NIFTY)

    [given_up] = ward.recovery.findings()
    assert given_up.what.startswith("books of main: not confirmed by the broker, and all that")
    assert "they are read again all the while" in given_up.meaning
    assert ward.recovery.status().endswith("the books are read again all the while")


async def test_what_nobody_can_mend_is_said_once(ward: Ward) -> None:
    full = finding("disk_full", Component.STORAGE)
    ward.watch.finds(full)
    await ward.passes(10, NIFTY)

    assert len(ward.steps(full.key)) == 1
    assert ward.steps(full.key)[0][0] == "nothing to be tried by the desk"


async def test_a_finding_that_is_no_incident_yet_moves_nothing(ward: Ward) -> None:
    ward.clock.advance(60)
    ward.watch.finds(SILENT, incident=False)
    await ward.passes(60)

    assert ward.feed.reconnects == []
    assert ward.recovery.status() == "idle"


async def test_a_trouble_that_comes_and_goes_makes_no_storm(ward: Ward) -> None:
    ward.hold(TCS)
    for _ in range(20):
        await ward.passes(6, NIFTY)
        ward.watch.finds(STALE)
        await ward.passes(1, NIFTY)
        await ward.passes(0.25, NIFTY, TCS)
        ward.watch.ends(STALE)

    minutes = 20 * 7.25 / MINUTE
    assert len(ward.feed.asked_again) <= MOST_A_MINUTE * (minutes + 1)
    assert len(ward.feed.asked_again) >= 3
