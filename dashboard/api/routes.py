"""REST for programs: orders, positions, P&L, baskets. Every refusal says what was not sent."""

import logging
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from dashboard.api.words import (
    AccountOut,
    BatchOut,
    ChangedOrder,
    FieldProblem,
    FillOut,
    InstrumentOut,
    NewBatch,
    NewOrder,
    OrderOut,
    PositionOut,
    Trouble,
    ValueOut,
    account_out,
    batch_out,
    fill_out,
    instrument_out,
    order_out,
    position_out,
    value_out,
)
from trading.checks import doubtful
from trading.desk import Desk
from trading.errors import Denied, Problem, VigilError
from trading.order import Order
from trading.orders import denial

log = logging.getLogger(__name__)

WORDS: Final = """
Show the token of the data folder's file `api_token` as `Authorization: Bearer ...`.

A `nonce` of your own makes a call safe to repeat: one nonce, one order or basket; for something
else it is refused. An order that got no answer is `in doubt`: it is looked for, never sent again.
Unknown numbers are null. `reduces` marks an exit, which is allowed when entries are not: it is
believed as far as a position is there to be closed.

WebSockets: `/api/ws/orders/{account_id}`, `/api/ws/orders` (all accounts) and `/api/ws/status`.
Every message is a JSON object with a `type`: `connection_established`, `order_update`,
`position_update`, `status_update`, `error`, `ping`, `pong`. An order that changes several times
within an instant is told once; its `steps` are all there. Answer a `ping` with
`{"type": "pong"}`; who says nothing for 90 seconds is disconnected.
"""
Which = Literal["all", "working", "done"]
REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    401: {"model": Trouble},
    404: {"model": Trouble},
    409: {"model": Trouble},
    422: {"model": Trouble},
    500: {"model": Trouble},
    502: {"model": Trouble},
}


class NotFound(Exception):
    """The address names something that is not there."""


def create_api(desk: Desk) -> FastAPI:
    """Build the application that is mounted under /api; the guard has checked the token."""
    api = FastAPI(
        title="Vigil", description=WORDS, version="1", docs_url=None, redoc_url=None,
        responses=REFUSALS, redirect_slashes=False,
    )  # fmt: skip
    _account_routes(api, desk)
    _order_routes(api, desk)
    _batch_routes(api, desk)
    _refusals(api)
    return api


def _account_routes(api: FastAPI, desk: Desk) -> None:
    @api.get("/accounts")
    async def accounts() -> list[AccountOut]:
        return [account_out(state) for state in desk.accounts.all()]

    @api.get("/instruments")
    async def instruments(
        text: Annotated[str, Query(min_length=1, max_length=60)],
    ) -> list[InstrumentOut]:
        """Find instruments by words of their name, symbol or strike; at most 20."""
        return [instrument_out(i) for i in await desk.catalogue.search(text)]

    @api.get("/accounts/{account_id}/positions")
    async def positions(account_id: str) -> list[PositionOut]:
        _known(desk, account_id)
        found = desk.positions.positions(account_id)
        return [position_out(position, desk.positions.value(position)) for position in found]

    @api.get("/accounts/{account_id}/pnl")
    async def pnl(account_id: str) -> ValueOut:
        _known(desk, account_id)
        return value_out(desk.positions.total(account_id))

    @api.get("/accounts/{account_id}/fills")
    async def fills(account_id: str) -> list[FillOut]:
        _known(desk, account_id)
        return [fill_out(fill) for fill in desk.orders.book.fills(account_id)]


def _order_routes(api: FastAPI, desk: Desk) -> None:
    @api.get("/accounts/{account_id}/orders")
    async def orders(account_id: str, which: Which = "all") -> list[OrderOut]:
        _known(desk, account_id)
        return [order_out(o) for o in desk.orders.orders(account_id) if _is(o, which)]

    @api.get("/accounts/{account_id}/orders/{order_id}")
    async def order(account_id: str, order_id: str) -> OrderOut:
        return order_out(_order(desk, account_id, order_id))

    @api.post("/accounts/{account_id}/orders", status_code=201)
    async def place(account_id: str, body: NewOrder) -> OrderOut:
        """Send one order. It was not sent unless the answer is 201."""
        _known(desk, account_id)
        request = body.request(account_id)
        again = doubtful(desk.orders.working(account_id), request)
        pressed = any(o.request.nonce == body.nonce for o in desk.orders.orders(account_id))
        if again is not None and not pressed and not body.despite_doubt:
            words = f"order {again.id} for the same is in doubt: wait, or say why you send another"
            raise denial([Problem("despite_doubt", words)])
        return order_out(await desk.orders.place(request))

    @api.patch("/accounts/{account_id}/orders/{order_id}")
    async def modify(account_id: str, order_id: str, body: ChangedOrder) -> OrderOut:
        _order(desk, account_id, order_id)
        return order_out(await desk.orders.modify(order_id, body.change()))

    @api.delete("/accounts/{account_id}/orders/{order_id}")
    async def cancel(account_id: str, order_id: str) -> OrderOut:
        """Ask for a cancellation; the answer is the order as it is then, perhaps filled."""
        _order(desk, account_id, order_id)
        return order_out(await desk.orders.cancel(order_id))


def _batch_routes(api: FastAPI, desk: Desk) -> None:
    @api.post("/accounts/{account_id}/batch-orders")
    async def send(account_id: str, body: NewBatch) -> BatchOut:
        """Send 1 to 10 legs together and wait for the outcome; `success` only if all stand."""
        _known(desk, account_id)
        return batch_out(await desk.baskets.send(body.request(account_id)))

    @api.get("/accounts/{account_id}/batch-orders")
    async def batches(account_id: str) -> list[BatchOut]:
        _known(desk, account_id)
        return [batch_out(b) for b in desk.baskets.all() if b.account == account_id]

    @api.get("/accounts/{account_id}/batch-orders/{batch_id}")
    async def batch(account_id: str, batch_id: str) -> BatchOut:
        found = desk.baskets.get(batch_id)
        if found is None or found.account != account_id:
            raise NotFound(f"no basket {batch_id!r} in account {account_id!r}")
        return batch_out(found)


def _is(order: Order, which: Which) -> bool:
    return which == "all" or order.status.final == (which == "done")


def _known(desk: Desk, account_id: str) -> None:
    if desk.accounts.get(account_id) is None:
        raise NotFound(f"no account {account_id!r} in the settings")


def _order(desk: Desk, account_id: str, order_id: str) -> Order:
    found = desk.orders.get(order_id)
    if found is None or found.request.account != account_id:
        raise NotFound(f"no order {order_id!r} in account {account_id!r} today")
    return found


def _refusals(api: FastAPI) -> None:
    @api.exception_handler(Denied)
    async def denied(_: Request, error: Denied) -> JSONResponse:
        problems = [FieldProblem(field=p.field, words=p.words) for p in error.problems]
        return _answer(409, Trouble(error="denied", message=str(error), problems=problems))

    @api.exception_handler(NotFound)
    async def not_found(_: Request, error: NotFound) -> JSONResponse:
        return _answer(404, Trouble(error="not found", message=str(error)))

    @api.exception_handler(VigilError)
    async def broker(_: Request, error: VigilError) -> JSONResponse:
        return _answer(502, Trouble(error="broker", message=str(error), sent=True))

    @api.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        problems = _problems(error.errors())
        words = "; ".join(f"{p.field}: {p.words}" for p in problems)
        message = f"{words}. Nothing was sent."
        return _answer(422, Trouble(error="invalid", message=message, problems=problems))

    @api.exception_handler(HTTPException)
    async def other(_: Request, error: HTTPException) -> JSONResponse:
        missing = error.status_code == 404
        kind: Literal["not found", "invalid"] = "not found" if missing else "invalid"
        message = f"{str(error.detail).rstrip('.')}. Nothing was sent."
        return _answer(error.status_code, Trouble(error=kind, message=message))

    @api.exception_handler(Exception)
    async def fault(_: Request, error: Exception) -> JSONResponse:  # the log has all of it
        message = "the desk itself failed: something may have been sent, look before you repeat it"
        return _answer(500, Trouble(error="fault", message=message, sent=True))


def _problems(errors: Sequence[Any]) -> list[FieldProblem]:
    """Name the field of each error; what was sent is not repeated, it may be anything."""
    return [FieldProblem(field=_field(item), words=item["msg"]) for item in errors]


def _field(error: Any) -> str:
    within = "" if error["type"] == "json_invalid" else ".".join(map(str, error["loc"][1:]))
    return within or "body"


def _answer(status: int, trouble: Trouble) -> JSONResponse:
    return JSONResponse(trouble.model_dump(), status_code=status)
