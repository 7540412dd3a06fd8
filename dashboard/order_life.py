"""The life of an order on one line: its states with the time between them, raw rows on request."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import orjson
from nicegui import ui

from dashboard import format as fmt
from dashboard import order_words as words
from trading.hours import IST
from trading.order import Order, OrderStatus, Step

TOLD_BY: Final = {
    "us": "the desk",
    "answer": "the answer to the call",
    "stream": "the broker's stream",
    "read": "a read of the broker's book",
    "paper": "the paper engine",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """One state of the line; `after` is the time since the one before it."""

    word: str
    after: timedelta
    at: datetime
    title: str
    final: bool


def stages(order: Order) -> list[Stage]:
    """Return the intent and everything that was told of it, oldest first."""
    begun = words.whence(order) or "intent on disk"
    found = [Stage(begun, timedelta(), order.created, order.request.source, False)]
    for step in order.steps:
        title = f"{_capital_told(step)} at {precise(step.at)}"
        if step.message:
            title += f": {step.message}"
        after = step.at - found[-1].at
        found.append(Stage(_word(order, step), after, step.at, title, step.status.final))
    return found


def precise(at: datetime) -> str:
    """Return the time of day in IST with its milliseconds."""
    local = at.astimezone(IST)
    return f"{local:%H:%M:%S}.{local.microsecond // 1000:03d}"


def gap(span: timedelta) -> str:
    return f"+{words.elapsed(span)}"


def raw(order: Order) -> str:
    """Return everything known of the order as it was told, for those who want to see it."""
    kept = {
        "id": order.id,
        "request": order.request,
        "children": order.children,
        "steps": order.steps,
    }
    return orjson.dumps(kept, option=orjson.OPT_INDENT_2).decode()


def draw(order: Order) -> None:
    """Draw the line into the element that is open now."""
    with ui.element("div").classes("v-life-line").props('role="list"'):
        for stage in stages(order):
            _draw_stage(stage)
    reasons = _reasons(order.steps)
    for reason in reasons:
        ui.label(reason).classes("v-note v-why")
    with ui.expansion("Raw rows").props("dense").classes("v-raw"):
        ui.label(raw(order)).classes("v-raw-text")


def _draw_stage(stage: Stage) -> None:
    with ui.element("div").classes("v-stage").props('role="listitem"') as element:
        element._props["title"] = stage.title
        if stage.after:
            ui.label(gap(stage.after)).classes("v-gap n")
        with ui.element("div").classes("v-stage-box"):
            ui.label(stage.word).classes("v-stage-word" + (" v-final" if stage.final else ""))
            ui.label(precise(stage.at)).classes("v-faint n")


def _reasons(steps: Sequence[Step]) -> list[str]:
    """Return each message once, with the moment when it was first told."""
    first: dict[str, datetime] = {}
    for step in steps:
        if step.message:
            first.setdefault(step.message, step.at)
    return [f"{precise(at)}  {message}" for message, at in first.items()]


def _word(order: Order, step: Step) -> str:
    if step.status in (OrderStatus.WORKING, OrderStatus.CANCELLED) and step.filled:
        return f"{step.raw_status} {fmt.grouped(str(step.filled))}/{order.request.quantity}"
    return step.raw_status


def _capital_told(step: Step) -> str:
    return f"told by {TOLD_BY.get(step.seen_by, step.seen_by)}"
