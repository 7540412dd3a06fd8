"""The account routes: login and logout, profile, and funds with their night's rest."""

from datetime import time
from urllib.parse import parse_qs, urlencode, urlsplit

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from simulator.calendar import IST
from simulator.envelope import BrokerError, Json, answer, success
from simulator.gate import authenticate
from simulator.tokens import USER
from simulator.venue import Venue

CASH = 1_000_000.0  # rupees
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
    async def funds(request: Request, segment: str = "") -> Response:
        authenticate(venue, request.headers)
        _in_service(venue)
        rows: dict[str, Json] = {"equity": _margin(CASH), "commodity": _margin(0.0)}
        only = {"SEC": "equity", "COM": "commodity"}.get(segment)
        return answer(success(rows if only is None else {only: rows[only]}))

    @routes.get("/v3/user/get-funds-and-margin")
    async def funds_v3(request: Request) -> Response:
        authenticate(venue, request.headers)
        _in_service(venue)
        return answer(success(funds_row(CASH)))

    return routes


def _in_service(venue: Venue) -> None:
    now = venue.clock.now().astimezone(IST).time()
    if now < SERVICE_BEGINS and not venue.calendar.always_open:
        raise BrokerError(423)


def _margin(available: float) -> Json:
    return {
        "used_margin": 0.0,
        "payin_amount": 0.0,
        "span_margin": 0.0,
        "adhoc_margin": 0.0,
        "notional_cash": 0.0,
        "available_margin": available,
        "exposure_margin": 0.0,
    }


def funds_row(cash: float) -> Json:
    """Build the v3 answer of an account that holds cash only; pledge has no total on purpose."""
    unused: dict[str, Json] = {
        "total": 0.0,
        "mtf": 0.0,
        "span_exposure": 0.0,
        "cash_margin_var_elm": 0.0,
        "premium_present": 0.0,
        "delivery_margin": {"total": 0.0, "equity": 0.0, "fo_settlement": 0.0},
    }
    loss: Json = {"total": 0.0, "realised": 0.0, "unrealised": 0.0}
    opening: Json = {
        "opening_balance": cash,
        "added_today": 0.0,
        "withdrawn_today": 0.0,
        "amount_from_stock_sale": 0.0,
        "unpaid_charges": 0.0,
    }
    return {
        "available_to_trade": {
            "total": cash,
            "cash_available_to_trade": {
                "total": cash,
                "cash": opening,
                "margin_used": unused | {"loss": loss},
            },
            "pledge_available_to_trade": {
                "margin_from_pledge": {"total": 0.0, "equity": 0.0, "mutual_funds": 0.0},
                "margin_used": unused,
            },
        },
        "unavailable_to_trade": {
            "cash_unavailable_to_trade": {
                "unsettled_profit": {"todays_profit": 0.0, "previous_days": 0.0}
            },
            "pledge_unavailable_to_trade": {"equity": 0.0, "mutual_funds": 0.0},
        },
    }
