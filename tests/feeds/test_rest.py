"""The REST client against scripted answers on a real socket, and the judge of answers alone."""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime

import httpx
import pytest

from feeds.upstox import answers, order_calls
from feeds.upstox.answers import Answer, Opening
from feeds.upstox.history import UpstoxHistory
from feeds.upstox.rest import LIMITS, RateLimit, UpstoxRest
from feeds.upstox.token import FixedToken
from tests.feeds.exchange import TOKEN, Exchange, Peer, Reply, failure, success
from trading.clock import ManualClock
from trading.errors import (
    BadAnswer,
    BadRequest,
    NotPermitted,
    RateLimited,
    Retryable,
    TokenRefused,
    VigilError,
)
from trading.ports import CandleSource, RestStats

AUTHORISE = "/v3/feed/market-data-feed/authorize"


def quiet(peer: Peer) -> None:
    peer.swallow()


@asynccontextmanager
async def client(exchange: Exchange, **options: object) -> AsyncIterator[UpstoxRest]:
    rest = UpstoxRest(
        exchange.url,
        FixedToken(TOKEN),
        assets_url=exchange.url,
        is_mock=True,
        **options,  # type: ignore[arg-type]
    )
    async with rest:
        yield rest


def judged(status: int, body: object = None, *, kind: str = "application/json") -> object:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return answers.data_of(Answer(status, kind, "", raw), "quotes")


@pytest.mark.parametrize("spelling", ["error_code", "errorCode"])
@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "UDAPI100050", TokenRefused),
        (401, "", TokenRefused),
        (400, "UDAPI100050", TokenRefused),
        (403, "UDAPI100049", NotPermitted),
        (429, "UDAPI10005", RateLimited),
        (423, "UDAPI100072", RateLimited),
        (400, "UDAPI100074", RateLimited),
        (400, "UDAPI1088", BadRequest),
        (404, "UDAPI100060", BadRequest),
        (500, "UDAPI100500", Retryable),
        (503, "", Retryable),
        (302, "", BadAnswer),
        (204, "", BadAnswer),
    ],
)
def test_each_refusal_has_one_reaction(
    status: int, code: str, kind: type[VigilError], spelling: str
) -> None:
    with pytest.raises(VigilError) as caught:
        judged(status, {"status": "error", "errors": [{spelling: code, "message": "so\nsorry"}]})

    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("half", [rb"\ud800", rb"\uDFFF", b"\xed\xa0\x80"])
def test_half_a_character_is_a_question_mark_wherever_it_stands(half: bytes) -> None:
    body = b'{"status":"success","data":{"a HALF":["b HALF",{"c":"HALF \\ud83d\\udca5"},7,null]}}'

    data = judged(200, body.replace(b"HALF", half))
    assert data == {"a ?": ["b ?", {"c": "? \U0001f4a5"}, 7, None]}
    with pytest.raises(BadRequest) as caught:
        judged(400, b'{"errors":[{"errorCode":"U1","message":"not HALF"}]}'.replace(b"HALF", half))
    assert str(caught.value).isascii()


def test_a_bad_request_carries_the_brokers_code() -> None:
    with pytest.raises(BadRequest) as caught:
        judged(400, {"status": "error", "errors": [{"errorCode": "UDAPI1088", "message": "date"}]})

    assert caught.value.code == "UDAPI1088"


def test_the_night_is_not_called_an_error() -> None:
    with pytest.raises(RateLimited, match=r"closed by broker until 05:30") as caught:
        judged(423, {"errors": [{"errorCode": "UDAPI100072"}]})

    assert caught.value.retry_after >= 900


@pytest.mark.parametrize(("told", "wait"), [("20", 20.0), ("", 30.0), ("soon", 30.0)])
def test_f16_a_429_says_how_long_or_half_a_minute_is_meant(told: str, wait: float) -> None:
    with pytest.raises(RateLimited) as caught:
        answers.data_of(Answer(429, "application/json", told, b"{}"), "authorise")

    assert caught.value.retry_after == wait


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>", "text/html"),
        (b"{}", ""),
        (b"not json", "application/json"),
        (b"[1]", "application/json"),
        (b'{"status":"success"}', "application/json"),
        (b'{"status":"success","data":null}', "application/json"),
        (b'{"status":"error","data":{}}', "application/json"),
    ],
)
def test_a_200_that_is_not_the_promised_json_is_a_bad_answer(body: bytes, kind: str) -> None:
    with pytest.raises(BadAnswer):
        judged(200, body, kind=kind)


@pytest.mark.parametrize(
    "url",
    [
        "wss://evil.example/feed",
        "wss://upstox.com.evil.example/feed",
        "wss://evilupstox.com/feed",
        "ws://api.upstox.com/feed",
        "https://api.upstox.com/feed",
        "wss://127.0.0.1/feed",  # the broker is not on this machine
        "wss://[bad/feed",
        "wss://api.upstox.com:port/feed",
        "",
        None,
        7,
    ],
)
def test_f18_an_address_that_does_not_lead_to_the_broker_is_refused(url: object) -> None:
    with pytest.raises(BadAnswer) as caught:
        answers.feed_url({"authorized_redirect_uri": url}, base_url="https://api.upstox.com")

    assert "/feed" not in str(caught.value)


@pytest.mark.parametrize("name", ["authorized_redirect_uri", "authorizedRedirectUri"])
def test_an_address_of_the_broker_is_taken_in_both_spellings(name: str) -> None:
    url = "wss://wsfeeder-api.upstox.com/feeds?requestId=1&code=2"

    assert answers.feed_url({name: url}, base_url="https://api.upstox.com") == url


@pytest.mark.parametrize("url", ["http://api.upstox.com", "ftp://127.0.0.1", "api.upstox.com", ""])
def test_the_token_goes_to_no_base_url_that_others_can_read(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        UpstoxRest(url, FixedToken(TOKEN))


async def test_the_feeds_thread_gets_an_address() -> None:
    with Exchange(quiet) as exchange:
        async with client(exchange) as rest:
            url = await asyncio.to_thread(rest.authorize_market_feed)

    assert url.startswith(f"ws://127.0.0.1:{exchange.port}/feed")
    assert "user-agent: mozilla" in exchange.heads[0].lower()


async def test_a03_a_refused_token_is_told_apart_and_never_shown() -> None:
    with Exchange(quiet) as exchange:
        exchange.token = "another"
        async with client(exchange) as rest:
            with pytest.raises(TokenRefused) as caught:
                await asyncio.to_thread(rest.authorize_market_feed)

    shown = repr(caught.value) + repr(caught.value.__cause__)
    assert TOKEN not in shown


async def test_a07_a_redirect_is_not_followed_and_the_token_stays_here() -> None:
    with Exchange(quiet) as impostor, Exchange(quiet) as exchange:
        exchange.replies[AUTHORISE] = Reply(302, headers={"Location": f"{impostor.url}/x"})
        async with client(exchange) as rest:
            with pytest.raises(BadAnswer):
                await asyncio.to_thread(rest.authorize_market_feed)

    assert impostor.heads == []


async def test_f17_a_server_that_is_down_or_slow_is_worth_a_retry() -> None:
    with Exchange(quiet) as exchange:
        exchange.replies["/v2/user/profile"] = Reply(delay=0.4)
        async with client(exchange, timeout=httpx.Timeout(0.1)) as rest:
            with pytest.raises(Retryable, match="in time"):
                await rest.profile()
        url = exchange.url
    async with UpstoxRest(url, FixedToken(TOKEN)) as rest:
        with pytest.raises(Retryable, match="cannot be reached"):
            await rest.profile()
        with pytest.raises(Retryable, match="cannot be reached"):
            await asyncio.to_thread(rest.authorize_market_feed)


async def test_an_answer_that_trickles_ends_at_the_total() -> None:
    stuck = Reply(headers={"Content_Length": "100000"}, body=b"{", delay=0.0)
    with Exchange(quiet) as exchange:
        exchange.replies["/v2/user/profile"] = stuck
        async with client(exchange, total=0.2) as rest:
            began = time.monotonic()
            with pytest.raises(Retryable):
                await rest.profile()

    assert time.monotonic() - began < 1


async def test_an_answer_without_end_is_dropped() -> None:
    with Exchange(quiet) as exchange:
        exchange.replies["/v2/user/profile"] = Reply(body=b"x" * (17 << 20))
        async with client(exchange) as rest:
            with pytest.raises(BadAnswer, match="does not end"):
                await rest.profile()


def quote_row(key: str, **changes: object) -> dict[str, object]:
    return {
        "ohlc": {"open": 1551.0, "high": 1562.4, "low": 1544.1, "close": 1558.2},
        "depth": {"buy": [{"quantity": 310, "price": 1558.1}], "sell": [{"price": 0}]},
        "timestamp": "2025-11-26T09:31:12.442+05:30",
        "instrument_token": key,
        "last_price": 1558.2,
        "volume": 812344,
        "oi": 0,
        "net_change": 12.3,
        "last_trade_time": "1764129671998",
        **changes,
    }


async def test_quotes_are_known_by_the_key_we_asked_with() -> None:
    key = "NSE_EQ|INE009A01021"
    with Exchange(quiet) as exchange:
        exchange.replies["/v2/market-quote/quotes"] = success({"NSE_EQ:INFY": quote_row(key)})
        async with client(exchange) as rest:
            (quote,) = await rest.quotes([key])

    assert quote.instrument_key == key
    assert (quote.ltp, quote.last_trade_time, quote.timestamp) == (
        1558.2, 1764129671998, 1764129672442,
    )  # fmt: skip
    assert quote.close == pytest.approx(1545.9)
    assert (quote.bid, quote.day_high) == (1558.1, 1562.4)
    assert math.isnan(quote.ask)
    assert math.isnan(quote.oi)
    assert "instrument_key=NSE_EQ%7CINE009A01021" in exchange.heads[0]


async def test_many_keys_are_asked_five_hundred_at_a_time() -> None:
    with Exchange(quiet) as exchange:
        exchange.replies["/v3/market-quote/ltp"] = success({})
        async with client(exchange) as rest:
            assert await rest.ltps([f"NSE_FO|{n}" for n in range(1100)]) == []

    assert len(exchange.heads) == 3


@pytest.mark.parametrize(
    "data",
    [{"x": {"last_price": 1}}, {"x": 7}, [1], {"x": quote_row("k", last_trade_time="soon")}],
)
async def test_a_quote_of_another_shape_is_a_bad_answer(data: object) -> None:
    with Exchange(quiet) as exchange:
        exchange.replies["/v2/market-quote/quotes"] = success(data)
        async with client(exchange) as rest:
            with pytest.raises(BadAnswer):
                await rest.quotes(["NSE_FO|1"])


async def test_the_other_reads_are_typed() -> None:
    candles = [
        ["2025-11-26T09:16:00+05:30", 2.0, 4.0, 1.0, 3.0, 20, 0],
        ["2025-11-26T09:15:00+05:30", 1.0, 3.0, 0.5, 2.0, 10, 0],
    ]
    with Exchange(quiet) as exchange:
        exchange.replies |= {
            "/v2/user/profile": success(
                {"user_id": "4X", "user_name": "D", "exchanges": ["NSE"], "is_active": True}
            ),
            "/v3/market-quote/ltp": success(
                {"a": {"last_price": 2.5, "instrument_token": "NSE_FO|1", "volume": 5, "cp": 2}}
            ),
            "/v2/market/timings/2025-11-26": success(
                [{"exchange": "NSE", "start_time": 1764128700000, "end_time": 1764151200000}]
            ),
            "/v2/market/status/NSE": success(
                {"exchange": "NSE", "status": "NORMAL_OPEN", "last_updated": 1764128700000}
            ),
            "/v3/historical-candle/intraday/NSE_FO%7C1/minutes/1": success({"candles": candles}),
        }
        async with client(exchange) as rest:
            assert (await rest.profile()).user_id == "4X"
            assert (await rest.ltps(["NSE_FO|1"]))[0].close == 2.0
            assert await rest.timings(date(2025, 11, 26)) == [
                Opening("NSE", 1764128700000, 1764151200000)
            ]
            assert (await rest.market_status("NSE")).status == "NORMAL_OPEN"
            first, second = await rest.intraday_candles("NSE_FO|1")

    assert (first.start, first.open, first.volume) == (1764128700000, 1.0, 10)
    assert second.start - first.start == 60_000
    assert first.is_mock


async def test_the_master_is_fetched_without_the_token() -> None:
    with Exchange(quiet) as exchange:
        path = "/market-quote/instruments/exchange/complete.json.gz"
        exchange.replies[path] = Reply(body=b"\x1f\x8b123", content_type="application/gzip")
        async with client(exchange) as rest:
            assert await rest.instruments_master() == b"\x1f\x8b123"
            exchange.replies[path] = Reply(body=b"<html>", content_type="text/html")
            with pytest.raises(BadAnswer):
                await rest.instruments_master()

    assert all(TOKEN not in head for head in exchange.heads)


def test_our_own_limit_holds_in_every_window() -> None:
    limit = RateLimit(LIMITS)
    now, granted = 0.0, []
    while now < 1900:
        wait = limit.reserve(now)
        if wait:
            now += wait + 1e-6
        else:
            granted.append(now)

    for calls, seconds in LIMITS:
        fullest = max(
            sum(1 for t in granted if start <= t < start + seconds) for start in granted[::50]
        )
        assert fullest <= calls
    assert len(granted) > 2000


async def test_beyond_our_own_limit_the_thread_is_told_and_not_held() -> None:
    with Exchange(quiet) as exchange:
        async with client(exchange, limits=((2, 60.0),)) as rest:
            for _ in range(2):
                await asyncio.to_thread(rest.authorize_market_feed)
            with pytest.raises(RateLimited) as caught:
                await asyncio.to_thread(rest.authorize_market_feed)

    assert 50 < caught.value.retry_after <= 60
    assert exchange.authorised == 2


async def test_candles_of_many_instruments_do_not_keep_a_feed_from_being_authorised() -> None:
    """The broker counts each API by itself, and so do we; on the loop nobody waits for long."""
    with Exchange(quiet) as exchange:
        for n in range(3):
            path = f"/v3/historical-candle/intraday/NSE_EQ%7C{n}/minutes/1"
            exchange.replies[path] = success({"candles": []})
        async with client(exchange, limits=((2, 60.0),)) as rest:
            for n in range(2):
                assert await rest.intraday_candles(f"NSE_EQ|{n}") == []
            with pytest.raises(RateLimited) as caught:
                await rest.intraday_candles("NSE_EQ|2")
            await asyncio.to_thread(rest.authorize_market_feed)

    assert 50 < caught.value.retry_after <= 60
    assert exchange.authorised == 1


async def test_a05_a_code_is_read_in_the_spelling_that_was_seen_live() -> None:
    with Exchange(quiet) as exchange:
        exchange.replies["/v2/user/profile"] = failure(403, "UDAPI100049", "restricted")
        async with client(exchange) as rest:
            with pytest.raises(NotPermitted, match="UDAPI100049 restricted"):
                await rest.profile()


async def test_how_the_broker_answers_is_counted() -> None:
    path = "/v2/market/status/NSE"
    good = success({"exchange": "NSE", "status": "NORMAL_OPEN", "last_updated": 1})
    with Exchange(quiet) as exchange:
        async with client(exchange) as rest:
            assert rest.stats() == RestStats()
            exchange.replies[path] = good
            for _ in range(3):
                await rest.market_status("NSE")
            exchange.replies[path] = failure(503, "UDAPI100500", "Service unavailable")
            with pytest.raises(Retryable):
                await rest.market_status("NSE")
            exchange.replies[path] = failure(400, "UDAPI1089", "Invalid exchange")
            with pytest.raises(BadRequest):
                await rest.market_status("NSE")
            stats = rest.stats()

    assert (stats.calls, stats.failures) == (5, 1)  # a no is an answer
    assert "Service unavailable" in stats.last_error
    assert stats.last_failure_age is not None
    assert stats.last_success_age is not None
    assert 0 <= stats.last_success_age < stats.last_failure_age
    assert stats.latency.p50 is not None
    assert 0 < stats.latency.p50 <= (stats.latency.p99 or 0)


async def test_calls_on_the_feeds_thread_and_writes_are_counted_and_the_closed_night_is_none() -> (
    None
):
    with Exchange(quiet) as exchange:
        async with client(exchange) as rest:
            await asyncio.to_thread(rest.authorize_market_feed)
            exchange.replies[AUTHORISE] = failure(423, "UDAPI100072", "closed")
            with pytest.raises(RateLimited):
                await asyncio.to_thread(rest.authorize_market_feed)
            exchange.replies[AUTHORISE] = failure(401, "UDAPI100050")
            with pytest.raises(TokenRefused):
                await asyncio.to_thread(rest.authorize_market_feed)
            exchange.replies["/v3/order/cancel"] = Reply(drop=True)
            with pytest.raises(VigilError):
                await rest.execute(order_calls.cancel("1"))
            stats = rest.stats()

    assert (stats.calls, stats.failures) == (4, 2)
    assert TOKEN not in stats.last_error


async def test_minutes_of_days_that_are_over_and_of_today_are_asked_for_apart() -> None:
    def row(at: str) -> list[object]:
        return [at, 1.0, 2.0, 0.5, 1.5, 10, 0]

    old, new = "2025-11-25T15:29:00+05:30", "2025-11-26T09:15:00+05:30"
    base = "/v3/historical-candle"
    clock = ManualClock(datetime.fromisoformat("2025-11-26T10:00:00+05:30"))
    with Exchange(quiet) as exchange:
        exchange.replies = {
            f"{base}/NSE_FO%7C1/minutes/1/2025-11-25/2025-11-21": success({"candles": [row(old)]}),
            f"{base}/intraday/NSE_FO%7C1/minutes/1": success({"candles": [row(new)]}),
        }
        async with client(exchange) as rest:
            history: CandleSource = UpstoxHistory(rest, clock)
            both = await history.minutes("NSE_FO|1", date(2025, 11, 21), date(2025, 11, 26))
            today = await history.minutes("NSE_FO|1", date(2025, 11, 26), date(2025, 11, 26))
            past = await history.minutes("NSE_FO|1", date(2025, 11, 21), date(2025, 11, 25))
            asked = len(exchange.heads)
            assert await history.minutes("NSE_FO|1", date(2025, 9, 1), date(2025, 10, 28)) == []
            assert len(exchange.heads) == asked  # else for days backwards, which is refused

    starts = [int(datetime.fromisoformat(at).timestamp() * 1000) for at in (old, new)]
    assert [candle.start for candle in both] == starts
    assert [candle.start for candle in today] == starts[1:]
    assert [candle.start for candle in past] == starts[:1]
