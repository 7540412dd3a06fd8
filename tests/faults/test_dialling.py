"""Rows F08, F09 and F15-F18: what can go wrong before there is a connection."""

import asyncio
import logging
import socket
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.faults.scene import AUTHORIZE, QUICK, RECOVERED, Scene, scene
from tests.lateness import lateness
from tests.rig import FAST
from trading.ports import FeedState

HANDSHAKE = FAST.handshake_seconds
NOWHERE = "feeder.invalid.upstox.com"


async def attempts_fail(desk: Scene, count: int, *, within: float) -> list[str]:
    """Have the connection dropped, and return the reasons of so many failed attempts."""
    desk.exchange.faults.set("drop")
    await desk.until(lambda: len(failures(desk)) >= count, within=within, what=f"{count} failures")
    return failures(desk)[:count]


def failures(desk: Scene) -> list[str]:
    return [change.reason for change in desk.changes if change.before is FeedState.CONNECTING
            and change.after is not FeedState.OPEN]  # fmt: skip


@pytest.mark.parametrize(
    ("how", "reason", "least"),
    [
        ("never", "no answer in time", HANDSHAKE),
        ("rst", "the connection was lost", 0.0),
        ("wrong_accept", "does not keep to the WebSocket protocol", 0.0),
    ],
)
async def test_f08_a_handshake_that_fails_is_given_up_at_its_deadline_and_tried_again(
    tmp_path: Path, how: str, reason: str, least: float
) -> None:
    async with scene(tmp_path, feed=QUICK) as desk:
        desk.exchange.faults.set("handshake", how=how, next=2)
        async with lateness() as late:
            reasons = await attempts_fail(desk, 2, within=2 * (HANDSHAKE + 1.5))
        await desk.healed()

        assert all(reason in each for each in reasons)
        begun = [c.at for c in desk.changes if c.after is FeedState.CONNECTING]
        ended = [c.at for c in desk.changes if c.before is FeedState.CONNECTING]
        for start, end in list(zip(begun, ended, strict=True))[:2]:
            took = (end - start).total_seconds()
            assert least - 2 * late.worst <= took < HANDSHAKE + 0.5 + 2 * late.worst
        assert desk.authorised() == desk.shaken() == 4  # the first, two that failed, the good one


async def test_f09_a_server_that_is_down_is_tried_without_end_and_without_noise(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "feeds")
    async with scene(tmp_path, feed=QUICK) as desk:
        caplog.clear()
        await asyncio.to_thread(desk.exchange.stop)
        await desk.until(lambda: len(failures(desk)) >= 25, within=8)
        records = [r.getMessage() for r in caplog.records if r.name == "feeds.connection.market"]
        said = [text for text in records if text.startswith("market")]
        stats = desk.desk.feed.stats()

        assert "cannot be reached" in failures(desk)[-1]
        assert stats.attempt >= 25
        assert len(said) <= 3  # a minute's worth: lost, dialling, failed
        assert desk.health["status"] == "degraded"
        await asyncio.to_thread(desk.exchange.start)
        await desk.healed(within=QUICK.backoff_open + 1)
        assert desk.desk.feed.stats().attempt == 0
        [(started, ended, _)] = desk.gaps()
        assert ended is not None
        assert ended > started
        await desk.caught_up()


async def test_f09_attempts_are_spread_out_up_to_the_longest_wait(tmp_path: Path) -> None:
    feed = FAST.model_copy(update={"backoff_open": 0.5})
    async with scene(tmp_path, feed=feed) as desk:
        await asyncio.to_thread(desk.exchange.stop)
        await asyncio.sleep(2.5)
        tried = len(failures(desk))
        await asyncio.to_thread(desk.exchange.start)

        assert 3 <= tried <= 20  # 40 in ten minutes, at a longest wait of 30 s
        await desk.healed(within=feed.backoff_open + 1)


async def test_f15_a_resolver_that_fails_slowly_is_named_and_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def broken(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host != NOWHERE:
            return resolve(host, *args, **kwargs)
        time.sleep(1.0)  # as a resolver does that waits for its servers
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", broken)
    async with scene(tmp_path, feed=QUICK) as desk:
        desk.exchange.faults.set("authorize", how="uri", uri=f"wss://{NOWHERE}/feed", next=3)
        desk.exchange.faults.set("drop")
        lag = await longest_lag(desk, failed=3)
        reasons = failures(desk)
        await desk.healed()

        assert all("cannot be resolved (DNS)" in reason for reason in reasons)
        assert lag < 0.8


async def longest_lag(desk: Scene, *, failed: int) -> float:
    """Return the longest that the loop was held up until so many attempts had failed."""
    longest, before = 0.0, time.monotonic()
    while len(failures(desk)) < failed:
        await asyncio.sleep(0.01)
        now = time.monotonic()
        longest, before = max(longest, now - before - 0.01), now
        assert now - desk.last(desk.watched[0]).received < 30
    return longest


async def test_f16_a_429_is_waited_out_as_long_as_it_says(tmp_path: Path) -> None:
    async with scene(tmp_path, feed=QUICK) as desk:
        desk.exchange.faults.set("authorize", status=429, retry_after=2, next=1)
        desk.exchange.faults.set("drop")
        async with lateness() as late:
            await desk.healed(within=RECOVERED + 2)
        _, refused, next_one = desk.exchange.ledger.calls_to(AUTHORIZE)

        assert refused.status == 429
        assert 2.0 <= next_one.at - refused.at < 2.0 + 0.5 + 2 * late.worst


async def test_f17_a_broken_server_is_asked_again_with_growing_and_bounded_waits(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, feed=QUICK) as desk:
        statuses = (500, 502, 503, 504)
        desk.exchange.faults.set("drop")
        for number, status in enumerate(statuses, 1):
            desk.exchange.faults.set("authorize", status=status)
            await desk.until(
                lambda: sum(str(status) in reason for reason in failures(desk)) >= 2,  # noqa: B023
                within=3,
                what=f"two failures of status {status}, number {number}",
            )
        assert desk.state is not FeedState.LIVE
        desk.exchange.faults.clear()
        async with lateness() as late:
            await desk.healed()
        times = [call.at for call in desk.exchange.ledger.calls_to(AUTHORIZE)[1:]]
        waits = [b - a for a, b in pairwise(times)]

        assert max(waits) < QUICK.backoff_open + 0.3 + 2 * late.worst
        assert len({round(wait, 3) for wait in waits}) > 3  # jitter
        assert desk.shaken() == 2  # none of those was dialled


async def test_f17_an_authorise_call_without_an_answer_ends_in_time_and_is_repeated(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, feed=QUICK) as desk:
        desk.exchange.faults.set("authorize", how="timeout", next=1)
        async with lateness() as late:
            began = time.monotonic()
            [reason] = await attempts_fail(desk, 1, within=5 + 2)
            took = time.monotonic() - began

        assert took < 5 + 0.5 + 2 * late.worst  # faults.md C0: read timeout 5 s
        assert "does not answer in time" in reason
        await desk.healed()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"how": "html"}, "text/html instead of JSON"),
        ({"how": "no_uri"}, "carries no address"),
        ({"how": "uri"}, "foreign host, feeder.elsewhere.example"),
        ({"how": "uri", "uri": "ws://feeder.upstox.com/feed"}, "not encrypted"),
    ],
    ids=["html", "no-uri", "foreign-host", "not-encrypted"],
)
async def test_f18_an_answer_that_is_not_what_was_promised_is_shown_and_not_dialled(
    tmp_path: Path, answer: dict[str, str], reason: str
) -> None:
    async with scene(tmp_path, feed=QUICK) as desk:
        desk.exchange.faults.set("authorize", **answer)
        reasons = await attempts_fail(desk, 2, within=3)

        assert all(reason in each for each in reasons)
        await desk.until(lambda: reason in desk.health["troubles"][0], within=3, what="its words")
        assert desk.shaken() == 1
        desk.exchange.faults.clear()
        await desk.healed()
