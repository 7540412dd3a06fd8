"""Who is let in: by name, by origin, by size, by number, by password (faults.md D)."""

import re
import time
from typing import Any

import pytest
from nicegui import core
from nicegui.testing import User
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from dashboard import guard, login
from dashboard.guard import BODY_LIMIT, MAX_SOCKETS, Guard, Security, assert_origins, refusal
from dashboard.login import Attempts, Door, local_path
from tests.dashboard.conftest import serving
from trading.desk import Desk

PORT = 8080
LOCAL = Security(port=PORT)
OWN = f"http://127.0.0.1:{PORT}"
EVIL = ("https://evil.example", "null", "http://127.0.0.1:9999", f"http://evil.example:{PORT}", "")


def judged(security: Security = LOCAL, **facts: Any) -> int:
    """Return the status that the request gets, 200 if it passes."""
    pairs = {"host": f"127.0.0.1:{PORT}"} | facts.get("headers", {})
    raw = [(k.encode(), v.encode()) for k, v in pairs.items() if v is not None]
    refused = refusal(
        Headers(raw=raw),
        kind=facts.get("kind", "http"),
        method=facts.get("method", "GET"),
        path=facts.get("path", "/"),
        security=security,
    )
    return refused.status if refused else 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        f"evil.example:{PORT}",
        "127.0.0.1",
        "127.0.0.1:80",
        "localhost",
        "",
        f"127.0.0.1:{PORT}.evil.example",
        f"127.0.0.1.evil.example:{PORT}",
        None,
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_foreign_name_is_refused_for_pages_and_sockets(host: str | None, kind: str) -> None:
    assert judged(headers={"host": host, "origin": OWN}, kind=kind) == 400


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_the_own_names_with_the_own_port_pass(name: str) -> None:
    assert judged(headers={"host": f"{name}:{PORT}"}) == 200


def test_two_host_headers_are_refused() -> None:
    raw = [(b"host", f"127.0.0.1:{PORT}".encode()), (b"host", b"evil.example")]

    refused = refusal(Headers(raw=raw), kind="http", method="GET", path="/", security=LOCAL)

    assert refused is not None
    assert refused.status == 400


@pytest.mark.parametrize("origin", EVIL)
@pytest.mark.parametrize(
    ("kind", "method", "path"),
    [
        ("websocket", "GET", "/_nicegui_ws/socket.io/"),
        ("http", "GET", "/_nicegui_ws/socket.io/"),
        ("http", "POST", "/_nicegui_ws/socket.io/"),
        ("http", "POST", "/anything"),
        ("http", "DELETE", "/anything"),
        ("http", "GET", "/"),
    ],
)
def test_a_foreign_origin_is_refused_everywhere(
    origin: str, kind: str, method: str, path: str
) -> None:
    assert judged(headers={"origin": origin}, kind=kind, method=method, path=path) == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"origin": OWN}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "same-site"}, 403),  # another port of this machine
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"content-type": "text/plain"}, 403),
    ],
)
@pytest.mark.parametrize(("kind", "method"), [("http", "POST"), ("websocket", "GET")])
def test_what_changes_something_must_say_where_it_comes_from(
    headers: dict[str, str], status: int, kind: str, method: str
) -> None:
    assert judged(headers=headers, kind=kind, method=method) == status


def test_reading_needs_no_origin_but_the_socket_refuses_other_sites() -> None:
    path = "/_nicegui_ws/socket.io/"

    assert judged(path="/health") == 200
    assert judged(path=path) == 200
    assert judged(path=path, headers={"sec-fetch-site": "cross-site"}) == 403


@pytest.mark.parametrize("length", [str(BODY_LIMIT + 1), "9" * 40, "-1", "abc"])
def test_a_body_that_claims_too_much_or_nonsense_is_refused(length: str) -> None:
    headers = {"origin": OWN, "content-length": length}

    assert judged(method="POST", headers=headers) == 413


def test_more_names_may_be_allowed_also_behind_a_proxy() -> None:
    security = Security(port=PORT, allowed_hosts=("Desk.local",))
    for host in ("desk.local", f"desk.local:{PORT}"):
        assert judged(security, headers={"host": host}) == 200

    origins = {"https://desk.local": 200, "http://desk.local:8080": 200, "https://127.0.0.1": 403}
    for origin, status in origins.items():
        headers = {"host": "desk.local", "origin": origin}
        assert judged(security, method="POST", headers=headers) == status


def test_secrets_do_not_show_in_the_representation() -> None:
    shown = repr(Security(port=PORT, password="hunter2", secret="topsecret"))

    assert "hunter2" not in shown
    assert "topsecret" not in shown


async def test_every_answer_forbids_framing_and_sniffing(user: User) -> None:
    for path in ("/", "/status", "/health", "/metrics", "/nowhere"):
        headers = (await user.http_client.get(path)).headers

        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers


async def test_rebinding_is_refused_for_every_path(user: User) -> None:
    for path in ("/", "/status", "/health", "/metrics", "/_nicegui_ws/socket.io/?EIO=4"):
        response = await user.http_client.get(path, headers={"host": "evil.example"})

        assert response.status_code == 400
        assert response.headers["x-frame-options"] == "DENY"
        assert "client_id" not in response.text


async def test_the_socket_server_knows_the_own_origins_only(user: User) -> None:
    allowed = core.sio.eio.cors_allowed_origins

    assert "http://test" in allowed
    assert not {"*", "https://evil.example"} & set(allowed)


async def test_a_socket_server_open_to_all_is_noticed_at_start(desk: Desk) -> None:
    async with serving(desk):
        core.sio.eio.cors_allowed_origins = "*"
        with pytest.raises(RuntimeError, match="foreign origins"):
            assert_origins(LOCAL.origins())


def door(password: str = "hunter2") -> Door:
    return Door(password, "s" * 32)


def guarded(**changes: Any) -> Guard:
    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            await receive()
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"inside"})

    options: dict[str, Any] = {"security": LOCAL, "door": None, "pages": lambda: 0}
    return Guard(inner, **(options | changes))


async def asked(
    made: Guard,
    path: str = "/",
    *,
    method: str = "GET",
    body: bytes = b"",
    message: Message | None = None,
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    pairs = {"host": f"127.0.0.1:{PORT}", "origin": OWN} | headers
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "scheme": "http",
        "server": ("127.0.0.1", PORT),
        "client": ("10.0.0.9", 5555),
        "headers": [(k.encode(), v.encode()) for k, v in pairs.items()],
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return message or {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await made(scope, receive, send)
    answer = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
    return sent[0]["status"], answer, b"".join(m.get("body", b"") for m in sent[1:])


async def handshake(made: Guard, **headers: str) -> str:
    pairs = {"host": f"127.0.0.1:{PORT}", "origin": OWN} | headers
    raw = [(k.encode(), v.encode()) for k, v in pairs.items()]
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await made({"type": "websocket", "path": "/_nicegui_ws", "headers": raw}, receive, send)
    return str(sent[0]["type"])


async def test_a_body_that_grows_too_large_on_the_way_is_stopped() -> None:
    taken = 0

    async def swallow(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal taken
        while (message := await receive()).get("more_body", True):
            taken += len(message["body"])

    chunk: Message = {"type": "http.request", "body": b"x" * 65_536, "more_body": True}
    made = Guard(swallow, security=LOCAL, door=None, pages=lambda: 0)

    status, _, _ = await asked(made, "/", method="POST", message=chunk)

    assert status == 413
    assert taken <= BODY_LIMIT


async def test_sockets_and_pages_are_limited_in_number() -> None:
    made = guarded()
    made._sockets[False] = MAX_SOCKETS
    assert await handshake(made) == "websocket.close"
    made._sockets[False] = MAX_SOCKETS - 1
    assert await handshake(made) == "websocket.accept"
    assert made._sockets[False] == MAX_SOCKETS - 1

    full = guarded(pages=lambda: guard.MAX_PAGES)
    assert (await asked(full, "/"))[0] == 503
    assert (await asked(full, "/health"))[0] == 200


async def test_without_a_password_nobody_is_asked_for_one() -> None:
    assert (await asked(guarded(), "/"))[::2] == (200, b"inside")


async def test_with_a_password_nothing_but_the_door_is_open() -> None:
    made = guarded(door=door())

    status, headers, _ = await asked(made, "/status")
    assert (status, headers["location"]) == (303, "/login?next=/status")
    for path in ("/metrics", "/_nicegui/x.js", "/_nicegui_ws/socket.io/"):
        assert (await asked(made, path))[0] == 401
    assert (await asked(made, "/anything", method="POST"))[0] == 401
    assert await handshake(made) == "websocket.close"
    assert (await asked(made, "/health"))[0] == 200
    assert (await asked(made, "/login"))[0] == 200


async def test_the_right_password_opens_and_its_cookie_is_guarded() -> None:
    made = guarded(door=door())

    status, headers, _ = await asked(
        made, "/login", method="POST", body=b"password=hunter2&next=/status"
    )

    assert (status, headers["location"]) == (303, "/status")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "hunter2" not in cookie
    pair = cookie.partition(";")[0]
    assert (await asked(made, "/", cookie=pair))[0] == 200
    assert await handshake(made, cookie=pair) == "websocket.accept"


@pytest.mark.parametrize("body", [b"password=wrong", b"password=", b"", b"\xff\xfe", b"a" * 5000])
async def test_a_wrong_password_does_not_open(body: bytes) -> None:
    status, headers, _ = await asked(guarded(door=door()), "/login", method="POST", body=body)

    assert status in (401, 413)
    assert "set-cookie" not in headers


async def test_forged_and_expired_cookies_do_not_open() -> None:
    opened = door()
    made = guarded(door=opened)
    past, future = str(int(time.time()) - 1), str(int(time.time()) + 999_999)
    forged = [
        f"{future}.{'0' * 64}",
        f"{past}.{opened._sign(past)}",
        f"{future}.{opened._sign(past)}",
        f"{future}.{door('other')._sign(future)}",
        ".",
        "é.é",
        "x" * 5000,
    ]
    for value in forged:
        assert (await asked(made, "/", cookie=f"{login.COOKIE}={value}"))[0] == 303
    assert (await asked(made, "/", cookie=f"{login.COOKIE}={future}.{opened._sign(future)}"))[
        0
    ] == 200


async def test_guessing_is_slowed_down() -> None:
    made = guarded(door=door())
    statuses = [
        (await asked(made, "/login", method="POST", body=b"password=x"))[0]
        for _ in range(login.ATTEMPTS + 2)
    ]

    assert statuses == [401] * login.ATTEMPTS + [429, 429]
    right = await asked(made, "/login", method="POST", body=b"password=hunter2")
    assert right[0] == 429


def test_attempts_are_forgiven_after_a_minute_and_limited_over_all_addresses() -> None:
    attempts = Attempts()
    allowed = [attempts.allow(f"10.0.0.{n}", 0.0) for n in range(login.ATTEMPTS_ALL + 1)]

    assert allowed == [True] * login.ATTEMPTS_ALL + [False]
    assert attempts.allow("10.0.0.1", 61.0)


@pytest.mark.parametrize(
    "target", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "", "/a\r\nb"]
)
def test_a_login_leads_to_a_path_of_ours_only(target: str) -> None:
    assert local_path(target) == "/"
    assert local_path("/status?x=1") == "/status?x=1"


async def test_what_stands_in_the_address_cannot_become_html() -> None:
    path = '/login?next=/"><script>alert(1)</script>'

    _, _, body = await asked(guarded(door=door()), path)

    assert not re.search(rb"<script", body)


def test_a_password_needs_a_secret() -> None:
    with pytest.raises(ValueError, match="secret"):
        Door("hunter2", "")
