"""What the watch costs: one look at 200 positions and 50 working orders, once a second."""

import asyncio
import time
from dataclasses import replace
from typing import Final

from alerts.vitals import WINDOW, LoopVitals
from tests.alerts.watch_rig import WatchRig
from tests.benchmarks.figures import Figure, below
from tests.dashboard.fakes import NIFTY
from trading.model import UNKNOWN
from trading.order import BrokerOrder, OrderStatus, OrderType, Product, Side, Validity

POSITIONS: Final = 200
ORDERS: Final = 50
MOST_MS: Final = 2.0
MOST_PERCENT: Final = 2.0


def _order(number: int, key: str) -> BrokerOrder:
    return BrokerOrder(
        "main", f"2611200{number:05d}", "", key, Side.SELL, 75, Product.INTRADAY, OrderType.LIMIT,
        110.0, 0.0, Validity.DAY, OrderStatus.WORKING, "open", 0, UNKNOWN,
    )  # fmt: skip


class _Vitals(LoopVitals):
    """The real one, with the samples of a whole minute."""

    def __init__(self) -> None:
        super().__init__()
        self._lags.extend(n % 7 / 10 for n in range(WINDOW))


def _rig() -> tuple[WatchRig, list[str]]:
    rig = WatchRig()
    keys = [f"NSE_FO|{45_000 + n}" for n in range(POSITIONS)]
    for key in keys:
        rig.hold(key)
    for number, key in enumerate(keys[:ORDERS]):
        rig.desk.orders.book.told(_order(number, key), seen_by="read")
    desk = replace(rig.desk, vitals=_Vitals())
    rig.lookout._desk = desk  # the rest of the rig does not ask for vitals
    return rig, keys


async def _seconds(rig: WatchRig, keys: list[str], seconds: int) -> tuple[float, float]:
    """Return CPU seconds of the median look, and of all looks with their minutes a second."""
    taken = []
    for _ in range(seconds):
        rig.clock.advance(1)
        for key in (NIFTY, *keys):
            rig.bench.price(key)
        began = time.process_time()
        await rig.monitor.look()
        taken.append(time.process_time() - began)
    assert rig.monitor.findings() == (), rig.monitor.findings()
    return sorted(taken)[len(taken) // 2], sum(taken) / seconds


def run(*, short: bool = False) -> list[Figure]:
    rig, keys = _rig()
    median, mean = asyncio.run(_looked(rig, keys, 120 if short else 600))
    kind = f"{POSITIONS} positions, {ORDERS} orders"
    return [
        below(f"one look, {kind}", 1000 * median, "ms", MOST_MS),
        below(
            f"a look each second with its minutes, {kind}",
            100 * mean,
            "% core",
            MOST_PERCENT,
            reference=f"{len(rig.monitor._rules)} rules",
        ),
    ]


async def _looked(rig: WatchRig, keys: list[str], seconds: int) -> tuple[float, float]:
    return await _seconds(rig, keys, seconds)
