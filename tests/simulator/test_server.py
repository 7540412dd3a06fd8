"""The whole way of a price over real sockets, and the life of the server."""

import socket
import time
from collections.abc import Iterator

import pytest

from feeds.upstox.proto import market_data_feed_pb2 as pb
from simulator.model import Part
from simulator.server import SimulatedExchange
from tests.simulator.tiny import INFY, NIFTY, Client, TinyMarket, wait_until


def test_a_price_travels_from_the_market_to_a_subscriber(
    client: Client, market: TinyMarket
) -> None:
    info = client.message()
    snapshot = client.snapshot(INFY)
    market.trade(INFY, 143.1)
    live = client.message()

    assert info.type == pb.Type.market_info
    assert info.marketInfo.segmentStatus["NSE_EQ"] == pb.MarketStatus.NORMAL_OPEN
    assert snapshot.type == pb.Type.initial_feed
    assert snapshot.feeds[INFY].fullFeed.marketFF.ltpc.ltp == 142.6
    assert live.type == pb.Type.live_feed
    assert live.feeds[INFY].fullFeed.marketFF.ltpc.ltp == 143.1
    assert not live.feeds[INFY].fullFeed.marketFF.HasField("marketLevel")


def test_it_stops_within_a_second_and_starts_again_on_the_same_ports(
    exchange: SimulatedExchange, client: Client
) -> None:
    ports = exchange.port, exchange.feeder_port
    began = time.monotonic()
    exchange.stop()
    took = time.monotonic() - began
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", ports[0]), timeout=1)
    exchange.start()
    again = Client(exchange)

    assert took < 1.0
    assert (exchange.port, exchange.feeder_port) == ports
    assert client.close_code() == 1006
    assert again.snapshot(NIFTY).feeds[NIFTY].fullFeed.indexFF.ltpc.ltp == 142.6
    again.shut()


class BrokenMarket(TinyMarket):
    def advance(self, now: int) -> Iterator[tuple[str, Part]]:
        raise ZeroDivisionError("broken")
        yield


def test_a_market_that_raises_ends_the_exchange_loudly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    exchange = SimulatedExchange(BrokenMarket()).start()

    assert wait_until(lambda: not exchange.alive)
    exchange.stop()
    assert "the simulated exchange has ended" in caplog.text
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", exchange.port), timeout=1)


def test_a_port_that_is_taken_is_told_before_anything_starts(exchange: SimulatedExchange) -> None:
    with pytest.raises(OSError, match="Address already in use"):
        SimulatedExchange(TinyMarket(), port=exchange.port).start()


def test_it_listens_on_loopback_only(exchange: SimulatedExchange) -> None:
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", exchange.port), timeout=1)
