"""What an alert of the watch says. Pure: a change and a sight in, words out."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from alerts.sight import MARKET_BOUND, Sight
from alerts.states import MARKET_CLOSED, Change
from alerts.words import clock, count, duration, grouped
from trading.health import (
    Alert,
    Component,
    Condition,
    Finding,
    Incident,
    Occasion,
    Severity,
)

LINK: Final = "/status"
FEEDS: Final = (Component.MARKET_FEED, Component.PORTFOLIO)
MOST_NAMES: Final = 3  # instruments named in full
NOT_MENDED: Final = "It was not seen to be mended: that shows when the market opens"
STEADY: Final = "You hear of it again when it is steady, or worse"


def alert_of(
    change: Change, incident: Incident | None, sight: Sight, *, mode: str, is_mock: bool
) -> Alert:
    """Return the alert of a change that is worth telling."""
    assert change.occasion is not None
    finding = change.finding
    ends = change.occasion is Occasion.END
    return Alert(
        key=change.key,
        component=finding.component,
        occasion=change.occasion,
        severity=Severity.INFO if ends else finding.severity,
        at=change.at,
        title=title(change, incident, sight),
        lines=tuple(line for line in lines(change, sight) if line),
        link=LINK,
        mode=mode,
        is_mock=is_mock,
        once=f"{change.key} {change.occasion} {change.at.isoformat()}",
        incident=incident.number if incident else 0,
    )


def over_at_start(incident: Incident, sight: Sight, *, mode: str, is_mock: bool) -> Alert:
    """Return the end of what an earlier run of the desk left open, which this one does not find.

    Nobody saw it end, so it says neither when that was nor that it is mended.
    """
    closed = incident.component in MARKET_BOUND and not sight.market_open
    why = "It is not found any more since the desk has started again"
    return Alert(
        key=incident.key,
        component=incident.component,
        occasion=Occasion.END,
        severity=Severity.INFO,
        at=sight.now,
        title=f"{'MARKET CLOSED' if closed else 'NO MORE'}: {incident.cause}",
        lines=(NOT_MENDED,) if closed else (why,),
        link=LINK,
        mode=mode,
        is_mock=is_mock,
        once=f"{incident.key} {Occasion.END} {incident.began.isoformat()}",
        incident=incident.number,
    )


def trial(at: datetime, by: str, *, mode: str, is_mock: bool) -> Alert:
    """Return a message that somebody asked for, to see that it arrives; each is one of its own."""
    return Alert(
        key=f"trial {at.isoformat()}",
        component=Component.CHANNELS,
        occasion=Occasion.EVENT,
        severity=Severity.WARNING,
        at=at,
        title="TEST MESSAGE",
        lines=(f"Asked for by {by} at {clock(at)}.", "Nothing is wrong, and nothing to be done."),
        link="/alerts",
        mode=mode,
        is_mock=is_mock,
        kind="check",
    )


def title(change: Change, incident: Incident | None, sight: Sight) -> str:
    match change.occasion:
        case Occasion.END:
            return _end_title(change, incident)
        case Occasion.REMIND:
            return f"STILL: {headline(change.finding.what)}{_stake(change.finding, sight)}"
        case _:
            again = " · ON AND OFF" if change.after is Condition.FLAPPING else ""
            return f"{headline(change.finding.what)}{again}{_stake(change.finding, sight)}"


def lines(change: Change, sight: Sight) -> list[str]:
    finding = change.finding
    if change.occasion is Occasion.END:
        return _end_lines(change)
    said = [
        finding.meaning,
        named(finding.instruments, sight),
        finding.act,
        f"since {clock(change.began)} IST",
    ]
    if change.after is Condition.FLAPPING and change.occasion is Occasion.BEGIN:
        said.insert(0, f"{count(change.flaps, 'time')} within a few minutes. {STEADY}")
    if change.occasion is Occasion.ESCALATE:
        said.insert(-1, "It has become worse")  # first stays what it means: the banner tells that
    return said


def headline(what: str) -> str:
    """Return the words up to the first figure in capitals: `MARKET FEED SILENT 30 s`."""
    words = what.split(" ")
    for number, word in enumerate(words):
        if not word.rstrip(":,").replace("'", "").replace("-", "").isalpha():
            return " ".join([*(w.upper() for w in words[:number]), *words[number:]])
        if word.endswith(":"):
            return " ".join([*(w.upper() for w in words[: number + 1]), *words[number + 1 :]])
    return what.upper()


def named(instruments: Sequence[str], sight: Sight) -> str:
    """Return the names of a few instruments, and how many more there are."""
    names = [sight.name(key) for key in instruments[:MOST_NAMES]]
    more = len(instruments) - len(names)
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


def lasted(change: Change, incident: Incident | None) -> timedelta:
    return change.ended - (incident.began if incident else change.began)


def others(down: Sequence[Finding], unsteady: Sequence[Finding] = ()) -> str:
    """Return what else is wrong at an end, in words; `unsteady` is on and off, and off just now."""
    said = []
    if down:
        said.append(f"Still wrong: {'; '.join(finding.what for finding in down[:MOST_NAMES])}")
    if unsteady:
        names = dict.fromkeys(str(finding.component) for finding in unsteady)
        said.append(f"Well at the moment, not steady yet: {', '.join(names)}")
    return ". ".join(said) or "All other components are up"


def _end_title(change: Change, incident: Incident | None) -> str:
    finding = change.finding
    took = duration(lasted(change, incident).total_seconds())
    if change.why == MARKET_CLOSED:
        return f"MARKET CLOSED after {took} of: {finding.what}"
    if finding.component not in FEEDS:
        return f"OVER after {took}: {finding.what}"
    about = f" OF {finding.about}" if finding.component is Component.PORTFOLIO else ""
    return f"{str(finding.component).upper()}{about} BACK after {took}{_missed(incident)}"


def _missed(incident: Incident | None) -> str:
    if incident is None or incident.ticks_missed is None:
        return ""
    return f" · about {grouped(str(incident.ticks_missed))} ticks missed"


def _end_lines(change: Change) -> list[str]:
    if change.why == MARKET_CLOSED:
        return [NOT_MENDED]
    if change.before is Condition.FLAPPING:
        return [f"It was on and off: {count(change.flaps, 'time')} lately, and is steady now"]
    return []


def _stake(finding: Finding, sight: Sight) -> str:
    if finding.component not in MARKET_BOUND or not sight.exposed:
        return ""
    return f" ({sight.stake})"
