"""A desk whose other sides are in memory, with its pages open to a simulated user."""

import gc
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest
from nicegui import core, ui
from nicegui.functions.download import download
from nicegui.functions.navigate import Navigate
from nicegui.functions.notify import notify
from nicegui.testing import User
from nicegui.testing.general import nicegui_reset_globals, prepare_simulation

from dashboard.app import register
from dashboard.guard import Security
from tests.dashboard.fakes import OPEN_NOW, make_desk
from trading.clock import ManualClock
from trading.desk import Desk

SECURITY = Security(port=8080, allowed_hosts=("test",), secret="s" * 32)


@asynccontextmanager
async def serving(desk: Desk, security: Security = SECURITY) -> AsyncIterator[User]:
    """Start NiceGUI with the pages of this desk, without a real server."""
    with nicegui_reset_globals():
        os.environ["NICEGUI_USER_SIMULATION"] = "true"
        try:
            prepare_simulation()
            register(desk, security)
            ui.run(storage_secret="simulated")
            async with core.app.router.lifespan_context(core.app), _client() as client:
                yield User(client)
        finally:
            os.environ.pop("NICEGUI_USER_SIMULATION", None)
            ui.navigate, ui.notify, ui.download = Navigate(), notify, download


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(core.app), base_url="http://test")


@pytest.fixture(scope="session", autouse=True)
def modules_are_no_garbage() -> None:
    """NiceGUI collects garbage twice a test: it need not look through every module each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(OPEN_NOW)


@pytest.fixture
def desk(clock: ManualClock) -> Desk:
    return make_desk(clock)


@pytest.fixture
def no_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test that logged an error: the pages swallow exceptions into the log."""
    yield
    errors = [r.getMessage() for r in caplog.get_records("call") if r.levelno >= logging.ERROR]
    assert errors == []


@pytest.fixture
async def user(desk: Desk, no_errors: None) -> AsyncIterator[User]:
    async with serving(desk) as user:
        yield user


@pytest.fixture
def another_user(user: User) -> Callable[[], User]:
    """Return a maker of further tabs of the same running desk."""
    return lambda: User(_client())
