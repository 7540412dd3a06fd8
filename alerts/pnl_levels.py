"""Says when the day's P&L crosses one of the trader's levels, by complete values only."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from alerts import words
from alerts.telling import Draft, Teller
from trading.clock import Clock
from trading.desk import World
from trading.health import Alert, Component, Occasion, Severity
from trading.hours import IST
from trading.positions import Value

BACK: Final = 0.01  # share of a level that the P&L has to come back, before it crosses it again
LEAST_BACK: Final = 100  # paise, at a level of zero
AGAIN: Final = 900.0  # seconds between two messages of one level and one way


@dataclass(frozen=True, slots=True)
class Side:
    """On which side of a level the P&L was; `crossed` once it has been on both."""

    above: bool
    crossed: bool = False


def stepped(side: Side | None, level: int, total: int) -> Side:
    """Return the side after one more value, paise; a first crossing is at the level itself."""
    if side is None:
        return Side(total > level or (total == level and level <= 0))
    margin = max(LEAST_BACK, round(abs(level) * BACK)) if side.crossed else 0
    if side.above and total <= level - margin:
        return Side(False, crossed=True)
    if not side.above and total >= level + margin:
        return Side(True, crossed=True)
    return side


class PnlLevels:
    """Owns the sides of the levels, for one day of the market at a time."""

    def __init__(
        self,
        levels: Sequence[float],
        *,
        clock: Clock,
        teller: Teller,
        world: World,
        total: Callable[[], Value],
    ) -> None:
        """`levels` are rupees; `total` is `PositionBook.total`."""
        self._levels = tuple(sorted({round(100 * level) for level in levels}))
        self._clock = clock
        self._teller = teller
        self._world = world
        self._total = total
        self._sides: dict[int, Side] = {}
        self._told: dict[tuple[int, bool], float] = {}
        self._day: date | None = None

    async def look(self) -> None:
        """Compare the P&L with the levels; a job of every second."""
        value = self._total()
        if not self._levels or not value.complete or value.total is None:
            return
        self._turn_day()
        drafts = []
        for level in self._levels:
            before = self._sides.get(level)
            side = self._sides[level] = stepped(before, level, value.total)
            if before is not None and side.above != before.above and self._is_due(level, side):
                drafts.append(Draft(self._alert(level, side, value)))
        if drafts:
            await self._teller.tell(drafts)

    def _turn_day(self) -> None:
        today = self._clock.now().astimezone(IST).date()
        if today != self._day:
            self._day = today
            self._sides.clear()
            self._told.clear()

    def _is_due(self, level: int, side: Side) -> bool:
        now, way = self._clock.monotonic(), (level, side.above)
        last = self._told.get(way)
        if last is not None and now - last < AGAIN:
            return False
        self._told[way] = now
        return True

    def _alert(self, level: int, side: Side, value: Value) -> Alert:
        outward = side.above if level > 0 else not side.above
        way = "ABOVE" if side.above else "BELOW"
        now = self._clock.now()
        unrealised = words.gain(value.unrealised)
        return Alert(
            key=f"pnl {level / 100:g}",
            component=Component.RISK,
            occasion=Occasion.EVENT,
            severity=Severity.WARNING if outward else Severity.INFO,
            at=now,
            title=f"{'📈' if side.above else '📉'} DAY P&L {way} {words.rupees(level)}",
            lines=(
                f"Day P&L {words.gain(value.total)} · {words.clock(now)}",
                f"Realised {words.gain(value.realised)} · open {unrealised}",
                "Nothing was sent: the desk tells, you decide",
            ),
            link="/positions",
            mode=self._world.word,
            is_mock=self._world.word != "LIVE",  # paper fills are made up, whatever the prices are
            kind="position",
        )
