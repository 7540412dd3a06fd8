"""What the watch says of components, incidents and drills, as it is written. Pure."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from dashboard import format as fmt
from dashboard.sheet import Shown, Tone
from trading.health import (
    ChannelHealth,
    Check,
    ComponentHealth,
    Condition,
    DrillResult,
    Incident,
    JobHealth,
    Severity,
    Uptimes,
)
from trading.model import Gap

PILLS: Final = {
    Condition.OK: Shown("● good", Tone.GOOD),
    Condition.PENDING: Shown(
        "◔ in question", Tone.WARN, "seen, and looked at again before it is told"
    ),
    Condition.DOWN: Shown("✖ down", Tone.BAD),
    Condition.FLAPPING: Shown(
        "◐ on and off", Tone.WARN, "changes too often: told once, then when it is steady again"
    ),
    Condition.CLOSED: Shown("■ closed", Tone.MUTED, "its market is closed: not judged"),
    Condition.OFF: Shown("■ off", Tone.MUTED, "nothing is configured: see settings.toml"),
    Condition.UNKNOWN: Shown("— not known", Tone.MUTED, "nothing can be said of it right now"),
}
NOT_JUDGED: Final = "nothing was judged: its market was closed, or the desk was not running"
NOT_MEASURED: Final = "nothing was measured yet"
NOT_SEEN: Final = "not seen"
SEVERITIES: Final = {
    Severity.CRITICAL: Shown("✖ critical", Tone.BAD),
    Severity.WARNING: Shown("! warning", Tone.WARN),
    Severity.INFO: Shown("i info", Tone.MUTED),
}
CHANNELS: Final = {
    "ok": Shown("● good", Tone.GOOD),
    "off": Shown("■ off", Tone.MUTED),
    "waiting": Shown("◔ waiting", Tone.WARN),
    "down": Shown("✖ down", Tone.BAD),
    "contested": Shown("✖ contested", Tone.BAD),
}
SOON: Final = timedelta(hours=1)


def pill(health: ComponentHealth, now: datetime) -> Shown:
    text, tone, title = PILLS[health.condition]
    since = f"since {fmt.moment(health.since, now)}" if health.since else ""
    return Shown(text, tone, "; ".join(part for part in (title, since) if part))


def share(value: float | None) -> Shown:
    """Return a share of market time in percent, never rounded up; unknown is a dash."""
    if value is None:
        return Shown(fmt.DASH, Tone.MUTED, NOT_JUDGED)
    percent = math.floor(value * 10_000 + 1e-6) / 100
    return Shown("100%" if percent >= 100 else f"{percent:.2f}%")


def uptimes(values: Uptimes) -> tuple[Shown, Shown, Shown]:
    return share(values.day), share(values.week), share(values.month)


def latency(health: ComponentHealth) -> Shown:
    values = health.latency
    if values.p50 is None:
        return Shown(fmt.DASH, Tone.MUTED, NOT_MEASURED)
    figures = [_short(v) for v in (values.p50, values.p95, values.p99)]
    measured = f"{health.latency_of}: " if health.latency_of else ""
    return Shown(f"{' / '.join(figures)} ms", Tone.NONE, f"{measured}p50 / p95 / p99")


def _short(value: float | None) -> str:
    if value is None:
        return fmt.DASH
    return f"{value:.1f}" if value < 10 else fmt.number(value, 0)


def reconnects(health: ComponentHealth) -> Shown:
    if health.reconnects is None:
        return Shown("", Tone.NONE, "")
    return Shown(fmt.whole(health.reconnects), Tone.NONE, "reconnects today")


def muted(health: ComponentHealth, now: datetime) -> Shown:
    until = health.muted_until
    if until is None or until <= now:
        return Shown("")
    return Shown(
        f"muted until {fmt.opening(until, now)}", Tone.WARN, "only critical alerts are sent of it"
    )


def duration(seconds: float) -> str:
    """Return `7.2s`, `47s`, `2m 10s`, `3h 05m`; from a day on `2d 3h`."""
    if seconds >= 86_400:
        return f"{int(seconds // 86_400)}d {int(seconds % 86_400 // 3_600)}h"
    return fmt.age(seconds)


def after(seconds: float | None, *, ended: bool = True) -> Shown:
    """Return a time of a drill; what was never seen is a dash with a reason."""
    if seconds is None:
        return Shown(fmt.DASH, Tone.MUTED, NOT_SEEN if ended else "not yet")
    return Shown(f"{seconds:.1f}s" if seconds < 60 else fmt.age(seconds))


def counted(value: int | None, reason: str) -> Shown:
    return Shown(fmt.DASH, Tone.MUTED, reason) if value is None else Shown(fmt.whole(value))


# incidents


def incident_state(incident: Incident) -> Shown:
    if incident.ended is None:
        return Shown(
            "✖ open", SEVERITIES[incident.severity].tone, f"{incident.severity.name.lower()}"
        )
    return Shown("● over", Tone.MUTED)


def ticks_missed(value: int | None) -> Shown:
    """Return an estimate as one: `~1,780`."""
    if value is None:
        return Shown(fmt.DASH, Tone.MUTED, "ticks say nothing about it, or it is not known yet")
    return Shown(f"~{fmt.whole(value)}", Tone.NONE, "estimated from the rate before")


def cause(incident: Incident) -> str:
    """Return the cause with its component before it, named once."""
    named = str(incident.component)
    return f"{named}: {incident.cause.removeprefix(named).strip()}"


def acknowledged(incident: Incident, now: datetime) -> str:
    if incident.acknowledged is None:
        return ""
    by = f" by {incident.acknowledged_by}" if incident.acknowledged_by else ""
    return f"acknowledged{by} {fmt.moment(incident.acknowledged, now)}"


def in_order(incidents: Sequence[Incident]) -> list[Incident]:
    """Return open ones first, each part newest first."""
    return sorted(incidents, key=lambda i: (i.ended is not None, -i.began.timestamp()))


# gaps


def gap_filled(gap: Gap) -> Shown:
    if gap.end is None:
        return Shown("still open", Tone.BAD)
    if gap.filled is None:
        return Shown("not filled yet", Tone.MUTED, gap.fill_words)
    if not gap.filled:
        return Shown(gap.fill_words or "nothing to fill it with", Tone.MUTED)
    return Shown(f"{fmt.whole(gap.filled)} minutes {gap.fill_words}".strip())


def gap_length(gap: Gap, now: datetime) -> str:
    return duration(((gap.end or now) - gap.start).total_seconds())


# jobs and channels


def due(at: datetime | None, now: datetime) -> Shown:
    """Return when a job runs next: `in 12s`, later than an hour the time itself."""
    if at is None:
        return Shown(fmt.DASH, Tone.MUTED, "it is not planned")
    ahead = at - now
    if ahead >= SOON:
        return Shown(fmt.moment(at, now))
    seconds = ahead.total_seconds()
    return Shown("now" if seconds < 1 else f"in {fmt.age(float(round(seconds)))}")


def ran(job: JobHealth) -> Shown:
    if job.last_ms is None:
        return Shown(fmt.DASH, Tone.MUTED, "it has not run yet")
    return Shown(fmt.milliseconds(job.last_ms))


def wrong(count: int, title: str = "") -> Shown:
    """Return a count of what should not happen: none is grey, any is amber."""
    return Shown(fmt.whole(count), Tone.WARN if count else Tone.MUTED, title)


def channel_state(channel: ChannelHealth) -> Shown:
    text, tone, _ = CHANNELS.get(channel.state, Shown(f"— {channel.state}", Tone.MUTED))
    return Shown(text, tone, channel.reason)


def channel_words(channel: ChannelHealth, now: datetime) -> str:
    """Return what is to be said of a way besides its counts."""
    return "; ".join(part for part in (channel.reason, channel_last(channel, now)) if part)


def channel_last(channel: ChannelHealth, now: datetime) -> str:
    """Return when it delivered last, and when it tries again if it did not."""
    parts = []
    if channel.last_sent is not None:
        took = f" in {fmt.milliseconds(channel.last_ms)}" if channel.last_ms is not None else ""
        parts.append(f"last message {fmt.moment(channel.last_sent, now)}{took}")
    if channel.next_attempt is not None and channel.next_attempt > now:
        parts.append(f"tried again at {fmt.moment(channel.next_attempt, now)}")
    return "; ".join(parts)


# checks and drills


def check_mark(check: Check) -> Shown:
    if check.good:
        return Shown("●", Tone.GOOD, "good")
    return Shown("✖", Tone.BAD, "not good") if check.grave else Shown("◐", Tone.WARN, "take care")


def check_summary(checks: Sequence[Check]) -> Shown:
    good = sum(check.good for check in checks)
    text = f"{good} of {len(checks)} good"
    if good == len(checks):
        return Shown(f"● READY  {text}", Tone.GOOD)
    grave = any(check.grave and not check.good for check in checks)
    return Shown(f"✖ NOT READY  {text}", Tone.BAD) if grave else Shown(f"◐ CARE  {text}", Tone.WARN)


def drill_verdict(result: DrillResult | None) -> Shown:
    if result is None:
        return Shown("not tried yet", Tone.MUTED)
    if result.ended is None:
        return Shown(f"◔ {result.words or 'under way'}", Tone.WARN)
    if result.good:
        return Shown(f"● passed{_because(result.words)}", Tone.GOOD)
    return Shown(f"✖ not passed{_because(result.words)}", Tone.BAD)


def _because(words: str) -> str:
    return f": {words}" if words else ""
