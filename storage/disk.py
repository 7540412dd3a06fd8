"""The file and the disk below the database, looked at once a second."""

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DiskLook:
    """Sizes in bytes. `gone` and `little_room` are reasons for the trader, empty if all is well."""

    database_bytes: int = 0
    wal_bytes: int = 0
    gone: str = ""
    little_room: str = ""


class Disk:
    """Remembers which file was opened: writing into a deleted one succeeds and keeps nothing."""

    def __init__(self, path: Path, *, reserve: int) -> None:
        self._path = path
        self._wal = path.with_name(path.name + "-wal")
        self._reserve = reserve
        self._inode = path.stat().st_ino

    def look(self) -> DiskLook:
        try:
            file = self._path.stat()
            free = shutil.disk_usage(self._path.parent).free
        except OSError as error:
            return DiskLook(gone=f"{self._path}: {error.strerror}. Put it back and restart")
        if file.st_ino != self._inode:
            return DiskLook(gone=f"{self._path} was replaced while in use. Restart")
        few = f"{free >> 20} MiB left on the disk, ticks are not stored. Make room"
        return DiskLook(
            database_bytes=file.st_size,
            wal_bytes=self._wal.stat().st_size if self._wal.exists() else 0,
            little_room=few if free < self._reserve else "",
        )
