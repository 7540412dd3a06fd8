"""How the broker's REST interface answers: calls, failures, and how long an answer takes."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from feeds.meter import nearest
from feeds.upstox.answers import CLOSED_RETRY
from trading.errors import BadRequest, Denied, RateLimited, VigilError
from trading.ports import Percentiles, RestStats

ANSWERS: Final = 100  # that the percentiles look at


class CallMeter:
    """Counts calls from several threads; monotonic seconds of this machine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = self._failures = 0
        self._last_error = ""
        self._failed: float | None = None
        self._succeeded: float | None = None
        self._took: deque[float] = deque(maxlen=ANSWERS)  # ms

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count what is done within as one call, and what it raises as its answer."""
        began = time.monotonic()
        try:
            yield
        except VigilError as error:
            self._note(began, "" if is_answer(error) else str(error))
            raise
        self._note(began, "")

    def _note(self, began: float, error: str) -> None:
        now = time.monotonic()
        with self._lock:
            self._calls += 1
            if error:
                self._failures += 1
                self._last_error, self._failed = error, now
            else:
                self._succeeded = now
                self._took.append((now - began) * 1000)

    def stats(self) -> RestStats:
        now = time.monotonic()
        with self._lock:
            took = sorted(self._took)
            return RestStats(
                self._calls,
                self._failures,
                self._last_error,
                None if self._failed is None else now - self._failed,
                None if self._succeeded is None else now - self._succeeded,
                Percentiles(*(nearest(took, share) for share in (0.50, 0.95, 0.99)))
                if took
                else Percentiles(),
            )


def is_answer(error: VigilError) -> bool:
    """Say whether the broker understood and said no, rather than failed."""
    closed = isinstance(error, RateLimited) and error.retry_after >= CLOSED_RETRY
    return closed or isinstance(error, BadRequest | Denied)
