"""From a cold Python to the first answer and to the first price in a real browser."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser

from tests.benchmarks.figures import Figure, below
from tests.benchmarks.processes import (
    browser,
    desk,
    folder,
    free_port,
    load,
    median,
    python,
    until,
)

GOAL: Final = 5.0  # seconds to a price
TIMES: Final = 5
EVERY: Final = 0.01  # seconds between two attempts to get an answer
# A cell of the page that holds a number; before the first price it holds a dash.
A_PRICE: Final = """() => [...document.querySelectorAll('.v-row .f-ltp')]
    .some(cell => /[0-9]/.test(cell.textContent))"""
BARE: Final = """
from nicegui import ui

@ui.page('/')
def page():
    ui.label('12.34')

ui.run(host='127.0.0.1', port={port}, reload=False, show=False, show_welcome_message=False)
"""


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds since the process was started."""

    answered: float
    priced: float


def run(*, short: bool = False) -> list[Figure]:
    """Start with an empty data folder and with a used one; the disk's cache is warm.

    Modules are compiled at the very first start only, which is told apart.
    """
    times = 3 if short else TIMES
    with browser() as chromium, folder() as directory:
        compiled = directory / "compiled"
        first = _start(chromium, directory / "first", compiled)
        fresh = [_start(chromium, directory / str(n), compiled) for n in range(times)]
        again = [_start(chromium, directory / "first", compiled) for _ in range(times)]
        bare = [_bare(chromium, compiled) for _ in range(times + 1)][1:]
    return [
        *_figures("an empty folder", fresh, bare),
        *_figures("a used folder", again, bare),
        Figure("the very first start, nothing compiled, to first price", first.priced, "s"),
    ]


def _figures(kind: str, starts: list[Start], bare: list[Start]) -> list[Figure]:
    priced, answered = [s.priced for s in starts], [s.answered for s in starts]
    worst = f"median of {len(starts)}, worst {max(priced):.2f}; {load()}"
    reference = f"bare NiceGUI page {median([s.priced for s in bare]):.2f} s; {worst}"
    bare_answer = f"bare NiceGUI {median([s.answered for s in bare]):.2f} s"
    return [
        below(f"start with {kind} to first price", median(priced), "s", GOAL, reference=reference),
        Figure("  to first HTTP 200", median(answered), "s", reference=bare_answer),
    ]


def _start(chromium: Browser, directory: Path, compiled: Path) -> Start:
    directory.mkdir(exist_ok=True)
    page = chromium.new_page(viewport={"width": 1366, "height": 768})
    try:
        began = time.monotonic()
        with desk(directory, wait=False, compiled=compiled) as running:
            until(running.answers, within=30, what="an answer", every=EVERY)
            answered = time.monotonic() - began
            page.goto(running.url)
            page.wait_for_function(A_PRICE, polling=20, timeout=30_000)
            return Start(answered, time.monotonic() - began)
    finally:
        page.close()


def _bare(chromium: Browser, compiled: Path) -> Start:
    """The smallest NiceGUI page with a number on it: what no desk on it can be faster than."""
    port = free_port()
    page = chromium.new_page()
    try:
        began = time.monotonic()
        with python(BARE.format(port=port), port=port, compiled=compiled) as running:
            until(lambda: running.answers("/"), within=30, what="an answer", every=EVERY)
            answered = time.monotonic() - began
            page.goto(running.url)
            page.wait_for_selector("text=12.34")
            return Start(answered, time.monotonic() - began)
    finally:
        page.close()
