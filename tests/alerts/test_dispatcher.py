"""Letters on their way: faults T01 to T06 and P01, with hours that pass in milliseconds."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from alerts import words
from alerts.digest import FILLED
from alerts.dispatcher import Dispatcher
from alerts.routing import Routing, Way, quiet_hours
from alerts.telling import Draft, Teller
from tests.alerts.scripted_channel import ScriptedChannel, alert
from tests.alerts.scripted_journal import ScriptedJournal
from tests.alerts.timeline import NOON, Timeline
from trading.errors import (
    BadRequest,
    RateLimited,
    Refused,
    Retryable,
    Unanswered,
    VigilError,
)
from trading.health import Alert, ChannelHealth, Occasion, Severity
from trading.health_ports import LetterState

INFO, WARNING, CRITICAL = Severity


class Post:
    """A teller, a dispatcher and their channels on one timeline."""

    def __init__(
        self,
        *names: str,
        journal: ScriptedJournal | None = None,
        at: datetime = NOON,
        quiet: str = "",
        edits: bool = True,
        storm: int = 20,
    ) -> None:
        self.time = Timeline(at)
        self.clock = self.time.clock
        self.journal = journal or ScriptedJournal()
        self.channels = [
            ScriptedChannel(self.clock, name, edits=edits) for name in names or ("telegram",)
        ]
        self.channel = self.channels[0]
        ways = tuple(Way(c.name, person=c.name != "webhook") for c in self.channels)
        routes = Routing(ways, quiet_hours(quiet, holidays=False), storm=storm)
        self.teller = Teller(self.clock, self.journal, routes)
        self.dispatcher = Dispatcher(
            self.clock,
            self.journal,
            self.channels,
            self.teller,
            sleep=self.time.sleep,
            chance=lambda: 0.0,
        )

    async def tell(self, *alerts: Alert) -> None:
        await self.teller.tell([Draft(replace(a, at=self.clock.now())) for a in alerts])
        await self.time.settle()

    def states(self, channel: str = "telegram") -> list[LetterState]:
        return [letter.state for letter in self.journal.post(channel)]

    @property
    def health(self) -> ChannelHealth:
        return self.dispatcher.health()[0]


@asynccontextmanager
async def running(post: Post) -> AsyncIterator[Post]:
    post.dispatcher.start()
    await post.time.settle()
    try:
        yield post
    finally:
        await post.dispatcher.stop()


def numbered(number: int, severity: Severity = INFO, **changes: object) -> Alert:
    return alert(f"N{number}", severity, Occasion.EVENT, key=f"k{number}", **changes)


def order_of(sent: Sequence[str], severity: str = "N") -> list[str]:
    return [title for title in sent if title.startswith(severity)]


async def test_an_alert_goes_out_at_once_and_its_letter_is_settled() -> None:
    async with running(Post()) as post:
        await post.tell(numbered(1))

        assert post.channel.titles == ["N1"]
        [letter] = post.journal.post("telegram")
        assert (letter.state, letter.reference, letter.attempts) == (LetterState.SENT, "m1", 1)
        assert letter.sent == NOON
        await post.time.run(2)
        assert (post.health.state, post.health.sent, post.health.queued) == ("ok", 1, 0)


async def test_what_is_critical_goes_out_although_the_disk_refuses_it_and_only_once() -> None:
    async with running(Post()) as post:
        post.journal.refuses = Retryable("another program holds the database locked")
        await post.tell(numbered(1), numbered(2, CRITICAL))
        assert post.channel.titles == ["N2"]
        assert post.journal.told == []

        post.journal.refuses = None
        await post.teller.look()
        await post.time.run(10)
        assert post.channel.titles == ["N2", "N1"]
        assert post.states() == [LetterState.SENT, LetterState.SENT]
        told = next(x for x in post.journal.post("telegram") if x.alert.title == "N2")
        assert told.reference == "m1", "its end changes this message"


async def test_what_no_disk_takes_is_tried_again_until_the_network_is_back() -> None:
    async with running(Post()) as post:
        post.journal.refuses = Retryable("the disk is full")
        post.channel.script = [Retryable("no network")] * 3
        await post.tell(numbered(1, CRITICAL))
        await post.time.run(30)
        assert post.channel.titles == ["N1"]

        await post.teller.mute("k2", NOON + timedelta(hours=1))
        await post.tell(numbered(2, CRITICAL))
        await post.time.run(10)
        assert post.channel.titles == ["N1"], "muted by its key"


async def test_t01_told_to_slow_down_it_waits_keeps_the_order_and_sends_critical_first() -> None:
    async with running(Post()) as post:
        post.channel.script = [RateLimited("too many requests", retry_after=30.0)]
        began = post.clock.monotonic()
        await post.tell(numbered(1), numbered(2))
        await post.time.run(5)
        await post.tell(numbered(3, CRITICAL))
        await post.time.run(60)

        assert post.channel.titles == ["N3", "N1", "N2"]
        assert post.channel.sent[0][0] - began >= 30.0
        assert len(post.channel.attempts) == 4


async def test_t02_two_hours_away_loses_nothing_critical_and_folds_the_rest() -> None:
    async with running(Post()) as post:
        post.channel.outcome = lambda letter: Retryable("connection refused")
        await post.tell(numbered(1, CRITICAL))
        for number in range(3):
            order = alert(f"{FILLED}  SELL", INFO, Occasion.EVENT, key=f"o{number}", kind="order")
            await post.tell(order)
        await post.tell(alert("SILENT", WARNING, incident=9))
        await post.time.run(42)
        await post.tell(alert("BACK", INFO, Occasion.END, incident=9))
        await post.time.run(3600)
        await post.tell(numbered(2, CRITICAL))
        assert post.health.state == "waiting"
        assert post.health.reason == "connection refused"
        assert post.health.next_attempt is not None
        await post.time.run(3500)
        await post.tell(numbered(8, INFO), numbered(9, WARNING))
        tries = len(post.channel.attempts)
        assert tries < 60  # of two hours
        assert post.health.queued >= 8

        post.channel.outcome = lambda letter: None
        await post.time.run(400)

        assert post.channel.titles == [
            "N1",
            "N2",
            "Sent late: 3 fills, 1 market feed incident (42 s)",
            "N8",
            "N9",
        ]
        assert post.states().count(LetterState.FOLDED) == 5
        assert post.states().count(LetterState.SENT) == 4


async def test_t03_accepted_without_an_answer_arrives_twice_at_most_under_the_same_name() -> None:
    async with running(Post()) as post:
        post.channel.outcome = lambda letter: Unanswered("read timeout")
        await post.tell(numbered(1))
        await post.time.run(3600)

        copies = [words.plain(letter.alert) for _, letter in post.channel.attempts]
        assert len(copies) == 2
        assert len(set(copies)) == 1
        assert "A1 · 12:00:00 IST" in copies[0]
        [letter] = post.journal.post("telegram")
        assert letter.state is LetterState.PARKED
        assert letter.error == "sent twice without an answer: it may have arrived"

        post.channel.outcome = lambda letter: None
        await post.tell(numbered(2))
        await post.time.run(300)
        assert post.channel.titles == ["N2"]


async def test_t03_unanswered_once_it_is_sent_once_more() -> None:
    async with running(Post()) as post:
        post.channel.script = [Unanswered("read timeout")]
        await post.tell(numbered(1))
        await post.time.run(10)

        assert post.channel.titles == ["N1"]
        assert post.states() == [LetterState.SENT]
        assert post.health.retried == 1


async def test_t04_what_can_never_be_delivered_is_parked_and_the_next_flows() -> None:
    async with running(Post()) as post:
        post.channel.script = [BadRequest("can't parse entities")]
        await post.tell(numbered(1), numbered(2))
        await post.time.run(1)

        assert post.channel.titles == ["N2"]
        assert post.states() == [LetterState.PARKED, LetterState.SENT]
        assert post.journal.post("telegram")[0].error == "can't parse entities"
        assert post.health.parked == 1


async def test_t05_refused_it_is_down_and_asked_once_in_ten_minutes() -> None:
    async with running(Post()) as post:
        post.channel.outcome = lambda letter: Refused("the bot's token is not valid any more")
        await post.tell(numbered(1, CRITICAL))
        for number in range(2, 60):
            await post.tell(numbered(number, CRITICAL))
            await post.time.run(60)

        assert len(post.channel.attempts) == 6  # in 58 minutes
        assert post.health.state == "down"
        assert "token" in post.health.reason

        post.channel.outcome = lambda letter: None
        post.dispatcher.retry("telegram")
        await post.time.run(70)
        assert len(post.channel.sent) == 59
        assert post.health.state == "ok"


async def test_t06_five_hundred_alerts_in_ten_seconds() -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    chance = random.Random(seed)
    async with running(Post()) as post:
        critical = []
        for number in range(500):
            grave = chance.random() < 0.1
            critical += [f"N{number}"] if grave else []
            await post.tell(numbered(number, CRITICAL if grave else chance.choice([INFO, WARNING])))
            await post.time.run(0.02)
        await post.time.run(3600)

        moments = [at for at, _ in post.channel.attempts]
        assert min(b - a for a, b in itertools.pairwise(moments)) >= 1.0
        grave = [m.alert.title for _, m in post.channel.sent if m.alert.severity is CRITICAL]
        assert grave == critical
        rest = [m for _, m in post.channel.sent if m.alert.severity < CRITICAL]
        assert 40 < len(rest) <= 43  # twenty of each kind, and then a line
        assert Counter(m.alert.severity for m in rest[:40]) == {INFO: 20, WARNING: 20}
        assert "more in the app" in rest[40].alert.title
        assert set(post.states()) == {LetterState.SENT, LetterState.FOLDED}
        assert len(post.journal.told) == 500


async def test_p01_a_letter_that_always_fails_is_parked_after_three_and_delays_nobody() -> None:
    async with running(Post()) as post:

        def poison(letter):  # type: ignore[no-untyped-def]
            return ValueError("no glyph") if letter.alert.title == "N1" else None

        post.channel.outcome = poison
        await post.tell(numbered(1, WARNING), numbered(2, WARNING))
        await post.time.run(1)
        assert post.channel.titles == ["N2"]

        for number in range(3, 20):
            await post.tell(numbered(number, WARNING))
            await post.time.run(2)
        tries = [m for _, m in post.channel.attempts if m.alert.title == "N1"]
        assert len(tries) == 3
        assert len(post.channel.titles) == 18
        parked = post.journal.post("telegram")[0]
        assert parked.state is LetterState.PARKED
        assert parked.error == "failed 3 times: no glyph"


async def test_forty_flaps_are_three_new_messages_at_most() -> None:
    for edits in (True, False):
        async with running(Post(edits=edits)) as post:
            for _ in range(40):
                await post.tell(alert("SILENT", WARNING))
                await post.time.run(7)
                await post.tell(alert("BACK", INFO, Occasion.END))
                await post.time.run(8)

            assert len(post.channel.fresh) <= (3 if edits else 5)
            assert post.channel.titles[0] == "SILENT"
            assert post.channel.titles[-1] == "BACK"


async def test_within_a_minute_the_message_is_edited_to_times_four() -> None:
    async with running(Post()) as post:
        for _ in range(4):
            await post.tell(alert(occasion=Occasion.EVENT))
            await post.time.run(10)
        await post.time.run(60)

        (_, first), (at, second) = post.channel.sent
        assert (first.edits, second.edits) == ("", "m1")
        assert second.alert.times == 4
        assert 60 <= at - 1000 <= 66
        assert post.states().count(LetterState.FOLDED) == 2


async def test_a_channel_that_cannot_edit_gets_each_message_anew() -> None:
    async with running(Post(edits=False)) as post:
        await post.tell(alert())
        await post.time.run(2)
        await post.tell(alert("BACK", INFO, Occasion.END))

        assert [m.edits for _, m in post.channel.sent] == ["", ""]


async def test_info_of_the_night_comes_as_one_message_in_the_morning() -> None:
    evening = NOON + timedelta(hours=11)  # 23:00 IST
    async with running(Post(at=evening, quiet="22:00-07:00")) as post:
        await post.tell(numbered(1), numbered(2), numbered(3, CRITICAL))
        await post.time.run(7.9 * 3600)
        assert post.channel.titles == ["N3"]

        await post.time.run(0.2 * 3600)
        assert post.channel.titles[1:] == ["From your quiet hours: 2 messages"]
        assert post.channel.sent[1][1].silent


async def test_a_slow_channel_delays_nobody_and_a_stop_does_not_wait_for_it() -> None:
    post = Post("telegram", "e-mail")
    post.channels[1].hangs.clear()
    async with running(post):
        for number in range(3):
            await post.tell(numbered(number))
            await post.time.run(2)

        assert post.channels[0].titles == ["N0", "N1", "N2"]
        assert post.channels[1].titles == []
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 4.5
    assert all(channel.closed for channel in post.channels)


async def test_a_program_gets_every_letter_one_by_one_in_their_order() -> None:
    async with running(Post("webhook")) as post:
        post.channel.outcome = lambda letter: Retryable("connection refused")
        for number in range(60):
            await post.tell(numbered(number))
        await post.time.run(7200)
        post.channel.outcome = lambda letter: None
        await post.time.run(600)

        assert post.channel.titles == [f"N{number}" for number in range(60)]


async def test_what_was_being_sent_at_a_crash_is_sent_once_more_and_nothing_else() -> None:
    before = Post()
    before.channel.hangs.clear()
    before.dispatcher.start()
    await before.tell(numbered(1))
    await before.tell(numbered(2))
    assert before.states() == [LetterState.SENDING, LetterState.QUEUED]
    await before.dispatcher.stop()  # as good as a crash: nothing is settled

    async with running(Post(journal=before.journal)) as after:
        await after.time.run(5)
        assert after.channel.titles == ["N1", "N2"]
    async with running(Post(journal=before.journal)) as third:
        await third.time.run(5)
        assert third.channel.titles == []


async def test_a_disk_that_refuses_to_settle_does_not_make_a_letter_twice() -> None:
    async with running(Post()) as post:
        post.channel.hangs.clear()
        await post.tell(numbered(1))
        post.journal.refuses = VigilError("the disk is full")
        post.channel.hangs.set()
        await post.time.run(60)
        assert post.states() == [LetterState.SENDING]
        post.journal.refuses = None
        await post.time.run(60)

        assert post.channel.titles == ["N1"]
        assert post.states() == [LetterState.SENT]


async def test_what_is_critical_does_not_wait_out_a_long_backoff() -> None:
    async with running(Post()) as post:
        post.channel.outcome = lambda letter: Retryable("connection refused")
        await post.tell(numbered(1))
        await post.time.run(1800)
        post.channel.outcome = lambda letter: None
        told = post.clock.monotonic()
        await post.tell(numbered(2, CRITICAL))
        await post.time.run(10)

        assert post.channel.titles[0] == "N2"
        assert post.channel.sent[0][0] - told <= 5.0


async def test_the_waits_between_failures_double_up_to_five_minutes() -> None:
    async with running(Post()) as post:
        post.channel.outcome = lambda letter: Retryable("connection refused")
        await post.tell(numbered(1))
        await post.time.run(2000)

        moments = [at for at, _ in post.channel.attempts]
        waits = [round(b - a) for a, b in itertools.pairwise(moments)]
        assert waits[:11] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
