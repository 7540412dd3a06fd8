"""The pages as a trader uses them: what is shown, added, chosen, shared and released."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from nicegui import ui
from nicegui.testing import User

from dashboard.app import pages
from dashboard.chart import CandleChart
from tests.dashboard.conftest import serving
from tests.dashboard.fakes import (
    BANK,
    CALL,
    NIFTY,
    PUT,
    RELIANCE,
    MemoryCatalogue,
    MemoryFeed,
    MemoryJournal,
    make_desk,
)
from tests.dashboard.hands import drawn, eventually, found, marker, text
from tests.ticks import batch, tick
from trading.clock import ManualClock
from trading.desk import Desk, World
from trading.errors import Retryable
from trading.model import Candle, Gap, Mode, Part


def journal(desk: Desk) -> MemoryJournal:
    assert isinstance(desk.journal, MemoryJournal)
    return desk.journal


def feed(desk: Desk) -> MemoryFeed:
    assert isinstance(desk.feed, MemoryFeed)
    return desk.feed


def rows(user: User) -> list[str]:
    """Return the keys of the watchlist in the order of the screen."""
    body = next(e for e in user.find(kind=ui.element).elements if "v-rows" in e.classes)
    return [
        m.removeprefix("row-").replace("_50", " 50").replace("_Bank", " Bank")
        for e in body.default_slot.children
        for m in e._markers
    ]


def test_every_page_file_defines_its_names() -> None:
    found = pages()

    paths = ["/", "/positions", "/orders", "/baskets", "/alerts", "/status"]
    assert [page.PATH for page in found] == paths
    for page in found:
        assert page.TITLE
        assert page.ICON
        assert callable(page.build)
    assert len({page.ORDER for page in found}) == len(found)


@pytest.mark.parametrize("path", ["/", "/status"])
@pytest.mark.parametrize(
    ("world", "word", "frame"),
    [
        (World("simulated", "broker"), "SIMULATED", "simulated"),
        (World("replay", "broker"), "SIMULATED REPLAY", "replay"),
        (World("upstox", "paper"), "PAPER", "paper"),
        (World("upstox", "broker"), "LIVE", "live"),
    ],
)
async def test_every_page_wears_the_mode(
    clock: ManualClock, no_errors: None, path: str, world: World, word: str, frame: str
) -> None:
    async with serving(make_desk(clock, world=world)) as user:
        await user.open(path)

        assert text(user, "mode") == word
        frames = [e for e in user.find(kind=ui.element).elements if "v-frame" in e.classes]
        assert [frame in e.classes for e in frames] == [True]


async def test_an_empty_desk_shows_the_indices_and_dashes(user: User) -> None:
    await user.open("/")
    await drawn(user, marker("row", NIFTY))

    assert rows(user) == [NIFTY, BANK]
    assert text(user, marker("ltp", NIFTY)) == "—"
    assert text(user, "light") == "DO NOT TRADE: no price yet"


async def test_a_price_reaches_the_page(user: User, desk: Desk, clock: ManualClock) -> None:
    journal(desk).kept = [CALL]
    await user.open("/")
    await drawn(user, marker("row", CALL))

    desk.market_data.publish(batch(tick(CALL, ltp=142.35, received=clock.monotonic())))
    await eventually(lambda: text(user, marker("ltp", CALL)) == "142.35")

    assert text(user, marker("oi", CALL)) == "31.27L"


async def test_a_page_that_was_opened_before_the_names_were_known_shows_them_later(
    user: User, desk: Desk
) -> None:
    catalogue = desk.catalogue
    assert isinstance(catalogue, MemoryCatalogue)
    catalogue.known, known = {}, catalogue.known
    await user.open("/")
    await drawn(user, marker("row", NIFTY))
    assert text(user, "chosen") == NIFTY

    catalogue.known = known
    await eventually(lambda: found(user, "chosen") and text(user, "chosen") == "NIFTY")


async def test_parts_that_never_came_stay_dashes_on_the_page(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    part = tick(NIFTY, ltp=24012.35, received=clock.monotonic(), parts=Part.PRICE)
    desk.market_data.publish(batch(part))

    await user.open("/")
    await drawn(user, marker("row", NIFTY))

    assert text(user, marker("ltp", NIFTY)) == "24,012.35"
    shown = {text(user, marker(f, NIFTY)) for f in ("change", "bid", "ask", "volume", "oi", "high")}
    assert shown == {"—"}


async def test_an_instrument_is_found_added_and_kept(user: User, desk: Desk) -> None:
    await user.open("/")
    await drawn(user, marker("row", NIFTY))

    user.find(marker="search").type("24000 PE")
    await drawn(user, marker("found", PUT))
    user.find(marker=marker("found", PUT)).click()
    await drawn(user, marker("row", PUT))

    assert rows(user) == [NIFTY, BANK, PUT]
    assert journal(desk).kept == [NIFTY, BANK, PUT]
    assert feed(desk).wanted[PUT] is Mode.FULL


async def test_a_list_that_the_disk_did_not_take_says_so(
    user: User, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the database locked the new row just never came."""

    async def refuse(instrument_keys: object) -> None:
        raise Retryable("another program holds the database locked")

    monkeypatch.setattr(journal(desk), "set_watchlist", refuse)
    await user.open("/")
    await drawn(user, marker("row", NIFTY))
    user.find(marker="search").type("24000 PE")
    await drawn(user, marker("found", PUT))
    user.find(marker=marker("found", PUT)).click()

    await user.should_see("The list stays as it was: another program holds the database locked")
    assert rows(user) == [NIFTY, BANK]


async def test_a_search_without_result_says_so(user: User) -> None:
    await user.open("/")
    user.find(marker="search").type("<script>")

    await user.should_see("No instrument is called “<script>”", retries=20)


async def test_the_chosen_row_is_moved_and_removed(user: User, desk: Desk) -> None:
    journal(desk).kept = [NIFTY, CALL, RELIANCE]
    await user.open("/")
    await drawn(user, marker("row", RELIANCE))

    user.find(marker=marker("row", RELIANCE)).click()
    await eventually(lambda: text(user, "chosen") == "RELIANCE")
    user.find(marker="up").click()
    await eventually(lambda: rows(user) == [NIFTY, RELIANCE, CALL])
    user.find(marker="remove").click()
    await user.should_not_see(marker=marker("row", RELIANCE), retries=20)

    assert rows(user) == [NIFTY, CALL] == journal(desk).kept
    assert RELIANCE not in feed(desk).wanted
    assert text(user, "chosen") == "NIFTY"


async def test_a_change_in_one_tab_appears_in_the_other(
    user: User, another_user: Callable[[], User], desk: Desk
) -> None:
    await user.open("/")
    other = another_user()
    await other.open("/")
    await drawn(user, marker("row", NIFTY))
    await drawn(other, marker("row", NIFTY))

    other.find(marker="search").type("RELIANCE")
    await drawn(other, marker("found", RELIANCE))
    other.find(marker=marker("found", RELIANCE)).click()

    await drawn(user, marker("row", RELIANCE))
    assert rows(user) == rows(other) == [NIFTY, BANK, RELIANCE]


async def test_only_the_chosen_instrument_is_held_in_depth(user: User, desk: Desk) -> None:
    journal(desk).kept = [CALL, PUT]
    await user.open("/")
    await drawn(user, marker("row", PUT))
    assert set(feed(desk).deep) == {CALL}

    user.find(marker=marker("row", PUT)).click()

    assert set(feed(desk).deep) == {PUT}


async def test_leaving_the_page_and_closing_the_tab_release_what_they_held(
    user: User, desk: Desk
) -> None:
    client = await user.open("/")
    await drawn(user, marker("row", NIFTY))
    assert set(feed(desk).wanted) == {NIFTY, BANK}

    with client:
        await client.sub_pages_router._handle_navigate("/status")
    assert feed(desk).wanted == {}

    with client:
        await client.sub_pages_router._handle_navigate("/")
    await drawn(user, marker("row", NIFTY))
    client.delete()
    assert feed(desk).wanted == {}


async def test_navigating_to_and_fro_leaves_nothing_behind(user: User, desk: Desk) -> None:
    client = await user.open("/")
    await drawn(user, marker("row", NIFTY))
    elements, holds = len(client.elements), len(desk.subscriptions.holds())

    with client:
        for path in ("/status", "/") * 5:
            await client.sub_pages_router._handle_navigate(path)
            await user.should_see(marker="mode")
    await drawn(user, marker("row", NIFTY))

    assert len(client.elements) == elements
    assert len(desk.subscriptions.holds()) == holds


async def test_an_instrument_that_is_not_listed_any_more_can_still_be_removed(
    user: User, desk: Desk
) -> None:
    journal(desk).kept = ["NSE_FO|99999"]
    await user.open("/")
    await drawn(user, marker("row", "NSE_FO|99999"))

    user.find(marker="remove").click()

    await user.should_see("Nothing is watched yet", retries=20)
    assert journal(desk).kept == []


async def test_the_chart_gets_the_candles_and_gaps_of_the_session(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    now = int(clock.now().timestamp() * 1000)
    candle = Candle(NIFTY, now - 120_000, 1.0, 2.0, 0.5, 1.5, 0, 9, False, True)
    yesterday = candle.__class__(NIFTY, now - 86_400_000, 1.0, 2.0, 0.5, 1.5, 0, 9, True, True)
    journal(desk).minutes[NIFTY] = [yesterday, candle]
    begun = clock.now() - timedelta(minutes=10)
    journal(desk).holes = [Gap("market", begun, None, "stalled", True)]

    await user.open("/")
    await drawn(user, marker("row", NIFTY))
    chart = next(iter(user.find(kind=CandleChart).elements))
    await eventually(lambda: chart.picture is not None)

    assert chart.picture is not None
    assert chart.picture["candles"] == [(candle.start, 1.0, 2.0, 0.5, 1.5, 0, 0)]
    assert chart.picture["gaps"] == [(now - 600_000, chart.picture["to"])]
    assert chart.picture["from"] == now - 105 * 60_000  # 09:15


async def test_an_unknown_path_is_not_a_page(user: User) -> None:
    response = await user.http_client.get("/nowhere")

    assert response.status_code == 404
