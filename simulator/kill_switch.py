"""The kill switch: a user closes a segment to his own orders, for twelve hours at least.

A request is done whole or not at all. Closing needs every position of the segment to be closed,
and cancels its open orders. Which codes the broker refuses with is not documented.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from simulator.baskets import SEGMENT_NAMES
from simulator.broker import Broker
from simulator.envelope import BrokerError, Json
from simulator.portfolio import Account

LOCKED: Final = 12 * 3_600_000  # ms that a segment stays closed at least
ACTIONS: Final = ("ENABLE", "DISABLE")  # of the segment, not of the switch


class Wish(NamedTuple):
    segment: str
    action: str


def segment_rows(account: Account) -> Sequence[Json]:
    """Return the answer's rows; the segment stays active, it is the switch that is on."""
    return [
        {
            "segment": segment,
            "segment_status": "ACTIVE",
            "kill_switch_enabled": segment in account.disabled,
        }
        for segment in sorted(SEGMENT_NAMES)
    ]


def read_wishes(given: object) -> list[Wish]:
    """Read a request; raise BrokerError 400 for what is no list of segments and actions."""
    if not isinstance(given, list) or not given:
        raise BrokerError(400, message="Invalid Input: the body is not a list of segments")
    wishes = [_read(row) for row in given]
    if len({wish.segment for wish in wishes}) < len(wishes):
        raise BrokerError(400, message="A segment is named twice", path="segment")
    return wishes


def _read(row: object) -> Wish:
    if not isinstance(row, dict):
        raise BrokerError(400, message="Invalid Input: a line is not a JSON object")
    for name, allowed in (("segment", sorted(SEGMENT_NAMES)), ("action", ACTIONS)):
        if row.get(name) not in allowed:
            message = f"'{name}' must be one of {', '.join(allowed)}"
            raise BrokerError(400, message=message, path=name)
    return Wish(row["segment"], row["action"])


def throw(broker: Broker, user: str, wishes: Sequence[Wish], now_ms: int) -> None:
    """Open and close segments; raise BrokerError 400, with nothing done, if one may not be."""
    account = broker.account(user)
    for wish in wishes:
        _check(account, wish, now_ms)
    for segment, action in wishes:
        if action == "ENABLE":
            account.disabled.pop(segment, None)
            broker.remember(account)
        elif segment not in account.disabled:
            account.disabled[segment] = now_ms
            broker.remember(account)
            _cancel_all(broker, user, segment)


def _check(account: Account, wish: Wish, now_ms: int) -> None:
    segment, since = wish.segment, account.disabled.get(wish.segment)
    if wish.action == "ENABLE" and since is not None and now_ms < since + LOCKED:
        raise BrokerError(
            400,
            message=f"{segment} cannot be enabled within 12 hours of being disabled",
            path="segment",
            value=segment,
        )
    positions = (p for p in account.positions.values() if p.instrument.segment == segment)
    if wish.action == "DISABLE" and any(position.quantity for position in positions):
        raise BrokerError(
            400,
            message=f"Close all positions in {segment} before you disable it",
            path="segment",
            value=segment,
        )


def _cancel_all(broker: Broker, user: str, segment: str) -> None:
    for order in broker.live(user):
        if order.instrument.segment == segment:
            broker.cancel(user, order.order_id)
