"""Baskets: refused, placed, undone, kept, unresolved; the receipt; and what is told before."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.trading.basket_rig import LOT, Outcome, Rig, books_agree
from trading.basket import Basket, BasketRequest, BasketState, LegStatus, OnFilled
from trading.errors import Denied
from trading.order import OrderRequest, OrderType, Side

B, S = Side.BUY, Side.SELL
Do = Outcome
CHARGES = 2 * (2_000 + 2 * LOT)  # of one leg of two lots, in and out
SLIPPED = 2 * 2 * LOT * 100  # bought at 101, sold at 99


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


@pytest.fixture
def asking() -> Iterator[Rig]:
    rig = Rig(on_filled=OnFilled.ASK)
    yield rig
    rig.close()


def statuses(basket: Basket) -> list[LegStatus]:
    return [leg.status for leg in basket.legs]


# placed


def test_four_legs_that_fill_are_placed_at_once_buys_first(rig: Rig) -> None:
    basket = rig.send(*(rig.leg(side, Do.FILL) for side in (S, B, B, S)), name="Iron condor")
    assert basket.state is BasketState.PLACED
    assert [line.request.side for line in rig.exchange.placed] == [B, B, S, S]
    assert [leg.filled for leg in basket.legs] == [2 * LOT] * 4
    assert [leg.average for leg in basket.legs] == [99.0, 101.0, 101.0, 99.0]
    assert all(leg.final_ms is not None and leg.final_ms < 20 for leg in basket.legs)
    assert all(leg.answer_ms is not None for leg in basket.legs)
    assert basket.elapsed_ms is not None
    assert basket.elapsed_ms < 1_000  # nothing to wait for
    assert (basket.name, basket.cost) == ("Iron condor", 0)
    books_agree(rig, basket)


def test_a_limit_leg_that_rests_is_no_failure_but_is_watched_for_the_window(rig: Rig) -> None:
    basket = rig.send(rig.leg(B, Do.FILL), rig.leg(S, Do.OPEN))
    assert basket.state is BasketState.PLACED
    assert statuses(basket) == [LegStatus.FILLED, LegStatus.OPEN]
    assert basket.elapsed_ms is not None
    assert 10_000 <= basket.elapsed_ms < 10_100
    books_agree(rig, basket)


def test_the_receipt_follows_a_resting_leg_after_the_outcome(rig: Rig) -> None:
    basket = rig.send(rig.leg(B, Do.FILL), rig.leg(S, Do.OPEN))
    rig.exchange.later(5.0, lambda: rig.exchange.fill(list(rig.exchange.book)[1]))
    rig.send(rig.leg(B, Do.OPEN), nonce="another")  # the exchange wakes up for it
    assert statuses(rig.fresh(basket.id)) == [LegStatus.FILLED, LegStatus.FILLED]
    assert rig.fresh(basket.id).state is BasketState.PLACED


def test_an_answer_that_was_lost_and_is_found_at_once_is_no_failure(rig: Rig) -> None:
    basket = rig.send(rig.leg(B, Do.FILL), rig.leg(S, Do.LOST_FILLED))
    assert basket.state is BasketState.PLACED
    books_agree(rig, basket)


def test_the_whole_call_unanswered_but_placed(rig: Rig) -> None:
    rig.exchange.lose_answer_of_calls = 1
    basket = rig.send(rig.leg(B, Do.FILL), rig.leg(S, Do.FILL))
    assert basket.state is BasketState.PLACED
    books_agree(rig, basket)


def test_a_silent_stream_is_found_out_by_a_read_before_it_is_called_placed(rig: Rig) -> None:
    basket = rig.send(rig.leg(B, Do.FILL), rig.leg(S, Do.MUTE_FILL))
    assert basket.state is BasketState.PLACED
    assert statuses(basket) == [LegStatus.FILLED, LegStatus.FILLED]
    books_agree(rig, basket)


def test_while_nothing_can_be_read_nothing_is_claimed(rig: Rig) -> None:
    legs = (rig.leg(B, Do.FILL), rig.leg(S, Do.MUTE_FILL))
    rig.run(rig.life.baskets.send(BasketRequest(legs, nonce="press")))
    rig.exchange.reads_fail_until = 60.0
    rig.pass_time(50.0)
    basket = rig.pressed("press")
    assert basket is not None
    assert basket.state is BasketState.PLACING
    assert rig.finish().state is BasketState.PLACED


# undone


def test_a_rejected_leg_undoes_the_others_shorts_first_and_says_the_cost(rig: Rig) -> None:
    basket = rig.send(
        rig.leg(B, Do.FILL), rig.leg(S, Do.FILL), rig.leg(S, Do.REJECT), rig.leg(B, Do.FILL)
    )
    assert basket.state is BasketState.REVERSED
    assert "leg 3 rejected: RMS: margin short" in basket.reason
    undone = [line.request for line in rig.exchange.placed[4:]]
    assert [(r.leg, r.side, r.quantity) for r in undone] == [
        (2, B, 150),
        (1, S, 150),
        (4, S, 150),
    ]
    assert {r.order_type for r in undone} == {OrderType.MARKET}
    assert all(r.reduces for r in undone)
    assert [leg.residual for leg in basket.legs] == [0, 0, 0, 0]
    assert [leg.price_cost for leg in basket.legs] == [SLIPPED, SLIPPED, 0, SLIPPED]
    assert [leg.charges for leg in basket.legs] == [CHARGES, CHARGES, 0, CHARGES]
    assert basket.cost == 3 * (SLIPPED + CHARGES)
    assert basket.elapsed_ms is not None
    assert basket.elapsed_ms < 1_000
    books_agree(rig, basket)


@pytest.mark.parametrize("failing", range(1, 11))
@pytest.mark.parametrize("how", [Do.REJECT, Do.LATE_REJECT, Do.LOST, Do.PARTIAL_CANCEL])
def test_whichever_of_ten_legs_fails_nothing_is_left(rig: Rig, failing: int, how: Outcome) -> None:
    rig.exchange.script = {}
    legs = [rig.leg((B, S)[n % 2], how if n == failing else Do.FILL) for n in range(1, 11)]
    basket = rig.send(*legs)
    assert basket.state is BasketState.REVERSED
    assert all(rig.exchange.net(leg.instrument_key) == 0 for leg in legs)
    books_agree(rig, basket)


def test_open_legs_are_cancelled_and_nothing_done_costs_nothing(rig: Rig) -> None:
    basket = rig.send(rig.leg(B, Do.OPEN), rig.leg(S, Do.LATE_REJECT))
    assert basket.state is BasketState.NOTHING_DONE
    assert statuses(basket) == [LegStatus.CANCELLED, LegStatus.REJECTED]
    assert basket.cost == 0
    books_agree(rig, basket)


def test_a_part_that_was_filled_before_the_cancel_is_reversed(rig: Rig) -> None:
    basket = rig.send(rig.leg(B, Do.PARTIAL), rig.leg(S, Do.LATE_REJECT))
    assert basket.state is BasketState.REVERSED
    assert (basket.legs[0].filled, basket.legs[0].reversed) == (LOT, LOT)
    books_agree(rig, basket)


def test_a_cancel_that_loses_the_race_is_reversed(rig: Rig) -> None:
    basket = rig.send(rig.leg(B, Do.CANCEL_LOSES), rig.leg(S, Do.LATE_REJECT))
    assert basket.state is BasketState.REVERSED
    assert basket.legs[0].reversed == 2 * LOT
    books_agree(rig, basket)


def test_a_leg_that_never_arrived_is_not_sent_again(rig: Rig) -> None:
    basket = rig.send(rig.leg(B, Do.FILL), rig.leg(S, Do.LOST))
    assert basket.state is BasketState.REVERSED
    assert statuses(basket)[1] is LegStatus.REJECTED
    assert basket.elapsed_ms is not None
    assert 20_000 < basket.elapsed_ms < 40_000  # five looks, five seconds apart
    assert len(rig.exchange.placed) == 3
    books_agree(rig, basket)


@pytest.mark.parametrize(
    "attempts",
    [
        [Do.REJECT, Do.FILL],
        [Do.LATE_REJECT, Do.REJECT, Do.FILL],
        [Do.PARTIAL_CANCEL, Do.FILL],
        [Do.LOST_FILLED],
        [Do.LOST, Do.FILL],
        [Do.OPEN, Do.FILL],
        [Do.PARTIAL, Do.PARTIAL, Do.FILL],
        [Do.SLOW],
        [Do.FILL_FIRST],
        [Do.CANCEL_LOSES],
        [Do.MUTE_FILL],
    ],
)
def test_a_reversal_is_tried_up_to_three_times_one_after_the_other(
    rig: Rig, attempts: list[Outcome]
) -> None:
    basket = rig.send(rig.leg(S, Do.FILL, *attempts), rig.leg(B, Do.REJECT))
    assert basket.state is BasketState.REVERSED
    assert len(basket.legs[0].reversal_ids) == len(attempts)
    books_agree(rig, basket)


# not undone


def test_a_reversal_that_fails_three_times_calls_for_a_person_and_keeps_the_cover(
    rig: Rig,
) -> None:
    basket = rig.send(
        rig.leg(B, Do.FILL), rig.leg(S, Do.FILL, *[Do.REJECT] * 3), rig.leg(S, Do.REJECT)
    )
    assert basket.state is BasketState.UNRESOLVED
    assert [leg.residual for leg in basket.legs] == [150, 150, 0]
    assert basket.legs[0].reversal_reason == "kept, because it covers leg 2"
    assert "leg 2: 150 sold (RMS: margin short" in basket.reason
    assert [alarm.id for alarm in rig.alarms] == [basket.id]
    assert basket.alarming
    books_agree(rig, basket)


def test_an_alarm_lasts_through_a_restart_until_somebody_takes_note(rig: Rig) -> None:
    basket = rig.send(rig.leg(S, Do.FILL, *[Do.REJECT] * 3), rig.leg(B, Do.REJECT))
    rig.pass_time(1.0)
    rig.restart()
    assert [alarm.id for alarm in rig.life.alarms] == [basket.id]
    noted = rig.life.baskets.acknowledge(basket.id)
    assert not noted.alarming
    assert rig.life.baskets.acknowledge(basket.id) == noted
    rig.pass_time(1.0)
    rig.restart()
    assert rig.life.alarms == []
    assert rig.fresh(basket.id).state is BasketState.UNRESOLVED


def test_nothing_can_be_taken_note_of_while_it_is_being_undone(rig: Rig) -> None:
    legs = (rig.leg(S, Do.FILL, Do.OPEN), rig.leg(B, Do.REJECT))
    basket = rig.run(rig.life.baskets.send(BasketRequest(legs, nonce="press")))
    assert basket is not None
    rig.pass_time(1.0)
    assert rig.fresh(basket.id).state is BasketState.COMPENSATING
    with pytest.raises(Denied, match="compensating"):
        rig.life.baskets.acknowledge(basket.id)
    with pytest.raises(Denied, match="does not wait"):
        rig.life.baskets.decide(basket.id, OnFilled.KEEP)
    assert rig.finish().state is BasketState.REVERSED


def test_a_leg_that_cannot_be_cancelled_is_left_and_told(rig: Rig) -> None:
    basket = rig.send(rig.leg(B, Do.FILL), rig.leg(S, Do.DEAF), rig.leg(B, Do.REJECT))
    assert basket.state is BasketState.UNRESOLVED
    assert "leg 2: 0 sold, still working" in basket.reason
    assert basket.legs[0].residual == 150  # it covers leg 2, should that be filled
    books_agree(rig, basket)


def test_books_that_cannot_be_read_mean_unknown_never_flat(rig: Rig) -> None:
    legs = (rig.leg(B, Do.FILL), rig.leg(S, Do.LATE_REJECT))
    rig.run(rig.life.baskets.send(BasketRequest(legs, nonce="press")))
    rig.exchange.reads_fail_until = 1_000.0
    basket = rig.finish()
    assert basket.state is BasketState.UNRESOLVED
    assert "cannot be read" in basket.reason
    assert basket.legs[0].residual == 150
    assert len(rig.exchange.placed) == 2


def test_a_leg_that_stays_in_doubt_is_told_as_unknown_not_as_zero(rig: Rig) -> None:
    rig.exchange.later(0.1, lambda: setattr(rig.exchange, "reads_fail_until", 1_000.0))
    legs = (rig.leg(B, Do.FILL), rig.leg(S, Do.LOST))
    basket = rig.send(*legs)
    assert basket.state is BasketState.UNRESOLVED
    assert [leg.residual for leg in basket.legs] == [150, None]
    assert "leg 2: nobody knows" in basket.reason
    assert len(rig.exchange.placed) == 2
    books_agree(rig, basket)


def test_what_may_be_on_the_market_already_is_not_sent_again_in_a_basket(rig: Rig) -> None:
    rig.exchange.later(0.1, lambda: setattr(rig.exchange, "reads_fail_until", 1_000.0))
    lost = rig.leg(S, Do.LOST)
    rig.send(rig.leg(B, Do.FILL), lost)

    again = BasketRequest((rig.leg(B, Do.FILL), lost), nonce="again")
    basket = rig.run(rig.life.baskets.send(again))

    assert basket.state is BasketState.REFUSED
    assert [problem.field for problem in basket.problems] == ["legs[1].instrument_key"]
    assert "is in doubt" in basket.reason
    assert len(rig.exchange.placed) == 2


def test_what_was_closed_elsewhere_is_not_closed_again(rig: Rig) -> None:
    legs = (rig.leg(B, Do.FILL), rig.leg(S, Do.LATE_REJECT))
    rig.exchange.later(1.0, lambda: rig.exchange.trade_elsewhere(legs[0].instrument_key, S, 75))
    basket = rig.send(*legs)
    assert basket.state is BasketState.UNRESOLVED
    assert (basket.legs[0].reversed, basket.legs[0].residual) == (75, 75)
    assert rig.exchange.net(legs[0].instrument_key) == 0
    books_agree(rig, basket)


def test_a_net_position_that_lags_is_read_again(rig: Rig) -> None:
    rig.exchange.hidden_net = 150
    rig.exchange.later(3.0, lambda: setattr(rig.exchange, "hidden_net", 0))
    basket = rig.send(rig.leg(B, Do.FILL), rig.leg(S, Do.LATE_REJECT))
    assert basket.state is BasketState.REVERSED
    books_agree(rig, basket)


def test_an_order_that_turns_up_after_the_outcome_calls_for_a_person(rig: Rig) -> None:
    basket = rig.send(rig.leg(B, Do.OPEN), rig.leg(S, Do.TURNS_UP))
    assert basket.state is BasketState.NOTHING_DONE
    rig.pass_time(30.0)
    later = rig.fresh(basket.id)
    assert later.state is BasketState.UNRESOLVED
    assert "told later" in later.reason
    books_agree(rig, later)


def test_a_reversal_that_turns_up_after_the_next_one_was_filled_calls_for_a_person(
    rig: Rig,
) -> None:
    basket = rig.send(rig.leg(B, Do.FILL, Do.TURNS_UP, Do.FILL), rig.leg(S, Do.REJECT))
    assert basket.state is BasketState.REVERSED
    rig.pass_time(40.0)
    later = rig.fresh(basket.id)
    assert later.state is BasketState.UNRESOLVED
    assert "leg 1: 150 more reversed than were bought" in later.reason
    books_agree(rig, later)


def test_a_fault_of_our_own_leaves_no_basket_unwatched(rig: Rig) -> None:
    rig.exchange.later(1.0, lambda: setattr(rig.exchange, "nonsense", True))
    basket = rig.send(rig.leg(B, Do.FILL), rig.leg(S, Do.LATE_REJECT))
    assert basket.state is BasketState.UNRESOLVED
    assert "the desk failed to follow it (KeyError('quantity'))" in basket.reason
    assert [alarm.id for alarm in rig.alarms] == [basket.id]


def test_an_alarm_comes_back_if_more_turns_out_to_be_left(rig: Rig) -> None:
    basket = rig.send(rig.leg(S, Do.DEAF), rig.leg(B, Do.REJECT))
    rig.life.baskets.acknowledge(basket.id)
    rig.exchange.fill(next(iter(rig.exchange.book)))
    assert rig.fresh(basket.id).alarming
    assert len(rig.alarms) == 2


# what the trader chose


def test_kept_legs_stay(rig: Rig) -> None:
    basket = rig.send(rig.leg(B, Do.FILL), rig.leg(S, Do.REJECT), on_filled=OnFilled.KEEP)
    assert basket.state is BasketState.PARTIAL_KEPT
    assert basket.legs[0].residual == 150
    assert "leg 1: 150 bought" in basket.reason
    books_agree(rig, basket)


@pytest.mark.parametrize(
    ("choice", "state"),
    [(OnFilled.KEEP, BasketState.PARTIAL_KEPT), (OnFilled.REVERSE, BasketState.REVERSED)],
)
@pytest.mark.parametrize("restart", [False, True])
def test_where_orders_are_real_the_trader_is_asked(
    asking: Rig, choice: OnFilled, state: BasketState, *, restart: bool
) -> None:
    basket = asking.send(asking.leg(B, Do.FILL), asking.leg(S, Do.REJECT))
    assert basket.asking
    assert basket.state is BasketState.COMPENSATING
    if restart:
        asking.pass_time(60.0)
        asking.restart()
        assert asking.finish().asking
    with pytest.raises(Denied):
        asking.life.baskets.decide(basket.id, OnFilled.ASK)
    assert asking.life.baskets.decide(basket.id, choice).decision is choice
    with pytest.raises(Denied):
        asking.life.baskets.decide(basket.id, OnFilled.KEEP)
    ended = asking.finish()
    assert ended.state is state
    assert not ended.asking
    books_agree(asking, ended)


def test_nobody_is_asked_if_nothing_was_filled(asking: Rig) -> None:
    basket = asking.send(asking.leg(B, Do.OPEN), asking.leg(S, Do.REJECT))
    assert basket.state is BasketState.NOTHING_DONE


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ([Do.FILL, Do.REJECT], BasketState.PARTIAL_KEPT),
        ([Do.OPEN, Do.LATE_REJECT], BasketState.PARTIAL_KEPT),
        ([Do.REJECT, Do.LATE_REJECT], BasketState.NOTHING_DONE),
        ([Do.FILL, Do.LOST_FILLED], BasketState.PLACED),
        ([Do.FILL, Do.LOST], BasketState.PARTIAL_KEPT),
        ([Do.FILL, Do.PARTIAL], BasketState.PLACED),
    ],
)
def test_without_rollback_legs_stand_as_they_are(
    rig: Rig, outcomes: list[Outcome], state: BasketState
) -> None:
    legs = [rig.leg((B, S)[n % 2], outcome) for n, outcome in enumerate(outcomes)]
    basket = rig.send(*legs, rollback_on_failure=False)
    assert basket.state is state
    assert not any(leg.reversal_ids for leg in basket.legs)
    books_agree(rig, basket)


# several at once, gone, stopped


def test_a_double_press_makes_one_basket(rig: Rig) -> None:
    request = BasketRequest((rig.leg(B, Do.FILL), rig.leg(S, Do.FILL)), nonce="press")

    async def press_twice() -> list[Basket]:
        both = (rig.life.baskets.send(request), rig.life.baskets.send(request))
        return list(await asyncio.gather(*both))

    first, second = rig.run(press_twice()) or []
    assert first.id == second.id
    rig.finish()
    # What would refuse a new one says nothing about this one.
    rig.life.orders.gate.add(lambda _: "the kill switch is on")
    again = rig.run(rig.life.baskets.send(request))
    rig.restart()
    later = rig.run(rig.life.baskets.send(request))
    assert again is not None
    assert later is not None
    assert again.id == later.id == first.id
    assert len(rig.exchange.placed) == 2


def test_who_pressed_may_go_away(rig: Rig) -> None:
    request = BasketRequest((rig.leg(B, Do.FILL), rig.leg(S, Do.REJECT)), nonce="press")

    async def press_and_leave() -> None:
        task = asyncio.create_task(rig.life.baskets.send(request))
        await asyncio.sleep(0.004)
        task.cancel()

    rig.run(press_and_leave())
    rig.pass_time(0.1)
    assert rig.finish().state is BasketState.REVERSED


def test_baskets_that_hold_the_same_take_turns_and_never_close_more_than_the_net(rig: Rig) -> None:
    shared = rig.leg(B, Do.FILL, Do.FILL)
    one = BasketRequest((shared, rig.leg(S, Do.LATE_REJECT)), nonce="one")
    two = BasketRequest((shared, rig.leg(S, Do.LATE_REJECT)), nonce="two")
    key = shared.instrument_key
    rig.exchange.later(1.0, lambda: rig.exchange.trade_elsewhere(key, S, 150))

    async def both() -> None:
        await asyncio.gather(rig.life.baskets.send(one), rig.life.baskets.send(two))

    rig.run(both())
    states = {rig.finish("one").state, rig.finish("two").state}
    assert states == {BasketState.REVERSED, BasketState.UNRESOLVED}
    assert rig.exchange.net(key) == 0


def test_a_stop_in_the_middle_is_finished_by_the_next_life(rig: Rig) -> None:
    legs = (rig.leg(S, Do.FILL, Do.OPEN, Do.FILL), rig.leg(B, Do.REJECT))
    rig.run(rig.life.baskets.send(BasketRequest(legs, nonce="press")))
    rig.pass_time(3.0)

    async def stop() -> None:
        await rig.life.baskets.stop()
        await rig.life.orders.stop()
        await asyncio.sleep(1.0)  # the writer writes what it has

    rig.run(stop())
    rig.restart(after=20.0)
    basket = rig.finish()
    assert basket.state is BasketState.REVERSED
    books_agree(rig, basket)


def test_the_desk_that_dies_before_sending_does_not_send_later(rig: Rig) -> None:
    legs = (rig.leg(B, Do.FILL), rig.leg(S, Do.FILL))
    names = boundaries(Rig(), legs)
    for name in ("after basket", "before intents"):
        rig.crash_at(names.index(name) + 1)
        basket = rig.send(*legs, nonce=name)
        assert basket.state is BasketState.NOTHING_DONE
        assert "stopped before" in basket.reason
    assert rig.exchange.placed == []


def boundaries(rig: Rig, legs: tuple[OrderRequest, ...], **how: Any) -> list[str]:
    """Return the names of all boundaries that this basket passes if nothing ends its life."""
    rig.send(*legs, **how)
    names = list(rig.life.cut.names)
    rig.close()
    return names


# refused


def test_a_basket_that_is_none_is_refused_by_the_field(rig: Rig) -> None:
    leg = rig.leg(B)
    eleven = tuple(rig.leg(B) for _ in range(11))
    bad: list[tuple[tuple[OrderRequest, ...], dict[str, Any], str]] = [
        ((), {}, "legs"),
        (eleven, {}, "legs"),
        ((leg, rig.leg(B, account="other")), {}, "account"),
        ((leg, leg), {}, "legs[1].instrument_key"),
        ((leg, rig.leg(S, key=leg.instrument_key)), {}, "legs[1].instrument_key"),
        ((leg,), {"nonce": ""}, "nonce"),
        ((leg, rig.leg(S, reduces=True)), {}, "legs[1].reduces"),
        ((leg, rig.leg(S, quantity=0)), {}, "legs[1].quantity"),
        ((leg, rig.leg(S, quantity=-75)), {}, "legs[1].quantity"),
        ((leg, rig.leg(S, quantity=76)), {}, "legs[1].quantity"),
        ((rig.leg(S, quantity=1.5),), {}, "legs[0].quantity"),
        ((leg, rig.leg(S, price=100.03)), {}, "legs[1].price"),
        ((leg, rig.leg(S, price=500.0)), {}, "legs[1].price"),
        ((leg, rig.leg(S, price=float("nan"))), {}, "legs[1].price"),
        ((rig.leg(B, key="'; DROP TABLE orders;--"),), {}, "legs[0].instrument_key"),
        (tuple(rig.leg(B, quantity=9_000) for _ in range(6)), {}, "legs"),
        ((rig.leg(B, account="nobody"),), {}, "legs[0].account"),
    ]
    for n, (legs, how, field) in enumerate(bad):
        request = BasketRequest(legs, **{"nonce": f"n{n}", **how})
        basket = rig.run(rig.life.baskets.send(request))
        assert basket is not None
        assert basket.state is BasketState.REFUSED, field
        assert basket.problems[0].field == field
        assert "Nothing was sent" in basket.reason
    assert rig.exchange.placed == []
    assert rig.disk.kept == {}


def test_exits_can_be_sent_together_without_a_rollback(rig: Rig) -> None:
    legs = [rig.leg(side, Do.FILL, reduces=True) for side in (B, S)]
    rig.exchange.available = 0  # an exit needs no margin
    assert rig.send(*legs, rollback_on_failure=False).state is BasketState.PLACED


def test_short_of_margin_or_margin_unknown_is_refused_and_on_record(rig: Rig) -> None:
    legs = (rig.leg(B), rig.leg(S))
    rig.exchange.available = 100
    short = rig.send(*legs, nonce="short")
    rig.exchange.reads_fail_until = rig.timeline.now + 5.0
    unknown = rig.send(*legs, nonce="unknown")
    for basket in (short, unknown):
        assert basket.state is BasketState.REFUSED
        assert [problem.field for problem in basket.problems] == ["margin"]
        assert basket.id in rig.disk.baskets_kept
    assert "₹300.00 is needed, ₹1.00 is available" in short.reason.replace("30,000.00", "300.00")
    assert rig.exchange.placed == []


def test_what_the_gate_refuses_is_refused_whole(rig: Rig) -> None:
    rig.life.orders.gate.add(lambda _: "the kill switch is on")
    basket = rig.run(rig.life.baskets.send(BasketRequest((rig.leg(B), rig.leg(S)), nonce="p")))
    assert basket is not None
    assert basket.state is BasketState.REFUSED
    assert "kill switch" in basket.reason
    assert rig.exchange.placed == []


# before sending


def test_the_preview_says_order_margin_and_the_worst_unwinding(rig: Rig) -> None:
    sold, bought = rig.leg(S, quantity=3_600), rig.leg(B)
    preview = rig.run(rig.life.baskets.preview([sold, bought]))
    assert preview is not None
    assert [(leg.number, leg.slices) for leg in preview.legs] == [(2, 1), (1, 2)]
    assert preview.lines == 3
    assert preview.problems == ()
    assert preview.margin is not None
    assert (preview.margin.required, preview.margin.final) == (3_750 * 15_000, 3_750 * 10_000)
    spread = 2 * 3_750 * 100
    charges = 2 * (2_000 + 3_600) + 2 * (2_000 + 150)
    assert preview.unwinding == spread + charges
    assert rig.exchange.placed == []


def test_the_preview_of_a_bad_basket_names_the_field(rig: Rig) -> None:
    preview = rig.run(rig.life.baskets.preview([rig.leg(B), rig.leg(S, quantity=1)]))
    assert preview is not None
    assert [problem.field for problem in preview.problems] == ["legs[1].quantity"]
    assert preview.unwinding is None


def test_what_the_preview_cannot_know_it_says(rig: Rig) -> None:
    rig.exchange.reads_fail_until = 100.0
    preview = rig.run(rig.life.baskets.preview([rig.leg(B)]))
    assert preview is not None
    assert (preview.margin, preview.unwinding) == (None, None)
    assert len(preview.unknown) == 2
