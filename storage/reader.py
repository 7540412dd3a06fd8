"""Reads on a small pool of threads, so that a long one does not hold the loop up."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from storage.database import Database
from storage.trouble import in_words

T = TypeVar("T")


class Reader:
    """Connections that cannot write. Errors come as VigilError, in words."""

    def __init__(self, database: Database, *, threads: int = 2) -> None:
        self._engine = database.reading
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="storage-read")

    async def run(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.now, work)

    def now(self, work: Callable[[Connection], T]) -> T:
        """Read on the caller's thread: for what takes well below a millisecond."""
        try:
            with self._engine.connect() as connection:
                return work(connection)
        except DBAPIError as error:
            raise in_words(error) from error

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
