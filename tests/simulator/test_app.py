"""The broker's REST answers: paths, envelopes, error codes, limits, and who may control it."""

import gzip
import time
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import orjson
import pytest

from simulator.calendar import ExchangeCalendar
from simulator.clock import ManualExchangeClock
from simulator.gate import api, foreign
from simulator.instruments import contract_row, master_row
from simulator.limits import STANDARD, RateLimiter
from simulator.model import Bar, Instrument
from simulator.quotes import combine, outer_key
from simulator.server import SimulatedExchange
from simulator.tokens import TokenTable
from tests.simulator.tiny import (
    CALL,
    EXPIRY,
    INFY,
    INSTRUMENTS,
    NIFTY,
    PUT,
    T0,
    TOKEN,
    Client,
    TinyMarket,
    bearer,
)


@pytest.fixture
def rest(exchange: SimulatedExchange) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=exchange.base_url, headers=bearer(), timeout=5) as client:
        yield client


def code(answer: httpx.Response) -> tuple[int, str]:
    (error,) = answer.json()["errors"]
    assert answer.json()["status"] == "error"
    assert error["errorCode"] == error["error_code"]
    assert error["propertyPath"] == error["property_path"]
    return answer.status_code, error["error_code"]


# --- tokens and envelopes


@pytest.mark.parametrize(
    "path",
    [
        "/v3/feed/market-data-feed/authorize",
        "/v2/user/profile",
        "/v2/user/get-funds-and-margin",
        "/v3/user/get-funds-and-margin",
        "/v2/market-quote/quotes?instrument_key=x",
        "/v3/market-quote/ltp?instrument_key=x",
        "/v2/option/contract?instrument_key=x",
        "/v2/option/chain?instrument_key=x",
        "/v3/historical-candle/intraday/x/minutes/1",
    ],
)
@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic T", "T"])
def test_without_a_good_token_nothing_private_is_told(
    exchange: SimulatedExchange, path: str, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}

    assert code(httpx.get(exchange.base_url + path, headers=headers)) == (401, "UDAPI100050")


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/v1/feed/stream",
        "/v2/feed/market-data-feed",
        "/v2/feed/market-data-feed/authorize",
        "/market-quote/instruments/exchange/NYSE.json.gz",
    ],
)
def test_an_unknown_or_discontinued_path_is_not_found(rest: httpx.Client, path: str) -> None:
    assert code(rest.get(path)) == (404, "UDAPI100060")


def test_a_wrong_method_is_not_supported(rest: httpx.Client) -> None:
    assert code(rest.post("/v2/user/profile")) == (405, "UDAPI10000")


def test_the_authorised_address_is_nested_and_new_each_time(rest: httpx.Client) -> None:
    answers = [rest.get("/v3/feed/market-data-feed/authorize").json() for _ in range(2)]
    urls = [urlsplit(answer["data"]["authorized_redirect_uri"]) for answer in answers]

    assert [answer["status"] for answer in answers] == ["success", "success"]
    assert urls[0].path == "/market-data-feeder/v3/upstox-developer-api/feeds"
    assert set(parse_qs(urls[0].query)) == {"requestId", "code"}
    assert urls[0].query != urls[1].query


# --- account


def test_the_profile_names_the_user(rest: httpx.Client) -> None:
    assert rest.get("/v2/user/profile").json()["data"]["user_id"] == "4XA7QK"


def test_funds_are_closed_at_night(rest: httpx.Client, clock: ManualExchangeClock) -> None:
    day = rest.get("/v2/user/get-funds-and-margin").json()["data"]
    v3 = rest.get("/v3/user/get-funds-and-margin").json()["data"]["available_to_trade"]
    clock.set(clock.now() + timedelta(hours=17))  # 02:30 IST, before the token ends
    night = [rest.get(f"/v{v}/user/get-funds-and-margin") for v in (2, 3)]

    assert set(day) == {"equity", "commodity"}
    assert day["equity"]["available_margin"] == v3["total"] > 0
    assert "total" not in v3["pledge_available_to_trade"]
    assert [code(answer) for answer in night] == [(423, "UDAPI100072")] * 2


def test_funds_of_one_segment_can_be_asked_for(rest: httpx.Client) -> None:
    answer = rest.get("/v2/user/get-funds-and-margin", params={"segment": "SEC"})

    assert set(answer.json()["data"]) == {"equity"}


def test_an_exchange_that_never_closes_serves_funds_at_night(
    market: TinyMarket, clock: ManualExchangeClock
) -> None:
    clock.set(clock.now() + timedelta(hours=17))
    tokens = TokenTable(clock)
    tokens.add(TOKEN)
    calendar = ExchangeCalendar(always_open=True)
    with SimulatedExchange(market, clock=clock, calendar=calendar, tokens=tokens) as exchange:
        url = exchange.base_url + "/v2/user/get-funds-and-margin"
        assert httpx.get(url, headers=bearer()).status_code == 200


def test_login_ends_in_a_token_that_works_until_logout(rest: httpx.Client) -> None:
    dialog = rest.get(
        "/v2/login/authorization/dialog",
        params={
            "response_type": "code",
            "client_id": "key",
            "redirect_uri": "http://127.0.0.1/back",
            "state": "s1",
        },
    )
    back = urlsplit(dialog.headers["location"])
    given = {name: values[0] for name, values in parse_qs(back.query).items()}
    form = {
        "code": given["code"],
        "client_id": "key",
        "client_secret": "s",
        "redirect_uri": "http://127.0.0.1/back",
        "grant_type": "authorization_code",
    }
    exchanged = rest.post("/v2/login/authorization/token", data=form)
    again = rest.post("/v2/login/authorization/token", data=form)
    headers = bearer(exchanged.json()["access_token"])
    before = rest.get("/v2/user/profile", headers=headers)
    logout = rest.delete("/v2/logout", headers=headers)

    assert dialog.status_code == 302
    assert given["state"] == "s1"
    assert "status" not in exchanged.json()
    assert code(again) == (401, "UDAPI100057")
    assert before.status_code == 200
    assert logout.json() == {"status": "success", "data": True}
    assert code(rest.get("/v2/user/profile", headers=headers)) == (401, "UDAPI100050")


@pytest.mark.parametrize("redirect", ["", "javascript:alert(1)", "/relative"])
def test_a_login_to_nowhere_is_refused(rest: httpx.Client, redirect: str) -> None:
    query = {"response_type": "code", "client_id": "key", "redirect_uri": redirect}

    assert code(rest.get("/v2/login/authorization/dialog", params=query)) == (401, "UDAPI100068")


# --- quotes


def quotes(rest: httpx.Client, path: str, *keys: str, **more: str) -> dict[str, dict[str, object]]:
    answer = rest.get(path, params={"instrument_key": ",".join(keys), **more})
    assert answer.status_code == 200, answer.text
    data: dict[str, dict[str, object]] = answer.json()["data"]
    return data


def test_answers_are_keyed_by_symbol_and_hold_the_key_that_was_asked(rest: httpx.Client) -> None:
    data = quotes(rest, "/v3/market-quote/ltp", INFY, CALL, NIFTY, "NSE_EQ|UNKNOWN")

    assert {key: row["instrument_token"] for key, row in data.items()} == {
        "NSE_EQ:INFY": INFY,
        "NSE_FO:NIFTY25D0226100CE": CALL,
        "NSE_INDEX:Nifty 50": NIFTY,
    }
    assert data["NSE_EQ:INFY"] == {
        "last_price": 142.6, "instrument_token": INFY, "ltq": 75, "volume": 1000, "cp": 131.2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "weekly", "key"),
    [("CE", False, "NSE_FO:NIFTY25DEC26100CE"), ("FUT", False, "NSE_FO:NIFTY25DECFUT"),
     ("PE", True, "NSE_FO:NIFTY25D0226100PE")],
)  # fmt: skip
def test_the_symbol_of_a_contract_tells_week_or_month(kind: str, weekly: bool, key: str) -> None:
    made = Instrument(
        "NSE_FO|1", "NSE_FO", kind, "x", "NIFTY", "1", underlying_symbol="NIFTY", strike=26100.0,
        expiry=EXPIRY, weekly=weekly,
    )  # fmt: skip

    assert outer_key(made) == key


def test_a_full_quote_has_five_levels_a_side(rest: httpx.Client) -> None:
    row = quotes(rest, "/v2/market-quote/quotes", CALL)["NSE_FO:NIFTY25D0226100CE"]
    index = quotes(rest, "/v2/market-quote/quotes", NIFTY)["NSE_INDEX:Nifty 50"]

    assert row["last_price"] == 142.6
    assert row["net_change"] == 11.4
    assert row["last_trade_time"] == str(T0)
    assert row["timestamp"] == "2025-11-26T09:30:00.000+05:30"
    assert row["depth"]["buy"][0]["price"] == 142.5  # type: ignore[index]
    assert [len(row["depth"][side]) for side in ("buy", "sell")] == [5, 5]  # type: ignore[index]
    assert index["depth"]["buy"] == [{"quantity": 0, "price": 0.0, "orders": 0}] * 5  # type: ignore[index]


def test_the_third_version_of_a_full_quote_tells_more(rest: httpx.Client) -> None:
    row = quotes(rest, "/v3/market-quote/quotes", CALL)["NSE_FO:NIFTY25D0226100CE"]

    assert row["prev_close_price"] == 131.2
    assert row["previous_oi"] == 2_988_000.0
    assert row["ohlc"]["ts"] == T0  # type: ignore[index]


def test_a_close_that_is_not_known_is_null(rest: httpx.Client, market: TinyMarket) -> None:
    market.quotes[NIFTY].close = 0.0

    assert quotes(rest, "/v3/market-quote/ltp", NIFTY)["NSE_INDEX:Nifty 50"]["cp"] is None
    assert (
        quotes(rest, "/v2/market-quote/quotes", NIFTY)["NSE_INDEX:Nifty 50"]["net_change"] is None
    )


def test_ohlc_by_minute_has_the_running_and_the_last_minute(
    rest: httpx.Client, market: TinyMarket
) -> None:
    first = quotes(rest, "/v3/market-quote/ohlc", INFY, interval="I1")["NSE_EQ:INFY"]
    market.quotes[INFY].minutes.append(Bar(T0 - 60_000, 1.0, 2.0, 0.5, 1.5, 10))
    row = quotes(rest, "/v3/market-quote/ohlc", INFY, interval="I1")["NSE_EQ:INFY"]
    day = quotes(rest, "/v3/market-quote/ohlc", INFY, interval="1d")["NSE_EQ:INFY"]

    assert first["prev_ohlc"] is None
    assert row["live_ohlc"]["ts"] == T0  # type: ignore[index]
    assert row["prev_ohlc"] == {
        "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 10, "ts": T0 - 60_000,
    }  # fmt: skip
    assert day["live_ohlc"]["open"] == 128.0  # type: ignore[index]


def test_greeks_are_of_options_and_iv_is_a_fraction(rest: httpx.Client) -> None:
    data = quotes(rest, "/v3/market-quote/option-greek", CALL, INFY)

    assert set(data) == {"NSE_FO:NIFTY25D0226100CE"}
    assert data["NSE_FO:NIFTY25D0226100CE"]["iv"] == 0.1174
    assert "rho" not in data["NSE_FO:NIFTY25D0226100CE"]


@pytest.mark.parametrize(
    ("path", "count", "says"),
    [
        ("/v2/market-quote/quotes", 501, "UDAPI100042"),
        ("/v3/market-quote/quotes", 501, "UDAPI100042"),
        ("/v3/market-quote/ltp", 501, "UDAPI100043"),
        ("/v3/market-quote/option-greek", 51, "UDAPI100076"),
        ("/v3/market-quote/ltp", 0, "UDAPI1026"),
    ],
)
def test_too_many_keys_or_none_are_refused(
    rest: httpx.Client, path: str, count: int, says: str
) -> None:
    keys = ",".join(f"NSE_EQ|{n}" for n in range(count))

    assert code(rest.get(path, params={"instrument_key": keys})) == (400, says)


@pytest.mark.parametrize(("interval", "says"), [("", "UDAPI1027"), ("I5", "UDAPI1028")])
def test_an_unknown_interval_is_refused(rest: httpx.Client, interval: str, says: str) -> None:
    query = {"instrument_key": INFY, "interval": interval}

    assert code(rest.get("/v3/market-quote/ohlc", params=query)) == (400, says)


# --- options


def test_contracts_of_an_underlying_have_their_expiry_as_a_date(rest: httpx.Client) -> None:
    rows = rest.get("/v2/option/contract", params={"instrument_key": NIFTY}).json()["data"]
    other = {"instrument_key": NIFTY, "expiry_date": "2025-12-09"}

    assert rows == [contract_row(i) for i in INSTRUMENTS if i.expiry]
    assert rows[0]["expiry"] == "2025-12-02"
    assert rest.get("/v2/option/contract", params=other).json()["data"] == []


def test_the_chain_has_both_sides_and_iv_in_percent(rest: httpx.Client) -> None:
    query = {"instrument_key": NIFTY, "expiry_date": "2025-12-02"}
    (row,) = rest.get("/v2/option/chain", params=query).json()["data"]

    assert (row["strike_price"], row["pcr"], row["underlying_spot_price"]) == (26100.0, 1.0, 142.6)
    assert row["call_options"]["instrument_key"] == CALL
    assert row["put_options"]["instrument_key"] == PUT
    assert row["call_options"]["option_greeks"]["iv"] == 11.74
    assert row["call_options"]["market_data"]["bid_price"] == 142.5
    assert 0 <= row["call_options"]["option_greeks"]["pop"] <= 100


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"instrument_key": "NSE_INDEX|None", "expiry_date": "2025-12-02"}, "UDAPI100011"),
        ({"instrument_key": NIFTY, "expiry_date": "2 December"}, "UDAPI1088"),
        ({"instrument_key": NIFTY}, "UDAPI1088"),
    ],
)
def test_a_chain_of_nothing_is_refused(
    rest: httpx.Client, query: dict[str, str], says: str
) -> None:
    assert code(rest.get("/v2/option/chain", params=query)) == (400, says)


# --- candles


def candles(rest: httpx.Client, path: str) -> list[list[object]]:
    answer = rest.get(f"/v3/historical-candle/{path}")
    assert answer.status_code == 200, answer.text
    rows: list[list[object]] = answer.json()["data"]["candles"]
    return rows


def test_intraday_candles_are_the_minutes_newest_first(
    rest: httpx.Client, market: TinyMarket
) -> None:
    market.quotes[INFY].minutes.append(Bar(T0 - 60_000, 1.0, 2.0, 0.5, 1.5, 10))

    assert candles(rest, f"intraday/{INFY}/minutes/1") == [
        ["2025-11-26T09:30:00+05:30", 142.0, 143.0, 141.5, 142.6, 75, 0.0],
        ["2025-11-26T09:29:00+05:30", 1.0, 2.0, 0.5, 1.5, 10, 0.0],
    ]


def test_historical_candles_are_of_the_days_asked_for(rest: httpx.Client) -> None:
    assert len(candles(rest, f"{INFY}/minutes/1/2025-11-26")) == 1
    assert len(candles(rest, f"{INFY}/minutes/1/2025-11-27/2025-11-25")) == 1
    assert candles(rest, f"{INFY}/minutes/1/2025-11-25") == []
    assert candles(rest, f"{INFY}/days/1/2025-11-26")[0][1] == 128.0


def test_longer_candles_count_from_the_opening() -> None:
    midnight = T0 - (9 * 60 + 30) * 60_000
    opening = midnight + (9 * 60 + 15) * 60_000
    bars = [Bar(opening + n * 60_000, n, n + 2.0, n - 2.0, n + 1.0, 1) for n in range(7)]

    assert combine(bars, 5, midnight) == [
        Bar(opening, 0, 6.0, -2.0, 5.0, 5),
        Bar(opening + 300_000, 5, 8.0, 3.0, 7.0, 2),
    ]


@pytest.mark.parametrize("path", ["minutes/0", "minutes/301", "minutes/x", "hours/6", "eons/1"])
def test_candles_of_an_impossible_length_are_refused(rest: httpx.Client, path: str) -> None:
    answer = rest.get(f"/v3/historical-candle/intraday/{INFY}/{path}")

    assert code(answer) == (400, "UDAPI100036")


# --- master and calendar


def test_the_instruments_master_is_public_gzip(exchange: SimulatedExchange) -> None:
    base = exchange.base_url + "/market-quote/instruments/exchange/"
    complete, nse, mcx = (
        orjson.loads(gzip.decompress(httpx.get(f"{base}{name}.json.gz").content))
        for name in ("complete", "NSE", "MCX")
    )

    assert complete == nse == [master_row(i) for i in INSTRUMENTS]
    assert mcx == []


def test_holidays_timings_and_status_are_the_calendars(
    rest: httpx.Client, exchange: SimulatedExchange
) -> None:
    calendar = exchange.calendar
    new_year = rest.get("/v2/market/holidays/2025-01-01").json()["data"]
    timings = rest.get("/v2/market/timings/2025-11-26").json()["data"]

    assert rest.get("/v2/market/holidays").json()["data"] == calendar.holidays(2025) != []
    assert [row["date"] for row in new_year] == ["2025-01-01"]
    assert {row["exchange"] for row in timings} >= {"NSE", "NFO", "MCX"}
    assert rest.get("/v2/market/status/NSE").json()["data"]["status"] == "NORMAL_OPEN"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/v2/market/timings/today", "UDAPI1088"),
        ("/v2/market/holidays/2025-13-01", "UDAPI1088"),
        ("/v2/market/status/NYSE", "UDAPI1089"),
    ],
)
def test_a_bad_date_or_exchange_is_refused(rest: httpx.Client, path: str, says: str) -> None:
    assert code(rest.get(path)) == (400, says)


# --- rate limits


def test_windows_slide_and_a_refused_call_does_not_count() -> None:
    limiter = RateLimiter(((1.0, 2), (10.0, 3)))
    answers = [limiter.allow("u", "/p", at) for at in (0.0, 0.1, 0.2, 1.05, 1.15, 9.9, 10.05)]

    assert answers == [True, True, False, True, False, False, True]
    assert limiter.allow("other", "/p", 1.15)
    assert limiter.allow("u", "/other", 1.15)


def test_the_standard_limits_are_the_documented_ones() -> None:
    assert STANDARD == ((1.0, 50), (60.0, 500), (1800.0, 2000))


def test_too_many_calls_are_refused(market: TinyMarket, clock: ManualExchangeClock) -> None:
    tokens = TokenTable(clock)
    tokens.add(TOKEN)
    with (
        SimulatedExchange(market, clock=clock, tokens=tokens, rate_limits=((60.0, 3),)) as exchange,
        httpx.Client(base_url=exchange.base_url, headers=bearer()) as rest,
    ):
        answers = [rest.get("/v2/user/profile") for _ in range(5)]
        other = rest.get("/v3/user/get-funds-and-margin")

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert code(answers[-1]) == (429, "UDAPI10005")
    assert other.status_code == 200


def test_an_answer_on_a_kept_connection_does_not_wait_for_an_acknowledgement(
    rest: httpx.Client,
) -> None:
    rest.get("/v2/user/profile")
    began = time.monotonic()
    for _ in range(10):
        rest.get("/v2/user/profile")

    assert time.monotonic() - began < 0.3  # 0.44 with Nagle's algorithm


def test_limits_count_a_path_without_its_parameters() -> None:
    assert api("/v3/historical-candle/NSE_EQ|X/minutes/1/2025-11-26") == "/v3/historical-candle"
    assert api("/v2/market/timings/2025-11-26") == "/v2/market/timings"


# --- control


def test_faults_are_set_shown_and_cleared_over_the_wire(rest: httpx.Client) -> None:
    set_one = rest.post("/control/faults", json={"name": "stall"})
    rest.post("/control/faults", json={"name": "price", "value": "nan", "keys": [INFY], "next": 3})
    shown = rest.get("/control/faults").json()["data"]
    rest.delete("/control/faults", params={"name": "stall"})
    left = rest.get("/control/faults").json()["data"]

    assert set_one.json()["data"] == [{"name": "stall", "left": None}]
    assert shown[1]["keys"] == [INFY]
    assert [fault["name"] for fault in left] == ["price"]
    assert rest.delete("/control/faults").json()["data"] == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "not JSON"),
        (b"[]", "valid dictionary"),
        (b"{}", "name: Field required"),
        (b'{"name":"stal"}', "no fault is called 'stal'; there are: authorize"),
        (b'{"name":"stall","x":1}', "x: Extra inputs"),
        (b'{"name":"raw","data":"%%"}', "data:"),
    ],
)
def test_a_wrong_fault_is_refused_in_words(rest: httpx.Client, body: bytes, says: str) -> None:
    answer = rest.post("/control/faults", content=body)

    assert code(answer)[0] == 400
    assert says in answer.json()["errors"][0]["message"]


def test_the_clock_is_shown_set_and_advanced(
    rest: httpx.Client, clock: ManualExchangeClock
) -> None:
    shown = rest.get("/control/clock").json()["data"]
    rest.post("/control/clock", json={"set": "2025-11-26T15:00"})
    advanced = rest.post("/control/clock", json={"advance": 90}).json()["data"]

    assert shown == {"now_ms": T0, "speed": 1.0, "always_open": False, "simulated": True}
    assert advanced["now_ms"] == T0 + (5 * 3600 + 30 * 60 + 90) * 1000 == clock.now_ms()


@pytest.mark.parametrize(
    "body", [{}, {"set": "x"}, {"advance": -1}, {"set": "2025-01-01", "advance": 1}]
)
def test_a_wrong_time_is_refused(rest: httpx.Client, body: dict[str, object]) -> None:
    assert code(rest.post("/control/clock", json=body))[0] == 400


def test_tokens_are_issued_and_revoked_over_the_wire(rest: httpx.Client) -> None:
    issued = rest.post("/control/tokens", json={}).json()["data"]["access_token"]
    named = rest.post("/control/tokens", json={"token": "mine"}).json()["data"]["access_token"]
    before = [rest.get("/v2/user/profile", headers=bearer(t)).status_code for t in (issued, named)]
    rest.post("/control/tokens", json={"action": "revoke", "token": "mine"})

    assert before == [200, 200]
    assert rest.get("/v2/user/profile", headers=bearer("mine")).status_code == 401
    assert code(rest.post("/control/tokens", json={"action": "revoke"}))[0] == 400


def test_the_ledger_is_told_over_the_wire(rest: httpx.Client) -> None:
    rest.get("/v2/user/profile")
    told = rest.get("/control/ledger").json()["data"]

    assert told["calls"] == {"GET /v2/user/profile": 1}
    assert told["connections"] == []


def test_kept_rows_are_told_in_pages(rest: httpx.Client, exchange: SimulatedExchange) -> None:
    client = Client(exchange)
    client.snapshot(INFY, CALL, mode="ltpc")
    client.shut()
    page = rest.get("/control/ledger/rows", params={"start": 1, "count": 5}).json()["data"]

    assert page == [[1, CALL, T0, T0, 1000, 75, 142.6, True, 1]]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8900"},
        {"Host": "127.0.0.1.evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_control_does_not_answer_to_strangers(
    exchange: SimulatedExchange, rest: httpx.Client, headers: dict[str, str]
) -> None:
    answer = rest.post("/control/faults", json={"name": "stall"}, headers=headers)

    assert answer.status_code == 403
    assert exchange.faults.show() == []


@pytest.mark.parametrize("host", ["127.0.0.1:8900", "localhost:8900", "[::1]:8900", "localhost"])
def test_control_answers_to_this_machine(host: str) -> None:
    assert foreign({"host": host}) == ""
    assert foreign({"host": host, "origin": f"http://{host}"}) == ""
