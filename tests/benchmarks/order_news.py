"""From an order update on the broker's stream to a cell of a page, and to programs that listen.

Each is counted from when the exchange wrote the update to the stream (its ledger, by the same
monotonic clock), so that the desk's own receiving, reading and merging are part of it.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.sync_api import Page

from simulator.tokens import USER
from tests.benchmarks.api_hand import Hand
from tests.benchmarks.figures import Figure, below
from tests.benchmarks.processes import (
    ROOT,
    Process,
    browser,
    browser_cpu_seconds,
    desk,
    folder,
    load,
    share,
    unlimited_exchange,
)

INSTRUMENTS: Final = 500
RATE: Final = 400.0  # ticks/s, the default of settings.toml
CLIENTS: Final = 100
MANY: Final = 1_000
CASH: Final = 1e9  # rupees
FILLED: Final = "● filled"
# Notes when each order's row first shows each status. The name's title ends with the order's id.
LISTEN: Final = """() => {
  const seen = window.bench = {};
  const look = () => {
    const now = Date.now();
    for (const row of document.querySelectorAll(".v-order")) {
      const id = row.querySelector(".o-name")?.title.split(" · ").at(-1);
      const shown = `${id} ${row.querySelector(".o-status")?.textContent}`;
      if (!(shown in seen)) seen[shown] = now;
    }
  };
  new MutationObserver(look).observe(
    document.querySelector(".v-orders-table"),
    { subtree: true, childList: true, characterData: true },
  );
}"""


def run(*, short: bool = False) -> list[Figure]:
    with _account() as hand:
        page = _page(hand, orders=[15] if short else [40, 50, 50])
    with _account() as hand:
        few = _programs(hand, clients=CLIENTS, orders=10 if short else 150)
        many = _programs(hand, clients=MANY, orders=2 if short else 10)
    return [*page, *few.figures(), *many.figures()]


@contextmanager
def _account() -> Iterator[Hand]:
    """Run a desk that nobody has dealt on; one that had a page keeps it for a while."""
    with unlimited_exchange(instruments=INSTRUMENTS, rate=RATE) as other_end, folder() as directory:
        other_end.control("positions", user=USER, cash=CASH)
        fast = {"VIGIL_ORDERS__PER_SECOND": "10"}
        with desk(directory, other_end.url, variables=fast) as running:
            hand = Hand(running, other_end, directory)
            hand.ready()
            yield hand


# A page


def _page(hand: Hand, *, orders: Sequence[int]) -> list[Figure]:
    """Have resting orders filled at any moment, and see when the page says so.

    All orders of the day stay on it, so that it becomes longer with each.
    """
    with browser() as chromium:
        page = chromium.new_page(viewport={"width": 1366, "height": 768})
        page.goto(f"{hand.running.url}/orders")
        page.wait_for_selector(".v-light[data-level=live]")
        page.locator(".v-tab", has_text="All").click()
        page.wait_for_selector(".v-tab[aria-selected=true]:has-text('All')")
        page.wait_for_selector(".v-order")
        page.evaluate(LISTEN)
        return [_to_the_page(hand, page, count) for count in orders]


def _to_the_page(hand: Hand, page: Page, orders: int) -> Figure:
    used = browser_cpu_seconds()
    late = _shown(hand, page, orders)
    cost = 1000 * (browser_cpu_seconds() - used) / orders
    rows = page.locator(".v-order").count()
    beside = (
        f"p50 {share(late, 0.5):.0f}, most {max(late):.0f} ms of {len(late)} fills, of it the wait "
        f"for the rest of a burst 50 to 100 ms; {cost:.0f} ms of the browser an order; {load()}"
    )
    name = f"order update to a cell of the page p99, up to {rows} rows"
    return below(name, share(late, 0.99), "ms", 350, reference=beside)


def _shown(hand: Hand, page: Page, orders: int) -> list[float]:
    """Return for each order the ms from the stream's last update of it to the page."""
    offset = 1000 * (time.time() - time.monotonic())
    numbers: dict[str, str] = {}
    for _ in range(orders):
        order = hand.place(rests=True)
        hand.pause()
        hand.fill(order)
        numbers[order["id"]] = order["broker_orders"][0]
    shown = [f"{ours} {FILLED}" for ours in numbers]
    page.wait_for_function("shown => shown.every(s => s in window.bench)", arg=shown)
    seen: dict[str, float] = page.evaluate("() => window.bench")
    written = {state[0]: at for state, at in hand.updates().items() if state[1] == "complete"}
    return [
        seen[what] - offset - 1000 * written[number]
        for what, number in zip(shown, numbers.values(), strict=True)
    ]


# Programs


@dataclass(slots=True)
class Programs:
    """What so many listeners heard; latencies in ms, one of each update and each of them."""

    clients: int
    accepted: int
    took: float  # seconds until all were greeted
    memory: float  # kB of the desk for each
    late: list[float] = field(default_factory=list)
    last: list[float] = field(default_factory=list)  # until the last of all had an update
    updates: int = 0
    missing: int = 0  # receipts
    orders: int = 0
    cpu: float = 0.0  # seconds of the desk for each order, with all its news
    load: str = ""

    def figures(self) -> list[Figure]:
        open_ = Figure(
            f"programs accepted of {self.clients:,}",
            self.accepted,
            "sockets",
            f"= {self.clients:,}",
            self.accepted == self.clients,
            f"all greeted within {self.took:.2f} s, {self.memory:.0f} kB of the desk each",
        )
        beside = (
            f"p50 {share(self.late, 0.5):.1f} ms; the last of all p50 {share(self.last, 0.5):.1f}, "
            f"p99 {share(self.last, 0.99):.1f} ms; {self.updates} updates of {self.orders} orders, "
            f"{1000 * self.cpu:.0f} ms CPU an order; {self.load}"
        )
        p99 = share(self.late, 0.99)
        name = f"order update to each of {self.clients:,} programs p99"
        return [
            open_,
            below(name, p99, "ms", 20, reference=beside)
            if self.clients == CLIENTS
            else Figure(name, p99, "ms", reference=beside),
            Figure("  receipts missing", self.missing, "", "= 0", self.missing == 0),
        ]


def _programs(hand: Hand, *, clients: int, orders: int) -> Programs:
    with _crowd(hand) as ask:
        before = hand.running.memory_mb
        opened = ask(f"open {clients}")
        until_quiet(hand.running)
        memory = 1000 * (hand.running.memory_mb - before) / clients
        found = Programs(clients, opened["open"], max(opened["took"]), memory, orders=orders)
        ask("report")
        since, used = time.monotonic(), hand.running.cpu_seconds
        for _ in range(orders):
            hand.place()
            hand.pause()
            if clients > CLIENTS:
                time.sleep(1.0)  # one burst at a time
        time.sleep(1.0)
        found.cpu = (hand.running.cpu_seconds - used) / orders
        told = ask("report")
        found.load = load()
    _match(found, told["heard"], {s: at for s, at in hand.updates().items() if at >= since})
    found.accepted -= told["lost"]
    return found


def until_quiet(running: Process) -> None:
    """Wait until a process has stopped doing what it was asked before."""
    time.sleep(0.5)
    busy = running.cpu_seconds
    while True:
        time.sleep(0.5)
        now = running.cpu_seconds
        if now - busy < 0.25:
            return
        busy = now


def _match(
    found: Programs,
    heard: Sequence[tuple[dict[str, Any], list[float]]],
    written: dict[tuple[str, str, int], float],
) -> None:
    """Match what was heard with what the stream said: the first message with each step of it.

    What the answer to the placing call or a read told before the stream is not counted.
    """
    told = [(message["data"], at) for message, at in heard if message["type"] == "order_update"]
    counted: set[tuple[str, str, int]] = set()
    for order, receipts in sorted(told, key=lambda row: len(row[0]["steps"])):
        found.missing += found.clients - len(receipts)
        for step in order["steps"]:
            for number in order["broker_orders"]:
                state = (number, step["raw_status"], step["filled"])
                if step["seen_by"] != "stream" or state in counted or state not in written:
                    continue
                counted.add(state)
                late = [1000 * (at - written[state]) for at in receipts]
                found.late += late
                found.last.append(max(late))
    found.updates = len(counted)


@contextmanager
def _crowd(hand: Hand) -> Iterator[Any]:
    """Run the listeners; yield what asks them."""
    command = [sys.executable, "-m", "tests.benchmarks.crowd"]
    command += [f"--port={urlsplit(hand.running.url).port}", f"--token={hand.token}"]
    pipe = subprocess.PIPE
    popen = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
    given, told = popen.stdin, popen.stdout
    assert given is not None
    assert told is not None

    def ask(words: str) -> Any:
        given.write(words + "\n")
        given.flush()
        return json.loads(told.readline())

    try:
        yield ask
    finally:
        given.close()
        popen.wait(10)
        told.close()
