"""What an account costs that nothing happens to: positions are marked, books are read, drawn."""

import time
from collections import Counter
from typing import Final

from simulator.tokens import USER
from tests.benchmarks.api_hand import Hand, some_options
from tests.benchmarks.figures import Figure
from tests.benchmarks.processes import (
    Process,
    UnlimitedExchange,
    browser,
    browser_cpu_seconds,
    desk,
    folder,
    load,
    unlimited_exchange,
    until,
)

INSTRUMENTS: Final = 500
RATE: Final = 400.0  # ticks/s, the default of settings.toml
POSITIONS, WORKING = 10, 5
SETTLE: Final = 8.0  # seconds
CASH: Final = 1e9  # rupees


def run(*, short: bool = False) -> list[Figure]:
    """Compare one desk with itself: the same instruments tick, the same tab is open."""
    seconds = 4.0 if short else 30.0
    settle = SETTLE / 4 if short else SETTLE
    with unlimited_exchange(instruments=INSTRUMENTS, rate=RATE) as other_end, folder() as directory:
        other_end.control("positions", user=USER, cash=CASH)
        keys = [key for key, _ in some_options(other_end, POSITIONS + WORKING)]
        with desk(directory, other_end.url, holding=keys) as running, browser() as chromium:
            page = chromium.new_page(viewport={"width": 1366, "height": 768})
            page.goto(running.url)
            page.wait_for_selector(".v-light[data-level=live]")
            time.sleep(settle)
            empty = _cost(running, other_end, seconds)
            _fill(Hand(running, other_end, directory, options=POSITIONS + WORKING))
            time.sleep(settle)
            full = _cost(running, other_end, seconds)
    reads = ", ".join(f"{count} {path.rpartition('/')[2]}" for path, count in full[2].most_common())
    return [
        Figure(
            f"CPU of {POSITIONS} positions and {WORKING} working orders, one tab",
            full[0] - empty[0],
            "% core",
            reference=f"the desk {full[0]:.1f} % with them, {empty[0]:.1f} % without; "
            f"the browser {full[1]:.1f} and {empty[1]:.1f} %; {load()}",
        ),
        Figure(
            "  calls of the broker meanwhile",
            sum(full[2].values()) / seconds,
            "calls/s",
            reference=f"in {seconds:.0f} s {reads}; without them {sum(empty[2].values())}",
        ),
    ]


def _fill(hand: Hand) -> None:
    first, *others = hand.options

    def placed() -> bool:
        try:
            hand.order(first, "BUY")
        except OSError:  # the books are not read yet
            return False
        return True

    until(placed, within=30, what="the account is ready", every=0.5)
    for option in others[: POSITIONS - 1]:
        hand.pause()
        hand.order(option, "BUY")
    for option in others[POSITIONS - 1 :]:
        hand.pause()
        hand.order(option, "BUY", rests=True)


def _cost(
    running: Process, other_end: UnlimitedExchange, seconds: float
) -> tuple[float, float, Counter[str]]:
    """Return shares of one core of the desk and the browser, and the calls of the broker."""
    known = len(other_end.calls())
    used, shown, began = running.cpu_seconds, browser_cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    taken = time.monotonic() - began
    ours = 100 * (running.cpu_seconds - used) / taken
    browsers = 100 * (browser_cpu_seconds() - shown) / taken
    calls = [call for call in other_end.calls()[known:] if not call.path.startswith("/control")]
    return ours, browsers, Counter(call.path for call in calls)
