"""Where the broker's access token is kept: a file of ours alone, or the environment."""

import contextlib
import hashlib
import os
import secrets
import stat
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from trading.errors import CannotStart, TokenRefused
from trading.hours import IST

PRIVATE: Final = 0o600
LONGEST: Final = 16_384  # bytes; a token has some 300


class TokenStore(Protocol):
    def load(self) -> str:
        """Return the token as it is now. Raises TokenRefused where there is none."""
        ...

    def save(self, token: str) -> None: ...


class FixedToken:
    """A token that does not change, as a simulated exchange has."""

    def __init__(self, token: str) -> None:
        self._token = token

    def load(self) -> str:
        return self._token

    def save(self, token: str) -> None:
        self._token = token


class FileToken:
    """A token in a file of mode 0600, read on every use: it is new every morning.

    A token that was given at the start (by the environment, which cannot change any more) wins
    over a file that is older than the start, and yields to one that was written since.
    """

    def __init__(self, path: Path, *, given: str = "") -> None:
        self._path = path
        self._given = given.strip()
        self._since = time.time_ns()

    def load(self) -> str:
        """Raises TokenRefused where there is no token, CannotStart where others could read it."""
        token = self._given if self._given and not self._written_since() else self._read()
        if not token:
            raise TokenRefused("there is no access token: log in to the broker")
        return token

    def _written_since(self) -> bool:
        try:
            return self._path.lstat().st_mtime_ns >= self._since
        except OSError:
            return False

    def save(self, token: str) -> None:
        """Replace the file in one step, so that a reader sees the old token or the new one."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(token.strip())
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise

    def _read(self) -> str:
        try:
            # not blocking, so that a pipe in the file's place cannot hold us up
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise CannotStart(f"{self._path}: {error.strerror}; it must be a file") from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
                raise CannotStart(
                    f"{self._path}: the token must be a file that only you can read;"
                    f" run chmod 600 {self._path}"
                )
            return os.read(descriptor, LONGEST).decode("ascii", "replace").strip()
        finally:
            os.close(descriptor)


def ends(now: datetime) -> datetime:
    """Return when a token that is good now ends: at the next 03:30 IST, whenever it was issued.

    Source: the broker's documentation of access tokens (upstox.md).
    """
    local = now.astimezone(IST)
    today = local.replace(hour=3, minute=30, second=0, microsecond=0)
    return today if local < today else today + timedelta(days=1)


def mark(store: TokenStore) -> str:
    """Return what changes when the token does, and tells nothing of it; never raises."""
    try:
        return hashlib.sha256(store.load().encode()).hexdigest()
    except (TokenRefused, CannotStart) as trouble:
        return str(trouble)
