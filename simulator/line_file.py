"""A file of lines that is only ever added to, and survives a kill -9 of its writer."""

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path


class InUse(OSError):
    """Another process, or another part of this one, writes the file."""


class LineFile:
    """One file, one writer. Every `append` is one write without fsync; only `replace` syncs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.appended = 0  # bytes since the last `replace`
        self._descriptor: int | None = None

    @property
    def is_open(self) -> bool:
        return self._descriptor is not None

    def read(self) -> list[bytes] | None:
        """Return the whole lines, without a torn one at the end; None if there is no file.

        Raises InUse, or OSError if it cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                _lock(file.fileno(), self.path)
                text = file.read()
        except FileNotFoundError:
            return None
        return text.split(b"\n")[:-1]

    def put_aside(self, stamp: str) -> Path:
        """Give the file a name that no other has; raise OSError."""
        names = (
            f"{self.path.name}.unreadable-{stamp}{n}" for n in ("", *(f"-{i}" for i in range(99)))
        )
        aside = next(path for name in names if not (path := self.path.with_name(name)).exists())
        return self.path.rename(aside)

    def replace(self, lines: Iterable[bytes]) -> None:
        """Put a new file of these lines, each with its end, in the old one's place, and open it.

        Raises OSError, with the old file as it was and still open if it was so.
        """
        new = self.path.with_name(f"{self.path.name}.new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW
        descriptor = os.open(new, flags, 0o600)
        try:
            _lock(descriptor, new)
            _write(descriptor, b"".join(lines))
            os.fsync(descriptor)
            new.replace(self.path)
        except OSError:
            os.close(descriptor)
            raise
        self.close()
        self._descriptor, self.appended = descriptor, 0

    def append(self, line: bytes) -> None:
        """Add a line with its end; raise OSError if the disk took less than that."""
        assert self._descriptor is not None, "the file is not open"
        _write(self._descriptor, line)
        self.appended += len(line)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _lock(descriptor: int, path: Path) -> None:
    """Claim a file until its descriptor is closed; raise InUse."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InUse(f"{path.name} is in use by another simulated exchange") from None
