"""The owner's phone, where the stand-in of Telegram is used: reads its chat and types into it."""

import asyncio
import base64
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from trading.errors import Denied, Retryable
from trading.health_ports import ChatMessage
from trading.signal import Signal

log = logging.getLogger(__name__)

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
WAIT: Final = 25.0  # seconds that one question for news may take
AGAIN: Final = 1.0  # seconds after a question that failed


class SimulatedPhone:
    """Implements `health_ports.Phone` over the stand-in's control routes.

    One request waits for news all the time; an idle chat costs one request in 25 seconds.
    Raises ValueError for an address that is not on this machine.
    """

    def __init__(self, base_url: str) -> None:
        if urlsplit(base_url).hostname not in LOOPBACK:
            raise ValueError(f"the simulated phone is on this machine only, not at {base_url}")
        self.changes: Signal[None] = Signal("phone.changes")
        self._base_url = base_url
        self._client: httpx.AsyncClient | None = None
        self._task: asyncio.Task[None] | None = None
        self._life = ""
        self._version = 0
        self._messages: dict[int, ChatMessage] = {}
        self._pictures: dict[str, str] = {}  # data: URIs by the stand-in's name of a picture
        self._lost = False

    def start(self) -> None:
        """Begin to follow the chat, on the running loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._follow(), name="phone")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def messages(self) -> Sequence[ChatMessage]:
        """Return the chat, oldest message first."""
        return tuple(self._messages.values())

    async def say(self, text: str) -> None:
        """Type a text as the owner; raises Denied or Retryable."""
        await self._post("say", {"text": text})

    async def press(self, number: int, data: str) -> None:
        """Press a button as the owner; raises Denied if the message has none such, or Retryable."""
        await self._post("press", {"number": number, "data": data})

    async def _follow(self) -> None:
        while True:
            try:
                changed = await self._hear()
            except (httpx.HTTPError, LookupError, TypeError, ValueError) as error:
                if not self._lost:
                    log.warning("the simulated phone does not answer: %r", error)
                self._lost = True
                await asyncio.sleep(AGAIN)
                continue
            self._lost = False
            if changed:
                self.changes.emit(None)

    async def _hear(self) -> bool:
        asked: dict[str, str | float] = {"since": self._version, "life": self._life, "wait": WAIT}
        row = await self._data("/control/telegram", asked)
        messages = [_read(item) for item in row["messages"]]
        pictures = [str(item["picture"]) for item in row["messages"]]
        shown = [await self._picture(name) for name in pictures]
        if row["life"] != self._life:
            self._messages.clear()  # another Telegram: numbers begin anew
        for message, picture in zip(messages, shown, strict=True):
            self._messages[message.number] = replace(message, picture=picture)
        first, before = int(row["first"]), self._version
        self._messages = dict(sorted(m for m in self._messages.items() if m[0] >= first))
        used = {message.picture for message in self._messages.values()}
        self._pictures = {name: uri for name, uri in self._pictures.items() if uri in used}
        self._life, self._version = str(row["life"]), int(row["version"])
        return bool(messages) or before != self._version

    async def _picture(self, name: str) -> str:
        if name and name not in self._pictures:
            answer = await self._http().get("/control/telegram/pictures", params={"id": name})
            if answer.status_code != httpx.codes.OK:
                return ""  # not kept any more
            kind = answer.headers.get("content-type", "image/png")
            data = base64.b64encode(answer.content).decode()
            self._pictures[name] = f"data:{kind};base64,{data}"
        return self._pictures.get(name, "")

    async def _data(self, path: str, asked: Mapping[str, str | float]) -> Any:
        answer = await self._http().get(path, params=dict(asked))
        answer.raise_for_status()
        return answer.json()["data"]

    async def _post(self, what: str, body: Mapping[str, object]) -> None:
        try:
            answer = await self._http().post(f"/control/telegram/{what}", json=dict(body))
        except httpx.HTTPError as error:
            raise Retryable(
                "The simulated phone does not answer: nothing was sent to the desk. "
                f"Try again in a moment ({error!r})."
            ) from None
        if answer.is_error:
            raise Denied(f"The simulated phone does not take this: {_reason(answer)}")

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            # no proxies of the environment: what is typed stays on this machine
            self._client = httpx.AsyncClient(
                base_url=self._base_url, timeout=httpx.Timeout(5.0, read=WAIT + 5), trust_env=False
            )
        return self._client


def _read(row: Mapping[str, Any]) -> ChatMessage:
    return ChatMessage(
        int(row["number"]),
        bool(row["from_bot"]),
        str(row["html"]),
        datetime.fromisoformat(row["at"]),
        buttons=tuple(
            tuple((str(key["words"]), str(key["data"])) for key in line if key["data"])
            for line in row["buttons"]
        ),
        edited=bool(row["edited"]),
        notice=str(row["notice"]),
        silent=bool(row["silent"]),
    )


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["errors"][0]["message"])
    except (ValueError, LookupError, TypeError):
        return f"status {answer.status_code}"
