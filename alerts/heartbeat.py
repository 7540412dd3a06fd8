"""A call to an outside watchdog every minute, so that somebody notices when all of this is gone.

It is made only while the desk is ready and its monitor looks: no call is the message.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

import httpx

from alerts.inputs import ALIVE_WITHIN
from trading.clock import Clock
from trading.errors import CannotStart
from trading.health import ChannelHealth

log = logging.getLogger(__name__)

NAME: Final = "heartbeat"
EVERY: Final = 60.0  # seconds, the job's
TOTAL: Final = 5.0  # seconds


def create(
    url: str,
    *,
    clock: Clock,
    is_ready: Callable[[], bool],
    monitor_age: Callable[[], float | None],
) -> "Heartbeat | None":
    """Return the heartbeat, None without an address; raise CannotStart for one that cannot be."""
    if not url:
        return None
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise CannotStart(f"[watch] heartbeat_url: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise CannotStart("[watch] heartbeat_url: https://HOST/PATH is wanted")
    return Heartbeat(parsed, clock=clock, is_ready=is_ready, monitor_age=monitor_age)


class Heartbeat:
    """Owns the calls and what became of them. A failure is shown and never told: the other side
    tells, by what it misses.
    """

    def __init__(
        self,
        url: httpx.URL,
        *,
        clock: Clock,
        is_ready: Callable[[], bool],
        monitor_age: Callable[[], float | None],
        total: float = TOTAL,
    ) -> None:
        self._url = url
        self._clock = clock
        self._is_ready = is_ready
        self._monitor_age = monitor_age
        self._total = total
        self._client = httpx.AsyncClient(
            timeout=total,
            verify=httpx.create_ssl_context(trust_env=False),
            trust_env=False,
            follow_redirects=False,
        )
        self._sent = 0
        self._failures = 0
        self._last: datetime | None = None
        self._last_ms: float | None = None
        self._reason = "no call was due yet"

    async def beat(self) -> None:
        """Call, if there is anything good to say; the job of every minute."""
        held = self._held_back()
        if held:
            self._note(held)
            return
        began = self._clock.monotonic()
        trouble = await self._call()
        if trouble:
            self._failures += 1
            self._note(trouble)
            return
        self._sent += 1
        self._last = self._clock.now()
        self._last_ms = 1000 * (self._clock.monotonic() - began)
        self._note("")

    def health(self) -> ChannelHealth:
        """Return it as a row beside the channels; `retried` are calls that failed."""
        return ChannelHealth(
            NAME,
            "waiting" if self._reason else "ok",
            self._reason,
            sent=self._sent,
            retried=self._failures,
            last_sent=self._last,
            last_ms=self._last_ms,
        )

    async def close(self) -> None:
        await self._client.aclose()

    def _held_back(self) -> str:
        if not self._is_ready():
            return "not called: the desk is not ready"
        age = self._monitor_age()
        if age is None or age > ALIVE_WITHIN:
            return "not called: the monitor does not look, and the watchdog shall notice"
        return ""

    async def _call(self) -> str:
        """Return why it failed, else nothing; the path may be a secret and is in no words."""
        try:
            async with (
                asyncio.timeout(self._total),
                self._client.stream("GET", self._url) as response,
            ):
                if response.is_success:
                    return ""
                return f"{self._url.host} answered {response.status_code}"
        except TimeoutError:
            return f"{self._url.host} gave no answer within {self._total:.0f} s"
        except httpx.HTTPError as error:
            return f"{self._url.host} cannot be reached: {type(error).__name__}"

    def _note(self, reason: str) -> None:
        if bool(reason) != bool(self._reason):
            log.info("heartbeat: %s", reason or "called")
        self._reason = reason
