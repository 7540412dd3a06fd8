"""Decisions about paper orders on their way to the disk: one transaction at a time, in order."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trading.broker import PaperLedger
from trading.errors import Retryable, VigilError
from trading.model import Instrument
from trading.order import BrokerOrder, Fill
from trading.paper_bench import Resting
from trading.paper_book import PaperBook, Posting

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Move:
    """What was decided about one order: the states it goes through, of which the last is kept.

    `since` and `value` replace those of the order, if it was modified.
    """

    resting: Resting
    told: tuple[BrokerOrder, ...]
    fill: Fill | None = None
    since: float | None = None
    value: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """Moves that stand or fall together. `done` holds None once they stand, else the reason."""

    moves: tuple[Move, ...]
    done: asyncio.Future[VigilError | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def fills(self) -> list[Fill]:
        return [move.fill for move in self.moves if move.fill is not None]


class DecisionWriter:
    """While one transaction is under way the next decisions gather, and go together.

    Nothing is told to anyone before the disk has it. If the disk refuses several, each is tried
    alone, so that one bad one spoils no other.
    """

    def __init__(
        self,
        account: str,
        ledger: PaperLedger,
        book: PaperBook,
        *,
        instrument: Callable[[str], Instrument],
        kept: Callable[[Sequence[Unit], Posting], None],
        refused: Callable[[Unit, VigilError], None],
    ) -> None:
        self.lock = asyncio.Lock()  # whoever holds it is the only one to write
        self._account, self._ledger, self._book = account, ledger, book
        self._instrument, self._kept, self._refused = instrument, kept, refused
        self._units: list[Unit] = []
        self._task: asyncio.Task[None] | None = None

    def submit(self, moves: Sequence[Move]) -> asyncio.Future[VigilError | None]:
        """Queue decisions; nobody else decides about these orders until the disk has answered."""
        unit = Unit(tuple(moves))
        for move in unit.moves:
            move.resting.deciding = True
        self._units.append(unit)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._write())
        return unit.done

    async def drained(self) -> None:
        """Return once everything decided so far is settled."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _write(self) -> None:
        try:
            while self._units:
                async with self.lock:
                    units, self._units = self._units, []
                    await self._keep(units)
        finally:
            self._task = None

    async def _keep(self, units: Sequence[Unit]) -> None:
        fills = [fill for unit in units for fill in unit.fills]
        orders = [move.told[-1] for unit in units for move in unit.moves]
        posting = self._book.post(fills, self._instrument)
        try:
            await self._ledger.keep(self._account, orders=orders, fills=fills, cash=posting.cash)
        except VigilError as error:
            await self._not_kept(units, error)
        except Exception:
            log.exception("the ledger of %s failed", self._account)
            await self._not_kept(units, Retryable("the paper ledger failed, see the log"))
        else:
            self._kept(units, posting)
            for unit in units:
                unit.done.set_result(None)

    async def _not_kept(self, units: Sequence[Unit], error: VigilError) -> None:
        if len(units) > 1:
            for unit in units:
                await self._keep([unit])
            return
        log.warning("a decision of %s was not kept: %s", self._account, error)
        self._refused(units[0], error)
        units[0].done.set_result(error)
