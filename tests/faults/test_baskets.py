"""Baskets through the whole desk and the running exchange: the outcome is the broker's book."""

import asyncio
import os
import random
from pathlib import Path
from typing import Any

import pytest

from tests.faults.dealing import Dealing, dealing
from trading.basket import Basket, BasketRequest, BasketState, LegStatus, OnFilled
from trading.order import OrderRequest, OrderType, Side
from trading.strategies import Template, build

SEEDS = int(os.environ.get("TEST_BASKETS", "12"))  # random baskets, each on a desk of its own
# What may go wrong with a leg, as faults of the exchange.
TROUBLES: tuple[dict[str, Any], ...] = (
    {"name": "reject_order", "how": "status"},
    {"name": "reject_order", "how": "status", "after": 0.4},
    {"name": "reject_order", "how": "answer", "code": "UDAPI1052"},
    {"name": "rest_order"},
    {"name": "place_lost", "how": "after", "next": 1},
    {"name": "place_lost", "how": "before", "next": 1},
    {"name": "cancel_loses", "how": "filled"},
    {"name": "place_delay", "seconds": 0.3},
)


async def test_an_iron_condor_stands_as_the_broker_says(tmp_path: Path) -> None:
    async with dealing(tmp_path) as desk:
        basket = await sent(desk, await condor(desk))
        await desk.agrees()

        assert basket.state is BasketState.PLACED
        assert [leg.status for leg in basket.legs] == [LegStatus.FILLED] * 4
        assert {leg.request.instrument_key: leg.filled * leg.request.side.sign
                for leg in basket.legs} == desk.truly_held()  # fmt: skip
        desk.check()


async def test_a_third_leg_that_is_rejected_has_the_others_reversed_and_says_what_it_cost(
    tmp_path: Path,
) -> None:
    async with dealing(tmp_path) as desk:
        desk.fault("reject_order", how="status", line=3, next=1)
        basket = await sent(desk, await condor(desk))
        await desk.agrees()

        assert basket.state is BasketState.REVERSED
        assert desk.truly_held() == {}
        rejected = [leg for leg in basket.legs if leg.status is LegStatus.REJECTED]
        assert len(rejected) == 1
        assert "Rs." in rejected[0].reason or "RMS" in rejected[0].reason
        assert [leg.residual for leg in basket.legs] == [0, 0, 0, 0]
        assert basket.cost is not None
        desk.check()


async def test_a_payload_that_the_broker_refuses_sends_nothing(tmp_path: Path) -> None:
    async with dealing(tmp_path) as desk:
        legs = await condor(desk)
        basket = await desk.desk.baskets.send(
            BasketRequest((legs[0], legs[0]), nonce="twice", name="the same leg twice")
        )

        assert basket.state is BasketState.REFUSED
        assert basket.problems
        assert desk.truth()["requests"] == []


async def test_keeping_what_was_filled_is_told_as_partly_kept(tmp_path: Path) -> None:
    async with dealing(tmp_path) as desk:
        desk.fault("reject_order", how="status", line=4, next=1)
        basket = await sent(desk, await condor(desk), on_filled=OnFilled.KEEP)
        await desk.agrees()

        assert basket.state is BasketState.PARTIAL_KEPT
        assert sum(abs(units) for units in desk.truly_held().values()) > 0
        desk.check()


async def test_a_reversal_that_is_refused_too_ends_unresolved_and_alarms(tmp_path: Path) -> None:
    async with dealing(tmp_path) as desk:
        legs = await condor(desk)
        alarms: list[Basket] = []
        desk.desk.baskets.unresolved.subscribe(alarms.append)
        desk.fault("reject_order", how="status", line=4, next=1)
        sending = asyncio.ensure_future(sent(desk, legs, within=60))
        await desk.until(lambda: len(desk.placed()) >= 4, within=5)
        desk.fault("reject_order", how="status")
        basket = await sending

        assert basket.state is BasketState.UNRESOLVED
        assert alarms
        assert basket.alarming
        acknowledged = desk.desk.baskets.acknowledge(basket.id)
        assert not acknowledged.alarming
        left = {leg.request.instrument_key: leg.residual for leg in basket.legs if leg.residual}
        assert left.keys() == desk.truly_held().keys()


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_random_baskets_with_random_troubles_end_as_the_broker_says(
    tmp_path: Path, seed: int
) -> None:
    """Our book equals the broker's in the end, or the basket says that it does not know."""
    chance = random.Random(seed)
    async with dealing(tmp_path, seed=seed) as desk:
        legs = random_legs(desk, chance)
        for _ in range(chance.randint(0, 2)):
            trouble = dict(chance.choice(TROUBLES))
            name = trouble.pop("name")
            if "order" in name:
                trouble |= {"line": chance.randint(1, len(legs))}
            desk.fault(name, **trouble)
        basket = await sent(desk, legs, within=60)
        print(f"seed {seed}: {len(legs)} legs ended as {basket.state}")
        desk.exchange.faults.clear()
        if basket.state is BasketState.UNRESOLVED:
            return
        await desk.until(lambda: settled(desk, basket), within=15, what="agreement with the broker")

        desk.check()
        now = desk.desk.baskets.get(basket.id)
        assert now is not None
        if now.state in (BasketState.NOTHING_DONE, BasketState.REVERSED):
            assert desk.truly_held() == {}


def settled(desk: Dealing, basket: Basket) -> bool:
    """Say whether what our receipt leaves is what the broker holds, working legs aside."""
    now = desk.desk.baskets.get(basket.id)
    if now is None or any(leg.residual is None for leg in now.legs):
        return False
    left: dict[str, int] = {}
    for leg in now.legs:
        units = (leg.filled - leg.reversed) * leg.request.side.sign
        left[leg.request.instrument_key] = left.get(leg.request.instrument_key, 0) + units
    return {k: v for k, v in left.items() if v} == desk.truly_held() == desk.held()


async def sent(
    desk: Dealing, legs: list[OrderRequest], *, within: float = 30, **changes: Any
) -> Basket:
    asked = BasketRequest(tuple(legs), nonce=f"basket-{random.random()}", **changes)
    basket = await desk.desk.baskets.send(asked)
    if not basket.state.final:
        async with asyncio.timeout(within):
            basket = await desk.desk.baskets.finished(basket.id)
    return basket


async def condor(desk: Dealing) -> list[OrderRequest]:
    """Return an iron condor around the money, every leg priced by the feed."""
    catalogue = desk.vigil.catalogue
    option = desk.option()
    options = await catalogue.options(option.underlying_key)
    nearest = min(o.expiry for o in options if o.expiry)
    spot = desk.exchange.market.quotes["NSE_INDEX|Nifty 50"].ltp
    listed = [o for o in options if o.expiry == nearest]
    legs = build(Template.IRON_CONDOR, listed, spot=spot, width=1, wing=1)
    product = desk.request().product
    found = [leg.request(account="main", product=product) for leg in legs]
    desk.desk.marks.want("test", [leg.instrument_key for leg in found])
    await desk.vigil.marks.poll()
    return found


def random_legs(desk: Dealing, chance: random.Random) -> list[OrderRequest]:
    """Return 1 to 10 legs: mostly bought options, a few sold ones that the account can afford."""
    count = chance.randint(1, 10)
    keys = [(n, kind) for n in range(5) for kind in ("CE", "PE")]
    legs = []
    for n, kind in chance.sample(keys, count):
        side = Side.BUY if chance.random() < 0.8 else Side.SELL
        legs.append(
            desk.request(instrument=desk.option(n, kind), side=side, order_type=OrderType.MARKET)
        )
    return legs
