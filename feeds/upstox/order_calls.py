"""Orders on their way out: what is asked of the broker, and what its answer proves. No I/O.

Only a refusal in the broker's own words proves that nothing was done. An answer that is missing,
broken or of another kind proves nothing, and is Unanswered: the order may exist.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from feeds.upstox import answers
from feeds.upstox.answers import Answer, Complaint
from trading.broker import Line, Placed
from trading.errors import (
    BadRequest,
    NotPermitted,
    RateLimited,
    TokenRefused,
    Unanswered,
    VigilError,
)
from trading.order import BrokerOrder, OrderChange, OrderType, Side

T_co = TypeVar("T_co", covariant=True)

PROTECTION: Final = -1  # the broker's automatic band around the price of a market order
GENERIC: Final = "UDAPI100500"  # "something went wrong": says nothing of what became of the order
CLOSED: Final = {
    "UDAPI100072": "until 05:30 IST",
    "UDAPI100074": "until 05:30 IST",
    "UDAPI1113": "until the market opens",
}
ADDRESS: Final = re.compile(r"\b(static )?ip\b|\bip[- ]address", re.IGNORECASE)
ADDRESS_CODES: Final = frozenset({"UDAPI1179"})


@dataclass(frozen=True, slots=True)
class Write(Generic[T_co]):
    """One request that changes something at the broker; it is sent once, whatever happens."""

    what: str  # names it in errors
    method: str
    path: str
    read: Callable[[dict[str, Any]], T_co]  # of the whole envelope; Unreadable means no answer
    body: Any = None
    params: Mapping[str, str] | None = None
    several: bool = False  # orders in one call, which has limits and a host of its own


class Unreadable(Exception):
    """A success that lacks what a success has to say."""


def place(line: Line) -> Write[tuple[str, ...]]:
    """Ask for one order. Raises BadRequest for a price that is no number."""
    return Write("place", "POST", "/v3/order/place", _order_ids, _body(line))


def place_many(lines: Sequence[Line]) -> Write[list[Placed]]:
    """Ask for all orders in one call, buys first. Raises BadRequest as `place` does."""
    ids = {_correlation(n): line.tag for n, line in enumerate(lines, start=1)}
    body = [
        {**_body(line), "correlation_id": _correlation(n)} for n, line in enumerate(lines, start=1)
    ]
    body.sort(key=lambda row: row["transaction_type"] != Side.BUY)
    return Write(
        "place several",
        "POST",
        "/v2/order/multi/place",
        lambda envelope: _placed(envelope, ids),
        body,
        several=True,
    )


def modify(order: BrokerOrder, change: OrderChange) -> Write[None]:
    """Ask to change an order; what the change leaves open is sent as it is. Raises BadRequest."""
    order_type = change.order_type or order.order_type
    price = order.price if change.price is None else change.price
    trigger = order.trigger if change.trigger is None else change.trigger
    body = {
        "order_id": order.order_id,
        "order_type": order_type.value,
        "validity": (change.validity or order.validity).value,
        **_prices(order_type, price, trigger),
    }
    if change.quantity is not None:
        body["quantity"] = change.quantity
    return Write("modify", "PUT", "/v3/order/modify", _accepted, body)


def cancel(order_id: str) -> Write[None]:
    return Write("cancel", "DELETE", "/v3/order/cancel", _accepted, params={"order_id": order_id})


def outcome(write: Write[T_co], answer: Answer) -> T_co:
    """Return what the answer says was done.

    Raises TokenRefused, NotPermitted, RateLimited or BadRequest if it proves that nothing was,
    else Unanswered.
    """
    envelope = answers.parsed(answer.body) if "json" in answer.content_type else None
    if not isinstance(envelope, dict):
        envelope = {}
    if not 200 <= answer.status < 300:
        raise _refusal(write.what, answer, answers.complaints(envelope))
    try:
        return write.read(envelope)
    except Unreadable as lack:
        kind = answer.content_type.partition(";")[0] or "nothing"
        told = f"{kind} instead of JSON" if not envelope else str(lack)
        raise Unanswered(
            f"{write.what}: the broker's answer (status {answer.status}) is no confirmation: {told}"
        ) from lack


def _refusal(what: str, answer: Answer, complaints: Sequence[Complaint]) -> VigilError:
    first = complaints[0] if complaints else Complaint("", "")
    status = answer.status
    if first.code in CLOSED or status == 423:
        until = CLOSED.get(first.code, "until 05:30 IST")
        return BadRequest(f"{what}: closed by broker {until}", code=first.code)
    if first.code in answers.TOKEN_CODES or status == 401:
        return TokenRefused(f"{what}: the broker refused the token ({first.code or 'status 401'})")
    if status == 403:
        return _not_permitted(what, first)
    if status == 429:
        text = f"{what}: the broker wants fewer orders (429)"
        return RateLimited(text, retry_after=answers.retry_after(answer))
    if 400 <= status < 500 and complaints and not _vague(complaints):
        return _objection(what, complaints)
    words = " ".join(filter(None, (f"status {status}", first.words)))
    return Unanswered(f"{what}: the broker's answer does not say whether it was done ({words})")


def _not_permitted(what: str, complaint: Complaint) -> NotPermitted:
    where = ""
    if complaint.code in ADDRESS_CODES or ADDRESS.search(complaint.message):
        where = " from this address"
    words = " ".join(filter(None, ("status 403", complaint.words)))
    return NotPermitted(
        f"{what}: orders are not permitted{where}, though the token may be good ({words});"
        " prices and reads go on"
    )


def _objection(what: str, complaints: Sequence[Complaint]) -> BadRequest:
    told = (" ".join(filter(None, (c.correlation_id, c.words))) for c in complaints)
    return BadRequest(f"{what}: {'; '.join(dict.fromkeys(told))}", code=complaints[0].code)


def _vague(complaints: Sequence[Complaint]) -> bool:
    """Tell complaints that leave open what became of an order."""
    return any(not complaint.code or complaint.code == GENERIC for complaint in complaints)


def _body(line: Line) -> dict[str, Any]:
    request = line.request
    return {
        "instrument_token": request.instrument_key,
        "quantity": request.quantity,
        "product": request.product.value,
        "validity": request.validity.value,
        "order_type": request.order_type.value,
        "transaction_type": request.side.value,
        **_prices(request.order_type, request.price, request.trigger),
        "disclosed_quantity": 0,
        "is_amo": False,  # required, and ignored: the session decides
        "slice": True,
        "tag": line.tag,
    }


def _prices(order_type: OrderType, price: float, trigger: float) -> dict[str, Any]:
    """Say 0 for what this type of order has not: the broker refuses a price too many."""
    if not (math.isfinite(price) and math.isfinite(trigger)):
        raise BadRequest("the price is not a number")
    prices: dict[str, Any] = {
        "price": price if order_type.has_price else 0,
        "trigger_price": trigger if order_type.has_trigger else 0,
    }
    if not order_type.has_price:
        prices["market_protection"] = PROTECTION
    return prices


def _correlation(number: int) -> str:
    return f"line-{number}"


def _order_ids(envelope: dict[str, Any]) -> tuple[str, ...]:
    data = _success(envelope)
    ids = data.get("order_ids") if isinstance(data, dict) else None
    if not isinstance(ids, list) or not ids or not all(isinstance(i, str) and i for i in ids):
        raise Unreadable("no order numbers")
    return tuple(ids)


def _accepted(envelope: dict[str, Any]) -> None:
    data = _success(envelope)
    if not isinstance(data, dict) or not data.get("order_id"):
        raise Unreadable("no order number")


def _success(envelope: dict[str, Any]) -> Any:
    if envelope.get("status") not in ("success", "partial_success"):
        raise Unreadable("no success")
    return envelope.get("data")


def _placed(envelope: dict[str, Any], ids: Mapping[str, str]) -> list[Placed]:
    """Give each line its order numbers, its complaint, both of a sliced one, or neither."""
    data = envelope.get("data")
    rows = [row for row in data if isinstance(row, dict)] if isinstance(data, list) else []
    complaints = answers.complaints(envelope)
    if not rows and not complaints:
        raise Unreadable("no order numbers")
    found: dict[str, list[str]] = {}
    for row in rows:
        order_id, line = row.get("order_id"), _line_of(row.get("correlation_id"), ids)
        if isinstance(order_id, str) and order_id and line:
            found.setdefault(line, []).append(order_id)
    wrong: dict[str, list[Complaint]] = {}
    for complaint in complaints:
        wrong.setdefault(_line_of(complaint.correlation_id, ids), []).append(complaint)
    return [
        Placed(tag, tuple(found.get(line, ())), _error(line in found, wrong.get(line, [])))
        for line, tag in ids.items()
    ]


def _line_of(correlation_id: Any, ids: Mapping[str, str]) -> str:
    """Return which line is meant; slices add `_1`, `_2` and so on. Empty if it is none of ours."""
    name = str(correlation_id)
    return next((known for known in (name, name.rpartition("_")[0]) if known in ids), "")


def _error(placed: bool, complaints: Sequence[Complaint]) -> VigilError | None:
    if _vague(complaints):
        return Unanswered(f"place: {complaints[0].words}: it may be there or not")
    if complaints:
        return _objection("place", complaints)
    return None if placed else Unanswered("place: the broker's answer leaves this order out")
