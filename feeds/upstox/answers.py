"""What the broker's REST interface answers: judged and typed, without any I/O."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from ipaddress import ip_address
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

from trading.errors import (
    BadAnswer,
    BadRequest,
    NotPermitted,
    RateLimited,
    Retryable,
    TokenRefused,
    VigilError,
)
from trading.model import UNKNOWN, UNKNOWN_COUNT, Candle

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

TOKEN_CODES: Final = frozenset({"UDAPI100050", "UDAPI100016"})
CLOSED_CODES: Final = frozenset({"UDAPI100072", "UDAPI100074"})  # 00:00 to 05:30 IST
CLOSED_RETRY: Final = 900.0  # seconds; one look a quarter of an hour is enough in the night
NO_RETRY_AFTER: Final = 30.0  # seconds, where a 429 does not say
BROKER_HOSTS: Final = ("upstox.com",)

# Where half of a character may be, escaped or raw: Python's JSON lets it through.
_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")

# What reading an answer of another shape ends in; Python's JSON knows Infinity, which is no int.
_OTHER_SHAPE: Final = (
    KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as it came: enough of it to judge."""

    status: int
    content_type: str
    retry_after: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """One request and how to read its answer; `what` names it in errors."""

    what: str
    path: str
    read: Callable[[Any], T_co]  # of the envelope's `data`; KeyError and so on mean a bad answer
    params: Mapping[str, str] | None = None
    method: str = "GET"  # or another, of a read that changes nothing at the broker
    body: Mapping[str, Any] | None = None
    bare: bool = False  # the answer may be the list itself, without an envelope


@dataclass(frozen=True, slots=True)
class Profile:
    user_id: str
    name: str
    exchanges: tuple[str, ...]
    is_active: bool


@dataclass(frozen=True, slots=True)
class RestQuote:
    """A full quote; prices in rupees, times in epoch ms, unknown as everywhere."""

    instrument_key: str
    ltp: float
    last_trade_time: int
    timestamp: int  # of the quote
    volume: int
    oi: float
    day_open: float
    day_high: float
    day_low: float
    close: float  # of the previous day
    bid: float
    ask: float
    bid_qty: int
    ask_qty: int
    lower_circuit: float
    upper_circuit: float


@dataclass(frozen=True, slots=True)
class RestLtp:
    instrument_key: str
    ltp: float
    volume: int
    close: float  # of the previous day


@dataclass(frozen=True, slots=True)
class Opening:
    """When an exchange trades on some day, epoch ms."""

    exchange: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class HolidayRow:
    """A line of the broker's calendar. What it means depends on the exchange."""

    day: str  # YYYY-MM-DD
    description: str
    closed: tuple[str, ...]
    open: tuple[Opening, ...]


@dataclass(frozen=True, slots=True)
class ExchangeStatus:
    exchange: str
    status: str
    last_updated: int


@dataclass(frozen=True, slots=True)
class Complaint:
    """One entry of an answer's `errors`, in words of one line."""

    code: str
    message: str
    field: str = ""  # of the request
    correlation_id: str = ""  # of the line, in an answer to several orders

    @property
    def words(self) -> str:
        return " ".join(filter(None, (self.field and f"{self.field}:", self.code, self.message)))


def data_of(answer: Answer, what: str, *, bare: bool = False) -> Any:
    """Return the envelope's `data`, or raise the error that says what to do."""
    if answer.status != 200:
        raise _refusal(answer, what)
    if "json" not in answer.content_type:
        kind = answer.content_type.partition(";")[0] or "nothing"
        raise BadAnswer(f"{what}: the broker answered with {kind} instead of JSON")
    envelope = parsed(answer.body)
    if bare and isinstance(envelope, list):
        return envelope
    if not isinstance(envelope, dict):
        raise BadAnswer(f"{what}: the broker's answer is not JSON of the promised form")
    if envelope.get("status") != "success" or envelope.get("data") is None:
        raise BadAnswer(f"{what}: the broker's answer carries no data")
    return envelope["data"]


def parsed(body: bytes) -> Any:
    """Return what the JSON holds, None where it is none.

    Half a character, which no database and no page can take, comes as a question mark.
    """
    try:
        found = json.loads(body)
        return _plain(found) if _HALF.search(body) else found
    except (ValueError, RecursionError):  # a hundred thousand brackets are the latter
        return None


def _plain(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {_plain(key): _plain(item) for key, item in value.items()}
    return value


def _refusal(answer: Answer, what: str) -> VigilError:
    code, message = error_of(answer.body)
    text = f"{what}: " + " ".join(filter(None, (f"status {answer.status}", code, message)))
    match answer.status:
        case _ if code in CLOSED_CODES or answer.status == 423:
            return RateLimited(f"{what}: closed by broker until 05:30", retry_after=CLOSED_RETRY)
        case _ if code in TOKEN_CODES or answer.status == 401:
            return TokenRefused(f"{what}: the broker refused the token ({code or 'status 401'})")
        case 403:
            return NotPermitted(f"{text}: no permission, though the token may be good")
        case 429:
            return RateLimited(text, retry_after=retry_after(answer))
        case status if 400 <= status < 500:
            return BadRequest(text, code=code)
        case status if status >= 500:
            return Retryable(text)
        case status:  # a redirect would hand the token to another host
            return BadAnswer(f"{what}: unexpected status {status}")


def error_of(body: bytes) -> tuple[str, str]:
    """Return code and message of an error envelope; both spellings of the code are in use."""
    first = next(iter(complaints(parsed(body))), Complaint("", ""))
    return first.code, first.message


def complaints(envelope: Any) -> list[Complaint]:
    """Read the errors of an envelope; what is not of the known form is left out."""
    errors = envelope.get("errors") if isinstance(envelope, dict) else None
    rows = errors if isinstance(errors, list) else []
    return [_complaint(row) for row in rows if isinstance(row, dict)]


def _complaint(row: Mapping[str, Any]) -> Complaint:
    def told(*names: str, most: int) -> str:
        value = next(filter(None, map(row.get, names)), "")
        return " ".join(str(value).split())[:most]  # one line, whatever was sent

    return Complaint(
        told("error_code", "errorCode", most=40),
        told("message", most=200),
        told("property_path", "propertyPath", most=80),
        told("correlation_id", "correlationId", most=40),
    )


def retry_after(answer: Answer) -> float:
    """Return seconds."""
    told = answer.retry_after
    return float(told) if told.isdecimal() else NO_RETRY_AFTER


def read(call: Call[T], data: Any) -> T:
    """Make the typed value; an answer of another shape is no answer."""
    try:
        return call.read(data)
    except _OTHER_SHAPE as error:
        raise BadAnswer(f"{call.what}: the broker's answer lacks what was promised") from error


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def checked_base(url: str) -> str:
    """Return the URL of a server that may see the token. Raises ValueError for any other."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)):
        return url.rstrip("/")
    raise ValueError(f"{url}: must be https, or http on this machine")


def feed_url(data: Any, *, base_url: str) -> str:
    """Return the address to dial, if it leads to the broker. Raises BadAnswer.

    The address itself is a secret and good for one connection; only its host is ever named.
    """
    url = data.get("authorized_redirect_uri") or data.get("authorizedRedirectUri")
    if not isinstance(url, str):
        raise BadAnswer("authorise: the broker's answer carries no address")
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise BadAnswer("authorise: the broker's address cannot be read") from error
    if is_loopback(host) and is_loopback(urlsplit(base_url).hostname or ""):
        if parts.scheme in ("ws", "wss"):
            return url
    elif any(host == known or host.endswith(f".{known}") for known in BROKER_HOSTS):
        if parts.scheme == "wss":
            return url
    else:
        raise BadAnswer(f"authorise: the address leads to a foreign host, {host or 'none'}")
    raise BadAnswer(f"authorise: the address of {host} is not encrypted ({parts.scheme})")


# The calls, one function each.


def authorise(base_url: str) -> Call[str]:
    return Call(
        "authorise",
        "/v3/feed/market-data-feed/authorize",
        lambda data: feed_url(data, base_url=base_url),
    )


def authorise_portfolio(base_url: str, update_types: Sequence[str]) -> Call[str]:
    """Ask for a stream of these kinds of updates; without a word it would be orders only."""
    return Call(
        "authorise",
        "/v2/feed/portfolio-stream-feed/authorize",
        lambda data: feed_url(data, base_url=base_url),
        {"update_types": ",".join(update_types)},
    )


def profile() -> Call[Profile]:
    return Call("profile", "/v2/user/profile", _profile)


def quotes(instrument_keys: list[str]) -> Call[list[RestQuote]]:
    """Ask for full quotes, 500 keys at most; an unknown key is absent from the answer."""
    params = {"instrument_key": ",".join(instrument_keys)}
    return Call("quotes", "/v2/market-quote/quotes", _quotes, params)


def ltps(instrument_keys: list[str]) -> Call[list[RestLtp]]:
    params = {"instrument_key": ",".join(instrument_keys)}
    return Call("last prices", "/v3/market-quote/ltp", _ltps, params)


def holidays() -> Call[list[HolidayRow]]:
    return Call("holidays", "/v2/market/holidays", lambda rows: [_holiday(row) for row in rows])


def timings(day: str) -> Call[list[Opening]]:
    """Ask when exchanges trade on a day (YYYY-MM-DD); none is listed that does not."""
    path = f"/v2/market/timings/{day}"
    return Call("timings", path, lambda rows: [_opening(row) for row in rows])


def market_status(exchange: str) -> Call[ExchangeStatus]:
    return Call("market status", f"/v2/market/status/{exchange}", _status)


def intraday_candles(instrument_key: str, *, is_mock: bool) -> Call[list[Candle]]:
    """Ask for today's minutes, oldest first."""
    path = f"/v3/historical-candle/intraday/{instrument_key}/minutes/1"
    return _candles(path, instrument_key, is_mock=is_mock)


def candles(instrument_key: str, first: date, last: date, *, is_mock: bool) -> Call[list[Candle]]:
    """Ask for the minutes of days that are over, both included, oldest first."""
    days = f"{last.isoformat()}/{first.isoformat()}"
    path = f"/v3/historical-candle/{instrument_key}/minutes/1/{days}"
    return _candles(path, instrument_key, is_mock=is_mock)


def _candles(path: str, instrument_key: str, *, is_mock: bool) -> Call[list[Candle]]:
    return Call(
        "candles",
        path,
        lambda data: sorted(
            (_candle(instrument_key, row, is_mock) for row in data["candles"]),
            key=lambda candle: candle.start,
        ),
    )


def _profile(data: Any) -> Profile:
    return Profile(
        str(data["user_id"]),
        str(data["user_name"]),
        tuple(map(str, data["exchanges"])),
        bool(data["is_active"]),
    )


def _price(value: Any) -> float:
    """Return a positive finite number, else unknown: null and 0 both mean that there is none."""
    if isinstance(value, int | float) and 0 < value < math.inf:
        return float(value)
    return UNKNOWN


def _count(value: Any) -> int:
    return int(value) if value is not None and int(value) > 0 else UNKNOWN_COUNT


def _quotes(data: Any) -> list[RestQuote]:
    # the outer key is SEGMENT:SYMBOL, which is not how we asked
    return [_quote(row) for row in data.values() if row]


def _quote(row: Any) -> RestQuote:
    ltp, change = _price(row["last_price"]), row.get("net_change")
    ohlc, depth = row.get("ohlc") or {}, row.get("depth") or {}
    bid, ask = _best(depth.get("buy")), _best(depth.get("sell"))
    return RestQuote(
        str(row["instrument_token"]),
        ltp,
        _count(row.get("last_trade_time")),
        _iso(row["timestamp"]) if row.get("timestamp") else UNKNOWN_COUNT,
        _count(row.get("volume")),
        _price(row.get("oi")),
        _price(ohlc.get("open")),
        _price(ohlc.get("high")),
        _price(ohlc.get("low")),
        ltp - change if isinstance(change, int | float) else UNKNOWN,
        _price(bid.get("price")),
        _price(ask.get("price")),
        _count(bid.get("quantity")),
        _count(ask.get("quantity")),
        _price(row.get("lower_circuit_limit")),
        _price(row.get("upper_circuit_limit")),
    )


def _best(levels: Any) -> Any:
    return levels[0] if levels else {}


def _iso(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def _ltps(data: Any) -> list[RestLtp]:
    return [
        RestLtp(
            str(row["instrument_token"]),
            _price(row["last_price"]),
            _count(row.get("volume")),
            _price(row.get("cp")),
        )
        for row in data.values()
        if row
    ]


def _opening(row: Any) -> Opening:
    return Opening(str(row["exchange"]), int(row["start_time"]), int(row["end_time"]))


def _holiday(row: Any) -> HolidayRow:
    return HolidayRow(
        str(row["date"]),
        str(row.get("description") or ""),
        tuple(map(str, row.get("closed_exchanges") or ())),
        tuple(_opening(opening) for opening in row.get("open_exchanges") or ()),
    )


def _status(data: Any) -> ExchangeStatus:
    return ExchangeStatus(str(data["exchange"]), str(data["status"]), int(data["last_updated"]))


def _candle(instrument_key: str, row: Any, is_mock: bool) -> Candle:
    start, opened, high, low, close, volume = row[:6]
    return Candle(
        instrument_key,
        _iso(start),
        _traded(opened),
        _traded(high),
        _traded(low),
        _traded(close),
        int(volume),
        ticks=0,
        complete=True,
        is_mock=is_mock,
    )


def _traded(value: Any) -> float:
    if not 0 < float(value) < math.inf:
        raise ValueError("a candle without a price")
    return float(value)
