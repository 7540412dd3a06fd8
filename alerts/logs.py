"""What the log may say: no secrets, and one line for one message whatever the data holds."""

import logging
import re
import sys
from collections.abc import Iterable
from typing import Final

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


class Redactor(logging.Formatter):
    """Formats a record, tracebacks too, and takes out what must not be read."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        self._known = tuple(secret for secret in secrets if secret)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self._known:
            text = text.replace(secret, "[secret]")
        return _SECRETS.sub(_kept, text)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = record.message.replace("\r", "\\r").replace("\n", "\\n")
        return super().formatMessage(record)


def _kept(match: re.Match[str]) -> str:
    prefix = next((group for group in match.groups() if group), "")
    return f"{prefix}[secret]"


def prepare(level: str, secrets: Iterable[str]) -> None:
    """Send everything through one redacting handler on stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Redactor(secrets))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name, least in _NOISY.items():
        logging.getLogger(name).setLevel(max(least, logging.getLevelName(level)))
