"""What is said on a socket to make it equal to what is wanted."""

import json

from hypothesis import given
from hypothesis import strategies as st

from feeds.upstox.demand import LIMITS, Demand, allowed
from tests.ticks import tick
from trading.model import Mode

Said = list[tuple[str, str | None, int]]

wishes = st.dictionaries(
    st.integers(0, 40).map(lambda n: f"NSE_FO|{n}"), st.sampled_from(list(Mode)), max_size=40
)


def carry_out(demand: Demand, wish: dict[str, Mode], server: dict[str, str]) -> Said:
    """Apply every frame to a server's table, as the broker would; return what was said."""
    said: Said = []
    while frames := demand.next_frames(wish, 0.0):
        assert len(frames) <= 2
        for frame in map(json.loads, frames):
            keys, mode = frame["data"]["instrumentKeys"], frame["data"].get("mode")
            said.append((frame["method"], mode, len(keys)))
            for key in keys:
                assert (key in server) == (frame["method"] != "sub")
                if frame["method"] == "unsub":
                    del server[key]
                else:
                    server[key] = mode
    return said


@given(st.lists(wishes, max_size=6))
def test_the_socket_becomes_equal_to_every_wish(wished: list[dict[str, Mode]]) -> None:
    demand, server = Demand(patience=5.0), {}
    for wish in wished:
        carry_out(demand, wish, server)

        assert server == {key: mode.value for key, mode in wish.items()}
        assert demand.next_frames(dict(wish), 0.0) == []


def test_a_new_socket_has_been_asked_for_nothing() -> None:
    demand, wish = Demand(patience=5.0), {"NSE_FO|1": Mode.FULL}
    carry_out(demand, wish, {})
    demand.reset()

    assert carry_out(demand, wish, {}) == [("sub", "full", 1)]


def test_leaving_comes_before_joining_so_that_limits_are_never_passed() -> None:
    demand, server = Demand(patience=5.0), {}
    carry_out(demand, {f"NSE_FO|{n}": Mode.FULL for n in range(1000)}, server)

    said = carry_out(demand, {f"NSE_FO|{n}": Mode.FULL for n in range(1000, 2000)}, server)

    assert [method for method, _, _ in said] == ["unsub", "unsub", "sub", "sub"]


def test_silence_is_broken_once_and_then_taken_for_an_answer() -> None:
    demand, wish = Demand(patience=5.0), {f"NSE_FO|{n}": Mode.LTPC for n in range(3)}
    carry_out(demand, wish, {})
    demand.answered([tick("NSE_FO|0")])

    assert demand.next_frames(wish, 4.9) == []
    (again,) = demand.next_frames(wish, 5.0)
    assert set(json.loads(again)["data"]["instrumentKeys"]) == {"NSE_FO|1", "NSE_FO|2"}
    assert demand.missing == frozenset()
    assert demand.next_frames(wish, 10.0) == []
    assert demand.missing == {"NSE_FO|1", "NSE_FO|2"}
    demand.answered([tick("NSE_FO|1")])
    assert demand.missing == {"NSE_FO|2"}
    assert demand.next_frames(wish, 99.0) == []


def test_alone_a_mode_may_have_more_than_in_company() -> None:
    many = {f"NSE_FO|{n}": Mode.FULL for n in range(2100)}

    alone = allowed(many)
    mixed = allowed({**many, "NSE_INDEX|Nifty 50": Mode.LTPC})

    assert (len(alone.modes), len(alone.refused)) == (2000, 100)
    assert (len(mixed.modes), len(mixed.refused)) == (1501, 600)
    assert mixed.modes["NSE_INDEX|Nifty 50"] is Mode.LTPC


@given(wishes)
def test_within_the_limits_nothing_is_refused(wish: dict[str, Mode]) -> None:
    may = allowed(wish)

    assert may.modes == wish
    assert may.refused == ()
    assert all(limit in LIMITS[mode] for mode, limit in may.limits.items())


def test_f13_what_is_asked_for_anew_is_left_and_joined_and_missing_until_it_speaks() -> None:
    demand, wish = Demand(patience=5.0), {f"NSE_FO|{n}": Mode.FULL for n in range(3)}
    server: dict[str, str] = {}
    carry_out(demand, wish, server)
    demand.answered([tick("NSE_FO|0"), tick("NSE_FO|1")])
    demand.next_frames(wish, 5.0)
    demand.next_frames(wish, 10.0)
    assert demand.missing == {"NSE_FO|2"}

    demand.ask_anew(["NSE_FO|1", "NSE_FO|2", "NSE_FO|unwanted"])
    said = carry_out(demand, wish, server)

    assert said == [("unsub", None, 2), ("sub", "full", 2)]
    assert demand.missing == {"NSE_FO|2"}  # else it would look well again for a while
    assert set(demand.asked) == set(wish)
    demand.answered([tick("NSE_FO|2")])
    assert demand.missing == frozenset()
    assert carry_out(demand, wish, server) == []


def test_what_was_asked_for_anew_and_is_wanted_no_more_is_only_left() -> None:
    demand, server = Demand(patience=5.0), {}
    carry_out(demand, {"NSE_FO|1": Mode.FULL, "NSE_FO|2": Mode.FULL}, server)
    demand.ask_anew(["NSE_FO|1"])

    carry_out(demand, {"NSE_FO|2": Mode.FULL}, server)

    assert server == {"NSE_FO|2": "full"}
    assert demand.missing == frozenset()


@given(st.lists(st.tuples(wishes, st.sets(st.integers(0, 40))), max_size=6))
def test_asking_anew_leaves_the_socket_equal_to_the_wish(
    course: list[tuple[dict[str, Mode], set[int]]],
) -> None:
    demand, server = Demand(patience=5.0), {}
    for wish, anew in course:
        demand.ask_anew([f"NSE_FO|{n}" for n in anew])
        carry_out(demand, wish, server)

        assert server == {key: mode.value for key, mode in wish.items()}
