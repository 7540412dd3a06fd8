"""The market data routes: quotes, option chain, candles, instruments master, calendar."""

import gzip
from collections.abc import Callable
from datetime import date
from functools import cache

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from simulator import quotes
from simulator.calendar import day_of
from simulator.envelope import BrokerError, Json, answer, success
from simulator.gate import authenticate
from simulator.instruments import contract_row, master_row
from simulator.limits import GREEK_KEYS, KEYS
from simulator.model import Instrument, Quote
from simulator.venue import Venue

INTERVALS = ("1d", "I1", "I30")
LONGEST = {"minutes": 300, "hours": 5, "days": 1, "weeks": 1, "months": 1}
FILES = ("complete", "NSE", "BSE", "MCX")


def data_routes(venue: Venue) -> APIRouter:
    routes = APIRouter()
    for add in (_quote_routes, _option_routes, _candle_routes, _calendar_routes, _master_routes):
        add(routes, venue)
    return routes


def _quote_routes(routes: APIRouter, venue: Venue) -> None:
    def rows(
        request: Request,
        make: Callable[[Instrument, Quote], Json],
        *,
        code: str = "UDAPI100042",
        most: int = KEYS,
        options_only: bool = False,
    ) -> Response:
        authenticate(venue, request.headers)
        found = [venue.market.instruments.get(key) for key in asked_keys(request, code, most)]
        return answer(
            success(
                {
                    quotes.outer_key(i): make(i, venue.look(i.instrument_key))
                    for i in found
                    if i is not None and (i.instrument_type in ("CE", "PE") or not options_only)
                }
            )
        )

    @routes.get("/v2/market-quote/quotes")
    async def full(request: Request) -> Response:
        now = venue.clock.now_ms()
        return rows(request, lambda i, q: quotes.full_row(i, q, now))

    @routes.get("/v3/market-quote/quotes")
    async def full_v3(request: Request) -> Response:
        now = venue.clock.now_ms()
        return rows(request, lambda i, q: quotes.full_row_v3(i, q, now))

    @routes.get("/v3/market-quote/ltp")
    async def ltp(request: Request) -> Response:
        return rows(request, quotes.ltp_row, code="UDAPI100043")

    @routes.get("/v3/market-quote/ohlc")
    async def ohlc(request: Request, interval: str = "") -> Response:
        if not interval:
            raise BrokerError(400, "UDAPI1027", "interval is required", path="interval")
        if interval not in INTERVALS:
            raise BrokerError(
                400, "UDAPI1028", "interval is invalid", path="interval", value=interval
            )
        return rows(request, lambda i, q: quotes.ohlc_row(i, q, interval))

    @routes.get("/v3/market-quote/option-greek")
    async def greeks(request: Request) -> Response:
        return rows(
            request, quotes.greek_row, code="UDAPI100076", most=GREEK_KEYS, options_only=True
        )


def asked_keys(request: Request, code: str, most: int) -> list[str]:
    """Return the keys of the comma list; raise BrokerError if there are none or too many."""
    keys = [key for key in request.query_params.get("instrument_key", "").split(",") if key]
    if not keys:
        raise BrokerError(400, "UDAPI1026", "instrument_key is required", path="instrument_key")
    if len(keys) > most:
        message = f"Instrument key limit exceeded: {len(keys)} of at most {most}"
        raise BrokerError(400, code, message, path="instrument_key")
    return keys


def _option_routes(routes: APIRouter, venue: Venue) -> None:
    def contracts(underlying: str, expiry: date | None) -> list[Instrument]:
        if underlying not in venue.market.instruments:
            raise BrokerError(400, "UDAPI100011", "Invalid Instrument key", path="instrument_key")
        return [
            i
            for i in venue.market.instruments.values()
            if i.underlying_key == underlying
            and i.instrument_type in ("CE", "PE")
            and (expiry is None or day_of(i.expiry) == expiry)
        ]

    @routes.get("/v2/option/contract")
    async def contract(
        request: Request, instrument_key: str = "", expiry_date: str = ""
    ) -> Response:
        authenticate(venue, request.headers)
        day = read_date(expiry_date, "expiry_date") if expiry_date else None
        return answer(success([contract_row(i) for i in contracts(instrument_key, day)]))

    @routes.get("/v2/option/chain")
    async def chain(request: Request, instrument_key: str = "", expiry_date: str = "") -> Response:
        authenticate(venue, request.headers)
        listed = contracts(instrument_key, read_date(expiry_date, "expiry_date"))
        spot, now = venue.look(instrument_key).ltp, venue.clock.now_ms()
        strikes: dict[float, dict[str, tuple[Instrument, Quote]]] = {}
        for i in listed:
            sides = strikes.setdefault(i.strike, {})
            sides[i.instrument_type] = (i, venue.look(i.instrument_key))
        rows: list[Json] = [
            quotes.chain_row(strike, strikes[strike], instrument_key, spot, now)
            for strike in sorted(strikes)
        ]
        return answer(success(rows))


def _candle_routes(routes: APIRouter, venue: Venue) -> None:
    def candles(
        request: Request, key: str, unit: str, interval: str, days: tuple[date, date]
    ) -> Response:
        authenticate(venue, request.headers)
        if key not in venue.market.instruments:
            raise BrokerError(400, "UDAPI100011", "Invalid Instrument key", path="instrument_key")
        count = _count(unit, interval)
        quote = venue.look(key)
        if unit in ("minutes", "hours"):
            minutes = count * (60 if unit == "hours" else 1)
            bars = quotes.combine(quotes.session(quote), minutes, quote.day.start)
        else:
            bars = [quote.day]
        rows = quotes.candle_rows(quotes.within(bars, *days), quote.oi)
        return answer(success({"candles": rows}))

    @routes.get("/v3/historical-candle/intraday/{key}/{unit}/{interval}")
    async def intraday(request: Request, key: str, unit: str, interval: str) -> Response:
        today = day_of(venue.clock.now_ms())
        return candles(request, key, unit, interval, (today, today))

    @routes.get("/v3/historical-candle/{key}/{unit}/{interval}/{last}")
    @routes.get("/v3/historical-candle/{key}/{unit}/{interval}/{last}/{first}")
    async def historical(
        request: Request, key: str, unit: str, interval: str, last: str, first: str = ""
    ) -> Response:
        """Answer for what this exchange remembers: its running session."""
        to = read_date(last, "to_date")
        since = read_date(first, "from_date") if first else to
        return candles(request, key, unit, interval, (since, to))


def _count(unit: str, interval: str) -> int:
    if unit not in LONGEST:
        raise BrokerError(400, message="Invalid unit", path="unit", value=unit)
    if not interval.isdecimal() or not 1 <= int(interval) <= LONGEST[unit]:
        raise BrokerError(400, message="Invalid interval", path="interval", value=interval)
    return int(interval)


def read_date(text: str, name: str) -> date:
    """Return a YYYY-MM-DD; raise BrokerError UDAPI1088."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BrokerError(
            400, "UDAPI1088", "Invalid date; the format is YYYY-MM-DD", path=name, value=text
        ) from None


def _calendar_routes(routes: APIRouter, venue: Venue) -> None:
    """No token is asked for: the documentation shows one, reports say that none is needed."""
    calendar = venue.calendar

    @routes.get("/v2/market/holidays")
    async def holidays() -> Response:
        rows = calendar.holidays(day_of(venue.clock.now_ms()).year)
        return answer(success(rows))

    @routes.get("/v2/market/holidays/{day}")
    async def holidays_on(day: str) -> Response:
        rows = calendar.holidays_on(read_date(day, "date"))
        return answer(success(rows))

    @routes.get("/v2/market/timings/{day}")
    async def timings(day: str) -> Response:
        rows = calendar.timings(read_date(day, "date"))
        return answer(success(rows))

    @routes.get("/v2/market/status/{exchange}")
    async def status(exchange: str) -> Response:
        try:
            row = calendar.status_row(exchange, venue.clock.now_ms())
        except KeyError:
            raise BrokerError(
                400, "UDAPI1089", "Invalid exchange", path="exchange", value=exchange
            ) from None
        return answer(success(row))


def _master_routes(routes: APIRouter, venue: Venue) -> None:
    """The files stand on another host at the broker; they are public and need no token."""

    @cache
    def packed(exchange: str) -> bytes:
        rows = (master_row(i) for i in venue.market.instruments.values())
        kept = [row for row in rows if exchange in ("complete", row["exchange"])]
        return gzip.compress(orjson.dumps(kept), mtime=0)

    @routes.get("/market-quote/instruments/exchange/{name}.json.gz")
    async def master(name: str) -> Response:
        if name not in FILES:
            raise BrokerError(404)
        return Response(packed(name), media_type="application/gzip")
