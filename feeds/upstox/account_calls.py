"""What is asked about an account, one function for each call: paths and answers, without I/O."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from feeds.upstox.answers import Call
from feeds.upstox.portfolio_protocol import Rows, Unreadable, joined, latest
from trading.errors import BadAnswer
from trading.order import (
    BrokerHolding,
    BrokerOrder,
    BrokerPosition,
    Fill,
    Funds,
    Margin,
    OrderRequest,
)

Row = TypeVar("Row")

# All lists of rows: one row that cannot be read fails the whole read, because a row left out of
# the order book looks like an order never placed, and one left out of the positions looks flat.


def orders(rows: Rows) -> Call[list[BrokerOrder]]:
    """Ask for today's order book; the broker's documents show it with an envelope and without."""
    read = _each(rows, "order book", rows.order)
    return Call("order book", "/v2/order/retrieve-all", read, bare=True)


def orders_tagged(rows: Rows, tag: str) -> Call[list[BrokerOrder]]:
    """Ask for the latest stage of each order that has this tag."""
    each = _each(rows, "orders by tag", rows.order)

    def read(data: Any) -> list[BrokerOrder]:
        return latest(stage for stage in each(data) if stage.tag == tag)

    return Call("orders by tag", "/v2/order/history", read, {"tag": tag}, bare=True)


def trades(rows: Rows) -> Call[list[Fill]]:
    return Call("trades", "/v2/order/trades/get-trades-for-day", _each(rows, "trades", rows.fill))


def positions(rows: Rows) -> Call[list[BrokerPosition]]:
    each = _each(rows, "positions", rows.position)
    path = "/v2/portfolio/short-term-positions"
    return Call("positions", path, lambda data: joined(each(data)))


def holdings(rows: Rows) -> Call[list[BrokerHolding]]:
    path = "/v2/portfolio/long-term-holdings"
    return Call("holdings", path, _each(rows, "holdings", rows.holding))


def funds() -> Call[Funds]:
    return Call("funds", "/v3/user/get-funds-and-margin", _funds)


def margin(requests: Sequence[OrderRequest]) -> Call[Margin]:
    """Ask what these would block together; market orders at the market's price."""
    body = {"instruments": [_margin_line(request) for request in requests]}
    return Call("margin", "/v2/charges/margin", _margin, method="POST", body=body)


def charges(request: OrderRequest, price: float) -> Call[int]:
    """Ask for the costs of one order in paise, if all of it were filled at this price."""
    params = {
        "instrument_token": request.instrument_key,
        "quantity": str(request.quantity),
        "product": request.product.value,
        "transaction_type": request.side.value,
        "price": str(price),
    }
    return Call(
        "charges", "/v2/charges/brokerage", lambda data: _paise(data["charges"]["total"]), params
    )


def _each(rows: Rows, what: str, read: Callable[[Any], Row]) -> Callable[[Any], list[Row]]:
    def read_all(data: Any) -> list[Row]:
        if not isinstance(data, list):  # an object without entries must not pass for an empty list
            raise BadAnswer(f"{what}: the broker's answer is not a list")
        return [one(number, row) for number, row in enumerate(data, start=1)]

    def one(number: int, row: Any) -> Row:
        try:
            return read(row)
        except Unreadable as error:
            rows.note("row", str(error))
            raise BadAnswer(f"{what}: row {number} cannot be read: {error}") from error

    return read_all


def _margin_line(request: OrderRequest) -> dict[str, Any]:
    line: dict[str, Any] = {
        "instrument_key": request.instrument_key,
        "quantity": request.quantity,
        "product": request.product.value,
        "transaction_type": request.side.value,
    }
    if request.order_type.has_price:
        line["price"] = request.price
    return line


def _margin(data: Any) -> Margin:
    return Margin(_paise(data["required_margin"]), _paise(data["final_margin"]))


def _funds(data: Any) -> Funds:
    available = data["available_to_trade"]
    cash, pledge = available["cash_available_to_trade"], available["pledge_available_to_trade"]
    used = _paise(cash["margin_used"]["total"]) + _paise(pledge["margin_used"]["total"])
    return Funds(_paise(available["total"]), used)


def _paise(rupees: Any) -> int:
    """Raises ValueError or OverflowError for what is no sum of money, TypeError for null."""
    return round(float(rupees) * 100)
