"""A thousand live cells at 4 Hz on three tabs, beside the same number of NiceGUI labels."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from playwright.sync_api import Browser, Page

from tests.benchmarks.figures import Figure, below
from tests.benchmarks.processes import (
    Process,
    browser,
    browser_cpu_seconds,
    desk,
    exchange,
    folder,
    free_port,
    load,
    python,
    share,
    until,
    watch,
)

CELLS: Final = 1_000  # that change at each refresh
HERTZ: Final = 4
TABS: Final = 3
ROWS: Final = 200  # of 8 cells; some of them (OI, day's low and high) seldom change
RATE: Final = 3_200.0  # ticks/s over all of them: every row has news at each refresh
SETTLE: Final = 8.0  # seconds after a page was opened

# Counts what the page's own handler, which is called before this one, has written. An entry of a
# patch is [element, text, ...], a quote [number, monotonic ms when its price was received, ...].
LISTEN: Final = """offset => {
  const seen = window.bench = { late: [], cells: 0, patches: 0, unwritten: 0, offset };
  window.socket.on("vigil", text => {
    const now = Date.now();
    const patch = JSON.parse(text);
    seen.patches += 1;
    for (const c of patch.c || []) {
      seen.cells += 1;
      if (document.getElementById("c" + c[0])?.textContent !== c[1]) seen.unwritten += 1;
    }
    for (const q of patch.q || []) if (q[1] !== null) seen.late.push(now - q[1] - offset);
  });
}"""
FORGET: Final = "() => Object.assign(window.bench, {late: [], cells: 0, patches: 0, unwritten: 0})"

LABELS: Final = """
import random
from nicegui import app, ui

prices = [100.0] * {cells}
pages = []

@ui.page('/')
def page():
    with ui.element('div').style('display: grid; grid-template-columns: repeat(20, 1fr)'):
        pages.append([ui.label('-') for _ in prices])

@app.get('/alive')
def alive():
    return 'yes'

def refresh():
    for number in range(len(prices)):
        prices[number] += random.choice((-0.05, 0.05))
    for labels in pages:
        for label, price in zip(labels, prices):
            label.set_text(format(price, ',.2f'))

app.timer(1 / {hertz}, refresh)
ui.run(host='127.0.0.1', port={port}, reload=False, show=False, show_welcome_message=False,
       binding_refresh_interval=None)
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Shares of one core."""

    server: float
    browser: float


@dataclass(frozen=True, slots=True)
class Shown:
    """What the tabs saw: the age of each price when its cell was written, in ms."""

    late: list[float]
    cells: float  # written in a second on one tab
    patches: float  # a second on one tab
    unwritten: int


def run(*, short: bool = False) -> list[Figure]:
    seconds = 10.0 if short else 30.0
    with browser() as chromium:
        quiet, busy, shown = _desk(chromium, seconds=seconds)
        bare_quiet, bare = _labels(chromium, seconds=seconds)
    labels = (
        f"{CELLS:,} labels by set_text {bare.server - bare_quiet.server:.1f} % "
        f"({bare.server:.1f} in all), browser {bare.browser:.0f} %; {load()}"
    )
    return [
        Figure(
            f"cells written on each of {TABS} tabs",
            shown.cells / HERTZ,
            "a refresh",
            f">= {CELLS:,}",
            shown.cells / HERTZ >= CELLS,
            f"{shown.patches:.2f} refreshes/s, {shown.unwritten} cells not as sent",
        ),
        below(
            f"server's CPU for {TABS} tabs",
            busy.server - quiet.server,
            "% core",
            6,
            reference=labels,
        ),
        Figure(
            f"  the same desk with no tab, at {RATE:,.0f} ticks/s",
            quiet.server,
            "% core",
            reference=f"with {TABS} tabs {busy.server:.1f} %, browser {busy.browser:.0f} %",
        ),
        below(
            "socket to cell p99",
            share(shown.late, 0.99),
            "ms",
            350,
            reference=f"p50 {share(shown.late, 0.5):.0f} ms, {len(shown.late):,} prices, of it the "
            f"wait for the next refresh up to {1000 / HERTZ:.0f} ms",
        ),
    ]


def _desk(chromium: Browser, *, seconds: float) -> tuple[Cost, Cost, Shown]:
    """Measure with no tab and with all; the instruments are wanted and stored in both."""
    with exchange(instruments=ROWS + 20, rate=RATE * (ROWS + 20) / ROWS) as other_end:
        keys = [key for key in other_end.instruments() if not key.startswith("NSE_INDEX")][:ROWS]
        with folder() as directory:
            watch(directory, keys)
            with desk(directory, other_end.url, holding=keys) as running:
                time.sleep(SETTLE)
                quiet = _cost(running, seconds)
                pages = _open(chromium, running.url, _is_live)
                offset = (time.time() - time.monotonic()) * 1000
                for page in pages:
                    page.evaluate(LISTEN, offset)
                time.sleep(SETTLE)
                for page in pages:
                    page.evaluate(FORGET)
                busy = _cost(running, seconds)
                seen = [page.evaluate("() => window.bench") for page in pages]
                _close(pages)
    return quiet, busy, _together(seen, seconds)


def _is_live(page: Page) -> None:
    page.wait_for_selector(".v-light[data-level=live]")
    page.wait_for_function(f"document.querySelectorAll('.v-row').length === {ROWS}")


def _together(seen: list[dict[str, Any]], seconds: float) -> Shown:
    late = [ms for tab in seen for ms in tab["late"]]
    each = 1 / len(seen) / seconds
    return Shown(
        late,
        cells=sum(tab["cells"] for tab in seen) * each,
        patches=sum(tab["patches"] for tab in seen) * each,
        unwritten=sum(tab["unwritten"] for tab in seen),
    )


def _labels(chromium: Browser, *, seconds: float) -> tuple[Cost, Cost]:
    """The same number of changing texts, as NiceGUI's own labels on a page of nothing else."""
    port = free_port()
    source = LABELS.format(cells=CELLS, hertz=HERTZ, port=port)
    with python(source, port=port) as running:
        until(lambda: running.answers("/alive"), within=30, what="an answer")
        time.sleep(2)
        quiet = _cost(running, seconds / 3)
        pages = _open(chromium, running.url, lambda page: page.wait_for_selector("text=100.05"))
        time.sleep(SETTLE)
        busy = _cost(running, seconds)
        _close(pages)
    return quiet, busy


def _open(chromium: Browser, url: str, ready: Callable[[Page], object]) -> list[Page]:
    """Open the tabs, each in a window of its own: one behind another would not be drawn."""
    pages = []
    for _ in range(TABS):
        context = chromium.new_context(viewport={"width": 1366, "height": 768})
        page = context.new_page()
        page.goto(url)
        ready(page)
        pages.append(page)
    return pages


def _close(pages: list[Page]) -> None:
    for page in pages:
        page.context.close()


def _cost(running: Process, seconds: float) -> Cost:
    server, shown, began = running.cpu_seconds, browser_cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    taken = time.monotonic() - began
    return Cost(
        100 * (running.cpu_seconds - server) / taken,
        100 * (browser_cpu_seconds() - shown) / taken,
    )
