import math
import random
from datetime import UTC, datetime

import pytest

from tests.ticks import CALL, T0, tick
from trading.model import UNKNOWN, Part
from trading.order import BrokerOrder, OrderStatus, OrderType, Product, Side, Validity
from trading.paper_match import (
    NoOffer,
    Offer,
    execution,
    of_tick,
    offer,
    precedence,
    reach,
    triggers,
)

NOW = 1000.0
BUY, SELL = Side.BUY, Side.SELL


def order(
    side: Side = BUY,
    *,
    price: float = 0.0,
    trigger: float = 0.0,
    quantity: int = 150,
    filled: int = 0,
    raw: str = "open",
    kind: OrderType = OrderType.LIMIT,
) -> BrokerOrder:
    return BrokerOrder(
        "main",
        "P1",
        "vigil-1",
        CALL,
        side,
        quantity,
        Product.DELIVERY,
        kind,
        price,
        trigger,
        Validity.DAY,
        OrderStatus.WORKING,
        raw,
        filled,
        UNKNOWN,
        placed=datetime(2025, 11, 26, 4, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("fields", "side", "price", "quantity"),
    [
        ({}, BUY, 142.7, 225),
        ({}, SELL, 142.5, 300),
        ({"ask": 142.6}, BUY, 142.6, 225),  # locked, not crossed
        ({"price_received": UNKNOWN}, BUY, 142.7, 225),
        ({"price_received": NOW - 60}, BUY, 142.7, 225),
        ({"ltp": 144.0, "book_received": NOW - 3}, BUY, 144.0, 225),
        ({"ltp": 141.0, "book_received": NOW - 3}, BUY, 142.7, 225),
        ({"ltp": 141.0, "book_received": NOW - 3}, SELL, 141.0, 300),
        ({"book_received": UNKNOWN}, BUY, 142.6, None),
        ({"book_received": NOW - 5.01}, SELL, 142.6, None),
        ({"book_received": NOW - 5.0}, SELL, 142.5, 300),
        ({"day_low": UNKNOWN, "day_high": UNKNOWN, "ltp": 90.0}, BUY, 142.7, 225),
    ],
)
def test_an_offer_is_never_better_than_the_market(
    fields: dict, side: Side, price: float, quantity: int | None
) -> None:
    shown = of_tick(tick(received=NOW)._replace(**fields))
    found = offer(shown, side, now=NOW, since=NOW - 1)

    assert isinstance(found, Offer)
    assert (found.price, found.quantity) == (price, quantity)
    assert ("ltp-only" in found.basis) == (quantity is None)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"ltp": 150.0}, "suspect price"),  # above the day's high
        ({"ltp": 121.35}, "suspect price"),
        ({"ltp": 0.0}, "suspect price"),
        ({"ltp": -1.0}, "suspect price"),
        ({"ltp": math.inf}, "suspect price"),
        ({"ltp": 1e308}, "suspect price"),
        ({"ltp": 5e-324}, "suspect price"),
        ({"bid": 143.0}, "suspect price"),  # above the ask
        ({"ask_qty": 0}, "no seller is shown"),
        ({"ask": UNKNOWN}, "no seller is shown"),
        ({"ask": 0.0}, "no seller is shown"),
        ({"ask": math.inf}, "no seller is shown"),
        ({"received": NOW - 5.1}, "no live price"),
        ({"book_received": UNKNOWN, "ltt": T0 - 5_001}, "no live price"),
        ({"book_received": UNKNOWN, "price_received": NOW - 2}, "no live price"),
    ],
)
def test_nothing_is_offered_at_an_old_or_suspect_price(fields: dict, kind: str) -> None:
    made = tick(received=fields.pop("received", NOW))
    found = offer(of_tick(made._replace(**fields)), BUY, now=NOW, since=NOW - 1)

    assert isinstance(found, NoOffer)
    assert found.kind == kind


@pytest.mark.parametrize(
    ("side", "price", "filled"),
    [(BUY, 142.7, True), (BUY, 142.65, False), (SELL, 142.5, True), (SELL, 142.55, False)],
)
def test_a_limit_is_reached_at_its_price_and_not_before(
    side: Side, price: float, filled: bool
) -> None:
    offered = offer(of_tick(tick(received=NOW)), side, now=NOW, since=NOW)
    assert isinstance(offered, Offer)
    found = execution(order(side, price=price), offered, taken=0, lot=75)

    assert (found is not None) == filled


@pytest.mark.parametrize(
    ("quantity", "filled", "taken", "fills"),
    [(150, 0, 0, 150), (300, 0, 0, 225), (300, 225, 0, 75), (300, 0, 75, 150), (300, 0, 151, None)],
)
def test_an_execution_is_whole_lots_of_what_is_left(
    quantity: int, filled: int, taken: int, fills: int | None
) -> None:
    offered = offer(of_tick(tick(received=NOW)), BUY, now=NOW, since=NOW)
    assert isinstance(offered, Offer)
    held = order(quantity=quantity, filled=filled, kind=OrderType.MARKET)
    found = execution(held, offered, taken=taken, lot=75)

    assert (found.quantity if found else None) == fills


@pytest.mark.parametrize(
    ("side", "ltp", "fires"),
    [(BUY, 145.0, True), (BUY, 144.95, False), (SELL, 145.0, True), (SELL, 145.05, False)],
)
def test_a_trigger_fires_at_its_price(side: Side, ltp: float, fires: bool) -> None:
    waiting = order(side, trigger=145.0, raw="trigger pending", kind=OrderType.SL_M)
    shown = of_tick(tick(ltp=ltp, bid=1.0, ask=999.0, received=NOW))

    assert triggers(waiting, shown, now=NOW, since=NOW - 1) == fires
    assert not triggers(waiting, shown, now=NOW, since=NOW), "the trade is not after it"
    assert not triggers(waiting, shown, now=NOW + 5.1, since=NOW - 1), "it is old"


def test_market_orders_are_served_first_then_the_best_limit() -> None:
    buys = [order(price=140.0), order(price=141.0), order(kind=OrderType.MARKET)]
    sells = [order(SELL, price=140.0), order(SELL, price=141.0)]

    assert [o.price for o in sorted(buys, key=precedence)] == [0.0, 141.0, 140.0]
    assert [o.price for o in sorted(sells, key=precedence)] == [140.0, 141.0]


def test_the_filter_never_keeps_a_tick_from_an_order_that_it_reaches() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    reached = 0
    for _ in range(20_000):
        held = _any_order(rng)
        parts = rng.choice((Part(511), Part.PRICE, Part.BOOK))
        ltp = rng.randrange(2600, 2900) / 20
        made = tick(ltp=ltp, bid=ltp - 0.1, ask=ltp + 0.1, received=NOW, parts=parts)
        shown = of_tick(made)
        if held.raw_status == "trigger pending":
            acts = triggers(held, shown, now=NOW, since=NOW - 1)
        else:
            offered = offer(shown, held.side, now=NOW, since=NOW - 1)
            acts = (
                isinstance(offered, Offer) and execution(held, offered, taken=0, lot=75) is not None
            )
        reached += acts
        assert reach([held]).met(made) or not acts

    assert reached > 1_000


def _any_order(rng: random.Random) -> BrokerOrder:
    kind = rng.choice(list(OrderType))
    price = rng.randrange(2600, 2900) / 20 if kind.has_price else 0.0
    trigger = rng.randrange(2600, 2900) / 20 if kind.has_trigger else 0.0
    raw = rng.choice(("open", "trigger pending")) if kind.has_trigger else "open"
    return order(rng.choice((BUY, SELL)), price=price, trigger=trigger, raw=raw, kind=kind)
