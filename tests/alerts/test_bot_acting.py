"""What sends or cancels orders from the phone: in two steps, once, and only what is still true."""

import asyncio

import pytest

from alerts.bot.bot import NO_ORDERS
from simulator.telegram_chat import OWNER
from tests.alerts.bot_rig import Rig, person, talking, until
from tests.dashboard.dealing import deal, foreign, read, send
from tests.dashboard.fakes import CALL, MAIN, PUT
from tests.trading.scripted import After
from trading.desk import World
from trading.errors import RateLimited, Retryable, Unanswered
from trading.order import Account, OrderStatus, OrderType, Side


async def held(rig: Rig, *positions: tuple[str, int]) -> None:
    """Hold these; market orders are filled from now on."""
    for key, units in positions:
        await deal(rig.desk, units, 100.0, key=key)
    await read(rig.desk)
    rig.prices([key for key, _ in positions])
    rig.broker.fills = {CALL: 101.0, PUT: 51.0}


def sent(rig: Rig) -> list[tuple[str, Side, int]]:
    return [(x.request.instrument_key, x.request.side, x.request.quantity) for x in rig.broker.sent]


async def receipt(rig: Rig, number: int) -> str:
    """Wait until the message of a question is a receipt."""
    found = await rig.hears(
        lambda m: m.number == number and m.edited and "Under way" not in m.text.plain
    )
    return found.text.plain


async def test_flatten_says_what_it_will_do_and_then_does_it_buys_first() -> None:
    async with talking() as rig:
        await held(rig, (CALL, 150), (PUT, -75))
        fills, rig.broker.fills = rig.broker.fills, {}
        stop = await send(rig.desk, -150, order_type=OrderType.SL_M, trigger=90.0, reduces=True)
        rig.broker.fills = fills
        question = await rig.asks("/flatten")
        asked = question.text.plain

        assert asked.startswith("🟣 SIM FLATTEN 2?\nFirst cancels 1 working order.\n")
        assert "1. Buy back 1 lot NIFTY 27 NOV 24000 PE at the market" in asked
        assert "2. Sell 2 lots NIFTY 27 NOV 24000 CE at the market" in asked
        assert asked.count("0.0 s old, simulated") == 2
        assert "Answer within 30 s." in asked
        assert [key.words for row in question.keys for key in row] == ["✅ Flatten 2", "✖ Cancel"]
        before = len(sent(rig))

        await rig.press(question, "Flatten")
        said = await receipt(rig, question.number)

        assert said.startswith("🟣 SIM CLOSED 2 of 2 in ")
        assert "Cancelled 1 of 1 in " in said
        assert "✓ BUY 1 lot NIFTY 27 NOV 24000 PE, at the market: filled at 51.00" in said
        assert "Nothing of it is open any more." in said
        assert sent(rig)[before:] == [(PUT, Side.BUY, 75), (CALL, Side.SELL, 150)]
        known = rig.desk.orders.get(stop.id)
        assert known is not None
        assert known.status is OrderStatus.CANCELLED
        sources = {o.request.source for o in rig.desk.orders.orders()}
        assert "exit by Owner (phone)" in sources


async def test_a_second_press_is_told_that_it_is_done() -> None:
    async with talking() as rig:
        await held(rig, (CALL, 75))
        question = await rig.asks("/exit 1")
        before = len(sent(rig))
        yes = question.keys[0][0].data
        await asyncio.gather(*(rig.press_again(question, yes) for _ in range(2)))
        await receipt(rig, question.number)
        await until(lambda: rig.calls("answerCallbackQuery") == 2)
        await rig.press_again(question, yes)
        shown = rig.exchange.telegram.chats[OWNER].messages[question.number]
        await until(lambda: shown.notice == "already done: exit 1 position")

        assert sent(rig)[before:] == [(CALL, Side.SELL, 75)]
        assert "CLOSED 1 of 1" in shown.text.plain


async def test_two_questions_about_one_position_close_it_once() -> None:
    async with talking() as rig:
        await held(rig, (CALL, 75))
        questions = [await rig.asks("/exit 1"), await rig.asks("/exit 1"), await rig.asks("/f")]
        before = len(sent(rig))
        await asyncio.gather(*(rig.press(question, "✅") for question in questions))
        said = [await receipt(rig, question.number) for question in questions]

        assert sent(rig)[before:] == [(CALL, Side.SELL, 75)]
        assert sum("CLOSED 1 of 1" in one for one in said) == 1
        assert sum("Position changed, ask again" in one for one in said) == 2


async def test_a_confirmation_after_half_a_minute_is_too_late() -> None:
    async with talking() as rig:
        await held(rig, (CALL, 75))
        question = await rig.asks("/exit 24000ce")
        before = len(sent(rig))
        yes = question.keys[0][0].data
        rig.clock.advance(30.1)
        await rig.press(question, "Exit")
        said = await receipt(rig, question.number)
        await rig.press_again(question, yes)
        await rig.asks("/version")

        assert "Too late: it is older than 30 s. Nothing was sent" in said
        assert len(sent(rig)) == before


async def test_a_changed_position_must_be_asked_about_again() -> None:
    async with talking() as rig:
        await held(rig, (CALL, 75))
        question = await rig.asks("/exit 1")
        await deal(rig.desk, 75, 100.0)
        before = len(sent(rig))
        await rig.press(question, "Exit")
        said = await receipt(rig, question.number)

        assert "Position changed, ask again. Nothing was sent" in said
        assert len(sent(rig)) == before


async def test_a_price_that_moves_is_no_change() -> None:
    async with talking() as rig:
        await held(rig, (CALL, 75))
        question = await rig.asks("/exit 1")
        for _ in range(5):
            rig.prices([CALL])
        await rig.press(question, "Exit")

        assert "CLOSED 1 of 1" in await receipt(rig, question.number)


async def test_no_is_said_in_the_same_message_and_ends_it() -> None:
    async with talking() as rig:
        await held(rig, (CALL, 75))
        question = await rig.asks("/flatten")
        before = len(sent(rig))
        yes = question.keys[0][0].data
        await rig.press(question, "Cancel")
        said = await receipt(rig, question.number)
        await rig.press_again(question, yes)
        await rig.asks("/version")

        assert "Cancelled: nothing was sent (flatten 1 position)." in said
        assert len(sent(rig)) == before


async def test_a_question_is_answered_by_who_asked_it() -> None:
    other = 4_004
    async with talking(people=[person(), person(user=other)], commands=True) as rig:
        await held(rig, (CALL, 75))
        question = await rig.asks("/exit 1")
        before = len(sent(rig))
        data = question.keys[0][0].data
        mine = await rig.asks("/status", sender=other)
        mine.offered.add(data)  # what a forged press would carry
        await rig.phone(lambda chats: chats.press(mine.number, data, sender=other))
        await until(lambda: rig.calls("editMessageText"))

        assert len(sent(rig)) == before


async def test_an_exit_is_possible_without_a_price_and_says_so() -> None:
    async with talking() as rig:
        await held(rig, (CALL, 75))
        rig.clock.advance(20)
        question = await rig.asks("/exit 1")
        said = question.text.plain

        assert "— the feed's last price is 20 s old" in said
        assert "✖ no price to rely on: a market order takes what the market pays" in said
        await rig.press(question, "Exit")
        assert "CLOSED 1 of 1" in await receipt(rig, question.number)


async def test_no_more_is_sent_than_is_held_and_not_closed_already() -> None:
    async with talking() as rig:
        await held(rig, (CALL, 150))
        rig.broker.fills = {}
        await send(rig.desk, -75, reduces=True)  # at the market, on its way
        question = await rig.asks("/exit 1")
        assert "1. Sell 1 lot " in question.text.plain
        assert "1 lot on the way already" in question.text.plain
        before = len(sent(rig))
        await rig.press(question, "Exit")
        said = await receipt(rig, question.number)

        assert sent(rig)[before:] == [(CALL, Side.SELL, 75)]
        assert "STILL OPEN: NIFTY 27 NOV 24000 CE long 2 lots (150)" in said
        assert "not confirmed yet" in said


async def test_an_exit_in_doubt_is_not_sent_again_from_the_phone() -> None:
    async with talking() as rig:
        await held(rig, (CALL, 75))
        rig.broker.script = [After(Unanswered("no answer"))]
        rig.broker.fills = {}
        order = await send(rig.desk, -75, reduces=True)
        assert rig.desk.orders.get(order.id).status is OrderStatus.IN_DOUBT  # type: ignore[union-attr]
        refused = await rig.asks("/exit 1")
        await rig.desk.orders.stop()

    assert "IN DOUBT: sent again, it may close it twice" in refused.text.plain
    assert refused.keys == ()


async def test_a_rejected_exit_is_told_with_what_is_still_open() -> None:
    async with talking() as rig:
        await held(rig, (CALL, 75))
        question = await rig.asks("/flatten")
        rig.broker.script = [Retryable("the broker is busy")]
        await rig.press(question, "Flatten")
        said = await receipt(rig, question.number)

        assert said.startswith("🟣 SIM CLOSED 0 of 1 in ")
        assert "✖ SELL 1 lot NIFTY 27 NOV 24000 CE, at the market: not placed" in said
        assert "STILL OPEN: NIFTY 27 NOV 24000 CE long 1 lot (75)" in said


async def test_a_book_that_differs_is_no_word_that_nothing_is_open() -> None:
    """The broker holds what our own count does not: a reply must not say that all is flat."""
    async with talking() as rig:
        await held(rig, (CALL, 75))
        rig.broker.held = [foreign(50, key=PUT)]
        await read(rig.desk)
        question = await rig.asks("/exit 1")
        await rig.press(question, "Exit")
        closed = await receipt(rig, question.number)
        said = {name: (await rig.asks(name)).text.plain for name in ("/flatten", "/status", "/pos")}

    for words in (closed, said["/flatten"], said["/pos"]):
        assert "✖ the broker's book of main differs in NIFTY 27 NOV 24000 PE (the broker" in words
        assert "says 50 (once), we count 0" in words
        assert ": look at Positions" in words
    assert "By our own count nothing of it is open any more." in closed
    assert "So nothing was sent: look at what the broker shows" in said["/flatten"]
    assert "Nothing is open" not in said["/flatten"]
    assert "0 positions open by our own count (the broker's differs: /pos)" in said["/status"]
    assert "POSITIONS  0 open by our own count" in said["/pos"]


async def test_orders_are_cancelled_one_by_one_or_all() -> None:
    async with talking() as rig:
        first = await send(rig.desk, 75, order_type=OrderType.LIMIT, price=90.0)
        await send(rig.desk, 75, order_type=OrderType.LIMIT, price=80.0)
        listed = await rig.asks("/orders")
        assert "1. 11:00:00 BUY 1 lot NIFTY 27 NOV 24000 CE, limit 90.00" in listed.text.plain

        await rig.press(listed, "Cancel 1")
        question = await rig.hears(lambda m: "CANCEL 1?" in m.text.plain)
        await rig.press(question, "Cancel 1")
        said = await receipt(rig, question.number)
        assert "CANCELLED 1 of 1 in " in said
        assert rig.desk.orders.get(first.id).status is OrderStatus.CANCELLED  # type: ignore[union-attr]

        question = await rig.asks("/cancel all")
        await rig.press(question, "✅ Cancel 1")
        assert "CANCELLED 1 of 1" in await receipt(rig, question.number)
        assert rig.desk.orders.working() == []


async def test_an_order_whose_cancel_met_the_limit_of_calls_does_not_stay_after_a_flatten() -> None:
    async with talking() as rig:
        await held(rig, (CALL, 75))
        fills, rig.broker.fills = rig.broker.fills, {}
        adding = await send(rig.desk, 75, order_type=OrderType.LIMIT, price=90.0)
        rig.broker.fills = fills
        question = await rig.asks("/flatten")
        cancel, asked = rig.broker.cancel, []

        async def once_too_often(number: str) -> None:
            asked.append(number)
            if len(asked) == 1:
                raise RateLimited("our own limit of orders is reached", retry_after=0.05)
            await cancel(number)

        rig.broker.cancel = once_too_often  # type: ignore[method-assign]  # the wire, not our code
        await rig.press(question, "Flatten")
        said = await receipt(rig, question.number)

    assert "Cancelled 1 of 1 in " in said
    assert rig.desk.orders.get(adding.id).status is OrderStatus.CANCELLED  # type: ignore[union-attr]


async def test_an_order_that_was_filled_meanwhile_is_asked_about_again() -> None:
    async with talking() as rig:
        await send(rig.desk, 75, order_type=OrderType.LIMIT, price=90.0)
        question = await rig.asks("/cancel 1")
        rig.broker.fill(next(iter(rig.broker.book)), 25)
        await rig.press(question, "✅")
        assert "ask again" in await receipt(rig, question.number)


@pytest.mark.parametrize("command", ["/flatten", "/exit 1", "/cancel all"])
async def test_a_real_phone_sends_nothing_until_the_laptop_allows_it(command: str) -> None:
    async with talking(people=[person()], commands=False) as rig:
        await held(rig, (CALL, 75))
        await send(rig.desk, 75, order_type=OrderType.LIMIT, price=90.0)
        refused = await rig.asks(command)

    assert NO_ORDERS in refused.text.plain
    assert refused.keys == ()


async def test_real_orders_want_the_word_of_the_day_first() -> None:
    real = Account("main", "Main", primary=True, is_mock=False)
    async with talking(
        people=[person()], commands=True, accounts=[real], world=World("upstox", "broker")
    ) as rig:
        latch = rig.desk.accounts.latch
        await latch.arm("LIVE")
        await held(rig, (CALL, 75))
        rig.clock.advance(86_400)
        rig.prices([CALL])
        refused = await rig.asks("/flatten")
        assert refused.text.plain.startswith("🔴 LIVE FLATTEN")
        assert "Real orders are locked today: type LIVE" in refused.text.plain
        assert refused.keys == ()
    assert MAIN.is_mock


async def test_nothing_to_flatten_is_said() -> None:
    async with talking() as rig:
        await read(rig.desk)
        assert "Nothing is open and nothing works." in (await rig.asks("/flatten")).text.plain
        assert "Which position?" in (await rig.asks("/exit 7")).text.plain
        assert "Which?" in (await rig.asks("/cancel 9")).text.plain
