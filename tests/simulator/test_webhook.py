"""Postbacks: order messages to a configured address on this machine, once, never in the way."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import httpx
import orjson
import pytest

from simulator.__main__ import read
from simulator.build import BadOption, Options, create_exchange
from simulator.server import SimulatedExchange
from simulator.webhook import MOST_WAITING, PATIENCE, check_address
from tests.simulator.test_portfolio_feed import Stream, order, position
from tests.simulator.tiny import wait_until


class Heard(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """An endpoint that keeps what it is sent, and may take its time or refuse."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.status = 200
        self.go = threading.Event()
        self.go.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.heard.append(Heard(self.path, headers, body))
                receiver.go.wait(10)
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks/s3cret"

    def statuses(self) -> list[str]:
        return [orjson.loads(heard.body)["status"] for heard in tuple(self.heard)]

    def stop(self) -> None:
        self.go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


def aim(exchange: SimulatedExchange, url: str) -> httpx.Response:
    return httpx.post(exchange.base_url + "/control/webhook", json={"url": url}, timeout=5)


@pytest.fixture
def posting(exchange: SimulatedExchange, receiver: Receiver) -> SimulatedExchange:
    aim(exchange, receiver.url).raise_for_status()
    return exchange


def test_what_is_posted_is_what_the_stream_tells(
    posting: SimulatedExchange, receiver: Receiver
) -> None:
    stream = Stream(posting)
    posting.tell(order("complete"))
    told = stream.text()
    stream.shut()

    assert wait_until(lambda: len(posting.ledger.posted) == 1)
    (heard,) = receiver.heard
    assert heard.body == told
    assert heard.path == "/hooks/s3cret"
    assert heard.headers["content-type"] == "application/json"
    assert not [name for name in heard.headers if "auth" in name or "sign" in name]


def test_only_orders_are_posted(posting: SimulatedExchange, receiver: Receiver) -> None:
    for message in (position(), {"update_type": "holding"}, order("open")):
        posting.tell(message)

    assert wait_until(lambda: len(receiver.heard) == 1)
    time.sleep(0.1)
    assert receiver.statuses() == ["open"]


@pytest.mark.parametrize("status", [500, 302])
def test_a_refused_post_is_not_repeated(
    posting: SimulatedExchange, receiver: Receiver, status: int
) -> None:
    receiver.status = status
    posting.tell(order())

    assert wait_until(lambda: len(posting.ledger.posted) == 1)
    time.sleep(0.2)
    assert len(receiver.heard) == 1
    assert posting.ledger.posted[0].status == status


def test_nobody_there_is_noted_and_not_tried_again(exchange: SimulatedExchange) -> None:
    closed = Receiver()
    closed.stop()
    aim(exchange, closed.url).raise_for_status()
    exchange.tell(order())

    assert wait_until(lambda: len(exchange.ledger.posted) == 1)
    assert exchange.ledger.posted[0].status == 0
    assert "ConnectError" in exchange.ledger.posted[0].trouble


def test_an_endpoint_that_hangs_delays_nobody(
    posting: SimulatedExchange, receiver: Receiver
) -> None:
    stream = Stream(posting)
    receiver.go.clear()
    slowest = 0.0
    for n in range(MOST_WAITING + 20):
        began = time.monotonic()
        posting.tell(order(order_id=str(n)))
        slowest = max(slowest, time.monotonic() - began)
    dropped = [item.trouble for item in posting.ledger.posted]
    told = [stream.update()["order_id"] for _ in range(MOST_WAITING + 20)]
    stream.shut()

    assert told == [str(n) for n in range(MOST_WAITING + 20)]
    assert slowest < PATIENCE / 2  # whoever publishes never waits for a post
    assert dropped == ["too many posts on their way"] * 20


def test_posts_come_late_while_the_stream_does_not(
    posting: SimulatedExchange, receiver: Receiver
) -> None:
    stream = Stream(posting)
    posting.faults.set("late_webhooks", seconds=0.3)
    began = time.monotonic()
    posting.tell(order())
    stream.update()
    streamed = time.monotonic() - began
    stream.shut()

    assert wait_until(lambda: len(receiver.heard) == 1)
    assert streamed < 0.25 < time.monotonic() - began


def test_posts_come_three_times(posting: SimulatedExchange, receiver: Receiver) -> None:
    posting.faults.set("repeat_webhooks", times=3, next=1)
    posting.tell(order("open"))
    posting.tell(order("complete"))

    assert wait_until(lambda: len(receiver.heard) == 4)
    assert sorted(receiver.statuses()) == ["complete", "open", "open", "open"]


def test_it_can_be_switched_off(posting: SimulatedExchange, receiver: Receiver) -> None:
    shown = aim(posting, "").json()["data"]
    posting.tell(order())
    time.sleep(0.1)

    assert shown["url"] == ""
    assert not receiver.heard


def test_the_control_route_tells_what_was_posted(
    posting: SimulatedExchange, receiver: Receiver
) -> None:
    posting.tell(order())
    assert wait_until(lambda: len(posting.ledger.posted) == 1)
    shown = httpx.get(posting.base_url + "/control/webhook").json()["data"]

    assert shown["url"] == receiver.url
    assert [row["status"] for row in shown["posted"]] == [200]
    assert orjson.loads(shown["posted"][0]["message"]) == order()


BAD = [
    "http://192.0.2.1/x",
    "http://127.0.0.1.evil.example/x",
    "http://user@evil.example/127.0.0.1",
    "ftp://127.0.0.1/x",
    "file:///etc/passwd",
    "127.0.0.1:80",
    "http://127.0.0.1:0/x",
    "http://127.0.0.1:70000/x",
    "http://[::1",
    "not an address",
]


@pytest.mark.parametrize("url", BAD)
def test_an_address_elsewhere_is_refused_everywhere(exchange: SimulatedExchange, url: str) -> None:
    answer = aim(exchange, url)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["message"]
    with pytest.raises(ValueError):  # noqa: PT011  the standard library words some of them
        check_address(url)
    with pytest.raises(BadOption):
        create_exchange(Options(webhook=url))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "https://localhost/", "http://[::1]:8/"])
def test_addresses_of_this_machine_are_taken(url: str) -> None:
    assert check_address(url) == url


def test_the_option_of_the_command_line_is_used(receiver: Receiver) -> None:
    options = read(["--port", "0", "--instruments", "60", "--webhook", receiver.url])
    with create_exchange(options) as exchange:
        exchange.tell(order())
        heard = wait_until(lambda: len(receiver.heard) == 1)

    assert heard
