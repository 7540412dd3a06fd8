"""The day's P&L curve: a point every few seconds while something is or was open today."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

from trading.clock import Clock
from trading.model import segment_of
from trading.order import Account
from trading.ports import PnlJournal, PnlPoint
from trading.positions import PositionBook

EVERY: Final = 5  # seconds
HOLE: Final = 30_000  # ms without a point: the desk was not running, or nothing was held

Point = tuple[int, float | None]  # epoch ms, rupees; None where it was not known


class PnlCurve:
    """Keeps points; what was not known at a moment is kept as not known, so a chart has a hole."""

    def __init__(
        self,
        accounts: Iterable[Account],
        *,
        clock: Clock,
        positions: PositionBook,
        journal: PnlJournal,
        is_open: Callable[[str, datetime], bool],
    ) -> None:
        """`is_open` says whether a segment trades at a moment (`TradingHours.is_open`)."""
        self._accounts = tuple(accounts)
        self._clock = clock
        self._positions = positions
        self._journal = journal
        self._is_open = is_open

    async def sample(self) -> None:
        """Keep a point of each account; a job of every `EVERY` seconds."""
        now = self._clock.now()
        points = [self._point(account, now) for account in self._accounts if self._due(account)]
        if points:
            self._journal.keep_pnl(points)

    def _due(self, account: Account) -> bool:
        now, positions = self._clock.now(), self._positions.positions(account.id)
        segments = {segment_of(position.instrument_key) for position in positions}
        return any(self._is_open(segment, now) for segment in segments)

    def _point(self, account: Account, at: datetime) -> PnlPoint:
        total = self._positions.total(account.id)
        return PnlPoint(
            account.id, at, total.realised, total.unrealised, total.complete, account.is_mock
        )


def totals(points: Iterable[PnlPoint]) -> list[Point]:
    """Add the accounts up, moment by moment; a moment that lacks a price is a hole."""
    at: dict[int, int | None] = {}
    for point in points:
        moment = int(point.at.timestamp() * 1000)
        known = None
        if point.complete and point.realised is not None and point.unrealised is not None:
            known = point.realised + point.unrealised
        before = at.get(moment, 0)
        at[moment] = None if known is None or before is None else before + known
    found = sorted(at.items())
    return [(moment, None if paise is None else paise / 100) for moment, paise in found]


def with_holes(points: Sequence[Point]) -> list[Point]:
    """Break the line where no point was kept for so long that nobody knows what was between."""
    made: list[Point] = []
    for point in points:
        if made and point[0] - made[-1][0] > HOLE:
            made.append((made[-1][0] + 1, None))
        made.append(point)
    return made
