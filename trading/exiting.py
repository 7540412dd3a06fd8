"""Is an order that calls itself an exit one? That it says so proves nothing."""

from collections.abc import Callable, Iterable

from trading.order import Order, OrderRequest, OrderStatus, Product, Side
from trading.positions import PositionBook


def covered_by(
    positions: PositionBook, working: Callable[[str], Iterable[Order]]
) -> Callable[[OrderRequest], bool]:
    """Make the judge: a request closes no more than what is held beyond what others close.

    `working` returns the orders of an account that are not final. One in doubt does not count: it
    may not exist, and whoever sends another one in spite of it has been told.
    """

    def covers(request: OrderRequest) -> bool:
        what = _what(request)
        going = sum(
            order.pending
            for order in working(request.account)
            if order.status is not OrderStatus.IN_DOUBT
            and order.request.reduces
            and order.request.nonce != request.nonce
            and _what(order.request) == what
        )
        return request.quantity <= positions.closable(*what) - going

    return covers


def _what(request: OrderRequest) -> tuple[str, str, Product, Side]:
    return (request.account, request.instrument_key, request.product, request.side)
