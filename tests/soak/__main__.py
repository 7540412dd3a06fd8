"""`uv run python -m tests.soak [--minutes 40] [--seed N]`: exit code 1 if anything is violated."""

import argparse
import asyncio
import os
import pickle
import platform
import random
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, async_playwright

from simulator.calendar import IST
from tests.benchmarks.processes import CHROMIUM, FLAGS, browser_cpu_seconds, cpu_seconds
from tests.soak import desk_under_load as under_load
from tests.soak.checker import Lasted, Minute, Post, Span, Stored, Told
from tests.soak.desk_under_load import PATHS, TABS, Evidence, Theatre, theatre
from tests.soak.nemesis import Nemesis
from tests.soak.report import Run, figures, gaps_between, judged, shown

SPEED: Final = 10.0
DAY: Final = datetime(2026, 11, 20, tzinfo=IST)  # an ordinary Friday
OPENS, CLOSES = DAY.replace(hour=9, minute=15), DAY.replace(hour=15, minute=30)
STARTS: Final = 60.0  # real seconds until the load begins
SETTLES: Final = 100.0  # after the load, at least, until the close
CLOSED: Final = 30.0  # after the close
CALM: Final = 12.0  # without pages and faults, before it is measured
MEASURED: Final = 12.0


@dataclass(frozen=True, slots=True)
class Plan:
    load: float  # real seconds
    start: datetime  # of the exchange


def planned(minutes: float) -> Plan:
    """Cut the load from the session's end; all of it is 37.5 minutes."""
    whole = (CLOSES - OPENS).total_seconds() / SPEED
    load = min(minutes * 60, whole - STARTS - SETTLES)
    start = CLOSES - timedelta(seconds=(STARTS + load + SETTLES) * SPEED)
    return Plan(load, max(OPENS, start))


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=40.0, help="under load; a session is 35")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 20))
    parser.add_argument("--folder", type=Path, help="kept for a look afterwards; else thrown away")
    given = parser.parse_args()
    if given.folder:
        given.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return asyncio.run(run(planned(given.minutes), given.seed, given.folder))
    with tempfile.TemporaryDirectory(prefix="vigil-soak-") as name:
        return asyncio.run(run(planned(given.minutes), given.seed, Path(name)))


async def run(plan: Plan, seed: int, folder: Path) -> int:
    say(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, seed {seed}: {plan.load / 60:.1f} min of load at "
        f"{SPEED:g}x from {plan.start:%H:%M:%S} IST; Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    began = time.monotonic()
    start = plan.start.strftime("%Y-%m-%dT%H:%M:%S")
    with theatre(folder / "data", start=start, speed=SPEED, seed=seed) as scene:
        try:
            outcome, seen = await played(scene, plan)
        finally:
            (folder / "desk.log").write_text(scene.served.log)
    with (folder / "evidence.pickle").open("wb") as file:
        pickle.dump((outcome, seen), file)  # for a second look without a second run
    checks = judged(outcome, seen)
    took = time.monotonic() - began
    say(f"\n{took / 60:.1f} min in all, load now {os.getloadavg()[0]:.1f}; the longest pause "
        f"between two samples {gaps_between(outcome.samples):.1f} s")  # fmt: skip
    for line in (*activity(scene), *figures(outcome, seen), *shown(checks)):
        say(line)
    bad = any(checks.values())
    say("VIOLATED" if bad else "all is well")
    return int(bad)


async def played(scene: Theatre, plan: Plan) -> tuple[Run, Evidence]:
    await asyncio.to_thread(scene.served.ready)
    ready = scene.now_ms()
    nemesis = Nemesis(scene.exchange.url, scene.seed, scene.now_ms)
    nemesis.renew = lambda: under_load.new_token(scene)
    watchers = [
        asyncio.create_task(scene.reference.run()),
        asyncio.create_task(under_load.sample(scene)),
    ]
    async with chromium() as browser:
        await warmed_up(scene, browser)
        loaded = scene.now_ms()
        cpu, at = processor(scene), time.monotonic()
        await under(scene, browser, nemesis, plan.load / 4)
        await calm(scene, nemesis, "after a quarter")
        await under(scene, browser, nemesis, plan.load * 3 / 4)
        said = [
            (b - a) / (time.monotonic() - at) for a, b in zip(cpu, processor(scene), strict=True)
        ]
        say("CPU of one core under load: desk {:.0%}, exchange {:.0%}, browser {:.0%}, "
            "this {:.0%}".format(*said))  # fmt: skip
        await nemesis.calm()
    close = round(CLOSES.timestamp() * 1000)
    await asyncio.sleep(max(0.0, scene.pace.seconds(close - scene.now_ms())))
    at_close = await unsettled(scene)
    calm_for = scene.pace.seconds(scene.now_ms() - nemesis.struck[-1].end)
    say(f"at the close, {calm_for:.0f} s after the last fault: {at_close or 'settled'}")
    await asyncio.sleep(CLOSED)
    left = await under_load.until(lambda: unsettled(scene), within=60)
    await calm(scene, nemesis, "after the close")
    for task in watchers:
        task.cancel()
    closed = Span(close + scene.pace.ms(10), scene.now_ms())
    seen, dropped, code = await asyncio.to_thread(evidence, scene)
    await nemesis.close()
    outcome = Run(
        pace=scene.pace,
        session=Span(loaded, close),
        ready=ready,
        calm=(Span(ready, loaded), closed),
        held=scene.held,
        struck=nemesis.struck,
        samples=scene.samples,
        page_errors=scene.page_errors,
        left=left,
        dropped_rows=dropped,
        exit_code=code,
    )
    return outcome, seen


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


async def warmed_up(scene: Theatre, browser: Browser) -> None:
    """Have every page shown once: what is loaded once is no leak."""
    chance = random.Random(scene.seed)
    size = {"width": 1366, "height": 768}
    for first in range(0, len(PATHS), 3):
        paths = PATHS[first : first + 3]
        await asyncio.gather(
            *(under_load.one_visit(scene, browser, path, size, chance) for path in paths)
        )


async def under(scene: Theatre, browser: Browser, nemesis: Nemesis, seconds: float) -> None:
    """Strike, trade, look and listen for so long."""
    stop = threading.Event()
    listener = threading.Thread(target=under_load.listen, args=(scene, stop), daemon=True)
    listener.start()
    tasks = [
        asyncio.create_task(nemesis.run()),
        asyncio.create_task(under_load.trade(scene, nemesis)),
        *(asyncio.create_task(under_load.visit(scene, browser, slot)) for slot in range(TABS)),
    ]
    ended, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    stop.set()
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.to_thread(listener.join)
    for task, result in zip(tasks, results, strict=True):
        if task in ended and isinstance(result, Exception):
            raise result


async def calm(scene: Theatre, nemesis: Nemesis, name: str) -> None:
    """Let everything go, and measure."""
    await nemesis.calm()
    await asyncio.sleep(CALM)
    scene.calm = name
    await asyncio.sleep(MEASURED)
    scene.calm = ""


async def unsettled(scene: Theatre) -> str:
    """Return what is still under way: incidents, letters, orders in doubt."""
    place = scene.served.place
    open_ = place.rows("SELECT key FROM incidents WHERE ended IS NULL")
    letters = place.rows(
        "SELECT alert, state FROM letters WHERE state NOT IN ('sent', 'folded') AND not_before < ?",
        scene.now_ms(),
    )
    doubts = place.rows("SELECT id FROM orders WHERE status IN ('sent', 'in doubt')")
    found = {"incidents": open_, "letters": letters, "orders": doubts}
    return "; ".join(f"{what} {rows}" for what, rows in found.items() if rows)


def processor(scene: Theatre) -> tuple[float, float, float, float]:
    return (
        cpu_seconds(scene.served.pid),
        cpu_seconds(scene.exchange.process.pid),
        browser_cpu_seconds(),
        time.process_time(),
    )


def evidence(scene: Theatre) -> tuple[Evidence, float, int]:
    """Read both sides' books; stop the desk for its database."""
    under_load.keep_arrivals(scene)
    books = under_load.books_of(scene)
    metrics = scene.served.client.get("/metrics").text
    dropped = scene.served.metric("vigil_storage_rows_dropped_total")
    scene.served.stop()
    code = scene.served.process.returncode
    sent, truth = under_load.from_exchange(scene)
    found = under_load.ours(scene.served.place.database)
    minutes = [Minute(*row[:6], bool(row[6])) for row in found["minutes"]]
    history = under_load.history_of(scene, sorted({m.key for m in minutes}))
    seen = Evidence(
        sent=sent,
        stored=[Stored(*row) for row in found["stored"]],
        minutes=minutes,
        history=history,
        gaps=[Span(a, b if b is not None else scene.now_ms(), w) for a, b, w in found["gaps"]],
        incidents=[Lasted(*row) for row in found["incidents"]],
        alerts=[Told(*row) for row in found["alerts"]],
        letters=[Post(*row) for row in found["letters"]],
        arrivals=list(scene.arrivals.values()),
        books=books,
        truth=truth,
        metrics=metrics,
        integrity=found["integrity"],
    )
    return seen, dropped, code


def activity(scene: Theatre) -> Sequence[str]:
    refused: Any = dict.fromkeys(scene.refusals)
    return [
        f"pages: {scene.visits} opened, {scene.searches} searches, "
        f"{scene.socket_messages:,} messages over API sockets",
        f"orders asked for: {scene.orders_asked}, taken: {scene.orders_taken}, refused: "
        f"{len(scene.refusals)} ({len(refused)} kinds: {list(refused)[:3]})",
    ]


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
