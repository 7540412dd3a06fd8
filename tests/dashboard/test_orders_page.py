"""Orders as a trader uses them: bought, refused, lost, changed and cancelled, always in words."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from nicegui import ui
from nicegui.testing import User

from dashboard.drafts import Drafts
from dashboard.frame import Keys, Tab
from dashboard.ledger import Ledger
from dashboard.live import Pulse, emit
from dashboard.order_rows import STEP
from dashboard.pages import orders as orders_page
from dashboard.sheet import Sheet
from dashboard.ticket import open_ticket
from dashboard.watchlist import Watchlist
from tests.dashboard.conftest import serving
from tests.dashboard.dealing import MemoryStream, send
from tests.dashboard.fakes import CALL, MAIN, NIFTY, PUT, RELIANCE, make_desk
from tests.dashboard.hands import (
    broker,
    drawn,
    enter,
    eventually,
    fire,
    found,
    kept,
    marker,
    only,
    press,
    price,
    text,
    title,
)
from tests.trading.scripted import After
from trading.clock import ManualClock
from trading.desk import Desk, World
from trading.errors import BadRequest, Retryable, Unanswered
from trading.order import (
    Account,
    BrokerOrder,
    OrderRequest,
    OrderStatus,
    OrderType,
    Product,
    Side,
    Validity,
)
from trading.orders import Patience
from trading.ports import FeedState

QUICK = Patience(first_look=30.0, confirm=30.0)  # no look in the background disturbs a test


@pytest.fixture
def desk(clock: ManualClock) -> Desk:
    return make_desk(clock, patience=QUICK)


async def choose(user: User, key: str = CALL, words: str = "24000 CE") -> None:
    enter(user, "ticket-search", words)
    await drawn(user, marker("found", key))
    press(user, marker("found", key))
    await eventually(lambda: found(user, "ticket-title"))


async def open_sheet(user: User) -> None:
    """Review what is on the ticket, and wait until the desk has been asked."""
    press(user, "review")
    await eventually(lambda: found(user, "send"))
    await eventually(lambda: not text(user, "refusal").startswith("Asking"))


async def ready(user: User, desk: Desk) -> None:
    """Open the page with a ticket on which everything is in order."""
    price(desk, CALL)
    await user.open("/orders")
    await choose(user)


def can_send(user: User) -> bool:
    return bool(found(user, "send")[-1].enabled)  # type: ignore[attr-defined]


async def test_a_bought_option_is_told_in_words_and_counted(user: User, desk: Desk) -> None:
    broker(desk).fills[CALL] = 142.7
    await ready(user, desk)
    press(user, "lots-more")
    await open_sheet(user)
    assert text(user, "sentence") == "Buy 2 lots (150) NIFTY 27 NOV 24000 CE at the market"
    assert text(user, "send") == "Send SIMULATED buy"

    press(user, "send")
    await eventually(lambda: found(user, "result-happened"))

    assert text(user, "result-happened") == (
        "Filled: bought 2 lots (150) NIFTY 27 NOV 24000 CE at 142.70."
    )
    assert text(user, "result-money").startswith("Worth ₹21,405.00 before charges.")
    assert only(desk).request.quantity == 150
    press(user, "tab-done")
    assert text(user, "status") == "● filled"
    assert text(user, "filled") == "150 / 150"


async def test_two_presses_in_one_turn_send_one_order(user: User, desk: Desk) -> None:
    """U03: a double click arrives as two events in one turn of the loop."""
    await ready(user, desk)
    await open_sheet(user)

    press(user, "send")
    press(user, "send")
    await eventually(lambda: found(user, "result-happened"))
    press(user, "send")
    await asyncio.sleep(0.05)

    assert len(broker(desk).sent) == 1
    assert len(kept(desk).kept) == 1


async def test_the_same_order_reviewed_in_two_tabs_is_sent_once(
    user: User, another_user: Callable[[], User], desk: Desk
) -> None:
    """U03: both sheets were open before either was pressed."""
    await ready(user, desk)
    other = another_user()
    await other.open("/orders")
    await choose(other)
    await open_sheet(user)
    await open_sheet(other)

    press(user, "send")
    press(other, "send")
    await eventually(lambda: found(user, "result-happened"))
    await eventually(lambda: text(other, "refusal").startswith("This was sent from another sheet"))

    assert len(broker(desk).sent) == 1
    await eventually(lambda: not can_send(other))


async def test_two_presses_on_review_open_one_sheet(user: User, desk: Desk) -> None:
    """A double click, or Enter twice in a field: the second sheet would outlive the first."""
    await ready(user, desk)

    press(user, "review")
    press(user, "review")
    await eventually(lambda: found(user, "review-dialog"))
    await asyncio.sleep(0.05)
    press(user, "review")
    await asyncio.sleep(0.05)

    assert len(found(user, "review-dialog")) == 1
    fire(user, "review-dialog", "hide")
    await open_sheet(user)
    assert len(found(user, "review-dialog")) == 1


async def test_a_press_that_is_not_answered_says_so_and_offers_no_cancel(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    await ready(user, desk)
    await open_sheet(user)
    broker(desk).delay.clear()
    assert text(user, "review-cancel") == "Cancel"

    press(user, "send")
    await eventually(lambda: broker(desk).sent)
    assert text(user, "refusal") == "Being sent. Closing this does not take it back."
    assert text(user, "review-cancel") == "Close"
    clock.advance(4.0)
    await eventually(lambda: text(user, "refusal").startswith("No answer for 4.0s"))
    assert "Do not send it again" in text(user, "refusal")
    broker(desk).delay.set()
    await eventually(lambda: found(user, "result-happened"))

    assert text(user, "refusal") == ""
    assert text(user, "result-happened").startswith("Accepted")


async def test_what_is_reviewed_after_it_was_sent_is_a_new_order(user: User, desk: Desk) -> None:
    await ready(user, desk)
    for _ in range(2):
        await open_sheet(user)
        press(user, "send")
        await eventually(lambda: found(user, "result-happened"))
        fire(user, "review-dialog", "hide")

    assert len({line.tag for line in broker(desk).sent}) == 2


async def test_going_back_or_reloading_after_the_press_sends_nothing_again(
    user: User, desk: Desk
) -> None:
    """U03: the sheet does not outlive its page, and the press was shielded."""
    await ready(user, desk)
    broker(desk).delay.clear()
    await open_sheet(user)
    press(user, "send")
    await eventually(lambda: broker(desk).sent)

    client = user.client
    assert client is not None
    client.delete()
    await user.open("/orders")
    broker(desk).delay.set()
    await eventually(lambda: only(desk).children)

    assert found(user, "send") == []
    assert len(broker(desk).sent) == 1
    assert only(desk).status is OrderStatus.WORKING


async def test_a_stale_price_locks_the_button_until_it_is_fresh(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    await ready(user, desk)
    await open_sheet(user)
    await eventually(lambda: can_send(user))

    clock.advance(6.0)
    await eventually(lambda: not can_send(user))
    assert "the feed's last price is 6 s old" in text(user, "refusal")
    price(desk, CALL)
    await eventually(lambda: can_send(user))


async def test_a_press_on_a_price_that_has_just_become_stale_sends_nothing(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    await ready(user, desk)
    await open_sheet(user)
    await eventually(lambda: can_send(user))

    clock.advance(6.0)
    press(user, "send")
    await asyncio.sleep(0.05)

    assert broker(desk).sent == []
    assert "no price to rely on" in text(user, "refusal")


async def test_what_the_desk_would_deny_locks_the_button_with_its_reason(
    user: User, desk: Desk
) -> None:
    desk.orders.gate.add(lambda _: "the day's loss limit was reached")
    await ready(user, desk)

    await open_sheet(user)

    assert text(user, "refusal") == "The desk would not send it: the day's loss limit was reached."
    assert not can_send(user)


async def test_a_real_order_needs_the_word_of_the_day(clock: ManualClock, no_errors: None) -> None:
    real = replace(MAIN, is_mock=False)
    desk = make_desk(clock, world=World("upstox", "broker"), accounts=[real], patience=QUICK)
    async with serving(desk) as user:
        await ready(user, desk)
        await open_sheet(user)
        assert "real orders are locked today" in text(user, "refusal")
        assert text(user, "send") == "Send LIVE buy"

        enter(user, "live-word", "live")
        press(user, "arm")
        await eventually(lambda: text(user, "problem-live-word"))
        assert text(user, "problem-live-word") == "type LIVE in capitals to send real orders today"
        assert not can_send(user)
        enter(user, "live-word", "LIVE")
        press(user, "arm")
        await eventually(lambda: can_send(user))
        press(user, "send")
        await eventually(lambda: found(user, "result-happened"))

        assert len(broker(desk).sent) == 1


@pytest.mark.parametrize(
    ("box", "typed", "words"),
    [
        ("lots", "1.5", "“1.5” is not a whole number above zero"),
        ("lots", "0", "“0” is not a whole number above zero"),
        ("lots", "-2", "“-2” is not a whole number above zero"),
        ("lots", "", "say how many"),
        ("lots", "<script>", "“<script>” is not a whole number above zero"),
        ("lots", "99999", "99,999 lots are 74,99,925 units: 7499925 is above"),
        ("lots", "1000000000", "1000000000 is more than 1,00,00,000"),
        ("price", "1000000000", "1000000000 is dearer than anything listed"),
        ("price", "99,50", "“99,50” is not a price above zero"),
        ("price", "142.1234567", "142.1234567 is finer than any tick"),
        ("price", "142.37", "142.37 is not a multiple of 0.05: 142.35 or 142.40"),
        ("price", "nan", "“nan” is not a price above zero"),
        ("price", "1e308", "“1e308” is not a price above zero"),
    ],
)
async def test_what_is_wrong_is_said_beside_its_field_and_opens_no_sheet(
    user: User, desk: Desk, box: str, typed: str, words: str
) -> None:
    await ready(user, desk)
    press(user, "type-LIMIT")

    enter(user, box, typed)
    press(user, "review")
    await asyncio.sleep(0.05)

    assert words in text(user, f"problem-{'lots' if box == 'lots' else box}")
    assert found(user, "send") == []


async def test_what_an_order_costs_is_asked_of_the_broker(user: User, desk: Desk) -> None:
    await ready(user, desk)

    await eventually(lambda: text(user, "cost-margin") != "—")

    costs = [text(user, f"cost-{name}") for name in ("margin", "charges", "funds")]
    assert costs == ["₹21,352.50", "₹56.30", "₹10,00,000.00"]


async def test_costs_that_nobody_tells_are_dashes_with_the_reason(user: User, desk: Desk) -> None:
    broker(desk).cost_error = Retryable("the broker answered with status 503")
    await ready(user, desk)

    await eventually(lambda: "503" in title(user, "cost-margin"))

    assert [text(user, f"cost-{n}") for n in ("margin", "charges", "funds")] == ["—", "—", "—"]


async def test_the_steppers_move_by_lot_and_by_tick(user: User, desk: Desk) -> None:
    await ready(user, desk)
    press(user, "type-LIMIT")
    assert found(user, "price")[-1].value == "142.60"  # type: ignore[attr-defined]

    press(user, "price-more")
    press(user, "take-bid")
    press(user, "price-less")
    for _ in range(24):
        press(user, "lots-more")

    assert found(user, "price")[-1].value == "142.45"  # type: ignore[attr-defined]
    assert text(user, "units") == "1,875 units · 2 slices"


async def test_a_rejection_keeps_its_reason_and_says_what_helps(user: User, desk: Desk) -> None:
    reason = "RMS: margin short by ₹12,340"
    broker(desk).script = [BadRequest(reason)]
    await ready(user, desk)
    await open_sheet(user)

    press(user, "send")
    await eventually(lambda: found(user, "result-happened"))

    assert text(user, "result-happened") == f"Rejected: {reason}."
    assert text(user, "result-money").startswith("Nothing was bought, no money moved.")
    assert text(user, "result-todo") == "Take fewer lots, free some margin, or add funds."
    press(user, "tab-rejected")
    assert text(user, "status") == "✖ rejected"
    assert text(user, "note") == f"{reason}. Take fewer lots, free some margin, or add funds."


async def lose_an_order(user: User, desk: Desk) -> None:
    broker(desk).script = [After(Unanswered("the connection broke"))]
    await ready(user, desk)
    await open_sheet(user)
    press(user, "send")
    await eventually(lambda: found(user, "result-happened"))


async def test_an_order_in_doubt_says_what_is_being_done(user: User, desk: Desk) -> None:
    await lose_an_order(user, desk)

    assert text(user, "status") == "? IN DOUBT"
    assert "looking for it at the broker" in text(user, "note")
    assert "with a typed reason" in text(user, "note")
    assert text(user, "result-money") == "It may have been bought or not."


async def test_a_leg_in_doubt_is_sent_again_only_with_a_typed_reason(
    user: User, desk: Desk
) -> None:
    await lose_an_order(user, desk)
    lost = only(desk)
    assert found(user, "doubt")[-1].visible

    press(user, "review")
    await asyncio.sleep(0.05)
    assert text(user, "problem-reason") == "type why it has to be sent again"
    assert len(broker(desk).sent) == 1
    press(user, "side-SELL")
    assert not found(user, "doubt")[-1].visible  # the other side is another leg
    press(user, "side-BUY")
    enter(user, "reason", "the broker's app shows nothing")
    fire(user, "review-dialog", "hide")
    await open_sheet(user)
    press(user, "send")
    await eventually(lambda: len(broker(desk).sent) == 2)

    asked = broker(desk).sent[-1].request
    assert asked.source == (
        f"ticket, although {lost.id} is in doubt: the broker's app shows nothing"
    )


async def test_a_sheet_that_was_open_before_the_doubt_refuses_too(
    user: User, another_user: Callable[[], User], desk: Desk
) -> None:
    other = another_user()
    price(desk, CALL)
    await other.open("/orders")
    await choose(other)
    press(other, "lots-more")
    await open_sheet(other)
    await eventually(lambda: can_send(other))

    await lose_an_order(user, desk)
    press(other, "send")
    await asyncio.sleep(0.05)

    assert len(broker(desk).sent) == 1
    assert "the same leg, is in doubt" in text(other, "refusal")


async def test_an_order_that_is_found_leaves_the_doubt_everywhere(user: User, desk: Desk) -> None:
    await lose_an_order(user, desk)

    await desk.orders.resolve(only(desk).id)

    assert text(user, "status") == "○ working"
    assert text(user, "note") == ""
    assert not found(user, "doubt")[-1].visible
    assert text(user, "result-happened").startswith("Accepted: Buy 1 lot")


def foreign(**changes: object) -> BrokerOrder:
    told = BrokerOrder(
        "main", "77", "", PUT, Side.SELL, 75, Product.DELIVERY, OrderType.SL, 90.0, 91.5,
        Validity.DAY, OrderStatus.WORKING, "trigger pending", 0, math.nan,
    )  # fmt: skip
    return replace(told, **changes)  # type: ignore[arg-type]


async def test_an_order_of_the_phone_app_is_shown_as_placed_elsewhere(
    user: User, desk: Desk
) -> None:
    await user.open("/orders")

    broker(desk).order_updates.emit(foreign())

    await user.should_see("placed elsewhere")
    assert title(user, "status") == "the broker's word: trigger pending"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"tag": "square-off"}, "squared off by the paper account"),
        ({"message": "settled at expiry: intrinsic value 12.00"}, "settled by the paper account"),
    ],
)
async def test_what_paper_execution_does_of_itself_is_not_called_placed_elsewhere(
    user: User, desk: Desk, told: dict[str, str], said: str
) -> None:
    await user.open("/orders")

    broker(desk).order_updates.emit(foreign(order_type=OrderType.MARKET, **told))

    await user.should_see(said)
    await user.should_not_see("placed elsewhere")


async def test_rows_follow_the_stream_from_tab_to_tab(user: User, desk: Desk) -> None:
    await ready(user, desk)
    await open_sheet(user)
    press(user, "send")
    await eventually(lambda: found(user, "status"))
    (number,) = broker(desk).book

    broker(desk).fill(number, 25, 142.5)
    assert text(user, "status") == "◐ part-filled"
    assert (text(user, "filled"), text(user, "average")) == ("25 / 75", "142.50")
    broker(desk).fill(number, price=142.6)
    assert found(user, "status") == []  # nothing works any more
    press(user, "tab-all")

    assert (text(user, "status"), text(user, "average")) == ("● filled", "142.60")


async def test_a_cancelled_order_says_what_stays(user: User, desk: Desk) -> None:
    await ready(user, desk)
    await open_sheet(user)
    press(user, "send")
    await eventually(lambda: found(user, "cancel"))
    (number,) = broker(desk).book
    broker(desk).fill(number, 25, 142.5)

    press(user, "cancel")
    await eventually(lambda: only(desk).status is OrderStatus.CANCELLED)

    await user.should_see("25 / 75 stay bought. Worth ₹3,562.50 before charges.")


async def test_a_cancel_that_is_confirmed_late_is_told_when_it_is(user: User, desk: Desk) -> None:
    broker(desk).confirms = False
    await ready(user, desk)
    await open_sheet(user)
    press(user, "send")
    await eventually(lambda: found(user, "cancel"))
    (number,) = broker(desk).book

    press(user, "cancel")
    await asyncio.sleep(0.1)
    await user.should_not_see("Cancel")  # not a word before it is known
    broker(desk).move(number, status=OrderStatus.CANCELLED, raw_status="cancelled")

    await user.should_see("Cancelled: Buy 1 lot (75) NIFTY 27 NOV 24000 CE at the market.")
    await user.should_see("Nothing was bought, no money moved.")


async def test_a_cancel_that_nobody_confirms_is_not_called_one(user: User, desk: Desk) -> None:
    broker(desk).confirms = False
    await ready(user, desk)
    await open_sheet(user)
    press(user, "send")
    await eventually(lambda: found(user, "cancel"))

    press(user, "cancel")

    await user.should_see("Cancel asked, not confirmed by the broker yet", retries=40)
    assert only(desk).status is OrderStatus.WORKING


async def test_a_refused_cancel_says_that_the_order_stands(user: User, desk: Desk) -> None:
    broker(desk).cancel_error = BadRequest("the exchange is closed")
    await ready(user, desk)
    await open_sheet(user)
    press(user, "send")
    await eventually(lambda: found(user, "cancel"))

    press(user, "cancel")

    await user.should_see("Not cancelled: the exchange is closed. The order stands as shown.")
    assert only(desk).status is OrderStatus.WORKING
    assert found(user, "cancel")[-1].parent_slot.parent.visible  # type: ignore[union-attr]


async def test_a_working_order_is_changed_and_what_is_wrong_is_said_beside_the_field(
    user: User, desk: Desk
) -> None:
    await ready(user, desk)
    press(user, "type-LIMIT")
    await open_sheet(user)
    press(user, "send")
    await eventually(lambda: found(user, "modify"))

    press(user, "modify")
    press(user, "change")
    await eventually(lambda: text(user, "problem-change"))
    assert text(user, "problem-change") == "Nothing is different from what stands."
    enter(user, "change-price", "140.03")
    press(user, "change")
    await eventually(lambda: text(user, "problem-change-price"))
    assert text(user, "problem-change-price").startswith("140.03 is not a multiple of 0.05")
    enter(user, "change-price", "140")
    press(user, "change")
    press(user, "change")
    (number,) = broker(desk).book
    await eventually(lambda: broker(desk).book[number].price == 140.0)
    await eventually(lambda: text(user, "result-happened").startswith("Change asked"))
    assert "at 142.60 or better" in text(user, "result-money")
    broker(desk).move(number)  # and the stream tells of it

    assert len(broker(desk).sent) == 1
    assert text(user, "result-happened") == (
        "Changed, it stands now: Buy 1 lot (75) NIFTY 27 NOV 24000 CE at 140.00 or better."
    )
    assert text(user, "change-stands").startswith("Before: Buy 1 lot (75)")
    assert "at 142.60 or better" in text(user, "change-stands")


async def test_a_change_that_the_exchange_refuses_says_that_the_order_stands(
    user: User, desk: Desk
) -> None:
    """The call is accepted, and the exchange says no a moment later: `not modified`."""
    await ready(user, desk)
    press(user, "type-LIMIT")
    await open_sheet(user)
    press(user, "send")
    await eventually(lambda: found(user, "modify"))
    (number,) = broker(desk).book
    press(user, "modify")
    assert text(user, "change") == "Change SIMULATED order"
    broker(desk).fill(number, 25, 142.5)  # meanwhile
    assert text(user, "change-stands").endswith("25 / 75 filled.")
    enter(user, "change-lots", "2")
    await eventually(lambda: title(user, "cost-margin") == "")  # what the whole would cost

    press(user, "change")
    await eventually(lambda: text(user, "result-happened").startswith("Change asked"))
    broker(desk).move(number, price=142.6, raw_status="not modified", message="RMS: freeze")

    assert text(user, "result-happened") == "Not changed: RMS: freeze."
    assert text(user, "result-money") == (
        "It stands as it was: Buy 1 lot (75) NIFTY 27 NOV 24000 CE at 142.60 or better."
    )


async def test_a_fill_that_the_stream_cannot_tell_is_not_denied(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    """With the stream down a market order may be filled long before we read of it."""
    await ready(user, desk)
    await open_sheet(user)
    press(user, "send")
    await eventually(lambda: found(user, "result-happened"))

    assert text(user, "result-money").startswith("No fill has been told yet")
    assert "is not live" not in text(user, "result-todo")


async def test_while_the_stream_is_down_the_result_says_how_it_will_be_known(
    clock: ManualClock, no_errors: None
) -> None:
    stream = MemoryStream(clock.now())
    stream.now(state=FeedState.REFUSED)
    desk = replace(make_desk(clock, patience=QUICK), portfolio_feeds={"main": stream})
    async with serving(desk) as user:
        await ready(user, desk)
        await open_sheet(user)
        press(user, "send")
        await eventually(lambda: found(user, "result-happened"))

        assert "The portfolio stream is not live" in text(user, "result-todo")


async def test_a_row_opens_its_life_with_the_time_between(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    await ready(user, desk)
    await open_sheet(user)
    press(user, "send")
    await eventually(lambda: found(user, "life"))
    clock.advance(0.082)

    fire(user, "order-row", "click")
    broker(desk).fill(next(iter(broker(desk).book)), price=142.7)
    press(user, "tab-done")
    fire(user, "order-row", "click")

    await user.should_see("intent on disk")
    await user.should_see("+82 ms")
    await user.should_see("complete")


async def test_two_accounts_show_which_one_an_order_is_of(
    clock: ManualClock, no_errors: None
) -> None:
    second = Account("family", "Family", primary=False, is_mock=True)
    desk = make_desk(clock, accounts=[MAIN, second], patience=QUICK)
    async with serving(desk) as user:
        await ready(user, desk)
        press(user, "account-family")
        await open_sheet(user)
        press(user, "send")
        await eventually(lambda: found(user, "result-happened"))

        assert [line.request.account for line in broker(desk, "family").sent] == ["family"]
        assert broker(desk).sent == []
        await user.should_see("Family")


async def test_a_ticket_of_the_page_is_filled_as_far_as_asked(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    """What is asked of the ticket reaches the panel whole: how much, and that it exits."""
    price(desk, CALL)
    pulse = Pulse(desk, Sheet(desk.market_data, desk.world), emit)

    @ui.page("/orders-of-a-test")
    def page() -> None:
        tab = Tab(pulse.open_tab(), Watchlist(desk.journal, ()), Drafts(), Ledger(desk))
        orders_page.build(desk, tab)
        open_ticket(desk, tab, CALL, Side.SELL, units=150, product=Product.DELIVERY, reduces=True)

    await user.open("/orders-of-a-test")

    assert found(user, "lots")[-1].value == "2"  # type: ignore[attr-defined]
    await open_sheet(user)
    assert text(user, "sentence") == "Sell 2 lots (150) NIFTY 27 NOV 24000 CE at the market"
    await user.should_see("an exit")
    await user.should_see("Carry forward")
    fire(user, "review-dialog", "hide")

    press(user, "side-BUY")
    await open_sheet(user)

    await user.should_not_see("an exit")  # the other side closes nothing


async def test_an_index_is_told_apart_from_what_does_not_exist(user: User, desk: Desk) -> None:
    await user.open("/orders")

    enter(user, "ticket-search", "BANKNIFTY")
    await eventually(lambda: found(user, "not-found"))
    assert text(user, "not-found").startswith("That is an index: it cannot be traded itself.")
    enter(user, "ticket-search", "no such thing")
    await eventually(lambda: text(user, "not-found").startswith("No instrument is called"))


async def test_the_button_names_the_fields_that_hold_it_up(user: User, desk: Desk) -> None:
    """On a phone the field with the complaint may be out of sight."""
    await ready(user, desk)
    press(user, "type-SL")
    enter(user, "lots", "0")
    enter(user, "price", "99,50")

    press(user, "review")
    await asyncio.sleep(0.05)

    assert text(user, "problem-ticket") == "First mend above: Lots, Price, Trigger."
    enter(user, "lots", "1")
    assert text(user, "problem-ticket") == ""


async def test_a_trigger_that_the_market_has_passed_is_cautioned(user: User, desk: Desk) -> None:
    await ready(user, desk)
    press(user, "type-SL")
    enter(user, "price", "150.00")
    enter(user, "trigger", "149.00")
    assert text(user, "passed") == ""

    enter(user, "trigger", "140.00")

    assert text(user, "passed").startswith("The market, 142.60, is at or above this trigger")
    await open_sheet(user)
    await user.should_see("Careful")


async def test_the_keys_open_a_ticket_for_the_row(user: User, desk: Desk) -> None:
    price(desk, RELIANCE, 2944.6)
    await user.open("/")
    (keys,) = user.find(kind=Keys).elements
    keys.mark("keys-of-the-page")

    for args in (None, {"key": 1}, {"key": RELIANCE, "side": "HOLD"}, {"key": "x", "side": "BUY"}):
        fire(user, "keys-of-the-page", "trade", args)
    assert found(user, "ticket-title") == []
    fire(user, "keys-of-the-page", "trade", {"key": NIFTY, "side": "BUY"})
    await user.should_see("NIFTY is an index: it cannot be traded itself")
    fire(user, "keys-of-the-page", "trade", {"key": RELIANCE, "side": "SELL"})

    assert text(user, "ticket-title") == "RELIANCE"
    assert text(user, "review") == "Review SIMULATED sell"


async def test_leaving_the_page_gives_back_its_subscriptions(user: User, desk: Desk) -> None:
    client = await user.open("/orders")
    subscribers = len(desk.orders.changes), len(desk.baskets.changes)
    await choose(user)
    assert CALL in desk.subscriptions.wanted().modes

    with client:
        for path in ("/status", "/orders") * 3:
            await client.sub_pages_router._handle_navigate(path)
            await user.should_see(marker="mode")

    assert CALL not in desk.subscriptions.wanted().modes
    assert desk.marks.wanted() == frozenset()
    assert (len(desk.orders.changes), len(desk.baskets.changes)) == subscribers


async def test_orders_of_before_the_page_was_opened_are_listed_newest_first(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    for number, nonce in enumerate(("a", "b")):
        clock.advance(60.0 * number)
        await desk.orders.place(
            OrderRequest(
                "main", CALL, Side.BUY, 75, Product.INTRADAY, OrderType.LIMIT, nonce, price=100.0
            )
        )
    await user.open("/orders")

    boxes = found(user, "order-row")
    shown = _listed(user)
    expected = [f"order-{order.id}" for order in reversed(desk.orders.orders())]
    assert len(boxes) == 2
    assert shown == expected
    assert desk.orders.orders()[1].created - desk.orders.orders()[0].created == timedelta(minutes=1)


async def test_a_long_day_shows_its_latest_orders_and_more_on_request(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    """A page of 130 rows needed a second for one update of one order."""
    for _ in range(STEP + 12):
        clock.advance(1.0)
        await send(desk, 75, order_type=OrderType.LIMIT, price=100.0)
    await user.open("/orders")
    assert len(found(user, "order-row")) == STEP
    assert text(user, "older-orders") == "Show 12 of 12 older ones"

    press(user, "older-orders")
    await eventually(lambda: len(found(user, "order-row")) == STEP + 12)
    expected = [f"order-{order.id}" for order in reversed(desk.orders.orders())]
    assert _listed(user) == expected
    assert not found(user, "older-orders")[-1].visible

    clock.advance(1.0)
    newest = await send(desk, 75, order_type=OrderType.LIMIT, price=100.0)
    assert _listed(user) == [f"order-{newest.id}", *expected]


def _listed(user: User) -> list[str]:
    assert user.client is not None
    rows = next(e for e in user.client.elements.values() if "v-rows" in e.classes)
    return [child._markers[-1] for child in rows.default_slot.children]
