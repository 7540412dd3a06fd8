"""Signed alerts to a real HTTP server, and to none that is inside a network."""

import hashlib
import hmac
import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from alerts.channels.webhook import (
    WebhookChannel,
    WebhookTarget,
    create,
    is_public,
    judged,
    pause,
)
from tests.alerts.http_server import HttpServer
from tests.alerts.scripted_channel import alert
from tests.alerts.timeline import NOON
from trading.errors import (
    BadRequest,
    CannotStart,
    RateLimited,
    Refused,
    Retryable,
    VigilError,
)
from trading.health import Severity
from trading.health_ports import Letter, LetterState

SECRET = "canary-secret"


def letter(title: str = 'NAKED LEG "24000 CE" <b>&amp;', number: int = 17) -> Letter:
    told = alert(title, Severity.CRITICAL, id=number, incident=4)
    return Letter(number, "webhook", told, NOON, False, LetterState.QUEUED)


@asynccontextmanager
async def channel(
    url: str, *, private: bool = True, **options: Any
) -> AsyncIterator[WebhookChannel]:
    made = WebhookChannel(WebhookTarget(url, SECRET, private), **options)
    yield made
    await made.close()


async def test_an_alert_is_posted_as_signed_json() -> None:
    with HttpServer() as server:
        async with channel(server.url, wall=lambda: 1_700_000_000.9) as hook:
            await hook.send(letter())
            await hook.send(letter())

    first, second = server.requests
    assert first.line == "POST /hook HTTP/1.1"
    assert first.headers["host"] == f"127.0.0.1:{server.port}"
    assert first.headers["content-type"] == "application/json"
    assert first.headers["x-vigil-timestamp"] == "1700000000"
    signed = hmac.new(SECRET.encode(), b"1700000000." + first.body, hashlib.sha256).hexdigest()
    assert first.headers["x-vigil-signature"] == f"sha256={signed}"
    said = json.loads(first.body)
    assert (said["alert"], said["severity"], said["is_mock"]) == ("A17", "critical", True)
    assert said["title"] == 'NAKED LEG "24000 CE" <b>&amp;'
    assert SECRET.encode() not in first.body
    assert first.headers["x-vigil-event"] == second.headers["x-vigil-event"] == said["event"]


async def test_what_has_no_number_yet_is_a_copy_only_if_it_says_the_same() -> None:
    """As while the disk refuses: what is told in one look has one time, and all the number 0."""
    with HttpServer() as server:
        async with channel(server.url) as hook:
            for title in ("FEED DOWN", "FEED DOWN", "BOOKS DIFFER"):
                await hook.send(letter(title, number=0))

    first, again, other = (request.headers["x-vigil-event"] for request in server.requests)
    assert first == again != other


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.9.9", "169.254.169.254", "0.0.0.0",
     "100.64.0.1", "224.0.0.1", "::1", "::", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1",
     "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "255.255.255.255"],
)  # fmt: skip
def test_an_address_inside_a_network_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8"])
def test_an_address_of_everybodys_is_public(address: str) -> None:
    assert is_public(address)


async def test_a_name_that_leads_inside_gets_nothing() -> None:
    async def inside(host: str, port: int) -> list[str]:
        assert host == "hook.example.org"
        return ["127.0.0.1", "::1"]

    with HttpServer() as server:
        url = f"http://hook.example.org:{server.port}/hook"
        async with channel(url, private=False, resolve=inside) as hook:
            with pytest.raises(Refused, match="inside a private network: nothing was sent"):
                await hook.send(letter())
        for literal in ("127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "localhost"):
            url = f"http://{literal}:{server.port}/hook"
            async with channel(url, private=False) as hook:
                with pytest.raises(Refused, match="nothing was sent"):
                    await hook.send(letter())

    assert server.requests == []


async def test_a_name_that_changes_after_the_check_is_not_asked_again() -> None:
    """DNS rebinding: the connection goes to the address that was judged, not to the name."""
    answers = [["127.0.0.1"]]

    async def once(host: str, port: int) -> list[str]:
        return answers.pop()

    with HttpServer() as server:
        url = f"http://hook.example.org:{server.port}/hook"
        async with channel(url, resolve=once) as hook:
            await hook.send(letter())

    [request] = server.requests
    assert request.headers["host"] == f"hook.example.org:{server.port}"
    assert answers == []


async def test_a_redirect_is_not_followed_least_of_all_inside() -> None:
    with HttpServer() as inner, HttpServer() as server:
        server.status = 307
        server.headers = {"Location": inner.url}
        async with channel(server.url) as hook:
            with pytest.raises(Refused, match="redirect is not followed"):
                await hook.send(letter())

    assert len(server.requests) == 1
    assert inner.requests == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, None), (204, None), (302, Refused), (400, BadRequest), (401, Refused),
        (403, Refused), (404, Refused), (408, Retryable), (410, Refused), (413, BadRequest),
        (429, RateLimited), (500, Retryable), (503, Retryable), (101, Refused),
    ],
)  # fmt: skip
def test_each_answer_has_its_own_consequence(status: int, kind: type[VigilError] | None) -> None:
    found = judged(status, "", "webhook example.org", NOON)

    assert (type(found) if found else None) is kind


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("20", 20.0), ("", 30.0), ("soon", 30.0), ("-5", 1.0), ("1e9", 3600.0), ("nan", 30.0),
     ("Fri, 20 Nov 2026 06:32:00 GMT", 120.0)],
)  # fmt: skip
def test_how_long_it_wants_to_be_left_alone(said: str, seconds: float) -> None:
    assert pause(said, datetime(2026, 11, 20, 6, 30, tzinfo=UTC)) == seconds


async def test_too_many_is_told_with_the_time_to_wait() -> None:
    with HttpServer() as server:
        server.status, server.headers = 429, {"Retry-After": "20"}
        async with channel(server.url) as hook:
            with pytest.raises(RateLimited, match="429") as caught:
                await hook.send(letter())

    assert caught.value.retry_after == 20.0


async def test_a_giant_answer_is_not_read_and_a_trickling_one_is_cut_off() -> None:
    with HttpServer() as server:
        server.body = b"x" * (64 << 20)
        async with channel(server.url) as hook:
            await hook.send(letter())
        assert server.written < 16 << 20
    with HttpServer() as server:
        server.trickle = 0.1
        server.body = b"x" * 50
        async with channel(server.url, total=0.3) as hook:
            with pytest.raises(Retryable, match="no answer within"):
                await hook.send(letter())


async def test_nobody_there_is_tried_again_and_the_secret_is_in_no_words() -> None:
    with HttpServer() as server:
        url = server.url
    async with channel(url) as hook:
        with pytest.raises(Retryable, match=r"webhook 127\.0\.0\.1") as caught:
            await hook.send(letter())

    assert SECRET not in str(caught.value) + repr(WebhookTarget(url, SECRET))


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Make one for a name, that is its own authority."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, so no certificate can be made")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=hook.example.org", "-addext",
         "subjectAltName=DNS:hook.example.org", "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return cert, key


async def test_a_certificate_is_checked_against_the_name_and_not_the_address(
    certificate: tuple[Path, Path],
) -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(*certificate)
    trusted = ssl.create_default_context(cafile=str(certificate[0]))

    async def here(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    with HttpServer(context=serving) as server:
        for name, context, good in (
            ("hook.example.org", trusted, True),
            ("other.example.org", trusted, False),
            ("hook.example.org", None, False),
        ):
            url = f"https://{name}:{server.port}/hook"
            async with channel(url, resolve=here, context=context) as hook:
                if good:
                    await hook.send(letter())
                    continue
                with pytest.raises(Refused, match="certificate that is not its own"):
                    await hook.send(letter())

    assert len(server.requests) == 1


def test_without_an_address_there_is_no_channel() -> None:
    assert create(WebhookTarget("", "")) is None
    assert create(WebhookTarget("https://example.org/hook", SECRET)) is not None
    assert create(WebhookTarget("http://10.0.0.2/hook", SECRET, private=True)) is not None


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (WebhookTarget("https://example.org/hook", ""), "needs a secret"),
        (WebhookTarget("http://example.org/hook", SECRET), "https"),
        (WebhookTarget("ftp://example.org", SECRET, private=True), "https"),
        (WebhookTarget("https://me:word@example.org/", SECRET), "without user and password"),
        (WebhookTarget("hook", SECRET), "https"),
        (WebhookTarget("https://example.org:bad/hook", SECRET), r"\[webhook\] url"),
    ],
)
def test_what_cannot_be_is_refused_at_the_start(target: WebhookTarget, words: str) -> None:
    with pytest.raises(CannotStart, match=words) as caught:
        create(target)
    assert "/hook" not in str(caught.value), "a path may be a secret"
