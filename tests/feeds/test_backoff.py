"""Delays between attempts."""

import random
from itertools import islice

from feeds.backoff import delays, doubled


def test_delays_grow_to_the_cap_and_no_further() -> None:
    found = list(islice(delays(1.0, cap=lambda: 30.0, jitter=random.Random(1)), 500))

    for number, delay in enumerate(found):
        assert 0 <= delay <= min(2.0**number, 30.0)
    assert max(found) > 25
    assert min(found[10:]) < 3  # full jitter: from zero, not around the cap


def test_a_cap_that_falls_counts_at_once() -> None:
    caps = iter([300.0] * 12 + [30.0] * 50)
    found = list(islice(delays(1.0, cap=lambda: next(caps), jitter=random.Random(2)), 60))

    assert max(found[:12]) > 60
    assert max(found[12:]) <= 30


def test_the_same_seed_gives_the_same_delays() -> None:
    first = delays(1.0, cap=lambda: 30.0, jitter=random.Random(3))
    second = delays(1.0, cap=lambda: 30.0, jitter=random.Random(3))

    assert list(islice(first, 20)) == list(islice(second, 20))


def test_days_of_refusals_are_waited_for_like_the_last_hour() -> None:
    found = [doubled(30.0, times, cap=300.0) for times in range(5_000)]

    assert found[:5] == [30.0, 60.0, 120.0, 240.0, 300.0]
    assert set(found[4:]) == {300.0}
