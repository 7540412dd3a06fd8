"""What a trader sees and does in a test of the pages."""

import asyncio
from collections.abc import Callable
from typing import Any

from nicegui import ui
from nicegui.testing import User

from tests.dashboard.fakes import DeskBroker, MemoryBatches
from tests.ticks import batch, tick
from tests.trading.scripted import Paper
from trading.desk import Desk
from trading.order import Order


def marker(what: str, key: str) -> str:
    return f"{what}-{key.replace(' ', '_')}"


def found(user: User, marker: str) -> list[ui.element]:
    """Return all elements with this mark, in the order in which they were made."""
    assert user.client is not None
    words = set(marker.split())  # NiceGUI splits marks at spaces
    marked = (e for e in user.client.elements.values() if words <= set(e._markers))
    return sorted(marked, key=lambda e: e.id)


def text(user: User, marker: str) -> str:
    """Return what the newest element with this mark says now."""
    shown = found(user, marker)
    assert shown, f"nothing is marked {marker}"
    return str(getattr(shown[-1], "text", shown[-1]._text))


def texts(user: User, marker: str) -> list[str]:
    """Return what each visible element with this mark says now."""
    return [str(getattr(e, "text", e._text)) for e in found(user, marker) if e.visible]


def title(user: User, marker: str) -> str:
    """Return what a pointer resting on it would show."""
    return str(found(user, marker)[-1].shown.title)  # type: ignore[attr-defined]


def press(user: User, marker: str) -> None:
    """Click the newest visible element with this mark."""
    fire(user, marker, "click")


def fire(user: User, marker: str, event: str, args: Any = None) -> None:
    """Let the newest element with this mark have an event, as its browser would send it."""
    element = found(user, marker)[-1]
    assert user.client is not None
    with user.client:
        for listener in list(element._event_listeners.values()):
            if listener.type in (event, f"{event}.stop"):
                message = {"listener_id": listener.id, "args": args, "id": element.id}
                element._handle_event(message)


def enter(user: User, marker: str, value: str) -> None:
    """Type over what stands in the newest box with this mark."""
    box = found(user, marker)[-1]
    assert isinstance(box, ui.input)
    assert user.client is not None
    with user.client:
        box.value = value


async def eventually(holds: Callable[[], Any], within: float = 3.0) -> None:
    """Wait until it holds; fail if that takes longer."""
    for _ in range(round(within / 0.02)):
        if holds():
            return
        await asyncio.sleep(0.02)
    assert holds()


async def drawn(user: User, *markers: str) -> None:
    for each in markers:
        await user.should_see(marker=each, retries=20)


def price(desk: Desk, key: str, ltp: float = 142.6) -> None:
    """Let a price of this instrument arrive now, with a book around it."""
    told = tick(key, ltp=ltp, bid=ltp - 0.1, ask=ltp + 0.1, received=desk.clock.monotonic())
    desk.market_data.publish(batch(told))


def broker(desk: Desk, account: str = "main") -> DeskBroker:
    found = desk.accounts.brokers[account]
    assert isinstance(found, DeskBroker)
    return found


def kept(desk: Desk) -> Paper:
    journal = desk.orders._journal
    assert isinstance(journal, Paper)
    return journal


def batches(desk: Desk) -> MemoryBatches:
    journal = desk.baskets._journal
    assert isinstance(journal, MemoryBatches)
    return journal


def only(desk: Desk) -> Order:
    """Return the one order that the desk knows of."""
    (order,) = desk.orders.orders()
    return order
