"""What an exit does: which order closes a position, and what stands in its way. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from trading.order import Order, OrderRequest, OrderStatus, OrderType, Side
from trading.positions import Key, Position


@dataclass(frozen=True, slots=True)
class ExitLine:
    """One position and the order that closes it, as things stand.

    `quantity` is what remains to be sent, 0 if nothing does. `resting` are orders of ours that
    would close it later: they are cancelled first, so that it is not closed twice. `on_its_way` is
    what market orders are closing already. `doubtful` is an order in doubt on the same side.
    `adding` are working orders on the other side: filled later, they open the position again.
    """

    key: Key
    side: Side
    held: int
    quantity: int
    resting: tuple[Order, ...] = ()
    on_its_way: int = 0
    doubtful: Order | None = None
    position_doubt: str = ""
    adding: tuple[Order, ...] = ()


def plan(position: Position, working: Iterable[Order]) -> ExitLine:
    """Return what closes this position now, given the orders that are not final."""
    side = Side.SELL if position.quantity > 0 else Side.BUY
    mine = [o for o in working if _key_of(o) == _key(position)]
    closing = [o for o in mine if o.request.side is side]
    doubtful = next((o for o in closing if o.status is OrderStatus.IN_DOUBT), None)
    sure = [o for o in closing if o.status is not OrderStatus.IN_DOUBT]
    going = sum(o.pending for o in sure if not _rests(o))
    held = abs(position.quantity)
    return ExitLine(
        _key(position),
        side,
        held,
        max(0, held - going),
        tuple(o for o in sure if _rests(o)),
        going,
        doubtful,
        position.in_doubt,
        tuple(o for o in mine if o.request.side is not side),
    )


def in_order(lines: Iterable[ExitLine]) -> list[ExitLine]:
    """Return the lines as they are sent: shorts are bought back before their hedges are sold."""
    return sorted(lines, key=lambda line: line.side is not Side.BUY)


def request(line: ExitLine, nonce: str, source: str) -> OrderRequest:
    account, instrument_key, product = line.key
    return OrderRequest(
        account=account,
        instrument_key=instrument_key,
        side=line.side,
        quantity=line.quantity,
        product=product,
        order_type=OrderType.MARKET,
        nonce=nonce,
        source=source,
        reduces=True,
    )


def remaining(line: ExitLine, position: Position | None, working: Iterable[Order]) -> int:
    """Return how much of a line is still to be sent: never more than it said, nor than is held.

    What rested may have been filled while it was cancelled, and the position may have turned.
    """
    if position is None or not position.quantity:
        return 0
    now = plan(position, working)
    return min(line.quantity, now.quantity) if now.side is line.side else 0


def in_new_doubt(line: ExitLine, working: Iterable[Order]) -> bool:
    """Return whether an order that would close it too came in doubt after the line was made."""
    known = line.doubtful and line.doubtful.id
    return any(
        order.status is OrderStatus.IN_DOUBT
        and order.request.side is line.side
        and _key_of(order) == line.key
        and order.id != known
        for order in working
    )


def _key(position: Position) -> Key:
    return (position.account, position.instrument_key, position.product)


def _key_of(order: Order) -> Key:
    asked = order.request
    return (asked.account, asked.instrument_key, asked.product)


def _rests(order: Order) -> bool:
    """Return whether it waits at a price or a trigger, so that it can be cancelled."""
    return order.request.order_type is not OrderType.MARKET and bool(order.children)
