"""What the log may say: no secrets, and one line for one message whatever the data holds."""

import asyncio
import logging
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from trading.health import LogLine

KEPT: Final = 500  # lines for the pages; the whole log is on stderr
LONGEST: Final = 400  # characters of a line that is kept

# What libraries would print although it opens doors: bearer tokens, JWTs, single-use codes, bots.
_SECRETS: Final = re.compile(
    r"(?i)(bearer\s+)[\w.~+/=-]+"
    r"|((?:code|requestid|access_token|client_secret|token|password)[\"']?[=:]\s*[\"']?)[\w.~+/=-]{6,}"
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]*"
    r"|(/bot)\d+:[\w-]+"
)
# They tell of each request or lost connection at levels that belong to the desk's own words.
_NOISY: Final = {
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "telegram": logging.WARNING,
    "websocket": logging.CRITICAL,
    "apscheduler": logging.WARNING,
    "uvicorn.error": logging.WARNING,
    "uvicorn.access": logging.WARNING,
    "alembic": logging.WARNING,
    "asyncio": logging.WARNING,
}
_OF_JOBS: Final = ("apscheduler.executors.default",)


class Redactor(logging.Formatter):
    """Formats a record, tracebacks too, and takes out what must not be read."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        self._known = tuple(secret for secret in secrets if secret)

    def format(self, record: logging.LogRecord) -> str:
        return self._without_secrets(super().format(record))

    def line(self, record: logging.LogRecord) -> str:
        """Return the message alone, on one line; of a traceback its last word."""
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            text = f"{text} ({type(error).__name__}: {error})"
        text = _escaped(self._without_secrets(text))
        return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"

    def _without_secrets(self, text: str) -> str:
        for secret in self._known:
            text = text.replace(secret, "[secret]")
        return _SECRETS.sub(_kept, text)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = _escaped(record.message)
        return super().formatMessage(record)


def _kept(match: re.Match[str]) -> str:
    prefix = next((group for group in match.groups() if group), "")
    return f"{prefix}[secret]"


def _escaped(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")


class LogBook(logging.Handler):
    """Owns the last lines of the log, in memory; implements health_ports.LogLines.

    Records come from any thread. Moments are the machine's until `follow` gives the desk's clock.
    """

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor
        self._lines: deque[LogLine] = deque(maxlen=KEPT)
        self._now: Callable[[], datetime] = _machine_time
        self._lines_lock = threading.Lock()

    def follow(self, now: Callable[[], datetime]) -> None:
        """Tell time as the pages do: what came before is moved onto the desk's clock, too."""
        with self._lines_lock:
            moved = now() - _machine_time()
            self._lines = deque((replace(li, at=li.at + moved) for li in self._lines), KEPT)
            self._now = now

    def lines(self) -> Sequence[LogLine]:
        with self._lines_lock:
            return tuple(self._lines)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self._redactor.line(record)
        except Exception:  # noqa: BLE001 - wrong arguments, of which the other handler tells
            return
        with self._lines_lock:
            self._lines.append(LogLine(self._now(), record.levelno, record.name, text))


def _machine_time() -> datetime:
    return datetime.now(UTC)


def prepare(level: str, secrets: Iterable[str]) -> LogBook:
    """Send everything to stderr and to the returned book; both take out what is secret."""
    redactor = Redactor(secrets)
    handler, book = logging.StreamHandler(sys.stderr), LogBook(redactor)
    handler.setFormatter(redactor)
    logging.basicConfig(level=level, handlers=[handler, book], force=True)
    for name, least in _NOISY.items():
        logging.getLogger(name).setLevel(max(least, logging.getLevelName(level)))
    for name in _OF_JOBS:
        logging.getLogger(name).addFilter(_was_not_stopped)
    return book


def _was_not_stopped(record: logging.LogRecord) -> bool:
    """Leave out jobs that were under way at a stop: APScheduler tells of each as a failure."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, asyncio.CancelledError)
