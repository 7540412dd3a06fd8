"""The broker's REST interface: requests go out within its limits, answers come back typed."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence
from datetime import date
from types import TracebackType
from typing import Final, Self, TypeVar
from urllib.parse import quote

import httpx

from feeds.upstox import answers, order_calls
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
from feeds.upstox.call_meter import CallMeter
from feeds.upstox.order_calls import Write
from feeds.upstox.token import TokenStore
from trading.errors import (
    BadAnswer,
    CannotStart,
    RateLimited,
    Retryable,
    TokenRefused,
    Unanswered,
)
from trading.model import Candle
from trading.ports import RestStats

T = TypeVar("T")

USER_AGENT: Final = "Mozilla/5.0 (compatible; Vigil/0.1)"  # without one the broker's wall says 403
TIMEOUT: Final = httpx.Timeout(5.0, connect=3.0)  # seconds for each step
TOTAL: Final = 10.0  # seconds for a whole answer, however it trickles
LARGEST: Final = 16 << 20  # bytes of an answer
LARGEST_MASTER: Final = 64 << 20  # bytes of the instruments master, packed
DOWNLOAD: Final = 120.0  # seconds
KEYS_PER_CALL: Final = 500
PATIENCE: Final = 1.0  # seconds that a call may wait for its turn on the feed's thread
LOOP_PATIENCE: Final = 5.0  # the same on the loop: who asks again later says so, who hangs does not
ORDER_PATIENCE: Final = 2.0  # seconds that an order may wait for its turn: later it is not wanted
KEPT_ALIVE: Final = 60.0  # seconds that a connection waits for the next order, a handshake saved
BROKER: Final = "https://api.upstox.com"
ORDERS: Final = "https://api-hft.upstox.com"  # where the broker takes single orders

# (calls, seconds): LIMITS for each user and API, those of orders for each user. The windows are a
# little longer than the broker's, who counts arrivals: of calls that left in time, a fast one after
# a slow one was refused with 429.
LIMITS: Final = ((50, 1.1), (500, 60.5), (2000, 1801.0))
ORDER_LIMITS: Final = ((10, 1.1), (500, 60.5), (2000, 1801.0))
SEVERAL_LIMITS: Final = ((4, 1.1), (40, 60.5), (160, 1801.0))  # of calls with several orders


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


class RateLimits:
    """A limit of its own for each API, for so the broker counts: whoever fetches the past of many
    instruments must not keep a feed from being authorised or the books from being read.
    """

    def __init__(self, limits: tuple[tuple[int, float], ...] = LIMITS) -> None:
        self._limits = limits
        self._apis: dict[str, RateLimit] = {}

    def reserve(self, api: str, now: float) -> float:
        """Book a call and return 0, or book nothing and return the seconds until one is free."""
        limit = self._apis.get(api) or self._apis.setdefault(api, RateLimit(self._limits))
        return limit.reserve(now)


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
        hft_url: str = "",
        is_mock: bool = False,
        limits: tuple[tuple[int, float], ...] = LIMITS,
        timeout: httpx.Timeout = TIMEOUT,
        total: float = TOTAL,
    ) -> None:
        """Single orders go to `hft_url`; the broker has a host for them, others have not.

        Raises ValueError for a base URL that is neither https nor on this machine.
        """
        self._base_url = answers.checked_base(base_url)
        usual = ORDERS if self._base_url == BROKER else self._base_url
        self.hft_url = answers.checked_base(hft_url or usual)
        self._assets_url = answers.checked_base(assets_url)
        self._token = token
        self.is_mock = is_mock
        self._limits = RateLimits(limits)
        self._order_limit = RateLimit(ORDER_LIMITS)
        self._several_limit = RateLimit(SEVERAL_LIMITS)
        self._meter = CallMeter()
        self._total = total
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
        verify = httpx.create_ssl_context(trust_env=False)
        self._loop_client = httpx.AsyncClient(
            headers=headers,
            timeout=timeout,
            verify=verify,
            trust_env=False,
            limits=httpx.Limits(keepalive_expiry=KEPT_ALIVE),
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

    def authorize_portfolio_feed(self, update_types: Sequence[str]) -> str:
        """Return an address that is good for one connection."""
        return self.fetch_now(answers.authorise_portfolio(self._base_url, update_types))

    def quotes_now(self, instrument_keys: list[str]) -> list[RestQuote]:
        return self.fetch_now(answers.quotes(instrument_keys))

    def fetch_now(self, call: Call[T]) -> T:
        wait = self._limits.reserve(call.what, time.monotonic())
        if wait > PATIENCE:
            raise _too_many(call, wait)
        if wait:
            time.sleep(wait)
            return self.fetch_now(call)
        with self._meter.call():
            return self._fetch_now(call)

    def _fetch_now(self, call: Call[T]) -> T:
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
        data = answers.data_of(_answer(response, body), call.what, bare=call.bare)
        return answers.read(call, data)

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
        return await self.fetch(answers.intraday_candles(instrument_key, is_mock=self.is_mock))

    async def candles(self, instrument_key: str, first: date, last: date) -> list[Candle]:
        """Return the minutes of days before today, oldest first."""
        return await self.fetch(answers.candles(instrument_key, first, last, is_mock=self.is_mock))

    def stats(self) -> RestStats:
        """Read how the broker answers; the download of the instruments is not counted."""
        return self._meter.stats()

    async def fetch(self, call: Call[T]) -> T:
        until = time.monotonic() + LOOP_PATIENCE
        while wait := self._limits.reserve(call.what, time.monotonic()):
            if time.monotonic() + wait > until:
                raise _too_many(call, wait)
            await asyncio.sleep(wait)  # then somebody else may have been quicker
        with self._meter.call():
            request = self._request(self._loop_client, call)
            answer = await self._send(request, call.what, LARGEST, self._total)
            return answers.read(call, answers.data_of(answer, call.what, bare=call.bare))

    async def execute(self, write: Write[T]) -> T:
        """Send a write once, whatever happens, and return what the answer proves.

        Raises what `order_calls.outcome` raises; Retryable and RateLimited if nothing was sent,
        Unanswered if it was and the answer did not come.
        """
        await self._turn(write)
        sent = False

        async def trace(event: str, _: object) -> None:
            nonlocal sent
            sent = sent or event.endswith("send_request_headers.started")

        request = self._write_request(write)
        request.extensions["trace"] = trace
        with self._meter.call():
            try:
                answer = await self._send(request, write.what, LARGEST, self._total)
            except Retryable as error:
                if not sent:
                    raise
                raise Unanswered(f"{error}; it may have been done") from error
            return order_calls.outcome(write, answer)

    async def _turn(self, write: Write[T]) -> None:
        """Wait until the limits allow another write. Raises RateLimited if that is too long."""
        limits = (self._order_limit, *([self._several_limit] if write.several else []))
        until = time.monotonic() + ORDER_PATIENCE
        for limit in limits:
            while wait := limit.reserve(time.monotonic()):
                if time.monotonic() + wait > until:
                    text = f"{write.what}: our own limit of orders is reached, nothing was sent"
                    raise RateLimited(text, retry_after=wait)
                await asyncio.sleep(wait)

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
        return client.build_request(
            call.method,
            f"{self._base_url}{quote(call.path, safe='/')}",
            params=call.params,
            headers=self._authorization(),
            json=call.body,
        )

    def _write_request(self, write: Write[T]) -> httpx.Request:
        base = self._base_url if write.several else self.hft_url
        return self._loop_client.build_request(
            write.method,
            f"{base}{write.path}",
            params=write.params,
            headers=self._authorization(),
            json=write.body,
        )

    def _authorization(self) -> dict[str, str]:
        try:
            return {"Authorization": f"Bearer {self._token.load()}"}
        except CannotStart as error:  # its file is not as it must be, while we run
            raise TokenRefused(str(error)) from error


def _too_many(call: Call[T], wait: float) -> RateLimited:
    return RateLimited(f"{call.what}: our own limit of calls is reached", retry_after=wait)


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
