"""The real desk beside a real browser: one process of each for all tests here."""

import shutil
from collections.abc import AsyncIterator, Iterator
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, ViewportSize, async_playwright

from tests.process.served import Place, Served, launched

CHROMIUM: Final = shutil.which("chromium")
FLAGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
]
LAPTOP: Final[ViewportSize] = {"width": 1366, "height": 768}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched_browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched_browser
        await launched_browser.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = Place(tmp_path_factory.mktemp("desk") / "data")
    with launched(place) as served:
        served.ready()
        yield served
        assert served.stop() < 5
        assert served.process.returncode == 0
        assert "Traceback" not in served.log


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, desk: Served) -> AsyncIterator[Page]:
    """A tab whose console must stay free of errors and which talks to nobody else."""
    context = await browser.new_context(viewport=LAPTOP)
    opened = await context.new_page()
    noise = listen(opened, desk.url)
    yield opened
    await context.close()
    assert noise == []


def listen(page: Page, url: str) -> list[str]:
    """Return the list to which errors and requests to other hosts will be added."""
    noise: list[str] = []
    own = (url, url.replace("http", "ws", 1), "data:", "blob:")
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on("console", lambda m: noise.append(m.text) if m.type == "error" else None)
    page.on("request", lambda r: None if r.url.startswith(own) else noise.append(r.url))
    page.on("websocket", lambda w: None if w.url.startswith(own) else noise.append(w.url))
    return noise
