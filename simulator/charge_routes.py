"""The routes that tell what orders would cost: the margin of a basket, the charges of an order."""

import math
from collections.abc import Mapping
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from simulator.charges import DP_CHARGE, Charges, charge
from simulator.envelope import BrokerError, Json, answer, success
from simulator.gate import authenticate
from simulator.margin import Line, Need, Row, required
from simulator.order_forms import PRODUCTS, SIDES, read_object
from simulator.venue import Venue

MOST_INSTRUMENTS: Final = 20  # in one margin call
MOST_UNITS: Final = 10_000_000
DEAREST: Final = 1e9  # rupees a unit


def charge_routes(venue: Venue) -> APIRouter:
    routes = APIRouter()

    @routes.post("/v2/charges/margin")
    async def margin(request: Request) -> Response:
        """Margin of these orders by themselves: what the account holds plays no part in it."""
        authenticate(venue, request.headers)
        return answer(success(margin_data(required(_lines(venue, await request.body())))))

    @routes.get("/v2/charges/brokerage")
    async def brokerage(request: Request) -> Response:
        authenticate(venue, request.headers)
        line = _asked(venue, _numbered(request.query_params), "instrument_token", priced=True)
        charges = charge(
            line.instrument,
            abs(line.signed_quantity),
            line.price,
            product=line.product,
            selling=line.signed_quantity < 0,
        )
        return answer(success({"charges": charges_data(charges)}))

    return routes


def margin_data(need: Need) -> Json:
    return {
        "required_margin": round(need.required, 2),
        "final_margin": round(need.final, 2),
        "margins": [_margin(row) for row in need.rows],
    }


def _margin(row: Row) -> Json:
    return {
        "span_margin": round(row.span, 2),
        "exposure_margin": round(row.exposure, 2),
        "equity_margin": round(row.equity, 2),
        "net_buy_premium": round(row.premium, 2),
        "additional_margin": 0.0,
        "total_margin": round(row.total, 2),
        "tender_margin": 0.0,
    }


def charges_data(charges: Charges) -> Json:
    return {
        "total": charges.total,
        "brokerage": charges.brokerage,
        "taxes": {
            "gst": charges.gst,
            "stt": charges.stt,
            "stamp_duty": charges.stamp_duty,
        },
        "other_charges": {
            "transaction": charges.transaction,
            "clearing": charges.clearing,
            "ipft": charges.ipft,
            "sebi_turnover": charges.sebi_turnover,
        },
        "dp_plan": {"name": "STANDARD", "min_expense": DP_CHARGE},
    }


# --- what is asked for


def _lines(venue: Venue, body: bytes) -> list[Line]:
    rows = read_object(body).get("instruments")
    if not isinstance(rows, list) or not 0 < len(rows) <= MOST_INSTRUMENTS:
        text = f"'instruments' must be a list of 1 to {MOST_INSTRUMENTS} objects"
        raise BrokerError(400, message=text, path="instruments")
    lines = []
    for row in rows:
        if not isinstance(row, dict):
            raise BrokerError(400, message="an instrument must be an object", path="instruments")
        lines.append(_asked(venue, row, "instrument_key", priced=False))
    return lines


def _asked(venue: Venue, given: Mapping[str, object], key_name: str, *, priced: bool) -> Line:
    """Read one order; without a price (or 0) it is the last one, unless it must be given."""
    key = given.get(key_name)
    if not isinstance(key, str) or not key:
        raise _refused("UDAPI1026", f"'{key_name}' is required", key_name, key)
    instrument = venue.broker.instrument(key)
    quantity = _quantity(given.get("quantity"))
    product = _one_of(given, "product", PRODUCTS, "UDAPI1054")
    side = _one_of(given, "transaction_type", SIDES, "UDAPI1057")
    price = _price(given.get("price"), priced=priced) or venue.look(key).ltp
    return Line(instrument, quantity if side == "BUY" else -quantity, price, product)


def _quantity(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MOST_UNITS:
        text = f"'quantity' must be a whole number from 1 to {MOST_UNITS}"
        raise _refused("UDAPI1052", text, "quantity", value)
    return value


def _price(value: object, *, priced: bool) -> float:
    if value is None and not priced:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= DEAREST:
        raise _refused("UDAPI100036", "'price' must be a number of rupees", "price", value)
    if priced and not value:
        raise _refused("UDAPI1008", "'price' is required", "price", value)
    return float(value)


def _one_of(given: Mapping[str, object], name: str, allowed: tuple[str, ...], code: str) -> str:
    value = given.get(name)
    if value not in allowed:
        raise _refused(code, f"'{name}' must be one of {', '.join(allowed)}", name, value)
    return str(value)


def _numbered(query: Mapping[str, str]) -> dict[str, object]:
    """Return the parameters of a query with the numbers read as such where they are numbers."""
    given: dict[str, object] = dict(query)
    for name, kind in (("quantity", int), ("price", float)):
        try:
            given[name] = kind(query[name])
        except (KeyError, ValueError):
            continue
    return given


def _refused(code: str, message: str, path: str, value: object) -> BrokerError:
    shown = value if isinstance(value, str | int | float | bool) else None
    finite = not isinstance(shown, float) or math.isfinite(shown)
    return BrokerError(400, code, message, path=path, value=shown if finite else str(shown))
