"""The desk's client of the simulated exchange's faults, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from feeds.upstox.simulated_faults import SimulatedFaults
from simulator.server import SimulatedExchange
from tests.feeds.exchange import Exchange, Peer, success
from tests.simulator.tiny import TinyMarket
from trading.errors import BadRequest, Retryable


@pytest.fixture
def exchange() -> Iterator[SimulatedExchange]:
    with SimulatedExchange(TinyMarket()) as running:
        yield running


@pytest.fixture
async def faults(exchange: SimulatedExchange) -> AsyncIterator[SimulatedFaults]:
    async with SimulatedFaults(exchange.base_url) as client:
        yield client


async def test_faults_are_set_named_and_cleared(faults: SimulatedFaults) -> None:
    await faults.set("stall")
    await faults.set("authorize", how="status", status=503)
    both = await faults.names()
    await faults.clear("stall")
    one = await faults.names()
    await faults.clear()

    assert (both, one, await faults.names()) == (("stall", "authorize"), ("authorize",), ())


async def test_a_fault_ends_by_itself_though_nobody_clears_it(
    faults: SimulatedFaults, exchange: SimulatedExchange
) -> None:
    await faults.set("burst", lasts=2.0, factor=5)
    await faults.set("burst", factor=3)  # another one in its place, which stays
    await faults.set("stall", lasts=2.0)  # ends after the first burst would have
    assert await faults.names() == ("burst", "stall")
    async with asyncio.timeout(10):
        while not exchange.faults.cleared("stall"):  # noqa: ASYNC110 - it is in another thread
            await asyncio.sleep(0.05)

    assert await faults.names() == ("burst",)
    assert exchange.faults.cleared("stall") == 1


async def test_a_fault_that_does_not_exist_is_refused_in_words(faults: SimulatedFaults) -> None:
    with pytest.raises(BadRequest, match="no fault is called 'flood'"):
        await faults.set("flood")
    with pytest.raises(BadRequest, match="it knows: "):
        await faults.set("burst", factor=-1)


async def test_a_new_token_is_good(faults: SimulatedFaults, exchange: SimulatedExchange) -> None:
    assert exchange.tokens.check(await faults.new_token()) is not None


async def test_an_exchange_that_is_gone_is_told_as_no_answer(
    faults: SimulatedFaults, exchange: SimulatedExchange
) -> None:
    await asyncio.to_thread(exchange.stop)
    with pytest.raises(Retryable, match="does not answer"):
        await faults.clear()


async def test_what_is_no_simulated_exchange_is_told_so() -> None:
    def script(peer: Peer) -> None: ...

    with Exchange(script) as stranger:
        stranger.replies["/control/faults"] = success(None)
        stranger.replies["/control/faults"].body = b"<html>"  # type: ignore[union-attr]
        async with SimulatedFaults(stranger.url) as client:
            with pytest.raises(BadRequest, match="no simulated exchange"):
                await client.names()


@pytest.mark.parametrize("url", ["https://api.upstox.com", "http://10.0.0.7:8900", ""])
def test_only_this_machine_is_asked(url: str) -> None:
    with pytest.raises(ValueError, match="on this machine"):
        SimulatedFaults(url)
