"""Positions as a trader reads them: sizes, money, doubts, groups; unknown is never zero."""

import asyncio
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from nicegui.testing import User

from dashboard.ledger import Ledger
from dashboard.live import BackedBadge, Backing
from tests.dashboard.conftest import serving
from tests.dashboard.dealing import (
    MemoryStream,
    deal,
    foreign,
    press_in,
    read,
    row_text,
    row_title,
    send,
)
from tests.dashboard.fakes import (
    CALL,
    MAIN,
    NIFTY,
    PUT,
    RELIANCE,
    MemoryPnl,
    MemoryQuotes,
    instruments,
    make_desk,
)
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
from tests.dashboard.scripted_watch import script
from tests.ticks import batch, tick
from trading.clock import ManualClock
from trading.desk import Desk
from trading.errors import BadAnswer
from trading.order import Account, OrderType, Product
from trading.orders import Patience
from trading.ports import FeedState, PnlPoint, PolledQuote

QUICK = Patience(first_look=30.0, confirm=30.0)  # no look in the background disturbs a test
STRANGE = "NSE_FO|45452"  # a call that no order of ours ever touched
OTHER = Account("other", "Second", primary=False, is_mock=True)


@pytest.fixture
def desk(clock: ManualClock) -> Desk:
    return make_desk(clock, patience=QUICK)


async def hold_two(desk: Desk) -> None:
    """Be long two calls and short one put, both priced, the books read."""
    price(desk, CALL, 142.35)
    price(desk, PUT, 60.0)
    await deal(desk, 150, 142.35)
    await deal(desk, -75, 60.0, key=PUT)
    await read(desk)


def backing(user: User, mark: str) -> Backing:
    badge = found(user, mark)[-1]
    assert isinstance(badge, BackedBadge)
    assert badge.backing is not None
    return badge.backing


def shown_rows(user: User) -> list[str]:
    """Return the instruments of the rows in the order of the screen."""
    body = found(user, "positions-body")[-1]
    return [
        m.removeprefix("position-") for e in body.descendants() for m in e._markers
        if m.startswith("position-")
    ]  # fmt: skip


async def test_before_the_books_are_read_nobody_says_that_nothing_is_open(
    user: User, desk: Desk
) -> None:
    """The broker may hold positions of yesterday: a desk that cannot read it must not say flat."""
    await user.open("/positions")
    unknown = "What is open is not known: the broker's book of main was not read yet"
    assert text(user, "no-positions").startswith(unknown)

    await user.open("/")
    assert text(user, "nothing-open").startswith(unknown)
    await read(desk)
    await eventually(lambda: text(user, "nothing-open").startswith("Nothing is open."))


async def test_an_empty_desk_says_what_to_do(user: User, desk: Desk) -> None:
    await read(desk)

    await user.open("/positions")

    assert text(user, "no-positions").startswith("Nothing is open. Choose an instrument on Now")
    assert text(user, "total") == "₹0.00"
    press(user, "tab-closed")
    assert text(user, "no-positions") == "Nothing was closed today."


async def test_before_the_first_read_nothing_is_zero(user: User) -> None:
    await user.open("/positions")

    assert text(user, "total") == "—"
    assert title(user, "total") == "the books of main have not been read yet"
    assert backing(user, "day-pnl-badge").said == "books not read yet"
    assert text(user, "trouble") == "✖ the broker's books have not been read yet"


async def test_a_position_is_told_with_lots_money_and_source(user: User, desk: Desk) -> None:
    await hold_two(desk)
    await user.open("/positions")
    price(desk, CALL, 145.35)

    await eventually(lambda: row_text(user, CALL, "unrealised") == "▲ +₹450.00")

    assert row_text(user, CALL, "lots") == "+2 lots (150)"
    assert row_text(user, CALL, "average") == "142.35"
    assert row_text(user, CALL, "ltp") == "145.35"
    assert row_text(user, CALL, "percent") == "+2.11%"
    assert row_text(user, CALL, "realised") == "₹0.00"
    assert row_text(user, PUT, "lots") == "-1 lot (75)"
    assert text(user, "total") == text(user, "day-pnl") == "▲ +₹450.00"
    assert backing(user, "day-pnl-badge") == Backing(
        pytest.approx(desk.clock.monotonic()), "S", "NSE_FO"
    )
    assert shown_rows(user) == ["NSE_FO|45450", "NSE_FO|45451"]


async def test_realised_changes_with_fills_only(user: User, desk: Desk) -> None:
    await hold_two(desk)
    await user.open("/positions")

    await deal(desk, -75, 150.0)
    await eventually(lambda: row_text(user, CALL, "realised") == "▲ +₹573.75")
    for ltp in (10.0, 500.0):
        price(desk, CALL, ltp)
        wanted = f"{ltp:.2f}"
        await eventually(lambda wanted=wanted: row_text(user, CALL, "ltp") == wanted)  # type: ignore[misc]
        assert row_text(user, CALL, "realised") == "▲ +₹573.75"
        assert text(user, "total-realised") == "▲ +₹573.75"


async def test_a_price_that_is_too_old_makes_the_value_unknown_and_says_why(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    await hold_two(desk)
    await user.open("/positions")
    clock.advance(6)
    price(desk, PUT, 58.0)

    await eventually(lambda: row_text(user, CALL, "unrealised") == "—")

    assert "6 s old" in row_title(user, CALL, "unrealised")
    assert row_text(user, CALL, "ltp") == "142.35"  # drawn as stale by its age in the browser
    assert text(user, "total") == "▲ +₹150.00"
    assert title(user, "total").startswith("not in it: the feed's last price is 6 s old")
    assert backing(user, "day-pnl-badge").said == "1 of 2 legs stale"


async def test_a_position_without_any_price_has_dashes(user: User, desk: Desk) -> None:
    await deal(desk, 75, 142.35)
    await read(desk)

    await user.open("/positions")

    assert row_text(user, CALL, "ltp") == row_text(user, CALL, "unrealised") == "—"
    assert row_text(user, CALL, "row-total") == "—"
    assert "no price came over the feed" in row_title(user, CALL, "unrealised")
    badge = found(user, "badge")[-1]
    assert isinstance(badge, BackedBadge)
    assert badge.backing is not None
    assert badge.backing.said == "no price"


async def test_a_polled_price_says_so(user: User, desk: Desk, clock: ManualClock) -> None:
    await hold_two(desk)
    source = desk.marks._source
    assert isinstance(source, MemoryQuotes)
    desk.marks.want("test", [CALL])
    clock.advance(6)
    now = int(clock.now().timestamp() * 1000)
    source.told[CALL] = PolledQuote(
        CALL, 141.0, now, 140.9, 75, 141.1, 75, 120.0, 150.0, 1.0, 500.0
    )
    await desk.marks.poll()

    await user.open("/positions")

    assert row_text(user, CALL, "ltp") == "141.00"
    row = found(user, marker("position", CALL))[-1]
    badge = next(e for e in row.descendants() if isinstance(e, BackedBadge))
    assert badge.backing is not None
    assert (badge.backing.source, badge.backing.said) == ("R", "")


async def test_closed_positions_move_to_their_own_tab(user: User, desk: Desk) -> None:
    await hold_two(desk)
    await user.open("/positions")

    await deal(desk, -150, 150.0)
    await eventually(lambda: shown_rows(user) == ["NSE_FO|45451"])
    press(user, "tab-closed")

    assert shown_rows(user) == ["NSE_FO|45450"]
    assert row_text(user, CALL, "lots") == "closed"
    assert row_text(user, CALL, "realised") == "▲ +₹1,147.50"
    assert row_text(user, CALL, "unrealised") == row_text(user, CALL, "ltp") == ""


async def test_rows_are_grouped_with_subtotals_and_the_worst_badge(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    await hold_two(desk)
    price(desk, RELIANCE, 2_944.6)
    await deal(desk, 10, 2_940.0, key=RELIANCE, product=Product.DELIVERY)
    await user.open("/positions")

    press(user, "group-expiry")
    clock.advance(6)
    price(desk, PUT, 58.0)
    price(desk, RELIANCE, 2_944.6)
    await eventually(lambda: row_text(user, CALL, "unrealised") == "—")

    groups = [m for e in found(user, "group-badge") for m in e._markers]
    assert len(groups) == 2
    totals = [str(e.text) for e in found(user, "group-total")]  # type: ignore[attr-defined]
    assert totals == ["▲ +₹150.00", "▲ +₹46.00"]
    said = [e.backing.said for e in found(user, "group-badge")]  # type: ignore[attr-defined]
    assert said == ["1 of 2 legs stale", ""]
    press(user, "group-none")
    assert not found(user, "group-badge")
    assert len(shown_rows(user)) == 3


async def test_the_filter_keeps_what_fits(user: User, desk: Desk) -> None:
    await hold_two(desk)
    await user.open("/positions")

    enter(user, "filter", "24000 pe")
    await eventually(lambda: shown_rows(user) == ["NSE_FO|45451"])
    enter(user, "filter", "nothing like it")
    await eventually(lambda: text(user, "no-positions") == "No position fits the filter.")
    enter(user, "filter", "")

    await eventually(lambda: len(shown_rows(user)) == 2)


async def test_a_failed_read_keeps_the_positions_and_says_of_when_they_are(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    """O10: never flat because a read failed."""
    await hold_two(desk)
    await user.open("/positions")
    clock.advance(60)
    broker(desk).read_error = BadAnswer("the answer was HTML")

    with pytest.raises(BadAnswer):
        await read(desk)
    await eventually(lambda: text(user, "trouble") != "")

    assert text(user, "trouble") == (
        "✖ positions as of 11:00:00, the broker did not answer: the answer was HTML"
    )
    assert len(shown_rows(user)) == 2
    broker(desk).read_error = None
    await read(desk)
    await eventually(lambda: text(user, "trouble") == "")


async def test_a_doubtful_position_says_so_on_its_row(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    """O14: what the phone app bought is shown, as not explained, and never lost."""
    await hold_two(desk)
    await user.open("/positions")
    clock.advance(10)
    price(desk, CALL, 142.35)
    price(desk, PUT, 60.0)
    broker(desk).held = [foreign(75, key=STRANGE)]
    await read(desk)

    await drawn(user, marker("tab", "books"))
    assert desk.positions.differs("main")
    press(user, "tab-books")
    await drawn(user, marker("book", STRANGE))
    assert row_text(user, STRANGE, "broker", "book") == "+75"
    assert row_text(user, STRANGE, "ours", "book") == "0"
    assert "the broker says 75 (once), we count 0" in row_text(user, STRANGE, "said", "book")
    assert text(user, "books-main") == "✖ 1 of 3 differ, checked"


async def test_books_that_agree_say_when_they_were_checked(user: User, desk: Desk) -> None:
    await hold_two(desk)
    await user.open("/positions")

    press(user, "tab-books")

    assert text(user, "books-main") == "● agree, checked"
    assert row_text(user, CALL, "broker", "book") == "+150"
    assert row_text(user, CALL, "stream", "book") == "—"
    assert row_title(user, CALL, "stream", "book") == "this book has said nothing of it yet"
    assert row_text(user, CALL, "said", "book") == "● agree"


async def test_adopting_is_confirmed_in_words_and_marks_the_row(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    await hold_two(desk)
    clock.advance(10)
    broker(desk).held = [foreign(75, key=STRANGE)]
    await read(desk)
    await user.open("/positions")
    press(user, "tab-books")
    assert not found(user, "adopt-dialog")

    press_in(user, STRANGE, "adopt", "book")
    words = text(user, "adopt-words")
    assert "we count 0, the broker says +75. Adopting makes it +75 here." in words
    assert text(user, "adopt-confirm") == "Adopt +75"
    press(user, "adopt-confirm")

    await user.should_see("Adopted: NIFTY 27 NOV 24050 CE is +75, as the broker says.")
    await eventually(lambda: row_text(user, STRANGE, "ours", "book") == "+75")
    press(user, "tab-open")
    assert row_text(user, STRANGE, "lots") == "+1 lot (75)"
    assert row_text(user, STRANGE, "note") == (
        "adjusted by +75 to the broker's book: no fill explains it"
    )


async def test_books_that_agree_without_the_stream_say_so(user: User, desk: Desk) -> None:
    """The stream is down: broker and desk are compared by reads, its column is of before."""
    broker(desk).position_updates.emit(foreign(75))
    await hold_two(desk)
    await user.open("/positions")

    press(user, "tab-books")

    cells = [row_text(user, CALL, name, "book") for name in ("broker", "ours", "stream")]
    assert cells == ["+150", "+150", "+75"]
    assert row_text(user, CALL, "said", "book") == "● agree; the stream has not told of it"


async def test_books_that_could_not_be_read_say_why(user: User, desk: Desk) -> None:
    broker(desk).read_error = BadAnswer("data is null")
    with pytest.raises(BadAnswer):
        await read(desk)
    await user.open("/positions")
    press(user, "tab-books")

    assert text(user, "books-main") == "✖ the broker's books have not been read yet: data is null"
    assert text(user, "trouble") == "✖ the broker's books could not be read: data is null"


async def test_two_accounts_are_told_apart(clock: ManualClock, no_errors: None) -> None:
    desk = make_desk(clock, accounts=(MAIN, OTHER), patience=QUICK)
    await hold_two(desk)
    await deal(desk, 75, 142.35, account="other")
    await read(desk, "other")
    async with serving(desk) as user:
        await user.open("/positions")

        assert len(shown_rows(user)) == 3
        await user.should_see("Second")
        enter(user, "filter", "other")
        await eventually(lambda: len(shown_rows(user)) == 1)
        press(user, "tab-books")
        assert text(user, "books-other") == "● agree, checked"


async def test_funds_are_unknown_while_one_account_does_not_tell_them(
    clock: ManualClock, no_errors: None
) -> None:
    desk = make_desk(clock, accounts=(MAIN, OTHER), patience=QUICK)
    broker(desk, "other").cost_error = BadAnswer("closed until 05:30")
    await desk.accounts.check()
    async with serving(desk) as user:
        await user.open("/positions")
        assert text(user, "funds-used") == "—"
        assert title(user, "funds-used") == "closed until 05:30"

        broker(desk, "other").cost_error = None
        await desk.accounts.check()
        await eventually(lambda: text(user, "funds-available") == "₹20,00,000.00")
        assert text(user, "funds-asked") == " as of 11:00:00"


# the curve


async def test_the_curve_has_holes_where_nothing_was_known_and_the_fills(
    user: User, desk: Desk, clock: ManualClock
) -> None:
    await hold_two(desk)
    pnl = desk.pnl
    assert isinstance(pnl, MemoryPnl)
    begun = clock.now() - timedelta(minutes=5)
    for n, (unrealised, complete) in enumerate(
        [(100, True), (50, False), (None, False), (300, True)]
    ):
        at = begun + timedelta(seconds=5 * n)
        pnl.keep_pnl([PnlPoint("main", at, 0, unrealised, complete, True)])
    pnl.keep_pnl([PnlPoint("main", begun + timedelta(seconds=75), 0, 500, True, True)])

    await user.open("/positions")
    curve = found(user, "pnl-curve")[-1]
    await eventually(lambda: curve.picture is not None)  # type: ignore[attr-defined]

    picture = curve.picture  # type: ignore[attr-defined]
    start = int(begun.timestamp() * 1000)
    assert picture["points"] == [
        (start, 1.0),
        (start + 5_000, None),
        (start + 10_000, None),
        (start + 15_000, 3.0),
        (start + 15_001, None),
        (start + 75_000, 5.0),
    ]
    assert picture["from"] == int((clock.now() - timedelta(minutes=105)).timestamp() * 1000)
    assert [m[1:] for m in picture["fills"]] == [
        ("BUY", "bought 2 lots (150) NIFTY 27 NOV 24000 CE at 142.35"),
        ("SELL", "sold 1 lot (75) NIFTY 27 NOV 24000 PE at 60.00"),
    ]


# the Now page and the header


async def test_now_shows_the_largest_positions_and_the_day(user: User, desk: Desk) -> None:
    await hold_two(desk)
    await user.open("/")
    price(desk, CALL, 145.35)

    await eventually(lambda: row_text(user, CALL, "card-total", "card") == "▲ +₹450.00")

    cards = [m for e in found(user, "exit") for m in e.parent_slot.parent._markers]  # type: ignore[union-attr]
    assert cards == ["card-NSE_FO|45450", "card-NSE_FO|45451"]  # by exposure
    assert text(user, "day-total") == "▲ +₹450.00"
    assert text(user, "day-realised") == "₹0.00"
    assert text(user, "day-unrealised") == "▲ +₹450.00"
    assert text(user, "open-count") == "Open positions (2)"


async def test_now_follows_working_orders_and_cancels_them(user: User, desk: Desk) -> None:
    await read(desk)
    await user.open("/")
    assert text(user, "working-count") == "Working orders"

    order = await send(desk, 75, order_type=OrderType.LIMIT, price=100.0)
    await drawn(user, f"working-{order.id}")
    assert text(user, "working-count") == "Working orders (1)"
    press(user, "cancel-order")

    await user.should_see("Cancelled: Buy 1 lot (75) NIFTY 27 NOV 24000 CE at 100.00 or better.")
    await eventually(lambda: text(user, "working-count") == "Working orders")


async def test_now_follows_a_change_of_a_working_order(user: User, desk: Desk) -> None:
    order = await send(desk, 75, order_type=OrderType.LIMIT, price=140.0)
    await user.open("/")
    assert text(user, "working-lots") == "1 lot (75)"

    (number,) = broker(desk).book
    broker(desk).move(number, quantity=225, raw_status="modified")

    assert desk.orders.get(order.id).request.quantity == 225  # type: ignore[union-attr]
    assert text(user, "working-lots") == "3 lots (225)"


async def test_now_says_that_only_the_largest_are_shown(user: User, desk: Desk) -> None:
    for number in range(6):
        await deal(desk, 75, 100.0, key=f"NSE_FO|{45450 + number}")
    await user.open("/")

    assert text(user, "open-count") == "Open positions (6, the 5 largest)"


async def test_now_says_how_stream_and_books_are(clock: ManualClock, no_errors: None) -> None:
    stream = MemoryStream(clock.now())
    desk = replace(make_desk(clock, patience=QUICK), portfolio_feeds={"main": stream})
    await read(desk)
    async with serving(desk) as user:
        await user.open("/")
        assert text(user, "state-stream-main") == "● live"
        assert text(user, "state-books-main") == "● agree, checked"

        stream.now(state=FeedState.BACKING_OFF, reason="status 503")
        await eventually(lambda: text(user, "state-stream-main") == "◐ backing off")
        assert title(user, "state-stream-main") == "status 503"


async def test_health_has_a_row_for_each_stream(clock: ManualClock, no_errors: None) -> None:
    stream = MemoryStream(clock.now())
    desk = replace(make_desk(clock, patience=QUICK), portfolio_feeds={"main": stream})
    await read(desk)
    desk.market_data.publish(batch(tick(NIFTY, received=clock.monotonic())))
    async with serving(desk) as user:
        await user.open("/status")
        press(user, "details-portfolio-stream-of-main")
        await drawn(user, "stream-main-state")
        assert text(user, "stream-main-state") == "● live"
        assert text(user, "sentence") == "● All systems good"

        stream.now(state=FeedState.REFUSED, reason="token ended")
        await eventually(
            lambda: (
                text(user, "sentence")
                == "◐ Degraded: portfolio stream of main refused since 11:00:00, token ended"
            )
        )
        assert text(user, "stream-main-reason") == "token ended"
        press(user, "reconnect-portfolio-stream-of-main")
        watch = script(desk.watch)
        await eventually(lambda: watch.reconnected == [("portfolio-main", "page")])


async def test_the_title_of_the_tab_tells_the_day(desk: Desk, clock: ManualClock) -> None:
    ledger = Ledger(desk)
    assert ledger.beat() == {"title": "SIMULATED"}
    await hold_two(desk)
    price(desk, NIFTY, 24_012.35)
    price(desk, CALL, 187.15)
    assert ledger.beat() == {"title": "▲ +₹6,720 · NIFTY 24,012 · SIMULATED"}

    clock.advance(6)
    price(desk, CALL, 187.15)

    assert ledger.beat() == {"title": "✖ ▲ +₹6,720 in part · NIFTY 24,012 · SIMULATED"}


# size


async def test_two_hundred_positions_refresh_without_a_burden(
    clock: ManualClock, no_errors: None
) -> None:
    known = instruments(120)
    desk = make_desk(clock, known=known, patience=QUICK)
    keys = [i.instrument_key for i in known if i.segment == "NSE_FO"][:200]
    for n, key in enumerate(keys):
        price(desk, key, 100.0 + n)
        await deal(desk, 75, 100.0, key=key)
    await read(desk)
    ledger = Ledger(desk)

    def refresh() -> float:
        for n, key in enumerate(keys):
            price(desk, key, 100.0 + n + time.monotonic() % 7)
        begun = time.process_time()
        ledger.beat()
        ledger.total()
        for key in keys:
            ledger.row(("main", key, Product.INTRADAY))
        return time.process_time() - begun

    refresh()
    best = min(refresh() for _ in range(20))

    print(f"a refresh of {len(keys)} positions takes {best * 1000:.1f} ms")
    assert best < 0.025  # a tenth of the time between two refreshes


async def test_navigating_to_and_fro_leaves_nothing_behind(user: User, desk: Desk) -> None:
    await hold_two(desk)
    client = await user.open("/positions")
    elements, holds = len(client.elements), len(desk.subscriptions.holds())
    heard = len(desk.positions.changes)

    with client:
        for path in ("/status", "/positions") * 3:
            await client.sub_pages_router._handle_navigate(path)
    await asyncio.sleep(0.05)

    assert len(client.elements) == elements
    assert len(desk.subscriptions.holds()) == holds
    assert len(desk.positions.changes) == heard
