"""How long each hop of a price took in the last hour: a small chart for each, p50 and p99."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from nicegui import ui
from nicegui.element import Element

from dashboard import format as fmt
from trading.health import Hop, HopMinute
from trading.health_ports import Latencies
from trading.hours import IST

SPAN: Final = 60  # minutes
MINUTE: Final = timedelta(minutes=1)
TITLES: Final = {
    Hop.ARRIVAL: "Exchange → us",
    Hop.DECODE: "Decode",
    Hop.SCREEN: "Us → screen",
}
MEASURES: Final = {
    Hop.ARRIVAL: "From the exchange's stamp on a frame to our receipt of it. Below zero, one of "
    "the two clocks is wrong.",
    Hop.DECODE: "One frame, from its bytes to prices.",
    Hop.SCREEN: "From the receipt of a price to the connection of the open page: it waits for the "
    "next refresh, four a second. The network to the browser and its drawing are not in it.",
}
UNITS: Final = {Hop.ARRIVAL: "frames", Hop.DECODE: "frames", Hop.SCREEN: "prices"}
NOTHING: Final = {
    Hop.ARRIVAL: "No price came in the last hour of whole minutes: the market was closed, or the "
    "desk has just started.",
    Hop.SCREEN: "No page with prices was open in the last hour of whole minutes.",
}

Point = tuple[str, float, float, str]  # HH:MM, p50 and p99 in ms, what a pointer on it shows


@dataclass(frozen=True, slots=True)
class Panel:
    """One hop as it is drawn: sixty places, oldest first, None where nothing was measured."""

    title: str
    measures: str
    newest: str
    points: tuple[Point | None, ...]


def panel(hop: Hop, minutes: Sequence[HopMinute], now: datetime) -> Panel:
    present = now.replace(second=0, microsecond=0)
    known = {minute.start: minute for minute in minutes}
    points = [_point(hop, known.get(present - MINUTE * back)) for back in range(SPAN, 0, -1)]
    last = max((m for m in minutes if m.start < present), key=lambda m: m.start, default=None)
    recent = last is not None and last.start >= present - MINUTE * SPAN
    newest = _newest(last) if recent and last else NOTHING.get(hop, NOTHING[Hop.ARRIVAL])
    return Panel(TITLES[hop], MEASURES[hop], newest, tuple(points))


def _newest(minute: HopMinute) -> str:
    figures = f"p50 {milliseconds(minute.p50)} · p99 {milliseconds(minute.p99)}"
    return f"{figures} at {minute.start.astimezone(IST):%H:%M}"


def _point(hop: Hop, minute: HopMinute | None) -> Point | None:
    if minute is None:
        return None
    at = f"{minute.start.astimezone(IST):%H:%M}"
    figures = f"p50 {milliseconds(minute.p50)}, p99 {milliseconds(minute.p99)}"
    counted = f"{fmt.whole(minute.count)} {UNITS[hop]}"
    return at, minute.p50, minute.p99, f"{at} IST · {figures} · {counted}"


def milliseconds(value: float) -> str:
    """Return a duration of any size with about two figures: `0.084 ms`, `4.1 ms`, `212 ms`."""
    if abs(value) >= 1:
        return fmt.milliseconds(value) if value > 0 else f"-{fmt.milliseconds(-value)}"
    return f"{value:.3f} ms" if abs(value) < 0.1 else f"{value:.2f} ms"


def hours(now: datetime) -> tuple[str, str, str]:
    """Return what stands below the charts: where they begin, their middle and their end."""
    present = now.replace(second=0, microsecond=0).astimezone(IST)
    first, middle, last = (present - MINUTE * back for back in (SPAN, SPAN // 2, 1))
    return f"{first:%H:%M}", f"{middle:%H:%M}", f"{last:%H:%M}"


class HopChart(Element, component="components/latency.js"):
    """Draws one hop; the browser is told again only when a minute is over."""

    def __init__(self) -> None:
        super().__init__()
        self.panel: Panel | None = None

    def show(self, shown: Panel, times: Sequence[str]) -> None:
        self.panel = shown
        self._props["points"] = [None if p is None else list(p) for p in shown.points]
        self._props["times"] = list(times)
        self._props["words"] = f"{shown.title}: {shown.newest}"
        self.update()


class LatencyCharts:
    """The three hops side by side; below each other on a phone."""

    def __init__(self, latencies: Latencies, started: datetime) -> None:
        self._latencies = latencies
        self._seen: tuple[object, ...] = ()
        self._parts: dict[Hop, tuple[ui.label, HopChart]] = {}
        with ui.element("section").classes("h-hops").props('aria-label="latency"').mark("hops"):
            with ui.element("div").classes("h-hops-head"):
                ui.label("Latency, last hour").classes("h-sub")
                ui.label("p50, half were faster").classes("h-key h-key-p50")
                ui.label("p99, one in a hundred was slower").classes("h-key h-key-p99")
                ui.label("nothing measured").classes("h-key h-key-gap")
                ui.label(
                    "A point a minute of market time, since the desk started at "
                    f"{started.astimezone(IST):%H:%M}. Above zero each grid line is ten times the "
                    "one below it."
                ).classes("v-faint")
            for hop in Hop:
                self._parts[hop] = _drawn(hop)

    def show(self, now: datetime) -> None:
        """Draw again what has changed: once a minute, when it is over and counted."""
        minutes = {hop: self._latencies.minutes(hop) for hop in Hop}
        last = [tuple(each[-1:]) for each in minutes.values()]
        seen = (now.replace(second=0, microsecond=0), *last)
        if seen == self._seen:
            return
        self._seen = seen
        for hop, (label, chart) in self._parts.items():
            shown = panel(hop, minutes[hop], now)
            label.set_text(shown.newest)
            chart.show(shown, hours(now))


def _drawn(hop: Hop) -> tuple[ui.label, HopChart]:
    with ui.element("figure").classes("h-hop"):
        with ui.element("figcaption"):
            ui.label(TITLES[hop]).classes("h-hop-title")
            label = ui.label("").classes("n h-hop-newest").mark(f"hop-{hop.name.lower()}")
        chart = HopChart()
        chart.mark(f"hop-chart-{hop.name.lower()}")
        ui.label(MEASURES[hop]).classes("v-faint")
    return label, chart
