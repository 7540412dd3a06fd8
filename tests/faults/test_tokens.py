"""Rows A01-A07: tokens that end, are refused, are renewed, and must reach nobody else."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dashboard.light import Level
from feeds.upstox.token import FileToken
from main import Vigil
from settings import Run, Settings, Storage, Upstox
from simulator.build import Options, create_exchange, parse_start
from simulator.server import SimulatedExchange
from tests.faults.redirector import Redirector
from tests.faults.scene import AUTHORIZE, QUICK, RECOVERED, Scene, quiet_for, scene
from tests.rig import FAST
from trading.errors import NotPermitted, TokenRefused
from trading.ports import FeedState

HOLIDAYS = "/v2/market/holidays"


@asynccontextmanager
async def signed_in_by_hand(
    folder: Path, exchange: SimulatedExchange, *, base_url: str = ""
) -> AsyncIterator[Scene]:
    """Start a desk whose token a person puts into a file, as with the real broker."""
    base = base_url or exchange.base_url
    options = Settings(
        run=Run(exchange="upstox"),
        storage=Storage(directory=folder),
        feed=FAST,
        upstox=Upstox(base_url=base, assets_url=base),
    )
    sign_in(folder, exchange)
    vigil = Vigil(options)
    try:
        desk = Scene(vigil, exchange)
        await vigil.start()
        yield desk
    finally:
        vigil.stop()


def sign_in(folder: Path, exchange: SimulatedExchange) -> str:
    folder.mkdir(exist_ok=True)
    token = exchange.tokens.issue().value
    FileToken(folder / "token").save(token)
    return token


async def test_a01_at_half_past_three_the_token_ends_and_one_dial_finds_it_out(
    tmp_path: Path,
) -> None:
    options = Options(instruments=20, start=parse_start("2024-06-27T03:20"))
    with create_exchange(options) as exchange:
        async with signed_in_by_hand(tmp_path, exchange) as desk:
            await desk.live()
            await desk.told(FeedState.LIVE, within=5)
            exchange.clock.set(parse_start("2024-06-27T03:29:59"))
            desk.changes.clear()
            calls = desk.authorised()
            await desk.told(FeedState.REFUSED, within=2 + 6)
            await quiet_for(0.8, lambda: desk.state is FeedState.REFUSED)

            assert exchange.clock.now() < parse_start("2024-06-27T03:31")
            assert desk.authorised() == calls + 1
            assert desk.losses() == 1
            assert desk.states.count(FeedState.REFUSED) == 1
            assert desk.light is Level.BROKEN
            assert "refused the token" in desk.desk.feed.stats().reason


async def test_a02_a_new_token_brings_prices_back_without_a_restart(tmp_path: Path) -> None:
    with create_exchange(Options(instruments=20)) as exchange:
        async with signed_in_by_hand(tmp_path, exchange) as desk:
            await desk.at_work()
            exchange.faults.set("expire_token")
            await desk.told(FeedState.REFUSED, within=RECOVERED)
            connections = len(exchange.ledger.connections)
            began = time.monotonic()
            sign_in(tmp_path, exchange)
            await desk.healed(within=5)

            print(f"live {time.monotonic() - began:.1f} s after the new token")
            assert len(exchange.ledger.connections) == connections + 1
            assert desk.light is Level.LIVE
            [(_, ended, _)] = desk.gaps()
            assert ended is not None


@pytest.mark.parametrize("where", ["authorize", "handshake"])
async def test_a03_a_refused_token_is_tried_once(tmp_path: Path, where: str) -> None:
    async with scene(tmp_path, feed=QUICK) as desk:
        if where == "authorize":
            desk.exchange.faults.set("refuse_token")
        else:
            desk.exchange.faults.set("handshake", how="401")
        calls, shaken = desk.authorised(), desk.shaken()
        desk.exchange.faults.set("drop")
        await desk.told(FeedState.REFUSED, within=RECOVERED)
        await quiet_for(0.8, lambda: desk.state is FeedState.REFUSED)

        assert desk.authorised() == calls + 1
        assert desk.shaken() == shaken + (where == "handshake")
        assert desk.losses() == 1
        assert desk.light is Level.BROKEN
        assert "refused the token" in desk.health["troubles"][0]


async def test_a03_a_token_refused_over_rest_is_said_so_and_leaves_the_socket_alone(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as desk:
        body = '{"status":"error","errors":[{"errorCode":"UDAPI100050","message":"Invalid token"}]}'
        desk.exchange.faults.set("rest", path="/v2", status=401, body=body)
        with pytest.raises(TokenRefused, match="UDAPI100050"):
            await desk.vigil.rest.profile()
        asked = len(desk.exchange.ledger.calls_to(HOLIDAYS))
        hours = desk.desk.hours.rules

        assert not await desk.vigil.refresh_hours()
        assert desk.desk.hours.rules is hours
        assert len(desk.exchange.ledger.calls_to(HOLIDAYS)) == asked + 1
        assert desk.state is FeedState.LIVE
        assert not desk.changes


async def test_a04_a_feed_without_permission_is_not_dialled_again_and_rest_goes_on(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, feed=QUICK) as desk:
        desk.exchange.faults.set("handshake", how="403")
        calls = desk.authorised()
        desk.exchange.faults.set("drop")
        await desk.told(FeedState.REFUSED, within=RECOVERED)
        await quiet_for(0.8, lambda: desk.state is FeedState.REFUSED)

        assert desk.authorised() == calls + 1
        assert "no permission (403), though the token is good" in desk.health["troubles"][0]
        assert desk.light is Level.BROKEN
        assert (await desk.vigil.rest.profile()).is_active
        assert await desk.vigil.refresh_hours()


async def test_a05_a_403_of_another_interface_leaves_the_feed_live(tmp_path: Path) -> None:
    """Orders come with a later issue; here everything but the feed is forbidden to the desk."""
    async with scene(tmp_path) as desk:
        desk.exchange.faults.set("rest", path="/v2", status=403, body='{"status":"error"}')
        with pytest.raises(NotPermitted, match="no permission, though the token may be good"):
            await desk.vigil.rest.profile()
        assert not await desk.vigil.refresh_hours()
        news = desk.desk.market_data.published
        await desk.until(lambda: desk.desk.market_data.published > news + 20, within=5)

        assert desk.state is FeedState.LIVE
        assert not desk.changes
        assert desk.light is Level.LIVE
        desk.exchange.faults.set("drop")
        await desk.healed()


async def test_a06_an_address_that_was_used_up_is_not_used_again(tmp_path: Path) -> None:
    soon = QUICK.model_copy(update={"backoff_closed": 0.5})
    async with scene(tmp_path, feed=soon) as desk:
        desk.exchange.faults.set("authorize", how="reused", next=1)
        desk.exchange.faults.set("drop")
        await desk.told(FeedState.REFUSED, within=RECOVERED)
        await desk.healed()

        assert [hand.status for hand in desk.exchange.ledger.handshakes] == [101, 403, 101]
        assert desk.authorised() == desk.shaken() == 3  # each dial had an address of its own


@pytest.mark.parametrize("leads", ["to another host", "back to itself"])
async def test_a07_a_redirected_handshake_is_not_followed_and_an_impostor_hears_nothing(
    tmp_path: Path, leads: str
) -> None:
    with Redirector() as impostor, Redirector() as away:
        host = impostor if leads == "to another host" else away
        away.to = f"ws://127.0.0.1:{host.port}/feed"
        async with scene(tmp_path, feed=QUICK) as desk:
            address = f"ws://127.0.0.1:{away.port}/feed"
            desk.exchange.faults.set("authorize", how="uri", uri=address)
            desk.exchange.faults.set("drop")
            await desk.until(lambda: len(away.heads) >= 3, within=RECOVERED)
            desk.exchange.faults.clear()
            await desk.healed()
            dialled = desk.authorised() - 2  # but the first and the last, which were good

        assert "does not keep to the WebSocket protocol" in desk.reasons
        assert len(away.heads) == dialled
        assert not [head for head in away.heads if "authorization" in head.lower()]
        assert impostor.heads == []


async def test_a07_a_redirected_request_is_not_followed_and_an_impostor_sees_no_token(
    tmp_path: Path,
) -> None:
    with (
        create_exchange(Options(instruments=20)) as exchange,
        Redirector() as impostor,
        Redirector(f"{impostor.url}/away") as away,
    ):
        async with signed_in_by_hand(tmp_path, exchange, base_url=away.url) as desk:
            asked = {AUTHORIZE, HOLIDAYS}
            await desk.until(lambda: asked <= {h.split()[1] for h in away.heads}, within=8)

            assert "unexpected status 302" in desk.reasons
            assert desk.light is not Level.LIVE
    assert impostor.heads == []
