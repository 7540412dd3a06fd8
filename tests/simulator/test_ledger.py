"""The ledger holds what was really written, row by row when asked to."""

from collections.abc import Callable

import pytest

from simulator.ledger import Ledger
from simulator.model import Part
from simulator.server import SimulatedExchange
from tests.simulator.tiny import CALL, INFY, T0, Client, TinyMarket, wait_until


def test_every_tick_sent_is_a_row(
    exchange: SimulatedExchange, client: Client, market: TinyMarket
) -> None:
    client.snapshot(INFY, mode="ltpc")
    for n in range(3):
        market.change(INFY, ltp=150.0 + n, ltt=T0 + n, ltq=n, volume=1000 + n)
    for _ in range(3):
        client.message()
    rows = exchange.ledger.rows()

    assert [row.initial for row in rows] == [True, False, False, False]
    assert [(row.ltp, row.ltt, row.ltq, row.vtt) for row in rows[1:]] == [
        (150.0 + n, T0 + n, n, 1000 + n) for n in range(3)
    ]
    assert {row.instrument_key for row in rows} == {INFY}
    assert {row.connection for row in rows} == {1}
    assert {row.parts for row in rows} == {int(Part.PRICE)}
    assert {row.current_ts for row in rows} == {T0}


def test_a_change_that_the_mode_does_not_carry_is_not_a_row(
    exchange: SimulatedExchange, client: Client, market: TinyMarket
) -> None:
    client.snapshot(CALL, mode="ltpc")
    market.change(CALL, Part.BOOK, bids=[(1.0, 1)])
    market.trade(CALL, 150.0)
    client.message()

    assert [row.ltp for row in exchange.ledger.rows()] == [142.6, 150.0]


def test_what_a_fault_changed_is_kept_as_it_was_sent(
    exchange: SimulatedExchange, client: Client, market: TinyMarket
) -> None:
    client.snapshot(INFY)
    exchange.faults.set("price", value=-1.0, next=1)
    market.trade(INFY, 150.0)
    market.trade(INFY, 151.0)

    assert client.message().feeds[INFY].fullFeed.marketFF.ltpc.ltp == -1.0
    client.message()
    assert [row.ltp for row in exchange.ledger.rows()] == [142.6, -1.0, 151.0]


def test_counts_are_kept_even_without_rows(
    exchange: SimulatedExchange, connect: Callable[[], Client], market: TinyMarket
) -> None:
    client = connect()
    client.snapshot(INFY, CALL)
    market.trade(INFY, 150.0)
    client.message()
    client.socket.send("a text frame")
    client.socket.send_binary(b"not json")
    client.ask("sub", "NSE_EQ|NO", mode="full")
    (record,) = exchange.ledger.connections

    assert wait_until(lambda: record.unknown_keys == 1)
    assert (record.initial, record.live, record.market_infos) == (2, 1, 1)
    assert (record.text_frames, record.bad_requests) == (1, 1)
    assert record.requests == ["sub", "sub"]
    assert not record.closed
    assert [hand.status for hand in exchange.ledger.handshakes] == [101]
    assert len(exchange.ledger.calls_to("/v3/feed/market-data-feed/authorize")) == 1


def test_a_snapshot_after_unsubscribing_is_not_sent(
    exchange: SimulatedExchange, client: Client, market: TinyMarket
) -> None:
    client.snapshot(INFY)
    client.ask("unsub", INFY)
    (record,) = exchange.ledger.connections
    assert wait_until(lambda: "unsub" in record.requests)
    market.trade(INFY, 150.0)

    assert client.silent(0.1)
    assert record.live == 0


def test_rows_that_are_not_kept_are_not_invented() -> None:
    with pytest.raises(LookupError, match="does not keep rows"):
        Ledger().rows()


def test_the_summary_adds_up(exchange: SimulatedExchange, client: Client) -> None:
    client.snapshot(INFY, CALL)
    summary = exchange.ledger.summary()

    assert summary["ticks_sent"] == summary["rows_kept"] == 2
    assert summary["calls"] == {"GET /v3/feed/market-data-feed/authorize": 1}
