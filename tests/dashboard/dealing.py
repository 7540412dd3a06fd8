"""Ways into positions for tests of pages: orders through the core, filled by the broker."""

from datetime import datetime
from typing import Any

from nicegui.testing import User

from tests.dashboard.fakes import CALL, MemoryFeed
from tests.dashboard.hands import broker, found, marker
from trading.desk import Desk
from trading.order import BrokerPosition, Order, OrderRequest, OrderType, Product, Side
from trading.ports import FeedState, FeedStats

LOT = 75


async def deal(
    desk: Desk,
    units: int,
    price: float,
    *,
    key: str = CALL,
    account: str = "main",
    product: Product = Product.INTRADAY,
    **asked: Any,
) -> Order:
    """Buy so many units, sell if negative; the broker fills it at once at this price."""
    other_end = broker(desk, account)
    before = dict(other_end.fills)
    other_end.fills[key] = price
    order = await send(desk, units, key=key, account=account, product=product, **asked)
    other_end.fills = before
    return order


async def send(
    desk: Desk,
    units: int,
    *,
    key: str = CALL,
    account: str = "main",
    product: Product = Product.INTRADAY,
    **asked: Any,
) -> Order:
    """Send an order; it works until the test or the broker's script says otherwise."""
    asked = {"order_type": OrderType.MARKET, "nonce": f"n{len(desk.orders.orders())}", **asked}
    side = Side.BUY if units > 0 else Side.SELL
    request = OrderRequest(
        account=account,
        instrument_key=key,
        side=side,
        quantity=abs(units),
        product=product,
        **asked,
    )
    return await desk.orders.place(request)


async def read(desk: Desk, account: str = "main") -> None:
    await desk.orders.reconcile(account, why="test")


def foreign(units: int, *, key: str = CALL, account: str = "main") -> BrokerPosition:
    """Return a row of the broker that no order of ours explains."""
    return BrokerPosition(
        account, key, Product.INTRADAY, units, 1.0, max(units, 0), max(units, 0) * 100.0,
        max(-units, 0), max(-units, 0) * 100.0, 0, 0, 0.0, 0, 0.0,
    )  # fmt: skip


def row_text(user: User, key: str, name: str, what: str = "position") -> str:
    """Return what one cell of the row of this instrument says."""
    return str(_cell(user, key, name, what).text)  # type: ignore[attr-defined]


def row_title(user: User, key: str, name: str, what: str = "position") -> str:
    return str(_cell(user, key, name, what).shown.title)  # type: ignore[attr-defined]


def press_in(user: User, key: str, name: str, what: str = "position") -> None:
    """Click the button with this mark in the row of this instrument."""
    element = _cell(user, key, name, what)
    assert user.client is not None
    with user.client:
        for listener in list(element._event_listeners.values()):
            if listener.type in ("click", "click.stop"):
                message = {"listener_id": listener.id, "args": None, "id": element.id}
                element._handle_event(message)


def _cell(user: User, key: str, name: str, what: str) -> Any:
    row = found(user, marker(what, key))[-1]
    inside = [e for e in row.descendants() if name in e._markers]
    assert inside, f"no {name} in the row of {key}"
    return inside[-1]


class MemoryStream(MemoryFeed):
    """A portfolio stream whose figures a test sets."""

    def __init__(self, now: datetime, account: str = "main") -> None:
        super().__init__(now)
        self.name = f"portfolio-{account}"
        self.account = account
        self.figures = FeedStats(
            self.name, FeedState.LIVE, now, "", is_mock=True, frame_age=1.2, connections=1
        )

    def caught_up(self) -> None: ...
