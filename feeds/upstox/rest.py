"""The broker's REST interface: requests go out within its limits, answers come back typed."""

import asyncio
import threading
import time
from collections import deque
from datetime import date
from types import TracebackType
from typing import Final, Self, TypeVar
from urllib.parse import quote

import httpx

from feeds.upstox import answers
from feeds.upstox.answers import (
    Answer,
    Call,
    ExchangeStatus,
    HolidayRow,
    Opening,
    Profile,
    RestLtp,
    RestQuote,
)
from feeds.upstox.token import TokenStore
from trading.errors import BadAnswer, RateLimited, Retryable
from trading.model import Candle

T = TypeVar("T")

USER_AGENT: Final = "Mozilla/5.0 (compatible; Vigil/0.1)"  # without one the broker's wall says 403
TIMEOUT: Final = httpx.Timeout(5.0, connect=3.0)  # seconds for each step
TOTAL: Final = 10.0  # seconds for a whole answer, however it trickles
LARGEST: Final = 16 << 20  # bytes of an answer
LARGEST_MASTER: Final = 64 << 20  # bytes of the instruments master, packed
DOWNLOAD: Final = 120.0  # seconds
KEYS_PER_CALL: Final = 500
PATIENCE: Final = 1.0  # seconds that a call may wait for its turn on the feed's thread

# (calls, seconds), for each user. The windows are a little longer than the broker's, who counts
# arrivals: of calls that left in time, a fast one after a slow one was refused with 429.
LIMITS: Final = ((50, 1.1), (500, 60.5), (2000, 1801.0))


class RateLimit:
    """Counts calls in sliding windows; may be used from several threads."""

    def __init__(self, limits: tuple[tuple[int, float], ...] = LIMITS) -> None:
        self._limits = limits
        self._calls: deque[float] = deque(maxlen=max(calls for calls, _ in limits))
        self._lock = threading.Lock()

    def reserve(self, now: float) -> float:
        """Book a call and return 0, or book nothing and return the seconds until one is free."""
        with self._lock:
            wait = max(self._full_for(calls, seconds, now) for calls, seconds in self._limits)
            if wait <= 0:
                self._calls.append(now)
            return max(0.0, wait)

    def _full_for(self, calls: int, seconds: float, now: float) -> float:
        if len(self._calls) < calls:
            return 0.0
        return self._calls[-calls] + seconds - now


class UpstoxRest:
    """One client for the loop (`await`) and one for the feed's thread (`..._now`).

    Raises the errors of `trading.errors`; none carries the token or an authorised address.
    Redirects are not followed, proxies of the environment are not used, and TLS is verified.
    """

    def __init__(
        self,
        base_url: str,
        token: TokenStore,
        *,
        assets_url: str = "https://assets.upstox.com",
        is_mock: bool = False,
        limit: RateLimit | None = None,
        timeout: httpx.Timeout = TIMEOUT,
        total: float = TOTAL,
    ) -> None:
        """Raises ValueError for a base URL that is neither https nor on this machine."""
        self._base_url = answers.checked_base(base_url)
        self._assets_url = answers.checked_base(assets_url)
        self._token = token
        self._is_mock = is_mock
        self._limit = limit or RateLimit()
        self._total = total
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
        verify = httpx.create_ssl_context(trust_env=False)
        self._loop_client = httpx.AsyncClient(
            headers=headers, timeout=timeout, verify=verify, trust_env=False
        )
        self._thread_client = httpx.Client(
            headers=headers, timeout=timeout, verify=verify, trust_env=False
        )

    async def aclose(self) -> None:
        await self._loop_client.aclose()
        self._thread_client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    # on the feed's thread

    def authorize_market_feed(self) -> str:
        """Return an address that is good for one connection."""
        return self.fetch_now(answers.authorise(self._base_url))

    def quotes_now(self, instrument_keys: list[str]) -> list[RestQuote]:
        return self.fetch_now(answers.quotes(instrument_keys))

    def fetch_now(self, call: Call[T]) -> T:
        wait = self._limit.reserve(time.monotonic())
        if wait > PATIENCE:
            raise RateLimited(f"{call.what}: our own limit of calls is reached", retry_after=wait)
        if wait:
            time.sleep(wait)
            return self.fetch_now(call)
        request = self._request(self._thread_client, call)
        deadline = time.monotonic() + self._total
        try:
            response = self._thread_client.send(request, stream=True)
            try:
                body = bytearray()
                for chunk in response.iter_bytes():
                    _grow(body, chunk, LARGEST, call.what)
                    if time.monotonic() > deadline:
                        raise Retryable(f"{call.what}: the answer took too long")
            finally:
                response.close()
        except httpx.HTTPError as error:
            raise _trouble(error, call.what) from error
        return answers.read(call, answers.data_of(_answer(response, body), call.what))

    # on the loop

    async def profile(self) -> Profile:
        return await self.fetch(answers.profile())

    async def quotes(self, instrument_keys: list[str]) -> list[RestQuote]:
        found: list[RestQuote] = []
        for at in range(0, len(instrument_keys), KEYS_PER_CALL):
            chunk = instrument_keys[at : at + KEYS_PER_CALL]
            found += await self.fetch(answers.quotes(chunk))
        return found

    async def ltps(self, instrument_keys: list[str]) -> list[RestLtp]:
        found: list[RestLtp] = []
        for at in range(0, len(instrument_keys), KEYS_PER_CALL):
            chunk = instrument_keys[at : at + KEYS_PER_CALL]
            found += await self.fetch(answers.ltps(chunk))
        return found

    async def holidays(self) -> list[HolidayRow]:
        return await self.fetch(answers.holidays())

    async def timings(self, day: date) -> list[Opening]:
        return await self.fetch(answers.timings(day.isoformat()))

    async def market_status(self, exchange: str) -> ExchangeStatus:
        return await self.fetch(answers.market_status(exchange))

    async def intraday_candles(self, instrument_key: str) -> list[Candle]:
        """Return today's minutes, oldest first; the last one may be still under way."""
        return await self.fetch(answers.intraday_candles(instrument_key, is_mock=self._is_mock))

    async def fetch(self, call: Call[T]) -> T:
        if wait := self._limit.reserve(time.monotonic()):
            await asyncio.sleep(wait)
            return await self.fetch(call)  # somebody else may have been quicker
        request = self._request(self._loop_client, call)
        answer = await self._send(request, call.what, LARGEST, self._total)
        return answers.read(call, answers.data_of(answer, call.what))

    async def instruments_master(self, name: str = "complete.json.gz") -> bytes:
        """Download the packed list of instruments; it is public, so the token stays here."""
        what = "instruments master"
        url = f"{self._assets_url}/market-quote/instruments/exchange/{name}"
        request = self._loop_client.build_request("GET", url)
        answer = await self._send(request, what, LARGEST_MASTER, DOWNLOAD)
        if answer.status != 200:
            raise Retryable(f"{what}: status {answer.status}")
        if answer.body[:1] not in (b"\x1f", b"["):
            raise BadAnswer(f"{what}: not a packed list of instruments")
        return answer.body

    async def _send(self, request: httpx.Request, what: str, most: int, total: float) -> Answer:
        body = bytearray()
        try:
            async with asyncio.timeout(total):
                response = await self._loop_client.send(request, stream=True)
                try:
                    async for chunk in response.aiter_bytes():
                        _grow(body, chunk, most, what)
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise Retryable(f"{what}: the answer took too long") from error
        except httpx.HTTPError as error:
            raise _trouble(error, what) from error
        return _answer(response, body)

    def _request(self, client: httpx.Client | httpx.AsyncClient, call: Call[T]) -> httpx.Request:
        path = quote(call.path, safe="/")
        headers = {"Authorization": f"Bearer {self._token.load()}"}
        return client.build_request(
            "GET", f"{self._base_url}{path}", params=call.params, headers=headers
        )


def _grow(body: bytearray, chunk: bytes, most: int, what: str) -> None:
    if len(body) + len(chunk) > most:
        raise BadAnswer(f"{what}: the answer does not end")
    body += chunk


def _answer(response: httpx.Response, body: bytearray) -> Answer:
    headers = response.headers
    return Answer(
        response.status_code,
        headers.get("content-type", "").lower(),
        headers.get("retry-after", "").strip(),
        bytes(body),
    )


def _trouble(error: httpx.HTTPError, what: str) -> Retryable:
    match error:
        case httpx.ConnectTimeout() | httpx.ConnectError():
            return Retryable(f"{what}: the broker cannot be reached")
        case httpx.TimeoutException():
            return Retryable(f"{what}: the broker does not answer in time")
        case _:
            return Retryable(f"{what}: the connection broke ({type(error).__name__})")
