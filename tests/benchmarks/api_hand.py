"""A program that deals through the desk's own API, and moves the exchange from behind."""

import json
import random
import time
import urllib.request
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from tests.benchmarks.processes import TOKEN, Process, UnlimitedExchange, until

PAUSE: Final = (0.15, 0.35)  # seconds between two orders; not in step with the refresh


class Hand:
    """Places orders through the desk's own API, and fills them at the exchange."""

    def __init__(
        self, running: Process, other_end: UnlimitedExchange, directory: Path, *, options: int = 5
    ) -> None:
        """Deal in so many options, in turn."""
        self.running = running
        self.other_end = other_end
        self.token = (directory / "api_token").read_text()
        self.options = some_options(other_end, options)
        self._rng = random.Random(7)
        self._placed = 0

    def ready(self) -> None:
        """Wait until an order can be placed, and place one of each option: nothing is new then."""
        until(self._is_ready, within=30, what="the instruments, and the books of the account")
        for _ in self.options:
            self.place()
            self.pause()

    def _is_ready(self) -> bool:
        try:
            self.place()
        except OSError:  # a refusal is one
            return False
        return True

    def pause(self) -> None:
        time.sleep(self._rng.uniform(*PAUSE))

    def place(self, *, rests: bool = False) -> dict[str, Any]:
        """Buy and sell lots in turn, at the market or where the price is not."""
        option = self.options[self._placed // 2 % len(self.options)]
        buys = rests or self._placed % 2 == 0
        self._placed += 1
        return self.order(option, "BUY" if buys else "SELL", rests=rests)

    def order(self, option: tuple[str, int], side: str, *, rests: bool = False) -> dict[str, Any]:
        """Place one lot of an option; raise OSError if the desk refuses."""
        key, lot = option
        nonce = f"bench-{time.monotonic_ns()}"
        body: dict[str, Any] = {
            "nonce": nonce,
            "instrument_key": key,
            "side": side,
            "quantity": lot,
        }
        if rests:
            body |= {"order_type": "LIMIT", "price": _lowest(self.other_end, key)}
        return self._api("/api/accounts/main/orders", body)

    def fill(self, order: dict[str, Any]) -> None:
        [number] = order["broker_orders"]
        self.other_end.control("fills", order_id=number)

    def updates(self) -> dict[tuple[str, str, int], float]:
        """Return when each state of each of the broker's orders was written to the stream first."""
        first: dict[tuple[str, str, int], float] = {}
        for update in self.other_end.updates():
            row = update.message
            if row["update_type"] == "order":
                state = (row["order_id"], row["status"], row["filled_quantity"])
                first.setdefault(state, update.at)
        return first

    def _api(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(
            self.running.url + path, json.dumps(body).encode(), headers
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            told: dict[str, Any] = json.loads(answer.read())
            return told


def some_options(other_end: UnlimitedExchange, count: int) -> list[tuple[str, int]]:
    """Return key and lot of so many options."""
    rows = [row for row in other_end.master() if row["instrument_type"] in ("CE", "PE")]
    middle = len(rows) // 2
    return [(row["instrument_key"], row["lot_size"]) for row in rows[middle : middle + count]]


def _lowest(other_end: UnlimitedExchange, key: str) -> float:
    """Return the lower circuit limit."""
    request = urllib.request.Request(
        f"{other_end.url}/v2/market-quote/quotes?instrument_key={quote(key)}",
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        [row] = json.loads(answer.read())["data"].values()
    return float(row["lower_circuit_limit"])
