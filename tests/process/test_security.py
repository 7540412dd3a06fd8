"""The threat table of faults.md D against the real server: who gets in, and what gets out."""

import http.server
import json
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import websocket

from tests.process.served import STARTS_WITHIN, Exchange, Place, Served, launched, listening

# As the broker's look; made up, and searched for wherever something could leave the process.
TOKEN: Final = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJDQU5BUlkifQ.c2lnbmF0dXJlLWNhbmFyeQ"
PASSWORD: Final = "canary of a long enough password"
QUICK: Final = {"VIGIL_FEED__BACKOFF_OPEN": "0.3"}
PAGES: Final = ("/", "/status", "/login", "/health", "/metrics")
SOCKET: Final = "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
FRAMING: Final = {
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


@pytest.fixture(scope="module")
def exchange() -> Iterator[Exchange]:
    started = Exchange("--instruments", "80", token=TOKEN)
    yield started
    started.close()


@pytest.fixture(scope="module")
def desk(exchange: Exchange, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A desk with secrets, as talkative as it can be made, and somebody who has logged in."""
    secrets = {"VIGIL_SERVER__PASSWORD": PASSWORD, "VIGIL_RUN__LOG_LEVEL": "DEBUG"} | QUICK
    place = Place(
        tmp_path_factory.mktemp("desk") / "data", variables=exchange.variables() | secrets
    )
    with launched(place) as served:
        served.ready()
        yield served


@pytest.fixture(scope="module")
def cookie(desk: Served) -> httpx.Cookies:
    """Log in once: a sixth attempt within a minute would be refused, right or wrong."""
    with httpx.Client(base_url=desk.url, trust_env=False) as client:
        form = {"password": PASSWORD, "next": "/"}
        answer = client.post("/login", data=form, headers={"Origin": desk.url})
        assert answer.status_code == 303
        assert answer.headers["location"] == "/"
        return client.cookies


@pytest.fixture
def inside(desk: Served, cookie: httpx.Cookies) -> Iterator[Served]:
    desk.client.cookies = cookie
    yield desk
    desk.client.cookies = httpx.Cookies()


def evil_hosts(port: int) -> list[str]:
    return [
        "evil.example",
        f"evil.example:{port}",
        f"127.0.0.1:{port}.evil.example",
        f"localhost.evil.example:{port}",
        f"127.0.0.1:{port + 1}",
        "127.0.0.1",
    ]


def handshake(desk: Served, **options: Any) -> int:
    """Return the status with which the page's socket is answered."""
    cookie = "; ".join(f"{name}={value}" for name, value in desk.client.cookies.items())
    try:
        websocket.create_connection(
            f"ws://127.0.0.1:{desk.place.port}{SOCKET}", timeout=5, cookie=cookie, **options
        ).close()
    except websocket.WebSocketBadStatusException as refused:
        return int(refused.status_code)
    return 101


def test_every_socket_it_listens_on_is_loopback(desk: Served) -> None:
    assert listening(desk.pid) == [("127.0.0.1", desk.place.port)]


def test_the_simulated_exchange_inside_it_listens_on_loopback_too(tmp_path: Path) -> None:
    with launched(Place(tmp_path / "data")) as served:
        served.ready()
        sockets = listening(served.pid)
        served.stop()

    assert {address for address, _ in sockets} == {"127.0.0.1"}
    assert {served.place.port, served.place.simulator_port} < {port for _, port in sockets}
    assert len(sockets) == 3


@pytest.mark.parametrize("number", range(6))
def test_a_name_that_is_not_ours_gets_nothing(inside: Served, number: int) -> None:
    host = evil_hosts(inside.place.port)[number]
    for path in PAGES:
        answer = inside.client.get(path, headers={"Host": host})

        assert answer.status_code == 400, path
        assert "client_id" not in answer.text
        assert inside.client.get(path).status_code == 200
    assert handshake(inside, host=host, origin=inside.url) == 403
    assert handshake(inside, origin=inside.url) == 101


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:{port}", 101),
        ("https://evil.example", 403),
        ("http://evil.example:{port}", 403),
        ("http://127.0.0.1:{other}", 403),  # another program's page on this machine
        ("null", 403),
        (None, 403),
    ],
)
def test_the_pages_socket_is_for_our_own_pages(
    inside: Served, origin: str | None, status: int
) -> None:
    port = inside.place.port
    if origin is None:
        assert handshake(inside, suppress_origin=True) == status
    else:
        assert handshake(inside, origin=origin.format(port=port, other=port + 1)) == status


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("headers", [{}, {"Origin": "null"}, {"Origin": "https://evil.example"}])
def test_what_changes_something_has_to_come_from_our_own_page(
    inside: Served, method: str, headers: dict[str, str]
) -> None:
    for path in ("/", "/login", "/_nicegui_ws/socket.io/?EIO=4&transport=polling"):
        simple = headers | {"Content-Type": "text/plain"}  # what a form may send without asking
        answer = inside.client.request(method, path, content="password=x", headers=simple)

        assert answer.status_code == 403, path
    own = inside.client.request(method, "/", headers={"Origin": inside.url})
    assert own.status_code == 405  # let in, and there is nothing to change by that


def test_without_the_password_there_is_the_login_page_only(desk: Served) -> None:
    assert desk.client.get("/").headers["location"].startswith("/login")
    assert desk.client.get("/metrics").status_code == 401
    assert handshake(desk, origin=desk.url) == 403
    wrong = desk.client.post(
        "/login", data={"password": "x" * 30, "next": "/"}, headers={"Origin": desk.url}
    )
    assert wrong.status_code == 401
    assert not desk.client.cookies


def test_no_answer_may_be_framed_or_kept(inside: Served) -> None:
    for path in (*PAGES, "/nowhere"):
        for host in (f"127.0.0.1:{inside.place.port}", "evil.example"):
            headers = inside.client.get(path, headers={"Host": host}).headers

            assert FRAMING.items() <= dict(headers).items()
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert "access-control-allow-origin" not in headers


def test_what_the_server_itself_says_passes_the_redactor(desk: Served) -> None:
    with socket.create_connection(("127.0.0.1", desk.place.port), timeout=5) as line:
        line.sendall(b"this is not HTTP\r\n\r\n")
        line.recv(1000)

    said = "WARNING uvicorn.error: Invalid HTTP request"
    desk.until(lambda: said in desk.log, said, within=5)


def test_no_secret_leaves_the_process(inside: Served, exchange: Exchange) -> None:
    """Last of this desk: it is refused, misled and cut off, then everything it left is read."""
    exchange.fault("handshake", how="wrong_accept")  # met once authorising works again
    exchange.fault("authorize", how="html")
    exchange.fault("drop")
    next_attempt(inside)
    exchange.fault("authorize", how="uri")
    next_attempt(inside)
    exchange.fault("authorize", how="status", status=500)
    next_attempt(inside)
    exchange.clear_faults("authorize")
    next_attempt(inside)
    exchange.fault("refuse_token")
    inside.until(lambda: inside.health()["feeds"][0]["state"] == "refused", "refused", within=5)
    exchange.clear_faults()
    seen = {path: inside.client.get(path).text for path in PAGES}
    inside.stop()
    seen["log"] = inside.log
    for file in inside.place.folder.rglob("*"):
        seen[file.name] = file.read_bytes().decode("latin-1")

    assert "text/html instead of JSON" in seen["log"]
    assert {"simulated.db", "session_secret"} <= seen.keys()
    assert {mode(file) for file in inside.place.folder.rglob("*")} == {0o600}
    for where, text in seen.items():
        for secret in (TOKEN, TOKEN.rpartition(".")[2], PASSWORD):
            assert secret not in text, where


def next_attempt(desk: Served) -> None:
    """Wait until it has dialled once more, whatever came of it."""
    before = desk.metric("vigil_feed_authorisations_total")
    desk.until(
        lambda: desk.metric("vigil_feed_authorisations_total") > before + 1, "dialling", within=8
    )


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_a_token_file_that_others_can_read_is_refused_in_words(
    exchange: Exchange, tmp_path: Path
) -> None:
    place = Place(tmp_path / "data", variables=exchange.variables() | QUICK)
    del place.variables["VIGIL_UPSTOX__TOKEN"]
    place.folder.mkdir(mode=0o700)
    file = place.folder / "token"
    file.write_text(TOKEN, encoding="ascii")
    file.chmod(0o644)
    with launched(place) as served:
        served.until(
            lambda: served.health()["feeds"][0]["state"] == "refused", "up", within=STARTS_WITHIN
        )
        reason = served.health()["feeds"][0]["reason"]
        file.chmod(0o600)
        mended = served.until(lambda: served.health()["status"] == "ok", "mended", within=6)
        served.stop()

    print(f"went on by itself {mended:.1f} s after chmod")
    assert f"run chmod 600 {file}" in reason
    assert "Traceback" not in served.log


class Misleading(http.server.BaseHTTPRequestHandler):
    """A broker whose every answer leads elsewhere: by 302, or by the address of its socket."""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, MisleadingServer)
        server.told.append(self.headers.get("Authorization", ""))
        if self.path.endswith("/authorize"):
            own = f"ws://127.0.0.1:{server.server_port}/feed"
            data = {"authorized_redirect_uri": own, "authorizedRedirectUri": own}
            body = json.dumps({"status": "success", "data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            self.send_response(302)
            scheme = "ws" if self.path == "/feed" else "http"
            self.send_header("Location", f"{scheme}://127.0.0.1:{server.leads_to}{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


class MisleadingServer(http.server.ThreadingHTTPServer):
    def __init__(self, leads_to: int) -> None:
        super().__init__(("127.0.0.1", 0), Misleading)
        self.leads_to = leads_to
        self.told: list[str] = []


class Impostor:
    """Listens where the redirects lead, and counts who comes and what they bring."""

    def __init__(self) -> None:
        self.visits: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                visitor, _ = self._listener.accept()
                visitor.settimeout(1)
                self.visits.append(b"")
                with suppress(OSError), visitor:
                    self.visits[-1] = visitor.recv(65536)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def test_a_redirect_never_carries_the_token_elsewhere(tmp_path: Path) -> None:
    impostor = Impostor()
    broker = MisleadingServer(impostor.port)
    threading.Thread(target=broker.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{broker.server_port}"
    variables = {
        "VIGIL_RUN__EXCHANGE": "upstox",
        "VIGIL_UPSTOX__BASE_URL": url,
        "VIGIL_UPSTOX__ASSETS_URL": url,
        "VIGIL_UPSTOX__TOKEN": TOKEN,
    }
    with launched(Place(tmp_path / "data", variables=variables | QUICK)) as served:
        served.until(
            lambda: served.metric("vigil_feed_authorisations_total") >= 3, "trying", within=30
        )
        state = served.health()["feeds"][0]["state"]
        served.stop()
    broker.shutdown()
    broker.server_close()
    impostor.close()

    assert broker.told.count(f"Bearer {TOKEN}") >= 3
    assert impostor.visits == []
    assert state in ("connecting", "backing off")
    assert TOKEN not in served.log
