"""Orders and baskets in a real browser: pressed twice, by keys, on a phone, in both themes."""

import asyncio

import pytest
from playwright.async_api import Page

from tests.dashboard.test_browser import (
    CHROMIUM,
    CONTRAST,
    PHONE,
    Server,
    browser,
    live,
    page,
    server,
)

__all__ = ["browser", "page", "server"]  # the fixtures

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
    pytest.mark.xdist_group("browser"),
]
SMALL = """[...document.querySelectorAll(
    '.q-dialog button, .q-dialog input, .v-ticket-panel button, .v-ticket-panel input')]
  .map(e => e.tagName === 'INPUT' ? e.closest('.q-field__control') || e : e)
  .map(e => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()])
  .filter(([, r]) => r.width && (r.width < 44 || r.height < 44))"""


async def choose(page: Page) -> None:
    await page.locator(".v-ticket .v-search input").fill("24000 ce")
    await page.locator(".v-ticket .v-result").first.click()
    await page.wait_for_selector('.v-ticket-head .badge[data-trust="live"]')


async def orders_made(page: Page) -> int:
    await page.locator(".v-tab").last.click()
    await page.wait_for_selector('.v-tab[aria-selected="true"]:last-child')
    await asyncio.sleep(0.5)
    return await page.locator(".v-order").count()


async def test_a_double_click_sends_one_order_and_cancel_has_the_focus(
    page: Page, server: Server
) -> None:
    """U03 in a browser; Enter on the sheet that has just opened sends nothing."""
    await live(page, server, "/orders")
    await choose(page)
    before = await orders_made(page)
    await page.locator(".v-review-button").click()
    await page.wait_for_selector(".v-send:not(.disabled)")
    assert await page.evaluate("document.activeElement.textContent") == "Cancel"
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".v-review", state="detached")
    assert await orders_made(page) == before

    await page.locator(".v-review-button").click()
    await page.wait_for_selector(".v-send:not(.disabled)")
    await page.locator(".v-send").dblclick()
    await page.wait_for_selector(".v-happened")
    assert (await page.locator(".v-happened").inner_text()).startswith("Filled: bought 1 lot")
    await page.keyboard.press("Escape")
    await page.reload()

    assert await orders_made(page) == before + 1


async def test_keys_trade_the_chosen_row(page: Page, server: Server) -> None:
    await live(page, server)
    await page.locator(".v-row", has_text="24000 CE").last.click()
    await page.keyboard.press("s")
    await page.wait_for_selector(".v-ticket-sheet")
    assert await page.locator(".v-review-button").inner_text() == "Review SIMULATED sell"
    await page.keyboard.press("Escape")
    await page.wait_for_selector(".v-ticket-sheet", state="detached")

    await page.keyboard.press("b")
    await page.locator(".v-stepper input").first.press("Enter")  # reviews from a field

    await page.wait_for_selector(".v-review")
    assert await page.locator(".v-sentence-line").get_attribute("data-side") == "BUY"


async def test_the_pay_off_is_drawn_with_its_corners(page: Page, server: Server) -> None:
    await live(page, server, "/baskets")
    await page.locator(".v-templates .q-select").nth(1).click()
    await page.locator(".q-item", has_text="Bull call spread").click()
    await page.locator('[aria-label="Use the template"]').click()

    await page.wait_for_selector(".v-payoff polyline.line")

    points = await page.locator(".v-payoff polyline.line").get_attribute("points")
    assert points is not None
    assert len(points.split(" ")) == 4
    size = await page.locator(".v-payoff").bounding_box()
    assert size is not None
    assert size["height"] == 280


@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_the_sheets_fit_a_phone_and_can_be_read(
    page: Page, server: Server, theme: str
) -> None:
    await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    cookie = {"name": "vigil_theme", "value": theme, "url": server.url}
    await page.context.add_cookies([cookie])  # type: ignore[list-item]
    await live(page, server, "/orders")
    await page.locator(".v-plus").click()
    await choose(page)
    await page.locator('[aria-label="type"] button', has_text="SL").first.click()
    await asyncio.sleep(0.4)
    assert await page.evaluate(SMALL) == []
    assert await page.evaluate(CONTRAST) == []
    await page.locator('[aria-label="type"] button', has_text="Market").click()
    await page.locator(".v-review-button").click()
    await page.wait_for_selector(".v-send:not(.disabled)")
    await asyncio.sleep(0.4)

    assert await page.evaluate(SMALL) == []
    assert await page.evaluate(CONTRAST) == []
    widths = "[document.documentElement.scrollWidth, window.innerWidth]"
    inner, outer = await page.evaluate(widths)
    assert inner <= outer


async def test_without_contact_the_send_button_cannot_be_pressed(
    page: Page, server: Server
) -> None:
    """What is pressed while the app is away would be sent when it is back, at another price."""
    await live(page, server, "/orders")
    await choose(page)
    await page.locator(".v-review-button").click()
    await page.wait_for_selector(".v-send:not(.disabled)")

    server.freeze()
    try:
        await page.wait_for_selector('.v-light[data-level="gone"]', timeout=4_000)
        style = "getComputedStyle(document.querySelector('.v-send')).pointerEvents"
        assert await page.evaluate(style) == "none"
    finally:
        server.thaw()
    await page.wait_for_selector('.v-light[data-level="live"]', timeout=5_000)
