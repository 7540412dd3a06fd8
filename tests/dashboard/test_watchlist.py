"""The watchlist: one order for all tabs, kept on disk before anybody is told."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from dashboard.watchlist import Watchlist
from tests.dashboard.fakes import MemoryJournal


async def test_an_empty_disk_gives_the_defaults_and_a_kept_list_wins() -> None:
    journal = MemoryJournal()
    assert await Watchlist(journal, ("A", "B")).load() == ["A", "B"]

    journal.kept = ["C"]
    assert await Watchlist(journal, ("A", "B")).load() == ["C"]


async def test_changes_are_kept_and_told() -> None:
    journal = MemoryJournal()
    watchlist = Watchlist(journal, ("A", "B"))
    told: list[list[str]] = []
    watchlist.changes.subscribe(told.append)

    await watchlist.add("C")
    await watchlist.add("C")
    await watchlist.move("C", -5)
    await watchlist.remove("A")
    await watchlist.remove("unknown")

    assert told == [["A", "B", "C"], ["C", "A", "B"], ["C", "B"]]
    assert journal.kept == ["C", "B"]


async def test_two_tabs_that_change_it_at_once_lose_nothing() -> None:
    class SlowJournal(MemoryJournal):
        async def set_watchlist(self, instrument_keys: object) -> None:
            await asyncio.sleep(0.01)
            await super().set_watchlist(instrument_keys)  # type: ignore[arg-type]

    journal = SlowJournal()
    watchlist = Watchlist(journal, ("A",))

    await asyncio.gather(watchlist.add("B"), watchlist.add("C"), watchlist.remove("A"))

    assert sorted(journal.kept) == ["B", "C"]


@given(
    st.lists(st.sampled_from("ABCDEF"), unique=True, min_size=1),
    st.sampled_from("ABCDEFX"),
    st.integers(-9, 9),
)
def test_moving_never_loses_or_doubles_a_row(keys: list[str], key: str, steps: int) -> None:
    journal = MemoryJournal()
    journal.kept = keys
    watchlist = Watchlist(journal, ())

    async def move() -> list[str]:
        await watchlist.move(key, steps)
        return await watchlist.load()

    moved = asyncio.run(move())

    assert sorted(moved) == sorted(keys)
    if key in keys:
        assert moved.index(key) == min(len(keys) - 1, max(0, keys.index(key) + steps))


async def test_a_list_that_the_trader_emptied_stays_empty() -> None:
    journal = MemoryJournal()
    await Watchlist(journal, ("A",)).remove("A")

    assert await Watchlist(journal, ("A",)).load() == []
