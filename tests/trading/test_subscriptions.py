import random
from collections.abc import Callable
from itertools import pairwise

from trading.model import Mode
from trading.subscriptions import SubscriptionBook, Wanted

A, B = "NSE_FO|1", "NSE_FO|2"


def test_the_sum_of_all_holds_is_wanted_in_the_highest_mode() -> None:
    book = SubscriptionBook()
    book.hold("risk", [A], Mode.LTPC)
    book.hold("page", [A, B], Mode.FULL, deep=True)

    assert book.wanted() == Wanted({A: Mode.FULL, B: Mode.FULL}, frozenset({A, B}))


def test_f14_when_a_page_leaves_the_other_holder_keeps_its_mode() -> None:
    book = SubscriptionBook()
    book.hold("risk", [A], Mode.LTPC)
    release = book.hold("page", [A], Mode.FULL, deep=True)
    release()

    assert book.wanted() == Wanted({A: Mode.LTPC}, frozenset())


def test_one_subscription_serves_every_holder_and_a_second_release_is_harmless() -> None:
    book = SubscriptionBook()
    changes: list[Wanted] = []
    book.changes.subscribe(changes.append)
    first = book.hold("tab 1", [A], Mode.FULL)
    book.hold("tab 2", [A], Mode.FULL)
    first()
    first()

    assert book.wanted().modes == {A: Mode.FULL}
    assert changes == [book.wanted()]
    assert [hold.holder for hold in book.holds()] == ["tab 2"]


def test_whatever_comes_and_goes_the_sum_is_that_of_what_is_held() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    keys = [f"NSE_FO|{n}" for n in range(6)]
    book = SubscriptionBook()
    told: list[Wanted] = [book.wanted()]
    book.changes.subscribe(told.append)
    releases: list[Callable[[], None]] = []
    for step in range(1_000):
        if releases and rng.random() < 0.5:
            releases.pop(rng.randrange(len(releases)))()
        else:
            some = rng.sample(keys, rng.randrange(4))
            mode = rng.choice([Mode.LTPC, Mode.FULL])
            releases.append(book.hold(f"h{step}", some, mode, deep=rng.random() < 0.3))

        held = book.holds()
        of = {k: [h.mode for h in held if k in h.instrument_keys] for k in keys}
        modes = {k: max(ms, key=lambda mode: mode.rank) for k, ms in of.items() if ms}
        deep = frozenset(k for h in held if h.deep for k in h.instrument_keys)
        assert book.wanted() == told[-1] == Wanted(modes, deep)
    assert all(before != after for before, after in pairwise(told))
