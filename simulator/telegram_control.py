"""Control routes of the simulated Telegram: what the owner's phone shows, and what is typed on it.

`GET /control/telegram`           what changed after version `since` of this `life`, waiting for it
                                  up to `wait` seconds
`GET /control/telegram/pictures`  the picture of a message, by its `id`
`GET /control/telegram/truth`     the last 1,000 messages delivered, and calls of the Bot API
`POST /control/telegram/say`      text, who ("owner", "stranger"), group, forwarded, age (seconds)
`POST /control/telegram/press`    number and data of a button, who
"""

import asyncio
from typing import Final, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from simulator.control import Wish, wish
from simulator.envelope import BrokerError, Json, answer, success
from simulator.telegram_chat import GROUP, OWNER, STRANGER, Chat, Chats, Message
from simulator.telegram_markup import BotError

WHO: Final = {"owner": OWNER, "stranger": STRANGER}
LONGEST: Final = 30.0  # seconds that a request waits for news


class Say(Wish):
    """A text typed on a phone: in the private chat with the bot, or in a group."""

    text: str = Field(..., min_length=1, max_length=10_000)
    who: Literal["owner", "stranger"] = "owner"
    group: bool = False
    forwarded: bool = False
    age: float = Field(0.0, ge=0, le=10 * 86_400)  # seconds ago, by Telegram's stamp


class Press(Wish):
    number: int
    data: str
    who: Literal["owner", "stranger"] = "owner"


def telegram_control_routes(chats: Chats, closing: asyncio.Event) -> APIRouter:
    routes = APIRouter(prefix="/control/telegram")

    @routes.get("")
    async def show(
        since: int = 0, life: str = "", chat: int = OWNER, wait: float = 0.0
    ) -> Response:
        if life == chats.life and since == chats.version:
            await _news(chats, closing, min(LONGEST, wait))
        return answer(success(chat_row(chats, chat, since if life == chats.life else 0)))

    @routes.get("/pictures")
    async def picture(id: str) -> Response:
        found = chats.picture(id)
        if found is None:
            raise BrokerError(404, message="this picture is not kept any more")
        return Response(found.data, media_type=f"image/{found.kind}")

    @routes.get("/truth")
    async def truth() -> Response:
        return answer(success(truth_row(chats)))

    @routes.post("/say")
    async def say(request: Request) -> Response:
        asked = await wish(request, Say)
        message = chats.say(
            asked.text,
            sender=WHO[asked.who],
            chat=GROUP if asked.group else None,
            age=asked.age,
            forwarded=asked.forwarded,
        )
        return answer(success({"number": message.number, "chat": message.chat}))

    @routes.post("/press")
    async def press(request: Request) -> Response:
        asked = await wish(request, Press)
        try:
            chats.press(asked.number, asked.data, sender=WHO[asked.who])
        except BotError as trouble:
            raise BrokerError(404, message=trouble.words) from None
        return answer(success({"number": asked.number}))

    return routes


async def _news(chats: Chats, closing: asyncio.Event, seconds: float) -> None:
    if seconds <= 0:
        return
    news, shut = chats.news(), asyncio.ensure_future(closing.wait())
    await asyncio.wait((news, shut), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    news.cancel()
    shut.cancel()


def chat_row(chats: Chats, number: int, since: int) -> Json:
    """Return a chat as a phone shows it; of its messages those that changed after `since`."""
    chat = chats.chats.get(number) or Chat(number)
    return {
        "life": chats.life,
        "version": chats.version,
        "first": next(iter(chat.messages), 0),  # older ones are forgotten
        "keyboard": chat.keyboard,
        "messages": [_message_row(message) for message in chats.touched(number, since)],
    }


def _message_row(message: Message) -> Json:
    picture = message.picture
    return {
        "number": message.number,
        "from_bot": message.sender.is_bot,
        "sender": message.sender.name,
        "html": message.text.html,
        "at": message.at.isoformat(),
        "buttons": [
            [{"words": key.words, "data": key.data, "url": key.url} for key in row]
            for row in message.keys
        ],
        "edited": message.edited is not None,
        "silent": message.silent,
        "notice": message.notice,
        "picture": picture.id if picture is not None and picture.data else "",
    }


def truth_row(chats: Chats) -> Json:
    delivered = tuple(chats.delivered)[-1000:]
    asked = tuple(chats.asked)[-1000:]
    return {
        "delivered": [item._asdict() | {"moment": item.moment.isoformat()} for item in delivered],
        "asked": [item._asdict() for item in asked],
    }
