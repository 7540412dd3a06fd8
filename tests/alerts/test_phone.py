"""The phone panel's source: the chat of the stand-in, followed over real HTTP."""

import asyncio
import base64
import io
import time
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import pytest
from PIL import Image

from alerts.phone import SimulatedPhone
from simulator.server import SimulatedExchange
from simulator.telegram_chat import KEPT, OWNER, TOKEN
from tests.simulator.tiny import TinyMarket
from trading.errors import Denied, Retryable
from trading.health_ports import ChatMessage


@pytest.fixture
def exchange() -> Iterator[SimulatedExchange]:
    with SimulatedExchange(TinyMarket()) as running:
        yield running


@pytest.fixture
async def phone(exchange: SimulatedExchange) -> AsyncIterator[SimulatedPhone]:
    phone = SimulatedPhone(exchange.base_url)
    phone.start()
    yield phone
    await phone.stop()


@pytest.fixture
async def bot(exchange: SimulatedExchange) -> AsyncIterator[httpx.AsyncClient]:
    base = f"{exchange.bot_url}{TOKEN}/"
    async with httpx.AsyncClient(base_url=base, trust_env=False) as client:
        yield client


async def sent(bot: httpx.AsyncClient, text: str, **more: object) -> int:
    body = {"chat_id": OWNER, "text": text, "parse_mode": "HTML"} | more
    answer = await bot.post("sendMessage", json=body)
    return int(answer.json()["result"]["message_id"])


async def shown(
    phone: SimulatedPhone, true: Callable[[list[ChatMessage]], object]
) -> list[ChatMessage]:
    """Wait for the phone to show this."""
    until = time.monotonic() + 5
    while not true(messages := list(phone.messages())):
        assert time.monotonic() < until, messages
        await asyncio.sleep(0.005)
    return messages


KEYS = {"inline_keyboard": [[{"text": "Ack", "callback_data": "ack A1"}]]}


async def test_a_message_of_the_bot_is_shown_as_it_was_sent(
    phone: SimulatedPhone, bot: httpx.AsyncClient
) -> None:
    told: list[None] = []
    phone.changes.subscribe(told.append)
    number = await sent(bot, "<b>FEED</b> silent", reply_markup=KEYS, disable_notification=True)
    (message,) = await shown(phone, lambda messages: messages)

    assert (message.number, message.from_bot, message.edited) == (number, True, False)
    assert message.text == "<b>FEED</b> silent"
    assert message.buttons == ((("Ack", "ack A1"),),)
    assert message.silent
    assert told


async def test_news_is_shown_at_once_and_not_at_the_next_look(
    phone: SimulatedPhone, bot: httpx.AsyncClient
) -> None:
    await sent(bot, "first")
    await shown(phone, lambda messages: messages)
    began = time.monotonic()
    await sent(bot, "second")
    await shown(phone, lambda messages: len(messages) == 2)

    assert time.monotonic() - began < 1.0


async def test_an_edit_replaces_the_message_and_a_press_shows_its_answer(
    phone: SimulatedPhone, bot: httpx.AsyncClient
) -> None:
    number = await sent(bot, "silent 30 s", reply_markup=KEYS)
    await shown(phone, lambda messages: messages)
    await phone.press(number, "ack A1")
    (update,) = (await bot.get("getUpdates", params={"timeout": 5})).json()["result"]
    query = update["callback_query"]
    await bot.post("answerCallbackQuery", json={"callback_query_id": query["id"], "text": "Done"})
    await bot.post(
        "editMessageText", json={"chat_id": OWNER, "message_id": number, "text": "back after 47 s"}
    )
    (message,) = await shown(phone, lambda messages: messages[0].edited)

    assert (query["data"], query["from"]["id"]) == ("ack A1", OWNER)
    assert (message.text, message.buttons, message.notice) == ("back after 47 s", (), "Done")


async def test_what_the_owner_types_reaches_the_bot_and_is_shown_without_markup(
    phone: SimulatedPhone, bot: httpx.AsyncClient
) -> None:
    await phone.say("/q <b>nifty</b> & co")
    (update,) = (await bot.get("getUpdates", params={"timeout": 5})).json()["result"]
    (message,) = await shown(phone, lambda messages: messages)

    assert update["message"]["text"] == "/q <b>nifty</b> & co"
    assert (message.from_bot, message.text) == (False, "/q &lt;b&gt;nifty&lt;/b&gt; &amp; co")


async def test_a_picture_is_shown_from_its_own_bytes(
    phone: SimulatedPhone, bot: httpx.AsyncClient
) -> None:
    drawn = io.BytesIO()
    Image.new("RGB", (80, 42)).save(drawn, "PNG")
    form = {"chat_id": str(OWNER), "caption": "P&L"}
    await bot.post("sendPhoto", data=form, files={"photo": ("pnl.png", drawn.getvalue())})
    (message,) = await shown(phone, lambda messages: messages)

    head, _, data = message.picture.partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == drawn.getvalue()
    assert message.text == "P&amp;L"


async def test_a_button_that_a_message_never_had_cannot_be_pressed(
    phone: SimulatedPhone, bot: httpx.AsyncClient
) -> None:
    number = await sent(bot, "no buttons")

    with pytest.raises(Denied, match="has no button"):
        await phone.press(number, "flatten yes")


async def test_a_stranger_does_not_show_in_the_owners_chat(
    phone: SimulatedPhone, bot: httpx.AsyncClient, exchange: SimulatedExchange
) -> None:
    async with httpx.AsyncClient(base_url=exchange.base_url, trust_env=False) as control:
        await control.post("/control/telegram/say", json={"text": "/flatten", "who": "stranger"})
    await phone.say("/status")
    messages = await shown(phone, lambda messages: messages)

    assert [message.text for message in messages] == ["/status"]


async def test_a_restarted_exchange_is_followed_again(
    phone: SimulatedPhone, bot: httpx.AsyncClient, exchange: SimulatedExchange
) -> None:
    await sent(bot, "before")
    await shown(phone, lambda messages: messages)
    port = exchange.port
    await asyncio.to_thread(exchange.stop)
    with pytest.raises(Retryable, match="nothing was sent"):
        await phone.say("/status")
    other = SimulatedExchange(TinyMarket(), port=port)
    await asyncio.to_thread(other.start)
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            body = {"chat_id": OWNER, "text": "after"}
            await client.post(f"{other.bot_url}{TOKEN}/sendMessage", json=body)
        messages = await shown(phone, lambda messages: messages and messages[-1].text == "after")
    finally:
        await asyncio.to_thread(other.stop)

    assert [message.text for message in messages] == ["after"]


async def test_the_chat_is_bounded(phone: SimulatedPhone, exchange: SimulatedExchange) -> None:
    def chatter() -> None:
        exchange.phone(lambda chats: [chats.say(f"{n}") for n in range(KEPT + 50)])

    await asyncio.to_thread(chatter)
    messages = await shown(phone, lambda messages: messages and messages[-1].text == "249")

    assert len(messages) == KEPT
    assert messages[0].text == "50"


def test_a_phone_elsewhere_is_refused() -> None:
    with pytest.raises(ValueError, match="on this machine only"):
        SimulatedPhone("https://api.telegram.org")
