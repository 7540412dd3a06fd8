"""Light, bell, toasts, sounds and the phone panel in a real browser."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.dashboard.test_browser import (
    CHROMIUM,
    CONTRAST,
    LAPTOP,
    PHONE,
    Server,
    browser,
    served,
)

__all__ = ["browser"]  # the fixture

TOAST = '.v-toast[data-level="critical"]'
BOTTOM = "Math.abs(document.querySelector('.v-chat').scrollTop) < 2"
NONE_GREEN = """() => !document.querySelector(
  '[data-trust=live], [data-trust=late], [data-trust=quiet], [data-level=live]')"""
RINGS = """() => { const walk = node => { if (!node) return null;
  if (node.component?.proxy?.rings) return node.component.proxy.rings;
  const below = [node.component?.subTree, ...(Array.isArray(node.children) ? node.children : [])];
  for (const child of below) { const found = walk(child); if (found) return found; }
  return null; };
  const root = document.querySelector('#app')._vnode ||
    document.querySelector('[data-v-app]')._vnode;
  return [...walk(root)]; }"""

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served("served_alerts", "--morning") as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport={"width": LAPTOP[0], "height": LAPTOP[1]})
    opened = await context.new_page()
    noise: list[str] = []
    opened.on("pageerror", lambda error: noise.append(str(error)))
    opened.on("console", lambda m: noise.append(m.text) if m.type == "error" else None)
    yield opened
    await context.close()
    assert noise == []


async def live(page: Page, server: Server, path: str = "/alerts") -> None:
    await page.goto(server.url + path)
    await page.wait_for_selector('.v-light[data-level="live"]', timeout=10_000)


async def until(holds: Callable[[], object], within: float = 5.0) -> None:
    for _ in range(round(within / 0.05)):
        if holds():
            return
        await asyncio.sleep(0.05)
    assert holds()


def trouble(server: Server) -> None:
    os.kill(server.process.pid, signal.SIGUSR1)


async def test_a_critical_alert_reaches_every_tab_and_what_it_says_is_text(
    page: Page, server: Server
) -> None:
    second = await page.context.new_page()
    for tab in (page, second):
        await live(tab, server)
    trouble(server)
    for tab in (page, second):
        await tab.wait_for_selector(TOAST, timeout=3_000)
        await tab.wait_for_function("document.title.startsWith('(!) ')")
        shown = await tab.locator(TOAST).inner_text()
        assert "onerror='window.hacked=1'> {{ 7 * 7 }}" in shown
        assert await tab.evaluate("window.hacked") is None

    await page.locator(TOAST).get_by_text("Ack", exact=True).click()

    await second.wait_for_selector(TOAST, state="detached", timeout=2_000)
    await second.locator(".v-bell").click()
    await second.locator(".v-drawer").get_by_text("Ack all").click()
    for tab in (page, second):
        await tab.wait_for_function("!document.title.startsWith('(!)')", timeout=2_000)
        assert await tab.locator(".v-banner .v-alarm").count() == 0


async def test_a_frozen_server_leaves_nothing_green_on_the_alerts_page(
    page: Page, server: Server
) -> None:
    await live(page, server)
    server.freeze()
    try:
        await page.wait_for_function(NONE_GREEN, timeout=6_000)
        await page.wait_for_selector('.v-light[data-level="gone"]', timeout=6_000)
        assert await page.locator(".v-light").inner_text() == "NO CONTACT WITH THE APP"
    finally:
        server.thaw()
    await page.wait_for_selector('.v-light[data-level="live"]', timeout=5_000)
    assert await page.locator(".v-light").inner_text() == "CAN TRADE"


async def test_m_opens_the_alerts_and_mutes_the_one_in_focus(page: Page, server: Server) -> None:
    trouble(server)
    await live(page, server, "/")
    await page.keyboard.press("m")
    await page.wait_for_selector(".v-drawer .v-alert-row:focus")
    assert await page.get_by_text("unmute").count() == 0

    await page.keyboard.press("m")
    await page.wait_for_selector(".v-drawer .v-alert-row >> text=unmute")
    await page.keyboard.press("Escape")
    await page.wait_for_selector(".v-drawer", state="hidden")


async def test_the_light_opens_its_inputs(page: Page, server: Server) -> None:
    await live(page, server)
    await page.locator(".v-light").click()
    rows = page.locator(".v-inputs.v-open .v-input")
    await rows.first.wait_for()

    assert "valid until 03:30" in await page.locator(".v-inputs").inner_text()
    await page.keyboard.press("Escape")
    await page.wait_for_selector(".v-inputs", state="hidden")


async def test_care_turns_into_do_not_trade_when_the_prices_stop(page: Page) -> None:
    with served("served_alerts", "--care") as server:
        await page.goto(server.url + "/alerts")
        await page.wait_for_selector('.v-light[data-level="care"]', timeout=10_000)
        text = await page.locator(".v-light").inner_text()
        assert text == "CARE: Clock 2.4 s ahead of the exchange's (+1)"

        os.kill(server.process.pid, signal.SIGUSR2)
        await page.wait_for_selector('.v-light[data-level="stale"]', timeout=7_000)
        text = await page.locator(".v-light").inner_text()
        assert text.startswith("DO NOT TRADE: market feed silent ")


async def test_the_chat_keeps_the_newest_in_sight_or_the_place_that_is_read(
    page: Page, server: Server
) -> None:
    await live(page, server)
    box = page.locator(".v-phone-type input")
    for n in range(8):  # nobody waits for a bubble before typing on
        await box.fill(f"message {n}")
        await box.press("Enter")
    for n in range(8):
        await page.locator(".v-bubble", has_text=f"message {n}").wait_for()
    await page.wait_for_function(BOTTOM)

    chat = page.locator(".v-chat")
    await chat.hover()
    await page.mouse.wheel(0, -300)
    await page.wait_for_function(f"!({BOTTOM})")
    marked = page.locator(".v-bubble", has_text="message 3")
    before = await marked.bounding_box()
    await box.fill("one more")
    await box.press("Enter")
    await page.locator(".v-bubble", has_text="one more").wait_for(state="attached")
    await asyncio.sleep(0.3)
    after = await marked.bounding_box()

    assert before is not None
    assert after is not None
    assert abs(before["y"] - after["y"]) < 3


async def test_sounds_are_off_until_somebody_tests_them_and_then_kept(
    page: Page, server: Server
) -> None:
    await live(page, server)
    trouble(server)
    await page.wait_for_selector(TOAST)
    assert await page.evaluate(RINGS) == []

    await page.locator(".v-bell").click()
    await page.locator(".v-sounds").get_by_text("Fill").click()
    assert await page.evaluate(RINGS) == ["fill"]
    assert await page.evaluate("JSON.parse(localStorage.vigil_sound).on") is True
    second = await page.context.new_page()
    await live(second, server)
    await second.locator(".v-clock").click()  # a browser plays nothing before a press
    trouble(server)
    rung: list[str] = []
    for _ in range(60):
        rung = [*await page.evaluate(RINGS), *await second.evaluate(RINGS)]
        if len(rung) > 1:
            break
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    rung = [*await page.evaluate(RINGS), *await second.evaluate(RINGS)]

    assert rung == ["fill", "risk"] or rung == ["risk", "fill"]  # once, whichever tab was first
    await page.reload()
    await page.locator(".v-bell").click()
    await page.get_by_text("Sound is on").wait_for()


@pytest.mark.parametrize("size", [LAPTOP, PHONE, (820, 1180)])
async def test_a_full_page_does_not_scroll_sideways(
    page: Page, server: Server, size: tuple[int, int]
) -> None:
    await page.set_viewport_size({"width": size[0], "height": size[1]})
    await live(page, server)
    for part in range(3 if size == PHONE else 1):
        if size == PHONE:
            await page.locator(".v-alert-tabs button").nth(part).click()
        await asyncio.sleep(0.4)
        inner = await page.evaluate("document.documentElement.scrollWidth")
        assert inner <= size[0], part


async def test_what_is_touched_on_a_phone_is_large_enough(page: Page, server: Server) -> None:
    await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    await live(page, server)
    await page.locator(".v-bell").click()
    await page.wait_for_selector(".v-drawer.v-open .v-alert-row")
    for part in range(3):
        small = await page.evaluate(
            """[...document.querySelectorAll('a, button, input')]
            .map(e => e.tagName === 'INPUT' ? e.closest('.q-field__control') || e : e)
            .map(e => [e.outerHTML.slice(0, 90), e.getBoundingClientRect()])
            .filter(([, r]) => r.width && (r.width < 44 || r.height < 44))
            .map(([e, r]) => e + r.width + ' ' + r.height)"""
        )
        assert small == []
        if await page.locator(".v-drawer.v-open").count():
            await page.locator(".v-drawer-head .v-shut").first.click()
        await page.locator(".v-alert-tabs button").nth(part).click()
        await asyncio.sleep(0.4)


@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_every_text_can_be_read_in_both_themes(
    page: Page, server: Server, theme: str
) -> None:
    cookie = {"name": "vigil_theme", "value": theme, "url": server.url}
    await page.context.add_cookies([cookie])  # type: ignore[list-item]
    await live(page, server)
    await page.locator(".v-light").click()
    await page.locator(".v-bell").click()
    trouble(server)
    await page.wait_for_selector(TOAST)
    await asyncio.sleep(0.6)

    assert await page.evaluate(CONTRAST) == []
