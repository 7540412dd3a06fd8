"""The Alerts page: inbox, ways to a person, who listens, the phone, the delivery log."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from nicegui import ui
from nicegui.testing import User

from dashboard.alert_inbox import PAGE
from tests.dashboard.conftest import serving
from tests.dashboard.fakes import make_desk
from tests.dashboard.hands import drawn, eventually, fire, found, press, text, texts
from tests.dashboard.watched import PIXEL, Watched, alert, letter, morning, watched
from trading.clock import ManualClock
from trading.desk import Desk
from trading.errors import Denied, Retryable
from trading.health import ChannelHealth, Severity
from trading.health_ports import LetterState, Person

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def ends(clock: ManualClock) -> tuple[Desk, Watched]:
    return watched(make_desk(clock))


@pytest.fixture
def watch(ends: tuple[Desk, Watched]) -> Watched:
    return ends[1]


@pytest.fixture
async def user(ends: tuple[Desk, Watched], no_errors: None) -> AsyncIterator[User]:
    async with serving(ends[0]) as user:
        yield user


def inside(user: User, marker: str) -> list[str]:
    """Return all words within each element of this mark, in the order of the screen."""
    return [" ".join(_words(e)) for e in found(user, marker)]


def _words(element: ui.element) -> list[str]:
    own = str(getattr(element, "text", None) or element._text or "")
    below = [w for child in element.default_slot.children for w in _words(child)]
    return [*([own] if own else []), *below]


async def test_the_inbox_has_what_waits_on_top_and_filters(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    watch.watch.raises(alert(clock, "old critical", key="a"))
    watch.watch.raises(alert(clock, "info", key="b", severity=Severity.INFO))
    watch.watch.raises(alert(clock, "acknowledged", key="c"))
    await watch.watch.acknowledge("phone", numbers=[3])
    await user.open("/alerts")
    await eventually(lambda: texts(user, "alert-title") == ["old critical", "acknowledged", "info"])

    press(user, "filter-waiting")
    await eventually(lambda: texts(user, "alert-title") == ["old critical"])
    press(user, "filter-critical")
    await eventually(lambda: len(texts(user, "alert-title")) == 2)
    assert any("acknowledged 11:00:00 by phone" in t for t in texts(user, "alert-told"))


async def test_an_empty_inbox_says_what_will_come(user: User) -> None:
    await user.open("/alerts")

    await user.should_see("Nothing was told yet.", retries=20)
    assert texts(user, "older") == texts(user, "newest") == []
    await eventually(lambda: texts(user, "log-empty") == ["Nothing was sent yet."])


async def test_the_inbox_is_paged(user: User, watch: Watched, clock: ManualClock) -> None:
    for n in range(2 * PAGE + 5):
        severity = Severity.CRITICAL if n % 2 else Severity.INFO
        watch.watch.raises(alert(clock, f"alert {n}", key=f"k{n}", severity=severity))
    await watch.watch.acknowledge("phone")
    await user.open("/alerts")
    await eventually(lambda: len(texts(user, "alert-title")) == PAGE)
    press(user, "older")
    await eventually(lambda: f"alert {PAGE + 4}" in texts(user, "alert-title"))
    press(user, "older")
    await eventually(lambda: len(texts(user, "alert-title")) == 5)
    assert texts(user, "older") == []
    press(user, "newest")
    await eventually(lambda: f"alert {2 * PAGE + 4}" in texts(user, "alert-title"))
    press(user, "filter-critical")
    await eventually(lambda: "alert 5" in texts(user, "alert-title"))
    assert len(texts(user, "alert-title")) == PAGE
    press(user, "older")
    await eventually(lambda: set(texts(user, "alert-title")) == {"alert 1", "alert 3"})


async def test_what_is_new_comes_by_itself_and_nothing_is_read_without_news(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    await user.open("/alerts")
    await eventually(lambda: watch.watch.journal.reads == 2)  # inbox and log
    watch.watch.raises(alert(clock, "filled", key="o", severity=Severity.INFO))

    await eventually(lambda: texts(user, "alert-title") == ["filled"])
    reads = watch.watch.journal.reads
    await watch.watch.mute("storage", 0)
    await drawn(user, "alert-row")
    assert watch.watch.journal.reads == reads


async def test_a_journal_that_cannot_be_read_is_said(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    watch.watch.journal.error = Retryable("the disk is busy")
    await user.open("/alerts")

    await user.should_see("The inbox cannot be read now: the disk is busy", retries=20)
    await eventually(lambda: found(user, "log-trouble") != [])
    watch.watch.journal.error = None
    watch.watch.raises(alert(clock, "back"))
    await eventually(lambda: texts(user, "alert-title") == ["back"])


# ways, rules, people


async def test_each_way_says_how_it_is_and_goes_on(user: User, watch: Watched) -> None:
    await user.open("/alerts")
    assert texts(user, "way-state-0") == ["● good"]
    assert texts(user, "way-reason-1") == ["no server is configured"]

    watch.watch.ways[0] = ChannelHealth("telegram", "down", HOSTILE, queued=4, sent=14)
    await eventually(lambda: texts(user, "way-state-0") == ["✖ down"])

    assert texts(user, "way-reason-0") == [HOSTILE]
    assert texts(user, "way-figures-0") == ["4 waiting · 14 sent"]


async def test_a_test_message_is_sent_and_a_refusal_is_said(user: User, watch: Watched) -> None:
    await user.open("/alerts")
    press(user, "test-message")
    await eventually(lambda: watch.watch.tests == ["page"])
    await user.should_see("A test message is on its way")

    watch.watch.error = Denied("one was sent a moment ago")
    press(user, "test-message")
    await user.should_see("No test message was sent: one was sent a moment ago")


async def test_the_rules_say_what_goes_where_and_that_they_are_only_shown(user: User) -> None:
    await user.open("/alerts")

    assert inside(user, "route warning telegram") == ["with a sound quiet: silent"]
    assert inside(user, "route critical telegram") == ["with a sound"]
    assert inside(user, "route info e-mail") == ["not sent"]
    assert inside(user, "route info telegram")[0].startswith("silent quiet: waits until ")
    assert text(user, "passing") == "Not quiet now: everything passes."
    assert "not changed" in text(user, "routes-note")
    bar = found(user, "quiet-bar")[-1]
    quiet = [e._props["data-quiet"] for e in bar.default_slot.children if "data-quiet" in e._props]
    assert quiet.count("true") == 18
    assert len(quiet) == 48


async def test_a_phone_is_let_in_by_a_code(user: User, watch: Watched, clock: ManualClock) -> None:
    await user.open("/alerts")
    assert text(user, "pairing-state") == "no code is open"
    assert text(user, "nobody") == "Nobody listens on a phone yet."
    press(user, "pair")
    await eventually(lambda: texts(user, "pairing-code") == ["482 913"])
    clock.advance(20)
    await eventually(lambda: texts(user, "pairing-left") == ["ends in 1m 40s"])

    clock.advance(100)
    await eventually(lambda: found(user, "pairing-code") == [])
    assert text(user, "pairing-state") == "nobody sent the code within 2 minutes"
    press(user, "pair")
    await drawn(user, "pairing-code")
    watch.people.known = [Person(1, 2, "watcher", HOSTILE, clock.now())]
    watch.pairing.known, watch.pairing.state = None, f"{HOSTILE} came in as watcher"
    watch.pairing.changes.emit(None)

    assert found(user, "pairing-code") == []
    assert inside(user, "person")[0].startswith(f"{HOSTILE} watcher · since 11:02:00 · user 2")


async def test_a_person_is_removed_in_two_steps(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    watch.people.known = [Person(1, n, "watcher", f"person {n}", clock.now()) for n in (1, 2)]
    await user.open("/alerts")

    fire(user, "remove-person", "click")
    await drawn(user, "remove-sure")
    assert len(watch.people.known) == 2
    press(user, "keep-person")
    await eventually(lambda: found(user, "remove-sure") == [])
    fire(user, "remove-person", "click")
    press(user, "remove-sure")
    await eventually(lambda: [p.user for p in watch.people.known] == [1])
    await eventually(lambda: len(found(user, "person")) == 1)


# the phone


async def test_the_chat_is_shown_as_sent_and_only_as_text(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    watch.phone.hears(f"<b>bold</b> {HOSTILE} <pre>pre &lt;b&gt;</pre>")
    await user.open("/alerts")
    pieces = found(user, "bubble-text")[-1].default_slot.children

    assert inside(user, "bubble-text") == [f"bold  {HOSTILE}  pre <b>"]
    assert [("r-bold" in p.classes, "r-code" in p.classes) for p in pieces] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    assert not any(isinstance(e, ui.html) for e in user.client.elements.values())  # type: ignore[union-attr]


async def test_a_link_leads_to_the_web_or_nowhere(user: User, watch: Watched) -> None:
    watch.phone.hears('<a href="javascript:alert(1)">a</a><a href="https://x.example/?q=1">b</a>')
    await user.open("/alerts")

    links = [e for e in found(user, "bubble-text")[-1].default_slot.children if e.tag == "a"]
    assert [(e._props["href"], e._props["rel"]) for e in links] == [
        ("https://x.example/?q=1", "noreferrer noopener")
    ]


async def test_what_is_typed_and_pressed_goes_to_the_bot(user: User, watch: Watched) -> None:
    watch.phone.hears("Ready?", buttons=((("Yes", "yes 1"), ("No", "no 1")),))
    await user.open("/alerts")

    press(user, "key /status")
    await eventually(lambda: [m.text for m in watch.phone.chat] == ["Ready?", "/status"])
    fire(user, "phone-text", "keydown.enter", " /q nifty ")
    await eventually(lambda: watch.phone.chat[-1].text == "/q nifty")
    press(user, "bubble-button")
    await eventually(lambda: watch.phone.pressed == [(1, "no 1")])
    await eventually(lambda: len(found(user, "bubble")) == 3)


async def test_a_message_that_was_edited_changes_in_its_place(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    watch.phone.hears("sent", buttons=((("Cancel", "c"),),))
    watch.phone.hears("second")
    await user.open("/alerts")
    first = found(user, "bubble")

    watch.phone.chat[0] = replace(watch.phone.chat[0], text="filled", edited=True, buttons=())
    watch.phone.changes.emit(None)

    assert found(user, "bubble") == first
    assert sorted(inside(user, "bubble-text")) == ["filled", "second"]
    assert "edited 11:00:00" in texts(user, "bubble-time")
    assert found(user, "bubble-button") == []


async def test_only_images_are_pictures(user: User, watch: Watched, clock: ManualClock) -> None:
    for picture in (PIXEL, "https://evil.example/x.png", "data:text/html,<script>"):
        message = watch.phone.hears("P&amp;L")
        watch.phone.chat[-1] = replace(message, picture=picture)
    await user.open("/alerts")

    pictures = found(user, "bubble-picture")
    assert [(p._props["src"], p._props["alt"]) for p in pictures] == [(PIXEL, "P&L")]


async def test_without_a_simulated_phone_the_page_says_where_the_chat_is(
    clock: ManualClock, no_errors: None
) -> None:
    desk, _ = watched(make_desk(clock))
    assert desk.watch is not None
    desk = replace(desk, watch=replace(desk.watch, phone=None, routes=None, pairing=None))
    async with serving(desk) as user:
        await user.open("/alerts")

        assert text(user, "no-phone").startswith("The chat is on your own phone")
        assert found(user, "pair") == []
        await user.should_see("Which alerts go where is not known here")


# the delivery log


async def test_the_log_follows_the_letters(user: User, watch: Watched, clock: ManualClock) -> None:
    morning(clock, watch)
    await user.open("/alerts")
    await eventually(lambda: len(found(user, "letter")) == 6)
    told = watch.watch.journal.told[0]
    waits = letter(told, 7, state=LetterState.QUEUED, attempts=1, error=HOSTILE)
    watch.watch.journal.mail[7] = waits
    watch.watch.ways[0] = replace(watch.watch.ways[0], retried=2)
    await eventually(lambda: f"waiting, tried 1 times: {HOSTILE}" in texts(user, "letter-state"))

    sent = replace(waits, state=LetterState.SENT, took_ms=81.0, attempts=2, sent=clock.now())
    watch.watch.journal.mail[7] = sent
    watch.watch.ways[0] = replace(watch.watch.ways[0], sent=15)
    await eventually(lambda: "sent in 81 ms after 2 tries" in texts(user, "letter-state"))


async def test_a_letter_that_is_delivered_while_the_log_is_read_is_not_left_out(
    user: User, watch: Watched, clock: ManualClock
) -> None:
    journal = watch.watch.journal
    await user.open("/alerts")
    await eventually(lambda: found(user, "log-empty"))
    journal.gate = asyncio.Event()
    watch.watch.ways[0] = replace(watch.watch.ways[0], sent=15)
    before = journal.reads
    await eventually(lambda: journal.reads == before + 1)
    told = watch.watch.raises(alert(clock, severity=Severity.INFO))
    journal.mail[1] = letter(told, 1, sent=told.at)
    watch.watch.ways[0] = replace(watch.watch.ways[0], sent=16)
    await eventually(lambda: user_sees_sent(user, 16))

    journal.gate.set()

    await eventually(lambda: len(found(user, "letter")) == 1)


def user_sees_sent(user: User, number: int) -> bool:
    return texts(user, "way-figures-0") == [f"{number} sent"]
