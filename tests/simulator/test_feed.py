"""The feeder as the documentation describes it: handshake, requests, limits, order, pings."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import httpx
import orjson
import pytest
import websocket

from feeds.upstox.proto import market_data_feed_pb2 as pb
from simulator.calendar import ExchangeCalendar
from simulator.clock import ManualExchangeClock
from simulator.feed import batches
from simulator.limits import Mode, room
from simulator.model import Instrument, Part
from simulator.server import SimulatedExchange
from simulator.tokens import TokenTable
from simulator.wire import Update
from tests.simulator.tiny import (
    CALL,
    INFY,
    NIFTY,
    PUT,
    T0,
    TOKEN,
    Client,
    TinyMarket,
    authorize,
    bearer,
    wait_until,
)

Connect = Callable[[], Client]


def refused(url: str, **options: object) -> int:
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        websocket.create_connection(url, timeout=5, redirect_limit=0, **options)
    return int(caught.value.status_code)


# --- the handshake


def test_an_authorised_address_opens_one_connection(exchange: SimulatedExchange) -> None:
    url = authorize(exchange)
    first = Client(exchange, url=url)

    assert first.message().type == pb.Type.market_info
    assert refused(url) == 403
    assert [hand.status for hand in exchange.ledger.handshakes] == [101, 403]
    first.shut()


def test_the_entry_address_redirects_to_a_socket_that_works(exchange: SimulatedExchange) -> None:
    header = ["Authorization: Bearer T"]
    with pytest.raises(websocket.WebSocketException) as caught:
        websocket.create_connection(exchange.entry_url, timeout=5, redirect_limit=0, header=header)
    followed = websocket.create_connection(exchange.entry_url, timeout=5, header=header)

    assert "302" in str(caught.value) or "redirect" in str(caught.value).lower()
    assert pb.FeedResponse.FromString(followed.recv()).type == pb.Type.market_info
    followed.shutdown()


def test_the_entry_address_refuses_an_unknown_token(exchange: SimulatedExchange) -> None:
    assert refused(exchange.entry_url, header=["Authorization: Bearer wrong"]) == 401
    assert refused(exchange.entry_url) == 401


def test_a_guessed_code_is_refused(exchange: SimulatedExchange) -> None:
    url = authorize(exchange)
    guessed = url.partition("code=")[0] + f"code={uuid4()}"

    assert refused(guessed) == 403


def test_a_token_revoked_between_authorise_and_handshake_is_refused(
    exchange: SimulatedExchange,
) -> None:
    url = authorize(exchange)
    exchange.tokens.revoke(TOKEN)

    assert refused(url) == 401


def test_another_path_of_the_feeder_is_not_found(exchange: SimulatedExchange) -> None:
    assert refused(f"ws://127.0.0.1:{exchange.feeder_port}/elsewhere") == 404


def test_what_is_not_a_handshake_is_a_bad_request(exchange: SimulatedExchange) -> None:
    answer = httpx.get(f"http://127.0.0.1:{exchange.feeder_port}/", timeout=5)

    assert answer.status_code == 400
    assert answer.json()["status"] == "error"


def test_a_third_connection_is_refused(exchange: SimulatedExchange, connect: Connect) -> None:
    first, _ = connect(), connect()
    url = authorize(exchange)

    assert refused(url) == 403
    first.shut()
    assert wait_until(lambda: exchange.feed_connections() == 1)
    assert connect().message().type == pb.Type.market_info


def test_each_user_has_connections_of_his_own(
    exchange: SimulatedExchange, connect: Connect
) -> None:
    connect(), connect()
    exchange.tokens.add("other", user="9ZZ9ZZ")
    other = Client(exchange, token="other")

    assert other.message().type == pb.Type.market_info
    other.shut()


# --- requests


def test_market_info_comes_first_and_names_the_segments(client: Client) -> None:
    info = client.message()

    assert info.type == pb.Type.market_info
    assert info.currentTs == T0
    assert set(info.marketInfo.segmentStatus) == {
        "NSE_EQ", "NSE_FO", "NSE_COM", "NSE_INDEX", "NCD_FO", "BSE_EQ", "BSE_FO", "BSE_INDEX",
        "BCD_FO", "MCX_FO", "MCX_INDEX",
    }  # fmt: skip


def test_a_change_of_status_is_told_to_all(
    connect: Connect, exchange: SimulatedExchange, clock: ManualExchangeClock
) -> None:
    clients = [connect(), connect()]
    for client in clients:
        client.message()
    clock.set(clock.now() + timedelta(hours=6, minutes=1))  # 15:31 IST

    for client in clients:
        status = client.until(pb.Type.market_info).marketInfo.segmentStatus
        assert status["NSE_EQ"] == pb.MarketStatus.NORMAL_CLOSE
        assert status["MCX_FO"] == pb.MarketStatus.NORMAL_OPEN


def test_a_subscription_without_a_mode_is_ltpc(client: Client) -> None:
    client.message()
    client.ask("sub", INFY)

    assert client.message().feeds[INFY].WhichOneof("FeedUnion") == "ltpc"


def test_a_text_frame_subscribes_to_nothing(client: Client) -> None:
    client.message()
    text = orjson.dumps({"method": "sub", "data": {"mode": "full", "instrumentKeys": [INFY]}})
    client.socket.send_text(text.decode())

    assert client.silent(0.15)


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"[]", b'{"method":"sub"}', b'{"method":"buy","data":{"instrumentKeys":[]}}',
     b'{"method":"sub","data":{"mode":"quote","instrumentKeys":["x"]}}', b"\xff\xfe"],
)  # fmt: skip
def test_a_request_that_makes_no_sense_is_counted_and_the_connection_lives(
    exchange: SimulatedExchange, client: Client, payload: bytes
) -> None:
    client.socket.send_binary(payload)
    (record,) = exchange.ledger.connections

    assert wait_until(lambda: record.bad_requests == 1)
    assert INFY in client.snapshot(INFY).feeds


def test_change_mode_answers_with_the_whole_payload_of_the_new_mode(client: Client) -> None:
    client.snapshot(CALL, mode="ltpc")
    client.ask("change_mode", CALL, mode="full")
    feed = client.message().feeds[CALL]

    assert feed.requestMode == pb.RequestMode.full_d5
    assert len(feed.fullFeed.marketFF.marketLevel.bidAskQuote) == 5


def test_change_mode_of_what_is_not_held_does_nothing(client: Client) -> None:
    client.snapshot(CALL, mode="ltpc")
    client.ask("change_mode", PUT, mode="full")

    assert client.silent(0.1)


def test_a_subscription_frame_may_come_in_fragments(client: Client) -> None:
    client.message()
    whole = orjson.dumps({"method": "sub", "data": {"mode": "ltpc", "instrumentKeys": [INFY]}})
    abnf = websocket.ABNF
    for final, opcode, piece in ((0, abnf.OPCODE_BINARY, whole[:20]), (1, 0, whole[20:])):
        client.socket.send_frame(abnf(final, 0, 0, 0, opcode, 1, piece))

    assert INFY in client.message().feeds


# --- live frames


def test_each_change_is_sent_and_in_order(client: Client, market: TinyMarket) -> None:
    client.snapshot(INFY, CALL, mode="ltpc")
    for n in range(50):
        market.trade(INFY if n % 3 else CALL, 100.0 + n)
    seen: list[tuple[str, float]] = []
    while len(seen) < 50:
        seen += [(key, feed.ltpc.ltp) for key, feed in client.message().feeds.items()]

    for key in (INFY, CALL):
        expected = [100.0 + n for n in range(50) if (INFY if n % 3 else CALL) == key]
        assert [ltp for k, ltp in seen if k == key] == expected


def test_a_frame_holds_an_instrument_once_and_at_most_so_many() -> None:
    def item(key: str, ltp: float) -> Update:
        return Update(key, b"", 0, 0, 0, ltp, 1)

    items = [item("a", 1), item("b", 2), item("a", 3), item("c", 4), item("d", 5), item("a", 6)]
    cut = [[(i.instrument_key, i.ltp) for i in batch] for batch in batches(items, 3)]

    assert cut == [[("a", 1), ("b", 2), ("c", 4)], [("d", 5)], [("a", 3)], [("a", 6)]]


def test_a_large_snapshot_comes_in_frames_of_a_hundred(clock: ManualExchangeClock) -> None:
    many = [
        Instrument(f"NSE_EQ|X{n}", "NSE_EQ", "EQ", f"X{n}", f"X{n}", str(n), tick_size=0.05)
        for n in range(250)
    ]
    tokens = TokenTable(clock)
    tokens.add(TOKEN)
    with SimulatedExchange(TinyMarket(*many), clock=clock, tokens=tokens) as exchange:
        client = Client(exchange)
        client.message()
        client.sub(*(i.instrument_key for i in many))
        sizes = [len(client.message().feeds) for _ in range(3)]
        client.shut()

    assert sizes == [100, 100, 50]


def test_two_readers_in_different_modes_each_get_their_own(
    connect: Connect, market: TinyMarket
) -> None:
    small, big = connect(), connect()
    small.snapshot(CALL, mode="ltpc")
    big.snapshot(CALL, mode="full")
    market.change(CALL, Part.BOOK, bids=[(99.0, 5)])
    market.trade(CALL, 150.0)

    assert small.message().feeds[CALL].ltpc.ltp == 150.0
    book = big.message().feeds[CALL].fullFeed.marketFF
    assert book.marketLevel.bidAskQuote[0].bidP == 99.0
    assert not book.HasField("ltpc")
    assert big.message().feeds[CALL].fullFeed.marketFF.ltpc.ltp == 150.0


# --- limits


@pytest.mark.parametrize(
    ("mode", "used", "left"),
    [
        (Mode.LTPC, {}, 5000),
        (Mode.FULL, {Mode.FULL: 1999}, 1),
        (Mode.FULL, {Mode.FULL: 1600, Mode.LTPC: 1}, 0),
        (Mode.LTPC, {Mode.LTPC: 1990, Mode.FULL: 1}, 10),
        (Mode.OPTION_GREEKS, {Mode.OPTION_GREEKS: 2000}, 1000),
        (Mode.FULL_D30, {Mode.FULL_D30: 50}, 0),
    ],
)
def test_the_limit_of_a_mode_depends_on_whether_others_are_used(
    mode: Mode, used: dict[Mode, int], left: int
) -> None:
    assert room(mode, used) == left


def shares(count: int) -> list[Instrument]:
    return [
        Instrument(f"NSE_EQ|X{n}", "NSE_EQ", "EQ", f"X{n}", f"X{n}", str(n), tick_size=0.05)
        for n in range(count)
    ]


def test_keys_beyond_the_limit_get_no_data_and_no_word(clock: ManualExchangeClock) -> None:
    many = shares(60)
    tokens = TokenTable(clock)
    tokens.add(TOKEN)
    with SimulatedExchange(TinyMarket(*many), clock=clock, tokens=tokens) as exchange:
        client = Client(exchange)
        answered = client.snapshot(*(i.instrument_key for i in many), mode="full_d30").feeds
        (record,) = exchange.ledger.connections
        client.shut()

    assert set(answered) == {i.instrument_key for i in many[:50]}
    assert record.over_limit == 10


# --- life of a connection


def test_the_server_answers_pings(client: Client) -> None:
    client.message()
    client.socket.ping("are you there")
    opcode, data = client.socket.recv_data(control_frame=True)

    assert (opcode, data) == (websocket.ABNF.OPCODE_PONG, b"are you there")


def test_the_server_pings_when_it_has_nothing_to_say(
    market: TinyMarket, clock: ManualExchangeClock
) -> None:
    tokens = TokenTable(clock)
    tokens.add(TOKEN)
    with SimulatedExchange(market, clock=clock, tokens=tokens, flush=0.01, ping=0.05) as exchange:
        client = Client(exchange)
        client.message()
        opcode, _ = client.socket.recv_data(control_frame=True)
        client.shut()

    assert opcode == websocket.ABNF.OPCODE_PING
    assert exchange.ledger.connections[0].pings >= 1


def test_a_close_is_answered_and_frees_the_place(
    exchange: SimulatedExchange, client: Client
) -> None:
    client.message()
    client.socket.close(timeout=2)

    assert wait_until(lambda: exchange.feed_connections() == 0)
    assert exchange.ledger.connections[0].closed == "closed by the other side, 1000"


def test_an_unmasked_frame_is_a_protocol_error(client: Client) -> None:
    client.message()
    client.socket.sock.sendall(b"\x82\x01x")

    assert client.close_code() == 1002


def test_a_reader_that_does_not_keep_up_is_cut_off(clock: ManualExchangeClock) -> None:
    market = TinyMarket()
    tokens = TokenTable(clock)
    tokens.add(TOKEN)
    with SimulatedExchange(
        market, clock=clock, tokens=tokens, flush=0.01, max_buffer=100_000
    ) as exchange:
        client = Client(exchange)
        client.sub(CALL, mode="full_d30")
        for n in range(7_000):
            market.change(CALL, Part.BOOK, ltp=100.0 + n)
        (record,) = exchange.ledger.connections
        cut = wait_until(lambda: bool(record.closed))
        client.shut()

    assert cut
    assert record.closed == "1008 slow consumer"


def test_a_connection_ends_with_its_token(
    exchange: SimulatedExchange, client: Client, clock: ManualExchangeClock
) -> None:
    client.message()
    clock.set(clock.now() + timedelta(hours=18, minutes=1))  # 03:31 IST

    assert client.close_code() == 1008
    answer = httpx.get(f"{exchange.base_url}/v3/feed/market-data-feed/authorize", headers=bearer())
    assert answer.status_code == 401


def test_an_exchange_that_never_closes_says_so(
    market: TinyMarket, clock: ManualExchangeClock
) -> None:
    clock.set(clock.now() + timedelta(hours=14))  # 23:30 IST
    tokens = TokenTable(clock)
    tokens.add(TOKEN)
    calendar = ExchangeCalendar(always_open=True)
    with SimulatedExchange(market, clock=clock, calendar=calendar, tokens=tokens) as exchange:
        client = Client(exchange)
        statuses = client.message().marketInfo.segmentStatus
        client.shut()

    assert set(statuses.values()) == {pb.MarketStatus.NORMAL_OPEN}
    assert NIFTY in exchange.market.instruments
