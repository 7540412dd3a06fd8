"""Positions in a real browser: what ages there, what fits there, what can be read there."""

import asyncio
import signal
from collections.abc import Iterator

import pytest
from playwright.async_api import Page

from tests.dashboard.test_browser import (
    CHROMIUM,
    CONTRAST,
    LAPTOP,
    PHONE,
    Server,
    browser,
    live,
    page,
    served,
)

__all__ = ["browser", "page"]  # the fixtures

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]
SMALL = """[...document.querySelectorAll('a, button, input')]
  .map(e => e.tagName === 'INPUT' ? e.closest('.q-field__control') || e : e)
  .map(e => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()])
  .filter(([, r]) => r.width && (r.width < 44 || r.height < 44))"""
WIDTHS = "[document.documentElement.scrollWidth, window.innerWidth]"
ROW = ".v-position-row.v-row"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served("served_positions") as made:
        yield made


async def open_positions(page: Page, server: Server) -> None:
    await live(page, server, "/positions")
    await page.wait_for_selector(f'{ROW} .badge[data-trust="live"]', timeout=8_000)


async def test_money_moves_and_the_curve_is_drawn(page: Page, server: Server) -> None:
    await open_positions(page, server)
    seen = set()
    for _ in range(30):
        await asyncio.sleep(0.1)
        seen.add(await page.locator(f"{ROW} .p-unrealised").first.inner_text())

    assert len(seen) > 3
    assert await page.locator(ROW).count() == 3
    assert await page.locator('.v-day-pnl .badge[data-trust="live"]').count() == 1
    title = await page.title()
    assert "· NIFTY 24," in title
    assert title.endswith("· SIMULATED")
    words = await page.locator(".v-pnl").get_attribute("aria-label")
    assert words is not None
    assert words.startswith(("P&L of the day, +₹", "P&L of the day, -₹"))


async def test_a_frozen_server_leaves_no_green_number_and_says_so_in_the_title(
    page: Page, server: Server
) -> None:
    await open_positions(page, server)

    server.freeze()
    try:
        none_green = "() => !document.querySelector('[data-trust=live], [data-trust=late]')"
        await page.wait_for_function(none_green, timeout=6_000)
        assert (await page.locator(f"{ROW} .badge").first.inner_text()).startswith("✖ S ")
        assert (await page.locator(".v-day-pnl .badge").inner_text()).startswith("✖ S ")
        assert await page.title() == "✖ NO CONTACT WITH THE APP"
        assert await page.evaluate(CONTRAST) == []
    finally:
        server.thaw()
    await page.wait_for_selector(f'{ROW} .badge[data-trust="live"]', timeout=5_000)


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("path", ["/", "/positions"])
async def test_everything_fits_a_phone_and_can_be_read(
    page: Page, server: Server, path: str, theme: str
) -> None:
    await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    cookie = {"name": "vigil_theme", "value": theme, "url": server.url}
    await page.context.add_cookies([cookie])  # type: ignore[list-item]
    await live(page, server, path)
    await page.wait_for_selector(".v-exit")
    await asyncio.sleep(0.5)
    assert await page.evaluate(SMALL) == []
    assert await page.evaluate(CONTRAST) == []
    await page.locator(".v-exit").first.click()
    await page.wait_for_selector(".v-send:not(.disabled)")
    await asyncio.sleep(0.4)

    assert await page.evaluate("document.activeElement.textContent") == "Cancel"
    assert await page.evaluate(SMALL) == []
    assert await page.evaluate(CONTRAST) == []
    inner, outer = await page.evaluate(WIDTHS)
    assert inner <= outer


@pytest.mark.parametrize("size", [LAPTOP, (820, 1180)])
async def test_the_pages_fit_a_laptop_and_a_tablet(
    page: Page, server: Server, size: tuple[int, int]
) -> None:
    await page.set_viewport_size({"width": size[0], "height": size[1]})
    for path in ("/positions", "/"):
        await live(page, server, path)
        await page.wait_for_selector(".v-exit")
        await asyncio.sleep(0.4)
        inner, outer = await page.evaluate(WIDTHS)
        assert inner <= outer
        tall = await page.evaluate("document.documentElement.scrollHeight - window.innerHeight")
        assert tall <= 0 or size != LAPTOP
        assert await page.evaluate(CONTRAST) == []


async def test_x_reviews_the_exit_of_the_chosen_row_and_enter_sends_nothing(
    page: Page, server: Server
) -> None:
    await open_positions(page, server)
    await page.keyboard.press("ArrowDown")
    await page.wait_for_selector(f'{ROW}[aria-selected="true"]')
    await page.keyboard.press("x")
    await page.wait_for_selector(".v-exit-sheet .v-send:not(.disabled)")

    await page.keyboard.press("Enter")
    await page.wait_for_selector(".v-exit-sheet", state="detached")

    assert await page.locator(ROW).count() == 3


async def test_the_badge_of_a_row_ages_when_only_its_prices_stop(
    page: Page, server: Server
) -> None:
    """The last test of this server: the prices do not come back."""
    await open_positions(page, server)
    row = page.locator(ROW, has_text="24000 CE")

    server.process.send_signal(signal.SIGUSR1)

    await row.locator('.badge[data-trust="quiet"]').wait_for(timeout=6_000)
    await row.locator('.badge[data-trust="stale"]').wait_for(timeout=8_000)
    assert (await row.locator(".badge").inner_text()).startswith("✖ S ")
    await page.wait_for_function(
        "document.querySelector('.v-day-pnl .badge').textContent === '✖ 1 of 3 legs stale'"
    )
    assert await row.locator(".p-unrealised").inner_text() == "—"
    assert await page.locator(f'{ROW} .badge[data-trust="live"]').count() == 2
    hatched = "getComputedStyle(document.querySelector('.v-day-pnl .price')).backgroundImage"
    assert "repeating-linear-gradient" in await page.evaluate(hatched)
    assert await page.evaluate(CONTRAST) == []
