"""Alerts, incidents and letters as rows and back: pure; the order of values is that of the tables.

Words come from brokers and strangers: what no database could hold (half of a character) is replaced
by a question mark, so that no text can keep an alert from being stored.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import Row

from storage.characters import plain
from storage.moments import from_ms, to_ms
from storage.order_rows import Values, moment, ms
from trading.health import (
    Alert,
    Button,
    Component,
    Incident,
    IncidentStep,
    Occasion,
    Severity,
)
from trading.health_ports import Letter, LetterState, Post

# Alerts


def storable(alert: Alert) -> Alert:
    """Return the alert as it can be stored and shown: what was told is then what was written."""
    return replace(
        alert,
        key=plain(alert.key),
        title=plain(alert.title),
        lines=tuple(plain(line) for line in alert.lines),
        link=plain(alert.link),
        mode=plain(alert.mode),
        kind=plain(alert.kind),
        buttons=tuple(Button(plain(b.words), plain(b.command)) for b in alert.buttons),
        once=plain(alert.once),
        acknowledged_by=plain(alert.acknowledged_by),
    )


def alert_values(alert: Alert, *, world: str) -> Values:
    """Take an alert that is storable."""
    return (
        world,
        alert.key,
        alert.component.value,
        alert.occasion.value,
        int(alert.severity),
        to_ms(alert.at),
        alert.title,
        json.dumps(alert.lines),
        alert.link,
        alert.mode,
        alert.kind,
        json.dumps([[button.words, button.command] for button in alert.buttons]),
        alert.once,
        alert.incident or None,
        alert.times,
        ms(alert.acknowledged),
        alert.acknowledged_by,
        alert.is_mock,
    )


def alert_of(row: Row[Any]) -> Alert:
    return Alert(
        key=row.key,
        component=Component(row.component),
        occasion=Occasion(row.occasion),
        severity=Severity(row.severity),
        at=from_ms(row.at),
        title=row.title,
        lines=tuple(json.loads(row.lines)),
        link=row.link,
        mode=row.mode,
        is_mock=bool(row.is_mock),
        kind=row.kind,
        buttons=tuple(Button(words, command) for words, command in json.loads(row.buttons)),
        once=row.once,
        incident=row.incident or 0,
        id=row.number,
        times=row.times,
        acknowledged=moment(row.acknowledged),
        acknowledged_by=row.acknowledged_by,
    )


# Incidents


def incident_values(incident: Incident, *, world: str) -> Values:
    return (
        world,
        plain(incident.key),
        incident.component.value,
        int(incident.severity),
        to_ms(incident.began),
        plain(incident.cause),
        ms(incident.ended),
        incident.flaps,
        incident.ticks_missed,
        ms(incident.acknowledged),
        plain(incident.acknowledged_by),
        plain(incident.note),
        incident.is_mock,
    )


def incident_of(row: Row[Any], steps: Iterable[IncidentStep]) -> Incident:
    """`row` has the number of its alerts beside its own columns."""
    return Incident(
        key=row.key,
        component=Component(row.component),
        severity=Severity(row.severity),
        began=from_ms(row.began),
        cause=row.cause,
        is_mock=bool(row.is_mock),
        number=row.number,
        ended=moment(row.ended),
        steps=tuple(steps),
        flaps=row.flaps,
        ticks_missed=row.ticks_missed,
        alerts=row.alerts,
        acknowledged=moment(row.acknowledged),
        acknowledged_by=row.acknowledged_by,
        note=row.note,
    )


def incident_step_values(
    step: IncidentStep, *, incident: int, position: int, is_mock: bool
) -> Values:
    return incident, position, to_ms(step.at), plain(step.what), plain(step.result), is_mock


def incident_step_of(row: Row[Any]) -> IncidentStep:
    return IncidentStep(from_ms(row.at), row.what, row.result)


# Letters


def letter_values(post: Post, alert: Alert, *, world: str) -> Values:
    """Return a letter that waits to be sent; the alert has its number."""
    return (
        world,
        post.channel,
        alert.id,
        0 if alert.severity is Severity.CRITICAL else 1,
        alert.key,
        to_ms(post.not_before),
        post.silent,
        LetterState.QUEUED.value,
        0,
        "",
        None,
        None,
        "",
        alert.is_mock,
    )


def outcome_values(letter: Letter) -> Values:
    """Return what may change of a letter, and its number."""
    return (
        to_ms(letter.not_before),
        letter.silent,
        letter.state.value,
        letter.attempts,
        plain(letter.error),
        ms(letter.sent),
        letter.took_ms,
        plain(letter.reference),
        letter.number,
    )


def letter_of(row: Row[Any], alert: Alert) -> Letter:
    """`row` has the reference of the message to edit beside its own columns."""
    return Letter(
        number=row.number,
        channel=row.channel,
        alert=alert,
        not_before=from_ms(row.not_before),
        silent=bool(row.silent),
        state=LetterState(row.state),
        attempts=row.attempts,
        error=row.error,
        sent=moment(row.sent),
        took_ms=row.took_ms,
        reference=row.reference,
        edits=row.edits or "",
    )
