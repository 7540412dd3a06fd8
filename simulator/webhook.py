"""The webhook: each order message of the portfolio stream, posted once to a configured address."""

import asyncio
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import httpx
import orjson

from simulator.clock import ExchangeClock
from simulator.envelope import Json
from simulator.faults import Faults, LateWebhooks, RepeatWebhooks
from simulator.ledger import Ledger, Posted

PATIENCE: Final = 5.0  # seconds for an answer; there is no second try
MOST_WAITING: Final = 200  # posts on their way; beyond them a post is dropped, and counted so
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


def check_address(url: str) -> str:
    """Return the address; raise ValueError unless it is an http one on this machine, or empty."""
    if not url:
        return url
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or parts.hostname not in LOOPBACK:
        raise ValueError(f"webhook: {url!r} is no http address on loopback")
    if parts.port == 0:  # reading it raises ValueError for what is no port
        raise ValueError(f"webhook: {url!r} has the port 0")
    return url


class Webhook:
    """Owned by the exchange's loop. As at the real broker: no signature, no retry, no order.

    The exchange never waits for whoever is called: every post is a task of its own.
    """

    def __init__(self, clock: ExchangeClock, faults: Faults, ledger: Ledger, url: str = "") -> None:
        self._clock = clock
        self._faults = faults
        self._ledger = ledger
        self._url = check_address(url)
        self._client: httpx.AsyncClient | None = None
        self._posts: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return self._url

    def aim(self, url: str) -> None:
        """Post to this address from now on, or nowhere; raise ValueError."""
        self._url = check_address(url)

    def publish(self, user: str, message: Mapping[str, Json]) -> None:
        """Post an order message; positions and holdings are not told."""
        if not self._url or message["update_type"] != "order":
            return
        body = orjson.dumps(message)
        late = self._faults.take(LateWebhooks)
        repeat = self._faults.take(RepeatWebhooks)
        for _ in range(repeat.times if repeat else 1):
            self._begin(body, late.seconds if late else 0.0)

    def _begin(self, body: bytes, delay: float) -> None:
        if len(self._posts) >= MOST_WAITING:
            self._note(body, 0, "too many posts on their way")
            return
        post = asyncio.get_running_loop().create_task(self._post(self._url, body, delay))
        self._posts.add(post)
        post.add_done_callback(self._posts.discard)

    async def _post(self, url: str, body: bytes, delay: float) -> None:
        await asyncio.sleep(delay)
        if self._client is None:
            # no proxies of the environment: what is posted stays on this machine
            self._client = httpx.AsyncClient(timeout=PATIENCE, trust_env=False)
        headers = {"Content-Type": "application/json"}
        try:
            answer = await self._client.post(url, content=body, headers=headers)
        except httpx.HTTPError as trouble:
            self._note(body, 0, repr(trouble))
        else:
            self._note(body, answer.status_code, "")

    def _note(self, body: bytes, status: int, trouble: str) -> None:
        now_ms = self._clock.now_ms()
        self._ledger.posted.append(Posted(status, time.monotonic(), now_ms, body, trouble))

    async def close(self) -> None:
        """Give up what is on its way."""
        for post in tuple(self._posts):
            post.cancel()
        await asyncio.gather(*self._posts, return_exceptions=True)
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
