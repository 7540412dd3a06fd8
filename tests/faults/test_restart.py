"""After a stop or a kill -9 our books and the simulated broker's say the same as before.

The exchange lives in the desk's process and dies with it; its memory is in the data folder.
"""

import itertools
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.faults.dealing import ACCOUNT, Dealing, dealing
from tests.process.served import STARTS_WITHIN, Place, Served, launched
from trading.order import OrderChange, OrderStatus, OrderType, Side

KILLS: Final = int(os.environ.get("TEST_KILLS", "5"))
QUICK: Final = {  # an order that never arrived is told so after five looks
    "VIGIL_SIMULATOR__OPENING": "false",
    "VIGIL_ORDERS__DOUBT_FIRST_SECONDS": "0.2",
    "VIGIL_ORDERS__DOUBT_EVERY_SECONDS": "0.5",
}
Rows = list[dict[str, Any]]


# --- stopped and started again


def books(desk: Dealing) -> dict[str, Any]:
    """Return all that must be the same after a restart."""
    return {
        "orders": [
            (
                o.id,
                o.status,
                o.filled,
                o.average_price,
                [c.order_id for c in o.children],
                o.external,
            )
            for o in desk.desk.orders.orders()
            if o.filled or not o.status.final
        ],
        "fills": [(f.order_id, f.side, f.quantity, f.value) for f in desk.desk.orders.book.fills()],
        "positions": {
            (p.instrument_key, p.product): (p.quantity, p.average, p.realised, p.cost)
            for p in desk.positions()
        },
        "adjusted": [p.adjusted for p in desk.positions() if p.adjusted],
        "in doubt": [p.in_doubt for p in desk.positions() if p.in_doubt],
        "realised": desk.desk.positions.total(ACCOUNT).realised,
    }


def far_below(desk: Dealing) -> float:
    """Return a limit at which nobody sells to us today."""
    ltp = desk.exchange.market.quotes[desk.option().instrument_key].ltp
    return round(round(ltp * 0.5 / 0.05) * 0.05, 2)


async def test_everything_is_as_it_was_after_a_restart(tmp_path: Path) -> None:
    async with dealing(tmp_path, start="2024-06-26T10:00") as desk:
        option = desk.option()
        done = await desk.becomes(await desk.buy(2), OrderStatus.FILLED)
        sold = await desk.becomes(await desk.buy(1, side=Side.SELL), OrderStatus.FILLED)
        resting = await desk.buy(1, order_type=OrderType.LIMIT, price=far_below(desk))
        await desk.becomes(resting, OrderStatus.WORKING)
        await desk.agrees()
        before, broker_before = books(desk), desk.truth()
        sums = desk.desk.positions.total(ACCOUNT)

    async with dealing(tmp_path, start="2024-06-26T10:05") as desk:
        await desk.agrees()
        assert books(desk) == before
        broker = desk.truth()
        for name in ("orders", "trades", "positions", "cash", "opening"):
            assert broker[name] == broker_before[name]
        assert broker["requests"] == []
        assert sums.realised == desk.desk.positions.total(ACCOUNT).realised
        [child] = desk.now(resting).children
        assert [o["status"] for o in broker["orders"] if o["order_id"] == child.order_id] == [
            "open"
        ]
        desk.check()

        # and it goes on: what rests can be changed and ended, what is held can be left
        limit = round(far_below(desk) - 0.05, 2)
        await desk.desk.orders.modify(resting.id, OrderChange(price=limit))
        await desk.until(lambda: desk.now(resting).request.price == limit, within=5)
        await desk.desk.orders.cancel(resting.id)
        await desk.becomes(resting, OrderStatus.CANCELLED)
        left = await desk.buy(1, side=Side.SELL, instrument=option)
        await desk.becomes(left, OrderStatus.FILLED)
        await desk.agrees()
        assert desk.held() == {}
        numbers = [c.order_id for o in desk.desk.orders.orders() for c in o.children]
        assert len(set(numbers)) == len(numbers) == 4
        assert {done.id, sold.id} < {o.id for o in desk.desk.orders.orders()}
        desk.check()


async def test_an_order_on_its_way_arrives_after_the_restart(tmp_path: Path) -> None:
    async with dealing(tmp_path) as desk:
        desk.exchange.do(lambda broker: setattr(broker, "pace", 0.4))
        order = await desk.buy(1)
        assert not desk.now(order).status.final

    async with dealing(tmp_path) as desk:
        await desk.becomes(order, OrderStatus.FILLED)
        await desk.agrees()
        assert len(desk.placed()) == 1
        desk.check()


async def test_a_new_desk_shows_positions_at_once(tmp_path: Path) -> None:
    """product.md D1: simulated positions within 3 s of the first start."""
    began = time.monotonic()
    async with dealing(tmp_path, opening=True, instruments=500) as desk:
        await desk.until(lambda: len(desk.held()) == 3, within=3)
        took = time.monotonic() - began
        await desk.agrees()
        total = desk.desk.positions.total(ACCOUNT)
        assert total.realised == 0
        assert all(p.carried and p.is_mock for p in desk.positions())
        await desk.until(lambda: desk.desk.positions.total(ACCOUNT).complete, within=5)
        held = desk.held()
    async with dealing(tmp_path, opening=True, instruments=500) as desk:
        await desk.agrees()
        assert desk.held() == held
    print(f"positions after {took:.1f} s")


# --- killed, with the whole process


class Trader:
    """A program that trades a little over the API until the desk dies under its hands."""

    def __init__(self, served: Served, chance: random.Random, presses: Iterator[int]) -> None:
        self.sure: set[str] = set()  # orders that were answered with 201
        self._served = served
        self._chance = chance
        self._presses = presses
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._trade, daemon=True)
        self._client = client(served)
        self._options = options(served)
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self._thread.join(15)
        self._client.close()

    def _trade(self) -> None:
        resting: list[str] = []
        with suppress(httpx.TransportError):
            while not self._stop.is_set():
                act = self._chance.random()
                if resting and act < 0.25:
                    self._client.delete(f"/orders/{resting.pop()}")
                elif resting and act < 0.4:
                    self._client.patch(f"/orders/{resting[-1]}", json={"price": self._price(0.4)})
                else:
                    resting += self._place()
                time.sleep(0.1)  # the desk takes eight orders a second, and no more

    def _place(self) -> list[str]:
        """Send an order; return its name if it rests."""
        key, lot = self._chance.choice(self._options)
        rests = self._chance.random() < 0.4
        body = {
            "nonce": f"press-{next(self._presses)}",
            "instrument_key": key,
            "side": "BUY" if rests else self._chance.choice(["BUY", "BUY", "SELL"]),
            "quantity": lot,
            "order_type": "LIMIT" if rests else "MARKET",
            "price": self._price(0.5) if rests else 0,
        }
        answer = self._client.post("/orders", json=body)
        if answer.status_code != 201:
            assert answer.status_code in (409, 502), answer.text
            return []
        self.sure.add(answer.json()["id"])
        return [answer.json()["id"]] if rests else []

    def _price(self, share: float) -> float:
        return round(self._chance.randrange(10, 200) * share, 1)


def client(served: Served) -> httpx.Client:
    token = (served.place.folder / "api_token").read_text()
    return httpx.Client(
        base_url=f"{served.url}/api/accounts/{ACCOUNT}",
        headers={"Authorization": f"Bearer {token}"},
        timeout=5.0,
        trust_env=False,
    )


def options(served: Served) -> list[tuple[str, int]]:
    """Return a few calls near the money, with their lots, as the desk lists them."""
    return [
        (str(key), int(lot))
        for key, lot in served.place.rows(
            "SELECT instrument_key, lot_size FROM instruments WHERE type = 'CE'"
            " AND underlying_symbol = 'NIFTY' ORDER BY expiry, abs(strike - 26000) LIMIT 4"
        )
    ]


def truth(served: Served) -> dict[str, Any]:
    told = httpx.get(f"{served.exchange.url}/control/book", trust_env=False).json()["data"]
    (account,) = told["accounts"].values()
    return dict(account)


def agreement(api: httpx.Client, served: Served) -> str:
    """Return what our books and the broker's differ in, empty if in nothing."""
    broker = truth(served)
    orders: Rows = api.get("/orders").json()
    positions: Rows = api.get("/positions").json()
    numbers = Counter(number for o in orders for number in o["broker_orders"])
    filled = {o["order_id"]: o["filled_quantity"] for o in broker["orders"]}
    ours = {o["broker_orders"][0]: o["filled"] for o in orders if o["broker_orders"]}
    held = {p["instrument_key"]: p["quantity"] for p in positions if p["quantity"]}
    truly = {p["instrument_key"]: p["quantity"] for p in broker["positions"] if p["quantity"]}
    tags = Counter(o["tag"] for o in broker["orders"])
    final = ("complete", "rejected", "cancelled")
    working = sum(o["status"] not in final for o in broker["orders"])
    ours_made, made = realised(api), realised_of(broker)
    inexact = 0.01 * len(broker["trades"])  # we keep whole paise at each closing
    checks = {
        "an order of the broker's has not exactly one intent": set(numbers) != set(filled)
        or any(n > 1 for n in numbers.values()),
        "an order was sent twice": any(n > 1 for n in tags.values()),
        "an order of ours is taken for somebody else's": any(o["external"] for o in orders),
        "filled quantities differ": ours != filled,
        "positions differ": held != truly,
        "a position is in doubt": any(p["in_doubt"] for p in positions),
        "an order is in doubt": any(o["status"] in ("in doubt", "sent") for o in orders),
        "working orders differ": sum(o["status"] == "working" for o in orders) != working,
        f"P&L is {ours_made}, not {made}": ours_made is None or abs(ours_made - made) > inexact,
    }
    return "; ".join(words for words, wrong in checks.items() if wrong)


def realised(api: httpx.Client) -> float | None:
    value = api.get("/pnl").json()["realised"]
    return None if value is None else round(value, 2)


def realised_of(broker: dict[str, Any]) -> float:
    """Work out the day's realised profit from the broker's trades, at average cost."""
    total = 0.0
    quantity: Counter[str] = Counter()
    cost: dict[str, float] = {}
    for trade in broker["trades"]:
        key, price = trade["instrument_key"], trade["price"]
        signed = trade["quantity"] if trade["transaction_type"] == "BUY" else -trade["quantity"]
        held, paid = quantity[key], cost.get(key, 0.0)
        closing = min(abs(held), abs(signed)) if held * signed < 0 else 0
        if closing:
            share = paid * closing / abs(held)
            sign = 1 if held > 0 else -1
            total += sign * closing * price - share
            paid -= share
        opening = abs(signed) - closing
        if opening:
            paid += (1 if signed > 0 else -1) * opening * price
        quantity[key], cost[key] = held + signed, paid
    return round(total, 2)


@contextmanager
def traded(served: Served, chance: random.Random, presses: Iterator[int]) -> Iterator[Trader]:
    trader = Trader(served, chance, presses)
    try:
        yield trader
    finally:
        trader.end()


@pytest.mark.timeout(120 + 30 * KILLS)
def test_kill_9_at_random_moments_leaves_two_books_that_agree(tmp_path: Path) -> None:
    """The suite kills five times; TEST_KILLS=100 makes it a hundred."""
    seed = random.randrange(1 << 30)
    print(f"seed {seed}, {KILLS} kills")
    chance = random.Random(seed)
    place = Place(tmp_path / "data", variables=QUICK)
    presses = itertools.count()
    sure: set[str] = set()
    memory = place.folder / "simulated_exchange.jsonl"
    for n in range(KILLS + 1):
        with launched(place) as served:
            served.ready()
            api = client(served)
            wait_for_books(served, api)
            took = agreed(served, api, sure)
            size = memory.stat().st_size
            if n < KILLS:
                with traded(served, chance, presses) as trader:
                    time.sleep(chance.uniform(0.3, 2.0))
                    os.kill(served.pid, signal.SIGKILL)
                    served.ended()
                sure |= trader.sure
            else:
                trades = len(truth(served)["trades"])
                placed = len(truth(served)["orders"])
            api.close()
            print(f"run {n}: agreed after {took:.1f} s, memory of {size} bytes")
            assert "unreadable" not in served.log
    print(f"{placed} orders, {trades} trades, {len(sure)} were answered")
    assert trades > KILLS
    assert len(sure) > KILLS


def wait_for_books(served: Served, api: httpx.Client) -> None:
    """Wait until the account is signed in and instruments are listed."""
    served.until(lambda: len(options(served)) == 4, "instruments", within=STARTS_WITHIN)
    served.until(
        lambda: api.get("/pnl").json()["realised"] is not None, "the books", within=STARTS_WITHIN
    )


def agreed(served: Served, api: httpx.Client, sure: set[str]) -> float:
    """Wait until the books agree and have every order that was answered; return the seconds."""
    began = time.monotonic()
    wrong = "nothing was asked"
    while wrong and time.monotonic() - began < 15:
        wrong = agreement(api, served)
        known = {o["id"] for o in api.get("/orders").json()}
        wrong = wrong or ", ".join(sure - known)
        time.sleep(0.1)
    assert not wrong, wrong
    assert not any("adjusted" in line for line in served.log.splitlines())
    assert "by the broker's book" not in served.log
    return time.monotonic() - began
