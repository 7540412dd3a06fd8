"""The tables of the account: orders with their lives, fills, baskets, P&L, and the paper account.

Sums of money are integer paise; an unknown price is NULL. `world` says whose market it was and who
executed ("simulated broker", "upstox paper", ...): orders of one world are neither seen nor touched
in another, also if the account has the same name. `is_mock` is repeated for the person who looks.

Nothing here is deleted but points of the P&L curve.
"""

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Integer, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from storage.tables import METADATA as METADATA  # with what is registered below

# Literally as in the queries, else SQLite does not see that the small index holds all of them.
ORDER_IS_OPEN: Final = "status IN ('sent', 'in doubt', 'working')"
BASKET_IS_OPEN: Final = (
    "(state IN ('validating', 'placing', 'compensating') "
    "OR (state = 'unresolved' AND acknowledged IS NULL))"
)


class _Request(SQLModel):
    """What somebody wants, see `trading.order.OrderRequest`."""

    account: str
    instrument_key: str
    side: str
    quantity: int
    product: str
    order_type: str
    nonce: str
    price: float | None
    trigger: float | None
    validity: str
    source: str
    reduces: bool
    batch_id: str
    leg: int


class OrderRow(_Request, table=True):
    """An intent of ours, or an order that was placed elsewhere.

    `press` is the nonce of the first of those that were committed together, empty for an external
    order, whose own nonce is no press of ours.
    """

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("world", "id"),
        Index("uq_orders_nonce", "nonce", unique=True, sqlite_where=text("NOT external")),
        Index(None, "press"),
        Index(None, "world", "created"),
        Index("ix_orders_open", "world", sqlite_where=text(ORDER_IS_OPEN)),
    )

    number: int | None = Field(default=None, primary_key=True)  # in the order of arrival
    id: str
    world: str
    press: str
    status: str
    created: int
    updated: int
    external: bool
    filled: int
    average_price: float | None
    message: str
    is_mock: bool


class OrderStepRow(SQLModel, table=True):
    """One moment of an order's life; never changed once it is written."""

    __tablename__ = "order_steps"
    __table_args__ = {"sqlite_with_rowid": False}

    intent: int = Field(sa_column=Column(Integer, ForeignKey("orders.number"), primary_key=True))
    position: int = Field(primary_key=True)
    status: str
    raw_status: str
    filled: int
    at: int
    seen_by: str
    message: str
    is_mock: bool


class _BrokerOrder(SQLModel):
    """The broker's words about one order of its own, see `trading.order.BrokerOrder`."""

    world: str
    account: str
    order_id: str
    tag: str
    instrument_key: str
    side: str
    quantity: int
    product: str
    order_type: str
    price: float | None
    trigger: float | None
    validity: str
    status: str
    raw_status: str
    filled: int
    average_price: float | None
    message: str
    parent_id: str
    exchange_order_id: str
    placed: int | None
    exchange_time: int | None
    is_amo: bool
    is_mock: bool


class BrokerOrderRow(_BrokerOrder, table=True):
    """A child of an intent: one of the broker's orders belongs to exactly one."""

    __tablename__ = "broker_orders"
    __table_args__ = (
        UniqueConstraint("world", "account", "order_id"),
        Index(None, "intent", "position"),
    )

    number: int | None = Field(default=None, primary_key=True)
    intent: int = Field(sa_column=Column(Integer, ForeignKey("orders.number"), nullable=False))
    position: int


class BasketRow(SQLModel, table=True):
    """All-or-compensate, see `trading.basket.Basket`; a refused one may come without a nonce."""

    __tablename__ = "baskets"
    __table_args__ = (
        UniqueConstraint("world", "id"),
        Index("uq_baskets_nonce", "nonce", unique=True, sqlite_where=text("nonce <> ''")),
        Index(None, "world", "created"),
        Index("ix_baskets_open", "world", sqlite_where=text(BASKET_IS_OPEN)),
    )

    number: int | None = Field(default=None, primary_key=True)
    id: str
    world: str
    account: str
    nonce: str
    name: str
    source: str
    rollback_on_failure: bool
    on_filled: str
    state: str
    created: int
    updated: int
    problems: str  # JSON: pairs of field and words
    reason: str
    decision: str | None
    asking: bool
    acknowledged: int | None
    is_mock: bool


class BasketLegRow(_Request, table=True):
    """One leg and what became of it; `order_id` is ours, empty if it was never sent."""

    __tablename__ = "basket_legs"

    basket: int = Field(sa_column=Column(Integer, ForeignKey("baskets.number"), primary_key=True))
    number: int = Field(primary_key=True)
    status: str
    order_id: str
    filled: int
    average: float | None
    reason: str
    reversal_ids: str  # JSON
    reversed: int
    reversed_average: float | None
    reversal_reason: str
    residual: int | None
    answer_ms: float | None
    final_ms: float | None
    price_cost: int | None
    charges: int | None
    is_mock: bool


class BasketStepRow(SQLModel, table=True):
    __tablename__ = "basket_steps"
    __table_args__ = {"sqlite_with_rowid": False}

    basket: int = Field(sa_column=Column(Integer, ForeignKey("baskets.number"), primary_key=True))
    position: int = Field(primary_key=True)
    state: str
    at: int
    words: str
    is_mock: bool


class _Fill(SQLModel):
    world: str
    account: str
    order_id: str
    trade_id: str
    instrument_key: str
    product: str
    side: str
    quantity: int
    price: float | None
    at: int
    is_mock: bool


class FillRow(_Fill, table=True):
    """An execution; `trade_id` is a made-up "~1" while only the order has told of it."""

    __tablename__ = "fills"
    __table_args__ = (
        UniqueConstraint("world", "account", "order_id", "trade_id"),
        Index(None, "world", "at"),
    )

    number: int | None = Field(default=None, primary_key=True)


class PnlPointRow(SQLModel, table=True):
    """The day's P&L of one account at one moment, see `trading.ports.PnlPoint`."""

    __tablename__ = "pnl_points"
    __table_args__ = {"sqlite_with_rowid": False}

    world: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    at: int = Field(primary_key=True)
    realised: int | None
    unrealised: int | None
    complete: bool
    is_mock: bool


class LatchRow(SQLModel, table=True):
    """What a person said once and what holds over a restart, see `latch.py`."""

    __tablename__ = "latches"
    __table_args__ = {"sqlite_with_rowid": False}

    world: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    value: str
    is_mock: bool


# The paper account: the book of a broker that exists only here. It is read once, at the start, and
# each fill waits until it is written: an index more would cost each of them a page.


class PaperAccountRow(SQLModel, table=True):
    """`opening` counts how often the account was opened with positions of the day before."""

    __tablename__ = "paper_accounts"
    __table_args__ = {"sqlite_with_rowid": False}

    world: str = Field(primary_key=True)
    account: str = Field(primary_key=True)
    cash: int
    opening: int
    is_mock: bool


class PaperOrderRow(_BrokerOrder, table=True):
    __tablename__ = "paper_orders"
    __table_args__ = (UniqueConstraint("world", "account", "order_id"),)

    number: int | None = Field(default=None, primary_key=True)
    opening: int  # since which it belongs to the account


class PaperFillRow(_Fill, table=True):
    __tablename__ = "paper_fills"
    __table_args__ = (UniqueConstraint("world", "account", "order_id", "trade_id"),)

    number: int | None = Field(default=None, primary_key=True)
    opening: int


class PaperPositionRow(SQLModel, table=True):
    """What an account was opened with; rupees as a broker tells them."""

    __tablename__ = "paper_positions"
    __table_args__ = (UniqueConstraint("world", "account", "position"),)

    number: int | None = Field(default=None, primary_key=True)
    world: str
    account: str
    position: int
    instrument_key: str
    product: str
    quantity: int
    multiplier: float | None
    day_buy_quantity: int
    day_buy_value: float | None
    day_sell_quantity: int
    day_sell_value: float | None
    overnight_quantity: int
    overnight_buy_quantity: int
    overnight_buy_amount: float | None
    overnight_sell_quantity: int
    overnight_sell_amount: float | None
    last_price: float | None
    close_price: float | None
    is_mock: bool
