"""The routes that write orders: place, modify and cancel, one at a time or many at once."""

import time

from fastapi import APIRouter, Request
from starlette.responses import Response

from simulator.baskets import Outcome, cancel_many, exit_all, place_many
from simulator.envelope import Json, answer, success
from simulator.gate import authenticate
from simulator.order_forms import (
    read_json,
    read_modify,
    read_object,
    read_order,
    read_order_id,
)
from simulator.venue import Venue


def order_routes(venue: Venue) -> APIRouter:
    routes = APIRouter()
    _single(routes, venue)
    _twins(routes, venue)
    _many(routes, venue)
    return routes


async def _place(venue: Venue, request: Request) -> list[str]:
    user = authenticate(venue, request.headers).user
    venue.broker.check_service()
    form = read_order(read_object(await request.body()))
    return [order.order_id for order in venue.broker.place(user, form)]


async def _modify(venue: Venue, request: Request) -> str:
    user = authenticate(venue, request.headers).user
    form = read_modify(read_object(await request.body()))
    return venue.broker.modify(user, form).order_id


def _cancel(venue: Venue, request: Request, order_id: str) -> str:
    user = authenticate(venue, request.headers).user
    return venue.broker.cancel(user, read_order_id(order_id, "UDAPI1023")).order_id


def _single(routes: APIRouter, venue: Venue) -> None:
    @routes.post("/v3/order/place")
    async def place(request: Request) -> Response:
        began = time.monotonic()
        return _timed({"order_ids": await _place(venue, request)}, began)

    @routes.put("/v3/order/modify")
    async def modify(request: Request) -> Response:
        began = time.monotonic()
        return _timed({"order_id": await _modify(venue, request)}, began)

    @routes.delete("/v3/order/cancel")
    async def cancel(request: Request, order_id: str = "") -> Response:
        began = time.monotonic()
        return _timed({"order_id": _cancel(venue, request, order_id)}, began)


def _twins(routes: APIRouter, venue: Venue) -> None:
    """The deprecated calls: no slices, no metadata."""

    @routes.post("/v2/order/place")
    async def place(request: Request) -> Response:
        user = authenticate(venue, request.headers).user
        venue.broker.check_service()
        body = read_object(await request.body())
        form = read_order({name: value for name, value in body.items() if name != "slice"})
        (order,) = venue.broker.place(user, form)
        return answer(success({"order_id": order.order_id}))

    @routes.put("/v2/order/modify")
    async def modify(request: Request) -> Response:
        return answer(success({"order_id": await _modify(venue, request)}))

    @routes.delete("/v2/order/cancel")
    async def cancel(request: Request, order_id: str = "") -> Response:
        return answer(success({"order_id": _cancel(venue, request, order_id)}))


def _many(routes: APIRouter, venue: Venue) -> None:
    @routes.post("/v2/order/multi/place")
    async def place(request: Request) -> Response:
        user = authenticate(venue, request.headers).user
        venue.broker.check_service()
        given = read_json(await request.body())
        return _told(place_many(venue.broker, user, given))

    @routes.delete("/v2/order/multi/cancel")
    async def cancel(
        request: Request, segment: str | None = None, tag: str | None = None
    ) -> Response:
        user = authenticate(venue, request.headers).user
        return _told(cancel_many(venue.broker, user, segment=segment or None, tag=tag or None))

    @routes.post("/v2/order/positions/exit")
    async def leave(
        request: Request, segment: str | None = None, tag: str | None = None
    ) -> Response:
        user = authenticate(venue, request.headers).user
        return _told(exit_all(venue.broker, user, segment=segment or None, tag=tag or None))


def _timed(data: Json, began: float) -> Response:
    """Answer as the third version of the calls does, with the milliseconds it took."""
    latency = round((time.monotonic() - began) * 1000)
    return answer(success(data) | {"metadata": {"latency": latency}})


def _told(outcome: Outcome) -> Response:
    return answer(outcome.body, outcome.status)
