"""The account routes: login, logout, profile, kill switch, and funds with their night's rest."""

from datetime import time
from urllib.parse import parse_qs, urlencode, urlsplit

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from simulator.calendar import IST
from simulator.envelope import BrokerError, Json, answer, success
from simulator.funds import NOTHING, Funds, equity_row, funds, funds_row
from simulator.gate import authenticate
from simulator.kill_switch import read_wishes, segment_rows, throw
from simulator.order_forms import read_json
from simulator.portfolio import PriceOf
from simulator.tokens import USER
from simulator.venue import Venue

SERVICE_BEGINS = time(5, 30)  # IST; funds are closed from midnight until then

PROFILE: dict[str, Json] = {
    "email": "trader@example.in",
    "exchanges": ["NSE", "NFO", "BSE", "BFO"],
    "products": ["D", "I"],
    "broker": "UPSTOX",
    "user_id": USER,
    "user_name": "Demo Trader",
    "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
    "user_type": "individual",
    "poa": False,
    "ddpi": True,
    "is_active": True,
}


def account_routes(venue: Venue) -> APIRouter:
    routes = APIRouter()

    def money(user: str) -> Funds:
        return funds(venue.broker.account(user), PriceOf(venue.market.quotes))

    @routes.get("/v2/login/authorization/dialog")
    async def dialog(
        client_id: str = "", redirect_uri: str = "", response_type: str = "", state: str = ""
    ) -> Response:
        """Approve at once, as if the user had logged in."""
        known = urlsplit(redirect_uri).scheme in ("http", "https")
        if not client_id or not known or response_type != "code":
            raise BrokerError(
                401, "UDAPI100068", "Check your 'client_id' and 'redirect_uri'; one is incorrect"
            )
        query = {"code": venue.tokens.login_code()} | ({"state": state} if state else {})
        return RedirectResponse(f"{redirect_uri}?{urlencode(query)}", 302)

    @routes.post("/v2/login/authorization/token")
    async def exchange_code(request: Request) -> Response:
        form = {k: v[0] for k, v in parse_qs((await request.body()).decode()).items()}
        good = venue.tokens.redeem_login_code(form.get("code", ""))
        if not form.get("client_id") or not form.get("client_secret"):
            raise BrokerError(401, "UDAPI100069", "Check your 'client_id' and 'client_secret'")
        if not good or form.get("grant_type") != "authorization_code":
            raise BrokerError(401, "UDAPI100057", "Invalid Auth code")
        token = venue.tokens.issue()
        return answer(PROFILE | {"access_token": token.value, "extended_token": None})

    @routes.delete("/v2/logout")
    async def logout(request: Request) -> Response:
        venue.tokens.revoke(authenticate(venue, request.headers).value)
        return answer(success(True))

    @routes.get("/v2/user/profile")
    async def profile(request: Request) -> Response:
        token = authenticate(venue, request.headers)
        return answer(success(PROFILE | {"user_id": token.user}))

    @routes.get("/v2/user/get-funds-and-margin")
    async def funds_v2(request: Request, segment: str = "") -> Response:
        user = authenticate(venue, request.headers).user
        _in_service(venue)
        rows = {"equity": equity_row(money(user)), "commodity": equity_row(NOTHING)}
        only = {"SEC": "equity", "COM": "commodity"}.get(segment)
        return answer(success(rows if only is None else {only: rows[only]}))

    @routes.get("/v3/user/get-funds-and-margin")
    async def funds_v3(request: Request) -> Response:
        user = authenticate(venue, request.headers).user
        _in_service(venue)
        return answer(success(funds_row(money(user))))

    @routes.get("/v2/user/kill-switch")
    async def kill_switch(request: Request) -> Response:
        user = authenticate(venue, request.headers).user
        return answer(success(segment_rows(venue.broker.account(user))))

    @routes.post("/v2/user/kill-switch")
    async def throw_kill_switch(request: Request) -> Response:
        user = authenticate(venue, request.headers).user
        wishes = read_wishes(read_json(await request.body()))
        throw(venue.broker, user, wishes, venue.clock.now_ms())
        return answer(success(segment_rows(venue.broker.account(user))))

    return routes


def _in_service(venue: Venue) -> None:
    now = venue.clock.now().astimezone(IST).time()
    if now < SERVICE_BEGINS and not venue.calendar.always_open:
        raise BrokerError(423)
