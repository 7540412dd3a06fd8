"""Alerts in the words and marks of the pages. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

from dashboard import format as fmt
from dashboard.sheet import Shown, Tone
from trading.health import Alert, ChannelHealth, Component, Occasion, Severity
from trading.health_ports import Letter, LetterState, Post, Routes
from trading.hours import IST

Sound = Literal["", "fill", "rejection", "risk", "feed"]

GLYPHS: Final = {Severity.CRITICAL: "✖", Severity.WARNING: "!", Severity.INFO: "i"}
TONES: Final = {
    Severity.CRITICAL: Tone.BAD,
    Severity.WARNING: Tone.WARN,
    Severity.INFO: Tone.MUTED,
}
NAMES: Final = {Severity.CRITICAL: "critical", Severity.WARNING: "warning", Severity.INFO: "info"}
PLACES: Final = {
    "/": "Now",
    "/positions": "Positions",
    "/orders": "Orders",
    "/baskets": "Baskets",
    "/status": "Health",
}
SLOTS: Final = 48  # half hours of a day
SLOT: Final = timedelta(minutes=30)
FEEDS: Final = (Component.MARKET_FEED, Component.PORTFOLIO)
_LOUDNESS: Final[tuple[Sound, ...]] = ("", "fill", "rejection", "feed", "risk")


def name(alert: Alert) -> str:
    """Return its short name; one that the disk has not taken yet has none."""
    return alert.name if alert.id else "not on the disk yet"


def times(alert: Alert) -> str:
    return f"\N{MULTIPLICATION SIGN}{alert.times}"


def body(alert: Alert) -> str:
    return "\n".join(alert.lines)


def place(link: str) -> str:
    """Return the words of a link to one of our pages; nothing for any other address."""
    if not link.startswith("/") or link.startswith("//") or "\\" in link:
        return ""
    return PLACES.get(link, "More")


def told_of(alert: Alert, now: datetime) -> str:
    """Return the small line of a row: `A17 · market feed · acknowledged 14:03:00 by page`."""
    parts = [name(alert), str(alert.component)]
    if alert.occasion in (Occasion.ESCALATE, Occasion.REMIND, Occasion.END):
        words = {Occasion.ESCALATE: "worse", Occasion.REMIND: "again", Occasion.END: "over"}
        parts.append(words[alert.occasion])
    if alert.acknowledged is not None:
        at = fmt.moment(alert.acknowledged, now)
        by = f" by {alert.acknowledged_by}" if alert.acknowledged_by else ""
        parts.append(f"acknowledged {at}{by}")
    return " · ".join(parts)


def feed_of(alert: Alert) -> str:
    """Return the feed that a person may have dialled again for this, else nothing."""
    if alert.occasion is Occasion.END:
        return ""
    if alert.component is Component.MARKET_FEED:
        return "market"
    about = alert.key.partition(" ")[2]
    return f"portfolio-{about}" if alert.component is Component.PORTFOLIO and about else ""


def sound_of(alert: Alert) -> Sound:
    """Return which of the four sounds it makes; most alerts make none."""
    if alert.occasion is Occasion.END:
        return ""
    if alert.component in FEEDS and alert.severity >= Severity.WARNING:
        return "feed"
    if alert.severity is Severity.CRITICAL:
        return "risk"
    if alert.kind == "order":
        title = alert.title.upper()
        return "rejection" if "REJECTED" in title else "fill" if "FILLED" in title else ""
    return ""


def loudest(alerts: Sequence[Alert], *, quiet: bool) -> Sound:
    """Return the one sound of alerts that came together; in quiet hours of critical ones only."""
    heard = [a for a in alerts if not quiet or a.severity is Severity.CRITICAL]
    return max((sound_of(alert) for alert in heard), key=_LOUDNESS.index, default="")


# ways to a person


def channel_figures(channel: ChannelHealth) -> str:
    """Return `2 waiting · 14 sent · 1 retried`; what is zero is left out, but for the sent ones."""
    parts = [f"{fmt.whole(channel.queued)} waiting"] if channel.queued else []
    parts.append(f"{fmt.whole(channel.sent)} sent")
    if channel.retried:
        parts.append(f"{fmt.whole(channel.retried)} retried")
    if channel.parked:
        parts.append(f"{fmt.whole(channel.parked)} given up")
    return " · ".join(parts)


def letter_state(letter: Letter, now: datetime) -> Shown:
    """Return what became of a letter, with its reason where it needs one."""
    tries = f" after {letter.attempts} tries" if letter.attempts > 1 else ""
    if letter.state is LetterState.SENT:
        took = "" if letter.took_ms is None else f" in {fmt.milliseconds(letter.took_ms)}"
        return Shown(f"sent{took}{tries}", Tone.NONE, letter.error)
    if letter.state is LetterState.PARKED:
        return Shown(f"✖ given up{tries}: {letter.error or 'no reason was told'}", Tone.BAD)
    if letter.state is LetterState.FOLDED:
        return Shown("told in one line with others", Tone.MUTED)
    if letter.state is LetterState.SENDING:
        return Shown("being sent", Tone.WARN)
    held = f" until {fmt.moment(letter.not_before, now)}" if letter.not_before > now else ""
    tried = f", tried {letter.attempts} times: {letter.error}" if letter.attempts else ""
    return Shown(f"waiting{held}{tried}", Tone.WARN)


# who hears what, and when


def route_words(posts: Sequence[Post], channel: str, at: datetime) -> str:
    """Return how an alert goes to one channel at a moment: `with a sound`, `waits until 07:00`."""
    post = next((p for p in posts if p.channel == channel), None)
    if post is None:
        return "not sent"
    if post.not_before > at:
        return f"waits until {fmt.opening(post.not_before, at)}"
    return "silent" if post.silent else "with a sound"


def quiet_slots(routes: Routes, now: datetime) -> list[bool]:
    """Return for each half hour of this IST day whether it is quiet."""
    first = day_start(now)
    return [routes.is_quiet(first + SLOT * n) for n in range(SLOTS)]


def day_start(now: datetime) -> datetime:
    local = now.astimezone(IST)
    return local.replace(hour=0, minute=0, second=0, microsecond=0)


def passing(routes: Routes, now: datetime) -> str:
    """Return in one sentence what would come through at this moment."""
    if not routes.is_quiet(now):
        return "Not quiet now: everything passes."
    held = [p for p in routes.posts(Severity.INFO, now) if p.not_before > now]
    info = f"info waits until {fmt.opening(held[0].not_before, now)}" if held else "info is silent"
    return f"Quiet now: critical passes with a sound, warnings come silently, {info}."
