"""The way out of positions: in words before, once, shorts first, possible without a price."""

import asyncio
from collections.abc import Callable

import pytest
from nicegui.testing import User

from tests.dashboard.conftest import serving
from tests.dashboard.dealing import LOT, deal, foreign, press_in, read, row_text, send
from tests.dashboard.fakes import ALWAYS, CALL, PUT, make_desk
from tests.dashboard.hands import (
    broker,
    enter,
    eventually,
    fire,
    found,
    marker,
    press,
    price,
    text,
    texts,
)
from tests.trading.scripted import After
from trading.clock import ManualClock, SystemClock
from trading.desk import Desk, World
from trading.errors import BadRequest, Unanswered
from trading.order import Account, OrderRequest, OrderStatus, OrderType, Product, Side
from trading.orders import Patience

QUICK = Patience(first_look=30.0, confirm=30.0)
REAL = Account("main", "Main", primary=True, is_mock=False)


@pytest.fixture
def desk(clock: ManualClock) -> Desk:
    return make_desk(clock, patience=QUICK)


async def hold_two(desk: Desk) -> None:
    """Be long two calls and short one put, both priced, the books read."""
    price(desk, CALL, 142.5)
    price(desk, PUT, 60.0)
    await deal(desk, 2 * LOT, 140.0)
    await deal(desk, -LOT, 62.0, key=PUT)
    await read(desk)
    broker(desk).fills = {CALL: 142.4, PUT: 60.1}


async def open_exit(user: User, key: str = CALL) -> None:
    """Open the review of one position's exit, and wait until the desk has been asked."""
    press_in(user, key, "exit")
    await asked(user)


async def asked(user: User) -> None:
    await eventually(lambda: found(user, "send-exit"))
    await eventually(lambda: not text(user, "refusal").startswith("Asking"))


def can_send(user: User) -> bool:
    return bool(found(user, "send-exit")[-1].enabled)  # type: ignore[attr-defined]


def sent(desk: Desk) -> list[OrderRequest]:
    """Return what was sent beside what the test began with."""
    return [line.request for line in broker(desk).sent if line.request.reduces]


async def test_one_position_is_closed_and_told_in_words(user: User, desk: Desk) -> None:
    await hold_two(desk)
    await user.open("/positions")

    await open_exit(user)
    assert text(user, "exit-title") == "Exit NIFTY 27 NOV 24000 CE"
    assert text(user, "exit-sentence") == (
        "Sell 2 lots (150) NIFTY 27 NOV 24000 CE at the market, Intraday."
    )
    assert text(user, "estimate").startswith("About ₹21,360.00 come in at 142.40, charges about ₹")
    assert text(user, "estimate").endswith("realises about ▲ +₹360.00.")
    assert text(user, "send-exit") == "Send SIMULATED exit"
    press(user, "send-exit")
    await eventually(lambda: found(user, "result-happened"))

    assert text(user, "result-happened") == (
        "Filled: sold 2 lots (150) NIFTY 27 NOV 24000 CE at 142.40."
    )
    (asked_for,) = sent(desk)
    assert (asked_for.side, asked_for.quantity, asked_for.order_type) == (
        Side.SELL,
        150,
        OrderType.MARKET,
    )
    assert asked_for.source == "exit"
    await eventually(lambda: not found(user, marker("position", CALL)))


async def test_all_are_closed_with_shorts_first_and_a_nonce_each(user: User, desk: Desk) -> None:
    await hold_two(desk)
    await user.open("/positions")

    press(user, "exit-all")
    await asked(user)
    assert text(user, "exit-title") == "Exit 2 positions"
    assert [t.split(" NIFTY")[0] for t in texts(user, "exit-sentence")] == [
        "Buy back 1 lot (75)",
        "Sell 2 lots (150)",
    ]
    assert text(user, "exit-total").startswith("Together about ₹16,852.50 come in, charges about")
    assert text(user, "send-exit") == "Send 2 SIMULATED exits"
    press(user, "send-exit")
    await eventually(lambda: len(found(user, "result-happened")) == 2)

    assert [(r.instrument_key, r.side) for r in sent(desk)] == [(PUT, Side.BUY), (CALL, Side.SELL)]
    assert len({r.nonce for r in sent(desk)}) == 2
    await eventually(lambda: text(user, "exit-status").startswith("2 of 2 exits sent in"))
    assert text(user, "exit-status").endswith(", 2 filled.")
    await eventually(lambda: text(user, "no-positions").startswith("Nothing is open."))


async def test_selected_ones_only(user: User, desk: Desk) -> None:
    await hold_two(desk)
    await user.open("/positions")
    assert not found(user, "exit-selected")[-1].enabled  # type: ignore[attr-defined]

    press_in(user, PUT, "select")
    assert text(user, "exit-selected") == "Exit selected (1)"
    press(user, "exit-selected")
    await asked(user)

    assert texts(user, "exit-sentence") == [
        "Buy back 1 lot (75) NIFTY 27 NOV 24000 PE at the market, Intraday."
    ]
    press(user, "send-exit")
    await eventually(lambda: text(user, "exit-selected") == "Exit selected")


async def test_a_group_is_closed_together(user: User, desk: Desk) -> None:
    await hold_two(desk)
    await user.open("/positions")
    press(user, "group-underlying")

    press(user, "exit-group")
    await asked(user)

    assert len(texts(user, "exit-sentence")) == 2


async def test_two_presses_in_one_turn_close_once(user: User, desk: Desk) -> None:
    await hold_two(desk)
    await user.open("/positions")
    await open_exit(user)

    press(user, "send-exit")
    press(user, "send-exit")
    await eventually(lambda: found(user, "result-happened"))
    await asyncio.sleep(0.05)

    assert len(sent(desk)) == 1


async def test_two_tabs_close_it_once(
    user: User, another_user: Callable[[], User], desk: Desk
) -> None:
    await hold_two(desk)
    broker(desk).fills = {}
    other = another_user()
    for tab in (user, other):
        await tab.open("/positions")
        await open_exit(tab)

    press(user, "send-exit")
    press(other, "send-exit")
    await eventually(lambda: found(user, "result-happened"))
    await asyncio.sleep(0.1)

    assert len(sent(desk)) == 1


async def test_an_exit_on_its_way_is_not_sent_again(user: User, desk: Desk) -> None:
    await hold_two(desk)
    broker(desk).fills = {}
    await send(desk, -LOT, reduces=True)
    await user.open("/positions")

    await open_exit(user)

    assert text(user, "exit-sentence").startswith("Sell 1 lot (75) NIFTY")
    assert text(user, "exit-note") == "An order that closes 1 lot (75) is on its way already."


async def test_a_resting_exit_is_cancelled_before_another_is_sent(user: User, desk: Desk) -> None:
    await hold_two(desk)
    broker(desk).fills = {}
    stop = await send(desk, -2 * LOT, order_type=OrderType.SL_M, trigger=120.0, reduces=True)
    await user.open("/positions")

    await open_exit(user)
    assert text(user, "exit-note") == (
        "First cancels the resting order: Sell 2 lots (150) NIFTY 27 NOV 24000 CE at the market, "
        "once the price falls to 120.00."
    )
    press(user, "send-exit")
    await eventually(lambda: found(user, "result-happened"))

    known = desk.orders.get(stop.id)
    assert known is not None
    assert known.status is OrderStatus.CANCELLED
    assert [r.order_type for r in sent(desk)] == [OrderType.SL_M, OrderType.MARKET]


async def test_what_cannot_be_cancelled_is_not_closed_twice(user: User, desk: Desk) -> None:
    await hold_two(desk)
    broker(desk).fills = {}
    await send(desk, -2 * LOT, order_type=OrderType.SL_M, trigger=120.0, reduces=True)
    broker(desk).cancel_error = BadRequest("the order is being processed")
    await user.open("/positions")
    await open_exit(user)

    press(user, "send-exit")
    await eventually(lambda: any(t.startswith("Not sent") for t in texts(user, "exit-result")))

    assert text(user, "exit-result") == (
        "Not sent: the resting order could not be cancelled: the order is being processed."
    )
    assert [r.order_type for r in sent(desk)] == [OrderType.SL_M]
    await eventually(lambda: text(user, "exit-status").startswith("0 of 1 exits sent"))


async def test_without_a_fresh_price_the_exit_needs_the_word_and_is_possible(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    await hold_two(desk)
    clock.advance(30)
    await user.open("/positions")

    await open_exit(user)
    assert text(user, "blind").startswith(
        "✖ The price is not to be relied on (NIFTY 27 NOV 24000 CE: the feed's last price is 30 s"
    )
    assert text(user, "blind").endswith(
        "A market order goes out all the same and takes what the market pays."
    )
    assert text(user, "refusal") == ("Type EXIT in capitals to send it without a price to rely on.")
    assert text(user, "estimate").startswith("— the feed's last price is 30 s old")
    assert not can_send(user)
    enter(user, "exit-word", "exit")
    await asyncio.sleep(0.6)
    assert not can_send(user)

    enter(user, "exit-word", "EXIT")
    await eventually(lambda: can_send(user))
    press(user, "send-exit")
    await eventually(lambda: found(user, "result-happened"))

    assert len(sent(desk)) == 1


async def test_what_the_desk_denies_is_said_on_its_line_and_the_rest_goes(
    user: User, desk: Desk
) -> None:
    await hold_two(desk)
    desk.orders.gate.add(
        lambda r: "this leg is halted" if r.instrument_key == PUT else "", exits_too=True
    )
    await user.open("/positions")
    press(user, "exit-all")
    await asked(user)
    await eventually(lambda: text(user, "send-exit") == "Send 1 SIMULATED exits")

    assert texts(user, "exit-note")[0] == "The desk would not send it: this leg is halted."
    press(user, "send-exit")
    await eventually(lambda: found(user, "result-happened"))

    assert [r.instrument_key for r in sent(desk)] == [CALL]
    assert texts(user, "exit-result") == ["Left out: nothing was sent for it."]
    await eventually(lambda: "1 filled, 1 left out. Look at each" in text(user, "exit-status"))


async def test_a_rejection_is_told_with_what_to_do(user: User, desk: Desk) -> None:
    await hold_two(desk)
    broker(desk).script = [BadRequest("RMS: margin short by ₹12,340.00")]
    await user.open("/positions")
    await open_exit(user)

    press(user, "send-exit")
    await eventually(lambda: found(user, "result-happened"))

    assert text(user, "result-happened") == "Rejected: RMS: margin short by ₹12,340.00."
    assert "Nothing was sold, no money moved." in text(user, "result-money")


async def test_an_exit_without_an_answer_is_in_doubt_and_asks_before_it_is_sent_again(
    user: User, desk: Desk
) -> None:
    """A8: the same leg is not sent again without a typed reason."""
    await hold_two(desk)
    broker(desk).fills = {}
    broker(desk).script = [After(Unanswered("no answer from the broker"))]
    await user.open("/positions")
    await open_exit(user)
    press(user, "send-exit")
    await eventually(lambda: found(user, "result-happened"))
    assert text(user, "result-happened").startswith("IN DOUBT: no answer from the broker")
    fire(user, "exit-dialog", "hide")
    assert not found(user, "send-exit")

    await open_exit(user)
    assert "sent again, it may close it twice" in text(user, "exit-note")
    assert text(user, "refusal") == "Type why it has to be sent again."
    enter(user, "exit-reason", "the phone shows nothing")
    await eventually(lambda: can_send(user))
    press(user, "send-exit")
    await eventually(lambda: len(sent(desk)) == 2)

    assert sent(desk)[1].source.endswith("is in doubt: the phone shows nothing")


async def test_a_doubtful_position_is_closed_only_with_the_word(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    await deal(desk, LOT, 140.0, product=Product.DELIVERY)
    await read(desk)
    clock.advance(10)
    broker(desk).held = [foreign(LOT)]
    price(desk, CALL)
    await read(desk)
    clock.advance(2)
    desk.positions.adopt("main", CALL, Product.INTRADAY)
    broker(desk).held = [foreign(3 * LOT)]
    price(desk, CALL)
    await read(desk)
    await user.open("/positions")
    assert row_text(user, CALL, "note").startswith("IN DOUBT: the broker says 225 (once)")

    await open_exit(user)

    assert "How much is held is in doubt: the broker says 225" in " ".join(texts(user, "exit-note"))
    assert "is held is in doubt: it may turn around" in text(user, "blind")
    assert not can_send(user)


async def test_what_changes_while_the_sheet_is_open_is_shown_before_it_can_be_sent(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    await hold_two(desk)
    await user.open("/positions")
    await open_exit(user)

    await deal(desk, -LOT, 142.0)
    press(user, "send-exit")
    changed = "What is held has just changed: look at it again."
    await eventually(lambda: text(user, "refusal") == changed)
    assert text(user, "exit-sentence").startswith("Sell 1 lot (75)")
    assert sent(desk) == []
    clock.advance(1.5)
    price(desk, CALL, 142.5)
    await eventually(lambda: can_send(user))
    press(user, "send-exit")
    await eventually(lambda: found(user, "result-happened"))

    assert [r.quantity for r in sent(desk)] == [LOT]


async def test_what_was_closed_meanwhile_has_nothing_to_send(user: User, desk: Desk) -> None:
    await hold_two(desk)
    await user.open("/positions")
    await open_exit(user)

    await deal(desk, -2 * LOT, 142.0)
    await eventually(lambda: text(user, "refusal") == "There is nothing to send.")

    assert text(user, "exit-note") == "It is closed already."
    assert not can_send(user)


async def test_real_money_needs_the_word_of_the_day(clock: ManualClock, no_errors: None) -> None:
    desk = make_desk(clock, world=World("upstox", "broker"), accounts=(REAL,), patience=QUICK)
    await desk.accounts.latch.arm("LIVE")
    await hold_two(desk)
    clock.advance(24 * 3600)
    price(desk, CALL)
    async with serving(desk) as user:
        await user.open("/positions")
        await open_exit(user)
        await eventually(lambda: text(user, "refusal") == "There is nothing to send.")
        assert "real orders are locked today" in text(user, "exit-note")

        enter(user, "live-word", "live")
        press(user, "arm")
        await eventually(lambda: "type LIVE in capitals" in text(user, "problem-live-word"))
        enter(user, "live-word", "LIVE")
        press(user, "arm")
        await eventually(lambda: can_send(user))
        assert text(user, "send-exit") == "Send LIVE exit"


async def test_more_exits_than_the_house_sends_in_a_second_all_go(no_errors: None) -> None:
    desk = make_desk(SystemClock(), rules=ALWAYS, patience=QUICK)
    desk.orders.gate.add(desk.orders.too_fast, exits_too=True)
    keys = [f"NSE_FO|{45450 + n}" for n in range(10)]
    for key in keys:
        price(desk, key, 100.0)
        await asyncio.sleep(0.13)
        await deal(desk, LOT, 100.0, key=key)
    await read(desk)
    broker(desk).fills = dict.fromkeys(keys, 100.0)
    async with serving(desk) as user:
        await user.open("/positions")
        for key in keys:
            price(desk, key, 100.0)
        press(user, "exit-all")
        await asked(user)
        await eventually(lambda: can_send(user), within=5)
        press(user, "send-exit")
        await eventually(lambda: len(found(user, "result-happened")) == 10, within=6)

    assert len(sent(desk)) == 10
