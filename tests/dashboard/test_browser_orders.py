"""Orders and baskets in a real browser: pressed twice, by keys, on a phone, in both themes."""

import asyncio

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
    server,
)

__all__ = ["browser", "page", "server"]  # the fixtures

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]
IN_SHEETS = ".q-dialog button, .q-dialog input, .v-ticket-panel button, .v-ticket-panel input"
SMALL = """[...document.querySelectorAll('WHERE')]
  .map(e => e.tagName === 'INPUT' ? e.closest('.q-field__control') || e : e)
  .map(e => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()])
  .filter(([, r]) => r.width && (r.width < 44 || r.height < 44))"""
SMALL_ANYWHERE = SMALL.replace("WHERE", "a, button, input:not([role=checkbox]), .q-toggle")
SMALL = SMALL.replace("WHERE", IN_SHEETS)


async def choose(page: Page) -> None:
    await page.locator(".v-ticket .v-search input").fill("24000 ce")
    await page.locator(".v-ticket .v-result").first.click()
    await page.wait_for_selector('.v-ticket-head .badge[data-trust="live"]')


async def use_spread(page: Page) -> None:
    await page.locator(".v-templates .q-select").nth(1).click()
    await page.locator(".q-item", has_text="Bull call spread").click()
    await page.locator('[aria-label="Use the template"]').click()
    await page.wait_for_selector(".v-leg .v-price-line")


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
    await page.wait_for_selector(".q-dialog", state="detached")  # keys are its own until then

    await page.keyboard.press("b")
    await page.locator(".v-stepper input").first.press("Enter")  # reviews from a field

    await page.wait_for_selector(".v-review")
    assert await page.locator(".v-sentence-line").get_attribute("data-side") == "BUY"


async def test_the_pay_off_is_drawn_with_its_corners(page: Page, server: Server) -> None:
    await live(page, server, "/baskets")
    await use_spread(page)

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


async def test_without_contact_nothing_that_is_pressed_is_sent(page: Page, server: Server) -> None:
    """What is pressed while the app is away would be sent when it is back, at another price."""
    await live(page, server, "/orders")
    await choose(page)
    before = await orders_made(page)
    await page.locator(".v-review-button").click()
    await page.wait_for_selector(".v-send:not(.disabled)")

    server.freeze()
    try:
        await page.wait_for_selector('.v-light[data-level="gone"]', timeout=4_000)
        style = "getComputedStyle(document.querySelector('.v-send')).pointerEvents"
        assert await page.evaluate(style) == "none"
        await page.locator(".v-send").focus()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Space")
        await page.locator(".v-send").dispatch_event("click")
    finally:
        server.thaw()
    await page.wait_for_selector('.v-light[data-level="live"]', timeout=5_000)
    await asyncio.sleep(1.0)  # what had waited for the app would have arrived

    assert await page.locator(".v-happened").count() == 0
    await page.keyboard.press("Escape")
    await page.wait_for_selector(".v-review", state="detached")
    assert await orders_made(page) == before
    await page.locator(".v-review-button").click()
    await page.wait_for_selector(".v-send:not(.disabled)")  # and now it is heard again


async def test_without_contact_no_page_claims_that_all_is_well(page: Page, server: Server) -> None:
    await live(page, server, "/status")
    claim = "getComputedStyle(document.querySelector('.v-sentence')).textDecorationLine"
    assert await page.evaluate(claim) == "none"

    server.freeze()
    try:
        await page.wait_for_selector('.v-light[data-level="gone"]', timeout=4_000)
        assert await page.evaluate(claim) == "line-through"
        grey = "getComputedStyle(document.querySelector('.v-main')).filter"
        assert await page.evaluate(grey) == "grayscale(1)"
    finally:
        server.thaw()
    await page.wait_for_selector('.v-light[data-level="live"]', timeout=5_000)


async def test_enter_twice_in_a_field_opens_one_review(page: Page, server: Server) -> None:
    await live(page, server, "/orders")
    await choose(page)

    lots = page.locator('.v-ticket input[aria-label="Lots"]')
    await lots.press("Enter")
    await lots.press("Enter")
    await page.wait_for_selector(".v-review")
    await asyncio.sleep(0.5)

    assert await page.locator(".v-review").count() == 1


async def test_what_is_wrong_with_the_feed_has_the_room_to_be_read(
    page: Page, server: Server
) -> None:
    """A cut-off DO NOT TRADE says too little; the second index makes way for it."""
    await live(page, server, "/orders")

    widths = await page.evaluate(
        """() => {
          const light = document.querySelector(".v-light");
          light.dataset.level = "stale";
          light.textContent = "DO NOT TRADE: market feed silent 2m 10s";
          return [light.scrollWidth, light.clientWidth];
        }"""
    )

    assert widths[0] <= widths[1]


@pytest.mark.parametrize("size", [LAPTOP, PHONE])
async def test_a_polled_price_beside_a_leg_covers_nothing(
    page: Page, server: Server, size: tuple[int, int]
) -> None:
    await page.set_viewport_size({"width": size[0], "height": size[1]})
    await live(page, server, "/baskets")
    await use_spread(page)

    covered = await page.evaluate(
        """() => [...document.querySelectorAll(".v-leg-name")].filter((name) => {
          const polled = name.querySelector(".v-price-line > :last-child");
          polled.textContent = "R 26,138.65, asked 2m 10s ago";
          const row = name.parentElement;
          const mine = [...name.querySelectorAll("*")].map((e) => e.getBoundingClientRect());
          const right = Math.max(...mine.map((r) => r.right));
          const bottom = Math.max(...mine.map((r) => r.bottom));
          return [...row.querySelectorAll(":scope > :not(.v-leg-name)")].some((other) => {
            const r = other.getBoundingClientRect();
            return r.width && r.left < right && r.top < bottom && r.bottom > mine[0].top;
          });
        }).length"""
    )

    assert covered == 0


@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_the_basket_page_fits_a_phone(page: Page, server: Server, theme: str) -> None:
    await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    cookie = {"name": "vigil_theme", "value": theme, "url": server.url}
    await page.context.add_cookies([cookie])  # type: ignore[list-item]
    await live(page, server, "/baskets")
    await use_spread(page)
    await asyncio.sleep(0.4)

    assert await page.evaluate(SMALL_ANYWHERE) == []
    assert await page.evaluate(CONTRAST) == []
    inner, outer = await page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert inner <= outer
