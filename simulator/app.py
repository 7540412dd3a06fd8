"""The broker's REST routes on the simulated exchange's port, with its gates and control routes."""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter, FastAPI, Request, WebSocket
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp

from simulator.account import account_routes
from simulator.charge_routes import charge_routes
from simulator.control import control_routes
from simulator.data import data_routes
from simulator.envelope import BrokerError, answer, refusal, success
from simulator.faults import Authorize, Feed, Redirect
from simulator.feed import PATH
from simulator.gate import Gate, authenticate
from simulator.limits import RateLimiter
from simulator.order_control import order_control_routes
from simulator.order_gate import OrderGate
from simulator.order_routes import order_routes
from simulator.portfolio_feed import ENTRY as PORTFOLIO_ENTRY
from simulator.portfolio_feed import PATH as PORTFOLIO_PATH
from simulator.portfolio_feed import update_types
from simulator.portfolio_routes import portfolio_routes
from simulator.telegram import BotApi
from simulator.telegram_control import telegram_control_routes
from simulator.tokens import Invitation, Invitations, Token
from simulator.venue import Venue

ENTRY = "/v3/feed/market-data-feed"


def create_app(
    venue: Venue, *, feeder_url: str, limiter: RateLimiter, closing: asyncio.Event
) -> ASGIApp:
    """Build the routes; `closing` lets go of requests that a fault keeps waiting."""
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    for door in doors(venue):
        app.include_router(
            feed_routes(venue, door, address=f"{feeder_url}{door.path}", closing=closing)
        )
    app.include_router(account_routes(venue))
    app.include_router(data_routes(venue))
    app.include_router(order_routes(venue))
    app.include_router(portfolio_routes(venue))
    app.include_router(charge_routes(venue))
    app.include_router(control_routes(venue))
    app.include_router(order_control_routes(venue))
    app.include_router(telegram_control_routes(venue.telegram, closing))
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(BrokerError, _refused)
    app.add_middleware(Gate, venue=venue, limiter=limiter, closing=closing)
    orders = OrderGate(app, venue=venue, closing=closing)
    return BotApi(orders, chats=venue.telegram, faults=venue.faults, closing=closing)


async def _refused(_: Request, trouble: Exception) -> Response:
    if isinstance(trouble, BrokerError):
        return refusal(trouble)
    assert isinstance(trouble, HTTPException)
    return refusal(BrokerError(trouble.status_code))


@dataclass(frozen=True, slots=True)
class Door:
    """How one of the two feeds is entered: its REST path, the socket's path, who was invited."""

    feed: Feed
    entry: str
    path: str
    invitations: Invitations
    invite: Callable[[HTTPConnection, Token], Invitation]
    spellings: tuple[str, ...]  # of the key that the address is given under


def doors(venue: Venue) -> tuple[Door, Door]:
    """Return the market's door and the portfolio's, whose answer has the deprecated key as well."""
    market = Door(
        "market",
        ENTRY,
        PATH,
        venue.invitations,
        lambda _, token: Invitation(token),
        ("authorized_redirect_uri",),
    )
    portfolio = Door(
        "portfolio",
        PORTFOLIO_ENTRY,
        PORTFOLIO_PATH,
        venue.update_invitations,
        lambda asked, token: Invitation(
            token, update_types(asked.query_params.get("update_types"))
        ),
        ("authorized_redirect_uri", "authorizedRedirectUri"),
    )
    return market, portfolio


def feed_routes(venue: Venue, door: Door, *, address: str, closing: asyncio.Event) -> APIRouter:
    routes = APIRouter()

    def invited(asked: HTTPConnection) -> Invitation:
        return door.invite(asked, authenticate(venue, asked.headers))

    def url(code: str) -> str:
        return f"{address}?requestId={uuid.uuid4()}&code={code}"

    def told(uri: str) -> Response:
        return answer(success(dict.fromkeys(door.spellings, uri)))

    @routes.get(f"{door.entry}/authorize")
    async def authorize(request: Request) -> Response:
        invitation = invited(request)
        fault = venue.faults.take(Authorize, lambda fault: fault.strikes(door.feed))
        if fault is None:
            return told(url(door.invitations.issue(invitation)))
        match fault.how:
            case "timeout":
                await closing.wait()
                return Response(status_code=504)
            case "html":
                return Response("<!doctype html><title>Upstox</title>", media_type="text/html")
            case "no_uri":
                return answer(success({}))
            case "uri":
                return told(fault.uri)
            case "reused":
                return told(url(door.invitations.used(invitation)))
            case "status":
                return refusal(BrokerError(fault.status), retry_after=fault.retry_after)

    @routes.websocket(door.entry)
    async def entry(socket: WebSocket) -> None:
        try:
            invitation = invited(socket)
        except BrokerError as trouble:
            await socket.send_denial_response(refusal(trouble))
            return
        redirect = venue.faults.take(Redirect, lambda fault: fault.strikes(door.feed))
        if redirect is None:
            to = url(door.invitations.issue(invitation))
        else:
            to = redirect.to or str(socket.url)
        await socket.send_denial_response(RedirectResponse(to, 302))

    return routes
