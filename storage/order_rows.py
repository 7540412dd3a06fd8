"""The account's dataclasses as rows and back: pure; the order of values is that of the tables.

What is unknown is NaN here and NULL there; SQLite turns the one into the other by itself. Words of
the broker are made plain: a rejection must not be lost for half a character in its message.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from storage.alert_tables import METADATA
from storage.characters import plain
from storage.moments import from_ms, to_ms
from trading.model import UNKNOWN
from trading.order import (
    BrokerOrder,
    BrokerPosition,
    Fill,
    Order,
    OrderRequest,
    OrderStatus,
    OrderType,
    Product,
    Side,
    Step,
    Validity,
)

Values = tuple[Any, ...]


def insert_into(table: str) -> str:
    """Return the statement that takes one row's values by position, without a number of its own."""
    names = _columns_of(table)
    listed = ", ".join(f'"{name}"' for name in names)
    return f"INSERT INTO {table} ({listed}) VALUES ({', '.join('?' * len(names))})"


def take_over(table: str, *, but: Iterable[str]) -> str:
    """Return the SET clause of an upsert that takes every new value but these."""
    names = [name for name in _columns_of(table) if name not in but]
    return ", ".join(f'"{name}" = excluded."{name}"' for name in names)


def _columns_of(table: str) -> list[str]:
    columns = METADATA.tables[table].c
    alone = len(METADATA.tables[table].primary_key) == 1
    given = "number" if alone else ""  # SQLite gives it
    return [column.name for column in columns if column.name != given]


# Requests and orders


def request_values(request: OrderRequest) -> Values:
    return (
        request.account,
        request.instrument_key,
        request.side.value,
        request.quantity,
        request.product.value,
        request.order_type.value,
        request.nonce,
        request.price,
        request.trigger,
        request.validity.value,
        request.source,
        request.reduces,
        request.batch_id,
        request.leg,
    )


def request_of(row: Row[Any]) -> OrderRequest:
    return OrderRequest(
        account=row.account,
        instrument_key=row.instrument_key,
        side=Side(row.side),
        quantity=row.quantity,
        product=Product(row.product),
        order_type=OrderType(row.order_type),
        nonce=row.nonce,
        price=measure(row.price),
        trigger=measure(row.trigger),
        validity=Validity(row.validity),
        source=row.source,
        reduces=bool(row.reduces),
        batch_id=row.batch_id,
        leg=row.leg,
    )


def order_values(order: Order, *, world: str, press: str) -> Values:
    return (
        *request_values(order.request),
        order.id,
        world,
        press,
        order.status.value,
        to_ms(order.created),
        to_ms(order.updated),
        order.external,
        order.filled,
        order.average_price,
        plain(order.message),
        order.is_mock,
    )


def order_of(row: Row[Any], children: Iterable[BrokerOrder], steps: Iterable[Step]) -> Order:
    return Order(
        id=row.id,
        request=request_of(row),
        status=OrderStatus(row.status),
        created=from_ms(row.created),
        updated=from_ms(row.updated),
        is_mock=bool(row.is_mock),
        external=bool(row.external),
        filled=row.filled,
        average_price=measure(row.average_price),
        message=row.message,
        children=tuple(children),
        steps=tuple(steps),
    )


def step_values(step: Step, *, intent: int, position: int, is_mock: bool) -> Values:
    return (
        intent,
        position,
        step.status.value,
        plain(step.raw_status),
        step.filled,
        to_ms(step.at),
        plain(step.seen_by),
        plain(step.message),
        is_mock,
    )


def step_of(row: Row[Any]) -> Step:
    return Step(
        status=OrderStatus(row.status),
        raw_status=row.raw_status,
        filled=row.filled,
        at=from_ms(row.at),
        seen_by=row.seen_by,
        message=row.message,
    )


# What the broker tells


def broker_order_values(order: BrokerOrder, *, world: str, is_mock: bool) -> Values:
    return (
        world,
        order.account,
        order.order_id,
        plain(order.tag),
        order.instrument_key,
        order.side.value,
        order.quantity,
        order.product.value,
        order.order_type.value,
        order.price,
        order.trigger,
        order.validity.value,
        order.status.value,
        plain(order.raw_status),
        order.filled,
        order.average_price,
        plain(order.message),
        order.parent_id,
        order.exchange_order_id,
        ms(order.placed),
        ms(order.exchange_time),
        order.is_amo,
        is_mock,
    )


def broker_order_of(row: Row[Any]) -> BrokerOrder:
    return BrokerOrder(
        account=row.account,
        order_id=row.order_id,
        tag=row.tag,
        instrument_key=row.instrument_key,
        side=Side(row.side),
        quantity=row.quantity,
        product=Product(row.product),
        order_type=OrderType(row.order_type),
        price=measure(row.price),
        trigger=measure(row.trigger),
        validity=Validity(row.validity),
        status=OrderStatus(row.status),
        raw_status=row.raw_status,
        filled=row.filled,
        average_price=measure(row.average_price),
        message=row.message,
        parent_id=row.parent_id,
        exchange_order_id=row.exchange_order_id,
        placed=moment(row.placed),
        exchange_time=moment(row.exchange_time),
        is_amo=bool(row.is_amo),
    )


def fill_values(fill: Fill, *, world: str) -> Values:
    return (
        world,
        fill.account,
        fill.order_id,
        fill.trade_id,
        fill.instrument_key,
        fill.product.value,
        fill.side.value,
        fill.quantity,
        fill.price,
        to_ms(fill.at),
        fill.is_mock,
    )


def fill_of(row: Row[Any]) -> Fill:
    return Fill(
        account=row.account,
        order_id=row.order_id,
        trade_id=row.trade_id,
        instrument_key=row.instrument_key,
        product=Product(row.product),
        side=Side(row.side),
        quantity=row.quantity,
        price=measure(row.price),
        at=from_ms(row.at),
        is_mock=bool(row.is_mock),
    )


def position_values(position: BrokerPosition, *, world: str, at: int, is_mock: bool) -> Values:
    """`at` is its place among the others."""
    return (
        world,
        position.account,
        at,
        position.instrument_key,
        position.product.value,
        position.quantity,
        position.multiplier,
        position.day_buy_quantity,
        position.day_buy_value,
        position.day_sell_quantity,
        position.day_sell_value,
        position.overnight_quantity,
        position.overnight_buy_quantity,
        position.overnight_buy_amount,
        position.overnight_sell_quantity,
        position.overnight_sell_amount,
        position.last_price,
        position.close_price,
        is_mock,
    )


def position_of(row: Row[Any]) -> BrokerPosition:
    return BrokerPosition(
        account=row.account,
        instrument_key=row.instrument_key,
        product=Product(row.product),
        quantity=row.quantity,
        multiplier=measure(row.multiplier),
        day_buy_quantity=row.day_buy_quantity,
        day_buy_value=measure(row.day_buy_value),
        day_sell_quantity=row.day_sell_quantity,
        day_sell_value=measure(row.day_sell_value),
        overnight_quantity=row.overnight_quantity,
        overnight_buy_quantity=row.overnight_buy_quantity,
        overnight_buy_amount=measure(row.overnight_buy_amount),
        overnight_sell_quantity=row.overnight_sell_quantity,
        overnight_sell_amount=measure(row.overnight_sell_amount),
        last_price=measure(row.last_price),
        close_price=measure(row.close_price),
    )


def measure(stored: float | None) -> float:
    return UNKNOWN if stored is None else stored


def ms(at: datetime | None) -> int | None:
    return None if at is None else to_ms(at)


def moment(stored: int | None) -> datetime | None:
    return None if stored is None else from_ms(stored)
