"""Sends answers: HTML, else plain words; a reply that does not get through is logged, not kept."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from telegram import InlineKeyboardMarkup, ReplyKeyboardMarkup
from telegram.constants import ParseMode
from telegram.error import BadRequest as BadRequestError
from telegram.error import TelegramError

from alerts import words
from alerts.bot.answer import Answer
from alerts.bot.keys import keyboard
from alerts.bot.markup import CAPTION, Block, Table, caption, messages
from alerts.bot.wire import UNCHANGED, Wire, in_our_words
from trading.desk import World
from trading.errors import RateLimited, VigilError

log = logging.getLogger(__name__)

NOTICE: Final = 190  # characters of what shows over the chat for a moment
LONGEST_WAIT: Final = 10.0  # seconds that an answer is held back for Telegram's limit
KEYS: Final = (("/status", "/pos", "/pnl"), ("/orders", "/health", "/check"), ("/ack", "/help"))


class Replies:
    """Writes to chats; every message begins with whose world it is about."""

    def __init__(
        self, wire: Wire, world: World, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._api = wire.api
        self._glyph = words.glyph(world.word, is_mock=world.is_mock)
        self._sleep = sleep

    async def send(self, chat: int, answer: Answer) -> None:
        if answer.picture is not None and await self._picture(chat, answer):
            return
        parts = messages(self._title(answer), answer.blocks)
        plain = messages(self._title(answer), answer.blocks, markup=False)
        try:
            await self._parts(chat, parts, answer, ParseMode.HTML)
        except BadRequestError:
            await self._quietly(self._parts(chat, plain, answer, None))
        except TelegramError as error:
            _log(error)

    async def edit(self, chat: int, number: int, answer: Answer) -> bool:
        """Put an answer in the place of a message; return whether it stands there now."""
        parts = messages(self._title(answer), answer.blocks)
        try:
            await self._patiently(
                lambda: self._api.edit_message_text(
                    parts[0],
                    chat_id=chat,
                    message_id=number,
                    parse_mode=ParseMode.HTML,
                    reply_markup=keyboard(answer.buttons),
                )
            )
        except TelegramError as error:
            if UNCHANGED in str(error):
                return True
            _log(error)
            return False
        for part in parts[1:]:
            await self._quietly(self._api.send_message(chat, part, parse_mode=ParseMode.HTML))
        return True

    async def notice(self, press: str, said: str) -> None:
        """Answer a press in a line that passes; Telegram waits for it, also for an empty one."""
        await self._quietly(self._api.answer_callback_query(press, text=said[:NOTICE] or None))

    async def notice_of(self, press: str, answer: Answer) -> None:
        lines = [line for block in answer.blocks for line in block.lines]
        await self.notice(press, ". ".join([answer.title, *lines]))

    def _title(self, answer: Answer) -> str:
        return f"{self._glyph} {answer.title}"

    async def _picture(self, chat: int, answer: Answer) -> bool:
        """Return whether the answer went out below its picture; without one it goes alone."""
        try:
            png = await answer.picture() if answer.picture else b""
        except (VigilError, OSError) as error:
            log.warning("a picture was not drawn: %s", error)
            return False
        lines = _lines(answer.blocks)
        below = caption(self._title(answer), lines)
        fits = len(below) <= CAPTION and below.count("\n") == len(lines)
        try:
            await self._patiently(
                lambda: self._api.send_photo(
                    chat,
                    png,
                    caption=below if fits else caption(self._title(answer), ()),
                    parse_mode=ParseMode.HTML,
                    reply_markup=keyboard(answer.buttons) if fits else None,
                )
            )
        except TelegramError as error:
            _log(error)
            return False
        return fits

    async def _parts(
        self, chat: int, parts: Sequence[str], answer: Answer, mode: ParseMode | None
    ) -> None:
        for number, part in enumerate(parts, 1):
            marks = _below(answer) if number == len(parts) else None
            await self._patiently(
                lambda part=part, marks=marks: self._api.send_message(  # type: ignore[misc]
                    chat, part, parse_mode=mode, reply_markup=marks
                )
            )

    async def _patiently(self, call: Callable[[], Awaitable[Any]]) -> None:
        """Do it, once more after Telegram has asked to wait a little."""
        try:
            await call()
        except TelegramError as error:
            told = in_our_words(error)
            if not isinstance(told, RateLimited) or told.retry_after > LONGEST_WAIT:
                raise
            await self._sleep(told.retry_after)
            await call()

    async def _quietly(self, call: Awaitable[Any]) -> None:
        try:
            await call
        except TelegramError as error:
            _log(error)


def _below(answer: Answer) -> InlineKeyboardMarkup | ReplyKeyboardMarkup | None:
    if answer.keyboard:
        return ReplyKeyboardMarkup(KEYS, resize_keyboard=True, is_persistent=True)
    return keyboard(answer.buttons)


def _lines(blocks: Sequence[Block]) -> list[str]:
    """Return the lines that may stand below a picture; tables need a message of their own."""
    return [line for block in blocks for line in block.lines] if not _tables(blocks) else [""] * 99


def _tables(blocks: Sequence[Block]) -> bool:
    return any(isinstance(block, Table) for block in blocks)


def _log(error: TelegramError) -> None:
    log.warning("an answer to the phone was lost: %s", in_our_words(error))
