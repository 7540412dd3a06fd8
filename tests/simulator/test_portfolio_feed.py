"""The portfolio stream: who is told what, how it is entered, and what goes wrong on it."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import orjson
import pytest
import websocket

from simulator.clock import ManualExchangeClock
from simulator.server import SimulatedExchange
from simulator.tokens import TokenTable
from tests.simulator.tiny import CALL, TOKEN, Client, TinyMarket, bearer, wait_until

ENTRY = "/v2/feed/portfolio-stream-feed"
USER = "4XA7QK"


def order(status: str = "open", order_id: str = "251126000012345") -> dict[str, object]:
    return {"update_type": "order", "user_id": USER, "order_id": order_id, "status": status}


def position(quantity: int = 75) -> dict[str, object]:
    return {"update_type": "position", "instrument_token": CALL, "quantity": quantity}


def ask(
    exchange: SimulatedExchange, types: str | None = None, token: str = TOKEN
) -> httpx.Response:
    query = {} if types is None else {"update_types": types}
    url = f"{exchange.base_url}{ENTRY}/authorize"
    return httpx.get(url, params=query, headers=bearer(token), timeout=5)


class Stream(Client):
    """A plain client of the portfolio stream."""

    def __init__(
        self, exchange: SimulatedExchange, types: str | None = None, token: str = TOKEN
    ) -> None:
        url = ask(exchange, types, token).json()["data"]["authorized_redirect_uri"]
        super().__init__(exchange, url=url)

    def frame(self) -> tuple[int, bytes]:
        opcode, data = self.socket.recv_data()
        return opcode, bytes(data)

    def text(self) -> bytes:
        opcode, data = self.frame()
        assert opcode == websocket.ABNF.OPCODE_TEXT, (opcode, data)
        return data

    def update(self) -> dict[str, object]:
        return dict(orjson.loads(self.text()))

    def updates(self, count: int) -> list[dict[str, object]]:
        return [self.update() for _ in range(count)]

    def quiet(self, seconds: float = 0.1) -> bool:
        """Return whether nothing at all comes for so long."""
        self.socket.settimeout(seconds)
        try:
            self.frame()
        except websocket.WebSocketTimeoutException:
            return True
        finally:
            self.socket.settimeout(5)
        return False


Open = Callable[..., Stream]


@pytest.fixture
def stream(exchange: SimulatedExchange) -> Iterator[Open]:
    opened: list[Stream] = []

    def open_one(types: str | None = None, token: str = TOKEN) -> Stream:
        opened.append(Stream(exchange, types, token))
        return opened[-1]

    yield open_one
    for one in opened:
        one.shut()


def refused(url: str) -> int:
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        websocket.create_connection(url, timeout=5, redirect_limit=0)
    return int(caught.value.status_code)


# --- the way in


def test_the_address_comes_in_both_spellings_and_is_new_each_time(
    exchange: SimulatedExchange,
) -> None:
    first, second = (ask(exchange).json()["data"] for _ in range(2))
    url = urlsplit(first["authorized_redirect_uri"])

    assert set(first) == {"authorized_redirect_uri", "authorizedRedirectUri"}
    assert first["authorizedRedirectUri"] == first["authorized_redirect_uri"]
    assert url.path == "/upstox-developer-api/order-updates/feed"
    assert url.port == exchange.feeder_port
    assert set(parse_qs(url.query)) == {"requestId", "code"}
    assert first != second


def test_an_address_opens_one_stream(exchange: SimulatedExchange, stream: Open) -> None:
    url = ask(exchange).json()["data"]["authorized_redirect_uri"]
    websocket.create_connection(url, timeout=5).shutdown()

    assert refused(url) == 403
    assert refused(url.partition("code=")[0] + "code=guessed") == 403
    assert [hand.status for hand in exchange.ledger.update_handshakes] == [101, 403, 403]
    assert not exchange.ledger.handshakes


def test_a_code_of_one_feed_does_not_open_the_other(exchange: SimulatedExchange) -> None:
    url = ask(exchange).json()["data"]["authorized_redirect_uri"]
    path = urlsplit(url).path

    assert refused(url.replace(path, "/market-data-feeder/v3/upstox-developer-api/feeds")) == 403


def test_the_entry_address_redirects_with_its_types(exchange: SimulatedExchange) -> None:
    followed = websocket.create_connection(
        f"{exchange.portfolio_entry_url}?update_types=position",
        timeout=5,
        header=[f"Authorization: Bearer {TOKEN}"],
    )
    exchange.tell(order())
    exchange.tell(position())

    assert orjson.loads(followed.recv())["update_type"] == "position"
    followed.shutdown()


def test_the_entry_address_answers_302(exchange: SimulatedExchange) -> None:
    with pytest.raises(websocket.WebSocketException, match=r"(?i)302|redirect"):
        websocket.create_connection(
            exchange.portfolio_entry_url,
            timeout=5,
            redirect_limit=0,
            header=[f"Authorization: Bearer {TOKEN}"],
        )
    assert refused(exchange.portfolio_entry_url) == 401


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_an_unknown_token_is_told_no_address(
    exchange: SimulatedExchange, headers: dict[str, str]
) -> None:
    answer = httpx.get(exchange.base_url + ENTRY + "/authorize", headers=headers)

    assert answer.status_code == 401
    assert answer.json()["errors"][0]["error_code"] == "UDAPI100050"


@pytest.mark.parametrize(
    "types", ["", "trade", "order,", ",order", "order position", "ORDER", "order,margin", "order\n"]
)
def test_types_that_there_are_not_are_refused_by_name(
    exchange: SimulatedExchange, types: str
) -> None:
    answer = ask(exchange, types)
    (error,) = answer.json()["errors"]

    assert answer.status_code == 400
    assert error["property_path"] == "update_types"
    assert error["invalid_value"] == types


def test_two_streams_a_user_beside_two_of_the_market(
    exchange: SimulatedExchange, stream: Open, connect: Callable[[], Client]
) -> None:
    streams = [stream(), stream()]
    market = [connect(), connect()]
    third = ask(exchange).json()["data"]["authorized_redirect_uri"]

    assert refused(third) == 403
    assert exchange.portfolio_connections() == exchange.feed_connections() == 2
    exchange.tell(order())
    assert [one.update()["status"] for one in streams] == ["open", "open"]
    assert [one.message().type for one in market] == [2, 2]  # market_info


# --- what is told


def test_without_types_only_orders_are_told(exchange: SimulatedExchange, stream: Open) -> None:
    one = stream()
    exchange.tell(position())
    exchange.tell(order("complete"))

    assert one.update() == order("complete")


def test_only_the_asked_types_are_told(exchange: SimulatedExchange, stream: Open) -> None:
    positions, most = stream("position"), stream("holding,order,position")
    for message in (order(), {"update_type": "gtt_order"}, position(), {"update_type": "holding"}):
        exchange.tell(message)

    assert positions.update() == position()
    assert positions.quiet()
    assert [u["update_type"] for u in most.updates(3)] == ["order", "position", "holding"]
    assert most.quiet()


def test_each_user_hears_of_himself(exchange: SimulatedExchange, stream: Open) -> None:
    exchange.tokens.add("other", user="2BC3DE")
    mine, other = stream(), stream(token="other")
    exchange.tell(order("open"), user="2BC3DE")
    exchange.tell(order("complete"))

    assert other.update()["status"] == "open"
    assert mine.update()["status"] == "complete"
    assert other.quiet()


def test_nothing_is_told_on_connecting(exchange: SimulatedExchange, stream: Open) -> None:
    exchange.tell(order())

    assert stream().quiet(0.2)


def test_updates_come_in_order_and_into_the_ledger(
    exchange: SimulatedExchange, stream: Open
) -> None:
    one = stream()
    for n in range(200):
        exchange.tell(order(order_id=str(n)))
    got = one.updates(200)
    (record,) = exchange.ledger.update_connections

    assert [update["order_id"] for update in got] == [str(n) for n in range(200)]
    assert [orjson.loads(sent.message) for sent in exchange.ledger.updates] == got
    assert record.frames == 200
    assert exchange.ledger.connections == []


def test_what_the_client_says_changes_nothing(exchange: SimulatedExchange, stream: Open) -> None:
    one = stream()
    one.socket.send_binary(b'{"method":"sub"}')
    one.socket.send("hello")
    (record,) = exchange.ledger.update_connections

    assert wait_until(lambda: record.bad_requests == record.text_frames == 1)
    exchange.tell(order())
    assert one.update() == order()


def test_an_idle_stream_is_pinged(market: TinyMarket) -> None:
    with SimulatedExchange(market, ping=0.1) as exchange:
        exchange.tokens.add(TOKEN)
        one = Stream(exchange)
        opcode, _ = one.socket.recv_data(control_frame=True)
        one.shut()

    assert opcode == websocket.ABNF.OPCODE_PING
    assert exchange.ledger.update_connections[0].pings >= 1


# --- how it ends


def test_the_stream_ends_with_its_token(
    exchange: SimulatedExchange, stream: Open, clock: ManualExchangeClock
) -> None:
    one = stream()
    clock.set(clock.now() + timedelta(hours=20))

    assert one.close_code() == 1008
    assert wait_until(lambda: exchange.portfolio_connections() == 0)


def test_a_rollover_cuts_both_feeds_and_lets_the_old_token_in_nowhere(
    exchange: SimulatedExchange, stream: Open, client: Client
) -> None:
    one = stream()
    url = ask(exchange).json()["data"]["authorized_redirect_uri"]
    exchange.faults.set("expire_token")

    assert one.close_code() == client.close_code() == 1008
    assert refused(url) == 401
    assert ask(exchange).status_code == 401


def test_a_restart_needs_a_new_address(exchange: SimulatedExchange, stream: Open) -> None:
    one = stream()
    exchange.stop()
    ended = one.close_code()
    exchange.start()
    exchange.tell(order("open"))
    again = stream()
    exchange.tell(order("complete"))

    assert ended == 1006
    assert again.update()["status"] == "complete"


# --- faults of the transport, by feed


@pytest.mark.parametrize(
    ("how", "code"), [("fin", 1006), ("rst", 1006), ("1000", 1000), ("1011", 1011)]
)
def test_a_drop_ends_the_feed_that_it_names(
    exchange: SimulatedExchange, stream: Open, client: Client, how: str, code: int
) -> None:
    client.message()
    one = stream()
    exchange.faults.set("drop", how=how, feed="portfolio")

    assert one.close_code() == code
    assert client.silent(0.1)
    again = stream()
    exchange.faults.set("drop", how=how)
    assert client.close_code() == code
    exchange.tell(order())
    assert again.update() == order()


def test_a_drop_of_both_ends_both(
    exchange: SimulatedExchange, stream: Open, client: Client
) -> None:
    one = stream()
    exchange.faults.set("drop", how="1001", feed="both")

    assert one.close_code() == client.close_code() == 1001


@pytest.mark.parametrize("fault", ["stall", "mute", "half_open"])
def test_what_happens_in_a_silence_is_told_when_it_ends(
    exchange: SimulatedExchange, stream: Open, client: Client, market: TinyMarket, fault: str
) -> None:
    one = stream()
    client.snapshot(CALL)
    exchange.faults.set(fault, feed="portfolio")
    exchange.tell(order("open"))
    exchange.tell(order("complete"))
    silent = one.quiet()
    market.trade(CALL, 150.0)
    heard = client.message().feeds[CALL].fullFeed.marketFF.ltpc.ltp
    exchange.faults.clear(fault)

    assert silent
    assert heard == 150.0
    assert [update["status"] for update in one.updates(2)] == ["open", "complete"]


@pytest.mark.parametrize("fault", ["stall", "mute", "half_open"])
def test_a_silent_market_leaves_the_stream_alone(
    exchange: SimulatedExchange, stream: Open, fault: str
) -> None:
    exchange.faults.set(fault)
    one = stream()  # also its handshake
    exchange.tell(order())

    assert one.update() == order()


def test_pings_are_answered_in_a_stall_and_not_in_a_mute(
    exchange: SimulatedExchange, stream: Open
) -> None:
    one = stream()
    exchange.faults.set("stall", feed="portfolio")
    one.socket.ping()
    opcode, _ = one.socket.recv_data(control_frame=True)
    exchange.faults.clear()
    exchange.faults.set("mute", feed="portfolio")
    one.socket.ping()
    one.socket.settimeout(0.15)

    assert opcode == websocket.ABNF.OPCODE_PONG
    with pytest.raises(websocket.WebSocketTimeoutException):
        one.socket.recv_data(control_frame=True)


def test_a_half_open_stream_lets_nobody_in_and_heals(
    exchange: SimulatedExchange, stream: Open
) -> None:
    url = ask(exchange).json()["data"]["authorized_redirect_uri"]
    exchange.faults.set("half_open", feed="portfolio")
    with pytest.raises(websocket.WebSocketTimeoutException):
        websocket.create_connection(url, timeout=0.15)
    exchange.faults.clear()
    one = stream()
    exchange.tell(order())

    assert one.update() == order()


@pytest.mark.parametrize(("how", "status"), [("401", 401), ("403", 403), ("429", 429)])
def test_a_refused_handshake_of_one_feed(
    exchange: SimulatedExchange, connect: Callable[[], Client], stream: Open, how: str, status: int
) -> None:
    exchange.faults.set("handshake", how=how, feed="portfolio", next=1)
    connect().message()

    assert refused(ask(exchange).json()["data"]["authorized_redirect_uri"]) == status
    exchange.tell(order())
    assert stream().quiet(0.05)


def test_a_frame_stops_in_its_middle(exchange: SimulatedExchange, stream: Open) -> None:
    one = stream()
    exchange.faults.set("mid_frame", feed="portfolio", next=1)
    exchange.tell(order())
    time.sleep(0.05)
    one.socket.sock.settimeout(0.3)
    got = one.socket.sock.recv(4096)

    assert got[0] == 0x81  # text
    assert len(got) < 2 + got[1]
    with pytest.raises(TimeoutError):
        one.socket.sock.recv(4096)


def test_another_client_takes_the_place(exchange: SimulatedExchange, stream: Open) -> None:
    oldest, newer = stream(), stream()
    exchange.faults.set("kick_old", feed="portfolio", code=4001, next=1)
    stream()
    exchange.faults.set("kick", feed="portfolio", code=4002)

    assert oldest.close_code() == 4001
    assert newer.close_code() == 4002


@pytest.mark.parametrize(
    ("parameters", "status"),
    [({"how": "status", "status": 503}, 503), ({"how": "html"}, 200), ({"how": "no_uri"}, 200)],
)
def test_authorize_fails_for_one_feed(
    exchange: SimulatedExchange, parameters: dict[str, object], status: int
) -> None:
    exchange.faults.set("authorize", feed="portfolio", **parameters)
    answer = ask(exchange)
    market = httpx.get(exchange.base_url + "/v3/feed/market-data-feed/authorize", headers=bearer())

    assert answer.status_code == status
    assert b"authorized" not in answer.content
    assert "authorized_redirect_uri" in market.json()["data"]


def test_a_used_address_is_handed_out_again(exchange: SimulatedExchange) -> None:
    exchange.faults.set("authorize", how="reused", feed="portfolio", next=1)

    assert refused(ask(exchange).json()["data"]["authorized_redirect_uri"]) == 403


@pytest.mark.parametrize("name", ["stall", "drop", "half_open", "handshake", "kick"])
def test_a_feed_that_there_is_not_is_refused(exchange: SimulatedExchange, name: str) -> None:
    answer = httpx.post(
        exchange.base_url + "/control/faults", json={"name": name, "how": "rst", "feed": "orders"}
    )

    assert answer.status_code == 400
    assert "feed: Input should be" in answer.json()["errors"][0]["message"]


# --- faults of the updates


def test_updates_come_late_and_in_order(exchange: SimulatedExchange, stream: Open) -> None:
    one = stream()
    exchange.faults.set("late_updates", seconds=0.3, next=1)
    began = time.monotonic()
    exchange.tell(order("open"))
    exchange.tell(order("complete"))  # not late itself, but behind
    for n in range(20):
        exchange.tell(order(str(n)))
    got = [update["status"] for update in one.updates(22)]

    assert got == ["open", "complete", *map(str, range(20))]
    assert 0.3 <= time.monotonic() - began < 1.5


def test_every_update_comes_three_times(exchange: SimulatedExchange, stream: Open) -> None:
    one = stream()
    exchange.faults.set("repeat_updates", times=3)
    exchange.tell(order("open"))
    exchange.tell(order("complete"))

    assert [u["status"] for u in one.updates(6)] == ["open"] * 3 + ["complete"] * 3
    assert one.quiet()


def test_updates_are_shuffled_and_none_is_lost(exchange: SimulatedExchange, stream: Open) -> None:
    one = stream()
    exchange.faults.set("shuffle_updates", window=8, within=1.0)
    ids = [str(n) for n in range(20)]
    for order_id in ids:
        exchange.tell(order(order_id=order_id))
    got = [update["order_id"] for update in one.updates(20)]  # the last four after 1 s

    assert got != ids
    assert sorted(got, key=int) == ids
    assert sorted(got[:8], key=int) == ids[:8]


def test_what_is_held_to_be_shuffled_is_told_when_that_ends(
    exchange: SimulatedExchange, stream: Open
) -> None:
    one = stream()
    exchange.faults.set("shuffle_updates", window=8, within=60)
    exchange.tell(order("open"))
    held = one.quiet()
    exchange.faults.clear("shuffle_updates")

    assert held
    assert one.update()["status"] == "open"


@pytest.mark.parametrize(
    ("which", "left"),
    [
        ("final", ["put order req received", "open", "position", "open"]),
        ("first", ["open", "complete", "position", "rejected"]),
        ("all", []),
    ],
)
def test_updates_get_lost(
    exchange: SimulatedExchange, stream: Open, which: str, left: list[str]
) -> None:
    one = stream("order,position")
    exchange.faults.set("drop_updates", which=which)
    for message in (
        order("put order req received"),
        order("open"),
        order("complete"),
        position(),
        order("open", "2"),
        order("rejected", "2"),
    ):
        exchange.tell(message)
    exchange.faults.clear("drop_updates")
    exchange.tell(order("end"))
    got = [str(u.get("status", u["update_type"])) for u in one.updates(len(left) + 1)]

    assert got == [*left, "end"]


def test_only_the_next_update_gets_lost(exchange: SimulatedExchange, stream: Open) -> None:
    one = stream()
    exchange.faults.set("drop_updates", which="all", next=1)
    exchange.tell(order("open"))
    exchange.tell(order("complete"))

    assert one.update()["status"] == "complete"


def test_updates_can_be_binary(exchange: SimulatedExchange, stream: Open) -> None:
    one = stream()
    exchange.faults.set("binary_updates", next=None)
    exchange.tell(order())
    opcode, data = one.frame()

    assert opcode == websocket.ABNF.OPCODE_BINARY
    assert orjson.loads(data) == order()


def test_an_unknown_type_reaches_who_never_asked_for_it(
    exchange: SimulatedExchange, stream: Open
) -> None:
    one = stream("position")
    exchange.faults.set("unknown_update_type", update_type="wallet")

    assert one.update()["update_type"] == "wallet"


@pytest.mark.parametrize(
    ("how", "is_json"),
    [("text", False), ("truncated", False), ("null", True), ("list", True), ("number", True)],
)
def test_garbage_is_no_update(
    exchange: SimulatedExchange, stream: Open, client: Client, how: str, is_json: bool
) -> None:
    client.message()
    one = stream()
    exchange.faults.set("garbage_update", how=how)
    text = one.text()
    exchange.tell(order())

    if is_json:
        assert not isinstance(orjson.loads(text), dict)
    else:
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(text)
    assert one.update() == order()
    assert client.silent(0.05)


def test_garbage_comes_again_and_again_with_a_chance(
    exchange: SimulatedExchange, stream: Open
) -> None:
    one = stream()
    exchange.faults.set("garbage_update", how="null", probability=0.5)
    for n in range(40):
        exchange.tell(order(order_id=str(n)))
    exchange.faults.clear()
    exchange.tell(order("end"))
    texts = []
    while (text := one.text()) != orjson.dumps(order("end")):
        texts.append(text)

    assert 5 < texts.count(b"null") < 35
    assert len(texts) - texts.count(b"null") == 40


def test_an_order_comes_up_that_is_in_no_book(exchange: SimulatedExchange, stream: Open) -> None:
    one = stream()
    exchange.faults.set("unknown_order", status="complete", next=2)
    first, second = one.updates(2)

    assert first["status"] == second["status"] == "complete"
    assert first["order_id"] != second["order_id"]


def test_tokens_are_those_of_the_table(clock: ManualExchangeClock, market: TinyMarket) -> None:
    """A stream is its user's, whichever of the user's tokens opened it."""
    tokens = TokenTable(clock)
    tokens.add("a")
    tokens.add("b")
    with SimulatedExchange(market, clock=clock, tokens=tokens) as exchange:
        streams = [Stream(exchange, token=token) for token in "ab"]
        exchange.tell(order())
        got = [one.update() for one in streams]
        for one in streams:
            one.shut()

    assert got == [order(), order()]
