"""Each fault of the order side does what its name says, and stops doing it when cleared."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from simulator.envelope import BrokerError
from simulator.faults import UnknownFault
from simulator.server import SimulatedExchange
from simulator.tokens import USER
from tests.simulator.floor import Floor, body, fills, statuses
from tests.simulator.test_broker_routes import (
    CANCEL,
    MODIFY,
    MULTI,
    PLACE,
    POSITIONS,
    code,
    data,
    line,
    orders,
    place,
    reaches,
)
from tests.simulator.test_broker_routes import exchange as exchange  # without limits
from tests.simulator.test_broker_routes import rest as rest
from tests.simulator.tiny import CALL, PUT, bearer, wait_until

OPENING = ["put order req received", "validation pending", "open pending"]


@pytest.fixture
def floor() -> Floor:
    return Floor()


@pytest.fixture
def impatient(exchange: SimulatedExchange) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=exchange.base_url, headers=bearer(), timeout=0.3) as client:
        yield client


# --- the answer is lost, or late


@pytest.mark.parametrize(("how", "placed"), [("before", 0), ("after", 1)])
def test_an_answer_to_place_is_lost_before_or_after_the_effect(
    exchange: SimulatedExchange, rest: httpx.Client, how: str, placed: int
) -> None:
    exchange.faults.set("place_lost", how=how, next=1)
    with pytest.raises(httpx.RemoteProtocolError):
        rest.post(PLACE, json=body(tag="lost"))
    (request,) = exchange.book()["requests"]

    assert (request["status"], request["lost"]) == (0, how)
    assert len(data(rest.get("/v2/order/history", params={"tag": "lost"}))) >= placed
    assert len(orders(rest)) == placed
    place(rest)  # the next one is answered


@pytest.mark.parametrize(("how", "placed"), [("before", 0), ("after", 1)])
def test_an_answer_can_be_left_hanging(
    exchange: SimulatedExchange, rest: httpx.Client, impatient: httpx.Client, how: str, placed: int
) -> None:
    exchange.faults.set("place_lost", how=how, answer="hang")
    with pytest.raises(httpx.ReadTimeout):
        impatient.post(PLACE, json=body())
    exchange.faults.clear()

    assert len(orders(rest)) == placed
    place(impatient)


def test_a_hanging_answer_does_not_keep_the_exchange_from_stopping(
    exchange: SimulatedExchange, impatient: httpx.Client
) -> None:
    exchange.faults.set("place_lost", answer="hang")
    with pytest.raises(httpx.ReadTimeout):
        impatient.post(PLACE, json=body())
    began = time.monotonic()
    exchange.stop()

    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize(("how", "placed"), [("before", 0), ("after", 1)])
def test_a_gateway_can_answer_in_place_of_the_broker(
    exchange: SimulatedExchange, rest: httpx.Client, how: str, placed: int
) -> None:
    exchange.faults.set("place_lost", how=how, answer="gateway")
    answer = rest.post(PLACE, json=body())

    assert answer.status_code == 502
    assert answer.headers["content-type"].startswith("text/html")
    assert len(orders(rest)) == placed


def test_a_basket_is_lost_whole(exchange: SimulatedExchange, rest: httpx.Client) -> None:
    exchange.faults.set("place_lost", next=1)
    with pytest.raises(httpx.RemoteProtocolError):
        rest.post(MULTI, json=[line("a"), line("b")])

    assert len(orders(rest)) == 2


@pytest.mark.parametrize(("how", "ends"), [("before", "open"), ("after", "cancelled")])
def test_an_answer_to_cancel_is_lost(
    exchange: SimulatedExchange, rest: httpx.Client, how: str, ends: str
) -> None:
    order_id = place(rest)
    exchange.faults.set("cancel_lost", how=how, next=1)
    with pytest.raises(httpx.RemoteProtocolError):
        rest.delete(CANCEL, params={"order_id": order_id})

    assert reaches(rest, order_id, ends)


@pytest.mark.parametrize(("how", "price"), [("before", 142.6), ("after", 142.0)])
def test_an_answer_to_modify_is_lost(
    exchange: SimulatedExchange, rest: httpx.Client, how: str, price: float
) -> None:
    order_id = place(rest)
    assert reaches(rest, order_id, "open")
    exchange.faults.set("modify_lost", how=how, next=1)
    with pytest.raises(httpx.RemoteProtocolError):
        rest.put(MODIFY, json={"order_id": order_id, "order_type": "LIMIT", "validity": "DAY",
                               "price": 142.0, "trigger_price": 0})  # fmt: skip
    time.sleep(0.05)

    assert orders(rest)[0]["price"] == price


@pytest.mark.parametrize("name", ["place_delay", "cancel_delay", "modify_delay"])
def test_a_late_answer_comes_after_its_effect(
    exchange: SimulatedExchange, rest: httpx.Client, name: str
) -> None:
    order_id = place(rest)
    assert reaches(rest, order_id, "open")
    told: list[tuple[float, Any]] = []
    exchange.do(lambda b: b.listen(lambda _, m: told.append((time.monotonic(), m))))
    exchange.faults.set(name, seconds=0.15)
    change = {"order_id": order_id, "order_type": "LIMIT", "validity": "DAY", "price": 142.0,
              "trigger_price": 0}  # fmt: skip
    match name:
        case "place_delay":
            rest.post(PLACE, json=body(price=142.7))
        case "cancel_delay":
            rest.delete(CANCEL, params={"order_id": order_id})
        case _:
            rest.put(MODIFY, json=change)
    answered = time.monotonic()
    last = {"place_delay": "position", "cancel_delay": "cancelled", "modify_delay": "open"}[name]

    assert told[-1][1].get("status", told[-1][1]["update_type"]) == last
    assert answered - told[-1][0] > 0.1


def test_order_writes_are_refused_for_their_address(
    exchange: SimulatedExchange, rest: httpx.Client
) -> None:
    exchange.faults.set("static_ip")
    refused = [rest.post(PLACE, json=body()), rest.delete(CANCEL, params={"order_id": "1"}),
               rest.put(MODIFY, json={}), rest.post(MULTI, json=[])]  # fmt: skip
    reads = rest.get(POSITIONS)

    assert {code(answer) for answer in refused} == {(403, "UDAPI1179")}
    assert "IP address" in refused[0].json()["errors"][0]["message"]
    assert reads.status_code == 200
    exchange.faults.clear()
    place(rest)


# --- rejections


def test_an_order_is_rejected_some_time_after_it_was_accepted(floor: Floor) -> None:
    floor.faults.set("reject_order", after=2.0, next=1)
    order = floor.place()
    before = statuses(order)
    floor.settle(2.0)

    assert before == OPENING[:2]
    assert statuses(order) == [*OPENING[:2], "rejected"]
    assert order.status_message_raw == "RMS:Margin Exceeds,Required:1000.00, Available:0.00"
    assert floor.place().status == "open"


@pytest.mark.parametrize("narrowed", [{"instrument_key": PUT}, {"side": "SELL"}, {"line": 3}])
def test_a_rejection_can_be_meant_for_one_leg(
    exchange: SimulatedExchange, rest: httpx.Client, narrowed: dict[str, Any]
) -> None:
    exchange.faults.set("reject_order", **narrowed)
    legs = [line("a"), line("b"), line("c", instrument_token=PUT, transaction_type="SELL")]
    assert rest.post(MULTI, json=legs).status_code == 200

    assert wait_until(lambda: sorted(row["status"] for row in orders(rest)) == [
        "open", "open", "rejected",
    ])  # fmt: skip
    assert next(r for r in orders(rest) if r["status"] == "rejected")["instrument_token"] == PUT


def test_rejections_of_different_legs_stand_side_by_side(floor: Floor) -> None:
    floor.faults.set("reject_order", line=1)
    floor.faults.set("reject_order", line=2)
    floor.faults.set("reject_order", line=2, after=1.0)

    assert [(f["line"], f.get("after")) for f in floor.faults.show()] == [(1, None), (2, 1.0)]


def test_a_single_order_is_line_1(floor: Floor) -> None:
    floor.faults.set("reject_order", line=1)

    assert floor.place().status == "rejected"


def test_an_order_can_be_refused_by_the_answer(
    exchange: SimulatedExchange, rest: httpx.Client
) -> None:
    exchange.faults.set("reject_order", how="answer", status=403, code="UDAPI100058", next=1)

    assert code(rest.post(PLACE, json=body())) == (403, "UDAPI100058")
    assert orders(rest) == []
    place(rest)


# --- fills


def test_an_order_rests_until_the_fault_is_cleared(floor: Floor) -> None:
    floor.faults.set("rest_order")
    order = floor.place(order_type="MARKET")
    floor.trade(130.0)
    floor.book(130.0, 130.1)
    resting = order.status, order.filled_quantity
    floor.faults.clear("rest_order")
    floor.broker.faults_changed()

    assert resting == ("open", 0)
    assert fills(order) == [(130.1, 75)]


def test_a_cleared_fault_lets_orders_go_without_a_change_of_the_market(
    exchange: SimulatedExchange, rest: httpx.Client
) -> None:
    exchange.faults.set("rest_order", next=1)
    order_id = place(rest, order_type="MARKET")
    assert reaches(rest, order_id, "open")
    exchange.faults.clear("stall")
    time.sleep(0.05)
    still = orders(rest)[0]["status"]
    exchange.faults.clear("rest_order")

    assert still == "open"
    assert reaches(rest, order_id, "complete")


def test_an_order_fills_in_part_and_rests(floor: Floor) -> None:
    floor.faults.set("partial_fill", units=25)
    order = floor.place(order_type="MARKET")
    floor.book(142.0, 142.1)
    part = fills(order)
    floor.cancel(order)

    assert part == [(142.7, 25)]
    assert (order.status, order.filled_quantity, order.pending_quantity) == ("cancelled", 25, 50)
    assert floor.account.positions[CALL, "I"].quantity == 25


def test_a_part_that_is_let_go_fills_the_rest(floor: Floor) -> None:
    floor.faults.set("partial_fill", units=25, side="BUY")
    order, other = floor.place(price=142.7), floor.place(price=142.5, transaction_type="SELL")
    floor.faults.clear()
    floor.broker.faults_changed()

    assert other.status == order.status == "complete"
    assert fills(order) == [(142.7, 25), (142.7, 50)]


# --- cancellations, statuses


def test_a_cancellation_finds_the_order_filled(floor: Floor) -> None:
    order = floor.place()
    floor.faults.set("cancel_loses", next=1)
    with pytest.raises(BrokerError, match="UDAPI100040"):
        floor.broker.cancel(USER, order.order_id)

    assert order.status == "complete"
    assert fills(order) == [(142.6, 75)]


def test_a_cancellation_is_overtaken_on_its_way(floor: Floor) -> None:
    order = floor.place()
    floor.faults.set("cancel_loses", how="late")
    floor.cancel(order)

    assert statuses(order)[4:] == ["cancel pending", "not cancelled", "open", "complete"]


def test_the_exchange_refuses_a_cancellation(floor: Floor) -> None:
    order = floor.place()
    floor.faults.set("cancel_loses", how="refused", next=1)
    floor.cancel(order)
    refused = statuses(order)[4:]
    floor.cancel(order)

    assert refused == ["cancel pending", "not cancelled", "open"]
    assert order.status == "cancelled"


def test_a_status_that_nobody_knows_stands_for_a_while(floor: Floor) -> None:
    floor.faults.set("unknown_status", text="held at gateway", seconds=2.0)
    order = floor.place(price=142.7)
    for_now = statuses(order)
    floor.settle(2.0)

    assert for_now == [*OPENING, "held at gateway"]
    assert order.status == "complete"


# --- broken reads are faults of paths


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        ({"status": 500, "body": "{}"}, 500, "{}"),
        ({"status": 200, "body": "<html>", "content_type": "text/html"}, 200, "<html>"),
        ({"status": 200, "body": '{"status":"success","data":null}'}, 200,
         '{"status":"success","data":null}'),
        ({"status": 200, "body": '{"status":"success","data":[]}'}, 200,
         '{"status":"success","data":[]}'),
    ],
)  # fmt: skip
def test_positions_are_answered_wrongly(
    exchange: SimulatedExchange, rest: httpx.Client, fault: dict[str, Any], status: int, text: str
) -> None:
    assert reaches(rest, place(rest, order_type="MARKET"), "complete")
    exchange.faults.set("rest", path=POSITIONS, **fault)
    answer = rest.get(POSITIONS)
    exchange.faults.clear()

    assert (answer.status_code, answer.text) == (status, text)
    assert len(data(rest.get(POSITIONS))) == 1


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("reject_order", {"side": "LONG"}, "side: Input should be"),
        ("reject_order", {"line": 0}, "line: Input should be greater"),
        ("partial_fill", {}, "units: Field required"),
        ("place_lost", {"how": "during"}, "how: Input should be 'before' or 'after'"),
        ("place_delay", {"seconds": 0}, "seconds: Input should be greater"),
    ],
)
def test_a_wrong_parameter_is_refused_in_words(
    floor: Floor, name: str, parameters: dict[str, Any], says: str
) -> None:
    with pytest.raises(UnknownFault, match=says):
        floor.faults.set(name, **parameters)
