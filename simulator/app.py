"""The broker's REST routes on the simulated exchange's port, with its gates and control routes."""

import asyncio
import uuid

from fastapi import APIRouter, FastAPI, Request, WebSocket
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from simulator.account import account_routes
from simulator.control import control_routes
from simulator.data import data_routes
from simulator.envelope import BrokerError, answer, refusal, success
from simulator.faults import Authorize, Redirect
from simulator.feed import PATH
from simulator.gate import Gate, authenticate
from simulator.limits import RateLimiter
from simulator.tokens import Token
from simulator.venue import Venue

ENTRY = "/v3/feed/market-data-feed"


def create_app(
    venue: Venue, *, feeder_url: str, limiter: RateLimiter, closing: asyncio.Event
) -> FastAPI:
    """Build the routes; `closing` lets go of requests that a fault keeps waiting."""
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    app.include_router(feed_routes(venue, feeder_url=feeder_url, closing=closing))
    app.include_router(account_routes(venue))
    app.include_router(data_routes(venue))
    app.include_router(control_routes(venue))
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(BrokerError, _refused)
    app.add_middleware(Gate, venue=venue, limiter=limiter, closing=closing)
    return app


async def _refused(_: Request, trouble: Exception) -> Response:
    if isinstance(trouble, BrokerError):
        return refusal(trouble)
    assert isinstance(trouble, HTTPException)
    return refusal(BrokerError(trouble.status_code))


def feed_routes(venue: Venue, *, feeder_url: str, closing: asyncio.Event) -> APIRouter:
    routes = APIRouter()

    def invite(token: Token) -> str:
        return address(venue.invitations.issue(token))

    def address(code: str) -> str:
        return f"{feeder_url}{PATH}?requestId={uuid.uuid4()}&code={code}"

    @routes.get(f"{ENTRY}/authorize")
    async def authorize(request: Request) -> Response:
        token = authenticate(venue, request.headers)
        fault = venue.faults.take(Authorize)
        if fault is None:
            return answer(success({"authorized_redirect_uri": invite(token)}))
        match fault.how:
            case "timeout":
                await closing.wait()
                return Response(status_code=504)
            case "html":
                return Response("<!doctype html><title>Upstox</title>", media_type="text/html")
            case "no_uri":
                return answer(success({}))
            case "uri":
                return answer(success({"authorized_redirect_uri": fault.uri}))
            case "reused":
                uri = address(venue.invitations.used(token))
                return answer(success({"authorized_redirect_uri": uri}))
            case "status":
                return refusal(BrokerError(fault.status), retry_after=fault.retry_after)

    @routes.websocket(ENTRY)
    async def entry(socket: WebSocket) -> None:
        try:
            token = authenticate(venue, socket.headers)
        except BrokerError as trouble:
            await socket.send_denial_response(refusal(trouble))
            return
        redirect = venue.faults.take(Redirect)
        to = invite(token) if redirect is None else redirect.to or str(socket.url)
        await socket.send_denial_response(RedirectResponse(to, 302))

    return routes
