"""Control routes of the broker's book: what a test does to an account, and the truth about it.

`POST /control/orders`     an order from "the phone app": the fields of a place request, and
                           user, fill ("market", "once", "rest"), fill_price
`POST /control/fills`      fill an order at the exchange: order_id, quantity, price
`POST /control/positions`  what an account begins with: user, cash, positions, holdings
`GET /control/book`        every account, and every request that was to write orders
"""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field
from starlette.responses import Response

from simulator.control import Wish, wish
from simulator.envelope import BrokerError, answer, success
from simulator.order_forms import read_order
from simulator.portfolio import Holding, overnight
from simulator.tokens import USER
from simulator.truth import account_truth, book, order_truth
from simulator.venue import Venue


class PhoneOrder(Wish):
    """An order of another program; the other fields are those of a place request."""

    model_config = ConfigDict(extra="allow")

    user: str = USER
    fill: Literal["market", "once", "rest"] = "market"
    fill_price: float | None = Field(None, gt=0)


class ForcedFill(Wish):
    """A fill outside of the market: by default all of it at its limit, or at the last price."""

    order_id: str
    quantity: int | None = Field(None, gt=0)
    price: float | None = Field(None, gt=0)


class OvernightRow(Wish):
    instrument_key: str
    quantity: int
    average_price: float = Field(..., ge=0)  # rupees
    product: Literal["I", "D", "MTF"] = "D"


class HoldingRow(Wish):
    instrument_key: str
    quantity: int = Field(..., gt=0)
    average_price: float | None = Field(None, ge=0)
    t1_quantity: int = Field(0, ge=0)


class Beginning(Wish):
    """What an account begins the day with; a part that is not given stays as it is."""

    user: str = USER
    cash: float | None = Field(None, ge=0)  # rupees
    positions: list[OvernightRow] | None = None
    holdings: list[HoldingRow] | None = None


def order_control_routes(venue: Venue) -> APIRouter:
    routes = APIRouter(prefix="/control")
    broker = venue.broker

    @routes.post("/orders")
    async def phone_order(request: Request) -> Response:
        asked = await wish(request, PhoneOrder)
        form = read_order(asked.model_extra or {})
        orders = broker.place_elsewhere(asked.user, form, fill=asked.fill, price=asked.fill_price)
        return answer(success({"order_ids": [order.order_id for order in orders]}))

    @routes.post("/fills")
    async def forced_fill(request: Request) -> Response:
        asked = await wish(request, ForcedFill)
        found = [a.orders[asked.order_id] for a in broker.accounts.values()
                 if asked.order_id in a.orders]  # fmt: skip
        if not found:
            raise BrokerError(404, message=f"no order {asked.order_id}")
        broker.fill(found[0], quantity=asked.quantity, price=asked.price)
        return answer(success(order_truth(found[0])))

    @routes.post("/positions")
    async def begin(request: Request) -> Response:
        asked = await wish(request, Beginning)
        account = broker.account(asked.user)
        if asked.cash is not None:
            account.opening = round(asked.cash * 100)
        if asked.positions is not None:
            account.carry(
                overnight(broker.instrument(row.instrument_key), row.product, row.quantity,
                          row.average_price)
                for row in asked.positions
            )  # fmt: skip
        if asked.holdings is not None:
            account.holdings = {
                row.instrument_key: Holding(
                    broker.instrument(row.instrument_key),
                    row.quantity,
                    row.average_price,
                    row.t1_quantity,
                )
                for row in asked.holdings
            }
        broker.remember(account)
        return answer(success(account_truth(account)))

    @routes.get("/book")
    async def show_book() -> Response:
        return answer(success(book(broker)))

    return routes
