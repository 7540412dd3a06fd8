"""The library's client of the Bot API, made so that it neither leaks nor waits for the network."""

import asyncio
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from telegram import Bot as Api
from telegram.error import (
    BadRequest as BadRequestError,
)
from telegram.error import (
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    TelegramError,
    TimedOut,
)
from telegram.request import HTTPXRequest

from trading.errors import (
    BadRequest,
    CannotStart,
    RateLimited,
    Refused,
    Retryable,
    Unanswered,
    VigilError,
)

log = logging.getLogger(__name__)

ALOUD: Final = 5.0  # seconds that the watchdog's message may take
LONGEST: Final = 240  # characters of a foreign error that are told on
UNTOLD: Final = 5.0  # seconds, after a 429 that does not say
LONG_POLL: Final = 15.0  # seconds
UNSPOKEN: Final = "chat not found"  # to a chat that never said anything to the bot
UNCHANGED: Final = "not modified"  # an edit to what the message says already
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
CONNECTIONS: Final = 8
# What failed before a byte was sent: nothing can have arrived.
NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class TooMany(TelegramError):
    """Telegram asks to wait so many seconds. The library's own class for it warns of itself."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Too many requests: wait {seconds:g} s")
        self.seconds = seconds


class _Request(HTTPXRequest):
    """Reads answers as Telegram writes them, and what is none without a page in the log."""

    async def do_request(self, *args: Any, **more: Any) -> tuple[int, bytes]:
        code, payload = await super().do_request(*args, **more)
        if code == HTTPStatus.TOO_MANY_REQUESTS:
            raise TooMany(_seconds(payload))
        return code, payload

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        found = _json(payload)
        if not isinstance(found, dict):
            raise TelegramError("Invalid server response")
        return found


class Contested(Retryable):
    """Another process asks for the messages of the same bot; sending is not touched by it."""


@dataclass(frozen=True, slots=True)
class Wire:
    """The way to the Bot API; `close` ends its connections."""

    api: Api
    requests: tuple[HTTPXRequest, HTTPXRequest]

    async def close(self) -> None:
        await asyncio.gather(*(request.shutdown() for request in self.requests))


def connect(token: str, base_url: str, *, patience: float = 10.0) -> Wire:
    """Make the client; nothing is asked yet. `base_url` is `https://api.telegram.org`.

    `patience` is how many seconds one call may take that does not wait for news.
    Raises CannotStart for an address that would give the token away.
    """
    parts = urlsplit(base_url)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise CannotStart(f"[telegram] api_url: {base_url} is not https: it would tell the token")
    asking, sending = (
        _request(read, tls=parts.scheme == "https") for read in (LONG_POLL, patience)
    )
    url = f"{base_url.rstrip('/')}/bot"
    api = Api(token, base_url=url, request=sending, get_updates_request=asking)
    return Wire(api, (asking, sending))


def call_out(token: str, base_url: str, chats: Iterable[int], text: str) -> None:
    """Send a line to chats without the loop, which may be what has stopped; blocks for seconds.

    For the watchdog's thread alone. What does not arrive is logged, without the address, which
    holds the token.
    """
    with httpx.Client(timeout=ALOUD, trust_env=False, follow_redirects=False) as client:
        for chat in chats:
            try:
                answer = client.post(
                    f"{base_url.rstrip('/')}/bot{token}/sendMessage",
                    data={"chat_id": str(chat), "text": text},
                )
            except httpx.HTTPError as error:
                log.error("the watchdog could not reach a phone: %s", type(error).__name__)
            else:
                if not answer.is_success:
                    log.error("the watchdog's message was refused: %d", answer.status_code)


def _request(read: float, *, tls: bool) -> HTTPXRequest:
    """Make one without proxies of the environment: they would get what goes to this machine."""
    return _Request(
        connection_pool_size=CONNECTIONS,
        read_timeout=read,
        connect_timeout=5.0,
        httpx_kwargs={"trust_env": False, "verify": tls},  # else certificates are read for nothing
    )


def in_our_words(error: TelegramError) -> VigilError:
    """Return the class of ours that a failed call belongs to; the most special ones first.

    In the library a bad request and a timeout are network errors, too.
    """
    words = said(error)
    if isinstance(error, InvalidToken | Forbidden | Conflict | BadRequestError) and error.__cause__:
        return Retryable(
            "something in between answers in Telegram's place: a sign-in page, a proxy?"
        )
    match error:
        case TooMany():
            words = f"Telegram asks to wait {error.seconds:g} s"
            return RateLimited(words, retry_after=error.seconds)
        case Forbidden():
            return Refused(f"Telegram refused: {words}")
        case InvalidToken():
            return Refused(
                f"Telegram does not know this bot ({words}): make a new token with @BotFather and "
                "set VIGIL_TELEGRAM__TOKEN, or look whether a sign-in page is in the way"
            )
        case Conflict():
            return Contested("another process listens with the same bot token: stop one of them")
        case ChatMigrated():
            return Refused("the group has moved to another number: pair it again")
        case BadRequestError() if UNSPOKEN in words.lower():
            return Refused("a chat is not known to the bot yet: send /start to it from that phone")
        case BadRequestError():
            return BadRequest(words)
        case NetworkError():
            return _of_network(error, words)
        case _:
            return Retryable(f"Telegram's answer makes no sense: {words}")


def _of_network(error: NetworkError, words: str) -> VigilError:
    cause = error.__cause__
    if isinstance(cause, NEVER_SENT):
        return Retryable(f"Telegram cannot be reached: {words}")
    if isinstance(error, TimedOut) or isinstance(cause, httpx.HTTPError):
        return Unanswered(f"Telegram did not answer: {words}")
    return Retryable(f"Telegram is in trouble: {words}")


def _seconds(payload: bytes) -> float:
    """Return how long a 429 asks to wait."""
    found = _json(payload)
    asked = found.get("parameters") if isinstance(found, dict) else None
    seconds = asked.get("retry_after") if isinstance(asked, dict) else None
    return float(seconds) if isinstance(seconds, int) and seconds > 0 else UNTOLD


def _json(payload: bytes) -> Any:
    try:
        return json.loads(payload.decode("utf-8", "replace"))
    except ValueError:
        return None


def said(error: TelegramError) -> str:
    """Return what was said, in one line that is not too long."""
    words = " ".join(str(error).split())
    return words if len(words) <= LONGEST else f"{words[:LONGEST]} …"
