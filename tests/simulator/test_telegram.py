"""The stand-in of the Bot API, as the real python-telegram-bot meets it over real HTTP."""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime

import httpx
import pytest
from PIL import Image
from telegram import (
    Bot,
    BotCommand,
    BotCommandScopeChat,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    ReplyKeyboardMarkup,
    Update,
)
from telegram.error import BadRequest, Conflict, InvalidToken
from telegram.ext import Application, ApplicationBuilder, CallbackQueryHandler, CommandHandler
from telegram.request import HTTPXRequest

from simulator.server import SimulatedExchange
from simulator.telegram_chat import GROUP, OWNER, PICTURES, STRANGER, TOKEN, Chats
from tests.simulator.tiny import TinyMarket

PLAIN = {"trust_env": False, "verify": False}  # no certificates to load: all on loopback
ACK = InlineKeyboardMarkup([[InlineKeyboardButton("Ack", callback_data="ack A1")]])


@pytest.fixture
def exchange() -> Iterator[SimulatedExchange]:
    with SimulatedExchange(TinyMarket()) as running:
        yield running


def request(read: float = 5.0) -> HTTPXRequest:
    return HTTPXRequest(read_timeout=read, httpx_kwargs=PLAIN)


def bot_of(exchange: SimulatedExchange, token: str = TOKEN, *, read: float = 5.0) -> Bot:
    return Bot(
        token,
        base_url=exchange.bot_url,
        request=request(read),
        get_updates_request=request(),
    )


@pytest.fixture
async def bot(exchange: SimulatedExchange) -> AsyncIterator[Bot]:
    async with bot_of(exchange) as bot:
        yield bot


async def phone(exchange: SimulatedExchange, act: Callable[[Chats], object]) -> None:
    await asyncio.to_thread(exchange.phone, act)


async def html(bot: Bot, text: str, **more: object) -> Message:
    return await bot.send_message(OWNER, text, parse_mode="HTML", **more)  # type: ignore[arg-type]


def texts(exchange: SimulatedExchange) -> list[str]:
    return [item.text for item in exchange.telegram.delivered]


# --- sending


async def test_the_library_signs_on_and_says_who_it_is(bot: Bot) -> None:
    assert (bot.id, bot.username, bot.first_name) == (
        7_000_000_001,
        "vigil_simulated_bot",
        "Vigil (simulated)",
    )
    assert await bot.delete_webhook()


async def test_html_arrives_as_text_with_its_styles(bot: Bot, exchange: SimulatedExchange) -> None:
    message = await html(bot, '🟣 <b>SIM</b> M&amp;M <a href="https://upstox.com">open</a>')

    assert message.text == "🟣 SIM M&M open"
    assert [(e.type, e.offset, e.length, e.url) for e in message.entities] == [
        ("bold", 3, 3, None),  # the circle counts twice: UTF-16
        ("text_link", 11, 4, "https://upstox.com"),
    ]
    assert message.parse_entity(message.entities[0]) == "SIM"
    assert texts(exchange) == ["🟣 SIM M&M open"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<b>open", 'can\'t find end tag corresponding to start tag "b"'),
        ("<script>x</script>", 'unsupported start tag "script" at byte offset 0'),
        ("price < 100", "unclosed start tag at byte offset 6"),
        ("<b><i>x</b></i>", 'unmatched end tag at byte offset 7, expected "</i>", found "</b>"'),
        ("x</b>", "unexpected end tag at byte offset 1"),
        ("<br>", 'unsupported start tag "br"'),
    ],
)
async def test_markup_that_telegram_would_not_take_is_refused(
    bot: Bot, exchange: SimulatedExchange, text: str, words: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        await html(bot, text)

    assert "entities" in refused.value.message
    assert words in refused.value.message
    assert texts(exchange) == []


async def test_the_same_text_without_a_parse_mode_is_just_text(bot: Bot) -> None:
    message = await bot.send_message(OWNER, "<b>price < 100")

    assert (message.text, message.entities) == ("<b>price < 100", ())


async def test_a_message_holds_4096_characters_after_its_tags_are_gone(bot: Bot) -> None:
    message = await html(bot, f"<b>{'x' * 4096}</b>")
    with pytest.raises(BadRequest, match="Message is too long"):
        await html(bot, "x" * 4097)
    with pytest.raises(BadRequest, match="Message text is empty"):
        await html(bot, "<b> </b>")

    assert len(message.text or "") == 4096


@pytest.mark.parametrize(
    ("button", "words"),
    [
        (InlineKeyboardButton("x", callback_data="é" * 33), "Button_data_invalid"),
        (InlineKeyboardButton("x", url="http://localhost:8080/status"), "Wrong http url"),
        (InlineKeyboardButton("", callback_data="x"), "non-empty string"),
        (InlineKeyboardButton("x"), "Text buttons are unallowed"),
    ],
)
async def test_a_button_is_checked(bot: Bot, button: InlineKeyboardButton, words: str) -> None:
    with pytest.raises(BadRequest, match=f"(?i){words}"):
        await html(bot, "x", reply_markup=InlineKeyboardMarkup([[button]]))


async def test_an_unknown_chat_is_refused_until_somebody_speaks_in_it(
    bot: Bot, exchange: SimulatedExchange
) -> None:
    with pytest.raises(BadRequest, match="Chat not found"):
        await bot.send_message(STRANGER, "x")
    await phone(exchange, lambda chats: chats.say("/start", sender=STRANGER))

    assert (await bot.send_message(STRANGER, "x")).chat.first_name == "Stranger"


async def test_a_wrong_token_opens_nothing(exchange: SimulatedExchange) -> None:
    for token in (TOKEN.replace("only", "some"), "7000000001"):
        with pytest.raises(InvalidToken):
            await bot_of(exchange, token).initialize()


async def test_messages_keep_their_order_and_their_sound(
    bot: Bot, exchange: SimulatedExchange
) -> None:
    for n in range(20):
        await bot.send_message(OWNER, f"m{n}", disable_notification=n % 2 == 0)

    assert texts(exchange) == [f"m{n}" for n in range(20)]
    assert [item.silent for item in exchange.telegram.delivered] == [True, False] * 10
    assert [item.number for item in exchange.telegram.delivered] == list(range(1, 21))


@pytest.mark.parametrize("how", ["get", "form", "json", "parts"])
async def test_a_call_may_come_in_any_of_the_documented_ways(
    exchange: SimulatedExchange, how: str
) -> None:
    url, fields = f"{exchange.bot_url}{TOKEN}/SENDMESSAGE", {"chat_id": str(OWNER), "text": "x"}
    async with httpx.AsyncClient(trust_env=False) as client:
        match how:
            case "get":
                answer = await client.get(url, params=fields)
            case "form":
                answer = await client.post(url, data=fields)
            case "json":
                answer = await client.post(url, json={"chat_id": OWNER, "text": "x"})
            case _:
                parts = {name: (None, value) for name, value in fields.items()}
                answer = await client.post(url, files=parts)

    assert answer.json()["ok"] is True
    assert texts(exchange) == ["x"]


async def test_a_method_that_does_not_exist_is_not_found(exchange: SimulatedExchange) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{exchange.bot_url}{TOKEN}/sendSticker")
        other = await client.post(f"{exchange.bot_url}{TOKEN}/sendMessage", content=b"[1]",
                                  headers={"Content-Type": "application/json"})  # fmt: skip

    assert answer.json() == {"ok": False, "error_code": 404, "description": "Not Found"}
    assert (answer.status_code, other.status_code) == (404, 400)


# --- changing what was sent


async def test_a_message_is_edited_and_an_edit_that_changes_nothing_is_refused(
    bot: Bot, exchange: SimulatedExchange
) -> None:
    sent = await html(bot, "<b>down</b>", reply_markup=ACK)
    same = {"text": "<b>down</b>", "parse_mode": "HTML", "reply_markup": ACK}
    with pytest.raises(BadRequest, match="Message is not modified"):
        await bot.edit_message_text(chat_id=OWNER, message_id=sent.message_id, **same)  # type: ignore[arg-type]
    edited = await bot.edit_message_text("back", chat_id=OWNER, message_id=sent.message_id)
    assert isinstance(edited, Message)
    with pytest.raises(BadRequest, match="Message to edit not found"):
        await bot.edit_message_text("x", chat_id=OWNER, message_id=99)
    said = exchange.telegram.delivered

    assert (edited.text, edited.reply_markup) == ("back", None)
    assert edited.edit_date is not None
    assert [(item.what, item.number, item.text) for item in said] == [
        ("sendMessage", 1, "down"),
        ("editMessageText", 1, "back"),
    ]


async def test_the_buttons_alone_can_be_taken_away(bot: Bot) -> None:
    sent = await html(bot, "silent", reply_markup=ACK)
    edited = await bot.edit_message_reply_markup(chat_id=OWNER, message_id=sent.message_id)
    with pytest.raises(BadRequest, match="not modified"):
        await bot.edit_message_reply_markup(chat_id=OWNER, message_id=sent.message_id)

    assert isinstance(edited, Message)
    assert (edited.text, edited.reply_markup) == ("silent", None)


def png(width: int = 80, height: int = 42) -> bytes:
    drawn = io.BytesIO()
    Image.new("RGB", (width, height)).save(drawn, "PNG")
    return drawn.getvalue()


async def test_a_picture_with_its_caption_arrives_and_is_kept(
    bot: Bot, exchange: SimulatedExchange
) -> None:
    sent = await bot.send_photo(OWNER, png(), caption="<b>P&amp;L</b>", parse_mode="HTML")

    picture = exchange.telegram.picture(sent.photo[0].file_id)

    assert (sent.caption, sent.photo[0].width, sent.photo[0].height) == ("P&L", 80, 42)
    assert picture is not None
    assert picture.data == png()
    assert texts(exchange) == ["P&L"]


async def test_what_is_no_picture_or_has_too_long_a_caption_is_refused(bot: Bot) -> None:
    with pytest.raises(BadRequest, match=r"(?i)image_process_failed"):
        await bot.send_photo(OWNER, b"GIF89a" + bytes(100))
    with pytest.raises(BadRequest, match=r"(?i)invalid_dimensions"):
        await bot.send_photo(OWNER, png(9_990, 20))
    with pytest.raises(BadRequest, match="caption is too long"):
        await bot.send_photo(OWNER, png(), caption="x" * 1025)


async def test_only_the_last_pictures_are_kept(bot: Bot, exchange: SimulatedExchange) -> None:
    sent = [await bot.send_photo(OWNER, png()) for _ in range(PICTURES + 1)]
    kept = [exchange.telegram.picture(message.photo[0].file_id) for message in sent]

    assert [picture is not None for picture in kept] == [False] + [True] * PICTURES


# --- hearing


async def test_a_long_poll_is_answered_as_soon_as_somebody_speaks(
    bot: Bot, exchange: SimulatedExchange
) -> None:
    poll = asyncio.create_task(bot.get_updates(timeout=10))
    await asyncio.sleep(0.2)
    began = time.monotonic()
    await phone(exchange, lambda chats: chats.say("/status now"))
    (update,) = await poll

    assert time.monotonic() - began < 1.0
    assert update.message is not None
    assert update.message.text == "/status now"
    assert update.effective_user is not None
    assert (update.effective_user.id, update.message.chat_id) == (OWNER, OWNER)
    assert update.message.parse_entity(update.message.entities[0]) == "/status"
    assert abs((datetime.now(UTC) - update.message.date).total_seconds()) < 5


async def test_a_poll_without_news_ends_after_its_timeout(bot: Bot) -> None:
    began = time.monotonic()
    assert await bot.get_updates(timeout=1) == ()
    assert 0.9 < time.monotonic() - began < 4


async def test_updates_come_again_until_their_offset_is_passed(
    bot: Bot, exchange: SimulatedExchange
) -> None:
    await phone(exchange, lambda chats: [chats.say(f"/{n}") for n in "abc"])
    first = await bot.get_updates()
    again = await bot.get_updates(offset=first[1].update_id)
    last = await bot.get_updates(offset=-1)
    none = await bot.get_updates(offset=last[0].update_id + 1)

    assert [update.message.text for update in first if update.message] == ["/a", "/b", "/c"]
    assert [update.update_id for update in again] == [update.update_id for update in first[1:]]
    assert last == first[2:]
    assert none == ()


async def test_waiting_updates_can_be_dropped_at_the_start(
    bot: Bot, exchange: SimulatedExchange
) -> None:
    await phone(exchange, lambda chats: chats.say("/flatten"))
    await bot.delete_webhook(drop_pending_updates=True)

    assert await bot.get_updates() == ()


async def test_a_second_poller_ends_the_poll_of_the_first(
    bot: Bot, exchange: SimulatedExchange
) -> None:
    first = asyncio.create_task(bot.get_updates(timeout=10))
    await asyncio.sleep(0.2)
    async with bot_of(exchange) as other:
        second = asyncio.create_task(other.get_updates(timeout=10))
        with pytest.raises(Conflict, match="only one bot instance"):
            await first
        await phone(exchange, lambda chats: chats.say("/status"))

        assert len(await second) == 1


async def test_a_press_comes_with_its_message_and_is_answered_once(
    bot: Bot, exchange: SimulatedExchange
) -> None:
    sent = await html(bot, "silent", reply_markup=ACK)
    await phone(exchange, lambda chats: chats.press(sent.message_id, "ack A1"))
    (update,) = await bot.get_updates()
    query = update.callback_query
    assert query is not None
    await query.answer("Acknowledged")
    with pytest.raises(BadRequest, match=r"(?i)query is too old"):
        await query.answer("Acknowledged")

    assert (query.data, query.from_user.id) == ("ack A1", OWNER)
    assert query.message is not None
    assert query.message.message_id == sent.message_id
    assert exchange.telegram.chats[OWNER].messages[sent.message_id].notice == "Acknowledged"


@pytest.mark.parametrize("who", ["stranger", "group", "forwarded", "old"])
async def test_people_who_are_not_the_owner_look_like_who_they_are(
    bot: Bot, exchange: SimulatedExchange, who: str
) -> None:
    how = {
        "stranger": {"sender": STRANGER},
        "group": {"chat": GROUP},
        "forwarded": {"forwarded": True},
        "old": {"age": 90.0},
    }[who]
    await phone(exchange, lambda chats: chats.say("/flatten", **how))  # type: ignore[arg-type]
    (update,) = await bot.get_updates()
    message = update.message
    assert message is not None
    assert message.from_user is not None
    age = (datetime.now(UTC) - message.date).total_seconds()

    assert message.from_user.id == (STRANGER if who == "stranger" else OWNER)
    assert message.chat.type == ("supergroup" if who == "group" else "private")
    assert (message.forward_origin is not None) == (who == "forwarded")
    assert (age > 80) == (who == "old")


async def test_the_menu_is_kept_for_each_scope(bot: Bot, exchange: SimulatedExchange) -> None:
    owner = BotCommandScopeChat(OWNER)
    await bot.set_my_commands([BotCommand("status", "How it stands")], scope=owner)
    with pytest.raises(BadRequest, match=r"(?i)bot_command_invalid"):
        await bot.set_my_commands([BotCommand("Status!", "x")])
    await bot.set_my_commands([BotCommand("help", "What there is")])

    assert exchange.telegram.menu == {
        f"chat {OWNER}": (("status", "How it stands"),),
        "default": (("help", "What there is"),),
    }


async def test_a_keyboard_is_taken(bot: Bot, exchange: SimulatedExchange) -> None:
    keyboard = ReplyKeyboardMarkup([["/status", "/pos"], ["/help"]])
    await bot.send_message(OWNER, "x", reply_markup=keyboard)

    assert exchange.telegram.chats[OWNER].keyboard == (("/status", "/pos"), ("/help",))


async def test_a_whole_application_answers_commands_and_presses(
    exchange: SimulatedExchange,
) -> None:
    """As the desk builds it: no updater, no job queue, updates fetched by hand."""
    application: Application = (  # type: ignore[type-arg]
        ApplicationBuilder()
        .token(TOKEN)
        .base_url(exchange.bot_url)
        .request(request())
        .get_updates_request(request())
        .updater(None)
        .job_queue(None)
        .build()
    )

    async def status(update: Update, _: object) -> None:
        assert update.message is not None
        await update.message.reply_html("<b>all well</b>", reply_markup=ACK)

    async def pressed(update: Update, _: object) -> None:
        assert update.callback_query is not None
        await update.callback_query.answer("ok")
        await update.callback_query.edit_message_text("acknowledged")

    application.add_handler(CommandHandler("status", status))
    application.add_handler(CallbackQueryHandler(pressed))

    async def round_trip(act: Callable[[Chats], object]) -> None:
        await phone(exchange, act)
        updates = await application.bot.get_updates(timeout=5)
        for update in updates:
            await application.process_update(update)
        await application.bot.get_updates(offset=updates[-1].update_id + 1)

    async with application:
        await round_trip(lambda chats: chats.say("/status"))
        await round_trip(lambda chats: chats.press(2, "ack A1"))

    assert texts(exchange) == ["all well", "acknowledged"]


async def test_the_exchange_stops_at_once_though_the_bot_waits_for_news(
    bot: Bot, exchange: SimulatedExchange
) -> None:
    poll: Awaitable[object] = asyncio.ensure_future(bot.get_updates(timeout=10))
    await asyncio.sleep(0.2)
    began = time.monotonic()
    await asyncio.to_thread(exchange.stop)

    assert time.monotonic() - began < 2.5
    assert await poll == ()
