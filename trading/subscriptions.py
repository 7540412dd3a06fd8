"""Who holds which instruments in which mode; the sum is what the feed wants."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from trading.model import Mode
from trading.signal import Signal


@dataclass(frozen=True, slots=True)
class Wanted:
    """The sum of all holds: the highest mode for each instrument, and who needs five levels."""

    modes: dict[str, Mode]
    deep: frozenset[str]


@dataclass(frozen=True, slots=True)
class Hold:
    """One holder's interest; the holder's name is shown on the subscription meter."""

    holder: str
    instrument_keys: frozenset[str]
    mode: Mode
    deep: bool


class SubscriptionBook:
    """Holds are values that come and go; nothing is subscribed in any other way.

    `changes` tells a new sum only: an order comes and goes where a page holds its instrument.
    """

    def __init__(self) -> None:
        self.changes: Signal[Wanted] = Signal("subscriptions")
        self._holds: dict[int, Hold] = {}
        self._serial = 0
        self._told = self._sum()

    def hold(
        self, holder: str, instrument_keys: Iterable[str], mode: Mode, *, deep: bool = False
    ) -> Callable[[], None]:
        """Want these instruments until the returned undo is called, once or more often."""
        self._serial += 1
        serial = self._serial
        self._holds[serial] = held = Hold(holder, frozenset(instrument_keys), mode, deep)
        self._tell(held.instrument_keys)

        def release() -> None:
            if (gone := self._holds.pop(serial, None)) is not None:
                self._tell(gone.instrument_keys)

        return release

    def wanted(self) -> Wanted:
        """Return the sum; the same object until it changes, and nobody may change it."""
        return self._told

    def _sum(self) -> Wanted:
        modes: dict[str, Mode] = {}
        deep: set[str] = set()
        for hold in self._holds.values():
            for key in hold.instrument_keys:
                held = modes.get(key)
                if held is None or hold.mode.rank > held.rank:
                    modes[key] = hold.mode
            if hold.deep:
                deep |= hold.instrument_keys
        return Wanted(modes, frozenset(deep))

    def holds(self) -> list[Hold]:
        return list(self._holds.values())

    def _tell(self, touched: frozenset[str]) -> None:
        """Tell the sum if it is another one: an order's hold alone is no reason to add up all."""
        if not all(map(self._is_told, touched)):
            self._told = self._sum()
            self.changes.emit(self._told)

    def _is_told(self, key: str) -> bool:
        holds = [hold for hold in self._holds.values() if key in hold.instrument_keys]
        mode = max((hold.mode for hold in holds), key=lambda mode: mode.rank, default=None)
        deep = any(hold.deep for hold in holds)
        return mode is self._told.modes.get(key) and deep is (key in self._told.deep)
