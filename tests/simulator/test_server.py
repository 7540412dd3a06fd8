"""The whole way of a price over real sockets, and the life of the server."""

import socket
import time

import pytest

from feeds.upstox.proto import market_data_feed_pb2 as pb
from simulator.server import SimulatedExchange
from tests.simulator.tiny import INFY, NIFTY, Client, TinyMarket


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
