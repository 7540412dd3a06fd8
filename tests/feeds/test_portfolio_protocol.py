"""The broker's rows and messages, as documented and as they come, without any I/O."""

import json
import logging
import math
import random
from dataclasses import replace
from datetime import UTC, datetime
from itertools import permutations

import pytest

from feeds.upstox.portfolio_protocol import STATUSES, Unreadable, joined, latest
from tests.feeds.portfolio import Row, holding_row, order_row, position_row, rows, trade_row
from tests.simulator.tiny import CALL
from trading.order import (
    BrokerHolding,
    BrokerOrder,
    BrokerPosition,
    OrderStatus,
    OrderType,
    Product,
    Side,
    Validity,
)


def test_a_message_of_an_order_is_read_whole() -> None:
    order = rows().message(json.dumps(order_row()).encode())

    assert isinstance(order, BrokerOrder)
    assert math.isnan(order.average_price)
    assert replace(order, average_price=0.0) == BrokerOrder(
        "main", "251126000012345", "vigil-1", CALL, Side.BUY, 75, Product.INTRADAY,
        OrderType.LIMIT, 142.5, 0.0, Validity.DAY, OrderStatus.WORKING, "put order req received",
        0, 0.0, placed=datetime(2025, 11, 26, 4, 0, 2, tzinfo=UTC),
    )  # fmt: skip


def test_all_seventeen_statuses_have_a_meaning() -> None:
    r = rows()
    final = {word: r.order(order_row(status=word)).status for word in STATUSES}

    assert len(STATUSES) == 17
    assert {word for word, status in final.items() if status.final} == {
        "complete", "rejected", "cancelled", "cancelled after market order",
    }  # fmt: skip
    assert final["complete"] is OrderStatus.FILLED
    assert final["cancelled after market order"] is OrderStatus.CANCELLED
    assert r.strange == 0


def test_o09_an_unknown_status_is_working_shown_raw_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    r = rows()
    for _ in range(3):
        order = r.order(order_row(status="Frozen by exchange"))

    assert (order.status, order.raw_status) == (OrderStatus.WORKING, "Frozen by exchange")
    assert r.strange == 3
    assert [x.levelno for x in caplog.records] == [logging.WARNING]
    assert "frozen by exchange" in caplog.text


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"product": "CO"}, "product", Product.INTRADAY),
        ({"product": "OCO"}, "product", Product.INTRADAY),
        ({"product": "MTF"}, "product", Product.MTF),
        ({"product": "D"}, "product", Product.DELIVERY),
        ({"product": "XYZ"}, "product", Product.INTRADAY),
        ({"product": None}, "product", Product.INTRADAY),
        ({"validity": "EOS"}, "validity", Validity.DAY),
        ({"validity": "GTD"}, "validity", Validity.DAY),
        ({"validity": "ioc"}, "validity", Validity.IOC),
        ({"order_type": "STOP"}, "order_type", OrderType.LIMIT),
        ({"order_type": "STOP", "price": 0}, "order_type", OrderType.MARKET),
        ({"order_type": "STOP", "trigger_price": 140}, "order_type", OrderType.SL),
        ({"order_type": "STOP", "trigger_price": 1, "price": None}, "order_type", OrderType.SL_M),
        ({"quantity": 75.0, "filled_quantity": 25.0}, "filled", 25),
        ({"filled_quantity": None}, "filled", 0),
        ({"filled_quantity": None, "status": "complete"}, "filled", 75),
        ({"price": 142}, "price", 142.0),
        ({"price": None}, "price", 0.0),
        ({"average_price": 142.25}, "average_price", 142.25),
        ({"tag": None}, "tag", ""),
        ({"parent_order_id": "NA"}, "parent_id", ""),
        ({"parent_order_id": "2511"}, "parent_id", "2511"),
        ({"exchange_order_id": None}, "exchange_order_id", ""),
        ({"order_id": 251126}, "order_id", "251126"),
        ({"instrument_token": None}, "instrument_key", CALL),
        ({"order_timestamp": "26-Nov-2025 09:30:02"}, "placed",
         datetime(2025, 11, 26, 4, 0, 2, tzinfo=UTC)),
        ({"order_timestamp": "yesterday"}, "placed", None),
        ({"order_timestamp": "0001-01-01 00:00:00"}, "placed", None),
        ({"order_timestamp": 5}, "placed", None),
        ({"is_amo": True}, "is_amo", True),
        ({"is_amo": None}, "is_amo", False),
        ({"status_message": "Add Rs. 5", "status_message_raw": "RMS:Margin"}, "message",
         "Add Rs. 5 (RMS:Margin)"),
        ({"status_message": None, "status_message_raw": "RMS:Margin\nExceeds"}, "message",
         "RMS:Margin Exceeds"),
        ({"surprise": {"deep": []}}, "quantity", 75),
    ],
    ids=str,
)  # fmt: skip
def test_an_order_is_kept_whatever_else_is_odd(changes: Row, field: str, value: object) -> None:
    assert getattr(rows().order(order_row(**changes)), field) == value


@pytest.mark.parametrize(
    "changes",
    [
        {"order_id": None},
        {"order_id": ""},
        {"order_id": "9" * 65},
        {"order_id": {}},
        {"instrument_token": None, "instrument_key": None},
        {"instrument_token": "INFY"},
        {"transaction_type": None},
        {"transaction_type": "HOLD"},
        {"quantity": None},
        {"quantity": -75},
        {"quantity": 7.5},
        {"quantity": "75"},
        {"quantity": True},
        {"quantity": 1e300},
        {"quantity": 10**400},
        {"quantity": math.nan},
        {"quantity": math.inf},
        {"filled_quantity": -1},
        {"filled_quantity": "x"},
        {"status": None},
        {"status": ""},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_an_order_without_what_makes_it_one_is_unreadable(changes: Row) -> None:
    with pytest.raises(Unreadable):
        rows().order(order_row(**changes))


@pytest.mark.parametrize("row", [None, 7, "x", [], [order_row()]], ids=lambda row: str(row)[:20])
def test_what_is_no_object_is_no_row(row: object) -> None:
    r = rows()
    for read in (r.order, r.position, r.holding, r.fill):
        with pytest.raises(Unreadable):
            read(row)


def test_a_position_of_the_stream_has_no_price() -> None:
    position = rows().message(json.dumps(position_row()).encode())

    assert isinstance(position, BrokerPosition)
    assert (position.quantity, position.day_buy_quantity, position.day_buy_value) == (
        75, 75, 10687.5,
    )  # fmt: skip
    assert math.isnan(position.last_price)
    assert position.multiplier == 1.0


def test_a_carried_position_of_rest_keeps_its_cost() -> None:
    position = rows().position(
        position_row(
            quantity=-150.0,
            multiplier=None,
            average_price=None,
            last_price=145.1,
            close_price=131.2,
            day_buy_quantity=0,
            day_buy_value=None,
            overnight_quantity=-150,
            overnight_sell_quantity=150,
            overnight_sell_amount=19680.0,
        )
    )

    assert (position.quantity, position.overnight_quantity) == (-150, -150)
    assert (position.overnight_sell_amount, position.day_buy_value) == (19680.0, 0.0)
    assert (position.last_price, position.close_price, position.multiplier) == (145.1, 131.2, 1.0)


def test_a_value_that_is_missing_for_a_quantity_is_unknown_and_not_nothing() -> None:
    position = rows().position(position_row(day_buy_value=None))

    assert math.isnan(position.day_buy_value)


@pytest.mark.parametrize("changes", [{"quantity": None}, {"instrument_token": None}])
def test_a_position_that_would_look_flat_is_unreadable(changes: Row) -> None:
    with pytest.raises(Unreadable):
        rows().position(position_row(**changes))


def test_positions_of_one_instrument_and_product_are_added_up() -> None:
    r = rows()
    read = [
        r.position(position_row(product="CO", quantity=-25, day_sell_quantity=25)),
        r.position(position_row(product="D")),
        r.position(position_row()),
    ]

    assert [(p.product, p.quantity, p.day_sell_quantity) for p in joined(read)] == [
        (Product.INTRADAY, 50, 25),
        (Product.DELIVERY, 75, 0),
    ]


def test_a_holding_may_have_no_price() -> None:
    r = rows()
    streamed = r.message(json.dumps(holding_row(average_price=None)).encode())
    told = r.holding(holding_row(tradingsymbol="INFY", last_price=1558.2, close_price=1545.9))

    assert isinstance(streamed, BrokerHolding)
    assert math.isnan(streamed.average_price)
    assert streamed.symbol == "INFOSYS LTD"
    assert (told.symbol, told.quantity, told.t1_quantity) == ("INFY", 10, 2)
    assert (told.average_price, told.last_price, told.close_price) == (1490.5, 1558.2, 1545.9)


def test_a_trade_is_a_fill_with_the_exchanges_time() -> None:
    fill = rows().fill(trade_row())

    assert (fill.trade_id, fill.order_id, fill.side) == ("50091502", "251126000012345", Side.SELL)
    assert (fill.quantity, fill.price, fill.is_mock) == (75, 142.5, True)
    assert fill.at == datetime(2025, 11, 26, 4, 0, 3, tzinfo=UTC)
    assert rows().fill(trade_row(exchange_timestamp=None)).at == datetime(
        2025, 11, 26, 4, 0, 2, tzinfo=UTC
    )


@pytest.mark.parametrize(
    "changes", [{"trade_id": None}, {"exchange_timestamp": "", "order_timestamp": None}]
)
def test_a_trade_without_number_or_time_is_unreadable(changes: Row) -> None:
    with pytest.raises(Unreadable):
        rows().fill(trade_row(**changes))


@pytest.mark.parametrize("kind", ["gtt_order", "margin", "ping"])
def test_a_message_of_another_kind_is_counted_and_left(kind: str) -> None:
    r = rows()

    assert r.message(json.dumps({"update_type": kind, "x": 1}).encode()) is None
    assert r.unknown == {f"update_type '{kind}'": 1}


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"null",
        b"[]",
        b"7",
        b"{}",
        b'{"update_type":5}',
        b'{"update_type":"order"}',
        b'{"update_type":"position","quantity":NaN}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"<html>",
        b"\xef\xbb\xbf{}",
    ],
    ids=lambda frame: repr(frame[:30]),
)
def test_garbage_is_unreadable_and_nothing_worse(frame: bytes) -> None:
    with pytest.raises(Unreadable):
        rows().message(frame)


def test_half_a_character_in_somebodys_words_does_not_lose_a_rejection() -> None:
    row = order_row(status="rejected", status_message="RMS: \ud800 short \U0001f4a5", tag="\udc00")

    order = rows().message(json.dumps(row).encode())

    assert isinstance(order, BrokerOrder)
    assert order.status is OrderStatus.REJECTED
    assert (order.message, order.tag) == ("RMS: ? short \U0001f4a5", "?")


def test_mutants_of_messages_are_read_or_unreadable() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    whole = [json.dumps(row()).encode() for row in (order_row, position_row, holding_row)]
    odd = [None, -1, 0, 1.5, 1e308, 10**19, "", "x" * 10_000, [], {}, True, "NaN", "\u202e\x00"]
    r = rows()
    readable = 0
    for _ in range(20_000):
        frame = bytearray(chance.choice(whole))
        if chance.random() < 0.5:
            for _ in range(chance.randrange(1, 4)):
                frame[chance.randrange(len(frame))] = chance.randrange(256)
        else:
            row = json.loads(frame)
            row[chance.choice(list(row))] = chance.choice(odd)
            frame = bytearray(json.dumps(row).encode())
        try:
            readable += r.message(bytes(frame)) is not None
        except Unreadable:
            continue

    assert readable > 1000
    assert len(r.unknown) <= 101


STAGES = (
    ("put order req received", 0, "2025-11-26 09:30:02"),
    ("validation pending", 0, "2025-11-26 09:30:02"),
    ("open pending", 0, "2025-11-26 09:30:02"),
    ("open", 0, "2025-11-26 09:30:02"),
    ("open", 25, "2025-11-26 09:30:03"),
)


@pytest.mark.parametrize("final", ["complete", "cancelled", "rejected"])
def test_the_last_stage_is_found_in_any_order_of_the_rows(final: str) -> None:
    r = rows()
    end = (final, 75 if final == "complete" else 25, "2025-11-26 09:30:04")
    history = [
        r.order(order_row(status=word, filled_quantity=filled, order_timestamp=at))
        for word, filled, at in (*STAGES, end)
    ]

    for shuffled in permutations(history):
        (last,) = latest(shuffled)
        assert last.raw_status == final
    for count in range(1, 6):
        for shuffled in permutations(history[:count]):
            assert latest(shuffled) == [history[count - 1]]


def test_each_order_of_a_tag_has_a_last_stage_of_its_own() -> None:
    r = rows()
    history = [
        r.order(order_row(order_id=number, status=word, filled_quantity=filled))
        for word, filled, _ in STAGES
        for number in ("1", "2")
    ]
    history.append(r.order(order_row(order_id="2", status="complete", filled_quantity=75)))

    assert {(o.order_id, o.filled, o.status) for o in latest(history)} == {
        ("1", 25, OrderStatus.WORKING),
        ("2", 75, OrderStatus.FILLED),
    }


def test_a_change_that_was_refused_leaves_the_order_as_it_stands_last() -> None:
    r = rows()
    history = [
        r.order(order_row(status=word, price=price, order_timestamp=at))
        for word, price, at in (
            ("open", 142.5, "2025-11-26 09:30:02"),
            ("modified", 143.0, "2025-11-26 09:31:00"),
            ("open", 143.0, "2025-11-26 09:31:00"),
            ("cancel pending", 143.0, "2025-11-26 09:32:00"),
            ("not cancelled", 143.0, "2025-11-26 09:32:00"),
        )
    ]

    (last,) = latest(history)
    assert (last.raw_status, last.price, last.status) == (
        "not cancelled", 143.0, OrderStatus.WORKING,
    )  # fmt: skip
