"""The time of a simulated exchange in another process."""

import logging
import time
from datetime import UTC, datetime, timedelta

import httpx

from trading.clock import SystemClock

log = logging.getLogger(__name__)


class SimulatorTime:
    """The time of a simulated exchange in another process, the real one while it is silent.

    It is asked again with every connection: it may have been started after the desk, or anew.
    """

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._now = SystemClock().now
        self._speed = 1.0

    def now(self) -> datetime:
        return self._now()

    def speed(self) -> float:
        return self._speed

    def ask(self) -> None:
        try:
            answer = httpx.get(f"{self._base_url}/control/clock", timeout=2.0, trust_env=False)
            told = answer.json()["data"]
            start, speed = datetime.fromtimestamp(told["now_ms"] / 1000, UTC), float(told["speed"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            log.warning("%s does not tell its time; the clock stays as it is", self._base_url)
            return
        begun = time.monotonic()
        self._speed = speed
        self._now = lambda: start + timedelta(seconds=(time.monotonic() - begun) * speed)
