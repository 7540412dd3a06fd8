"""Baskets of 1 to 10 legs over every outcome and crash point: our book is the exchange's (C4).

Hypothesis prints how to repeat what it finds.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.trading.basket_rig import Outcome, Rig, books_agree
from trading.basket import Basket, BasketRequest, BasketState, OnFilled
from trading.errors import Denied
from trading.order import OrderRequest, Side

B, S = Side.BUY, Side.SELL
Do = Outcome

# One leg: its side, what becomes of its order, what becomes of the orders that reverse it.
Script = tuple[Side, tuple[Outcome, ...]]
SCENARIOS: dict[str, tuple[list[Script], dict[str, Any]]] = {
    "all fill": ([(B, (Do.FILL,)), (S, (Do.FILL,)), (S, (Do.FILL,))], {}),
    "one rests": ([(B, (Do.FILL,)), (S, (Do.OPEN,))], {}),
    "rejected, reversed": ([(B, (Do.FILL,)), (S, (Do.FILL,)), (S, (Do.REJECT,))], {}),
    "late, open, part": (
        [(B, (Do.PARTIAL,)), (S, (Do.OPEN,)), (S, (Do.LATE_REJECT,)), (B, (Do.CANCEL_LOSES,))],
        {},
    ),
    "lost": ([(B, (Do.FILL,)), (S, (Do.LOST,)), (S, (Do.LOST_FILLED,))], {}),
    "reversal in trouble": (
        [(S, (Do.FILL, Do.LOST, Do.PARTIAL, Do.FILL)), (B, (Do.FILL, Do.OPEN)), (B, (Do.REJECT,))],
        {},
    ),
    "reversal refused": (
        [(S, (Do.FILL, Do.REJECT, Do.REJECT, Do.REJECT)), (B, (Do.FILL,)), (B, (Do.REJECT,))],
        {},
    ),
    "kept": ([(B, (Do.FILL,)), (S, (Do.REJECT,))], {"on_filled": OnFilled.KEEP}),
    "as it stands": ([(B, (Do.FILL,)), (S, (Do.LOST,))], {"rollback_on_failure": False}),
}


def run(scenario: str, *crashes: int) -> Rig:
    """Send the basket in a life that ends at the first boundary, and the next at the second..."""
    scripts, how = SCENARIOS[scenario]
    rig = Rig()
    legs = tuple(rig.leg(side, *outcomes) for side, outcomes in scripts)
    left = list(crashes)
    if left:
        rig.crash_at(left.pop(0))
    rig.run(rig.life.baskets.send(BasketRequest(legs, nonce="press", **how)))
    while rig.life.cut.is_dead:
        rig.restart(after=3.0)
        if left:
            rig.crash_at(left.pop(0))
        basket = rig.pressed("press")
        if basket is not None:
            rig.run(rig.life.baskets.finished(basket.id))
    return rig


def ended(rig: Rig, nonce: str = "press") -> Basket | None:
    basket = rig.pressed(nonce)
    if basket is None:
        return None
    rig.finish(nonce)
    rig.pass_time(1.0)
    return rig.pressed(nonce)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_crash_at_every_boundary_is_resumed_without_sending_twice(scenario: str) -> None:
    whole = run(scenario)
    straight = ended(whole)
    assert straight is not None
    boundaries = whole.life.cut.passed
    whole.close()
    for n in range(1, boundaries + 1):
        rig = run(scenario, n, 5)
        basket = ended(rig)
        assert rig.crashes >= 1 or n > boundaries - 3
        if basket is None:
            assert rig.exchange.placed == [], f"crash {n}: sent and forgotten"
        else:
            books_agree(rig, basket)
            if rig.exchange.placed:
                _as_if_nothing_had_happened(straight, basket, f"crash {n}: {basket.reason}")
        rig.close()


def _as_if_nothing_had_happened(straight: Basket, basket: Basket, words: str) -> None:
    """The outcome is that of an undisturbed life, unless the crash took one of three attempts."""
    if basket.state is BasketState.UNRESOLVED:
        assert any(len(leg.reversal_ids) == 3 for leg in basket.legs), words
    else:
        assert basket.state is straight.state, words


OUTCOMES = st.one_of(st.just(Outcome.FILL), st.sampled_from(list(Outcome)))
LEGS = st.lists(
    st.tuples(st.sampled_from(Side), st.lists(OUTCOMES, min_size=1, max_size=4)),
    min_size=1,
    max_size=10,
)


class Trading(RuleBasedStateMachine):
    """Somebody trades, somebody kills the desk, and the exchange does what it likes."""

    @initialize(on_filled=st.sampled_from(OnFilled))
    def begin(self, on_filled: OnFilled) -> None:
        self.rig = Rig(on_filled=on_filled)
        self.presses: dict[str, tuple[OrderRequest, ...]] = {}
        self.committed: set[str] = set()

    @rule(legs=LEGS, rollback=st.booleans(), lose=st.integers(0, 9))
    def send(self, legs: list[tuple[Side, list[Outcome]]], *, rollback: bool, lose: int) -> None:
        self._alive()
        requests = tuple(self.rig.leg(side, *outcomes) for side, outcomes in legs)
        nonce = f"press {len(self.presses)}"
        self.presses[nonce] = requests
        self.rig.exchange.lose_answer_of_calls = lose == 0
        self._press(nonce, rollback=rollback)

    @precondition(lambda self: self.presses)
    @rule(data=st.data())
    def press_again(self, data: st.DataObject) -> None:
        self._alive()
        self._press(data.draw(st.sampled_from(sorted(self.presses))), rollback=True)

    def _press(self, nonce: str, *, rollback: bool) -> None:
        request = BasketRequest(self.presses[nonce], nonce, rollback_on_failure=rollback)
        basket = self.rig.run(self.rig.life.baskets.send(request))
        if basket is not None and basket.state is not BasketState.REFUSED:
            self.committed.add(nonce)

    @rule(seconds=st.sampled_from([0.001, 0.01, 1.0, 5.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self._alive()
        self.rig.pass_time(seconds)

    @rule(boundary=st.integers(1, 60))
    def crash_soon(self, boundary: int) -> None:
        self._alive()
        self.rig.crash_at(boundary)

    @rule(away=st.sampled_from([0.0, 3.0, 120.0]))
    def crash_now(self, away: float) -> None:
        self.rig.restart(after=away)

    @rule(seconds=st.sampled_from([1.0, 12.0, 100.0]))
    def reads_fail(self, seconds: float) -> None:
        self.rig.exchange.reads_fail_until = self.rig.timeline.now + seconds

    @rule(choice=st.sampled_from([OnFilled.KEEP, OnFilled.REVERSE]))
    def decide(self, choice: OnFilled) -> None:
        self._alive()
        for basket in self.rig.life.baskets.all():
            if basket.asking:
                self.rig.life.baskets.decide(basket.id, choice)
            else:
                with pytest.raises(Denied):
                    self.rig.life.baskets.decide(basket.id, choice)

    @rule()
    def acknowledge(self) -> None:
        self._alive()
        for basket in self.rig.life.baskets.all():
            if basket.state is BasketState.UNRESOLVED:
                self.rig.life.baskets.acknowledge(basket.id)
            else:
                with pytest.raises(Denied):
                    self.rig.life.baskets.acknowledge(basket.id)

    def _alive(self) -> None:
        if self.rig.life.cut.is_dead:
            self.rig.restart(after=3.0)

    @invariant()
    def nothing_is_ever_sent_twice(self) -> None:
        nonces = [line.request.nonce for line in self.rig.exchange.placed]
        assert len(nonces) == len(set(nonces))
        batches = {line.request.batch_id for line in self.rig.exchange.placed}
        assert len(batches) <= len(self.presses)

    @invariant()
    def nothing_is_reversed_beyond_what_was_filled(self) -> None:
        """But for an order that was looked for in vain, and turned up after the next attempt."""
        for leg in (leg for requests in self.presses.values() for leg in requests):
            if leg.instrument_key not in self.rig.exchange.late:
                assert self.rig.exchange.net(leg.instrument_key) * leg.side.sign >= 0

    def teardown(self) -> None:
        if not hasattr(self, "rig"):
            return
        self._alive()
        self.rig.life.cut.at = None
        for nonce in self.presses:
            basket = self._ended(nonce)
            if basket is not None:
                books_agree(self.rig, basket)
            else:
                assert nonce not in self.committed
                keys = {leg.instrument_key for leg in self.presses[nonce]}
                assert not [x for x in self.rig.exchange.placed if x.request.instrument_key in keys]
        self.rig.close()

    def _ended(self, nonce: str) -> Basket | None:
        basket = self.rig.pressed(nonce)
        while basket is not None and (basket := self.rig.finish(nonce)).asking:
            self.rig.life.baskets.decide(basket.id, OnFilled.REVERSE)
        self.rig.exchange.reads_fail_until = -1.0
        self.rig.pass_time(60.0)  # for what turns up late
        self.rig.run(self.rig.life.orders.reconcile("main", why="the rhythm of reading"))
        return self.rig.pressed(nonce)


Trading.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=15,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestTrading = Trading.TestCase
