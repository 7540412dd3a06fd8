"""The desk as a trader sees it: main.py, the simulated exchange on its socket, a real browser."""

import asyncio
import os
import re
import signal
import sqlite3
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Browser, Page

from simulator.calendar import IST
from tests.browser.conftest import CHROMIUM
from tests.process.served import Place, Served, launched

SIZES: Final = [(1366, 768), (390, 844)]
PATHS: Final = ["/", "/status"]
TRUST: Final = "trust => document.querySelector('.v-row .badge').dataset.trust === trust"
# Prices come; CARE is what a desk says for a minute after it was frozen, or on a busy machine.
LIVE: Final = '.v-light:is([data-level="live"], [data-level="care"])'
GREEN: Final = "[data-trust=live], [data-trust=late], [data-trust=quiet], [data-level=live]"
FIRST_PRICE: Final = r"""() => /\d/.test(document.querySelector(".v-row .f-ltp")?.textContent ?? "")
  && document.querySelector('.v-row .badge[data-trust="live"]') !== null"""
NAMED: Final = """() => { const names = [...document.querySelectorAll(".v-list .v-row .v-name")];
  return names.length && names.every(name => !name.textContent.includes("|")); }"""
# How many separate runs of columns of the chart hold a pixel of the colour of a candle.
BODIES: Final = """(() => {
  const canvas = document.querySelector(".v-candles canvas");
  const style = getComputedStyle(document.body);
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colours = ["--up", "--down"].map(name => {
    probe.fillStyle = style.getPropertyValue(name).trim();
    probe.fillRect(0, 0, 1, 1);
    return probe.getImageData(0, 0, 1, 1).data;
  });
  const { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height).getContext("2d");
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, width, height);
  const near = (at, c) => Math.abs(data[at] - c[0]) + Math.abs(data[at + 1] - c[1])
    + Math.abs(data[at + 2] - c[2]) < 24 && data[at + 3] > 200;
  let runs = 0, inside = false;
  for (let x = 0; x < width; x++) {
    let found = false;
    for (let y = 0; y < height && !found; y++)
      found = colours.some(c => near((y * width + x) * 4, c));
    if (found && !inside) runs++;
    inside = found;
  }
  return runs;
})()"""

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]


async def open_live(page: Page, desk: Served, path: str = "/") -> None:
    await page.goto(desk.url + path)
    await page.wait_for_selector(LIVE, timeout=10_000)


async def titles(page: Page) -> list[str]:
    return await page.locator(".v-list .v-row .v-name").all_inner_texts()


async def seconds_until(
    page: Page, expression: str, *, within: float, argument: Any = None
) -> float:
    began = time.monotonic()
    await page.wait_for_function(expression, arg=argument, timeout=within * 1000)
    return time.monotonic() - began


@pytest.mark.timeout(300)
async def test_from_the_start_of_the_process_to_the_first_price_on_the_page(
    browser: Browser, tmp_path: Path
) -> None:
    """Below 5 s; the best of three, and more where other programs use the processors as well."""
    took: list[float] = []
    limit = 0.0
    while not took or (min(took) >= limit and len(took) < 3):
        with launched(Place(tmp_path / f"data{len(took)}")) as served:
            page = await browser.new_page()
            began = time.monotonic()
            await asyncio.to_thread(served.until, served.health, "answering", within=30)
            await page.goto(served.url)
            await page.wait_for_function(FIRST_PRICE, timeout=15_000)
            took.append(time.monotonic() - began)
            if len(took) == 1:  # and soon the desk says that one can trade, by itself
                await page.wait_for_selector('.v-light[data-level="live"]', timeout=90_000)
            await page.close()
            await asyncio.to_thread(served.stop)
        limit = max(limit, 5.0 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))
    print(f"process start to first price on the page: {min(took):.2f} s")

    assert min(took) < limit


async def test_prices_move_and_say_that_they_are_simulated(page: Page, desk: Served) -> None:
    await open_live(page, desk)
    cell = page.locator(".v-row .f-ltp").first
    seen = {await cell.inner_text()}
    for _ in range(300):  # an index is told once a second, on average
        if len(seen) > 2:
            break
        await asyncio.sleep(0.1)
        seen.add(await cell.inner_text())

    assert len(seen) > 2
    for path in PATHS:
        await open_live(page, desk, path)
        assert await page.locator(".v-mode").inner_text() == "SIMULATED"
        assert await page.locator(".v-mode").is_visible()
        assert "SIMULATED" in await page.title()


async def test_badges_age_while_the_exchange_is_silent_and_recover(
    page: Page, desk: Served
) -> None:
    await open_live(page, desk)
    await page.wait_for_function(FIRST_PRICE)
    try:
        desk.exchange.fault("stall")
        silent_since = time.monotonic()
        late = await age_when(page, "late")
        took_late = time.monotonic() - silent_since
        stale = await age_when(page, "stale")
        took_stale = time.monotonic() - silent_since
        assert await page.locator(LIVE).count() == 0
    finally:
        desk.exchange.clear_faults()
    recovered = await seconds_until(page, TRUST, argument="live", within=5)
    print(f"late after {took_late:.1f} s, stale after {took_stale:.1f}, live {recovered:.1f} later")

    assert late >= 2.0
    assert took_late < 3.0
    assert stale >= 5.0
    assert took_stale < 6.0
    await page.wait_for_selector(LIVE, timeout=2_000)


async def age_when(page: Page, trust: str) -> float:
    """Wait for the header's badge to judge so; return the age of its price as shown then.

    It judges by the newest price of any instrument, so that its own may be older, never younger.
    """
    shown = await page.wait_for_function(
        """trust => { const badge = document.querySelector('.v-index .badge');
        return badge.dataset.trust === trust && badge.textContent; }""",
        arg=trust,
        timeout=7_000,
    )
    text: str = await shown.json_value()
    return float(text.rstrip("s").split()[-1])


async def test_a_frozen_desk_turns_nothing_green_within_six_seconds_and_recovers(
    page: Page, desk: Served
) -> None:
    await open_live(page, desk)
    await page.wait_for_function(FIRST_PRICE)
    await page.evaluate("window.stays = 1")
    os.kill(desk.pid, signal.SIGSTOP)
    try:
        none_green = f"() => document.querySelector({GREEN!r}) === null"
        took = await seconds_until(page, none_green, within=6)
        assert "NO CONTACT" in await page.locator(".v-light").inner_text()
        stays = await page.locator(".v-row .badge[data-trust=stale]").count()
    finally:
        os.kill(desk.pid, signal.SIGCONT)
    back = await seconds_until(page, FIRST_PRICE, within=10)
    await page.wait_for_selector(LIVE, timeout=5_000)
    print(f"nothing green after {took:.1f} s; live again {back:.1f} s after the thaw")

    assert stays > 0
    assert await page.evaluate("window.stays") == 1


async def test_what_is_searched_added_moved_and_removed_is_kept(page: Page, desk: Served) -> None:
    await open_live(page, desk)
    await page.wait_for_function(NAMED)
    await page.wait_for_function(FIRST_PRICE)
    if "RELIANCE" in await titles(page):  # of the list that a new desk begins with
        await remove(page, "RELIANCE")
    before = await titles(page)
    reliance = await add(page, "reliance")
    option = await add(page, "26000 ce")
    assert await titles(page) == [*before, reliance, option]
    assert "RELIANCE" in reliance.upper()
    assert "26000 CE" in option
    await page.wait_for_function(
        "() => [...document.querySelectorAll('.v-list .v-row .f-ltp')]"
        ".every(e => /[0-9]/.test(e.textContent))"
    )

    await choose(page, option)
    await page.locator('[aria-label="Move up"]').click()
    await shows(page, [*before, option, reliance])
    await remove(page, reliance)
    await shows(page, [*before, option])
    await page.reload()
    await shows(page, [*before, option])
    kept = desk.place.rows("SELECT instrument_key FROM watchlist ORDER BY position")
    assert len(kept) == len(before) + 1
    assert kept[-1][0].startswith("NSE_FO|")
    await remove(page, option)
    await shows(page, before)


async def remove(page: Page, title: str) -> None:
    await choose(page, title)
    await page.locator('[aria-label="Remove from the list"]').click()
    gone = page.locator(".v-list .v-row .v-name", has_text=title)
    await gone.wait_for(state="detached", timeout=5_000)


async def add(page: Page, words: str) -> str:
    """Search for it, take the first result; return the name of its row."""
    await page.keyboard.press("/")
    await page.keyboard.type(words)
    first = page.locator(".v-result", has_text=re.compile(words, re.IGNORECASE)).first
    await first.wait_for(timeout=5_000)
    count = len(await titles(page))
    await first.click()
    await page.wait_for_function(
        "n => document.querySelectorAll('.v-list .v-row .v-name').length > n", arg=count
    )
    return (await titles(page))[-1]


async def choose(page: Page, title: str) -> None:
    await page.locator(".v-list .v-row", has_text=title).first.click()
    await page.wait_for_function(
        "t => document.querySelector('.v-detail .v-title')?.textContent === t", arg=title
    )


async def shows(page: Page, expected: list[str]) -> None:
    await page.wait_for_function(
        "e => JSON.stringify([...document.querySelectorAll('.v-list .v-row .v-name')]"
        ".map(n => n.textContent)) === JSON.stringify(e)",
        arg=expected,
        timeout=5_000,
    )


async def test_the_chart_shows_the_minutes_that_were_recorded(page: Page, desk: Served) -> None:
    now = datetime.now(IST)
    minutes = min(40, now.hour * 60 + now.minute)  # the chart is of one day, from midnight on
    remember_minutes(desk.place, minutes)
    await open_live(page, desk)
    await page.wait_for_selector(".v-candles canvas")
    await page.wait_for_function(FIRST_PRICE)

    drawn = await page.wait_for_function(
        f"least => {{ const n = {BODIES}; return n > least && n; }}", arg=minutes * 0.75
    )

    assert minutes * 0.8 <= await drawn.json_value() <= minutes + 3
    assert "No candles" not in await page.locator(".v-detail").inner_text()


def remember_minutes(place: Place, minutes: int) -> None:
    """Write minutes before the present one for the first of the watchlist, as if recorded."""
    now = int(time.time() * 1000)
    first = now - now % 60_000 - minutes * 60_000
    with closing(sqlite3.connect(place.database, timeout=10)) as connection, connection:
        ((instrument, price),) = connection.execute(
            "SELECT i.id, t.ltp FROM instruments i JOIN quote_ticks t ON t.instrument_id = i.id "
            "WHERE i.instrument_key = 'NSE_INDEX|Nifty 50' ORDER BY t.id DESC LIMIT 1"
        )
        rows = [
            (instrument, first + n * 60_000, price - 20, price + 30, price - 30, price + 20)
            if n % 2
            else (instrument, first + n * 60_000, price + 20, price + 30, price - 30, price - 20)
            for n in range(minutes)
        ]
        connection.executemany(
            "INSERT OR REPLACE INTO candles (instrument_id, start, open, high, low, close, volume, "
            "ticks, complete, is_mock) VALUES (?, ?, ?, ?, ?, ?, 0, 10, 1, 1)",
            rows,
        )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", SIZES)
async def test_no_page_scrolls_sideways(
    page: Page, desk: Served, path: str, size: tuple[int, int]
) -> None:
    await page.set_viewport_size({"width": size[0], "height": size[1]})
    await open_live(page, desk, path)
    await asyncio.sleep(0.3)

    inner, outer = await page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")

    assert inner <= outer
    assert outer == size[0]
