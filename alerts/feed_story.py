"""What a feed does by itself during an outage, told as steps of its incident."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from alerts import words
from alerts.incidents import UNDER_WAY
from trading.clock import Clock
from trading.ports import FeedChange, FeedState

FIRST: Final = 3  # attempts that are told one by one, then 5, 10, 20, 50, 100 ...
KEPT: Final = 12  # steps of before there was an incident to write them into

Book = Callable[[str, str], None]  # takes a step and its result


@dataclass(slots=True)
class _Early:
    """A step from before the incident was there."""

    at: datetime
    what: str
    result: str


@dataclass(frozen=True, slots=True)
class _Dial:
    what: str
    at: float  # monotonic


class FeedStory:
    """Follows one feed's changes. What came before its incident is kept until that is open."""

    def __init__(self, clock: Clock, *, proof: str) -> None:
        """`proof` says what shows that the feed is back: `a price`."""
        self._clock = clock
        self._proof = proof
        self._early: deque[_Early] = deque(maxlen=KEPT)
        self._attempt = 0
        self._dial: _Dial | None = None

    def on_change(self, change: FeedChange, write: Book | None) -> None:
        """Tell the step of this change."""
        if write is not None:
            self.catch_up(write)
        match change.after:
            case FeedState.CONNECTING:
                self._begin_dial(write)
            case FeedState.LIVE:
                self._is_back(write)
            case FeedState.STALLED:
                self._note(write, f"stalled: {change.reason}", "it is being replaced")
            case FeedState.BACKING_OFF if self._dial:
                self._end_dial(write, f"failed: {change.reason}")
            case FeedState.BACKING_OFF if change.before in (FeedState.LIVE, FeedState.OPEN):
                self._note(write, f"connection ended: {change.reason}", "it dials again")
            case FeedState.REFUSED if self._dial:
                self._end_dial(write, f"refused: {change.reason}")
            case FeedState.REFUSED:
                self._note(write, f"refused: {change.reason}", "only a person can help")
            case FeedState.CONTESTED:
                self._end_dial(write, f"lost again: {change.reason}")
                self._note(write, change.reason, "it waits, so as not to fight for the connection")
            case FeedState.STOPPED:
                self._dial = None

    def catch_up(self, write: Book) -> None:
        """Write what was kept; each with its time, which is not that of the writing."""
        while self._early:
            step = self._early.popleft()
            timed = f"{step.what} ({words.clock(step.at)})"
            write(step.what if step.result == UNDER_WAY else timed, step.result)

    def _begin_dial(self, write: Book | None) -> None:
        self._attempt += 1
        if _is_told(self._attempt):
            self._dial = _Dial(f"dial, attempt {self._attempt}", self._clock.monotonic())
            self._note(write, self._dial.what, UNDER_WAY)

    def _end_dial(self, write: Book | None, result: str) -> None:
        if self._dial is None:
            return
        what, self._dial = self._dial.what, None
        early = next((step for step in reversed(self._early) if step.what == what), None)
        if write is not None:
            write(what, result)
        elif early is not None:
            early.result = result

    def _is_back(self, write: Book | None) -> None:
        if self._dial is not None:
            took = self._clock.monotonic() - self._dial.at
            self._end_dial(write, f"{self._proof} after {took:.1f} s")
        elif write is not None:
            write("back", self._proof)
        self._early.clear()
        self._attempt = 0

    def _note(self, write: Book | None, what: str, result: str) -> None:
        if write is not None:
            write(what, result)
        else:
            self._early.append(_Early(self._clock.now(), what, result))


def _is_told(attempt: int) -> bool:
    """Say whether an attempt is worth a line: an outage of a night has hundreds."""
    while attempt >= 100:
        attempt, rest = divmod(attempt, 10)
        if rest:
            return False
    return attempt <= FIRST or attempt in (5, 10, 20, 50)
