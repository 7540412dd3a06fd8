import asyncio
import time

from alerts.vitals import LoopVitals, memory_bytes, percentiles


async def test_a_blocked_loop_shows_as_lag() -> None:
    vitals = LoopVitals()
    task = asyncio.create_task(vitals.run())
    await asyncio.sleep(0.12)
    time.sleep(0.3)  # noqa: ASYNC251 - the fault under test
    await asyncio.sleep(0.12)
    task.cancel()

    stats = vitals.stats()
    assert stats.loop_lag_max is not None
    assert 200 < stats.loop_lag_max < 1_000
    assert stats.memory_bytes > 10_000_000
    assert stats.threads >= 1


def test_nothing_measured_is_unknown_and_not_zero() -> None:
    stats = LoopVitals().stats()

    assert (stats.loop_lag.p50, stats.loop_lag_max, stats.cpu_percent) == (None, None, None)


def test_percentiles_of_a_known_series() -> None:
    p = percentiles([float(n) for n in range(101)])

    assert (p.p50, p.p95, p.p99) == (50.0, 95.0, 99.0)


def test_memory_grows_with_what_is_held() -> None:
    before = memory_bytes()
    held = bytearray(50_000_000)
    held[::4096] = b"x" * len(held[::4096])

    assert memory_bytes() - before > 40_000_000
