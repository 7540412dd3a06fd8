"""The Health page and the report in a real browser: bars, words, sizes, contrast, a frozen desk."""

import asyncio
from collections.abc import Iterator

import pytest
from playwright.async_api import Page, expect

from tests.dashboard.test_browser import (
    CHROMIUM,
    CONTRAST,
    LAPTOP,
    PHONE,
    Server,
    browser,
    page,
    served,
)
from tests.dashboard.test_browser_positions import WIDTHS

__all__ = ["browser", "page"]  # the fixtures

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]
SMALL = """[...document.querySelectorAll(':is(.v-main, .h-report) :is(a, button, input)')]
  .map(e => e.tagName === 'INPUT' ? e.closest('.q-field__control') || e : e)
  .map(e => [e.outerHTML.slice(0, 120), e.getBoundingClientRect()])
  .filter(([, r]) => r.width && (r.width < 44 || r.height < 44))"""
FEED_STRIP = ".h-item:first-child .h-strip"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served("served_watch", "--trouble") as made:
        yield made


async def open_health(page: Page, server: Server) -> None:
    """Open the page with everything on it that can be opened."""
    await page.goto(server.url + "/status")
    await page.wait_for_selector(f"{FEED_STRIP} .h-bar")
    await page.locator('[aria-label="Details of market feed"]').click()
    await page.wait_for_selector(".h-gaps td")
    await page.locator('[aria-label="Incident 1"]').click()
    await page.wait_for_selector(".h-steps li")
    await page.get_by_text("Check now").click()
    await page.wait_for_selector(".h-check")


async def test_a_strip_has_sixty_bars_that_say_what_they_are(page: Page, server: Server) -> None:
    await open_health(page, server)

    titles = await page.locator(f"{FEED_STRIP} .h-bar").evaluate_all("e => e.map(b => b.title)")

    assert len(titles) == 60
    assert titles[0].endswith("or the desk was not running · 0 messages, 0 errors")
    with_errors = "with errors · 2,290 messages, 3 errors"  # a new minute may have moved it on
    assert sum(title.endswith(with_errors) for title in titles) == 1
    assert "IST · down" in " ".join(titles)
    heights = await page.locator(f"{FEED_STRIP} .h-bar").evaluate_all(
        "e => [...new Set(e.map(b => Math.round(b.getBoundingClientRect().height)))]"
    )
    assert len(heights) >= 3  # not by colour alone


async def test_a_hop_is_drawn_with_gaps_and_says_its_minutes(page: Page, server: Server) -> None:
    await open_health(page, server)

    charts = page.locator(".h-hop-plot svg")
    assert await charts.count() == 3
    drawn = charts.first
    titles = await drawn.locator("title").evaluate_all("e => e.map(t => t.textContent)")
    assert len(titles) == 60
    gaps = sum("nothing was measured" in title for title in titles)
    assert gaps == await drawn.locator(".h-hop-gap").count() >= 15
    line = await drawn.locator(".h-hop-p50").get_attribute("d") or ""
    assert 2 <= line.count("M") <= 4  # it is broken where nothing was measured
    assert "NaN" not in line
    assert await page.locator(".h-hop-scale").first.inner_text() != ""


async def test_the_log_is_text_and_stands_below(page: Page, server: Server) -> None:
    await open_health(page, server)

    lines = page.locator(".h-log-line")
    assert await lines.count() == 13
    assert "✖ error" in await lines.last.inner_text()
    assert "<b>bold</b>" in await lines.last.inner_text()
    assert await lines.last.locator("b").count() == 0


async def test_an_open_incident_and_a_drill_count_on(page: Page, server: Server) -> None:
    await open_health(page, server)
    before = await page.locator(".h-stopwatch:visible").inner_text()
    lasting = page.locator(".h-incident .va:visible").first
    age = await lasting.inner_text()

    await expect(page.locator(".h-stopwatch:visible")).not_to_have_text(before, timeout=10_000)
    await expect(lasting).not_to_have_text(age, timeout=10_000)


@pytest.mark.parametrize(
    ("path", "size"),
    [("/status", LAPTOP), ("/status", PHONE), ("/status", (820, 1180)), ("/report", PHONE)],
)
async def test_nothing_scrolls_sideways(
    page: Page, server: Server, path: str, size: tuple[int, int]
) -> None:
    await page.set_viewport_size({"width": size[0], "height": size[1]})
    if path == "/status":
        await open_health(page, server)
    else:
        await page.goto(server.url + path)
        await page.wait_for_selector(".h-report .h-table")

    inner, outer = await page.evaluate(WIDTHS)

    assert inner <= outer


@pytest.mark.parametrize("path", ["/status", "/report"])
async def test_what_is_touched_on_a_phone_is_large_enough(
    page: Page, server: Server, path: str
) -> None:
    await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    if path == "/status":
        await open_health(page, server)
    else:
        await page.goto(server.url + path)
        await page.wait_for_selector(".h-report .h-table")

    assert await page.evaluate(SMALL) == []


@pytest.mark.parametrize(
    ("path", "theme"), [("/status", "dark"), ("/status", "light"), ("/report", "dark")]
)
async def test_every_text_can_be_read(page: Page, server: Server, path: str, theme: str) -> None:
    cookie = {"name": "vigil_theme", "value": theme, "url": server.url}
    await page.context.add_cookies([cookie])  # type: ignore[list-item]
    if path == "/status":
        await open_health(page, server)
    else:
        await page.goto(server.url + path)
        await page.wait_for_selector(".h-report .h-table")
    await asyncio.sleep(0.6)

    assert await page.evaluate(CONTRAST) == []


async def test_a_frozen_desk_has_nothing_green_on_it(page: Page, server: Server) -> None:
    await open_health(page, server)
    server.freeze()
    try:
        await page.wait_for_selector('.v-light[data-level="gone"]', timeout=6_000)
        grey = "getComputedStyle(document.querySelector('.v-main')).filter"
        assert await page.evaluate(grey) == "grayscale(1)"
        crossed = "getComputedStyle(document.querySelector('.h-pill')).textDecorationLine"
        assert await page.evaluate(crossed) == "line-through"
    finally:
        server.thaw()
    await page.wait_for_selector('body[data-contact="yes"]', timeout=5_000)


async def test_the_report_is_light_and_prints(page: Page, server: Server) -> None:
    cookie = {"name": "vigil_theme", "value": "dark", "url": server.url}
    await page.context.add_cookies([cookie])  # type: ignore[list-item]
    await page.goto(server.url + "/report")
    await page.wait_for_selector("body.body--light .h-report .h-table")
    assert await page.locator(".h-report .v-mode").inner_text() == "SIMULATED"

    await page.evaluate("window.print = () => { window.printed = true; }")
    await page.get_by_text("Print").click()
    assert await page.evaluate("window.printed")
    await page.emulate_media(media="print")

    assert not await page.get_by_text("Print").is_visible()
    assert await page.locator(".h-report .v-mode").is_visible()
