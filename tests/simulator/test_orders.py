"""The life of an order: its statuses in their order, what is refused, and in whose words."""

from datetime import timedelta
from typing import Any

import pytest

from simulator.agenda import Agenda
from simulator.calendar import IST
from simulator.envelope import BrokerError
from simulator.order_forms import read_json, read_modify, read_object, read_order, read_order_id
from simulator.orders import Numbers, Phase
from simulator.tokens import USER
from tests.simulator.floor import LOT, Floor, body, statuses
from tests.simulator.tiny import CALL, INFY, NIFTY, PUT, T0

RECEIVED = ["put order req received", "validation pending", "open pending"]
HOURS = 3_600


@pytest.fixture
def floor() -> Floor:
    return Floor()


def refusal(act: Any, *arguments: Any, **named: Any) -> tuple[int, str, str | None]:
    with pytest.raises(BrokerError) as caught:
        act(*arguments, **named)
    return caught.value.status, caught.value.code, caught.value.path


# --- sequences


def test_a_limit_that_fills_goes_through_the_documented_statuses(floor: Floor) -> None:
    order = floor.place(price=142.7)

    assert statuses(order) == [*RECEIVED, "open", "open", "complete"]
    assert [(s.row["filled_quantity"], s.row["average_price"]) for s in order.history[3:]] == [
        (0, 0.0), (75, 0.0), (75, 142.7),
    ]  # fmt: skip


def test_every_step_is_told_in_order_and_the_position_after_its_fill(floor: Floor) -> None:
    order = floor.place(price=142.7)

    assert [m.get("status", m["update_type"]) for m in floor.told] == [
        *statuses(order), "position",
    ]  # fmt: skip


def test_steps_take_their_time(floor: Floor) -> None:
    order = floor.send(price=142.7)
    at_once = statuses(order)
    floor.settle(0.003)
    after_3_ms = statuses(order)
    floor.settle(0.002)

    assert at_once == ["put order req received"]
    assert after_3_ms[-1] == "validation pending"
    assert statuses(order)[-1] == "open pending"


def test_the_exchange_gives_its_number_when_the_order_opens(floor: Floor) -> None:
    order = floor.place()

    assert [bool(stage.row["exchange_order_id"]) for stage in order.history] == [
        False, False, False, True,
    ]  # fmt: skip
    assert order.history[0].row["exchange_timestamp"] is None
    assert order.history[-1].row["exchange_timestamp"] == "2025-11-26 09:30:00"


def test_a_cancelled_order_keeps_what_it_did_not_fill(floor: Floor) -> None:
    order = floor.place(price=142.7, quantity=300)
    floor.cancel(order)

    assert statuses(order)[-2:] == ["cancel pending", "cancelled"]
    assert (order.filled_quantity, order.pending_quantity) == (225, 75)
    assert floor.account.positions[CALL, "I"].quantity == 225


def test_a_waiting_stop_can_be_cancelled(floor: Floor) -> None:
    order = floor.place(order_type="SL", price=150.0, trigger_price=149.0)
    floor.cancel(order)
    floor.trade(149.5)

    assert statuses(order)[-3:] == ["trigger pending", "cancel pending", "cancelled"]


def test_a_cancellation_sent_before_the_order_opens_waits_for_it(floor: Floor) -> None:
    order = floor.send(price=142.0)
    floor.cancel(order)

    assert statuses(order) == [*RECEIVED, "open", "cancel pending", "cancelled"]


def test_a_fill_overtakes_a_cancellation_on_its_way(floor: Floor) -> None:
    order = floor.place(price=142.6)
    floor.broker.cancel(USER, order.order_id)
    floor.settle(0.0025)
    floor.book(142.0, 142.5)
    floor.settle()

    assert statuses(order)[-3:] == ["cancel pending", "open", "complete"]


def test_a_modification_ends_open_with_the_new_terms(floor: Floor) -> None:
    order = floor.place(price=142.0)
    floor.modify(order, price=142.55, quantity=150)

    assert statuses(order)[4:] == [
        "modify validation pending", "modify pending", "modified", "open",
    ]  # fmt: skip
    assert (order.terms.price, order.quantity, order.pending_quantity) == (142.55, 150, 150)
    assert order.history[-2].row["price"] == 142.55
    assert order.history[-1].row["order_request_id"] == "2"


def test_a_modified_price_can_fill_at_once(floor: Floor) -> None:
    order = floor.place(price=142.0)
    floor.modify(order, order_type="MARKET", price=0)

    assert statuses(order)[-3:] == ["open", "open", "complete"]


def test_a_modification_the_exchange_refuses_leaves_the_order_as_it_was(floor: Floor) -> None:
    order = floor.place(price=142.7, quantity=300)
    floor.modify(order, price=250.0)
    too_dear = statuses(order)[-2:], order.status_message
    floor.modify(order, price=142.0, quantity=225)

    assert too_dear[0] == ["not modified", "open"]
    assert "100.00 - 200.00" in too_dear[1]
    assert statuses(order)[-2:] == ["not modified", "open"]
    assert (order.terms.price, order.quantity) == (142.7, 300)
    floor.book(142.0, 142.65)
    assert order.status == "complete"


def test_a_stop_can_be_moved_and_a_limit_can_become_one(floor: Floor) -> None:
    stop = floor.place(order_type="SL", price=150.0, trigger_price=149.0)
    limit = floor.place(price=142.0)
    floor.modify(stop, trigger_price=148.0)
    floor.modify(limit, order_type="SL", price=150.0, trigger_price=149.0)
    floor.book(151.0, 151.2)
    floor.trade(148.2)

    assert statuses(stop)[-3:] == ["modified", "trigger pending", "open"]
    assert statuses(limit)[-2:] == ["modified", "trigger pending"]


def test_a_triggered_stop_stays_triggered_when_its_price_moves(floor: Floor) -> None:
    stop = floor.place(order_type="SL", price=150.0, trigger_price=149.0)
    floor.book(151.0, 151.2)
    floor.trade(149.0)
    floor.modify(stop, price=151.2)

    assert stop.status == "complete"


# --- refused at once


@pytest.mark.parametrize(
    ("fields", "code", "path"),
    [
        ({"instrument_token": None}, "UDAPI1026", "instrument_token"),
        ({"quantity": 0}, "UDAPI1052", "quantity"),
        ({"quantity": None}, "UDAPI1052", "quantity"),
        ({"quantity": -75}, "UDAPI100036", "quantity"),
        ({"quantity": 7.5}, "UDAPI100036", "quantity"),
        ({"quantity": "75"}, "UDAPI100036", "quantity"),
        ({"quantity": True}, "UDAPI100036", "quantity"),
        ({"quantity": 1e300}, "UDAPI100036", "quantity"),
        ({"product": None}, "UDAPI1006", "product"),
        ({"product": "CNC"}, "UDAPI1054", "product"),
        ({"validity": ""}, "UDAPI1007", "validity"),
        ({"validity": "EOS"}, "UDAPI1055", "validity"),
        ({"order_type": None}, "UDAPI1004", "order_type"),
        ({"order_type": "limit"}, "UDAPI1056", "order_type"),
        ({"transaction_type": "LONG"}, "UDAPI1057", "transaction_type"),
        ({"price": None}, "UDAPI1008", "price"),
        ({"price": 0}, "UDAPI1043", "price"),
        ({"price": -1}, "UDAPI100036", "price"),
        ({"price": "142"}, "UDAPI100036", "price"),
        ({"order_type": "MARKET", "price": 142.0}, "UDAPI1040", "price"),
        ({"order_type": "SL", "price": 142.0}, "UDAPI1041", "trigger_price"),
        ({"order_type": "SL-M", "price": 142.0, "trigger_price": 1.0}, "UDAPI1042",
         "trigger_price"),
        ({"order_type": "SL-M"}, "UDAPI1042", "trigger_price"),
        ({"order_type": "SL", "price": 142.0, "trigger_price": 143.0}, "UDAPI1037",
         "trigger_price"),
        ({"order_type": "SL", "price": 142.0, "trigger_price": 141.0,
          "transaction_type": "SELL"}, "UDAPI1038", "trigger_price"),
        ({"quantity": 750, "disclosed_quantity": 74}, "UDAPI1039", "disclosed_quantity"),
        ({"tag": "x" * 41}, "UDAPI1119", "tag"),
        ({"tag": 7}, "UDAPI100036", "tag"),
        ({"market_protection": 26}, "UDAPI100036", "market_protection"),
        ({"market_protection": -2}, "UDAPI100036", "market_protection"),
        ({"slice": "yes"}, "UDAPI100036", "slice"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_is_refused_with_its_code(
    fields: dict[str, Any], code: str, path: str
) -> None:
    assert refusal(read_order, body(**fields)) == (400, code, path)


@pytest.mark.parametrize("key", ["NSE_EQ|NOTHING", NIFTY])
def test_what_cannot_be_traded_is_an_unknown_instrument(floor: Floor, key: str) -> None:
    form = read_order(body(instrument_token=key))

    assert refusal(floor.broker.place, USER, form) == (400, "UDAPI100011", "instrument_token")
    assert floor.account.orders == {}


@pytest.mark.parametrize("given", [b"", b"{", b"\xff", b"[1]", b"null", b'"x"'])
def test_what_is_no_json_object_is_refused(given: bytes) -> None:
    assert refusal(read_object, given)[:2] == (400, "UDAPI100036")


def test_json_of_any_kind_is_read() -> None:
    assert read_json(b"[]") == []


@pytest.mark.parametrize(
    ("given", "code"),
    [(None, "M"), ("", "M"), ("a b", "UDAPI1010"), ("x" * 65, "UDAPI1010"), (7, "UDAPI1010"),
     ("'; DROP TABLE orders;--", "UDAPI1010")],
)  # fmt: skip
def test_an_order_number_is_checked(given: object, code: str) -> None:
    assert refusal(read_order_id, given, "M") == (400, code, "order_id")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"order_id": None}, "UDAPI1003"),
        ({"order_type": None}, "UDAPI1029"),
        ({"validity": None}, "UDAPI1030"),
        ({"price": None}, "UDAPI1031"),
        ({"trigger_price": None}, "UDAPI1032"),
        ({"quantity": 0}, "UDAPI1052"),
        ({"quantity": 100, "disclosed_quantity": 9}, "UDAPI1039"),
    ],
)
def test_a_modification_that_lacks_something_is_refused(fields: dict[str, Any], code: str) -> None:
    asked = {
        "order_id": "1", "order_type": "LIMIT", "validity": "DAY", "price": 1, "trigger_price": 0,
    }  # fmt: skip

    assert refusal(read_modify, asked | fields)[1] == code


def test_a_final_order_can_be_neither_changed_nor_cancelled(floor: Floor) -> None:
    order = floor.place(price=142.7)

    assert refusal(floor.cancel, order)[1] == "UDAPI100040"
    assert refusal(floor.modify, order, price=142.0)[1] == "UDAPI100041"


def test_orders_of_others_are_not_found(floor: Floor) -> None:
    order = floor.place()

    assert refusal(floor.broker.cancel, "OTHER", order.order_id)[1] == "UDAPI100010"
    assert refusal(floor.broker.find, USER, "251126999999999")[1] == "UDAPI100010"


def test_a_modification_to_prices_that_do_not_fit_is_refused_at_once(floor: Floor) -> None:
    order = floor.place(price=142.0)

    assert refusal(floor.modify, order, order_type="MARKET")[1] == "UDAPI1040"


# --- rejected by a status


@pytest.mark.parametrize(
    ("fields", "says", "raw"),
    [
        ({"quantity": 70}, "multiple of the lot size 75", "RMS:Rule: Quantity 70"),
        ({"price": 142.63}, "multiple of the tick size 0.05", "EXCH:Order price"),
        ({"price": 200.05}, "100.00 - 200.00", "Order Price :200.05, Low Price Range:100.00"),
        ({"price": 99.95}, "100.00 - 200.00", "Check circuit limit"),
        ({"order_type": "SL-M", "trigger_price": 250.0}, "100.00 - 200.00", "Circuit breach"),
        ({"quantity": 1875}, "freeze quantity 1800", "Check freeze quantity"),
    ],
)
def test_rms_and_exchange_reject_in_their_words(
    floor: Floor, fields: dict[str, Any], says: str, raw: str
) -> None:
    order = floor.place(**fields)

    assert statuses(order) == ["put order req received", "validation pending", "rejected"]
    assert says in order.status_message
    assert raw in (order.status_message_raw or "")
    assert f"entity account-{USER} across exchange NFO" in (order.status_message_raw or "")
    assert order.pending_quantity == 0
    assert order.exchange_order_id == ""


def test_an_expired_contract_is_rejected(floor: Floor) -> None:
    floor.clock.advance(8 * 24 * HOURS)

    assert "expired" in floor.place().status_message


def test_more_than_the_money_there_is_is_rejected_and_less_is_not(floor: Floor) -> None:
    floor.account.opening = 10_800 * 100
    bought = floor.place(price=142.7)
    second = floor.place(price=142.7)
    sold = floor.place(transaction_type="SELL", price=142.5)

    assert bought.status == sold.status == "complete"
    assert second.status == "rejected"
    # 10,800 less 10,702.50 paid leave 97.50
    assert second.status_message.startswith("You need to add Rs. 10605.00 in your account")
    assert "RMS:Margin Exceeds,Required:10702.50, Available:97.50" in str(second.status_message_raw)


def test_working_orders_reserve_their_money(floor: Floor) -> None:
    floor.account.opening = 20_000 * 100
    first = floor.place(price=142.0)
    second = floor.place(price=142.0)
    floor.cancel(first)
    third = floor.place(price=142.0)

    assert [o.status for o in (first, second, third)] == ["cancelled", "rejected", "open"]


def test_a_wing_that_is_bought_first_makes_room_for_the_short(floor: Floor) -> None:
    floor.account.opening = 60_000 * 100
    naked = floor.place(instrument_token=PUT, transaction_type="SELL", price=142.5)
    floor.send(instrument_token=PUT, price=142.0)
    covered = floor.send(instrument_token=PUT, transaction_type="SELL", price=150.0)
    floor.settle()

    assert naked.status == "rejected"
    assert covered.status == "open"


def test_a_reserve_is_the_same_after_a_modification(floor: Floor) -> None:
    floor.account.opening = 11_000 * 100
    order = floor.place(price=142.0)
    floor.modify(order, price=142.4)

    assert order.status == "open"
    assert order.terms.price == 142.4


def test_shares_that_are_not_held_cannot_be_sold_for_delivery(floor: Floor) -> None:
    share = {"instrument_token": INFY, "product": "D", "quantity": 10, "price": 142.5}
    short = floor.place(**share, transaction_type="SELL")
    floor.place(**share | {"price": 142.7})
    sold = floor.place(**share, transaction_type="SELL")

    assert "Check holdings" in str(short.status_message_raw)
    assert sold.status == "complete"


def test_a_segment_that_is_switched_off_takes_no_order(floor: Floor) -> None:
    floor.account.disabled["NSE_FO"] = T0

    assert "kill switch" in floor.place().status_message
    assert floor.place(instrument_token=INFY, quantity=1).status == "open"


# --- slices


def test_an_order_above_the_freeze_quantity_is_sliced(floor: Floor) -> None:
    floor.account.opening = 10**10
    orders = floor.broker.place(USER, read_order(body(quantity=18_150, slice=True)))
    floor.settle()

    assert [order.quantity for order in orders] == [1800] * 10 + [150]
    assert len({order.order_id for order in orders}) == 11
    assert {order.status for order in orders} == {"open"}


def test_a_small_order_is_not_sliced(floor: Floor) -> None:
    assert len(floor.broker.place(USER, read_order(body(quantity=1800, slice=True)))) == 1


def test_more_than_25_slices_are_refused(floor: Floor) -> None:
    most = read_order(body(quantity=45_000, slice=True))
    more = read_order(body(quantity=45_075, slice=True))

    assert len(floor.broker.parts(most)) == 25
    assert refusal(floor.broker.place, USER, more)[:2] == (400, "UDAPI1118")


# --- hours


def test_out_of_hours_an_order_waits_for_the_next_session() -> None:
    floor = Floor(always_open=False)
    floor.clock.advance(7 * HOURS)  # 16:30
    waiting, unwanted = floor.place(), floor.place()
    floor.modify(waiting, price=142.7)
    floor.cancel(unwanted)
    before = statuses(waiting), floor.broker.busy
    floor.clock.advance(16.8 * HOURS)  # 09:18 of the next day
    floor.broker.look_around()
    floor.settle()

    assert before == (
        ["after market order req received", "modify after market order req received"], False,
    )  # fmt: skip
    assert statuses(unwanted)[-1] == "cancelled after market order"
    assert statuses(waiting)[2:] == ["validation pending", "open pending", "open", "open",
                                     "complete"]  # fmt: skip
    assert waiting.history[-1].row["is_amo"] is True
    assert list(floor.account.orders) == [waiting.order_id]


def test_what_is_open_at_the_close_is_cancelled() -> None:
    floor = Floor(always_open=False)
    order = floor.place()
    stop = floor.place(order_type="SL", price=150.0, trigger_price=149.0)
    floor.broker.look_around()
    before = order.status
    floor.clock.advance(6.1 * HOURS)  # 15:36
    floor.broker.look_around()

    assert before == "open"
    assert [order.status, stop.status] == ["cancelled", "cancelled"]
    assert "closed" in order.status_message


@pytest.mark.parametrize(("hour", "closed"), [(0, True), (5, True), (6, False), (23, False)])
def test_nothing_is_placed_between_midnight_and_half_past_five(hour: int, closed: bool) -> None:
    floor = Floor(always_open=False)
    day = floor.clock.now().astimezone(IST)
    floor.clock.set(day.replace(hour=hour, minute=29) + timedelta(days=1))

    if closed:
        assert refusal(floor.broker.check_service)[:2] == (423, "UDAPI100074")
    else:
        floor.broker.check_service()


def test_a_new_day_begins_with_an_empty_book() -> None:
    floor = Floor(always_open=False)
    floor.place(price=142.7, product="D")
    floor.clock.advance(16 * HOURS)  # 01:30
    floor.broker.look_around()

    assert floor.account.orders == {}
    assert floor.account.trades == []
    assert floor.account.positions[CALL, "D"].overnight_quantity == LOT


# --- small parts


def test_numbers_are_never_given_twice() -> None:
    numbers = Numbers()
    given = [numbers.order_id(T0) for _ in range(100)]

    assert given[0] == "251126000012345"
    assert len(set(given)) == 100
    assert len({numbers.trade_id() for _ in range(100)}) == 100
    assert len({numbers.exchange_order_id() for _ in range(100)}) == 100


def test_an_agenda_keeps_the_order_of_equal_moments() -> None:
    now, done = [0.0], list[str]()
    agenda = Agenda(lambda: now[0])
    agenda.at(2.0, lambda: done.append("late"))
    agenda.at(1.0, lambda: done.append("first"))
    agenda.at(1.0, lambda: (done.append("second"), agenda.at(1.0, lambda: done.append("third"))))
    agenda.run()
    early = list(done)
    now[0] = 1.5
    agenda.run()

    assert early == []
    assert done == ["first", "second", "third"]
    assert agenda.next_at == 2.0


def test_an_order_knows_where_it_is(floor: Floor) -> None:
    order = floor.send()
    phases = [order.phase]
    floor.settle()
    phases.append(order.phase)
    floor.cancel(order)

    assert [*phases, order.phase] == [Phase.ENTERING, Phase.WORKING, Phase.DONE]
    assert not floor.broker.busy
