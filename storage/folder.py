"""The data folder: one running copy at a time, readable by its owner only."""

import fcntl
import os
import secrets
from pathlib import Path

from trading.errors import CannotStart


class DataFolder:
    """Holds the folder's lock until `release`; the lock dies with the process, even by kill -9."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = _lock(path)

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _lock(path: Path) -> int | None:
    """Create the folder if need be and lock it; raise CannotStart in words."""
    file = path / "lock"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise CannotStart(
            f"data folder {path} cannot be used: {error.strerror}. Mend its permissions or set "
            "[storage] directory to another folder"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise CannotStart(
            f"another copy (process {owner}) already runs on the data folder {path}. Use its page, "
            "or stop it first: two copies would fight over the feed and write every tick twice"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def own_secret(file: Path) -> str:
    """Return the secret in this file: made once, readable by its owner only."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return file.read_text(encoding="ascii")
    with os.fdopen(descriptor, "w", encoding="ascii") as opened:
        secret = secrets.token_urlsafe(32)
        opened.write(secret)
        return secret
