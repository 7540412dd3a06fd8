"""What of a channel's queue goes next, and what is folded into one line. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from alerts import words
from trading.health import Alert, Component, Occasion, Severity
from trading.health_ports import Letter

STALE: Final = timedelta(minutes=10)  # what is older is told of in a line, unless it is critical
MOST_LINES: Final = 8  # of what is folded, the gravest and latest
FILLED: Final = "✅ FILLED"
PART_FILLED: Final = "◐ PART FILLED"
REJECTED: Final = "❌ REJECTED"
CANCELLED: Final = "⊘ CANCELLED"
_NOUNS: Final = {
    FILLED: ("fill", "fills"),
    PART_FILLED: ("part fill", "part fills"),
    REJECTED: ("rejected order", "rejected orders"),
    CANCELLED: ("cancelled order", "cancelled orders"),
}


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message to be sent, and the letters of the queue that it delivers."""

    letter: Letter
    covers: tuple[Letter, ...]
    is_digest: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with the queue now. `superseded` are letters whose matter a later one tells."""

    parcel: Parcel | None = None
    superseded: tuple[Letter, ...] = ()
    is_storm: bool = False


def plan(
    due: Sequence[Letter], now: datetime, *, room: Collection[Severity], storm_line: bool
) -> Plan:
    """Choose from the due letters of a channel that a person reads.

    What is critical goes first and alone. What has waited too long, in quiet hours or because the
    channel was away, goes in one message. What has no `room` waits, or becomes one line if
    `storm_line` is due: many fills hold up no warning.
    """
    critical = [m for m in due if m.alert.severity is Severity.CRITICAL]
    late = [m for m in due if m.alert.severity < Severity.CRITICAL]
    stale = [m for m in late if now - m.alert.at > STALE]
    if len(stale) > 1:
        folded = Parcel(digest(stale, now, _why(stale)), tuple(stale), is_digest=True)
        return Plan(_alone(critical[0])) if critical else Plan(folded)
    superseded = _superseded(due)
    told_later = {m.number for m in superseded}
    late = [m for m in late if m.number not in told_later]
    if critical:
        return Plan(_alone(critical[0]), superseded)
    if not late:
        return Plan(None, superseded)
    passes = next((m for m in late if m.alert.severity in room), None)
    if passes is not None:
        return Plan(_alone(passes), superseded)
    if not storm_line:
        return Plan(None, superseded)
    line = digest(late, now, f"{len(late)} more in the app")
    return Plan(Parcel(line, tuple(late), is_digest=True), superseded, is_storm=True)


def _alone(letter: Letter) -> Parcel:
    return Parcel(letter, (letter,))


def _superseded(due: Sequence[Letter]) -> tuple[Letter, ...]:
    """Return what a later letter of the same matter tells better; never what is critical."""
    newest: dict[str, int] = {}
    for letter in due:
        key = letter.alert.key
        newest[key] = max(newest.get(key, 0), letter.alert.id)
    return tuple(
        m for m in due if m.alert.id < newest[m.alert.key] and m.alert.severity < Severity.CRITICAL
    )


def _why(letters: Sequence[Letter]) -> str:
    """Say why these come only now: the channel, or the desk itself, may have been away."""
    if all(m.not_before - m.alert.at > STALE for m in letters):
        return "From your quiet hours"
    return "Sent late"


def digest(letters: Sequence[Letter], now: datetime, why: str) -> Letter:
    """Return the one letter that tells of these, oldest first."""
    alerts = sorted((m.alert for m in letters), key=lambda alert: alert.id)
    last = alerts[-1]
    told = sorted(alerts, key=lambda a: (-a.severity, -a.id))[:MOST_LINES]
    lines = [_line(alert, now) for alert in sorted(told, key=lambda a: a.id)]
    if len(alerts) > len(told):
        lines.append(f"and {len(alerts) - len(told)} more, all of them in the app")
    alert = Alert(
        key="digest",
        component=Component.CHANNELS,
        occasion=Occasion.EVENT,
        severity=max(alert.severity for alert in alerts),
        at=now,
        title=f"{why}: {summary(alerts)}",
        lines=tuple(lines),
        link="/alerts",
        mode=last.mode,
        is_mock=last.is_mock,
        kind="digest",
        id=last.id,
    )
    silent = all(m.silent for m in letters)
    return replace(letters[-1], alert=alert, silent=silent, edits="")


def _line(alert: Alert, now: datetime) -> str:
    return f"{words.moment(alert.at, now)} {words.one_line(alert.title)}{words.times(alert)}"


def summary(alerts: Sequence[Alert]) -> str:
    """Return `3 fills, 1 market feed incident (42 s)`."""
    facts = [alert for alert in alerts if not _is_of_a_matter(alert)]
    counts: dict[tuple[str, str], int] = {}
    for alert in facts:
        noun = _noun(alert)
        counts[noun] = counts.get(noun, 0) + alert.times
    parts = [words.count(number, *noun) for noun, number in counts.items()]
    return ", ".join(parts + _incidents([a for a in alerts if _is_of_a_matter(a)]))


def _is_of_a_matter(alert: Alert) -> bool:
    """Return whether it has a beginning and an end, which are one."""
    return alert.kind == "health" and (alert.incident > 0 or alert.occasion is not Occasion.EVENT)


def _noun(alert: Alert) -> tuple[str, str]:
    for start, noun in _NOUNS.items():
        if alert.title.startswith(start):
            return noun
    return ("order message", "order messages") if alert.kind == "order" else ("message", "messages")


def _incidents(alerts: Sequence[Alert]) -> list[str]:
    """Return one entry for each component, with how long its incidents lasted together."""
    matters: dict[Component, dict[object, list[Alert]]] = {}
    for alert in alerts:
        of_component = matters.setdefault(alert.component, {})
        of_component.setdefault(alert.incident or alert.key, []).append(alert)
    return [
        f"{words.count(len(found), f'{component} incident')} ({_lasted(list(found.values()))})"
        for component, found in matters.items()
    ]


def _lasted(matters: Sequence[Sequence[Alert]]) -> str:
    seconds = 0.0
    for alerts in matters:
        if alerts[-1].occasion is not Occasion.END:
            return "not over"
        seconds += (alerts[-1].at - alerts[0].at).total_seconds()
    known = all(alerts[0].occasion is Occasion.BEGIN for alerts in matters)
    return words.duration(seconds) if known else "over"
