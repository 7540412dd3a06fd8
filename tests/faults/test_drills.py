"""Every fire drill on the whole desk, its own watch and its simulated phone; times at a tenth.

One desk for all of them, in any order: a drill that ends green leaves nothing behind.
"""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
import pytest_asyncio

from alerts.drill_kinds import DRILLS
from alerts.drills import FireDrills, Patience, Scene, no_login
from tests.faults.dealing import Dealing
from tests.faults.watching import SHORT, Watched, watched
from tests.lateness import lateness
from trading.health import DrillResult, Occasion
from trading.model import Mode
from trading.order import OrderStatus
from trading.ports import FeedState

PATIENCE = Patience(look=0.02, calm=1.5, settle=4.0, steady=1.1, scale=0.1)
DETECTED = 30.0 * PATIENCE.scale  # product.md F10
# A dozen troubles in a row are no flapping here; with a position each silence is critical.
OFTEN = SHORT.model_copy(update={"flaps": 1_000, "every_seconds": 0.5, "position_blind": 1.5})
A_MINUTE = {"decode_errors", "inbox_overflow"}  # found as long as a minute has them

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    folder = tmp_path_factory.mktemp("drills")
    start = "2024-06-27T10:00"  # the exchange's time: they take minutes, and no day ends meanwhile
    async with watched(folder, watch=OFTEN, watching=0, rate=3000.0, start=start) as desk:
        dealing = Dealing(desk.vigil)
        await dealing.ready()
        options = sorted((dealing.option(n) for n in range(40)), key=lambda o: o.instrument_key)
        keys = [option.instrument_key for option in options]
        desk.desk.subscriptions.hold("test", keys, Mode.LTPC)
        order = await dealing.buy(instrument=options[0])  # one of those that a drill leaves out
        await dealing.becomes(order, OrderStatus.FILLED)
        await desk.on_the_phone("FILLED")
        await asyncio.sleep(1.0)  # for a usual rate
        yield desk


@pytest.fixture(scope="module")
def drills(desk: Watched) -> FireDrills:
    """The drills as main makes them, but patient at a tenth."""
    parts, feeds = desk.watchers, desk.desk
    scene = Scene(
        simulated=True,
        feed=feeds.feed,
        wanted=parts.heard_of,
        findings=parts.monitor.findings,
        stored=parts.teller.stored,
        streams=tuple(feeds.portfolio_feeds.values()),
        channels=parts.dispatcher.health,
        phone=parts.phone,
        test_message=parts.watch.test_message,
        renew=no_login,
    )
    return FireDrills(feeds.clock, parts.faults, scene, parts.drill_journal, PATIENCE)


@pytest.mark.parametrize("name", [drill.name for drill in DRILLS])
async def test_a_drill_ends_green_and_its_incidents_are_closed(
    desk: Watched, drills: FireDrills, name: str
) -> None:
    await fresh(desk)
    alerts = len(desk.alerts)
    async with lateness() as late:
        await drills.start(name)
        await desk.until(lambda: drills.running() is None, within=30, what=name)
    result = drills.results()[name]
    print(f"{name}: {shown(result)}; {[alert.title for alert in desk.alerts[alerts:]]}")

    assert result.good, result
    assert result.detected_after is not None
    assert result.detected_after <= DETECTED + 2 * late.worst
    assert result.recovered_after is not None
    assert await desk.watchers.faults.names() == ()
    assert (await on_the_scorecard(desk, name)).good
    await calm(desk)
    since = desk.alerts[alerts:]
    for key in {alert.key for alert in since if alert.kind == "health"} - A_MINUTE:
        await desk.until(  # it is over in the book a moment before that is told
            lambda: desk.occasions(key)[-1] is Occasion.END,  # noqa: B023
            within=5,
            what=f"the end of {key}",
        )
        told = [alert for alert in desk.alerts[alerts:] if alert.key == key]
        occasions = [alert.occasion for alert in told]
        assert occasions[0] is Occasion.BEGIN
        assert all(before is not after for before, after in pairwise(occasions)), (
            occasions
        )  # told once, and once that it is over
        incident = await desk.incident(key)
        assert all(step.result != "under way" for step in incident.steps), incident


async def on_the_scorecard(desk: Watched, name: str) -> DrillResult:
    """Wait until the disk has its end, which is after the end of the drill."""
    kept = desk.watchers.drill_journal.drills
    async with asyncio.timeout(5):
        while (found := (await kept()).get(name)) is None or found.ended is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return found


async def fresh(desk: Watched) -> None:
    """Have both connections made anew by ourselves.

    Two in a row that are ended from outside soon after their beginning look like another client.
    """
    feeds = [desk.desk.feed, *desk.desk.portfolio_feeds.values()]
    before = [feed.stats().connections for feed in feeds]
    for feed in feeds:
        feed.reconnect("a drill is about to begin")

    def anew() -> bool:
        stats = [feed.stats() for feed in feeds]
        return all(s.state is FeedState.LIVE for s in stats) and all(
            s.connections > n for s, n in zip(stats, before, strict=True)
        )

    await desk.until(anew, within=10, what="fresh connections")
    await calm(desk)


async def calm(desk: Watched) -> None:
    """Wait until nothing is wrong and all that was is over, but for what lasts a minute."""
    await desk.until(
        lambda: desk.wrong | lasting(desk) <= A_MINUTE,
        within=10,
        what=f"an end of {desk.wrong | lasting(desk)}",
    )


def lasting(desk: Watched) -> set[str]:
    return {incident.key for incident in desk.watchers.watch.open_incidents()}


def shown(result: DrillResult) -> str:
    seconds = [result.detected_after, result.told_after, result.recovered_after]
    detected, told, recovered = ("-" if s is None else f"{s:.2f} s" for s in seconds)
    return (
        f"detected {detected}, on the phone {told}, recovered {recovered}, "
        f"{result.alerts_sent} alerts, {result.ticks_lost} ticks lost"
    )
