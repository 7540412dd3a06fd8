"""The routes that read an account: orders and their history, trades, positions, holdings."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from simulator.envelope import BrokerError, Json, answer, success
from simulator.gate import authenticate
from simulator.order_forms import PRODUCTS, SIDES, read_object, read_order_id
from simulator.orders import Order, order_row, trade_row
from simulator.portfolio import Account, holding_row, position_row
from simulator.venue import Venue


def portfolio_routes(venue: Venue) -> APIRouter:
    routes = APIRouter()
    _order_reads(routes, venue)
    _trade_reads(routes, venue)
    _position_routes(routes, venue)
    return routes


def _account(venue: Venue, request: Request) -> Account:
    return venue.broker.account(authenticate(venue, request.headers).user)


def _order_reads(routes: APIRouter, venue: Venue) -> None:
    def find(account: Account, order_id: str) -> Order:
        return venue.broker.find(account.user, read_order_id(order_id, "UDAPI1023"))

    @routes.get("/v2/order/retrieve-all")
    async def book(request: Request) -> Response:
        orders = _account(venue, request).orders.values()
        return answer(success([order_row(order) for order in orders]))

    @routes.get("/v2/order/details")
    async def details(request: Request, order_id: str = "") -> Response:
        return answer(success(order_row(find(_account(venue, request), order_id))))

    @routes.get("/v2/order/history")
    async def history(request: Request, order_id: str = "", tag: str = "") -> Response:
        """Answer with every stage; a tag that no order has gets an empty list."""
        account = _account(venue, request)
        if not order_id and not tag:
            message = "One of 'order_id' and 'tag' is required"
            raise BrokerError(400, "UDAPI100059", message)
        orders = [find(account, order_id)] if order_id else account.orders.values()
        stages = [s.row for o in orders if not tag or o.tag == tag for s in o.history]
        return answer(success(stages))


def _trade_reads(routes: APIRouter, venue: Venue) -> None:
    @routes.get("/v2/order/trades/get-trades-for-day")
    async def today(request: Request) -> Response:
        trades = _account(venue, request).trades
        return answer(success([trade_row(trade) for trade in trades]))

    @routes.get("/v2/order/trades")
    async def of_order(request: Request, order_id: str = "") -> Response:
        account = _account(venue, request)
        order = venue.broker.find(account.user, read_order_id(order_id, "UDAPI1023"))
        return answer(success([trade_row(trade) for trade in order.trades]))


def _position_routes(routes: APIRouter, venue: Venue) -> None:
    @routes.get("/v2/portfolio/short-term-positions")
    async def positions(request: Request) -> Response:
        rows: list[Json] = [
            position_row(position, venue.look(position.key))
            for position in _account(venue, request).positions.values()
            if position.key in venue.market.quotes  # one of another day's list has no price
        ]
        return answer(success(rows))

    @routes.get("/v2/portfolio/long-term-holdings")
    async def holdings(request: Request) -> Response:
        rows: list[Json] = [
            holding_row(holding, venue.look(key))
            for key, holding in _account(venue, request).holdings.items()
        ]
        return answer(success(rows))

    @routes.put("/v2/portfolio/convert-position")
    async def convert(request: Request) -> Response:
        account = _account(venue, request)
        body = read_object(await request.body())
        instrument = venue.broker.instrument(str(body.get("instrument_token")))
        old, new, quantity = body.get("old_product"), body.get("new_product"), body.get("quantity")
        side = body.get("transaction_type")
        if old not in PRODUCTS or new not in PRODUCTS or old == new or side not in SIDES:
            raise BrokerError(400, message="Invalid Input: products or transaction_type")
        if isinstance(quantity, bool) or not isinstance(quantity, int) or quantity <= 0:
            raise BrokerError(400, "UDAPI1052", "The 'quantity' is invalid", path="quantity")
        venue.broker.convert(
            account.user, instrument, (str(old), str(new)), quantity if side == "BUY" else -quantity
        )
        return answer(success({"status": "complete"}))
