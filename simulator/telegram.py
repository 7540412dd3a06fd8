"""A stand-in for the Bot API of Telegram: /bot<TOKEN>/METHOD on the simulated exchange's port."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import orjson
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from simulator.envelope import Json
from simulator.faults import (
    Calls,
    Faults,
    TelegramBadGateway,
    TelegramBadRequest,
    TelegramBlocked,
    TelegramDown,
    TelegramFault,
    TelegramHang,
    TelegramOtherPoller,
    TelegramRefuse,
    TelegramRevoked,
    TelegramSlow,
    TelegramTooMany,
)
from simulator.telegram_chat import THE_BOT, Asked, Chats, Message, read_picture
from simulator.telegram_markup import (
    CAPTION,
    TEXT,
    BotError,
    Text,
    bad,
    read_commands,
    read_keyboard,
    read_keys,
    read_text,
)

PATH: Final = re.compile(r"/bot([^/]*)/(\w+)")
LONGEST_POLL: Final = 50.0  # seconds
BODY: Final = 12 << 20  # bytes of a request; a picture may have 10 MiB
BAD_GATEWAY: Final = "<html><head><title>502 Bad Gateway</title></head></html>"
F = TypeVar("F", bound=TelegramFault)


class _Cut(Exception):
    """The connection is to end without an answer."""


@dataclass(frozen=True, slots=True)
class Params:
    """What a call came with: texts of a form, values of JSON, and uploaded files."""

    fields: Mapping[str, object] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)

    def text(self, name: str) -> str:
        value = self.fields.get(name, "")
        return value if isinstance(value, str) else orjson.dumps(value).decode()

    def number(self, name: str, default: int | None = None) -> int:
        value = self.fields.get(name)
        if value is None and default is not None:
            return default
        try:
            return int(str(value))
        except ValueError:
            if name == "chat_id":
                raise bad("chat_id is empty" if value is None else "chat not found") from None
            raise bad(f"{name} must be an Integer") from None

    def flag(self, name: str) -> bool:
        return self.text(name).lower() in ("true", "1", "yes")

    def json(self, name: str) -> object:
        value = self.fields.get(name)
        if not isinstance(value, str):
            return value
        try:
            return orjson.loads(value) if value else None
        except orjson.JSONDecodeError:
            raise bad(f"can't parse {name} JSON object") from None


class BotApi:
    """The outermost ASGI layer: some faults must reach the connection itself."""

    def __init__(
        self, app: ASGIApp, *, chats: Chats, faults: Faults, closing: asyncio.Event
    ) -> None:
        self._app = app
        self._chats = chats
        self._faults = faults
        self._closing = closing
        self._poller = object()  # who asked for news last

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = PATH.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if path is None:
            await self._app(scope, receive, send)
            return
        token, method = path.group(1), path.group(2)
        try:
            response = await self._answer(token, method, scope, receive)
        except _Cut:
            self._chats.asked.append(Asked(time.monotonic(), method, 0))
            # ASGI cannot end a connection without an answer; the server behind `send` can.
            send.__self__.transport.abort()  # type: ignore[attr-defined]
            while (await receive())["type"] != "http.disconnect":
                pass  # until the server knows, else it would log an answer that it misses
            return
        self._chats.asked.append(Asked(time.monotonic(), method, response.status_code))
        await response(scope, receive, send)

    async def _answer(self, token: str, method: str, scope: Scope, receive: Receive) -> Response:
        kind = _kind(method)
        if self._struck(TelegramDown, kind) or self._struck(TelegramRefuse, kind):
            raise _Cut
        try:
            self._admit(token, kind)
            params = await _read(Request(scope, receive))
            if kind == "poll":
                result = await self._poll(params, receive)
            else:
                result = await self._act(method, kind, params, receive)
        except BotError as trouble:
            return _refusal(trouble)
        if slow := self._struck(TelegramSlow, kind):
            await self._pass(slow.seconds, receive)
        return Response(orjson.dumps({"ok": True, "result": result}), media_type="application/json")

    def _admit(self, token: str, kind: Calls) -> None:
        if not re.fullmatch(r"\d+:[\w-]{20,}", token):
            raise BotError(404, "Not Found")
        if token != self._chats.token or self._struck(TelegramRevoked, kind):
            raise BotError(401, "Unauthorized")
        if self._struck(TelegramBadGateway, kind):
            raise BotError(502, BAD_GATEWAY)
        if many := self._struck(TelegramTooMany, kind):
            words = f"Too Many Requests: retry after {many.retry_after}"
            raise BotError(429, words, retry_after=many.retry_after)

    async def _act(self, method: str, kind: Calls, params: Params, receive: Receive) -> Json:
        act = METHODS.get(method.lower())
        if act is None:
            raise BotError(404, "Not Found")
        if kind == "send" and self._struck(TelegramBlocked, kind):
            raise BotError(403, "Forbidden: bot was blocked by the user")
        if refused := self._faults.take(TelegramBadRequest, lambda f: _concerns(f, kind, params)):
            raise bad(refused.words)
        hang = self._struck(TelegramHang, kind)
        if hang is None or hang.delivered:
            result = act(self._chats, params)
        if hang is not None:
            await self._pass(None, receive)
            raise _Cut
        return result

    async def _poll(self, params: Params, receive: Receive) -> Json:
        """Wait for news, for as long as the bot asks; a later poll ends this one by 409."""
        if other := self._struck(TelegramOtherPoller, "poll"):
            await self._pass(other.after, receive)
            raise _conflict()
        mine = self._poller = object()
        self._chats.wake()
        loop = asyncio.get_running_loop()
        until = loop.time() + min(LONGEST_POLL, params.number("timeout", 0))
        with _Leaving(self._closing, receive) as leaving:
            while not (rows := self._news(params)):
                left = until - loop.time()
                if left <= 0 or leaving.done():
                    break
                await leaving.wait(left, self._chats.news())
                if self._poller is not mine:
                    raise _conflict()
                if self._faults.active(TelegramDown):
                    raise _Cut
        return rows

    def _news(self, params: Params) -> list[Json]:
        allowed = params.json("allowed_updates")
        most = min(100, max(1, params.number("limit", 100)))
        rows = self._chats.updates(params.number("offset", 0), most)
        if isinstance(allowed, list) and allowed:
            return [row for _, row in rows if set(row) & set(allowed)]
        return [row for _, row in rows]

    async def _pass(self, seconds: float | None, receive: Receive) -> None:
        """Let time pass, but neither the end of the exchange nor the caller's leaving."""
        with _Leaving(self._closing, receive) as leaving:
            await leaving.wait(seconds)

    def _struck(self, kind: type[F], calls: Calls) -> F | None:
        return self._faults.take(kind, lambda fault: fault.strikes(calls))


class _Leaving:
    """Tells when the exchange closes or the caller hangs up, for as long as somebody waits."""

    def __init__(self, closing: asyncio.Event, receive: Receive) -> None:
        self._ends: tuple[asyncio.Future[Any], ...] = (
            asyncio.ensure_future(closing.wait()),
            asyncio.ensure_future(receive()),
        )

    def __enter__(self) -> "_Leaving":
        return self

    def __exit__(self, *_: object) -> None:
        for end in self._ends:
            end.cancel()

    def done(self) -> bool:
        return any(end.done() for end in self._ends)

    async def wait(self, seconds: float | None, *news: "asyncio.Future[None]") -> None:
        waiting: tuple[asyncio.Future[Any], ...] = (*self._ends, *news)
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for one in news:
            one.cancel()


def _kind(method: str) -> Calls:
    if method.lower() == "getupdates":
        return "poll"
    return "send" if method.lower().startswith(("send", "edit", "answer", "delete")) else "all"


def _concerns(fault: TelegramBadRequest, kind: Calls, params: Params) -> bool:
    text = params.text("text") or params.text("caption")
    marked = bool(params.text("parse_mode")) or not fault.only_markup
    return fault.strikes(kind) and bool(text) and marked and fault.contains in text


def _conflict() -> BotError:
    return BotError(
        409,
        "Conflict: terminated by other getUpdates request; "
        "make sure that only one bot instance is running",
    )


def _refusal(trouble: BotError) -> Response:
    if trouble.words == BAD_GATEWAY:
        return Response(BAD_GATEWAY, 502, media_type="text/html")
    row: dict[str, Json] = {
        "ok": False, "error_code": trouble.code, "description": trouble.words
    }  # fmt: skip
    if trouble.retry_after is not None:
        row["parameters"] = {"retry_after": trouble.retry_after}
    return Response(orjson.dumps(row), trouble.code, media_type="application/json")


async def _read(request: Request) -> Params:
    """Read the parameters of an address, a form, JSON or several parts; raises BotError 400."""
    fields: dict[str, object] = dict(request.query_params)
    if int(request.headers.get("content-length") or 0) > BODY:
        raise BotError(413, "Request Entity Too Large")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return Params(fields | _object(await request.body()))
    files: dict[str, bytes] = {}
    async with request.form() as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                files[name] = await value.read()
            else:
                fields[name] = value
    return Params(fields, files)


def _object(body: bytes) -> dict[str, object]:
    try:
        read = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        raise bad("can't parse JSON object") from None
    if not isinstance(read, dict):
        raise bad("can't parse JSON object")
    return read


# --- the methods


def _get_me(chats: Chats, params: Params) -> Json:
    return THE_BOT.row() | {
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
    }


def _delete_webhook(chats: Chats, params: Params) -> Json:
    if params.flag("drop_pending_updates"):
        chats.forget_updates()
    return True


def _send_message(chats: Chats, params: Params) -> Json:
    text = _text(params, "text", TEXT)
    if not text.plain:
        raise bad("message text is empty")
    message = _said(chats, params, text)
    return chats.message_row(message)


def _send_photo(chats: Chats, params: Params) -> Json:
    name = params.text("photo").removeprefix("attach://") or "photo"
    data = params.files.get(name) or params.files.get("photo") or b""
    picture = read_picture(data)
    markup = params.json("reply_markup")
    message = chats.send(
        params.number("chat_id"),
        _text(params, "caption", CAPTION),
        read_keys(markup),
        silent=params.flag("disable_notification"),
        picture=picture,
    )
    return chats.message_row(message)


def _said(chats: Chats, params: Params, text: Text) -> Message:
    markup, chat = params.json("reply_markup"), params.number("chat_id")
    keyboard = read_keyboard(markup)
    silent = params.flag("disable_notification")
    message = chats.send(chat, text, read_keys(markup), silent=silent)
    if keyboard is not None:
        chats.show_keyboard(chat, keyboard)
    return message


def _edit_text(chats: Chats, params: Params) -> Json:
    text = _text(params, "text", TEXT)
    if not text.plain:
        raise bad("message text is empty")
    return _edited(chats, params, text, "editMessageText")


def _edit_keys(chats: Chats, params: Params) -> Json:
    return _edited(chats, params, None, "editMessageReplyMarkup")


def _edited(chats: Chats, params: Params, text: Text | None, method: str) -> Json:
    keys = read_keys(params.json("reply_markup"))
    chat, number = params.number("chat_id"), params.number("message_id")
    return chats.message_row(chats.edit(chat, number, keys=keys, text=text, method=method))


def _answer_press(chats: Chats, params: Params) -> Json:
    words = params.text("text")
    if len(words) > 200:
        raise bad("MESSAGE_TOO_LONG")
    chats.answer_press(params.text("callback_query_id"), words)
    return True


def _set_commands(chats: Chats, params: Params) -> Json:
    chats.menu[_scope(params)] = read_commands(params.json("commands"))
    chats.changed()
    return True


def _text(params: Params, name: str, most: int) -> Text:
    text = read_text(params.text(name), params.text("parse_mode"))
    if len(text) > most:
        raise bad("message is too long" if name == "text" else "message caption is too long")
    return text


def _scope(params: Params) -> str:
    scope = params.json("scope")
    if not isinstance(scope, Mapping):
        return "default"
    return " ".join(str(scope[part]) for part in ("type", "chat_id", "user_id") if part in scope)


METHODS: Final[Mapping[str, Callable[[Chats, Params], Json]]] = {
    "getme": _get_me,
    "deletewebhook": _delete_webhook,
    "sendmessage": _send_message,
    "sendphoto": _send_photo,
    "editmessagetext": _edit_text,
    "editmessagereplymarkup": _edit_keys,
    "answercallbackquery": _answer_press,
    "setmycommands": _set_commands,
}
