"""What the broker says orders cost and accounts have: estimates agree with what then happens."""

import time
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from simulator.clock import ManualExchangeClock
from simulator.server import SimulatedExchange
from tests.simulator.test_portfolio_feed import Stream
from tests.simulator.tiny import CALL, INFY, NIFTY, PUT, bearer, wait_until

Json = dict[str, object]
USER = "4XA7QK"
SHORT = 0.11 * 26_100 * 75  # one lot of a naked option: its strike is 26100


@pytest.fixture
def rest(exchange: SimulatedExchange) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=exchange.base_url, headers=bearer(), timeout=5) as client:
        yield client


def line(key: str = CALL, quantity: int = 75, side: str = "BUY", **more: object) -> Json:
    asked = {"instrument_key": key, "quantity": quantity, "product": "I", "transaction_type": side}
    return asked | more


def margin(rest: httpx.Client, *lines: Json) -> Json:
    answer = rest.post("/v2/charges/margin", json={"instruments": list(lines)})
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["data"])


def funds(rest: httpx.Client) -> tuple[Json, Json]:
    """Return the equity object of version 2, and the cash object of version 3."""
    second = rest.get("/v2/user/get-funds-and-margin").json()["data"]["equity"]
    third = rest.get("/v3/user/get-funds-and-margin").json()["data"]["available_to_trade"]
    return dict(second), dict(third["cash_available_to_trade"])


def place(rest: httpx.Client, key: str = CALL, quantity: int = 75, **more: object) -> str:
    body = {
        "instrument_token": key, "quantity": quantity, "product": "I", "validity": "DAY",
        "order_type": "MARKET", "transaction_type": "BUY", "price": 0, "trigger_price": 0,
        "disclosed_quantity": 0, "is_amo": False, "slice": False,
    }  # fmt: skip
    answer = rest.post("/v3/order/place", json=body | more)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"]["order_ids"][0])


def status(rest: httpx.Client, order_id: str) -> str:
    answer = rest.get("/v2/order/details", params={"order_id": order_id})
    return str(answer.json()["data"]["status"])


def reaches(rest: httpx.Client, order_id: str, wanted: str) -> bool:
    return wait_until(lambda: status(rest, order_id) == wanted)


def filled(rest: httpx.Client, exchange: SimulatedExchange, **more: object) -> None:
    """Place an order and have it filled whole, whatever the book holds."""
    order_id = place(rest, **more)  # type: ignore[arg-type]
    assert wait_until(lambda: status(rest, order_id) in ("open", "complete"))
    if status(rest, order_id) == "open":
        rest.post("/control/fills", json={"order_id": order_id})
    assert reaches(rest, order_id, "complete")


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    (error,) = answer.json()["errors"]
    return answer.status_code, error["error_code"], error["property_path"]


# --- the margin of a basket


def test_a_bought_option_needs_its_premium(rest: httpx.Client) -> None:
    told = margin(rest, line(price=140.0))

    assert told == {
        "required_margin": 10_500.0,
        "final_margin": 10_500.0,
        "margins": [
            {
                "span_margin": 0.0,
                "exposure_margin": 0.0,
                "equity_margin": 0.0,
                "net_buy_premium": 10_500.0,
                "additional_margin": 0.0,
                "total_margin": 10_500.0,
                "tender_margin": 0.0,
            }
        ],
    }


@pytest.mark.parametrize("price", [{}, {"price": 0}, {"price": None}])
def test_without_a_price_it_is_the_last_one(rest: httpx.Client, price: Json) -> None:
    assert margin(rest, line(**price))["final_margin"] == pytest.approx(142.6 * 75)


def test_a_basket_has_a_row_for_each_line_and_a_benefit(rest: httpx.Client) -> None:
    told = margin(rest, line(CALL, side="SELL"), line(PUT, side="SELL"), line(INFY, 10, price=1500))

    assert told["required_margin"] == pytest.approx(2 * SHORT + 3_000)
    assert told["final_margin"] == pytest.approx(SHORT + 0.02 * 26_100 * 75 + 3_000)
    assert [row["total_margin"] for row in told["margins"]] == [  # type: ignore[attr-defined]
        pytest.approx(SHORT), pytest.approx(SHORT), 3_000.0,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        ({"quantity": 0}, "UDAPI1052", "quantity"),
        ({"quantity": -75}, "UDAPI1052", "quantity"),
        ({"quantity": 1.5}, "UDAPI1052", "quantity"),
        ({"quantity": "75"}, "UDAPI1052", "quantity"),
        ({"quantity": True}, "UDAPI1052", "quantity"),
        ({"quantity": None}, "UDAPI1052", "quantity"),
        ({"product": "X"}, "UDAPI1054", "product"),
        ({"product": ["I"]}, "UDAPI1054", "product"),
        ({"transaction_type": "buy"}, "UDAPI1057", "transaction_type"),
        ({"price": -1}, "UDAPI100036", "price"),
        ({"price": "1"}, "UDAPI100036", "price"),
        ({"price": 1e300}, "UDAPI100036", "price"),
        ({"instrument_key": ""}, "UDAPI1026", "instrument_key"),
        ({"instrument_key": 5}, "UDAPI1026", "instrument_key"),
        ({"instrument_key": "NSE_FO|0"}, "UDAPI100011", "instrument_token"),
        ({"instrument_key": NIFTY}, "UDAPI100011", "instrument_token"),
        ({"instrument_key": "x' OR 1=1 --<b>"}, "UDAPI100011", "instrument_token"),
    ],
)
def test_a_wrong_line_is_refused_by_its_field(
    rest: httpx.Client, change: Json, code: str, path: str
) -> None:
    answer = rest.post("/v2/charges/margin", json={"instruments": [line() | change]})

    assert refusal(answer) == (400, code, path)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"{}", b'{"instruments":{}}', b'{"instruments":[]}',
        b'{"instruments":[1]}', b'{"instruments":[%s]}' % b",".join([b"{}"] * 21),
        b'{"instruments":"\xff"}',
    ],
)  # fmt: skip
def test_what_is_no_basket_is_refused(rest: httpx.Client, body: bytes) -> None:
    assert rest.post("/v2/charges/margin", content=body).status_code == 400


# --- the charges of an order


ASKED = {
    "instrument_token": CALL,
    "quantity": "75",
    "product": "I",
    "transaction_type": "SELL",
    "price": "142.5",
}


def test_charges_come_in_the_documented_shape(rest: httpx.Client) -> None:
    answer = rest.get("/v2/charges/brokerage", params=ASKED)

    assert answer.json()["data"] == {
        "charges": {
            "total": 38.77,
            "brokerage": 20.0,
            "taxes": {"gst": 4.28, "stt": 10.69, "stamp_duty": 0.0},
            "other_charges": {
                "transaction": 3.74,
                "clearing": 0.0,
                "ipft": 0.05,
                "sebi_turnover": 0.01,
            },
            "dp_plan": {"name": "STANDARD", "min_expense": 20.0},
        }
    }


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"quantity": "0"}, "UDAPI1052"),
        ({"quantity": "1.5"}, "UDAPI1052"),
        ({"quantity": "many"}, "UDAPI1052"),
        ({"quantity": None}, "UDAPI1052"),
        ({"price": "0"}, "UDAPI1008"),
        ({"price": None}, "UDAPI100036"),
        ({"price": "nan"}, "UDAPI100036"),
        ({"price": "inf"}, "UDAPI100036"),
        ({"price": "-5"}, "UDAPI100036"),
        ({"product": "NRML"}, "UDAPI1054"),
        ({"transaction_type": None}, "UDAPI1057"),
        ({"instrument_token": None}, "UDAPI1026"),
        ({"instrument_token": NIFTY}, "UDAPI100011"),
    ],
)
def test_a_wrong_question_about_charges_is_refused(
    rest: httpx.Client, change: dict[str, str | None], code: str
) -> None:
    params = {name: value for name, value in (ASKED | change).items() if value is not None}

    assert refusal(rest.get("/v2/charges/brokerage", params=params))[:2] == (400, code)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/charges/margin"),
        ("GET", "/v2/charges/brokerage"),
        ("GET", "/v2/user/kill-switch"),
        ("POST", "/v2/user/kill-switch"),
    ],
)
def test_without_a_token_nothing_is_told(
    exchange: SimulatedExchange, method: str, path: str
) -> None:
    assert httpx.request(method, exchange.base_url + path).status_code == 401


# --- funds


def test_an_untouched_account_has_all_of_its_money(rest: httpx.Client) -> None:
    second, third = funds(rest)

    assert second["available_margin"] == third["total"] == 1_000_000.0
    assert second["used_margin"] == second["span_margin"] == second["exposure_margin"] == 0.0
    assert third["cash"]["opening_balance"] == 1_000_000.0  # type: ignore[index]


def test_a_bought_option_has_cost_its_premium(
    rest: httpx.Client, exchange: SimulatedExchange
) -> None:
    filled(rest, exchange, price=142.5, order_type="LIMIT")
    second, third = funds(rest)
    paid = rest.get("/v2/order/trades/get-trades-for-day").json()["data"]
    premium = sum(row["quantity"] * row["average_price"] for row in paid)

    assert premium > 10_000
    assert second["used_margin"] == pytest.approx(premium)
    assert second["available_margin"] == third["total"] == pytest.approx(1_000_000 - premium)
    assert third["margin_used"]["premium_present"] == pytest.approx(premium)  # type: ignore[index]
    assert second["span_margin"] == 0.0


def test_a_sold_option_blocks_what_was_told_before(
    rest: httpx.Client, exchange: SimulatedExchange
) -> None:
    told = float(str(margin(rest, line(side="SELL"))["final_margin"]))
    filled(rest, exchange, transaction_type="SELL")
    second, third = funds(rest)
    (trade,) = rest.get("/v2/order/trades/get-trades-for-day").json()["data"]
    received = trade["quantity"] * trade["average_price"]
    used = third["margin_used"]

    assert second["span_margin"] + second["exposure_margin"] == pytest.approx(told)  # type: ignore[operator]
    assert used["span_exposure"] == pytest.approx(told)  # type: ignore[index]
    assert used["premium_present"] == pytest.approx(-received)  # type: ignore[index]
    assert third["total"] == pytest.approx(1_000_000 - told + received)


def test_a_working_order_reserves_and_a_cancelled_one_lets_go(
    rest: httpx.Client, exchange: SimulatedExchange
) -> None:
    exchange.faults.set("rest_order")
    order_id = place(rest, order_type="LIMIT", price=140.0)
    assert reaches(rest, order_id, "open")
    reserved, _ = funds(rest)
    rest.delete("/v3/order/cancel", params={"order_id": order_id})
    assert reaches(rest, order_id, "cancelled")
    free, _ = funds(rest)

    assert reserved["used_margin"] == 10_500.0
    assert reserved["available_margin"] == 989_500.0
    assert free["available_margin"] == 1_000_000.0


def test_a_closed_position_leaves_its_gain_or_loss(
    rest: httpx.Client, exchange: SimulatedExchange
) -> None:
    for side in ("SELL", "BUY"):
        filled(rest, exchange, key=INFY, quantity=10, transaction_type=side)
    trades = rest.get("/v2/order/trades/get-trades-for-day").json()["data"]
    sign = {"BUY": -1, "SELL": 1}
    gain = sum(sign[t["transaction_type"]] * t["quantity"] * t["average_price"] for t in trades)
    second, third = funds(rest)

    assert gain < 0  # sold at the bid, bought at the ask
    assert third["margin_used"]["loss"]["realised"] == pytest.approx(-gain)  # type: ignore[index]
    assert second["available_margin"] == third["total"] == pytest.approx(1_000_000 + gain)


def test_the_parts_add_up_whatever_was_done(
    rest: httpx.Client, exchange: SimulatedExchange
) -> None:
    filled(rest, exchange, key=CALL, transaction_type="SELL")
    filled(rest, exchange, key=PUT)
    filled(rest, exchange, key=INFY, quantity=7, product="D")
    exchange.faults.set("rest_order")
    working = place(rest, PUT, order_type="LIMIT", price=150.0, transaction_type="SELL")
    assert reaches(rest, working, "open")
    second, third = funds(rest)
    used = dict(third["margin_used"])  # type: ignore[call-overload]
    parts = used["span_exposure"] + used["cash_margin_var_elm"] + used["premium_present"]

    assert used["total"] == pytest.approx(parts + used["loss"]["total"], abs=0.02)
    assert third["total"] == pytest.approx(1_000_000 - used["total"], abs=0.02)
    assert second["used_margin"] == used["total"]


def test_each_user_has_his_own_money(rest: httpx.Client, exchange: SimulatedExchange) -> None:
    exchange.tokens.add("other", user="2BC3DE")
    filled(rest, exchange)
    with httpx.Client(base_url=exchange.base_url, headers=bearer("other")) as other:
        second, _ = funds(other)

    assert second["available_margin"] == 1_000_000.0


# --- the kill switch


def throw(rest: httpx.Client, *wishes: tuple[str, str]) -> httpx.Response:
    body = [{"segment": segment, "action": action} for segment, action in wishes]
    return rest.post("/v2/user/kill-switch", json=body)


def killed(rest: httpx.Client) -> set[str]:
    rows = rest.get("/v2/user/kill-switch").json()["data"]
    assert all(set(r) == {"segment", "segment_status", "kill_switch_enabled"} for r in rows)
    return {row["segment"] for row in rows if row["kill_switch_enabled"]}


def test_a_closed_segment_takes_no_orders_and_cancels_its_own(
    rest: httpx.Client, exchange: SimulatedExchange
) -> None:
    exchange.faults.set("rest_order")
    option, share = place(rest), place(rest, INFY, 1)
    assert reaches(rest, option, "open")
    assert reaches(rest, share, "open")
    answer = throw(rest, ("NSE_FO", "DISABLE"))
    late = place(rest)

    assert answer.status_code == 200
    assert killed(rest) == {"NSE_FO"}
    assert reaches(rest, option, "cancelled")
    assert reaches(rest, late, "rejected")
    assert status(rest, share) == "open"


def test_a_segment_with_a_position_is_not_closed_and_nothing_else_is(
    rest: httpx.Client, exchange: SimulatedExchange
) -> None:
    filled(rest, exchange)
    answer = throw(rest, ("NSE_EQ", "DISABLE"), ("NSE_FO", "DISABLE"))

    assert answer.status_code == 400
    assert "NSE_FO" in answer.json()["errors"][0]["message"]
    assert killed(rest) == set()


def test_a_closed_segment_opens_after_twelve_hours(
    rest: httpx.Client, exchange: SimulatedExchange, clock: ManualExchangeClock
) -> None:
    throw(rest, ("NSE_FO", "DISABLE")).raise_for_status()
    clock.advance(11.9 * 3600)
    throw(rest, ("NSE_FO", "DISABLE")).raise_for_status()  # does not begin anew
    early = throw(rest, ("NSE_FO", "ENABLE"))
    clock.set(clock.now() + timedelta(hours=0.2))
    in_time = throw(rest, ("NSE_FO", "ENABLE"))

    assert early.status_code == 400
    assert in_time.status_code == 200
    assert killed(rest) == set()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"[]", b"[1]", b'[{"segment":"NSE_FO"}]', b'[{"action":"DISABLE"}]',
        b'[{"segment":"NSE_INDEX","action":"DISABLE"}]', b'[{"segment":["NSE_FO"],"action":"x"}]',
        b'[{"segment":"NSE_FO","action":"disable"}]',
        b'[{"segment":"NSE_FO","action":"DISABLE"},{"segment":"NSE_FO","action":"ENABLE"}]',
    ],
)  # fmt: skip
def test_a_wrong_switch_is_refused_and_switches_nothing(rest: httpx.Client, body: bytes) -> None:
    assert rest.post("/v2/user/kill-switch", content=body).status_code == 400
    assert killed(rest) == set()


# --- the whole way of an order


def test_an_order_is_told_on_the_stream_as_in_its_history(
    rest: httpx.Client, exchange: SimulatedExchange
) -> None:
    stream = Stream(exchange, "order,position")
    order_id = place(rest, order_type="LIMIT", price=142.7)
    assert reaches(rest, order_id, "complete")
    told = []
    while not told or told[-1]["update_type"] != "position":
        told.append(stream.update())
    stream.shut()
    history = rest.get("/v2/order/history", params={"order_id": order_id}).json()["data"]

    assert [u["status"] for u in told if u["update_type"] == "order"] == [
        row["status"] for row in history
    ]
    assert told[0]["status"] == "put order req received"
    assert {u["user_id"] for u in told if u["update_type"] == "order"} == {USER}
    assert told[-1]["quantity"] == 75
    assert not {"last_price", "pnl"} & set(told[-1])


def test_a_snapshot_tells_what_there_is(rest: httpx.Client, exchange: SimulatedExchange) -> None:
    filled(rest, exchange)
    exchange.faults.set("update_snapshot")
    stream = Stream(exchange, "order,position")
    first, second = stream.update(), stream.update()
    stream.shut()

    assert (first["update_type"], first["status"]) == ("order", "complete")
    assert (second["update_type"], second["quantity"]) == ("position", 75)


def test_updates_overtake_the_answer_of_a_placing(
    rest: httpx.Client, exchange: SimulatedExchange
) -> None:
    stream = Stream(exchange)
    exchange.faults.set("place_delay", seconds=0.4)
    began = time.monotonic()
    order_id = place(rest, order_type="LIMIT", price=142.7)
    answered = time.monotonic() - began
    stream.shut()
    sent = [item for item in exchange.ledger.updates if order_id.encode() in item.message]

    assert answered >= 0.4
    assert b'"status":"complete"' in sent[-1].message
    assert sent[-1].at - began < 0.35


def test_the_answer_overtakes_late_updates(rest: httpx.Client, exchange: SimulatedExchange) -> None:
    stream = Stream(exchange)
    exchange.faults.set("late_updates", seconds=0.3)
    began = time.monotonic()
    place(rest, order_type="LIMIT", price=142.7)
    answered = time.monotonic() - began
    stream.update()
    told = time.monotonic() - began
    stream.shut()

    assert answered < 0.3 <= told
