"""Each fault does on the wire what its name says, and stops doing it when cleared."""

import math
import socket
import time
from collections.abc import Callable

import httpx
import pytest
import websocket
from google.protobuf.message import DecodeError

from feeds.upstox.proto import market_data_feed_pb2 as pb
from simulator.clock import ManualExchangeClock
from simulator.faults import Fault, Faults, Price, Silence, Stall, UnknownFault
from simulator.frames import Opcode, fragmented, header
from simulator.limits import Mode
from simulator.model import Instrument, Part
from simulator.server import SimulatedExchange
from simulator.tokens import TokenTable
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
AUTHORIZE = "/v3/feed/market-data-feed/authorize"


def ask(exchange: SimulatedExchange, path: str = AUTHORIZE) -> httpx.Response:
    return httpx.get(exchange.base_url + path, headers=bearer(), timeout=5)


# --- names, parameters, scope


def test_an_unknown_fault_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UnknownFault, match=r"no fault is called 'stal'; there are: .*stall"):
        Faults().set("stal")


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("drop", {"how": "gently"}, "how: Input should be 'fin'"),
        ("stall", {"seconds": 3}, r"seconds: Extra inputs are not permitted \(it knows: next"),
        ("price", {}, "value: Field required"),
        ("rest", {"path": "no-slash"}, "path: String should match"),
        ("stall", {"probability": 0}, "probability: Input should be greater than 0"),
    ],
)
def test_a_wrong_parameter_is_refused_in_words(
    name: str, parameters: dict[str, object], says: str
) -> None:
    with pytest.raises(UnknownFault, match=says):
        Faults().set(name, **parameters)


def test_a_fault_lasts_until_it_is_cleared() -> None:
    faults = Faults()
    faults.set("stall")
    struck = [faults.take(Silence) for _ in range(10)]
    faults.clear("stall")

    assert all(isinstance(fault, Stall) for fault in struck)
    assert faults.take(Silence) is None


def test_a_fault_for_the_next_two_strikes_twice() -> None:
    faults = Faults()
    faults.set("price", value=0.0, next=2)

    assert [faults.take(Price) is not None for _ in range(4)] == [True, True, False, False]
    assert faults.show() == []


def test_a_fault_that_lasts_ends_though_nobody_runs_the_exchange() -> None:
    faults = Faults()
    faults.set("stall", lasts=0.5)
    faults.set("price", value=0.0, lasts=600)

    assert faults.active(Silence)
    time.sleep(0.55)
    assert faults.active(Silence) is None
    assert faults.take(Silence) is None
    assert [row["name"] for row in faults.show()] == ["price"]


def test_a_fault_that_lasts_ends_and_is_told_across_a_restart() -> None:
    exchange = SimulatedExchange(TinyMarket())
    exchange.faults.set("stall", lasts=0.2)
    with exchange:
        assert wait_until(lambda: exchange.faults.cleared("stall") == 1)
        exchange.faults.set("heartbeats", lasts=0.2)
    time.sleep(0.25)
    with exchange:
        assert wait_until(lambda: exchange.faults.cleared("heartbeats") == 1)


def test_chance_is_repeated_by_the_seed() -> None:
    def strikes(seed: int) -> list[bool]:
        faults = Faults(seed=seed)
        faults.set("twice", probability=0.3)
        return [faults.take(Fault) is not None for _ in range(200)]

    assert strikes(1) == strikes(1)
    assert strikes(1) != strikes(2)
    assert 30 < sum(strikes(1)) < 90


def test_faults_of_different_paths_stand_side_by_side() -> None:
    faults = Faults()
    faults.set("rest", path="/a", status=500)
    faults.set("rest", path="/b", status=404)
    faults.set("rest", path="/a", status=503)

    assert [(f["path"], f["status"]) for f in faults.show()] == [("/a", 503), ("/b", 404)]


# --- silence


def test_a_stall_keeps_answering_pings_and_owes_the_parts_that_changed(
    exchange: SimulatedExchange, client: Client, market: TinyMarket
) -> None:
    client.snapshot(CALL)
    exchange.faults.set("stall")
    market.change(CALL, Part.BOOK, bids=[(99.0, 5)])
    silent = client.silent(0.15)
    client.socket.ping()
    pong, _ = client.socket.recv_data(control_frame=True)
    exchange.faults.clear("stall")
    market.trade(CALL, 150.0)
    after = client.message().feeds[CALL].fullFeed.marketFF

    assert silent
    assert pong == websocket.ABNF.OPCODE_PONG
    assert after.ltpc.ltp == 150.0
    assert after.marketLevel.bidAskQuote[0].bidP == 99.0


def test_a_subscription_during_a_stall_is_answered_when_it_ends(
    exchange: SimulatedExchange, client: Client
) -> None:
    client.message()
    exchange.faults.set("stall")
    client.sub(INFY)
    silent = client.silent(0.1)
    exchange.faults.clear()

    assert silent
    assert INFY in client.until(pb.Type.initial_feed).feeds


def test_heartbeats_are_market_info_and_nothing_else(
    exchange: SimulatedExchange, client: Client, market: TinyMarket
) -> None:
    client.snapshot(INFY)
    exchange.faults.set("heartbeats", every=0.02)
    market.trade(INFY, 150.0)

    assert {client.message().type for _ in range(5)} == {pb.Type.market_info}


@pytest.mark.parametrize("fault", ["mute", "half_open"])
def test_a_dead_connection_answers_no_ping(
    exchange: SimulatedExchange, client: Client, market: TinyMarket, fault: str
) -> None:
    client.snapshot(INFY)
    exchange.faults.set(fault)
    client.socket.ping()
    market.trade(INFY, 150.0)
    client.socket.settimeout(0.15)

    with pytest.raises(websocket.WebSocketTimeoutException):
        client.socket.recv_data(control_frame=True)
    assert exchange.feed_connections() == 1


def test_a_half_open_server_lets_nobody_in_and_heals(
    exchange: SimulatedExchange, client: Client
) -> None:
    url = authorize(exchange)
    exchange.faults.set("half_open")
    with pytest.raises(websocket.WebSocketTimeoutException):
        websocket.create_connection(url, timeout=0.15)
    exchange.faults.clear()

    assert INFY in client.snapshot(INFY).feeds


def test_a_frame_stops_in_its_middle_and_does_not_go_on(
    exchange: SimulatedExchange, client: Client, market: TinyMarket
) -> None:
    client.snapshot(INFY)
    exchange.faults.set("mid_frame", next=1)
    market.trade(INFY, 150.0)
    market.trade(INFY, 151.0)
    client.socket.sock.settimeout(0.2)
    time.sleep(0.1)
    got = client.socket.sock.recv(4096)

    assert got[0] == 0x82
    assert len(got) < 2 + got[1]
    with pytest.raises(TimeoutError):
        client.socket.sock.recv(4096)
    assert len(exchange.ledger.rows()) == 1


def test_a_frame_trickles_byte_by_byte(
    exchange: SimulatedExchange, client: Client, market: TinyMarket
) -> None:
    client.snapshot(INFY)
    exchange.faults.set("trickle", every=0.04, next=1)
    market.trade(INFY, 150.0)
    time.sleep(0.2)
    got = client.socket.sock.recv(4096)

    assert 1 <= len(got) <= 6
    assert got[0] == 0x82


def test_slow_frames_come_late_and_in_order(
    exchange: SimulatedExchange, client: Client, market: TinyMarket
) -> None:
    client.snapshot(INFY, mode="ltpc")
    exchange.faults.set("slow", seconds=0.15)
    began = time.monotonic()
    for n in range(3):
        market.trade(INFY, 150.0 + n)
    prices = [client.message().feeds[INFY].ltpc.ltp for _ in range(3)]

    assert prices == [150.0, 151.0, 152.0]
    assert time.monotonic() - began >= 0.15


# --- the end of a connection


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012])
def test_a_drop_by_close_frame_tells_its_code(
    exchange: SimulatedExchange, client: Client, code: int
) -> None:
    exchange.faults.set("drop", how=str(code))

    assert client.close_code() == code
    assert exchange.faults.show() == []


def test_a_fin_ends_the_stream_without_a_close_frame(
    exchange: SimulatedExchange, client: Client
) -> None:
    client.message()
    exchange.faults.set("drop", how="fin")

    assert client.socket.sock.recv(10) == b""


def test_an_rst_is_a_reset(exchange: SimulatedExchange, client: Client) -> None:
    client.message()
    exchange.faults.set("drop", how="rst")

    with pytest.raises(ConnectionResetError):
        client.socket.sock.recv(10)


def test_kicked_clients_are_closed_also_when_they_come_again(
    exchange: SimulatedExchange, connect: Connect
) -> None:
    first = connect()
    exchange.faults.set("kick", after=0.05)
    again = connect()

    assert first.close_code() == 1008
    assert again.close_code() == 1008


def test_kick_old_lets_the_third_in_and_closes_the_oldest(
    exchange: SimulatedExchange, connect: Connect
) -> None:
    exchange.faults.set("kick_old")
    first, second, third = connect(), connect(), connect()

    assert first.close_code() == 1008
    assert INFY in third.snapshot(INFY).feeds
    assert INFY in second.snapshot(INFY).feeds


def test_expired_tokens_cut_their_connections(exchange: SimulatedExchange, client: Client) -> None:
    exchange.faults.set("expire_token")

    assert client.close_code() == 1008
    assert ask(exchange).status_code == 401
    exchange.tokens.add("new")
    assert Client(exchange, token="new").message().type == pb.Type.market_info


def test_expired_tokens_may_leave_connections_alone(
    exchange: SimulatedExchange, client: Client
) -> None:
    exchange.faults.set("expire_token", cut=False)

    assert ask(exchange).status_code == 401
    assert INFY in client.snapshot(INFY).feeds


def test_a_refused_token_is_refused_everywhere(exchange: SimulatedExchange) -> None:
    url = authorize(exchange)
    exchange.faults.set("refuse_token")
    answer = ask(exchange)

    assert answer.status_code == 401
    assert answer.json()["errors"][0]["error_code"] == "UDAPI100050"
    assert ask(exchange, "/v2/user/profile").status_code == 401
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        websocket.create_connection(url, timeout=5)
    assert caught.value.status_code == 401


# --- opening


@pytest.mark.parametrize("status", ["401", "403", "429"])
def test_a_handshake_can_be_refused_with_a_status(exchange: SimulatedExchange, status: str) -> None:
    exchange.faults.set("handshake", how=status, retry_after=20, next=1)
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        websocket.create_connection(authorize(exchange), timeout=5)

    assert caught.value.status_code == int(status)
    assert caught.value.resp_headers["retry-after"] == "20"


def test_a_handshake_can_stay_without_an_answer(exchange: SimulatedExchange) -> None:
    exchange.faults.set("handshake", how="never", next=1)
    with pytest.raises(websocket.WebSocketTimeoutException):
        websocket.create_connection(authorize(exchange), timeout=0.15)

    assert [hand.status for hand in exchange.ledger.handshakes] == [0]


def test_a_handshake_can_be_reset(exchange: SimulatedExchange) -> None:
    exchange.faults.set("handshake", how="rst", next=1)

    with pytest.raises(ConnectionResetError):
        websocket.create_connection(authorize(exchange), timeout=5)


def test_a_handshake_can_have_a_wrong_accept(exchange: SimulatedExchange) -> None:
    exchange.faults.set("handshake", how="wrong_accept", next=1)

    with pytest.raises(websocket.WebSocketException, match="Invalid WebSocket Header"):
        websocket.create_connection(authorize(exchange), timeout=5)


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503, 504])
def test_authorize_can_answer_any_status(exchange: SimulatedExchange, status: int) -> None:
    exchange.faults.set("authorize", status=status, retry_after=20, next=1)
    answer = ask(exchange)

    assert answer.status_code == status
    assert answer.headers["retry-after"] == "20"
    assert answer.json()["status"] == "error"
    assert ask(exchange).status_code == 200


def test_authorize_can_hang_and_the_server_still_stops(exchange: SimulatedExchange) -> None:
    exchange.faults.set("authorize", how="timeout")
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(exchange.base_url + AUTHORIZE, headers=bearer(), timeout=0.1)
    began = time.monotonic()
    exchange.stop()

    assert time.monotonic() - began < 1.0


def test_authorize_can_answer_a_web_page(exchange: SimulatedExchange) -> None:
    exchange.faults.set("authorize", how="html")
    answer = ask(exchange)

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")


def test_authorize_can_leave_the_address_out(exchange: SimulatedExchange) -> None:
    exchange.faults.set("authorize", how="no_uri")

    assert ask(exchange).json() == {"status": "success", "data": {}}


def test_authorize_can_name_another_host(exchange: SimulatedExchange) -> None:
    exchange.faults.set("authorize", how="uri", uri="ws://feeder.elsewhere.example/feeds")

    assert authorize(exchange) == "ws://feeder.elsewhere.example/feeds"


def test_authorize_can_hand_out_a_used_address(exchange: SimulatedExchange) -> None:
    exchange.faults.set("authorize", how="reused")
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        Client(exchange)

    assert caught.value.status_code == 403


@pytest.mark.parametrize(
    ("to", "location"),
    [("", "/v3/feed/market-data-feed"), ("ws://elsewhere.example/x", "ws://elsewhere.example/x")],
)
def test_the_entry_can_lead_back_to_itself_or_elsewhere(
    exchange: SimulatedExchange, to: str, location: str
) -> None:
    exchange.faults.set("redirect", to=to)
    head = (
        f"GET /v3/feed/market-data-feed HTTP/1.1\r\nHost: 127.0.0.1:{exchange.port}\r\n"
        "Authorization: Bearer T\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", exchange.port), timeout=5) as raw:
        raw.sendall(head.encode())
        answer = raw.recv(4096).decode()

    assert answer.startswith("HTTP/1.1 302")
    (line,) = [row for row in answer.split("\r\n") if row.lower().startswith("location:")]
    assert line.endswith(location)


# --- subscriptions


def test_ignored_keys_get_no_data_and_the_others_do(
    exchange: SimulatedExchange, client: Client, market: TinyMarket
) -> None:
    exchange.faults.set("ignore_keys", keys=[CALL])
    snapshot = client.snapshot(CALL, INFY)
    market.trade(CALL, 150.0)
    market.trade(INFY, 150.0)

    assert set(snapshot.feeds) == {INFY}
    assert set(client.message().feeds) == {INFY}
    assert exchange.ledger.connections[0].ignored_keys == 1


@pytest.mark.parametrize(("how", "served"), [("serve", 60), ("close", 0)])
def test_instruments_over_the_limit_can_be_served_or_end_the_connection(
    clock: ManualExchangeClock, how: str, served: int
) -> None:
    many = [
        Instrument(f"NSE_EQ|X{n}", "NSE_EQ", "EQ", f"X{n}", f"X{n}", str(n), tick_size=0.05)
        for n in range(60)
    ]
    tokens = TokenTable(clock)
    tokens.add(TOKEN)
    with SimulatedExchange(TinyMarket(*many), clock=clock, tokens=tokens) as exchange:
        exchange.faults.set("over_limit", how=how)
        client = Client(exchange)
        client.sub(*(i.instrument_key for i in many), mode="full_d30")
        if how == "close":
            assert client.close_code() == 1008
        else:
            assert len(client.until(pb.Type.initial_feed).feeds) == served
        client.shut()

    assert exchange.ledger.connections[0].over_limit == 10


def test_whole_frames_leave_nothing_out(
    exchange: SimulatedExchange, client: Client, market: TinyMarket
) -> None:
    client.snapshot(CALL)
    exchange.faults.set("whole")
    market.trade(CALL, 150.0)
    full = client.message().feeds[CALL].fullFeed.marketFF

    assert full.ltpc.ltp == 150.0
    assert len(full.marketLevel.bidAskQuote) == 5


def test_a_burst_sends_so_many_times_as_much(
    exchange: SimulatedExchange, client: Client, market: TinyMarket
) -> None:
    client.snapshot(INFY, CALL, mode="ltpc")
    exchange.faults.set("burst", factor=10)
    market.trade(INFY, 150.0)
    market.trade(CALL, 160.0)

    assert wait_until(lambda: exchange.ledger.connections[0].live == 20)


# --- frames


def test_every_frame_can_come_twice(
    exchange: SimulatedExchange, client: Client, market: TinyMarket
) -> None:
    exchange.faults.set("twice")
    client.snapshot(INFY, mode="ltpc")
    market.trade(INFY, 150.0)
    second_snapshot, first, again = (client.raw() for _ in range(3))

    assert pb.FeedResponse.FromString(second_snapshot).type == pb.Type.initial_feed
    assert first == again
    assert len(exchange.ledger.rows()) == 4


def test_frames_can_be_shuffled_within_a_window_and_none_is_lost(
    exchange: SimulatedExchange, client: Client, market: TinyMarket
) -> None:
    client.snapshot(INFY, mode="ltpc")
    exchange.faults.set("shuffle", window=5)
    for n in range(13):
        market.trade(INFY, 100.0 + n)
    prices = [client.message().feeds[INFY].ltpc.ltp for _ in range(10)]
    exchange.faults.clear()
    prices += [client.message().feeds[INFY].ltpc.ltp for _ in range(3)]

    assert prices != sorted(prices)
    assert [sorted(prices[n : n + 5]) for n in (0, 5)] == [
        [100.0 + n for n in range(5)],
        [105.0 + n for n in range(5)],
    ]
    assert sorted(prices) == [100.0 + n for n in range(13)]


@pytest.mark.parametrize("fault", ["garbage", "truncated"])
def test_undecodable_frames_arrive_as_many_as_asked_and_the_feed_goes_on(
    exchange: SimulatedExchange, client: Client, market: TinyMarket, fault: str
) -> None:
    client.snapshot(INFY)
    exchange.faults.set(fault, next=11)
    for _ in range(11):
        with pytest.raises(DecodeError):
            client.message()
    market.trade(INFY, 150.0)

    assert client.message().feeds[INFY].fullFeed.marketFF.ltpc.ltp == 150.0
    assert exchange.ledger.connections[0].injected == 11


def test_a_giant_frame_claims_eight_gibibytes(exchange: SimulatedExchange, client: Client) -> None:
    client.message()
    exchange.faults.set("giant")

    assert client.socket.sock.recv(10) == header(Opcode.BINARY, 8 << 30)


def test_a_big_message_comes_in_fragments(exchange: SimulatedExchange, client: Client) -> None:
    client.message()
    exchange.faults.set("fragments")

    assert len(client.raw()) == 9 << 20


def test_empty_frames_come_in_a_flood(exchange: SimulatedExchange, client: Client) -> None:
    client.message()
    exchange.faults.set("empties", count=1000)

    assert [client.raw() for _ in range(1000)] == [b""] * 1000


@pytest.mark.parametrize(
    ("fault", "first"), [("text", 0x81), ("bad_utf8", 0x81), ("reserved_opcode", 0x83)]
)
def test_frames_of_the_wrong_kind(
    exchange: SimulatedExchange, client: Client, fault: str, first: int
) -> None:
    client.message()
    exchange.faults.set(fault)

    assert client.socket.sock.recv(1)[0] == first


def test_injections_can_come_again_and_again_by_chance(
    exchange: SimulatedExchange, client: Client, market: TinyMarket
) -> None:
    client.snapshot(INFY)
    exchange.faults.set("text", text="?", probability=0.5)
    for n in range(40):
        market.trade(INFY, 100.0 + n)
    record = exchange.ledger.connections[0]

    assert wait_until(lambda: record.live == 40)
    assert 5 < record.injected < 35


def test_a_recorded_frame_is_played_to_everybody(
    exchange: SimulatedExchange, connect: Connect
) -> None:
    clients = connect(), connect()
    for client in clients:
        client.message()
    exchange.send_raw(b"\x18\x07")

    assert [client.message().currentTs for client in clients] == [7, 7]


def test_fragments_add_up_to_the_message() -> None:
    data = fragmented(b"abcdefg", 3)

    assert data == b"\x02\x03abc" + b"\x00\x03def" + b"\x80\x01g"


# --- inside messages


@pytest.mark.parametrize("value", [0.0, -1.0, "nan", "inf", "-inf", 1e308, 5e-324])
@pytest.mark.parametrize("mode", [Mode.LTPC, Mode.OPTION_GREEKS, Mode.FULL])
def test_impossible_prices_of_the_named_instruments_only(
    exchange: SimulatedExchange, client: Client, mode: Mode, value: float | str
) -> None:
    exchange.faults.set("price", value=value, keys=[CALL])
    feeds = client.snapshot(CALL, PUT, mode=mode).feeds

    def ltp(key: str) -> float:
        match mode:
            case Mode.LTPC:
                return feeds[key].ltpc.ltp
            case Mode.OPTION_GREEKS:
                return feeds[key].firstLevelWithGreeks.ltpc.ltp
        return feeds[key].fullFeed.marketFF.ltpc.ltp

    assert ltp(CALL) == float(value) or (math.isnan(ltp(CALL)) and value == "nan")
    assert ltp(PUT) == 142.6


def test_ltpc_can_be_left_out_and_depth_still_comes(
    exchange: SimulatedExchange, client: Client
) -> None:
    exchange.faults.set("omit_ltpc")
    feeds = client.snapshot(CALL, NIFTY).feeds

    assert not feeds[CALL].fullFeed.marketFF.HasField("ltpc")
    assert len(feeds[CALL].fullFeed.marketFF.marketLevel.bidAskQuote) == 5
    assert not feeds[NIFTY].fullFeed.indexFF.HasField("ltpc")


def test_keys_can_be_left_out_of_frames(exchange: SimulatedExchange, client: Client) -> None:
    exchange.faults.set("omit_keys", keys=[CALL])

    assert set(client.snapshot(CALL, PUT).feeds) == {PUT}


def test_unknown_fields_do_not_hide_the_known_ones(
    exchange: SimulatedExchange, client: Client
) -> None:
    plain = client.snapshot(INFY)
    exchange.faults.set("unknown_field")
    client.sub(INFY)
    later = client.message()

    assert later.feeds[INFY].fullFeed.marketFF == plain.feeds[INFY].fullFeed.marketFF
    assert later.ByteSize() == plain.ByteSize() + 6


def test_an_unknown_kind_of_entry_is_no_known_one(
    exchange: SimulatedExchange, client: Client
) -> None:
    exchange.faults.set("unknown_oneof", keys=[CALL])
    feeds = client.snapshot(CALL, PUT).feeds

    assert feeds[CALL].WhichOneof("FeedUnion") is None
    assert feeds[CALL].ByteSize() > 0
    assert feeds[PUT].WhichOneof("FeedUnion") == "fullFeed"


def test_an_unknown_enum_value_is_seven(exchange: SimulatedExchange, client: Client) -> None:
    client.message()
    exchange.faults.set("unknown_enum")
    client.sub(INFY)
    mode = client.message().feeds[INFY].requestMode
    exchange.faults.set("unknown_enum", where="type")
    client.sub(INFY)

    assert mode == 7
    assert client.message().type == 7


def test_the_told_time_can_be_off(exchange: SimulatedExchange, client: Client) -> None:
    exchange.faults.set("skew", seconds=-90)

    assert client.snapshot(INFY).currentTs == T0 - 90_000


# --- REST


def test_a_path_can_answer_anything(exchange: SimulatedExchange) -> None:
    exchange.faults.set(
        "rest",
        path="/v2/user",
        status=502,
        body="<html>",
        content_type="text/html",
        retry_after=3,
    )
    answer = ask(exchange, "/v2/user/profile")

    assert (answer.status_code, answer.text) == (502, "<html>")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["retry-after"] == "3"
    assert ask(exchange).status_code == 200
    assert [call.status for call in exchange.ledger.calls_to("/v2/user/profile")] == [502]


def test_a_path_can_answer_late(exchange: SimulatedExchange) -> None:
    exchange.faults.set("rest", path="/v2/user/profile", delay=0.15, next=1)
    began = time.monotonic()
    answer = ask(exchange, "/v2/user/profile")

    assert answer.status_code == 200
    assert time.monotonic() - began >= 0.15


def test_faults_may_be_set_while_the_server_is_down(exchange: SimulatedExchange) -> None:
    exchange.stop()
    exchange.faults.set("authorize", status=503)
    exchange.start()

    assert ask(exchange).status_code == 503
