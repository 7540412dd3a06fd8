"""The far end of a channel: takes letters, or fails as the script says."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from tests.alerts.timeline import NOON
from trading.clock import Clock
from trading.health import Alert, Component, Occasion, Severity
from trading.health_ports import Letter


class ScriptedChannel:
    """Implements `health_ports.Channel`. Each letter takes the next outcome of `script`: None is
    delivered, an error is raised. Without a script `outcome` decides.
    """

    def __init__(
        self, clock: Clock, name: str = "telegram", *, edits: bool = True, every: float = 1.0
    ) -> None:
        self.name = name
        self.edits = edits
        self.every = every
        self.script: list[Exception | None] = []
        self.outcome: Callable[[Letter], Exception | None] = lambda letter: None
        self.attempts: list[tuple[float, Letter]] = []
        self.sent: list[tuple[float, Letter]] = []
        self.hangs = asyncio.Event()
        self.hangs.set()
        self.closed = False
        self._clock = clock

    async def send(self, letter: Letter) -> str:
        self.attempts.append((self._clock.monotonic(), letter))
        await asyncio.sleep(0)
        await self.hangs.wait()
        error = self.script.pop(0) if self.script else self.outcome(letter)
        if error is not None:
            raise error
        self.sent.append((self._clock.monotonic(), letter))
        return letter.edits or f"m{len(self.sent)}"

    async def close(self) -> None:
        self.closed = True

    @property
    def titles(self) -> list[str]:
        return [letter.alert.title for _, letter in self.sent]

    @property
    def fresh(self) -> list[Letter]:
        """Return what made a new message, not an edit."""
        return [letter for _, letter in self.sent if not letter.edits]


def alert(
    title: str = "MARKET FEED SILENT",
    severity: Severity = Severity.WARNING,
    occasion: Occasion = Occasion.BEGIN,
    *,
    key: str = "no_prices",
    at: datetime = NOON,
    **changes: Any,
) -> Alert:
    base = Alert(
        key=key,
        component=Component.MARKET_FEED,
        occasion=occasion,
        severity=severity,
        at=at,
        title=title,
        lines=("prices of 3 open positions are old", "Nothing to do: it is being reconnected"),
        link="/status",
        mode="SIMULATED",
        is_mock=True,
    )
    return replace(base, **changes)
