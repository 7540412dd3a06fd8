"""Baskets as a trader uses them: put together, reviewed, sent, and the truth about every leg."""

import asyncio
import time
from datetime import timedelta

import pytest
from nicegui import ui
from nicegui.testing import User

from dashboard.format import rupees
from dashboard.payoff_chart import PayoffChart
from tests.dashboard.conftest import serving
from tests.dashboard.fakes import ALWAYS, CALL, NIFTY, OPEN_NOW, PUT, RELIANCE, make_desk
from tests.dashboard.hands import (
    broker,
    drawn,
    enter,
    eventually,
    found,
    marker,
    press,
    price,
    text,
    title,
)
from tests.trading.scripted import After
from trading.basket import BasketState
from trading.clock import ExchangeTime, ManualClock
from trading.desk import Desk
from trading.errors import BadRequest, Retryable, Unanswered
from trading.model import Instrument
from trading.order import Funds, OrderRequest, OrderType, Product, Side
from trading.strategies import Template

SPOT = 24_500.0
# the condor of width 2 and wing 2 around 24,500, by rising strike
CONDOR = {24_300: ("PE", Side.BUY, 40.0), 24_400: ("PE", Side.SELL, 62.0),
          24_600: ("CE", Side.SELL, 66.0), 24_700: ("CE", Side.BUY, 42.0)}  # fmt: skip


async def legs_of(desk: Desk) -> list[tuple[Instrument, Side, float]]:
    options = await desk.catalogue.options(NIFTY)
    named = {(o.strike, str(o.type)): o for o in options}
    return [(named[strike, kind], side, at) for strike, (kind, side, at) in CONDOR.items()]


async def prices(desk: Desk) -> None:
    price(desk, NIFTY, SPOT)
    for option, _, at in await legs_of(desk):
        price(desk, option.instrument_key, at)
        broker(desk).fills[option.instrument_key] = at


async def condor(user: User, desk: Desk) -> None:
    await prices(desk)
    await user.open("/baskets")
    await eventually(lambda: found(user, "expiry")[-1].value)  # type: ignore[attr-defined]
    press(user, "use-template")
    await eventually(lambda: text(user, "basket-premium") != "—")


async def open_sheet(user: User) -> None:
    press(user, "review-basket")
    await eventually(lambda: found(user, "send"))
    await eventually(lambda: found(user, "send")[-1].enabled)  # type: ignore[attr-defined]


@pytest.fixture
def desk() -> Desk:
    """A desk whose time runs: baskets wait for their legs by the clock."""
    begun = time.monotonic()
    running = ExchangeTime(lambda: OPEN_NOW + timedelta(seconds=time.monotonic() - begun))
    return make_desk(running, rules=ALWAYS)


async def test_a_template_says_what_it_promises_and_costs(user: User, desk: Desk) -> None:
    await condor(user, desk)

    # bought at the ask, sold at the bid: (61.9 + 65.9 - 40.1 - 42.1) * 75
    assert text(user, "basket-premium") == "₹3,420.00 received"
    assert text(user, "basket-gain") == "+₹3,420.00"
    assert text(user, "basket-loss") == "-₹4,080.00"
    assert text(user, "basket-evens") == "24,354.40 · 24,645.60"
    await eventually(lambda: text(user, "basket-final") == "₹18,000.00")
    assert text(user, "basket-margin") == "₹21,352.50"
    assert text(user, "basket-unwinding") == "₹510.40"  # 4 spreads of 0.20 * 75, 8 charges


async def test_the_pay_off_is_drawn_before_anything_is_sent(user: User, desk: Desk) -> None:
    await condor(user, desk)

    (chart,) = user.find(kind=PayoffChart).elements
    assert chart.picture is not None
    assert chart.picture["strikes"] == [24300.0, 24400.0, 24600.0, 24700.0]
    assert chart.picture["spot"] == SPOT
    points = dict(chart.picture["points"])  # type: ignore[call-overload]
    assert points[24_400.0] == points[24_600.0] == 3420.0
    assert points[24_300.0] == points[24_700.0] == -4080.0
    assert broker(desk).sent == []


async def test_a_sent_basket_gives_a_receipt_for_each_leg(user: User, desk: Desk) -> None:
    await condor(user, desk)
    await open_sheet(user)
    assert text(user, "review-title") == "Review: Iron condor, 4 legs"

    press(user, "send")
    await eventually(lambda: found(user, "basket-state"))
    await eventually(lambda: text(user, "basket-state") == "placed")

    # (62 + 66 - 40 - 42) * 75
    assert text(user, "basket-meaning") == (
        "Every leg is filled. Net premium ₹3,450.00 received, before charges."
    )
    assert text(user, "leg-1").startswith("✓ filled 40.00")
    assert text(user, "leg-3").startswith("✓ filled 66.00")
    sides = [line.request.side for line in broker(desk).sent]
    assert sides == [Side.BUY, Side.BUY, Side.SELL, Side.SELL]


async def test_two_presses_in_one_turn_send_one_basket(user: User, desk: Desk) -> None:
    await condor(user, desk)
    await open_sheet(user)

    press(user, "send")
    press(user, "send")
    await eventually(lambda: found(user, "basket-state"))
    await asyncio.sleep(0.05)

    assert len(desk.baskets.all()) == 1
    assert len(broker(desk).sent) == 4


async def test_a_rejected_leg_is_told_and_the_others_are_reversed(user: User, desk: Desk) -> None:
    broker(desk).script = [None, None, BadRequest("RMS: margin short by ₹12,340")]
    await condor(user, desk)
    await open_sheet(user)

    press(user, "send")
    await eventually(lambda: found(user, "basket-state"))
    await eventually(lambda: text(user, "basket-state") == "reversed", within=10)

    assert text(user, "leg-2") == "✗ rejected: RMS: margin short by ₹12,340"
    assert text(user, "undone-1").startswith("↩ reversed 75 at 40.00, cost ₹")
    basket = desk.baskets.all()[-1]
    assert basket.cost is not None
    on_prices = sum(leg.price_cost or 0 for leg in basket.legs)
    assert text(user, "basket-summary").endswith(
        f"cost {rupees(basket.cost)}: {rupees(on_prices)} on prices, "
        f"{rupees(basket.cost - on_prices)} of charges"
    )
    assert [leg.residual for leg in basket.legs] == [0, 0, 0, 0]
    await user.open("/orders")
    press(user, "tab-batches")
    assert text(user, "basket-state") == "reversed"


async def test_an_unresolved_basket_stands_above_every_page_until_noted(
    user: User, desk: Desk
) -> None:
    """Leg 3 is rejected, and so is every attempt to reverse the others."""
    refusals = [BadRequest("circuit limit reached") for _ in range(40)]
    broker(desk).script = [None, None, BadRequest("no"), None, *refusals]
    await condor(user, desk)
    await open_sheet(user)

    press(user, "send")
    await eventually(lambda: found(user, "basket-state"))
    await eventually(lambda: text(user, "basket-state") == "UNRESOLVED", within=30)

    assert text(user, "alarm").startswith("✖ UNRESOLVED: Iron condor of ")
    assert "NAKED LEG, 75 left: circuit limit reached" in text(user, "undone-3")
    assert "75 left: kept, because it covers leg 3" in text(user, "undone-1")
    await user.open("/status")
    assert text(user, "alarm").startswith("✖ UNRESOLVED")
    press(user, "acknowledge")
    assert found(user, "alarm") == []
    assert desk.baskets.all()[-1].acknowledged is not None


async def test_a_basket_that_asks_waits_for_the_choice(user: User, desk: Desk) -> None:
    broker(desk).script = [None, None, BadRequest("no")]
    await condor(user, desk)
    press(user, "on-filled-ask")
    assert "asks you about what was filled" in text(user, "promise")
    await open_sheet(user)
    press(user, "send")
    await eventually(lambda: found(user, "basket-state"))
    await eventually(lambda: text(user, "basket-state") == "waits for you", within=10)

    press(user, "decide-keep")

    await eventually(lambda: desk.baskets.all()[-1].state is BasketState.PARTIAL_KEPT, within=10)
    assert text(user, "basket-state") == "partly kept"


async def test_a_basket_with_a_leg_in_doubt_is_not_sent(user: User, desk: Desk) -> None:
    await condor(user, desk)
    await open_sheet(user)
    option = (await legs_of(desk))[0][0]
    broker(desk).script = [After(Unanswered("the connection broke"))]
    asked = OrderRequest(
        "main", option.instrument_key, Side.BUY, 75, Product.INTRADAY, OrderType.MARKET, "n"
    )
    await desk.orders.place(asked)

    press(user, "send")
    await asyncio.sleep(0.05)

    assert desk.baskets.all() == []
    assert "An order for one of these legs is in doubt" in text(user, "refusal")


async def test_without_rollback_the_words_say_what_may_be_left(user: User, desk: Desk) -> None:
    await condor(user, desk)
    (switch,) = found(user, "rollback")
    assert isinstance(switch, ui.switch)

    switch.set_value(False)

    assert text(user, "promise").startswith("If a leg fails, the others stay as they are")
    await open_sheet(user)
    assert text(user, "review-promise") == text(user, "promise")


async def test_too_little_margin_locks_the_button(user: User, desk: Desk) -> None:
    broker(desk).has = Funds(available=1_000_00, used=0)
    await condor(user, desk)

    press(user, "review-basket")
    words = "₹18,000.00 is needed, ₹1,000.00 is available"
    await eventually(lambda: found(user, "refusal") and words in text(user, "refusal"))

    assert not found(user, "send")[-1].enabled  # type: ignore[attr-defined]
    await eventually(lambda: words in text(user, "problem-basket"))


async def test_what_the_broker_does_not_tell_is_a_dash_with_its_reason(
    user: User, desk: Desk
) -> None:
    broker(desk).cost_error = Retryable("status 503")
    await condor(user, desk)

    await eventually(lambda: "503" in text(user, "basket-unknown"))

    assert text(user, "basket-margin") == "—"
    assert "503" in title(user, "basket-margin")


async def test_legs_are_put_together_by_hand_and_judged_together(user: User, desk: Desk) -> None:
    price(desk, CALL, 140.0)
    price(desk, RELIANCE, 2944.6)
    await user.open("/baskets")
    for key, words in ((CALL, "24000 CE"), (CALL, "24000 CE"), (RELIANCE, "RELIANCE")):
        enter(user, "leg-search", words)
        await drawn(user, marker("found", key))
        press(user, marker("found", key))
        await asyncio.sleep(0.05)

    await eventually(lambda: "different underlyings" in text(user, "why-no-payoff"))
    twice = "leg 2 is the same instrument and product as leg 1"
    said = [e.text for e in found(user, marker("problem-leg", CALL))]  # type: ignore[attr-defined]
    await eventually(
        lambda: twice in [e.text for e in found(user, marker("problem-leg", CALL))]  # type: ignore[attr-defined]
    )
    assert said == ["", ""]
    press(user, marker("remove", CALL))
    press(user, marker("remove", RELIANCE))
    await eventually(lambda: text(user, "basket-loss") == "-₹10,507.50")
    assert text(user, "basket-gain") == "unlimited"


async def test_a_leg_with_a_wrong_price_opens_no_sheet(user: User, desk: Desk) -> None:
    price(desk, CALL, 140.0)
    await user.open("/baskets")
    enter(user, "leg-search", "24000 CE")
    await drawn(user, marker("found", CALL))
    press(user, marker("found", CALL))
    await eventually(lambda: found(user, marker("type", CALL) + "-LIMIT"))
    press(user, marker("type", CALL) + "-LIMIT")

    enter(user, marker("price", CALL), "140.01")
    press(user, "review-basket")
    await asyncio.sleep(0.05)

    assert found(user, "send") == []
    assert text(user, "problem-basket") == "First mend leg 1."
    assert "not a multiple of 0.05" in text(user, f"problem-{marker('price', CALL)}")


async def test_a_template_that_does_not_fit_says_why(user: User, desk: Desk) -> None:
    await user.open("/baskets")
    await eventually(lambda: found(user, "expiry")[-1].value)  # type: ignore[attr-defined]
    press(user, "use-template")
    said = text(user, "problem-template")
    assert said.startswith("The strikes cannot be centred on NIFTY: ")

    price(desk, NIFTY, SPOT)
    enter(user, "width", "50")
    press(user, "use-template")
    assert "is listed 52 strikes" in text(user, "problem-template")
    enter(user, "width", "x")
    enter(user, "wing", "")
    enter(user, "lots", "1.5")
    press(user, "use-template")

    assert text(user, "problem-template") == (
        "Width: “x” is not a whole number above zero; Wing: say how many; "
        "Lots: “1.5” is not a whole number above zero"
    )


async def test_a_template_asks_only_for_what_it_uses(user: User, desk: Desk) -> None:
    await prices(desk)
    await user.open("/baskets")
    await eventually(lambda: found(user, "expiry")[-1].value)  # type: ignore[attr-defined]
    enter(user, "wing", "x")
    (chosen,) = found(user, "template")
    assert isinstance(chosen, ui.select)

    for template, shown in (
        (Template.LONG_STRADDLE, [False, False, True]),
        (Template.IRON_FLY, [False, True, True]),
        (Template.BULL_CALL, [True, False, True]),
    ):
        chosen.set_value(template)
        assert [found(user, n)[-1].visible for n in ("width", "wing", "lots")] == shown
    press(user, "use-template")

    await eventually(lambda: text(user, "problem-template") == "")
    assert len([e for e in user.client.elements.values() if "v-leg" in e.classes]) == 3  # type: ignore[union-attr]


async def test_strikes_are_not_centred_on_a_stale_price(
    clock: ManualClock, no_errors: None
) -> None:
    """The strikes around the price of a minute ago are not those around the price of now."""
    desk = make_desk(clock, rules=ALWAYS)
    async with serving(desk) as user:
        price(desk, NIFTY, SPOT)
        await user.open("/baskets")
        await eventually(lambda: found(user, "expiry")[-1].value)  # type: ignore[attr-defined]
        clock.advance(60.0)

        press(user, "use-template")

        said = text(user, "problem-template")
        assert said.startswith("The strikes cannot be centred on NIFTY: the feed's last price is")
        await user.should_see("No leg yet")


async def test_the_review_says_what_the_basket_promises(user: User, desk: Desk) -> None:
    await condor(user, desk)

    await open_sheet(user)

    assert text(user, "review-premium") == "₹3,420.00 received"
    assert text(user, "review-gain") == "+₹3,420.00"
    assert text(user, "review-loss") == "-₹4,080.00"
    assert text(user, "review-evens") == "24,354.40 · 24,645.60"


async def test_two_presses_on_review_open_one_sheet(user: User, desk: Desk) -> None:
    await condor(user, desk)

    press(user, "review-basket")
    press(user, "review-basket")

    assert len(found(user, "review-dialog")) == 1


async def test_more_than_ten_legs_are_refused_in_words(user: User, desk: Desk) -> None:
    await user.open("/baskets")
    for _ in range(11):
        enter(user, "leg-search", "24000 PE")
        await drawn(user, marker("found", PUT))
        press(user, marker("found", PUT))
        await asyncio.sleep(0.03)

    assert text(user, "problem-basket") == "A basket has at most 10 legs."
    assert len(found(user, marker("leg", PUT))) == 10


async def test_the_product_of_the_page_is_that_of_every_leg(user: User, desk: Desk) -> None:
    await condor(user, desk)
    press(user, "basket-product-D")
    await open_sheet(user)
    press(user, "send")
    await eventually(lambda: len(broker(desk).sent) == 4)

    assert {line.request.product for line in broker(desk).sent} == {Product.DELIVERY}
