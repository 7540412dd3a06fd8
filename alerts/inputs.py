"""What the CAN TRADE light is made of. Pure: a sight in, checks out; unknown is not good."""

from collections.abc import Iterator
from typing import Final

from alerts.rules import disk
from alerts.sight import FeedSight, Sight, late_by
from alerts.words import count, duration
from trading.books import Books
from trading.health import Check, Severity, Thresholds
from trading.order import AccountState
from trading.ports import FeedState
from trading.trust import LIVE_WITHIN, STALE_AFTER

ALIVE_WITHIN: Final = 10.0  # seconds since the monitor's last look
CLOCK: Final = "Clock"
ON_ITS_WAY: Final = 1.0  # seconds that an order may take to be answered
RECONNECT: Final = "Wait: it is being reconnected"


def inputs(
    sight: Sight | None, *, alive_age: float | None, unstored: tuple[int, str] = (0, "")
) -> list[Check]:
    """Return every input, those that are not good first, the grave ones before the others.

    `unstored` are the alerts that wait for the disk, and why it does not take them.
    """
    found = [_monitor(alive_age)]
    if sight is not None and sight.stage == "failed":  # nothing else runs, or will
        fix = "Look at the log and start it again; trade in the broker's own app until then"
        found = [Check("Desk", False, f"could not start: {sight.stage_reason}", fix)]
    elif sight is not None:
        found += [
            _market(sight),
            _feed(sight),
            *(_stream(stream) for stream in sight.streams),
            *(_account(sight, state) for state in sight.accounts),
            *(_books(books) for books in sight.books),
            *_doubts(sight),
            clock_check(sight.market.stats.clock_skew, sight.limits),
            _storage(sight),
            _loop(sight),
        ]
    number, reason = unstored
    if number:
        words = f"{count(number, 'alert waits', 'alerts wait')} to be written down"
        fix = "Look at the disk: until then only critical ones reach your phone"
        found.append(Check("Alerts", False, f"{words}{_because(reason)}", fix, grave=False))
    return sorted(found, key=lambda check: (check.good, not check.grave))


def _monitor(alive_age: float | None) -> Check:
    good = alive_age is not None and alive_age < ALIVE_WITHIN
    words = "has not looked yet" if alive_age is None else f"looked {duration(alive_age)} ago"
    return Check("Watch", good, words, "Look at the log; restart the desk", alive_age)


def _market(sight: Sight) -> Check:
    words = ", ".join(sorted(sight.open_segments)) + " open" if sight.market_open else "closed"
    return Check("Market", sight.market_open, words, "Wait for the session", grave=False)


def _feed(sight: Sight) -> Check:
    feed, silence = sight.market, sight.market.silence
    if feed.refusal is not None:
        fix = "Sign in again, or close the other program that uses this account"
        return Check("Market feed", False, f"{feed.refusal}: {feed.reason}", fix)
    if not feed.due or silence is None:
        good = feed.connected or not sight.market_open
        return Check("Market feed", good, f"{feed.stats.state}, no price is due", RECONNECT)
    words = f"{feed.stats.state}, last price {_ago(silence)}"
    if not feed.connected or silence > STALE_AFTER:
        return Check("Market feed", False, words, RECONNECT, silence)
    late = silence > LIVE_WITHIN
    return Check("Market feed", not late, words, "Wait for the next price", silence, grave=not late)


def _stream(stream: FeedSight) -> Check:
    name, stats = f"Portfolio stream {stream.account}", stream.stats
    because = f": {stats.reason}" if stats.reason and stats.state is not FeedState.LIVE else ""
    good = stats.state is FeedState.LIVE
    return Check(name, good, f"{stats.state}{because}", RECONNECT, stats.frame_age)


def _account(sight: Sight, state: AccountState) -> Check:
    name = f"Token {state.account.id}"
    fix = "Sign in to the broker and put the new token in its place"
    age = None if state.checked is None else (sight.now - state.checked).total_seconds()
    if state.signed_in is None:
        return Check(name, False, f"not known yet{_because(state.reason)}", fix, age)
    if not state.signed_in:
        return Check(name, False, f"refused{_because(state.reason)}", fix, age)
    ending = next((e for e in sight.endings if e.account == state.account.id), None)
    left = None if ending is None else (ending.at - sight.now).total_seconds()
    soon = left is not None and left <= sight.limits.token_minutes * 60
    words = "signed in" if left is None else f"signed in, ends in {duration(left)}"
    return Check(name, not soon, words, fix, age, grave=not soon)


def _books(books: Books) -> Check:
    name = f"Books {books.account}"
    if books.failed:
        return Check(name, False, f"not read: {books.failed}", "Wait: they are read again")
    if books.checked is None:
        return Check(name, False, "not read yet", "Wait: they are being read")
    wrong = sum(row.agree is False for row in books.rows)
    if wrong:
        fix = "Look at Positions: adopt the broker's book, or find out why"
        return Check(name, False, f"differ in {count(wrong, 'instrument')}", fix, books.age)
    open_ = sum(row.agree is None for row in books.rows)
    words = f"compared {_ago(books.age)}" if not open_ else "being compared after a fill"
    return Check(name, True, words, age=books.age)


def _doubts(sight: Sight) -> Iterator[Check]:
    lost = [each for each in sight.waiting if each.seconds >= ON_ITS_WAY]
    if lost:
        words = f"{count(len(lost), 'order')} without an answer"
        yield Check("Orders", False, words, "Do not send them again: they are looked for")
    if sight.baskets:
        words = f"{count(len(sight.baskets), 'basket')} unresolved"
        yield Check("Baskets", False, words, "Close what is left on the Baskets page")


def clock_check(skew: float | None, limits: Thresholds) -> Check:
    """Judge by how many seconds this machine's clock is behind the exchange's, None if unknown."""
    fix = "Sync the clock (sudo chronyc makestep)"
    if skew is None:
        return Check(CLOCK, False, "not compared with the exchange's yet", fix, grave=False)
    off, word = abs(skew), "behind" if skew > 0 else "ahead"
    good, grave = off <= limits.skew_warning, off > limits.skew_critical
    return Check(CLOCK, good, f"{off:.1f} s {word}", fix, grave=grave)


def _storage(sight: Sight) -> Check:
    storage = sight.storage
    if storage.state != "ok":
        grave = disk.severity(sight) is Severity.CRITICAL
        return Check("Storage", False, f"{storage.state}{_because(storage.reason)}",
                     "Look at the disk", grave=grave)  # fmt: skip
    behind = storage.lag > sight.limits.storage_lag
    return Check("Storage", not behind, f"{duration(storage.lag)} behind", "Look what else writes",
                 grave=False)  # fmt: skip


def _loop(sight: Sight) -> Check:
    usual, lag = sight.vitals.loop_lag.p99, late_by(sight)
    fix = "Close pages and programs that keep this machine busy"
    if usual is None:
        return Check("Desk", False, "not measured yet", fix, grave=False)
    words = f"answers within {usual if lag is None else lag:.0f} ms"
    return Check("Desk", lag is None, words, fix, grave=False)


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _ago(seconds: float | None) -> str:
    return "never" if seconds is None else f"{duration(seconds)} ago"
