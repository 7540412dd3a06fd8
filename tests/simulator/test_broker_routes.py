"""The broker's calls over HTTP: paths, envelopes, many at once, reads, limits, control."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from simulator.calendar import ExchangeCalendar
from simulator.clock import ManualExchangeClock
from simulator.limits import BASKETS_OF, ORDERS_OF, RateLimiter
from simulator.server import SimulatedExchange
from simulator.tokens import TokenTable
from tests.simulator.floor import body
from tests.simulator.test_app import code
from tests.simulator.tiny import CALL, INFY, PUT, TOKEN, TinyMarket, bearer, wait_until

PLACE, MODIFY, CANCEL = "/v3/order/place", "/v3/order/modify", "/v3/order/cancel"
MULTI, MULTI_CANCEL, EXIT = (
    "/v2/order/multi/place", "/v2/order/multi/cancel", "/v2/order/positions/exit",
)  # fmt: skip
BOOK, HISTORY = "/v2/order/retrieve-all", "/v2/order/history"
POSITIONS = "/v2/portfolio/short-term-positions"
WRITES = [("POST", PLACE), ("PUT", MODIFY), ("DELETE", CANCEL), ("POST", MULTI),
          ("DELETE", MULTI_CANCEL), ("POST", EXIT), ("POST", "/v2/order/place"),
          ("PUT", "/v2/order/modify"), ("DELETE", "/v2/order/cancel")]  # fmt: skip


@pytest.fixture
def exchange(market: TinyMarket, clock: ManualExchangeClock) -> Iterator[SimulatedExchange]:
    """One whose limits are off; those have a test of their own."""
    tokens = TokenTable(clock)
    tokens.add(TOKEN)
    calendar = ExchangeCalendar(always_open=False)
    with SimulatedExchange(
        market, clock=clock, calendar=calendar, tokens=tokens, flush=0.01, rate_limits=()
    ) as running:
        yield running


@pytest.fixture
def rest(exchange: SimulatedExchange) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=exchange.base_url, headers=bearer(), timeout=5) as client:
        yield client


def data(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "success"
    return answer.json()["data"]


def place(rest: httpx.Client, **fields: Any) -> str:
    (order_id,) = data(rest.post(PLACE, json=body(**fields)))["order_ids"]
    return str(order_id)


def status(rest: httpx.Client, order_id: str) -> str:
    return str(data(rest.get("/v2/order/details", params={"order_id": order_id}))["status"])


def reaches(rest: httpx.Client, order_id: str, wanted: str) -> bool:
    return wait_until(lambda: status(rest, order_id) == wanted)


def orders(rest: httpx.Client) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = data(rest.get(BOOK))
    return rows


# --- one at a time


def test_placed_modified_and_cancelled(rest: httpx.Client) -> None:
    placed = rest.post(PLACE, json=body(tag="wl-01", market_protection=-1)).json()
    (order_id,) = placed["data"]["order_ids"]
    assert reaches(rest, order_id, "open")
    changed = rest.put(
        MODIFY,
        json={"order_id": order_id, "order_type": "LIMIT", "validity": "DAY", "price": 142.0,
              "trigger_price": 0, "quantity": 150},
    ).json()  # fmt: skip
    assert wait_until(lambda: orders(rest)[0]["price"] == 142.0)
    assert reaches(rest, order_id, "open")
    cancelled = rest.delete(CANCEL, params={"order_id": order_id}).json()
    assert reaches(rest, order_id, "cancelled")

    assert order_id.startswith("251126")
    assert changed["data"] == cancelled["data"] == {"order_id": order_id}
    assert all(isinstance(a["metadata"]["latency"], int) for a in (placed, changed, cancelled))
    stages = data(rest.get(HISTORY, params={"tag": "wl-01"}))
    assert [stage["status"] for stage in stages] == [
        "put order req received", "validation pending", "open pending", "open",
        "modify validation pending", "modify pending", "modified", "open",
        "cancel pending", "cancelled",
    ]  # fmt: skip


def test_the_deprecated_calls_work_without_slices(rest: httpx.Client) -> None:
    order_id = data(rest.post("/v2/order/place", json=body(quantity=1875, slice=True)))["order_id"]
    assert reaches(rest, order_id, "rejected")
    other = rest.post("/v2/order/place", json=body()).json()
    assert reaches(rest, other["data"]["order_id"], "open")
    changed = rest.put(
        "/v2/order/modify",
        json={"order_id": other["data"]["order_id"], "order_type": "LIMIT", "validity": "DAY",
              "price": 142.0, "trigger_price": 0},
    ).json()  # fmt: skip
    cancelled = rest.delete("/v2/order/cancel", params=other["data"]).json()

    assert "metadata" not in other
    assert changed["data"] == cancelled["data"] == other["data"]


def test_slices_come_back_as_many_numbers(rest: httpx.Client) -> None:
    answer = data(rest.post(PLACE, json=body(quantity=5_475, price=100.0, slice=True)))

    assert len(set(answer["order_ids"])) == 4


READS = (
    BOOK,
    POSITIONS,
    "/v2/order/details?order_id=1",
    "/v2/order/history?tag=x",
    "/v2/order/trades/get-trades-for-day",
    "/v2/order/trades?order_id=1",
    "/v2/portfolio/long-term-holdings",
)


def test_without_a_good_token_nothing_is_read_or_written(exchange: SimulatedExchange) -> None:
    with httpx.Client(base_url=exchange.base_url, headers=bearer("wrong")) as stranger:
        for method, path in (*WRITES, *(("GET", path) for path in READS)):
            assert code(stranger.request(method, path)) == (401, "UDAPI100050"), path


@pytest.mark.parametrize(("method", "path"), [WRITES[0], WRITES[1], WRITES[6]])
def test_garbage_is_refused(rest: httpx.Client, method: str, path: str) -> None:
    for garbage in (b"", b"{", b"[]", b"null", b"\xff\xfe", b"<html>"):
        assert code(rest.request(method, path, content=garbage))[0] == 400, garbage
    assert orders(rest) == []


def test_a_refusal_names_the_field_in_both_spellings(rest: httpx.Client) -> None:
    (error,) = rest.post(PLACE, json=body(quantity=0)).json()["errors"]

    assert error["error_code"] == error["errorCode"] == "UDAPI1052"
    assert error["property_path"] == error["propertyPath"] == "quantity"
    assert error["invalid_value"] == error["invalidValue"] == 0


def test_cancel_needs_a_number_that_is_known(rest: httpx.Client) -> None:
    assert code(rest.delete(CANCEL)) == (400, "UDAPI1023")
    assert code(rest.delete(CANCEL, params={"order_id": "a b"})) == (400, "UDAPI1010")
    assert code(rest.delete(CANCEL, params={"order_id": "7"})) == (400, "UDAPI100010")


def test_nothing_is_placed_at_night(rest: httpx.Client, clock: ManualExchangeClock) -> None:
    clock.advance(17 * 3600)  # 02:30
    single = rest.post(PLACE, json=body())
    many = rest.post(MULTI, json=[body(correlation_id="a")])

    assert code(single) == code(many) == (423, "UDAPI100074")


# --- many at once


def line(correlation_id: str, **fields: Any) -> dict[str, Any]:
    return body(**fields) | {"correlation_id": correlation_id, "slice": False}


def test_many_are_placed_buys_first(rest: httpx.Client) -> None:
    answer = rest.post(
        MULTI,
        json=[line("s", transaction_type="SELL", price=150.0), line("b1"),
              line("b2", instrument_token=PUT)],
    )  # fmt: skip

    assert answer.status_code == 200
    assert answer.json()["summary"] == {"total": 3, "payload_error": 0, "success": 3, "error": 0}
    assert answer.json()["errors"] is None
    assert [row["correlation_id"] for row in answer.json()["data"]] == ["b1", "b2", "s"]
    assert [row["transaction_type"] for row in orders(rest)] == ["BUY", "BUY", "SELL"]


def test_slices_of_a_line_are_numbered(rest: httpx.Client) -> None:
    lines = [line("a", quantity=3_600, price=100.0) | {"slice": True}, line("b")]

    assert [row["correlation_id"] for row in rest.post(MULTI, json=lines).json()["data"]] == [
        "a_1", "a_2", "b",
    ]  # fmt: skip


def test_one_mistake_in_the_payload_and_nothing_is_placed(rest: httpx.Client) -> None:
    lines = [line("a"), line("b", quantity=0), line("c", instrument_token="NSE_FO|0"), line("a")]
    answer = rest.post(MULTI, json=lines)

    assert answer.status_code == 400
    assert [(e["correlation_id"], e["error_code"]) for e in answer.json()["errors"]] == [
        ("b", "UDAPI1052"), ("c", "UDAPI100011"), ("a", "UDAPI1117"),
    ]  # fmt: skip
    assert answer.json()["status"] == "error"
    assert answer.json()["summary"] == {"total": 4, "payload_error": 3, "success": 0, "error": 0}
    assert orders(rest) == []


def test_a_payload_that_cannot_be_is_refused(rest: httpx.Client) -> None:
    payloads: tuple[tuple[Any, str], ...] = (
        ([], "UDAPI1114"),
        ({}, "UDAPI1114"),
        ([line("a") | {"correlation_id": None}], "UDAPI1115"),
        ([line("x" * 21)], "UDAPI1116"),
        ([line("a", tag="x" * 41)], "UDAPI1119"),
        ([line(str(n)) for n in range(26)], "UDAPI1118"),
        ([line("a", quantity=45_000) | {"slice": True}, line("b")], "UDAPI1118"),
        ([7], "UDAPI100036"),
    )
    for lines, wanted in payloads:
        answer = rest.post(MULTI, json=lines)
        assert answer.status_code == 400
        assert [error["error_code"] for error in answer.json()["errors"]] == [wanted]
    assert orders(rest) == []


def test_when_some_fail_the_answer_is_207(rest: httpx.Client, exchange: SimulatedExchange) -> None:
    exchange.faults.set("reject_order", how="answer", line=2)
    answer = rest.post(MULTI, json=[line("a"), line("b"), line("c")])

    assert answer.status_code == 207
    told = answer.json()
    assert told["status"] == "partial_success"
    assert [row["correlation_id"] for row in told["data"]] == ["a", "c"]
    assert [(e["correlation_id"], e["error_code"]) for e in told["errors"]] == [
        ("b", "UDAPI100500")
    ]
    assert told["summary"] == {"total": 3, "payload_error": 0, "success": 2, "error": 1}
    assert len(orders(rest)) == 2


def test_when_all_fail_the_answer_is_an_error(
    rest: httpx.Client, exchange: SimulatedExchange
) -> None:
    exchange.faults.set("reject_order", how="answer")
    answer = rest.post(MULTI, json=[line("a"), line("b")])

    assert answer.status_code == 400
    assert answer.json()["status"] == "error"
    assert answer.json()["summary"]["error"] == 2


def test_many_are_cancelled_by_segment_or_tag(rest: httpx.Client) -> None:
    mine = [place(rest, tag="t"), place(rest, tag="t", instrument_token=INFY, quantity=1)]
    other = place(rest)
    for order_id in (*mine, other):
        assert reaches(rest, order_id, "open")
    by_both = rest.delete(MULTI_CANCEL, params={"tag": "t", "segment": "NSE_EQ"})
    assert reaches(rest, mine[1], "cancelled")
    rest_of_them = rest.delete(MULTI_CANCEL)
    assert wait_until(lambda: all(row["status"] == "cancelled" for row in orders(rest)))
    nothing = rest.delete(MULTI_CANCEL, params={"tag": "t"})

    assert data(by_both) == {"order_ids": [mine[1]]}
    assert rest_of_them.json()["summary"] == {"total": 2, "success": 2, "error": 0}
    assert code_of(nothing) == (400, "UDAPI1109")
    assert code_of(rest.delete(MULTI_CANCEL, params={"segment": "NSE"})) == (400, "UDAPI1108")


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["error_code"]


def test_cancelling_many_may_fail_for_some(rest: httpx.Client, exchange: SimulatedExchange) -> None:
    first, second = place(rest), place(rest, instrument_token=PUT)
    assert reaches(rest, second, "open")
    exchange.faults.set("cancel_loses", instrument_key=CALL)
    answer = rest.delete(MULTI_CANCEL)

    assert answer.status_code == 207
    assert answer.json()["data"] == {"order_ids": [second]}
    (error,) = answer.json()["errors"]
    assert (error["order_id"], error["error_code"]) == (first, "UDAPI100040")
    assert error["instrument_key"] == CALL
    assert answer.json()["summary"] == {"total": 2, "success": 1, "error": 1}


def test_all_positions_are_left_shorts_first(rest: httpx.Client) -> None:
    place(rest, order_type="MARKET", quantity=150)
    place(rest, order_type="MARKET", instrument_token=PUT, transaction_type="SELL")
    share = place(rest, order_type="MARKET", instrument_token=INFY, product="D", quantity=5)
    assert reaches(rest, share, "complete")
    answer = data(rest.post(EXIT))
    assert wait_until(lambda: all(row["status"] == "complete" for row in orders(rest)))
    left = {row["instrument_token"]: row["quantity"] for row in data(rest.get(POSITIONS))}

    assert [(o["transaction_type"], o["quantity"]) for o in orders(rest)[3:]] == [
        ("BUY", 75), ("SELL", 150),
    ]  # fmt: skip
    assert answer["order_ids"] == [o["order_id"] for o in orders(rest)[3:]]
    assert left == {CALL: 0, PUT: 0, INFY: 5}
    assert code_of(rest.post(EXIT)) == (400, "UDAPI1111")


def test_a_tag_leaves_what_its_own_orders_have_made(rest: httpx.Client) -> None:
    place(rest, order_type="MARKET", tag="mine")
    assert reaches(rest, place(rest, order_type="MARKET", quantity=150), "complete")
    (order_id,) = data(rest.post(EXIT, params={"tag": "mine"}))["order_ids"]
    assert reaches(rest, order_id, "complete")
    (position,) = data(rest.get(POSITIONS))

    assert position["quantity"] == 150


def test_positions_are_left_in_market_hours_only(
    rest: httpx.Client, clock: ManualExchangeClock
) -> None:
    assert reaches(rest, place(rest, order_type="MARKET"), "complete")
    clock.advance(7 * 3600)

    assert code_of(rest.post(EXIT)) == (400, "UDAPI1113")


# --- reads


def test_the_row_of_an_order_has_every_field_of_the_documents(rest: httpx.Client) -> None:
    order_id = place(rest, tag="wl-01")
    assert reaches(rest, order_id, "open")
    (row,) = orders(rest)
    (first, *_) = data(rest.get(HISTORY, params={"order_id": order_id}))

    assert set(row) == {
        "exchange", "product", "price", "quantity", "status", "guid", "tag", "instrument_token",
        "placed_by", "trading_symbol", "tradingsymbol", "order_type", "validity", "trigger_price",
        "disclosed_quantity", "transaction_type", "average_price", "filled_quantity",
        "pending_quantity", "status_message", "status_message_raw", "exchange_order_id",
        "parent_order_id", "order_id", "variety", "order_timestamp", "exchange_timestamp", "is_amo",
        "order_request_id", "order_ref_id",
    }  # fmt: skip
    assert row["exchange"] == "NFO"
    assert row["order_timestamp"] == "2025-11-26 09:30:00"
    assert set(row) - set(first) == {
        "pending_quantity", "guid", "status_message_raw", "order_ref_id",
    }  # fmt: skip
    assert first["parent_order_id"] == "NA"


def test_history_is_asked_by_number_or_tag(rest: httpx.Client) -> None:
    mine, other = place(rest, tag="t"), place(rest)
    both = {"order_id": mine, "tag": "another"}

    assert code(rest.get(HISTORY)) == (400, "UDAPI100059")
    assert code(rest.get(HISTORY, params={"order_id": "9"})) == (400, "UDAPI100010")
    assert data(rest.get(HISTORY, params={"tag": "nothing"})) == []
    assert data(rest.get(HISTORY, params=both)) == []
    assert {s["order_id"] for s in data(rest.get(HISTORY, params={"tag": "t"}))} == {mine}
    assert {s["order_id"] for s in data(rest.get(HISTORY, params={"order_id": other}))} == {other}


def test_a_partial_fill_is_a_trade_of_its_own(rest: httpx.Client) -> None:
    order_id = place(rest, order_type="MARKET", quantity=300)
    assert reaches(rest, order_id, "complete")
    rows = data(rest.get("/v2/order/trades", params={"order_id": order_id}))
    day = data(rest.get("/v2/order/trades/get-trades-for-day"))

    assert [(row["quantity"], row["average_price"]) for row in rows] == [(225, 142.7), (75, 142.75)]
    assert rows == day
    assert len({row["trade_id"] for row in rows}) == 2
    assert rows[0]["exchange_timestamp"] == "26-Nov-2025 09:30:00"


def test_users_see_their_own(exchange: SimulatedExchange, rest: httpx.Client) -> None:
    issued = rest.post("/control/tokens", json={"user": "OTHER", "token": "T2"}).json()["data"]
    order_id = place(rest)
    theirs = httpx.Client(base_url=exchange.base_url, headers=bearer("T2"))
    with theirs:
        their_order = place(theirs)
        seen = [row["order_id"] for row in orders(theirs)]
        foreign = theirs.delete(CANCEL, params={"order_id": order_id})

    assert issued["user_id"] == "OTHER"
    assert seen == [their_order]
    assert [row["order_id"] for row in orders(rest)] == [order_id]
    assert code(foreign) == (400, "UDAPI100010")


def test_a_position_is_converted(rest: httpx.Client) -> None:
    assert reaches(rest, place(rest, order_type="MARKET"), "complete")
    wish = {"instrument_token": CALL, "new_product": "D", "old_product": "I",
            "transaction_type": "BUY", "quantity": 75}  # fmt: skip
    answer = data(rest.put("/v2/portfolio/convert-position", json=wish))
    again = rest.put("/v2/portfolio/convert-position", json=wish)

    assert answer == {"status": "complete"}
    assert {row["product"]: row["quantity"] for row in data(rest.get(POSITIONS))} == {
        "I": 0, "D": 75,
    }  # fmt: skip
    assert again.status_code == 400


# --- limits


def test_orders_have_limits_of_their_own() -> None:
    limiter = RateLimiter()
    single = [limiter.allow("u", path, 0.0) for path in sorted(ORDERS_OF) * 2]
    reads = [limiter.allow("u", "/v2/order/retrieve-all", 0.0) for _ in range(51)]

    assert single == [True] * 10 + [False] * 2
    assert reads.count(True) == 50
    assert limiter.allow("other", "/v3/order/place", 0.0)
    assert limiter.allow("u", "/v3/order/place", 1.01)


@pytest.mark.parametrize("path", sorted(BASKETS_OF))
def test_many_at_once_are_limited_more_strictly(path: str) -> None:
    limiter = RateLimiter()
    first = [limiter.allow("u", path, 0.0) for _ in range(5)]
    minute = [limiter.allow("u", path, 2.0 + n) for n in range(37)]

    assert first == [True] * 4 + [False]
    assert minute == [True] * 36 + [False]


def test_the_eleventh_order_of_a_second_is_too_many(
    market: TinyMarket, clock: ManualExchangeClock
) -> None:
    tokens = TokenTable(clock)
    tokens.add(TOKEN)
    with (
        SimulatedExchange(market, clock=clock, tokens=tokens) as exchange,
        httpx.Client(base_url=exchange.base_url, headers=bearer()) as rest,
    ):
        began = time.monotonic()
        answers = [rest.post(PLACE, json=body()) for _ in range(11)]
        took = time.monotonic() - began

    assert took < 1.0, "too slow to reach the limit"
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert code(answers[-1]) == (429, "UDAPI10005")


# --- control


def test_the_phone_app_fills_an_order_at_once(
    rest: httpx.Client, exchange: SimulatedExchange
) -> None:
    wish = body(order_type="MARKET") | {"fill": "once", "fill_price": 140.0}
    (order_id,) = data(rest.post("/control/orders", json=wish))["order_ids"]
    assert reaches(rest, order_id, "complete")
    (row,) = orders(rest)

    assert row["average_price"] == 140.0
    assert row["tag"] is None
    assert data(rest.get("/control/book"))["accounts"]["4XA7QK"]["orders"][0]["source"] == "phone"


def test_an_order_of_the_phone_app_rests_until_it_is_filled_from_outside(
    rest: httpx.Client, market: TinyMarket
) -> None:
    wish = body(price=150.0) | {"fill": "rest"}
    (order_id,) = data(rest.post("/control/orders", json=wish))["order_ids"]
    assert reaches(rest, order_id, "open")
    part = data(rest.post("/control/fills", json={"order_id": order_id, "quantity": 25}))
    more = rest.post("/control/fills", json={"order_id": order_id, "quantity": 51})
    whole = data(rest.post("/control/fills", json={"order_id": order_id, "price": 149.0}))

    assert (part["status"], part["filled_quantity"], part["average_price"]) == ("open", 25, 150.0)
    assert more.status_code == 400
    assert (whole["status"], whole["average_price"]) == ("complete", pytest.approx(149.3333))
    assert rest.post("/control/fills", json={"order_id": order_id}).status_code == 400
    assert rest.post("/control/fills", json={"order_id": "7"}).status_code == 404


def test_the_phone_app_can_also_meet_the_market(rest: httpx.Client) -> None:
    (order_id,) = data(rest.post("/control/orders", json=body(price=142.7)))["order_ids"]

    assert reaches(rest, order_id, "complete")


def test_an_account_begins_with_what_a_test_wants(rest: httpx.Client) -> None:
    data(rest.post("/control/positions", json={
        "cash": 5_000.0,
        "positions": [{"instrument_key": CALL, "quantity": -75, "average_price": 140.0}],
        "holdings": [{"instrument_key": INFY, "quantity": 10}],
    }))  # fmt: skip
    (position,) = data(rest.get(POSITIONS))
    (holding,) = data(rest.get("/v2/portfolio/long-term-holdings"))

    assert (position["product"], position["overnight_quantity"]) == ("D", -75)
    assert position["average_price"] == 140.0
    assert (holding["quantity"], holding["average_price"]) == (10, None)
    assert data(rest.get("/control/book"))["accounts"]["4XA7QK"]["opening"] == 5_000.0


def test_a_wish_that_cannot_be_is_refused(rest: httpx.Client) -> None:
    for path, wish in (
        ("/control/orders", {"fill": "maybe"}),
        ("/control/orders", {}),
        ("/control/fills", {"order_id": "1", "quantity": 0}),
        ("/control/fills", {}),
        ("/control/positions", {"positions": [{"instrument_key": "x", "quantity": 1}]}),
        ("/control/positions", {"monies": 1}),
    ):
        assert rest.post(path, json=wish).status_code == 400, wish


def test_the_book_holds_every_request_and_every_order(
    rest: httpx.Client, exchange: SimulatedExchange
) -> None:
    order_id = place(rest, tag="a")
    rest.post(PLACE, json=body(quantity=0))
    rest.delete(CANCEL, params={"order_id": order_id})
    assert reaches(rest, order_id, "cancelled")
    book = data(rest.get("/control/book"))

    assert [(r["method"], r["path"], r["status"], r["user"]) for r in book["requests"]] == [
        ("POST", PLACE, 200, "4XA7QK"), ("POST", PLACE, 400, "4XA7QK"),
        ("DELETE", CANCEL, 200, "4XA7QK"),
    ]  # fmt: skip
    assert '"tag":"a"' in book["requests"][0]["body"]
    assert book["requests"][2]["query"] == f"order_id={order_id}"
    assert book["accounts"]["4XA7QK"]["orders"][0]["statuses"][-1] == "cancelled"
    assert exchange.book()["accounts"].keys() == book["accounts"].keys()


def test_orders_go_on_when_the_exchange_is_back(
    exchange: SimulatedExchange, rest: httpx.Client
) -> None:
    exchange.broker.pace = 0.1
    order_id = place(rest, price=142.7)
    exchange.stop()
    account = exchange.book()["accounts"]["4XA7QK"]
    exchange.start()

    assert account["orders"][0]["final"] is False
    assert reaches(rest, order_id, "complete")
