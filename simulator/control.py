"""The control routes: what a test or a demonstration may change while the exchange runs."""

from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.responses import Response

from simulator.calendar import IST
from simulator.envelope import BrokerError, Json, answer, success
from simulator.faults import UnknownFault
from simulator.tokens import USER, Token
from simulator.venue import Venue


class Wish(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SetFault(BaseModel):
    """A fault's name and, beside it, its parameters."""

    model_config = ConfigDict(extra="allow")

    name: str

    @property
    def parameters(self) -> dict[str, Any]:
        return self.model_extra or {}


class SetClock(Wish):
    """Either a moment (ISO; without a zone it is IST) or seconds to go forward."""

    set: datetime | None = None
    advance: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _one(self) -> "SetClock":
        if (self.set is None) == (self.advance is None):
            raise ValueError("give either set or advance")
        return self

    def target(self, now: datetime) -> datetime:
        if self.set is None:
            return now + timedelta(seconds=self.advance or 0.0)
        return self.set if self.set.tzinfo else self.set.replace(tzinfo=IST)


class ChangeTokens(Wish):
    """Issue a fresh token (of this very text, if one is given), or revoke one."""

    action: Literal["issue", "revoke"] = "issue"
    token: str = ""
    user: str = USER
    lasting: bool = False

    @model_validator(mode="after")
    def _whose(self) -> "ChangeTokens":
        if self.action == "revoke" and not self.token:
            raise ValueError("revoke needs the token")
        return self


class SetWebhook(Wish):
    """Where order messages are posted to; empty: nowhere."""

    url: str


W = TypeVar("W", bound=BaseModel)


async def wish(request: Request, kind: type[W]) -> W:
    """Read a body as `kind`; raise BrokerError 400 that says what is wrong with it."""
    try:
        return kind.model_validate(orjson.loads(await request.body()))
    except orjson.JSONDecodeError as trouble:
        raise BrokerError(400, message=f"not JSON: {trouble}") from None
    except ValidationError as trouble:
        causes = (
            f"{'.'.join(map(str, item['loc'])) or 'body'}: {item['msg']}"
            for item in trouble.errors(include_url=False, include_input=False)
        )
        raise BrokerError(400, message="; ".join(causes)) from None


def control_routes(venue: Venue) -> APIRouter:
    routes = APIRouter(prefix="/control")

    @routes.get("/faults")
    async def show_faults() -> Response:
        return answer(success(venue.faults.show()))

    @routes.post("/faults")
    async def set_fault(request: Request) -> Response:
        asked = await wish(request, SetFault)
        try:
            venue.faults.set(asked.name, **asked.parameters)
        except UnknownFault as trouble:
            raise BrokerError(400, message=str(trouble)) from None
        return answer(success(venue.faults.show()))

    @routes.delete("/faults")
    async def clear_faults(name: str | None = None) -> Response:
        try:
            venue.faults.clear(name)
        except UnknownFault as trouble:
            raise BrokerError(400, message=str(trouble)) from None
        return answer(success(venue.faults.show()))

    @routes.get("/clock")
    async def show_clock() -> Response:
        return answer(success(clock_row(venue)))

    @routes.post("/clock")
    async def set_clock(request: Request) -> Response:
        asked = await wish(request, SetClock)
        venue.clock.set(asked.target(venue.clock.now()))
        return answer(success(clock_row(venue)))

    @routes.get("/ledger")
    async def show_ledger() -> Response:
        return answer(success(venue.ledger.summary()))

    @routes.get("/ledger/rows")
    async def show_rows(start: int = 0, count: int = 10_000) -> Response:
        """Tell ticks sent, as lists in the order of `Sent`; only what has been kept."""
        try:
            rows = [list(row) for row in venue.ledger.rows(start, count)]
        except LookupError as trouble:
            raise BrokerError(404, message=str(trouble)) from None
        return answer(success(rows))

    @routes.get("/webhook")
    async def show_webhook() -> Response:
        return answer(success(webhook_row(venue)))

    @routes.post("/webhook")
    async def set_webhook(request: Request) -> Response:
        asked = await wish(request, SetWebhook)
        try:
            venue.webhook.aim(asked.url)
        except ValueError as trouble:
            raise BrokerError(400, message=str(trouble)) from None
        return answer(success(webhook_row(venue)))

    @routes.post("/tokens")
    async def change_tokens(request: Request) -> Response:
        asked = await wish(request, ChangeTokens)
        if asked.action == "revoke":
            return answer(success({"revoked": venue.tokens.revoke(asked.token)}))
        if asked.token:
            return answer(
                success(
                    token_row(venue.tokens.add(asked.token, user=asked.user, lasting=asked.lasting))
                )
            )
        return answer(success(token_row(venue.tokens.issue(user=asked.user))))

    return routes


def clock_row(venue: Venue) -> Json:
    return {
        "now_ms": venue.clock.now_ms(),
        "speed": venue.clock.speed,
        "always_open": venue.calendar.always_open,
        "simulated": True,
    }


def webhook_row(venue: Venue) -> Json:
    posted = [item._asdict() for item in tuple(venue.ledger.posted)[-100:]]
    shown = [row | {"message": row["message"].decode()} for row in posted]
    return {"url": venue.webhook.url, "posted": shown}


def token_row(token: Token) -> Json:
    return {"access_token": token.value, "user_id": token.user, "expires_at": token.expires}
