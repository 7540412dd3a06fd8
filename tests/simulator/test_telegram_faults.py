"""What the stand-in of Telegram does wrong when told to, seen through the real library."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from telegram import Bot
from telegram.error import (
    BadRequest,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
    TimedOut,
)

from simulator.server import SimulatedExchange
from simulator.telegram_chat import OWNER, TOKEN
from tests.simulator.test_telegram import ACK, bot_of, html, texts
from tests.simulator.test_telegram import bot as bot
from tests.simulator.test_telegram import exchange as exchange


@pytest.fixture
async def impatient(exchange: SimulatedExchange) -> AsyncIterator[Bot]:
    async with bot_of(exchange, read=0.3) as bot:
        yield bot


@pytest.fixture
async def control(exchange: SimulatedExchange) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=exchange.base_url, trust_env=False) as client:
        yield client


# The library warns of a later version whenever it raises RetryAfter.
@pytest.mark.filterwarnings("ignore:.*retry_after:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "parameters", "error"),
    [
        ("telegram_too_many", {"retry_after": 30}, RetryAfter),
        ("telegram_blocked", {}, Forbidden),
        ("telegram_bad_request", {}, BadRequest),
        ("telegram_revoked", {}, InvalidToken),
        ("telegram_bad_gateway", {}, NetworkError),
        ("telegram_refuse", {}, NetworkError),
        ("telegram_down", {}, NetworkError),
    ],
)
async def test_a_message_fails_and_arrives_once_the_fault_is_cleared(
    bot: Bot,
    exchange: SimulatedExchange,
    name: str,
    parameters: dict[str, int],
    error: type[TelegramError],
) -> None:
    await asyncio.to_thread(exchange.faults.set, name, **parameters)
    with pytest.raises(error) as trouble:
        await html(bot, "lost")
    await asyncio.to_thread(exchange.faults.clear, name)
    await html(bot, "found")

    assert type(trouble.value) is error
    assert texts(exchange) == ["found"]
    if isinstance(trouble.value, RetryAfter):
        assert trouble.value.retry_after == 30


async def test_a_fault_strikes_so_many_times_only(bot: Bot, exchange: SimulatedExchange) -> None:
    exchange.faults.set("telegram_refuse", calls="send", next=2)
    await bot.get_me()
    for _ in range(2):
        with pytest.raises(NetworkError):
            await html(bot, "lost")
    await html(bot, "found")

    assert texts(exchange) == ["found"]
    asked = [(a.method, a.status) for a in exchange.telegram.asked if a.method == "sendMessage"]
    assert asked == [("sendMessage", 0), ("sendMessage", 0), ("sendMessage", 200)]


async def test_a_bad_request_strikes_markup_and_lets_plain_text_through(
    bot: Bot, exchange: SimulatedExchange
) -> None:
    exchange.faults.set("telegram_bad_request", contains="poison")
    await html(bot, "<b>healthy</b>")
    with pytest.raises(BadRequest, match=r"(?i)can't parse entities"):
        await html(bot, "<b>poison</b>")
    await bot.send_message(OWNER, "poison")

    assert texts(exchange) == ["healthy", "poison"]


@pytest.mark.parametrize("delivered", [True, False])
async def test_an_answer_that_hangs_leaves_it_open_whether_the_message_arrived(
    impatient: Bot, exchange: SimulatedExchange, delivered: bool
) -> None:
    exchange.faults.set("telegram_hang", delivered=delivered, next=1)
    with pytest.raises(TimedOut):
        await html(impatient, "perhaps")

    assert texts(exchange) == ["perhaps"] * delivered


async def test_a_slow_telegram_delivers_at_once_and_answers_late(
    bot: Bot, exchange: SimulatedExchange
) -> None:
    exchange.faults.set("telegram_slow", seconds=0.5, calls="send")
    began = time.monotonic()
    await html(bot, "slow")

    assert time.monotonic() - began >= 0.5
    assert exchange.telegram.delivered[0].at - began < 0.4


async def test_another_poller_takes_the_news_and_not_the_sending(
    bot: Bot, exchange: SimulatedExchange
) -> None:
    exchange.faults.set("telegram_other_poller", after=0.1)
    with pytest.raises(Conflict):
        await bot.get_updates(timeout=10)

    await html(bot, "still sent")
    assert texts(exchange) == ["still sent"]


async def test_down_cuts_a_poll_that_waits_already(bot: Bot, exchange: SimulatedExchange) -> None:
    poll = asyncio.create_task(bot.get_updates(timeout=10))
    await asyncio.sleep(0.2)
    began = time.monotonic()
    await asyncio.to_thread(exchange.faults.set, "telegram_down")
    with pytest.raises(NetworkError):
        await poll

    assert time.monotonic() - began < 1


async def test_the_broker_and_the_phone_itself_live_on_while_the_bot_api_is_down(
    control: httpx.AsyncClient,
) -> None:
    down = await control.post("/control/faults", json={"name": "telegram_down"})
    said = await control.post("/control/telegram/say", json={"text": "/status"})
    with pytest.raises(httpx.RemoteProtocolError):
        await control.get(f"/bot{TOKEN}/getMe")
    shown = (await control.get("/control/faults")).json()["data"]

    assert down.status_code == 200
    assert said.status_code == 200
    assert shown == [{"name": "telegram_down", "left": None}]


async def test_the_brokers_faults_do_not_reach_telegram(
    bot: Bot, exchange: SimulatedExchange
) -> None:
    exchange.faults.set("slow", seconds=30)
    exchange.faults.set("refuse_token")
    exchange.faults.set("rest", path="/", status=500)
    await html(bot, "FEED REFUSED")

    assert texts(exchange) == ["FEED REFUSED"]


# --- the control routes


async def test_what_changed_is_told_as_soon_as_it_changes(
    control: httpx.AsyncClient, bot: Bot, exchange: SimulatedExchange
) -> None:
    await html(bot, "first")
    before = (await control.get("/control/telegram")).json()["data"]
    since = {"since": before["version"], "life": before["life"], "wait": 10}
    waiting = asyncio.create_task(control.get("/control/telegram", params=since))
    await asyncio.sleep(0.2)
    began = time.monotonic()
    await html(bot, "second")
    after = (await waiting).json()["data"]

    assert time.monotonic() - began < 1
    assert [message["html"] for message in before["messages"]] == ["first"]
    assert [message["html"] for message in after["messages"]] == ["second"]


async def test_the_truth_has_every_message_and_every_call(
    control: httpx.AsyncClient, impatient: Bot, exchange: SimulatedExchange
) -> None:
    exchange.faults.set("telegram_hang", next=1)
    with pytest.raises(TimedOut):
        await html(impatient, "A17 twice")
    await html(impatient, "A17 twice")
    truth = (await control.get("/control/telegram/truth")).json()["data"]

    assert [(row["number"], row["text"]) for row in truth["delivered"]] == [
        (1, "A17 twice"),
        (2, "A17 twice"),
    ]
    assert [(row["method"], row["status"]) for row in truth["asked"]] == [
        ("getMe", 200),
        ("sendMessage", 0),
        ("sendMessage", 200),
    ]


@pytest.mark.parametrize(
    ("route", "body", "status"),
    [
        ("say", {"text": "x", "who": "nobody"}, 400),
        ("say", {"text": ""}, 400),
        ("press", {"number": 1, "data": "x"}, 404),
        ("press", {"number": "x"}, 400),
    ],
)
async def test_a_wish_that_makes_no_sense_is_refused(
    control: httpx.AsyncClient, route: str, body: dict[str, object], status: int
) -> None:
    answer = await control.post(f"/control/telegram/{route}", json=body)

    assert answer.status_code == status
    assert answer.json()["errors"][0]["message"]


async def test_a_button_that_was_taken_away_may_still_be_pressed_by_anybody_who_saw_it(
    bot: Bot, control: httpx.AsyncClient
) -> None:
    sent = await html(bot, "silent", reply_markup=ACK)
    await bot.edit_message_text("over", chat_id=OWNER, message_id=sent.message_id)
    press = {"number": sent.message_id, "data": "ack A1", "who": "stranger"}
    answer = await control.post("/control/telegram/press", json=press)
    (update,) = await bot.get_updates(timeout=2)

    assert answer.status_code == 200
    assert update.effective_user is not None
    assert update.effective_user.id != OWNER
    assert update.effective_chat is not None
    assert update.effective_chat.id == OWNER


async def test_pages_of_other_sites_cannot_type_on_the_phone(control: httpx.AsyncClient) -> None:
    answer = await control.post(
        "/control/telegram/say",
        json={"text": "/flatten"},
        headers={"Origin": "https://elsewhere.example"},
    )

    assert answer.status_code == 403
