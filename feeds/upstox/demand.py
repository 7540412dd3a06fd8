"""What one socket has been asked for, and what to say to make it equal to what is wanted."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from feeds.upstox import market_protocol as protocol
from trading.model import Mode, Tick

FRAMES_AT_ONCE: Final = 2  # then the prices get a turn

# (keys while it is the only mode in use, keys when others are in use too)
LIMITS: Final = {
    Mode.LTPC: (5000, 2000),
    Mode.OPTION_GREEKS: (3000, 2000),
    Mode.FULL: (2000, 1500),
    Mode.FULL_D30: (50, 1500),
}


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be asked for within the broker's limits, and what had to be left out."""

    modes: Mapping[str, Mode]
    refused: tuple[str, ...]
    limits: Mapping[Mode, int]


def allowed(wanted: Mapping[str, Mode]) -> Allowed:
    """Apply the limits, mode by mode; within a mode the first come are served.

    The broker counts each mode for itself, but lowers every limit once two modes are in use.
    """
    combined = len(set(wanted.values())) > 1
    limits = {mode: both[combined] for mode, both in LIMITS.items()}
    used = dict.fromkeys(Mode, 0)
    modes: dict[str, Mode] = {}
    refused: list[str] = []
    for key, mode in wanted.items():
        if used[mode] < limits[mode]:
            used[mode] += 1
            modes[key] = mode
        else:
            refused.append(key)
    return Allowed(modes, tuple(refused), limits)


class Demand:
    """The subscription state of one connection; a new socket has been asked for nothing.

    The only state is what was asked and who has not answered. A key that stays silent is asked
    for once more and is then missing, until it speaks.
    """

    def __init__(self, *, patience: float) -> None:
        self.asked: dict[str, Mode] = {}
        self.left: set[str] = set()  # given up on this socket; the last prices may still come
        self.missing: frozenset[str] = frozenset()
        self._patience = patience  # seconds for a first answer
        self._silent: dict[str, float] = {}  # key -> when to lose patience
        self._reminded: set[str] = set()
        self._anew: set[str] = set()  # to be left and joined again
        self._equal: Mapping[str, Mode] | None = None  # the wish that was carried out last

    def reset(self) -> None:
        self.asked.clear()
        self.left.clear()
        self.missing = frozenset()
        self._silent.clear()
        self._reminded.clear()
        self._anew.clear()
        self._equal = None

    def ask_anew(self, keys: Collection[str]) -> None:
        """Have these, as far as they were asked for, left and joined again, with new patience.

        What was missing stays so until it speaks.
        """
        self._anew |= self.asked.keys() & set(keys)
        self._equal = None

    def answered(self, ticks: Iterable[Tick]) -> None:
        if not self._silent and not self.missing:
            return
        for tick in ticks:
            self._silent.pop(tick[0], None)
        if self.missing:
            self.missing -= {tick[0] for tick in ticks}

    def next_frames(self, wish: Mapping[str, Mode], now: float) -> list[bytes]:
        """Return the next few frames towards the wish; none once the socket is equal to it."""
        if wish is not self._equal:
            frames = self._towards(wish, now)
            if frames:
                return frames
            self._equal = wish
        return self._remind(now)

    def _towards(self, wish: Mapping[str, Mode], now: float) -> list[bytes]:
        """Leave before joining and go down before going up: the limits count at every moment."""
        frames: list[bytes] = []
        gone = [key for key in self.asked if key not in wish]
        self._anew -= set(gone)
        gone += sorted(self._anew)
        for chunk in _chunks(gone, FRAMES_AT_ONCE):
            frames += protocol.unsubscribe(chunk)
            self._forget(chunk)
        for mode in Mode:
            other = [
                k for k, m in wish.items() if m is mode and self.asked.get(k, mode) is not mode
            ]
            for chunk in _chunks(other, FRAMES_AT_ONCE - len(frames)):
                frames += protocol.change_mode(chunk, mode)
                self.asked.update(dict.fromkeys(chunk, mode))
        for mode in Mode:
            new = [key for key, m in wish.items() if m is mode and key not in self.asked]
            for chunk in _chunks(new, FRAMES_AT_ONCE - len(frames)):
                frames += protocol.subscribe(chunk, mode)
                self._ask(chunk, mode, now)
        return frames

    def _ask(self, keys: list[str], mode: Mode, now: float) -> None:
        self.asked.update(dict.fromkeys(keys, mode))
        self._silent.update(dict.fromkeys(keys, now + self._patience))
        self.left.difference_update(keys)

    def _forget(self, keys: list[str]) -> None:
        for key in keys:
            del self.asked[key]
            self._silent.pop(key, None)
        self.left.update(keys)
        self._reminded.difference_update(keys)
        self.missing -= set(keys) - self._anew
        self._anew.difference_update(keys)

    def _remind(self, now: float) -> list[bytes]:
        """Ask again for what did not answer in time; the second silence is the answer."""
        late = [key for key, due in self._silent.items() if due <= now]
        if not late:
            return []
        for key in late:
            del self._silent[key]
        again = [key for key in late if key not in self._reminded]
        self.missing |= set(late) - set(again)
        self._reminded.update(again)
        self._silent.update(dict.fromkeys(again, now + self._patience))
        return [
            frame
            for mode in Mode
            for frame in protocol.subscribe([k for k in again if self.asked[k] is mode], mode)
        ]


def _chunks(keys: list[str], frames: int) -> Iterable[list[str]]:
    """Yield what goes into each of so many frames."""
    size = protocol.KEYS_PER_FRAME
    for number in range(max(0, frames)):
        if chunk := keys[number * size : (number + 1) * size]:
            yield chunk
