"""/pos /pnl /orders /trades: what is held, what it brought, what still works."""

from datetime import date
from typing import Final

from alerts import words
from alerts.bot import figures, held
from alerts.bot.answer import Answer
from alerts.bot.asked import Asked, Command
from alerts.bot.markup import text
from trading.charges import charges
from trading.desk import Desk
from trading.health import Button
from trading.hours import IST
from trading.order import Fill, Order, OrderStatus
from trading.positions import Position

MOST: Final = 20  # positions or orders in one answer
FILLS: Final = 10


async def positions(asked: Asked) -> Answer:
    desk = asked.desk
    found = held.find(desk, asked.words)
    everything = held.open_positions(desk)
    if asked.words and not found:
        return Answer("POSITIONS", (text(f"No open position is “{asked.rest}”: look at /pos."),))
    numbers = {held.reference(p): n for n, p in enumerate(everything, 1)}
    lines = [line for p in found[:MOST] for line in _position(desk, p, numbers[held.reference(p)])]
    if len(found) > MOST:
        lines.append(f"and {len(found) - MOST} more: they are on the page")
    lines += [figures.total(desk.positions.total()), *figures.reservations(desk)]
    return Answer(f"POSITIONS  {_number(desk)}", (text(*lines),), (_below(asked, found),))


def _number(desk: Desk) -> str:
    number = len(held.open_positions(desk))
    if figures.unread(desk):
        return f"{number} known, perhaps more"
    return f"{number} open" + (" by our own count" if figures.differs(desk) else "")


def _position(desk: Desk, position: Position, number: int) -> list[str]:
    key = position.instrument_key
    instrument, value = figures.instrument(desk, key), desk.positions.value(position)
    size = words.held(position.quantity, instrument)
    at = words.price(position.average)
    lines = [
        f"{number}. {words.name(instrument, key)}",
        f"   {size} at {at}, {held.product(position)}",
        f"   {figures.price_line(desk, key)}",
        f"   {figures.gained(value.total, value.reason)}",
    ]
    return lines + ([f"   IN DOUBT: {position.in_doubt}"] if position.in_doubt else [])


def _below(asked: Asked, found: list[Position]) -> tuple[Button, ...]:
    keys = [Button("Refresh", f".pos {asked.rest}".rstrip()), Button("P&L", "pnl")]
    if asked.person.role == "owner" and len(found) == 1:
        keys.append(Button("Exit…", f"exit {held.reference(found[0])}"))
    return tuple(keys)


async def pnl(asked: Asked) -> Answer:
    desk = asked.desk
    if asked.words and asked.words[0].lower() != "today":
        return Answer("P&L", (text("Only the P&L of today can be shown here: /pnl"),))
    value = desk.positions.total()
    lines = [
        figures.total(value),
        f"Realised {figures.gained(value.realised, value.reason)}",
        f"Open {figures.gained(value.unrealised, value.reason)}",
        _charged(desk),
    ]
    return Answer(
        "P&L  today",
        (text(*lines),),
        (((Button("Refresh", "pnl"), Button("Positions", "pos"))),),
        picture=lambda: asked.pictures.pnl(desk),
    )


def _charged(desk: Desk) -> str:
    fills = desk.positions.fills()
    if not fills:
        return _no_fill(desk)
    found = [_charges_of(desk, fill) for fill in fills]
    known = [paise for paise in found if paise is not None]
    if len(known) < len(found):
        return f"Charges {words.DASH} not all fills have a price and an instrument yet"
    return f"Charges about {words.rupees(sum(known))} for {words.count(len(fills), 'fill')}"


def _no_fill(desk: Desk) -> str:
    unread = figures.unread(desk)
    return f"Fills {words.DASH} {unread}" if unread else "Nothing was filled today."


def _charges_of(desk: Desk, fill: Fill) -> int | None:
    instrument, value = figures.instrument(desk, fill.instrument_key), fill.value
    if instrument is None or value is None:
        return None
    day: date = fill.at.astimezone(IST).date()
    return charges(instrument, fill.product, fill.side, value, day).total


async def orders(asked: Asked) -> Answer:
    desk = asked.desk
    working = sorted(desk.orders.working(), key=lambda order: order.created)
    lines = [_order(desk, order, n) for n, order in enumerate(working[:MOST], 1)]
    keys = [
        Button(f"Cancel {n}", f"cancel {order.id}")
        for n, order in enumerate(working[:MOST], 1)
        if order.children
    ]
    if asked.person.role != "owner":
        keys = []
    rows = [tuple(keys[n : n + 3]) for n in range(0, len(keys), 3)]
    rows.append((Button("Refresh", ".orders"),))
    unread = figures.unread(desk)
    if not lines and not unread:
        lines = ["Nothing works."]
    number = f"{len(working)} known, perhaps more" if unread else f"{len(working)} working"
    blocks = (text(*lines, *figures.reservations(desk)),)
    return Answer(f"ORDERS  {number}", blocks, tuple(rows))


def _order(desk: Desk, order: Order, number: int) -> str:
    doubt = " IN DOUBT" if order.status is OrderStatus.IN_DOUBT else ""
    part = f", {order.filled} of {order.request.quantity} filled" if order.filled else ""
    at = words.clock(order.created)
    return f"{number}. {at} {described(desk, order)}{part}{doubt}"


def described(desk: Desk, order: Order) -> str:
    """Return what an order asks for: `SELL 2 lots NIFTY 28 NOV 24000 CE, limit 142.00`."""
    asked = order.request
    instrument = figures.instrument(desk, asked.instrument_key)
    kind = "at the market"
    if asked.order_type.has_price:
        kind = f"limit {words.price(asked.price)}"
    if asked.order_type.has_trigger:
        kind += f", trigger {words.price(asked.trigger)}"
    size = words.lots(asked.quantity, instrument)
    return f"{asked.side} {size} {words.name(instrument, asked.instrument_key)}, {kind}"


async def trades(asked: Asked) -> Answer:
    desk = asked.desk
    wanted = asked.words[0] if asked.words else ""
    most = min(50, int(wanted)) if wanted.isascii() and wanted.isdigit() and len(wanted) < 4 else 0
    fills = desk.positions.fills()
    shown = fills[-(most or FILLS) :]
    lines = [_fill(desk, fill) for fill in reversed(shown)] or [_no_fill(desk)]
    return Answer(f"TRADES  {len(shown)} of {len(fills)} today", (text(*lines),))


def _fill(desk: Desk, fill: Fill) -> str:
    instrument = figures.instrument(desk, fill.instrument_key)
    size = words.lots(fill.quantity, instrument)
    name = words.name(instrument, fill.instrument_key)
    at = words.price(fill.price)
    return f"{words.clock(fill.at)} {fill.side} {size} {name} at {at} · {fill.order_id}"


COMMANDS: Final = (
    Command("pos", "what is open, with prices and their ages", positions, "[n]", watcher=True),
    Command("pnl", "realised, open, charges, and the curve", pnl, watcher=True),
    Command("orders", "what still works", orders, watcher=True),
    Command("trades", "the fills of today", trades, "[n]", watcher=True),
)
