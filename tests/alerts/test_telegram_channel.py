"""Alerts on their way to a phone: over the real library, to a stand-in that checks its markup."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from alerts.bot.keys import keyboard
from alerts.bot.wire import connect
from alerts.channels.telegram import (
    TelegramChannel,
    TelegramWay,
    buttons_of,
    create,
    in_rows,
    read_reference,
    reference,
)
from simulator.server import SimulatedExchange
from simulator.telegram_chat import OWNER, STRANGER, TOKEN, Message
from tests.alerts.bot_rig import person
from tests.simulator.tiny import TinyMarket
from trading.errors import BadRequest, CannotStart, RateLimited, Refused, Retryable, Unanswered
from trading.health import Alert, Button, Component, Occasion, Severity
from trading.health_ports import Letter, LetterState, Person

AT = datetime(2025, 11, 26, 8, 31, 28, tzinfo=UTC)
BUTTONS = (Button("Ack", "ack A17"), Button("Mute 1h", "mute 1h no_prices"))


@pytest.fixture
def exchange() -> Iterator[SimulatedExchange]:
    with SimulatedExchange(TinyMarket()) as running:
        yield running


@asynccontextmanager
async def channel_of(
    exchange: SimulatedExchange, people: Sequence[Person] = (person(),), token: str = TOKEN
) -> AsyncIterator[TelegramChannel]:
    wire = connect(token, exchange.base_url)
    made = create(TelegramWay(wire, lambda: people))
    assert made is not None
    try:
        yield made
    finally:
        await wire.close()


def letter(number: int = 1, *, edits: str = "", silent: bool = False, **changes: Any) -> Letter:
    alert = Alert(
        "no_prices", Component.MARKET_FEED, Occasion.BEGIN, Severity.CRITICAL, AT,
        "⚠️ MARKET FEED SILENT 30 s (3 positions open)",
        ("Last tick 14:01:28", "Nothing to do: it is being reconnected"),
        "/status", "SIMULATED", True, buttons=BUTTONS, id=17,
    )  # fmt: skip
    return Letter(
        number, "telegram", replace(alert, **changes), AT, silent, LetterState.SENDING, edits=edits
    )


def chat(exchange: SimulatedExchange, of: int = OWNER) -> list[Message]:
    known = exchange.telegram.chats.get(of)
    return [m for m in known.messages.values() if m.sender.is_bot] if known else []


async def test_an_alert_arrives_with_its_world_its_number_and_its_buttons(
    exchange: SimulatedExchange,
) -> None:
    async with channel_of(exchange) as channel:
        told = await channel.send(letter(silent=True))

    (message,) = chat(exchange)
    assert message.text.plain == (
        "🟣 SIM ⚠️ MARKET FEED SILENT 30 s (3 positions open)\n"
        "Last tick 14:01:28\n"
        "Nothing to do: it is being reconnected\n"
        "A17 · 14:01:28 IST"
    )
    assert message.text.entities[0].kind == "bold"
    assert [(key.words, key.data) for row in message.keys for key in row] == [
        ("Ack", "ack A17"),
        ("Mute 1h", "mute 1h no_prices"),
    ]
    assert message.silent
    assert told == f"{OWNER}:{message.number}"


async def test_the_end_changes_the_message_of_the_beginning(exchange: SimulatedExchange) -> None:
    async with channel_of(exchange) as channel:
        told = await channel.send(letter())
        ended = letter(
            2, edits=told, occasion=Occasion.END, title="✅ BACK after 47 s", buttons=(), id=18
        )
        again = await channel.send(ended)
        same = await channel.send(replace(ended, number=3))  # not modified is no failure

    (message,) = chat(exchange)
    assert message.text.plain.startswith("🟣 SIM ✅ BACK after 47 s\n")
    assert message.edited
    assert message.keys == ()
    assert told == again == same


async def test_what_cannot_be_changed_any_more_is_sent_anew(exchange: SimulatedExchange) -> None:
    async with channel_of(exchange) as channel:
        told = await channel.send(letter(edits=f"{OWNER}:999"))

    assert told == f"{OWNER}:{chat(exchange)[0].number}"


@pytest.mark.parametrize(
    "text",
    ["<b>", "M&M", "a_b*c[d](e)`", "&lt;b&gt;", "</pre><script>", "x\ny\u202eevil", "1 < 2 > 0 &"],
)
async def test_nothing_in_the_data_breaks_the_markup(
    exchange: SimulatedExchange, text: str
) -> None:
    async with channel_of(exchange) as channel:
        await channel.send(letter(title=text, lines=(text,)))

    (message,) = chat(exchange)
    shown = text.replace("\n", " ").replace("\u202e", " ")
    assert message.text.plain.split("\n") == [f"🟣 SIM {shown}", shown, "A17 · 14:01:28 IST"]
    assert {e.kind for e in message.text.entities} == {"bold"}


async def test_a_long_alert_is_split_at_its_lines(exchange: SimulatedExchange) -> None:
    lines = tuple(f"{n} {'M&M <' * 20}" for n in range(100))
    async with channel_of(exchange) as channel:
        told = await channel.send(letter(lines=lines))

    parts = chat(exchange)
    assert len(parts) > 2
    assert all(len(part.text.plain) <= 4_096 for part in parts)
    joined = "\n".join(part.text.plain for part in parts)
    assert all(line.strip() in joined for line in lines)
    assert [bool(part.keys) for part in parts] == [False] * (len(parts) - 1) + [True]
    assert read_reference(told)[OWNER] == tuple(part.number for part in parts)


async def test_one_line_of_five_thousand_characters_arrives(exchange: SimulatedExchange) -> None:
    async with channel_of(exchange) as channel:
        await channel.send(letter(lines=("&" * 5_000,)))

    assert sum(part.text.plain.count("&") for part in chat(exchange)) == 5_000


async def test_markup_that_telegram_refuses_goes_as_plain_words(
    exchange: SimulatedExchange,
) -> None:
    exchange.faults.set("telegram_bad_request")
    async with channel_of(exchange) as channel:
        await channel.send(letter())

    (message,) = chat(exchange)
    assert message.text.entities == ()
    assert "MARKET FEED SILENT" in message.text.plain
    assert message.keys


async def test_what_telegram_refuses_in_any_form_can_never_be_delivered(
    exchange: SimulatedExchange,
) -> None:
    exchange.faults.set("telegram_bad_request", only_markup=False)
    async with channel_of(exchange) as channel:
        with pytest.raises(BadRequest, match="parse entities"):
            await channel.send(letter())


async def test_what_telegram_asks_to_wait_for_is_said(exchange: SimulatedExchange) -> None:
    exchange.faults.set("telegram_too_many", retry_after=30)
    async with channel_of(exchange) as channel:
        with pytest.raises(RateLimited) as limited:
            await channel.send(letter())
    assert limited.value.retry_after == 30


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("telegram_blocked", Refused),
        ("telegram_revoked", Refused),
        ("telegram_bad_gateway", Retryable),
        ("telegram_refuse", Unanswered),  # the connection broke: it may have arrived
    ],
)
async def test_each_refusal_is_of_its_kind(
    exchange: SimulatedExchange, fault: str, error: type[Exception]
) -> None:
    exchange.faults.set(fault)
    async with channel_of(exchange) as channel:
        with pytest.raises(error):
            await channel.send(letter())
        exchange.faults.clear()
        await channel.send(letter())
    assert len(chat(exchange)) == 1


async def test_a_server_that_is_not_there_has_certainly_not_got_it() -> None:
    wire = connect(TOKEN, "http://127.0.0.1:1")
    channel = TelegramChannel(wire, lambda: [person()])
    with pytest.raises(Retryable, match="cannot be reached"):
        await channel.send(letter())
    await wire.close()


async def test_two_chats_get_it_once_each_whatever_happens_to_one(
    exchange: SimulatedExchange,
) -> None:
    """The second attempt is for the one that failed; nobody is told twice."""
    people = [person(), person("watcher", STRANGER)]
    exchange.telegram.say("hello", sender=STRANGER)
    async with channel_of(exchange, people) as channel:
        exchange.faults.set("telegram_too_many", next=1)
        with pytest.raises(RateLimited):
            await channel.send(letter())
        exchange.faults.clear()
        exchange.faults.set("telegram_bad_gateway", calls="send", next=1)
        with pytest.raises(Retryable):
            await channel.send(letter())
        told = await channel.send(letter())

    assert [len(chat(exchange, of)) for of in (OWNER, STRANGER)] == [1, 1]
    assert set(read_reference(told)) == {OWNER, STRANGER}
    assert chat(exchange)[0].keys
    assert chat(exchange, STRANGER)[0].keys == ()  # a watcher has nothing to press


async def test_somebody_who_left_does_not_keep_it_from_the_others(
    exchange: SimulatedExchange,
) -> None:
    people = [person(user=4_004), person()]  # the chat of the first is unknown to Telegram
    async with channel_of(exchange, people) as channel:
        told = await channel.send(letter())

    assert set(read_reference(told)) == {OWNER}


async def test_without_anybody_to_tell_it_says_what_to_do(exchange: SimulatedExchange) -> None:
    async with channel_of(exchange, ()) as channel:
        with pytest.raises(Refused, match="nobody has paired a phone yet"):
            await channel.send(letter())


async def test_what_arrived_and_hung_is_unanswered(exchange: SimulatedExchange) -> None:
    wire = connect(TOKEN, exchange.base_url, patience=0.3)
    channel = TelegramChannel(wire, lambda: [person()])
    exchange.faults.set("telegram_hang", next=1)
    with pytest.raises(Unanswered, match="did not answer"):
        await channel.send(letter())
    assert len(chat(exchange)) == 1
    await channel.send(letter())
    assert len(chat(exchange)) == 2  # it may come twice, with one number
    assert {m.text.plain.split("\n")[-1] for m in chat(exchange)} == {"A17 · 14:01:28 IST"}
    await wire.close()


async def test_an_outage_does_not_use_up_the_second_attempt_of_what_may_have_arrived(
    exchange: SimulatedExchange,
) -> None:
    """Two broken connections were enough to give up an alert, however long the outage."""
    async with channel_of(exchange) as channel:
        exchange.faults.set("telegram_refuse")
        with pytest.raises(Unanswered):
            await channel.send(letter())
        for _ in range(3):
            with pytest.raises(Retryable, match="did not answer"):
                await channel.send(letter())
        exchange.faults.clear()
        await channel.send(letter())
    assert len(chat(exchange)) == 1


@pytest.mark.parametrize(
    ("changes", "buttons"),
    [
        ({"buttons": ()}, ["ack A17", "mute 1h no_prices"]),
        ({"buttons": (), "severity": Severity.INFO}, []),
        ({"buttons": (), "occasion": Occasion.END}, []),
        ({"buttons": (), "kind": "order"}, ["orders", "pos"]),
        ({"buttons": (), "key": "k" * 80}, ["ack A17"]),  # what a button cannot carry is left out
    ],
)
def test_what_may_be_pressed_below_an_alert(changes: dict[str, Any], buttons: list[str]) -> None:
    made = keyboard(in_rows(buttons_of(letter(**changes).alert)))

    found = [key.callback_data for row in made.inline_keyboard for key in row] if made else []
    assert found == buttons


def test_without_a_way_there_is_no_channel() -> None:
    assert create(TelegramWay(None, list)) is None


def test_a_token_is_never_told_in_the_clear() -> None:
    with pytest.raises(CannotStart, match="not https"):
        connect(TOKEN, "http://api.telegram.org")


def test_references_come_back_as_they_were() -> None:
    sent = {OWNER: [17], -100200300: [18, 19]}

    assert reference(sent) == "1001:17 -100200300:18+19"
    assert read_reference(reference(sent)) == {OWNER: (17,), -100200300: (18, 19)}
    assert read_reference("") == {}
