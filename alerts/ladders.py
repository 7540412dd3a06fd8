"""What is tried against a trouble, in which order, and when it is the next one's turn. Pure.

The feed itself owns its connection and dials again for ever; a ladder is for what it does not see:
instruments that stay silent while others speak, or a connection that only looks alive.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from trading.ports import FeedState

AGAIN: Final = 300.0  # seconds after giving up that it is all tried once more
MINUTE: Final = 60.0
MOST_A_MINUTE: Final = 2  # steps of ours that a feed feels
UNHELD: Final = 30.0  # seconds that an instrument may be without a price which nobody holds
HANDS_OFF: Final = 12.0  # seconds that a silent feed has to compare with quotes and to dial itself
AT_WORK: Final = (FeedState.OPEN, FeedState.LIVE)  # in any other state the feed is busy, or refused


class Remedy(StrEnum):
    ASK_AGAIN = "ask again"
    RECONNECT = "reconnect"
    AUTHORISE = "authorise again"  # another dial: each has an address of its own
    READ_BOOKS = "read the books"
    POLL = "poll quotes"
    TELL = "give up and tell"


class Matter(StrEnum):
    SILENT = "no prices"
    MISSING = "some instruments without prices"
    STREAM = "a portfolio stream that is not up to date"
    BOOKS = "not confirmed by the broker"


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of a ladder, and how many seconds its proof may take."""

    remedy: Remedy
    patience: float


LADDERS: Final[Mapping[Matter, tuple[Rung, ...]]] = {
    Matter.SILENT: (
        Rung(Remedy.RECONNECT, 15.0),
        Rung(Remedy.AUTHORISE, 15.0),
        Rung(Remedy.POLL, 15.0),
        Rung(Remedy.TELL, AGAIN),
    ),
    Matter.MISSING: (
        Rung(Remedy.ASK_AGAIN, 12.0),
        Rung(Remedy.RECONNECT, 15.0),
        Rung(Remedy.AUTHORISE, 15.0),
        Rung(Remedy.POLL, 15.0),
        Rung(Remedy.TELL, AGAIN),
    ),
    Matter.STREAM: (
        Rung(Remedy.READ_BOOKS, 10.0),
        Rung(Remedy.RECONNECT, 15.0),
        Rung(Remedy.AUTHORISE, 15.0),
        Rung(Remedy.TELL, AGAIN),
    ),
    Matter.BOOKS: (Rung(Remedy.READ_BOOKS, 10.0), Rung(Remedy.TELL, AGAIN)),
}
DIALS: Final = (Remedy.RECONNECT, Remedy.AUTHORISE)
ON_THE_WIRE: Final = (Remedy.ASK_AGAIN, *DIALS)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with one feed or book at this moment, by the facts.

    `target` is the feed's name, or whose books. `since` is monotonic. `due`: its market is open.
    Of the `missing`, those are `unserved` that never answered though asked twice, or whose trades
    the broker's quotes tell and the feed does not; `held` belong to open positions or working
    orders. `quiet`: the feed has compared with the quotes, and has missed no trade.
    """

    target: str
    matter: Matter
    since: float
    due: bool = True
    state: FeedState | None = None
    missing: tuple[str, ...] = ()
    unserved: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that was taken at this monotonic moment."""

    remedy: Remedy
    at: float


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now: the `number`-th of so many rungs, and how long its proof may take."""

    remedy: Remedy
    number: int
    of: int
    patience: float


def next_step(
    trouble: Trouble, taken: Sequence[Taken], now: float, proof: float | None
) -> Step | None:
    """Return what to try now, None if it is not time or nothing is ours to try.

    `taken` are all steps against this target, oldest first, also of earlier troubles; `proof` is
    when the last one was proven to help (monotonic). One step, then its proof or its time-out.
    """
    rungs = LADDERS[trouble.matter]
    ours = _of_this_round(trouble, taken, now)
    if not trouble.due or trouble.quiet or _waits(trouble, ours, now, proof):
        return None
    done = {step.remedy for step in ours}
    passed_over = False
    for number, rung in enumerate(rungs, start=1):
        if rung.remedy in done:
            continue
        if rung.remedy is Remedy.TELL and passed_over:
            return None  # the feed is still at it
        if _may(rung.remedy, trouble, taken, now):
            return Step(rung.remedy, number, len(rungs), rung.patience)
        passed_over |= rung.remedy in ON_THE_WIRE and applies(rung.remedy, trouble)
    return None


def _of_this_round(trouble: Trouble, taken: Sequence[Taken], now: float) -> list[Taken]:
    """Return the steps of this trouble since it was given up the last time, if that is long ago."""
    ours = [step for step in taken if step.at >= trouble.since]
    ends = [n for n, s in enumerate(ours, 1) if s.remedy is Remedy.TELL and now - s.at >= AGAIN]
    return ours[ends[-1] :] if ends else ours


def _waits(trouble: Trouble, ours: Sequence[Taken], now: float, proof: float | None) -> bool:
    """Say whether the last step still has its time, to be proven or to prove that it lasted."""
    if not ours:
        return False
    last = ours[-1]
    rungs = LADDERS[trouble.matter]
    patience = next((rung.patience for rung in rungs if rung.remedy is last.remedy), 0.0)
    if proof is None or proof < last.at:
        return now - last.at < patience
    if last.remedy is Remedy.POLL:
        return bridges(last.remedy, trouble.matter)
    return now - proof < patience


def bridges(remedy: Remedy, matter: Matter) -> bool:
    """Say whether this remedy, once proven, is enough for as long as the trouble lasts.

    Of a few instruments quotes tell enough, of a whole feed they do not.
    """
    return remedy is Remedy.POLL and matter is Matter.MISSING


def _may(remedy: Remedy, trouble: Trouble, taken: Sequence[Taken], now: float) -> bool:
    if not applies(remedy, trouble):
        return False
    match remedy:
        case Remedy.ASK_AGAIN:
            patient = bool(trouble.held) or now - trouble.since >= UNHELD
            return trouble.state in AT_WORK and patient and _not_too_often(taken, now)
        case Remedy.RECONNECT | Remedy.AUTHORISE:
            patient = trouble.matter is not Matter.SILENT or now - trouble.since >= HANDS_OFF
            return trouble.state in AT_WORK and patient and _not_too_often(taken, now)
        case _:
            return True


def applies(remedy: Remedy, trouble: Trouble) -> bool:
    """Say whether the remedy is one for this trouble at all, now or later."""
    match remedy:
        case Remedy.ASK_AGAIN:
            return bool(trouble.missing)
        case Remedy.RECONNECT | Remedy.AUTHORISE if trouble.matter is Matter.MISSING:
            # the others live: for one that merely does not trade they are not to be cut off
            return any(key in trouble.held for key in trouble.unserved)
        case Remedy.POLL:
            return bool(trouble.held)
        case Remedy.TELL if trouble.matter is Matter.MISSING:
            return bool(trouble.held)
        case _:
            return True


def _not_too_often(taken: Sequence[Taken], now: float) -> bool:
    recent = [s for s in taken if s.remedy in ON_THE_WIRE and now - s.at < MINUTE]
    return len(recent) < MOST_A_MINUTE
