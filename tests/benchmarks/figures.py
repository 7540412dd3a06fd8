"""What a benchmark gives back, and how it is printed beside its reference."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured value; `goal` in the same unit, `reference` measured in the same run."""

    name: str
    value: float
    unit: str
    goal: str = ""
    met: bool | None = None
    reference: str = ""

    def __str__(self) -> str:
        verdict = {True: "met", False: "NOT MET", None: ""}[self.met]
        shown = f"{self.value:,.0f}" if abs(self.value) >= 100 else f"{self.value:,.2f}"
        row = f"{self.name:<58} {shown:>12} {self.unit:<9} {self.goal:<16} {verdict:<8}"
        return f"{row} {self.reference}".rstrip()


def at_least(name: str, value: float, unit: str, goal: float, *, reference: str = "") -> Figure:
    return Figure(name, value, unit, f">= {goal:,.0f}", value >= goal, reference)


def below(name: str, value: float, unit: str, goal: float, *, reference: str = "") -> Figure:
    return Figure(name, value, unit, f"< {goal:,.0f}", value < goal, reference)


def median_seconds(action: Callable[[], object], *, calls: int, rounds: int = 7) -> float:
    """Return seconds a call in the median round: these machines are noisy, the best flatters."""
    gc.collect()
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(calls):
            action()
        taken.append((time.perf_counter() - began) / calls)
    return sorted(taken)[len(taken) // 2]
