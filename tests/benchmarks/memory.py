"""Bytes that the cache keeps for a hundred instruments in full mode, beside plain tuples."""

import tracemalloc

from tests.benchmarks.figures import Figure, below
from tests.ticks import T0, tick
from trading.market_data import Board
from trading.model import Tick

COUNT = 100


def run(*, short: bool = False) -> list[Figure]:
    board, ours = _kept(lambda board, ticks: board.apply(ticks, new_connection=False), Board())
    plain, tuples = _kept(lambda cache, ticks: cache.update({t[0]: t for t in ticks}), {})
    assert len(board) == len(plain) == COUNT  # type: ignore[arg-type]
    return [
        below(
            f"cache of {COUNT} full instruments",
            ours / 1000,
            "KB",
            50,
            reference=f"a dict of tick tuples {tuples / 1000:,.0f} KB",
        )
    ]


def _kept(write, cache):  # type: ignore[no-untyped-def]
    """Return the cache and the bytes that are still allocated when only it is left."""
    keys = [f"NSE_FO|{45_000 + index}" for index in range(COUNT)]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for step in range(5):
        write(cache, [_tick(key, index, step) for index, key in enumerate(keys)])
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return cache, used


def _tick(key: str, index: int, step: int) -> Tick:
    """Every number its own object, as a decoder makes them; constants would hide their cost."""
    made = tick(key, ltp=100 + index + step / 7, ltt=T0 + step, volume=10**6 + index * 7 + step)
    return Tick._make(
        value + 0.001 * index if isinstance(value, float) else value for value in made
    )
