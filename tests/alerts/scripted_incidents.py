"""The other side of the recovery: findings and incidents as a test wants them to be."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from trading.clock import ManualClock
from trading.health import Component, Finding, Incident, Severity
from trading.signal import Signal


def finding(
    rule: str = "no_prices",
    component: Component = Component.MARKET_FEED,
    *,
    about: str = "",
    instruments: tuple[str, ...] = (),
    severity: Severity = Severity.WARNING,
) -> Finding:
    return Finding(rule, component, severity, "what", "meaning", "act", about, False, instruments)


class ScriptedWatch:
    """Both `recovery.Findings` and `recovery.Incidents`; a finding is an incident at once."""

    def __init__(self, clock: ManualClock) -> None:
        self.found: Signal[Any] = Signal("found")
        self._clock = clock
        self._found: dict[str, Finding] = {}
        self._incidents: dict[str, Incident] = {}
        self.over: list[Incident] = []

    def finds(self, made: Finding, *, wake: bool = False, incident: bool = True) -> None:
        self._found[made.key] = made
        if not incident:
            return
        self._incidents[made.key] = Incident(
            made.key, made.component, made.severity, self._clock.now(), made.what, is_mock=True
        )
        if wake:
            self.found.emit(made)

    def ends(self, made: Finding) -> None:
        del self._found[made.key]
        self.over.append(self._incidents.pop(made.key))

    def findings(self) -> Sequence[Finding]:
        return list(self._found.values())

    def open(self) -> Sequence[Incident]:
        return list(self._incidents.values())

    def of(self, key: str) -> Incident | None:
        return self._incidents.get(key)

    def step(self, key: str, what: str, result: str) -> None:
        """Add a step, or replace the result of the last of the same words that is under way."""
        incident = self._incidents[key]
        under_way = [s for s in incident.steps if (s.what, s.result) == (what, "under way")]
        if not under_way:
            self._incidents[key] = incident.stepped(self._clock.now(), what, result)
            return
        done = replace(under_way[-1], result=result)
        steps = tuple(done if step is under_way[-1] else step for step in incident.steps)
        self._incidents[key] = replace(incident, steps=steps)

    def steps(self, key: str) -> list[tuple[str, str]]:
        gone = [incident for incident in self.over if incident.key == key]
        incident = self._incidents.get(key) or gone[-1]
        return [(step.what, step.result) for step in incident.steps]
