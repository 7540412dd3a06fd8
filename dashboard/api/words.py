"""What programs send and get: the shapes that OpenAPI documents. Money in rupees, times ISO UTC."""

import math
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from trading.basket import Basket, BasketRequest, LegReceipt, OnFilled
from trading.model import Instrument
from trading.order import (
    AccountState,
    Fill,
    Order,
    OrderChange,
    OrderRequest,
    OrderType,
    Product,
    Side,
    Validity,
)
from trading.positions import Position, Value


def printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("only characters that can be seen, and spaces")
    return text


Key = Annotated[str, Field(min_length=3, max_length=64)]
Nonce = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]
# It is shown on pages and stands in the log: no line breaks, nothing that turns the text around.
Name = Annotated[str, Field(max_length=60), AfterValidator(printable)]
# Strict: "75", 75.0 and true are not quantities, and a program that sends them is mistaken.
Units = Annotated[int, Field(strict=True, gt=0, le=100_000_000)]
Rupees = Annotated[float, Field(ge=0, le=10_000_000, allow_inf_nan=False)]


class Asked(BaseModel):
    """A request's body: what it does not know, it refuses."""

    model_config = ConfigDict(extra="forbid")


class NewOrder(Asked):
    """`nonce` is yours: one nonce, one order, however often it arrives.

    While an order of the same instrument and side is in doubt another one is refused, unless
    `despite_doubt` says why it is sent all the same.
    """

    nonce: Nonce
    instrument_key: Key
    side: Side
    quantity: Units
    product: Product = Product.INTRADAY
    order_type: OrderType = OrderType.MARKET
    price: Rupees = 0.0
    trigger: Rupees = 0.0
    validity: Validity = Validity.DAY
    reduces: bool = False
    despite_doubt: Annotated[str, Field(max_length=200), AfterValidator(printable)] = ""

    def request(self, account: str) -> OrderRequest:
        values = dict(self)
        despite = values.pop("despite_doubt")
        source = f"api, despite an order in doubt: {despite}" if despite else "api"
        return OrderRequest(account=account, source=source, **values)


class ChangedOrder(Asked):
    quantity: Units | None = None
    order_type: OrderType | None = None
    price: Rupees | None = None
    trigger: Rupees | None = None
    validity: Validity | None = None

    def change(self) -> OrderChange:
        return OrderChange(**dict(self))


class Leg(Asked):
    instrument_key: Key
    side: Side
    quantity: Units
    product: Product = Product.INTRADAY
    order_type: OrderType = OrderType.MARKET
    price: Rupees = 0.0
    trigger: Rupees = 0.0


class NewBatch(Asked):
    """1 to 10 legs. Not atomic: if one fails, what was done is compensated as `on_filled` says."""

    nonce: Nonce
    legs: list[Leg] = Field(min_length=1, max_length=10)
    rollback_on_failure: bool = True
    on_filled: OnFilled | None = None
    name: Name = ""

    def request(self, account: str) -> BasketRequest:
        legs = tuple(
            OrderRequest(account=account, nonce="", source="api", **dict(leg)) for leg in self.legs
        )
        return BasketRequest(
            legs, self.nonce, self.rollback_on_failure, self.on_filled, self.name, "api"
        )


class FieldProblem(BaseModel):
    field: str
    words: str


class Trouble(BaseModel):
    """Why something was not done; `sent` says whether anything may have reached the broker."""

    error: Literal["denied", "not found", "unauthorised", "invalid", "broker", "fault"]
    message: str
    sent: bool = False
    problems: list[FieldProblem] = []


class StepOut(BaseModel):
    status: str
    raw_status: str
    filled: int
    at: datetime
    seen_by: str
    message: str


class OrderOut(BaseModel):
    id: str
    account: str
    instrument_key: str
    side: Side
    quantity: int
    filled: int
    pending: int
    product: str
    order_type: str
    price: float
    trigger: float
    validity: str
    status: str
    average_price: float | None
    message: str
    source: str
    external: bool
    is_mock: bool
    batch_id: str
    leg: int
    broker_orders: list[str]
    created: datetime
    updated: datetime
    steps: list[StepOut]


def order_out(order: Order) -> OrderOut:
    asked = order.request
    return OrderOut(
        id=order.id,
        account=asked.account,
        instrument_key=asked.instrument_key,
        side=asked.side,
        quantity=asked.quantity,
        filled=order.filled,
        pending=order.pending,
        product=asked.product,
        order_type=asked.order_type,
        price=asked.price,
        trigger=asked.trigger,
        validity=asked.validity,
        status=order.status,
        average_price=rupees(order.average_price),
        message=order.message,
        source=asked.source,
        external=order.external,
        is_mock=order.is_mock,
        batch_id=asked.batch_id,
        leg=asked.leg,
        broker_orders=[child.order_id for child in order.children],
        created=order.created,
        updated=order.updated,
        steps=[
            StepOut(
                status=s.status, raw_status=s.raw_status, filled=s.filled, at=s.at,
                seen_by=s.seen_by, message=s.message,
            )
            for s in order.steps
        ],
    )  # fmt: skip


class FillOut(BaseModel):
    account: str
    order_id: str
    trade_id: str
    instrument_key: str
    product: str
    side: Side
    quantity: int
    price: float | None
    at: datetime
    is_mock: bool


def fill_out(fill: Fill) -> FillOut:
    return FillOut(
        account=fill.account, order_id=fill.order_id, trade_id=fill.trade_id,
        instrument_key=fill.instrument_key, product=fill.product, side=fill.side,
        quantity=fill.quantity, price=rupees(fill.price), at=fill.at, is_mock=fill.is_mock,
    )  # fmt: skip


class ValueOut(BaseModel):
    """Rupees; null is unknown, and `missing` says of which instruments. Never a zero instead."""

    realised: float | None
    unrealised: float | None
    total: float | None
    complete: bool
    missing: list[str]
    price_age_seconds: float | None


def value_out(value: Value) -> ValueOut:
    return ValueOut(
        realised=from_paise(value.realised),
        unrealised=from_paise(value.unrealised),
        total=from_paise(value.total),
        complete=value.complete,
        missing=list(value.missing),
        price_age_seconds=value.as_of,
    )


class PositionOut(BaseModel):
    account: str
    instrument_key: str
    product: str
    quantity: int
    average: float | None
    multiplier: float
    carried: bool
    in_doubt: str
    is_mock: bool
    pnl: ValueOut


def position_out(position: Position, value: Value) -> PositionOut:
    return PositionOut(
        account=position.account,
        instrument_key=position.instrument_key,
        product=position.product,
        quantity=position.quantity,
        average=rupees(position.average),
        multiplier=position.multiplier,
        carried=position.carried,
        in_doubt=position.in_doubt,
        is_mock=position.is_mock,
        pnl=value_out(value),
    )


class InstrumentOut(BaseModel):
    """What can be traded; tick size and strike in rupees, quantities in units."""

    instrument_key: str
    title: str
    segment: str
    type: str
    lot_size: int
    tick_size: float
    freeze_quantity: int
    expiry: date | None
    strike: float | None


def instrument_out(instrument: Instrument) -> InstrumentOut:
    return InstrumentOut(
        instrument_key=instrument.instrument_key,
        title=instrument.title,
        segment=instrument.segment,
        type=instrument.type,
        lot_size=instrument.lot_size,
        tick_size=instrument.tick_size,
        freeze_quantity=instrument.freeze_quantity,
        expiry=instrument.expiry,
        strike=instrument.strike,
    )


class AccountOut(BaseModel):
    id: str
    name: str
    primary: bool
    is_mock: bool
    signed_in: bool | None
    reason: str
    available: float | None
    used: float | None


def account_out(state: AccountState) -> AccountOut:
    funds = state.funds
    return AccountOut(
        id=state.account.id,
        name=state.account.name,
        primary=state.account.primary,
        is_mock=state.account.is_mock,
        signed_in=state.signed_in,
        reason=state.reason,
        available=None if funds is None else from_paise(funds.available),
        used=None if funds is None else from_paise(funds.used),
    )


class LegOut(BaseModel):
    """What became of one leg; `residual` null means that nobody knows yet."""

    number: int
    instrument_key: str
    side: Side
    quantity: int
    status: str
    order_id: str
    filled: int
    average: float | None
    reversed: int
    residual: int | None
    reason: str
    answer_ms: float | None
    final_ms: float | None


def leg_out(leg: LegReceipt) -> LegOut:
    return LegOut(
        number=leg.number, instrument_key=leg.request.instrument_key, side=leg.request.side,
        quantity=leg.request.quantity, status=leg.status, order_id=leg.order_id,
        filled=leg.filled, average=rupees(leg.average), reversed=leg.reversed,
        residual=leg.residual, reason=leg.reason, answer_ms=leg.answer_ms, final_ms=leg.final_ms,
    )  # fmt: skip


class BatchOut(BaseModel):
    """`success` is true only if all legs stand; a residual is never a success."""

    id: str
    account: str
    name: str
    outcome: str
    success: bool
    final: bool
    asking: bool
    reason: str
    is_mock: bool
    problems: list[FieldProblem]
    legs: list[LegOut]
    created: datetime
    updated: datetime


def batch_out(basket: Basket) -> BatchOut:
    return BatchOut(
        id=basket.id,
        account=basket.account,
        name=basket.name,
        outcome=basket.state,
        success=basket.state == "placed",
        final=basket.state.final,
        asking=basket.asking,
        reason=basket.reason,
        is_mock=basket.is_mock,
        problems=[FieldProblem(field=p.field, words=p.words) for p in basket.problems],
        legs=[leg_out(leg) for leg in basket.legs],
        created=basket.created,
        updated=basket.updated,
    )


def rupees(price: float) -> float | None:
    """Return a price for JSON, which knows no NaN."""
    return price if math.isfinite(price) else None


def from_paise(paise: int | None) -> float | None:
    return None if paise is None else paise / 100


def trouble(error: Trouble) -> dict[str, Any]:
    return error.model_dump()
