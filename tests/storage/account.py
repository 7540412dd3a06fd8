"""Orders, fills and baskets for tests: plain ones, and any that hypothesis can think of."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from trading.model import UNKNOWN
from trading.order import (
    BrokerOrder,
    BrokerPosition,
    Fill,
    Order,
    OrderFills,
    OrderRequest,
    OrderStatus,
    OrderType,
    Product,
    Side,
    Step,
    Validity,
)

CALL = "NSE_FO|45450"
MORNING = datetime(2026, 11, 20, 3, 45, tzinfo=UTC)  # 09:15 IST
SECOND = timedelta(seconds=1)


def request(nonce: str, **fields: Any) -> OrderRequest:
    plain = OrderRequest(
        account="main",
        instrument_key=CALL,
        side=Side.BUY,
        quantity=150,
        product=Product.INTRADAY,
        order_type=OrderType.LIMIT,
        nonce=nonce,
        price=142.6,
    )
    return replace(plain, **fields)


def intent(nonce: str, *, at: datetime = MORNING, is_mock: bool = True, **fields: Any) -> Order:
    """Return an order as it is committed: nothing was sent yet."""
    return Order(
        f"vigil-{nonce}", request(nonce, **fields), OrderStatus.SENT, at, at, is_mock=is_mock
    )


def child(order: Order, number: str, **fields: Any) -> BrokerOrder:
    wanted = order.request
    plain = BrokerOrder(
        account=wanted.account,
        order_id=number,
        tag=order.id,
        instrument_key=wanted.instrument_key,
        side=wanted.side,
        quantity=wanted.quantity,
        product=wanted.product,
        order_type=wanted.order_type,
        price=wanted.price,
        trigger=wanted.trigger,
        validity=wanted.validity,
        status=OrderStatus.WORKING,
        raw_status="open",
        filled=0,
        average_price=UNKNOWN,
        placed=MORNING,
    )
    return replace(plain, **fields)


def moved(order: Order, status: OrderStatus, *children: BrokerOrder, **fields: Any) -> Order:
    """Return an order one step further, a second later."""
    at = order.updated + SECOND
    step = Step(status, status.value, fields.get("filled", order.filled), at, "stream")
    return replace(
        order,
        status=status,
        updated=at,
        steps=(*order.steps, step),
        children=children or order.children,
        **fields,
    )


def fill(number: str = "1", trade_id: str = "t1", **fields: Any) -> Fill:
    plain = Fill(
        account="main",
        order_id=number,
        trade_id=trade_id,
        instrument_key=CALL,
        product=Product.INTRADAY,
        side=Side.BUY,
        quantity=75,
        price=142.6,
        at=MORNING,
        is_mock=True,
    )
    return replace(plain, **fields)


def fills(*of_one_order: Fill) -> OrderFills:
    return OrderFills(of_one_order[0].account, of_one_order[0].order_id, of_one_order)


def position(instrument_key: str = CALL, **fields: Any) -> BrokerPosition:
    plain = BrokerPosition(
        account="main",
        instrument_key=instrument_key,
        product=Product.DELIVERY,
        quantity=75,
        multiplier=1.0,
        day_buy_quantity=0,
        day_buy_value=0.0,
        day_sell_quantity=0,
        day_sell_value=0.0,
        overnight_quantity=75,
        overnight_buy_quantity=75,
        overnight_buy_amount=10_695.0,
        overnight_sell_quantity=0,
        overnight_sell_amount=0.0,
    )
    return replace(plain, **fields)


# Anything at all

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
words = st.sampled_from(["", "<b>it's</b>", "'; DROP TABLE orders; --", "नमस्ते", "\x00\n\t"]) | texts
whole = st.integers(-(1 << 63), (1 << 63) - 1)
prices = st.just(UNKNOWN) | st.floats(allow_nan=False)
moments = st.integers(0, 4_102_444_800_000).map(
    lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)

requests = st.builds(
    OrderRequest,
    account=words,
    instrument_key=words,
    side=st.sampled_from(Side),
    quantity=whole,
    product=st.sampled_from(Product),
    order_type=st.sampled_from(OrderType),
    nonce=words,
    price=prices,
    trigger=prices,
    validity=st.sampled_from(Validity),
    source=words,
    reduces=st.booleans(),
    batch_id=words,
    leg=whole,
)
children = st.builds(
    BrokerOrder,
    account=words,
    order_id=words,
    tag=words,
    instrument_key=words,
    side=st.sampled_from(Side),
    quantity=whole,
    product=st.sampled_from(Product),
    order_type=st.sampled_from(OrderType),
    price=prices,
    trigger=prices,
    validity=st.sampled_from(Validity),
    status=st.sampled_from(OrderStatus),
    raw_status=words,
    filled=whole,
    average_price=prices,
    message=words,
    parent_id=words,
    exchange_order_id=words,
    placed=st.none() | moments,
    exchange_time=st.none() | moments,
    is_amo=st.booleans(),
)
steps = st.builds(
    Step,
    status=st.sampled_from(OrderStatus),
    raw_status=words,
    filled=whole,
    at=moments,
    seen_by=words,
    message=words,
)
orders = st.builds(
    Order,
    id=words,
    request=requests,
    status=st.sampled_from(OrderStatus),
    created=moments,
    updated=moments,
    is_mock=st.booleans(),
    external=st.booleans(),
    filled=whole,
    average_price=prices,
    message=words,
    children=st.lists(children, max_size=3).map(tuple),
    steps=st.lists(steps, max_size=5).map(tuple),
)
executions = st.builds(
    Fill,
    account=words,
    order_id=words,
    trade_id=words,
    instrument_key=words,
    product=st.sampled_from(Product),
    side=st.sampled_from(Side),
    quantity=whole,
    price=prices,
    at=moments,
    is_mock=st.booleans(),
)
positions = st.builds(
    BrokerPosition,
    account=words,
    instrument_key=words,
    product=st.sampled_from(Product),
    quantity=whole,
    multiplier=prices,
    day_buy_quantity=whole,
    day_buy_value=prices,
    day_sell_quantity=whole,
    day_sell_value=prices,
    overnight_quantity=whole,
    overnight_buy_quantity=whole,
    overnight_buy_amount=prices,
    overnight_sell_quantity=whole,
    overnight_sell_amount=prices,
    last_price=prices,
    close_price=prices,
)
