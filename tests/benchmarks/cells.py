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
COLUMNS: Final = 8  # live cells in a row; some of them (OI, day's low and high) seldom change
STRICT: Final = 290  # rows, so that a thousand cells really change at each refresh
LITERAL: Final = CELLS // COLUMNS  # rows, so that a thousand live cells are on the page
EACH: Final = 15.5  # ticks/s of a row: it has news at each refresh
SETTLE: Final = 8.0  # seconds after a page was opened

# Counts what the page's own handler, which is called before this one, has written. An entry of a
# patch is [element, text, ...], a quote [number, monotonic ms when its price was received, ...].
LISTEN: Final = """offset => {
  const seen = window.bench = { late: [], cells: 0, patches: 0, unwritten: 0 };
  const prices = new Map();  // a quote is also sent for a new book; then its price is an old one
  window.socket.on("vigil", text => {
    const now = Date.now();
    const patch = JSON.parse(text);
    seen.patches += 1;
    for (const c of patch.c || []) {
      seen.cells += 1;
      if (document.getElementById("c" + c[0])?.textContent !== c[1]) seen.unwritten += 1;
    }
    for (const q of patch.q || []) {
      if (prices.has(q[0]) && prices.get(q[0]) !== q[1]) seen.late.push(now - q[1] - offset);
      prices.set(q[0], q[1]);
    }
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
        strict = _desk(chromium, rows=STRICT, seconds=seconds)
        literal = _desk(chromium, rows=LITERAL, seconds=seconds)
        bare_quiet, bare = _labels(chromium, seconds=seconds)
    labels = (
        f"{CELLS:,} labels by set_text {bare.server - bare_quiet.server:.1f} % "
        f"({bare.server:.1f} in all), browser {bare.browser:.0f} %; {load()}"
    )
    return [
        *_figures(f"{STRICT * COLUMNS:,} cells on the page", strict, labels),
        *_figures(f"{LITERAL * COLUMNS:,} cells on the page", literal, labels),
    ]


def _figures(kind: str, found: "Found", labels: str) -> list[Figure]:
    shown = found.shown
    return [
        Figure(
            f"{kind}, changed on each of {TABS} tabs",
            shown.cells / HERTZ,
            "/refresh",
            reference=f"{shown.patches:.2f} refreshes/s, {shown.unwritten} cells not as sent",
        ),
        below(
            f"  server's CPU for {TABS} tabs",
            found.busy.server - found.quiet.server,
            "% core",
            6,
            reference=labels,
        ),
        Figure(
            f"  the same desk with no tab, {found.ticks:,.0f} ticks/s",
            found.quiet.server,
            "% core",
            reference=f"with {TABS} tabs {found.busy.server:.1f} %, "
            f"browser {found.busy.browser:.0f} %",
        ),
        below(
            "  socket to cell p99",
            share(shown.late, 0.99),
            "ms",
            350,
            reference=f"p50 {share(shown.late, 0.5):.0f} ms, {len(shown.late):,} prices, of it the "
            f"wait for the next refresh up to {1000 / HERTZ:.0f} ms",
        ),
    ]


@dataclass(frozen=True, slots=True)
class Found:
    quiet: Cost  # no tab
    busy: Cost
    shown: Shown
    ticks: float  # a second


def _desk(chromium: Browser, *, rows: int, seconds: float) -> Found:
    """Measure with no tab and with all; the instruments are wanted and stored in both."""
    others = 20  # indices and what else is not shown
    with exchange(instruments=rows + others, rate=EACH * (rows + others)) as other_end:
        keys = [key for key in other_end.instruments() if not key.startswith("NSE_INDEX")][:rows]
        with folder() as directory:
            watch(directory, keys)
            with desk(directory, other_end.url, holding=keys) as running:
                time.sleep(SETTLE)
                quiet = _cost(running, seconds)
                pages = _open(chromium, running.url, lambda page: _is_live(page, rows))
                offset = (time.time() - time.monotonic()) * 1000
                for page in pages:
                    page.evaluate(LISTEN, offset)
                time.sleep(SETTLE)
                for page in pages:
                    page.evaluate(FORGET)
                busy = _cost(running, seconds)
                seen = [page.evaluate("() => window.bench") for page in pages]
                _close(pages)
    return Found(quiet, busy, _together(seen, seconds), EACH * rows)


def _is_live(page: Page, rows: int) -> None:
    page.wait_for_selector(".v-light[data-level=live]")
    page.wait_for_function(f"document.querySelectorAll('.v-row').length === {rows}")


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
