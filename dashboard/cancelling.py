"""A cancel from the page: asked for, waited for a moment, and told in words."""

import asyncio
from typing import Final

from dashboard import order_words as words
from trading.desk import Desk
from trading.errors import VigilError
from trading.order import Order
from trading.order_book import OrderMoved

CONFIRMED: Final = 2.5  # seconds that the broker's word of it is waited for


async def cancel(desk: Desk, order_id: str) -> str:
    """Cancel what is open of an order; return what came of it, for the trader."""
    try:
        order = await desk.orders.cancel(order_id)
    except VigilError as error:
        return f"Not cancelled: {error}. The order stands as shown."
    order = await _settled(desk, order)
    instrument = desk.catalogue.get(order.request.instrument_key)
    if not order.status.final:
        asked = words.sentence(order.request, instrument)
        return f"Cancel asked, not confirmed by the broker yet: {asked}. Its row says when it is."
    outcome = words.outcome(order, instrument)
    return f"{outcome.happened} {outcome.money}"


async def _settled(desk: Desk, order: Order) -> Order:
    """Return the order once it is final, or as it is when the patience has ended."""
    changed = asyncio.Event()

    def moved(told: OrderMoved) -> None:
        if told.after.id == order.id and told.after.status.final:
            changed.set()

    forget = desk.orders.changes.subscribe(moved)
    try:
        known = desk.orders.get(order.id) or order
        if not known.status.final:
            async with asyncio.timeout(CONFIRMED):
                await changed.wait()
    except TimeoutError:
        pass
    finally:
        forget()
    return desk.orders.get(order.id) or order
