"""An order that nobody has answered for: it may exist."""

from collections.abc import Iterator

from alerts.sight import Sight, Waiting
from alerts.words import duration
from trading.health import Component, Finding, Severity
from trading.order import OrderStatus


def check(sight: Sight) -> Iterator[Finding]:
    for waiting in sight.waiting:
        if waiting.order.status is OrderStatus.IN_DOUBT:
            yield _finding(sight, waiting, "order in doubt:", Severity.CRITICAL)
        elif waiting.seconds > sight.limits.order_unanswered:
            yield _finding(sight, waiting, "order not answered:", Severity.WARNING)


def _finding(sight: Sight, waiting: Waiting, head: str, severity: Severity) -> Finding:
    order, request = waiting.order, waiting.order.request
    name = sight.name(request.instrument_key)
    return Finding(
        rule="order_unanswered",
        component=Component.BOOKS,
        severity=severity,
        what=f"{head} {request.side} {request.quantity} {name}",
        meaning=f"It may be working or filled; no answer for {duration(waiting.seconds)}",
        act="Do not send it again: the broker's book is searched for it by its tag",
        about=order.id,
        at_once=True,
        instruments=(request.instrument_key,),
        lasted=waiting.seconds,
    )
