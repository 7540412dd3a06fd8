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
        self._told = self.wanted()

    def hold(
        self, holder: str, instrument_keys: Iterable[str], mode: Mode, *, deep: bool = False
    ) -> Callable[[], None]:
        """Want these instruments until the returned undo is called, once or more often."""
        self._serial += 1
        serial = self._serial
        self._holds[serial] = Hold(holder, frozenset(instrument_keys), mode, deep)
        self._tell()

        def release() -> None:
            if self._holds.pop(serial, None) is not None:
                self._tell()

        return release

    def wanted(self) -> Wanted:
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

    def _tell(self) -> None:
        wanted = self.wanted()
        if wanted != self._told:
            self._told = wanted
            self.changes.emit(wanted)
