"""Many orders in one request: placed by lines, cancelled by segment or tag, positions left."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from simulator.broker import MOST_SLICES, Broker
from simulator.calendar import SEGMENTS
from simulator.envelope import BrokerError, Json
from simulator.order_forms import Body, OrderForm, read_order
from simulator.orders import Order, Row, Terms
from simulator.portfolio import Position

MOST: Final = 50  # orders to cancel, or positions to leave, in one request
LONGEST_CORRELATION: Final = 20
SEGMENT_NAMES: Final = frozenset(name for name in SEGMENTS if not name.endswith("_INDEX"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request for many: its HTTP status and its body."""

    status: int
    body: dict[str, Json]


def place_many(broker: Broker, user: str, given: object) -> Outcome:
    """Place each line of a payload without a mistake, buys first; nothing of any other."""
    if not isinstance(given, list) or not given:
        raise BrokerError(400, "UDAPI1114", "At least one order is required")
    forms, mistakes = _read_lines(broker, given)
    if mistakes:
        summary = _summary(len(given), payload_error=len(mistakes), errors=0)
        body: dict[str, Json] = {"status": "error", "data": None, "errors": mistakes}
        return Outcome(400, body | {"summary": summary})
    placed: list[Json] = []
    refused: list[Json] = []
    for form, line in sorted(forms, key=lambda pair: pair[0].transaction_type != "BUY"):
        try:
            orders = broker.place(user, form, line=line)
        except BrokerError as trouble:
            refused.append(_error(trouble, correlation_id=form.correlation_id))
        else:
            placed += _correlated(form, orders)
    summary = _summary(len(forms), payload_error=0, errors=len(refused))
    return _outcome(placed, refused, summary)


def _read_lines(
    broker: Broker, given: Sequence[object]
) -> tuple[list[tuple[OrderForm, int]], list[Json]]:
    """Return the lines with their places, and the mistakes of those that have one."""
    forms: list[tuple[OrderForm, int]] = []
    mistakes: list[Json] = []
    seen: set[str] = set()
    parts = 0
    for nth, body in enumerate(given, 1):
        correlation = body.get("correlation_id") if isinstance(body, dict) else None
        try:
            form = _read_line(body, seen)
            parts += len(broker.parts(form))
            forms.append((form, nth))
        except BrokerError as trouble:
            mistakes.append(_error(trouble, correlation_id=_text(correlation)))
    if parts > MOST_SLICES:
        message = f"{parts} orders after slicing; at most {MOST_SLICES} are allowed"
        raise BrokerError(400, "UDAPI1118", message)
    return forms, mistakes


def _read_line(body: object, seen: set[str]) -> OrderForm:
    if not isinstance(body, dict):
        raise BrokerError(400, message="Invalid Input: a line is not a JSON object")
    correlation = _correlation(body)
    if correlation in seen:
        message = "The 'correlation_id' is used twice"
        raise BrokerError(400, "UDAPI1117", message, path="correlation_id", value=correlation)
    seen.add(correlation)
    return replace(read_order(body), correlation_id=correlation)


def _correlation(body: Body) -> str:
    given = body.get("correlation_id")
    if not isinstance(given, str) or not given:
        message = "The 'correlation_id' is required"
        raise BrokerError(400, "UDAPI1115", message, path="correlation_id")
    if len(given) > LONGEST_CORRELATION:
        message = "The 'correlation_id' is longer than 20 characters"
        raise BrokerError(400, "UDAPI1116", message, path="correlation_id", value=given)
    return given


def _correlated(form: OrderForm, orders: list[Order]) -> list[Json]:
    """Return a line's answers; those of slices are numbered."""
    many = len(orders) > 1
    return [
        {
            "correlation_id": f"{form.correlation_id}_{nth}" if many else form.correlation_id,
            "order_id": order.order_id,
        }
        for nth, order in enumerate(orders, 1)
    ]


def cancel_many(broker: Broker, user: str, *, segment: str | None, tag: str | None) -> Outcome:
    """Cancel all that works, of a segment or with a tag if one is given."""
    _check_segment(segment)
    orders = [
        order
        for order in broker.live(user)
        if segment in (None, order.instrument.segment) and tag in (None, order.tag)
    ]
    if not orders:
        raise BrokerError(400, "UDAPI1109", "There is no open order to cancel")
    if len(orders) > MOST:
        raise BrokerError(400, "UDAPI1110", f"There are more than {MOST} open orders")
    done: list[Json] = []
    refused: list[Json] = []
    for order in orders:
        try:
            broker.cancel(user, order.order_id)
            done.append(order.order_id)
        except BrokerError as trouble:
            refused.append(_error(trouble, instrument_key=order.key, order_id=order.order_id))
    return _ids_outcome(done, refused)


def exit_all(broker: Broker, user: str, *, segment: str | None, tag: str | None) -> Outcome:
    """Leave positions by market orders against them, buys first; shares for delivery stay."""
    _check_segment(segment)
    leaving = [
        (position, quantity)
        for position in broker.account(user).positions.values()
        if segment in (None, position.instrument.segment) and not _stays(position)
        if (quantity := _to_leave(broker, user, position, tag))
    ]
    if not leaving:
        raise BrokerError(400, "UDAPI1111", "There is no open position to exit")
    if len(leaving) > MOST:
        raise BrokerError(400, "UDAPI1112", f"There are more than {MOST} open positions")
    if not all(broker.is_open(position.instrument) for position, _ in leaving):
        raise BrokerError(400, "UDAPI1113", "Positions can be exited in market hours only")
    done: list[Json] = []
    refused: list[Json] = []
    for position, quantity in sorted(leaving, key=lambda pair: pair[1] > 0):
        try:
            done += [o.order_id for o in broker.place(user, _exit_form(position, quantity, tag))]
        except BrokerError as trouble:
            refused.append(_error(trouble, instrument_key=position.key, order_id=None))
    return _ids_outcome(done, refused)


def _stays(position: Position) -> bool:
    return position.product == "D" and position.instrument.instrument_type == "EQ"


def _to_leave(broker: Broker, user: str, position: Position, tag: str | None) -> int:
    """Return the signed quantity to close: all, or as much as the orders of a tag have made."""
    if tag is None:
        return position.quantity
    if position.product != "I":
        return 0
    mine = (
        o.filled_quantity if o.buying else -o.filled_quantity
        for o in broker.account(user).orders.values()
        if o.tag == tag and o.key == position.key and o.product == position.product
    )
    made = sum(mine)
    if made > 0:
        return min(made, max(0, position.quantity))
    return max(made, min(0, position.quantity))


def _exit_form(position: Position, quantity: int, tag: str | None) -> OrderForm:
    terms = Terms("MARKET", "DAY", abs(quantity), 0.0, 0.0, market_protection=0.0)
    side = "SELL" if quantity > 0 else "BUY"
    return OrderForm(position.key, side, position.product, terms, tag=tag, slice=True)


def _check_segment(segment: str | None) -> None:
    if segment is not None and segment not in SEGMENT_NAMES:
        raise BrokerError(
            400, "UDAPI1108", "The 'segment' is invalid", path="segment", value=segment
        )


def _ids_outcome(done: list[Json], refused: list[Json]) -> Outcome:
    total = len(done) + len(refused)
    summary: Row = {"total": total, "success": len(done), "error": len(refused)}
    return _outcome({"order_ids": done}, refused, summary, none=not done)


def _outcome(data: Json, refused: list[Json], summary: Row, *, none: bool | None = None) -> Outcome:
    nothing = not data if none is None else none
    if not refused:
        status, word = 200, "success"
    else:
        status, word = (400, "error") if nothing else (207, "partial_success")
    return Outcome(
        status, {"status": word, "data": data, "errors": refused or None, "summary": summary}
    )


def _summary(total: int, *, payload_error: int, errors: int) -> Row:
    success = 0 if payload_error else total - errors
    return {"total": total, "payload_error": payload_error, "success": success, "error": errors}


def _error(trouble: BrokerError, **more: Json) -> Row:
    return more | {
        "error_code": trouble.code,
        "message": trouble.message,
        "property_path": trouble.path,
        "invalid_value": trouble.value,
    }


def _text(given: object) -> str | None:
    return given if isinstance(given, str) else None
