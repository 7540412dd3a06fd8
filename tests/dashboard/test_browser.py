"""The dashboard in a real browser: it moves, it ages without its server, it fits, it is quiet."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import websocket
from playwright.async_api import Browser, Page, async_playwright

from tests.process.served import clean_environment

CHROMIUM = shutil.which("chromium")
ROOT = Path(__file__).parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
]
LAPTOP, PHONE = (1366, 768), (390, 844)
PATHS = ("/", "/positions", "/orders", "/baskets", "/alerts", "/status")

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]


CONTRAST = """() => {
  const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const back = e => { for (; e; e = e.parentElement) {
    const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] === 1) return c;
  } return [255, 255, 255]; };
  const colour = e => { const c = getComputedStyle(e).color;
    const m = c.match(/color\\(srgb ([\\d.]+) ([\\d.]+) ([\\d.]+)/);
    return m ? m.slice(1).map(v => v * 255) : parse(c).slice(0, 3); };
  return [...document.querySelectorAll('body *')]
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.nodeValue.trim()))
    .filter(e => e.getClientRects().length && !['SCRIPT', 'STYLE'].includes(e.tagName))
    .map(e => { const [a, b] = [light(colour(e)), light(back(e))];
      const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
      return [e.className, e.textContent.slice(0, 20), ratio]; })
    .filter(([, , ratio]) => ratio < 4.5);
}"""


@dataclass
class Server:
    """The served desk, a process of its own that can be frozen."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(module: str, *arguments: str) -> Iterator[Server]:
    """Serve the desk of a module of this folder, and end it whatever happens."""
    port = free_port()
    command = [sys.executable, "-m", f"tests.dashboard.{module}", "--port", str(port)]
    process = subprocess.Popen([*command, *arguments], cwd=ROOT, env=clean_environment())
    made = Server(process, port)
    try:
        _await_health(made)
        yield made
    finally:
        made.thaw()
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served("served") as made:
        yield made


def _await_health(server: Server) -> None:
    for _ in range(300):
        assert server.process.poll() is None
        try:
            with urllib.request.urlopen(f"{server.url}/health", timeout=1):
                return
        except OSError:  # an answer that is late is one, too
            signal.sigtimedwait([], 0.1)
    raise AssertionError("the served desk did not answer within 30 s")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        await launched.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, server: Server) -> AsyncIterator[Page]:
    """A tab whose console must stay free of errors and which talks to nobody else."""
    context = await browser.new_context(viewport={"width": LAPTOP[0], "height": LAPTOP[1]})
    opened = await context.new_page()
    noise: list[str] = []
    opened.on("pageerror", lambda error: noise.append(str(error)))
    opened.on("console", lambda m: noise.append(m.text) if m.type == "error" else None)
    opened.on(
        "request",
        lambda r: None if r.url.startswith((server.url, "data:", "blob:")) else noise.append(r.url),
    )
    yield opened
    await context.close()
    assert noise == []


async def live(page: Page, server: Server, path: str = "/") -> None:
    await page.goto(server.url + path)
    await page.wait_for_selector('.v-light[data-level="live"]', timeout=10_000)


async def count(page: Page, selector: str) -> int:
    return await page.locator(selector).count()


async def test_prices_move_and_badges_are_live(page: Page, server: Server) -> None:
    await live(page, server)
    cell = page.locator(".v-row .f-ltp").first
    await page.wait_for_selector('.v-row .badge[data-trust="live"]')
    seen = {await cell.inner_text()}
    for _ in range(30):
        await asyncio.sleep(0.1)
        seen.add(await cell.inner_text())

    assert len(seen) > 3
    assert await page.locator('.v-row .badge[data-trust="quiet"]').count() == 1
    assert "IST" in await page.locator(".v-clock").inner_text()


async def test_a_frozen_server_turns_every_price_stale_within_six_seconds(
    page: Page, server: Server
) -> None:
    await live(page, server)
    await page.wait_for_selector('.v-row .badge[data-trust="live"]')

    server.freeze()
    began = time.monotonic()
    try:
        await page.wait_for_selector('.v-light[data-level="gone"]', timeout=4_000)
        assert await page.locator(".v-light").inner_text() == "NO CONTACT WITH THE APP"
        none_green = "() => !document.querySelector('[data-trust=live], [data-trust=late]')"
        await page.wait_for_function(none_green, timeout=6_000)
        assert time.monotonic() - began < 6.0
        assert await count(page, '.v-row .badge[data-trust="stale"]') > 5
        assert await count(page, '.v-row .badge[data-trust="quiet"]') == 0
        text = await page.locator(".v-row .badge").first.inner_text()
        assert text.startswith("✖ S ")
        assert await page.evaluate(CONTRAST) == []
    finally:
        server.thaw()

    await page.wait_for_selector('.v-light[data-level="live"]', timeout=5_000)
    await page.wait_for_selector('.v-row .badge[data-trust="live"]', timeout=5_000)


async def test_a_reloaded_tab_and_a_second_one_are_live(page: Page, server: Server) -> None:
    await live(page, server)
    await page.reload()
    await page.wait_for_selector('.v-row .badge[data-trust="live"]', timeout=5_000)

    second = await page.context.new_page()
    await live(second, server)

    for tab in (page, second):
        await tab.wait_for_selector('.v-row .badge[data-trust="live"]', timeout=5_000)


async def test_a_tab_that_lost_its_socket_is_current_again(page: Page, server: Server) -> None:
    await live(page, server)
    await page.evaluate("window.socket.io.engine.close()")
    await page.wait_for_function("window.socket.connected === false")

    await page.wait_for_function("window.socket.connected === true", timeout=10_000)
    before = await page.locator(".v-row .f-ltp").first.inner_text()
    await page.wait_for_function(
        "before => document.querySelector('.v-row .f-ltp').textContent !== before", arg=before
    )
    await page.wait_for_selector('.v-light[data-level="live"]')


async def test_a_tab_that_slept_is_current_when_it_wakes(page: Page, server: Server) -> None:
    await live(page, server)
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Page.setWebLifecycleState", {"state": "frozen"})
    await asyncio.sleep(4)
    await devtools.send("Page.setWebLifecycleState", {"state": "active"})

    await page.wait_for_selector('.v-light[data-level="live"]', timeout=1_500)
    await page.wait_for_selector('.v-row .badge[data-trust="live"]', timeout=1_500)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [LAPTOP, PHONE, (820, 1180)])
async def test_no_page_scrolls_sideways(
    page: Page, server: Server, path: str, size: tuple[int, int]
) -> None:
    await page.set_viewport_size({"width": size[0], "height": size[1]})
    await live(page, server, path)
    await asyncio.sleep(0.5)

    widths = "[document.documentElement.scrollWidth, window.innerWidth]"
    inner, outer = await page.evaluate(widths)

    assert inner <= outer


async def test_the_laptop_page_fits_without_scrolling(page: Page, server: Server) -> None:
    await live(page, server)

    tall = await page.evaluate("document.documentElement.scrollHeight - window.innerHeight")

    assert tall <= 0


@pytest.mark.parametrize("path", PATHS)
async def test_what_is_touched_on_a_phone_is_large_enough(
    page: Page, server: Server, path: str
) -> None:
    await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    await live(page, server, path)

    small = await page.evaluate(
        """[...document.querySelectorAll('a, button, input, .v-row[tabindex]')]
        .map(e => e.tagName === 'INPUT' ? e.closest('.q-field__control') || e : e)
        .map(e => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()])
        .filter(([, r]) => r.width && (r.width < 44 || r.height < 44))"""
    )

    assert small == []


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("theme", ["dark", "light"])
async def test_every_text_can_be_read_in_both_themes(
    page: Page, server: Server, path: str, theme: str
) -> None:
    cookie = {"name": "vigil_theme", "value": theme, "url": server.url}
    await page.context.add_cookies([cookie])  # type: ignore[list-item]
    await live(page, server, path)
    await asyncio.sleep(0.6)

    assert await page.evaluate(CONTRAST) == []


async def test_the_theme_is_remembered(page: Page, server: Server) -> None:
    await live(page, server)
    await page.locator('[aria-label="Dark or light"]').click()
    await page.wait_for_selector("body.body--light")

    await page.reload()

    await page.wait_for_selector("body.body--light")


async def test_keys_open_pages_search_and_choose_rows(page: Page, server: Server) -> None:
    await live(page, server)
    await page.wait_for_selector('.v-row[aria-selected="true"]')
    await page.keyboard.press("ArrowDown")
    await page.wait_for_selector('.v-row:nth-child(2)[aria-selected="true"]')
    await page.keyboard.press(str(await count(page, ".v-rail a")))
    await page.wait_for_selector(".v-sentence")
    assert page.url.endswith("/status")
    await page.keyboard.press("1")
    await page.wait_for_selector(".v-row .f-ltp")
    await page.keyboard.press("/")
    await page.keyboard.type("24950 pe")
    await page.wait_for_selector(".v-result")

    assert await page.locator(".v-result").count() == 1
    assert (await page.locator("a[aria-current=page]").inner_text()).endswith("Now")
    await page.keyboard.press("Escape")
    await page.wait_for_selector(".v-result", state="hidden")


async def test_navigation_does_not_load_the_page_again(page: Page, server: Server) -> None:
    await live(page, server)
    await page.evaluate("window.stays = 1")
    await page.locator(".v-rail a").last.click()
    await page.wait_for_selector(".v-sentence")

    assert await page.evaluate("window.stays") == 1


async def test_motion_stops_for_those_who_ask(page: Page, server: Server) -> None:
    await page.emulate_media(reduced_motion="reduce")
    await live(page, server)
    await asyncio.sleep(1)

    assert await page.evaluate("document.getAnimations().length") == 0


@pytest.mark.parametrize(
    ("origin", "accepted"),
    [
        ("http://127.0.0.1:{port}", True),
        ("http://localhost:{port}", True),
        ("http://127.0.0.1:1", False),
        ("https://evil.example", False),
        ("http://evil.example:{port}", False),
        ("null", False),
        (None, False),
    ],
)
async def test_the_socket_answers_own_pages_only(
    server: Server, origin: str | None, accepted: bool
) -> None:
    url = f"ws://127.0.0.1:{server.port}/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    headers: dict[str, Any] = {"suppress_origin": True}
    if origin:
        headers = {"origin": origin.format(port=server.port)}

    def connect() -> None:
        websocket.create_connection(url, timeout=5, **headers).close()

    if accepted:
        await asyncio.to_thread(connect)
    else:
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            await asyncio.to_thread(connect)
        assert refused.value.status_code == 403


async def test_the_page_cannot_be_framed(browser: Browser, server: Server) -> None:
    page = await browser.new_page()
    await page.set_content(f'<iframe src="{server.url}/"></iframe>')
    await asyncio.sleep(1)

    framed = page.frames[-1]

    assert await framed.locator(".v-header").count() == 0
    await page.close()
