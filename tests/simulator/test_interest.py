"""What somebody listens to trades, and goes on trading for a while after he is gone."""

from simulator.interest import LINGERS, Interest


def test_an_instrument_trades_on_while_a_listener_that_was_lost_is_away() -> None:
    now = [0.0]
    interest = Interest(lambda: now[0])
    assert not interest.alive("A")
    interest.add("A")
    interest.add("A")
    interest.remove("A")
    now[0] = 1_000.0
    assert interest.wants("A")
    assert interest.alive("A")

    interest.remove("A", lost=True)
    assert not interest.wants("A")
    now[0] += LINGERS
    assert interest.alive("A")
    now[0] += 1.0
    assert not interest.alive("A")


def test_who_comes_back_keeps_it_alive() -> None:
    now = [0.0]
    interest = Interest(lambda: now[0])
    interest.add("A")
    interest.remove("A", lost=True)
    interest.add("A")
    now[0] += LINGERS + 1.0

    assert interest.alive("A")


def test_who_leaves_leaves_it_alone() -> None:
    interest = Interest(lambda: 0.0)
    interest.add("A")
    interest.remove("A")

    assert not interest.alive("A")
