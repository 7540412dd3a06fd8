"""The call to the outside watchdog: made while all is well, and missed when it is not."""

import time

import httpx
import pytest

from alerts.heartbeat import Heartbeat, create
from tests.alerts.http_server import HttpServer
from tests.alerts.timeline import NOON
from trading.clock import ManualClock
from trading.errors import CannotStart


class Well:
    def __init__(self) -> None:
        self.ready = True
        self.age: float | None = 0.5


def beating(url: str, well: Well, *, total: float = 5.0) -> Heartbeat:
    return Heartbeat(
        httpx.URL(url),
        clock=ManualClock(NOON),
        is_ready=lambda: well.ready,
        monitor_age=lambda: well.age,
        total=total,
    )


async def test_it_calls_while_the_desk_is_ready_and_its_monitor_looks() -> None:
    well = Well()
    with HttpServer() as server:
        heart = beating(server.url, well)
        await heart.beat()
        await heart.beat()
        await heart.close()

    assert [request.line for request in server.requests] == ["GET /hook HTTP/1.1"] * 2
    health = heart.health()
    assert (health.state, health.sent, health.last_sent) == ("ok", 2, NOON)


@pytest.mark.parametrize(("ready", "age"), [(False, 0.5), (True, 10.1), (True, None)])
async def test_it_does_not_call_when_something_is_wrong(ready: bool, age: float | None) -> None:
    well = Well()
    well.ready, well.age = ready, age
    with HttpServer() as server:
        heart = beating(server.url, well)
        await heart.beat()
        await heart.close()

    assert server.requests == []
    assert heart.health().state == "waiting"
    assert heart.health().reason.startswith("not called")


async def test_a_failure_is_counted_and_shown_and_never_raised() -> None:
    with HttpServer() as inner, HttpServer() as server:
        heart = beating(server.url, Well(), total=0.3)
        server.status, server.headers = 302, {"Location": inner.url}
        await heart.beat()
        assert heart.health().reason == "127.0.0.1 answered 302"
        server.status, server.delay = 200, 1.0
        began = time.monotonic()
        await heart.beat()
        assert time.monotonic() - began < 0.9
        assert "no answer within" in heart.health().reason
    await heart.beat()
    assert "cannot be reached" in heart.health().reason
    await heart.close()

    assert heart.health().retried == 3
    assert inner.requests == []
    assert "hook" not in heart.health().reason


def test_an_address_that_cannot_be_is_refused_at_the_start() -> None:
    clock = ManualClock(NOON)

    def made(url: str) -> Heartbeat | None:
        return create(url, clock=clock, is_ready=lambda: True, monitor_age=lambda: 0.0)

    assert made("") is None
    for wrong in ("hook", "ftp://example.org", "https://example.org:bad/"):
        with pytest.raises(CannotStart, match="heartbeat_url"):
            made(wrong)
