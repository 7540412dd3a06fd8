"""What was committed of orders and nobody was told of: read as long as it is there."""

import json
import sqlite3
from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection

from storage.order_journal import load_orders
from trading.health_ports import OrderNews

# In a world, as its orders are: the disk keeps the news of another until its desk runs again.
_NEWS: Final = (
    "SELECT news.number, news.intent, news.position FROM order_news AS news "
    "JOIN orders ON orders.number = news.intent WHERE orders.world = ? "
    "ORDER BY news.number LIMIT ?"
)
_ORDERS: Final = "SELECT value FROM json_each(:intents)"
_FORGET: Final = "DELETE FROM order_news WHERE number = ?"


def oldest(connection: Connection, world: str, *, most: int) -> list[OrderNews]:
    rows = connection.exec_driver_sql(_NEWS, (world, most)).all()
    intents = sorted({row.intent for row in rows})
    orders = load_orders(connection, _ORDERS, {"intents": json.dumps(intents)})
    order_of = dict(zip(intents, orders, strict=True))  # both are by number
    found = []
    for row in rows:
        order = order_of[row.intent]
        before = order.steps[row.position - 1] if row.position else None
        found.append(OrderNews(row.number, order, order.steps[row.position], before))
    return found


def forget(driver: sqlite3.Connection, numbers: Iterable[int]) -> None:
    driver.executemany(_FORGET, [(number,) for number in numbers])
