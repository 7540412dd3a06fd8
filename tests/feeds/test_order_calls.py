"""What is asked of the broker, and what its answers prove; no socket is involved."""

import json
import math
from dataclasses import replace

import pytest

from feeds.upstox import order_calls
from feeds.upstox.answers import Answer
from tests.feeds.portfolio import REQUEST, order_row, rows
from tests.simulator.tiny import CALL
from trading.broker import Line, Placed
from trading.errors import (
    BadRequest,
    NotPermitted,
    RateLimited,
    TokenRefused,
    Unanswered,
    VigilError,
)
from trading.order import OrderChange, OrderType, Side, Validity

LINE = Line("vigil-1", REQUEST)
LEGS = [
    Line("t-1", replace(REQUEST, side=Side.SELL)),
    Line("t-2", REQUEST),
    Line("t-3", replace(REQUEST, side=Side.SELL)),
]


def answer(status: int, body: object, kind: str = "application/json", retry: str = "") -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, kind, retry, raw)


def error(status: int, code: str, message: str = "no", **more: object) -> Answer:
    return answer(
        status, {"status": "error", "errors": [{"error_code": code, "message": message, **more}]}
    )


def test_a_limit_order_asks_for_exactly_this() -> None:
    write = order_calls.place(LINE)

    assert (write.method, write.path, write.several) == ("POST", "/v3/order/place", False)
    assert write.body == {
        "instrument_token": CALL,
        "quantity": 75,
        "product": "I",
        "validity": "DAY",
        "order_type": "LIMIT",
        "transaction_type": "BUY",
        "price": 142.5,
        "trigger_price": 0,
        "disclosed_quantity": 0,
        "is_amo": False,
        "slice": True,
        "tag": "vigil-1",
    }


@pytest.mark.parametrize(
    ("order_type", "price", "trigger", "protection"),
    [
        (OrderType.MARKET, 0, 0, -1),
        (OrderType.LIMIT, 142.5, 0, None),
        (OrderType.SL, 142.5, 141.0, None),
        (OrderType.SL_M, 0, 141.0, -1),
    ],
)
def test_a_price_that_is_not_wanted_is_0_and_market_orders_are_protected(
    order_type: OrderType, price: float, trigger: float, protection: int | None
) -> None:
    line = Line("t", replace(REQUEST, order_type=order_type, trigger=141.0))

    body = order_calls.place(line).body

    assert (body["price"], body["trigger_price"]) == (price, trigger)
    assert body.get("market_protection") == protection


@pytest.mark.parametrize("price", [math.nan, math.inf])
def test_a_price_that_is_no_number_is_not_sent(price: float) -> None:
    with pytest.raises(BadRequest, match="price"):
        order_calls.place(Line("t", replace(REQUEST, price=price)))


def test_a_change_repeats_what_it_leaves_alone() -> None:
    order = rows().order(order_row(order_type="SL", trigger_price=141.0))

    write = order_calls.modify(order, OrderChange(price=143.0))
    assert (write.method, write.path) == ("PUT", "/v3/order/modify")
    assert write.body == {
        "order_id": "251126000012345",
        "order_type": "SL",
        "validity": "DAY",
        "price": 143.0,
        "trigger_price": 141.0,
    }
    whole = OrderChange(50, OrderType.MARKET, 1.0, 1.0, Validity.IOC)
    assert order_calls.modify(order, whole).body == {
        "order_id": "251126000012345",
        "order_type": "MARKET",
        "validity": "IOC",
        "price": 0,
        "trigger_price": 0,
        "market_protection": -1,
        "quantity": 50,
    }


def test_a_cancellation_names_the_order() -> None:
    write = order_calls.cancel("2511")

    assert (write.method, write.path) == ("DELETE", "/v3/order/cancel")
    assert (write.params, write.body) == ({"order_id": "2511"}, None)


def test_the_numbers_of_all_slices_are_returned() -> None:
    body = {"status": "success", "data": {"order_ids": ["1", "2"]}, "metadata": {"latency": 3}}

    assert order_calls.outcome(order_calls.place(LINE), answer(200, body)) == ("1", "2")


SURELY_NOT: list[tuple[Answer, type[VigilError], str]] = [
    (error(400, "UDAPI1052", "cannot be zero", property_path="quantity"), BadRequest,
     "quantity: UDAPI1052 cannot be zero"),
    (error(404, "UDAPI100010", "not found"), BadRequest, "UDAPI100010"),
    (error(422, "UDAPI100036"), BadRequest, "UDAPI100036"),
    (error(423, "UDAPI100074"), BadRequest, "closed by broker until 05:30"),
    (error(400, "UDAPI100074"), BadRequest, "closed by broker until 05:30"),
    (error(400, "UDAPI1113"), BadRequest, "closed by broker until the market opens"),
    (answer(423, b""), BadRequest, "closed by broker until 05:30"),
    (error(401, "UDAPI100050"), TokenRefused, "token"),
    (error(400, "UDAPI100050"), TokenRefused, "token"),
    (answer(401, b"<html>", "text/html"), TokenRefused, "token"),
    (error(403, "UDAPI1179"), NotPermitted, "not permitted from this address"),
    (error(403, "UDAPI1", "Static IP is not registered"), NotPermitted, "from this address"),
    (error(403, "UDAPI100049", "restricted"), NotPermitted, "orders are not permitted, though"),
    (answer(403, b"error code: 1010", "text/plain"), NotPermitted, "orders are not permitted"),
    (error(429, "UDAPI10005"), RateLimited, "fewer"),
    (answer(429, b"<html>", "text/html"), RateLimited, "fewer"),
]  # fmt: skip


@pytest.mark.parametrize(("refusal", "kind", "words"), SURELY_NOT)
def test_a_refusal_proves_that_nothing_was_done(
    refusal: Answer, kind: type[VigilError], words: str
) -> None:
    for write in (order_calls.place(LINE), order_calls.place_many(LEGS), order_calls.cancel("1")):
        with pytest.raises(kind) as caught:
            order_calls.outcome(write, refusal)

        assert type(caught.value) is kind
        assert words in str(caught.value)


def test_the_code_of_a_refusal_is_kept_in_both_spellings() -> None:
    for name in ("error_code", "errorCode"):
        errors = [{name: "UDAPI100040", "propertyPath": "order_id", "message": "final"}]
        refusal = answer(400, {"status": "error", "errors": errors})
        with pytest.raises(BadRequest, match="order_id: UDAPI100040 final") as caught:
            order_calls.outcome(order_calls.cancel("1"), refusal)

        assert caught.value.code == "UDAPI100040"


def test_a08_a_closed_broker_keeps_its_code_and_is_not_a_matter_of_waiting() -> None:
    with pytest.raises(BadRequest) as caught:
        order_calls.outcome(order_calls.place(LINE), error(423, "UDAPI100074"))

    assert caught.value.code == "UDAPI100074"


def test_f16_a_429_says_how_long() -> None:
    with pytest.raises(RateLimited) as caught:
        order_calls.outcome(order_calls.place(LINE), answer(429, b"", retry="7"))

    assert caught.value.retry_after == 7.0


PROVES_NOTHING = [
    answer(500, {"status": "error", "errors": [{"error_code": "UDAPI100500", "message": "x"}]}),
    answer(502, b"<html>", "text/html"),
    answer(503, b""),
    answer(504, b"", ""),
    answer(408, b""),
    answer(302, b""),
    answer(400, b"<html>", "text/html"),
    answer(400, {}),
    answer(404, b"", ""),
    error(400, "UDAPI100500"),
    error(400, ""),
    answer(200, b"<html>ok</html>", "text/html"),
    answer(200, b"", ""),
    answer(200, b'{"status":"success","data":{"order_ids":["1"]}}', "text/html"),
    answer(200, b"{"),
    answer(200, b"[" * 100_000),
    answer(200, None),
    answer(200, []),
    answer(200, {"status": "success"}),
    answer(200, {"status": "success", "data": None}),
    answer(200, {"status": "success", "data": {}}),
    answer(200, {"status": "success", "data": []}),
    answer(200, {"status": "success", "data": {"order_ids": []}}),
    answer(200, {"status": "success", "data": {"order_ids": [None]}}),
    answer(200, {"status": "success", "data": {"order_ids": [7]}}),
    answer(200, {"status": "error", "data": {"order_ids": ["1"], "order_id": "1"}}),
    answer(204, b""),
]


@pytest.mark.parametrize("odd", PROVES_NOTHING, ids=lambda odd: f"{odd.status} {odd.body[:40]!r}")
def test_o01_an_answer_that_proves_nothing_leaves_the_order_in_doubt(odd: Answer) -> None:
    order = rows().order(order_row())
    for write in (
        order_calls.place(LINE),
        order_calls.place_many(LEGS),
        order_calls.modify(order, OrderChange(price=1.0)),
        order_calls.cancel("1"),
    ):
        with pytest.raises(Unanswered):
            order_calls.outcome(write, odd)


def test_a_basket_goes_out_buys_first_with_a_name_for_each_line() -> None:
    write = order_calls.place_many(LEGS)

    assert (write.path, write.several) == ("/v2/order/multi/place", True)
    assert [(row["correlation_id"], row["tag"]) for row in write.body] == [
        ("line-2", "t-2"), ("line-1", "t-1"), ("line-3", "t-3"),
    ]  # fmt: skip
    assert all(row["slice"] is True and len(row["correlation_id"]) <= 20 for row in write.body)


def basket(data: object, errors: object = None, status: int = 207) -> list[Placed]:
    body = {"status": "partial_success", "data": data, "errors": errors, "summary": {}}
    return order_calls.outcome(order_calls.place_many(LEGS), answer(status, body))


def row(line: str, order_id: str) -> dict[str, str]:
    return {"correlation_id": line, "order_id": order_id}


def complaint(line: str, code: str) -> dict[str, object]:
    return {"correlation_id": line, "error_code": code, "message": "no", "property_path": None}


def test_o13_the_slices_of_each_line_are_told_apart() -> None:
    data = [row("line-3_1", "31"), row("line-2", "20"), row("line-1_1", "11")]
    data += [row("line-3_2", "32"), row("line-1_2", "12")]

    assert basket(data, status=200) == [
        Placed("t-1", ("11", "12")),
        Placed("t-2", ("20",)),
        Placed("t-3", ("31", "32")),
    ]


def test_a_line_that_was_refused_says_so_and_the_others_stand() -> None:
    first, second, third = basket([row("line-2", "20")], [complaint("line-1", "UDAPI1161")])

    assert isinstance(first.error, BadRequest)
    assert first.error.code == "UDAPI1161"
    assert second == Placed("t-2", ("20",))
    assert isinstance(third.error, Unanswered), "the answer leaves it out"


def test_a_line_whose_complaint_says_nothing_is_in_doubt() -> None:
    first, _, third = basket(
        [row("line-2", "20")],
        [complaint("line-1", "UDAPI100500"), complaint("line-3", "")],
    )

    assert isinstance(first.error, Unanswered)
    assert isinstance(third.error, Unanswered)


def test_a_line_of_which_only_some_slices_went_has_numbers_and_an_error() -> None:
    data = [row("line-1_1", "11"), row("line-2", "20"), row("line-3", "30")]
    first, second, third = basket(data, [complaint("line-1_2", "UDAPI1161")])

    assert first.order_ids == ("11",)
    assert isinstance(first.error, BadRequest)
    assert (second.error, third.error) == (None, None)


@pytest.mark.parametrize("data", [[row("other", "1")], [7, None, row("line-1", "")]])
def test_rows_of_nobody_leave_all_lines_in_doubt(data: list[object]) -> None:
    placed = basket([*data, {"order_id": "9"}])

    assert [type(p.error) for p in placed] == [Unanswered] * 3


def test_a_basket_refused_as_a_whole_names_the_line_and_the_field() -> None:
    errors = [
        {**complaint("line-3", "UDAPI1052"), "property_path": "quantity"},
        {**complaint("line-1", "UDAPI1026"), "property_path": "instrument_token"},
    ]
    with pytest.raises(BadRequest) as caught:
        basket(None, errors, status=400)

    assert "line-3 quantity: UDAPI1052" in str(caught.value)
    assert "line-1 instrument_token: UDAPI1026" in str(caught.value)
    with pytest.raises(Unanswered):
        basket(None, [*errors, complaint("line-2", "UDAPI100500")], status=400)
