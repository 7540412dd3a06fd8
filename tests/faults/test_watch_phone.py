"""Rows T01-T06 and P01 on the whole desk: what goes wrong between its alerts and the phone.

The pace of one message a second to a chat, the waits that Telegram asks for and the library's ten
seconds of patience are real ones.
"""

import asyncio
import time
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

from settings import Quiet
from simulator.build import parse_start
from simulator.telegram_chat import STRANGER
from tests.faults.dealing import Dealing
from tests.faults.watching import SHORT, Watched, names, watched
from tests.lateness import lateness
from trading.health import Component, Condition, Occasion, Severity
from trading.order import OrderStatus
from trading.ports import FeedState

CRITICAL, WARNING = Severity.CRITICAL, Severity.WARNING
A_SECOND = 1.0  # between two messages to one chat
ALERTS = 500
TELEGRAM_ROW = Component.PHONE


def row(desk: Watched) -> tuple[Condition, str]:
    """Return how the Health page calls the phone, and why."""
    found = next(c for c in desk.watchers.watch.components() if c.component is TELEGRAM_ROW)
    return found.condition, found.words


def unsent(desk: Watched) -> list[str]:
    return [title for state, title, _, _ in desk.letters() if state in ("queued", "sending")]


async def test_t01_telegram_is_given_the_time_it_asks_for_and_the_critical_goes_first(
    tmp_path: Path,
) -> None:
    """A retry_after of 2 s here, of 30 s in faults.md."""
    async with watched(tmp_path, watching=0) as desk:
        desk.exchange.faults.set("telegram_too_many", retry_after=2, next=1)
        await desk.tell("FIRST")
        await desk.until(lambda: desk.telegram.state == "waiting", within=2, what="a 429")
        health = desk.telegram
        told = [
            await desk.tell("SECOND"),
            await desk.tell("GRAVE", CRITICAL),
            await desk.tell("GRAVER", CRITICAL),
        ]
        await desk.on_the_phone("SECOND", within=10)
        refused, *sent = desk.calls("sendMessage")

        assert refused.status == 429
        assert sent[0].at - refused.at >= 2.0
        assert health.reason == "Telegram asks to wait 2 s"
        assert health.next_attempt is not None
        assert [m.text.splitlines()[0].removeprefix("🟣 SIM ") for m in desk.delivered()] == [
            "GRAVE", "GRAVER", "FIRST", "SECOND"
        ]  # fmt: skip
        assert len(told) == 3
        await desk.until(lambda: not unsent(desk), within=2, what="an empty outbox")


async def test_t02_what_happened_while_telegram_was_away_for_two_hours_is_all_told(
    tmp_path: Path,
) -> None:
    """The exchange's clock, which is the desk's, jumps over the two hours."""
    watch = SHORT.model_copy(update={"undelivered": 1.0})
    async with watched(tmp_path, watch=watch, start="2024-06-27T11:00:00") as desk:
        desk.exchange.faults.set("telegram_down")
        grave = [await desk.tell(f"GRAVE {number}", CRITICAL) for number in range(2)]
        for number in range(6):
            await desk.tell(f"SMALL {number}")
        began = await desk.alert("undeliverable telegram", Occasion.BEGIN, within=15)
        bell = desk.watchers.watch.unacknowledged()
        desk.exchange.clock.set(parse_start("2024-06-27T13:01:00"))
        condition, words = row(desk)
        frames = desk.desk.feed.stats().frames
        await desk.until(lambda: desk.desk.feed.stats().frames > frames + 10, within=3)
        desk.exchange.faults.clear()
        last = await desk.tell("GRAVE 2", CRITICAL)  # what is critical does not wait out a backoff
        digest = await desk.on_the_phone("Sent late: ", within=12)
        end = await desk.alert("undeliverable telegram", Occasion.END)
        await desk.on_the_phone(f"{end.name} · ")
        seen = names(desk.delivered("GRAVE"))

        assert "TELEGRAM HAS DELIVERED NOTHING FOR" in began.title
        assert condition is Condition.DOWN
        assert "Telegram cannot be reached" in words or "did not answer" in words, words
        assert len(bell) == 9, bell  # all of it could be read on the page
        assert seen == [alert.name for alert in (*grave, last)]
        assert digest.at > desk.delivered("GRAVE 2")[0].at
        assert "SMALL 5" in digest.text
        assert "SMALL" not in "".join(m.text for m in desk.delivered() if m is not digest)
        await desk.until(lambda: not unsent(desk), within=2, what="an empty outbox")
        assert desk.state is FeedState.LIVE


async def test_t03_what_telegram_took_without_an_answer_comes_twice_at_most_under_one_number(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path, watching=0) as desk:
        desk.exchange.faults.set("telegram_hang", delivered=True, next=1)
        alert = await desk.tell("GRAVE", CRITICAL)
        behind = await desk.tell("GRAVE TOO", CRITICAL)
        await desk.on_the_phone(f"{behind.name} · ", within=20)

        await desk.until(lambda: not unsent(desk), within=2, what="an empty outbox")
        copies = names(desk.delivered(f"{alert.name} · "))
        print(f"copies: {copies}")
        assert copies in ([alert.name], [alert.name] * 2)
        assert desk.telegram.retried == 1


async def test_t04_what_telegram_cannot_read_as_markup_comes_as_plain_words(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path, watching=0) as desk:
        desk.exchange.faults.set("telegram_bad_request", only_markup=True, next=1)
        odd = "<b>M&M_FUT*[x](http://y)</b> `{{7*7}}`"
        await desk.tell(odd)
        await desk.tell("LONG", lines=["x" * 5_000])
        await desk.on_the_phone("M&M_FUT")
        await desk.on_the_phone("LONG")
        await desk.until(lambda: not unsent(desk), within=10)

        first = desk.calls("sendMessage")[:2]
        assert [asked.status for asked in first] == [400, 200]
        (message,) = desk.delivered("M&M_FUT")
        assert message.text.splitlines()[0] == f"🟣 SIM {odd}"
        assert sum(each.text.count("x" * 50) for each in desk.delivered()) >= 90
        assert max(len(each.text) for each in desk.delivered()) <= 4_096


async def test_t05_a_blocked_bot_is_said_so_and_not_tried_again_until_somebody_helps(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path, watching=0) as desk:
        desk.exchange.faults.set("telegram_blocked")
        await desk.tell("FIRST")
        began = await desk.alert("undeliverable telegram", Occasion.BEGIN)
        await desk.tell("GRAVE", CRITICAL)
        await asyncio.sleep(1.2)
        tries, (condition, words) = len(desk.calls("sendMessage")), row(desk)
        state, again = desk.telegram.state, desk.telegram.next_attempt
        desk.exchange.faults.clear()
        await desk.say("/start")  # as after unblocking it
        await desk.on_the_phone("FIRST")
        await desk.alert("undeliverable telegram", Occasion.END)

        assert tries == 1
        assert "blocked by the user" in began.title
        assert (state, condition) == ("down", Condition.DOWN)
        assert "Telegram refused: Forbidden: bot was blocked by the user" in words
        assert again is not None
        assert again - began.at > timedelta(minutes=9)
        assert names(desk.delivered("GRAVE")) != []


async def test_t05_a_revoked_token_is_asked_about_once_and_the_page_says_what_to_do(
    tmp_path: Path,
) -> None:
    def revoked(exchange: object) -> None:
        exchange.faults.set("telegram_revoked")  # type: ignore[attr-defined]

    async with watched(tmp_path, watching=0, prepare=revoked, at_work=False) as desk:
        await desk.live()
        await desk.tell("GRAVE", CRITICAL)
        keys = {"undeliverable telegram", "undeliverable telegram commands"}
        await desk.until(lambda: keys <= {alert.key for alert in desk.alerts}, within=8)
        asked = [each.method for each in desk.exchange.telegram.asked]
        condition, words = row(desk)

        assert sorted(asked) == ["getMe", "sendMessage"]
        assert condition is Condition.DOWN
        assert "Telegram does not know this bot" in words
        assert "@BotFather" in words
        assert desk.watchers.watch.unacknowledged()[0].title == "GRAVE"


async def test_t06_five_hundred_alerts_at_once_are_a_message_a_second_and_no_critical_is_lost(
    tmp_path: Path,
) -> None:
    """500 in 2 s instead of 10; a storm begins after 3 messages instead of 20."""
    quiet = Quiet(hours="", holidays=False, storm=3)
    async with watched(tmp_path, quiet=quiet) as desk:
        began, grave, small = time.monotonic(), [], []
        for number in range(ALERTS):
            if number % 80 == 79:
                grave.append(await desk.tell(f"GRAVE {number}", CRITICAL))
            else:
                small.append(await desk.tell(f"SMALL {number}"))
            await asyncio.sleep(max(0.0, began + 2.0 * number / ALERTS - time.monotonic()))
        raised = time.monotonic() - began
        await desk.on_the_phone("more in the app", within=30)
        await desk.until(lambda: not unsent(desk), within=10, what="an empty outbox")
        sent = desk.delivered()
        gaps = [after.at - before.at for before, after in pairwise(sent)]
        print(f"raised in {raised:.1f} s; {len(sent)} messages, {min(gaps):.2f} s apart at least")

        assert min(gaps) >= A_SECOND
        assert names(desk.delivered("GRAVE")) == [alert.name for alert in grave]
        assert len(sent) == len(grave) + quiet.storm + 1
        assert len(desk.watchers.watch.unacknowledged()) == ALERTS  # each is on the page
        states = [state for state, *_ in desk.letters()]
        assert states.count("sent") == len(grave) + quiet.storm
        assert states.count("folded") == ALERTS - len(grave) - quiet.storm


async def test_p01_what_can_never_be_delivered_is_put_aside_and_the_next_one_flows(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path, watching=0) as desk:
        desk.exchange.faults.set("telegram_bad_request", only_markup=False, contains="POISON")
        async with lateness() as late:
            await desk.tell("POISON", CRITICAL)
            good = await desk.tell("GRAVE", CRITICAL)
            told_at = time.monotonic()
            message = await desk.on_the_phone(f"{good.name} · ", within=5)

        # of which a second is the pace of the chat
        assert message.at - told_at <= 1.0 + A_SECOND + 2 * late.worst
        await desk.until(lambda: desk.telegram.parked == 1, within=2)
        ((state, title, _, error), *_) = desk.letters()
        assert (state, title) == ("parked", "POISON")
        assert "Can't parse entities" in error
        assert any(alert.title == "POISON" for alert in desk.watchers.watch.unacknowledged())


async def test_strangers_get_silence_and_old_commands_and_second_presses_do_nothing(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path) as desk:
        dealing = Dealing(desk.vigil)
        await dealing.ready()
        order = await dealing.buy()
        await dealing.becomes(order, OrderStatus.FILLED)
        await desk.on_the_phone("FILLED")
        placed = len(dealing.placed())

        old = await desk.asks("/flatten", age=31.0)
        question = await desk.asks("/flatten")
        await desk.say("/flatten", sender=STRANGER)
        await desk.press(question, "Flatten", sender=STRANGER)
        line = await desk.on_the_phone("A stranger spoke to the bot")
        assert "Too old" in old.text.plain
        assert "FLATTEN 1?" in question.text.plain
        assert f"user {STRANGER}" in line.text
        assert desk.chat(STRANGER) == []
        assert len(dealing.placed()) == placed

        yes = question.keys[0][0].data
        for _ in range(2):
            await desk.press_again(question, yes)
        await desk.on_the_phone("CLOSED 1 of 1", within=10)
        await desk.until(lambda: "already done" in question.notice, within=5)
        await dealing.agrees()

        assert len(dealing.placed()) == placed + 1
        assert dealing.truly_held() == {}
        assert len({m.number for m in desk.delivered("A stranger spoke")}) == 1
