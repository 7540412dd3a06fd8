"""Alerts as signed JSON to the one address that was given: no redirect, no way inside a network."""

import asyncio
import hashlib
import hmac
import ipaddress
import json
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from alerts.event import event_id
from trading.errors import (
    BadRequest,
    CannotStart,
    RateLimited,
    Refused,
    Retryable,
    VigilError,
)
from trading.health import Alert
from trading.health_ports import Letter

NAME: Final = "webhook"
TIMEOUT: Final = httpx.Timeout(5.0, connect=3.0)  # seconds for each step
TOTAL: Final = 10.0  # seconds, however the answer trickles
MOST: Final = 4 << 10  # bytes of an answer that are read; it has nothing to tell
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 3600.0  # seconds after "too many", unless it says how long
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")

Resolve = Callable[[str, int], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class WebhookTarget:
    """Where alerts are posted; `private` allows an address inside the trader's own network."""

    url: str
    secret: str = field(repr=False)
    private: bool = False


def create(settings: WebhookTarget) -> "WebhookChannel | None":
    """Return the channel, None if no address is set; raise CannotStart for one that cannot be."""
    if not settings.url:
        return None
    if not settings.secret:
        raise CannotStart("[webhook] needs a secret, to sign with: set VIGIL_WEBHOOK__SECRET")
    try:
        url = httpx.URL(settings.url)
    except httpx.InvalidURL as error:
        raise CannotStart(f"[webhook] url: {error}") from None  # its path may be a secret
    if not url.host or url.userinfo or url.scheme not in ("https", "http"):
        raise CannotStart(
            f"[webhook] url {url.host!r}: https://HOST/PATH without user and password"
        )
    if url.scheme == "http" and not settings.private:
        raise CannotStart("[webhook] url: https, or private = true for your own network")
    return WebhookChannel(settings)


async def resolve(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]


class WebhookChannel:
    """Implements `health_ports.Channel`. The receiver tells copies by the id of the event."""

    name = NAME
    edits = False
    every = 0.2

    def __init__(
        self,
        target: WebhookTarget,
        *,
        resolve: Resolve = resolve,
        wall: Callable[[], float] = time.time,
        context: ssl.SSLContext | None = None,
        timeout: httpx.Timeout = TIMEOUT,
        total: float = TOTAL,
    ) -> None:
        """`wall` is the real time, with which a receiver compares its own, whatever the desk's is.

        `context` is for receivers whose certificate is no authority's; it has to verify.
        """
        self._target = target
        self._url = httpx.URL(target.url)
        self._resolve = resolve
        self._wall = wall
        self._total = total
        self._client = httpx.AsyncClient(
            timeout=timeout,
            verify=context or httpx.create_ssl_context(trust_env=False),
            trust_env=False,
            follow_redirects=False,
        )

    async def send(self, letter: Letter) -> str:
        try:
            async with asyncio.timeout(self._total):
                status, retry_after = await self._post(body_of(letter.alert), letter.alert)
        except TimeoutError:
            raise Retryable(f"{self._name}: no answer within {self._total:.0f} s") from None
        except httpx.HTTPError as error:
            raise self._trouble(error) from error
        if trouble := judged(status, retry_after, self._name, datetime.now(UTC)):
            raise trouble
        return ""

    async def close(self) -> None:
        await self._client.aclose()

    @property
    def _name(self) -> str:
        return f"webhook {self._url.host}"

    async def _post(self, body: bytes, alert: Alert) -> tuple[int, str]:
        """Return the status and when to come again; connect to an address that was checked."""
        timestamp = str(int(self._wall()))
        request = self._client.build_request(
            "POST",
            self._url.copy_with(host=await self._address()),
            content=body,
            headers={
                "Host": self._url.netloc.decode(),
                "Content-Type": "application/json",
                "User-Agent": "Vigil/0.1",
                "X-Vigil-Event": event_id(alert),
                "X-Vigil-Timestamp": timestamp,
                "X-Vigil-Signature": f"sha256={signature(self._target.secret, timestamp, body)}",
            },
            extensions={"sni_hostname": self._url.host},
        )
        response = await self._client.send(request, stream=True)
        try:
            read = 0
            async for part in response.aiter_raw():
                read += len(part)
                if read > MOST:
                    break
        finally:
            await response.aclose()
        return response.status_code, response.headers.get("Retry-After", "")

    async def _address(self) -> str:
        """Return where the name leads now; raise Refused if that is inside, which a name may do."""
        port = self._url.port or (443 if self._url.scheme == "https" else 80)
        try:
            found = await self._resolve(self._url.host, port)
        except OSError as error:
            raise Retryable(f"{self._name} has no address: {error}") from error
        allowed = [a for a in found if self._target.private or is_public(a)]
        if not allowed:
            where = ", ".join(found) or "no address"
            raise Refused(
                f"{self._name} leads to {where}, inside a private network: nothing was sent; "
                "set private = true if that is meant"
            )
        return allowed[0]

    def _trouble(self, error: httpx.HTTPError) -> VigilError:
        words = str(error) or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in words:
            return Refused(f"{self._name} shows a certificate that is not its own")
        return Retryable(f"{self._name}: {words}")


def is_public(address: str) -> bool:
    """Return whether everybody's internet is there: not this machine, not a network at home."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def body_of(alert: Alert) -> bytes:
    said = {
        "event": event_id(alert),
        "alert": alert.name,
        "key": alert.key,
        "component": str(alert.component),
        "kind": alert.kind,
        "occasion": str(alert.occasion),
        "severity": alert.severity.name.lower(),
        "at": alert.at.isoformat(),
        "title": alert.title,
        "lines": list(alert.lines),
        "link": alert.link,
        "mode": alert.mode,
        "is_mock": alert.is_mock,
        "incident": alert.incident or None,
        "times": alert.times,
    }
    return json.dumps(said, ensure_ascii=True, separators=(",", ":")).encode()


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return the HMAC-SHA256 over `timestamp.body` in hexadecimal digits."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def judged(status: int, retry_after: str, name: str, now: datetime) -> VigilError | None:
    """Return what an answer means for this letter and for the channel; None: it was taken."""
    words = f"{name} answered {status}"
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return Refused(f"{words}: a redirect is not followed, give the address that it leads to")
    if status == 429:
        return RateLimited(words, retry_after=pause(retry_after, now))
    if status == 410:
        return Refused(f"{words}: it wants no more of them")
    if status in (400, 413, 422):
        return BadRequest(words)
    return Retryable(words) if status in (408, 425) or status >= 500 else Refused(words)


def pause(retry_after: str, now: datetime) -> float:
    """Return the seconds that a Retry-After asks for, as a number or a date."""
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(retry_after) - now).total_seconds()
        except (ValueError, TypeError):
            seconds = FIRST_PAUSE
    return min(max(seconds, 1.0), LONGEST_PAUSE) if seconds == seconds else FIRST_PAUSE
