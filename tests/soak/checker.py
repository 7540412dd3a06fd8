"""What must be true after a soak: pure functions over our records and the exchange's.

Times are epoch milliseconds of the exchange's clock, which ran `speed` times as fast as real
seconds; durations are real seconds. Each function returns in words what is violated, nothing if
all is well.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

MINUTE: Final = 60_000  # ms
SLACK: Final = 1.0  # real seconds by which a gap's ends may differ from the silence
CRITICAL, WARNING = 3, 2
PRICES: Final = frozenset({"no_prices", "feed_refused", "unreachable", "failed_recovery"})
MACHINE: Final = "loop_lag"
STREAM: Final = frozenset({"stream_down", "feed_refused", "unreachable"})


class Sent(NamedTuple):
    """One instrument's entry in a frame that the exchange wrote; `priced`: with a price that can
    be one."""

    connection: int
    key: str
    at: int
    ltt: int
    ltp: float
    ltq: int
    priced: bool
    initial: bool = False  # of a snapshot


class Stored(NamedTuple):
    """A row of our quote_ticks; `received` by our clock, `at` as the frame said."""

    key: str
    at: int
    ltt: int | None
    ltp: float | None
    received: int


class Minute(NamedTuple):
    """A row of our candles."""

    key: str
    start: int
    open: float
    high: float
    low: float
    close: float
    complete: bool


class Span(NamedTuple):
    """From one moment to another, ms; of a gap, an incident or a fault."""

    start: int
    end: int
    what: str = ""

    def reaches(self, other: "Span", margin: int = 0) -> bool:
        return self.start - margin <= other.end and other.start <= self.end + margin


class Told(NamedTuple):
    """An alert as it is in our database."""

    number: int
    key: str
    occasion: str
    severity: int
    kind: str
    at: int
    incident: int | None


class Lasted(NamedTuple):
    """An incident; `ended` None: it is still open. `flaps`: how often it went on and off."""

    number: int
    key: str
    began: int
    ended: int | None
    flaps: int = 0


class Post(NamedTuple):
    """A letter, by its alert's number; nothing is sent of it before `not_before`."""

    alert: int
    channel: str
    state: str
    attempts: int
    error: str
    not_before: int = 0


class Arrival(NamedTuple):
    """A message on the phone: what it was ("sendMessage", ...), its text."""

    what: str
    number: int
    text: str


class Sample(NamedTuple):
    """The desk's process at one moment; `at` in real seconds since the start."""

    at: float
    rss_mib: float
    fds: int
    threads: int
    wal_mib: float
    lag_p99_ms: float
    reference_ms: float  # the same of a loop that does next to nothing, on the same machine
    calm: str = ""  # the name of a calm moment: no fault, no page


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the exchange's time ran, and after how many real seconds silence is found."""

    speed: float
    stall: float

    def ms(self, seconds: float) -> int:
        return round(seconds * self.speed * 1000)

    def seconds(self, ms: float) -> float:
        return ms / 1000 / self.speed


# ticks and candles


def unknown_ticks(stored: Iterable[Stored], sent: Sequence[Sent]) -> list[str]:
    """Every tick row is in the ledger, and as often: by its instrument and its frame's time."""
    there = Counter((s.key, s.at) for s in sent)
    ours = Counter((s.key, s.at) for s in stored)
    found = [
        f"tick of {key} at {at} is stored {n} times, was sent {there[key, at]} times"
        for (key, at), n in ours.items()
        if n > there[key, at]
    ]
    trades = {(s.key, s.ltt, s.ltp) for s in sent if s.priced}
    found += [
        f"tick of {s.key} at {s.at}: no trade at {s.ltp} ({s.ltt}) was ever told"
        for s in stored
        if s.ltp is not None and (s.key, s.ltt, s.ltp) not in trades
    ]
    return found


def lost_ticks(
    sent: Iterable[Sent],
    stored: Iterable[Stored],
    gaps: Sequence[Span],
    pace: Pace,
    held: frozenset[str],
) -> list[str]:
    """Each trade that was sent is stored, or was told only inside of a gap of the gap ledger.

    Of what is not `held` for the whole run, the last word before a page lets it go is on its way
    when nobody wants it any more: it is dropped as the desk means to.
    """
    ours = {(s.key, s.ltt, s.ltp) for s in stored}
    missing: dict[tuple[str, int, float], int] = {}
    told: dict[str, list[int]] = defaultdict(list)
    for row in sent:
        told[row.key].append(row.at)
        trade = (row.key, row.ltt, row.ltp)
        if row.priced and trade not in ours and not _within(row.at, gaps, pace.ms(SLACK)):
            missing.setdefault(trade, row.at)
    return [
        f"lost: {key} {ltp} traded {ltt}, sent {at}"
        for (key, ltt, ltp), at in missing.items()
        if key in held or not _falls_silent(told[key], at, pace.ms(SLACK))
    ]


def _falls_silent(moments: Sequence[int], at: int, margin: int) -> bool:
    """Return whether nothing more is told for so long after this; `moments` by their order."""
    following = bisect_right(moments, at)
    return following == len(moments) or moments[following] - at > margin


def _within(at: int, spans: Sequence[Span], margin: int) -> bool:
    return any(span.start - margin <= at <= span.end + margin for span in spans)


def wrong_candles(
    minutes: Iterable[Minute],
    sent: Sequence[Sent],
    history: Mapping[tuple[str, int], Minute],
    since: int,
) -> list[str]:
    """Each whole minute is what was sent within it, or what the exchange's own history says.

    Of several trades within one millisecond any may be the first or the last. `since`: the desk
    was there from then on; what is older can only be history.
    """
    trades: dict[tuple[str, int], list[tuple[int, float]]] = defaultdict(list)
    for row in sent:
        if row.priced:
            trades[row.key, row.ltt - row.ltt % MINUTE].append((row.ltt, row.ltp))
    found = []
    for minute in minutes:
        if not minute.complete:
            continue
        seen = trades.get((minute.key, minute.start), []) if minute.start >= since else []
        if _is_of(minute, seen) or _same(minute, history.get((minute.key, minute.start))):
            continue
        found.append(f"candle {minute} is neither of {len(seen)} trades sent nor the exchange's")
    return found


def _is_of(minute: Minute, trades: Sequence[tuple[int, float]]) -> bool:
    if not trades:
        return False
    first, last = min(ltt for ltt, _ in trades), max(ltt for ltt, _ in trades)
    prices = [ltp for _, ltp in trades]
    return (
        (minute.high, minute.low) == (max(prices), min(prices))
        and minute.open in {ltp for ltt, ltp in trades if ltt == first}
        and minute.close in {ltp for ltt, ltp in trades if ltt == last}
    )


def _same(minute: Minute, other: Minute | None) -> bool:
    return other is not None and all(
        abs(ours - theirs) < 0.005 for ours, theirs in zip(minute[2:6], other[2:6], strict=True)
    )


# silences, gaps, incidents


def silences(sent: Iterable[Sent], session: Span, pace: Pace, least: float) -> list[Span]:
    """Return where the exchange sent nothing for at least so many real seconds of the session."""
    moments = sorted({s.at for s in sent if session.start <= s.at <= session.end})
    edges = [session.start, *moments, session.end]
    return [Span(a, b) for a, b in pairwise(edges) if b - a >= pace.ms(least)]


def joined(spans: Iterable[Span], margin: int) -> list[Span]:
    """Return spans with those joined that are less than `margin` ms apart."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.start <= found[-1].end + margin:
            found[-1] = found[-1]._replace(end=max(found[-1].end, span.end))
        else:
            found.append(span)
    return found


def wrong_gaps(
    gaps: Sequence[Span],
    quiet: Sequence[Span],
    sent: Iterable[Sent],
    stored: Iterable[Stored],
    pace: Pace,
) -> list[str]:
    """Each long silence is in the gap ledger, and in no gap did we store a live price, ± 1 s.

    A book without a price, or the snapshot of a new connection, is no price of that moment.
    """
    slack = pace.ms(SLACK)
    ledger = joined(gaps, 2 * slack)
    found = [
        f"silence {_at(span, pace)} is in no gap"
        for span in quiet
        if not any(g.start - slack <= span.start and span.end <= g.end + slack for g in ledger)
    ]
    live = {(s.key, s.at) for s in sent if s.priced and not s.initial}
    received = sorted(s.received for s in stored if (s.key, s.at) in live)
    for gap in gaps:
        first = bisect_right(received, gap.start + slack)
        last = bisect_left(received, gap.end - slack)
        if last > first:
            found.append(f"gap {_at(gap, pace)} ({gap.what}): {last - first} prices came in it")
    return found


def _at(span: Span, pace: Pace) -> str:
    return f"{span.start}..{span.end} ({pace.seconds(span.end - span.start):.1f} s)"


def unnoticed(
    quiet: Iterable[Span], incidents: Iterable[Lasted], rules: frozenset[str], pace: Pace
) -> list[str]:
    """Each trouble that lasted longer than its threshold has an incident of its matter."""
    spans = [
        Span(i.began, i.ended if i.ended is not None else 1 << 60)
        for i in incidents
        if i.key.split()[0] in rules
    ]
    margin = pace.ms(SLACK)
    return [
        f"{span.what or 'silence'} {_at(span, pace)} has no incident of {', '.join(sorted(rules))}"
        for span in quiet
        if not any(span.reaches(other, margin) for other in spans)
    ]


def never_mended(quiet: Iterable[Span], most: float, pace: Pace) -> list[str]:
    """No silence lasts longer than the longest fault and its recovery, in real seconds."""
    return [f"silence {_at(span, pace)}" for span in quiet if span.end - span.start > pace.ms(most)]


def false_alarms(alerts: Iterable[Told], calm: Iterable[Span]) -> list[str]:
    """Where nothing was wrong, nothing began; that others slow the machine down is no fault."""
    spans = list(calm)
    return [
        f"A{a.number} began without a cause: {a.key}"
        for a in alerts
        if a.kind == "health"
        and a.occasion == "begin"
        and a.key != MACHINE
        and _within(a.at, spans, 0)
    ]


# alerts on their way


def wrong_story(alerts: Iterable[Told], incidents: Iterable[Lasted]) -> list[str]:
    """Each matter begins once, may become worse, and ends once; nothing is left open.

    One that goes on and off is told once more, as such.
    """
    by_key: dict[str, list[Told]] = defaultdict(list)
    by_incident: dict[int, Counter[str]] = defaultdict(Counter)
    for alert in sorted(alerts):
        if alert.kind == "health":
            by_key[alert.key].append(alert)
            by_incident[alert.incident or 0][alert.occasion] += 1
    found = []
    for key, story in by_key.items():
        is_open = False
        for alert in story:
            if (alert.occasion == "begin") == is_open and alert.occasion != "event":
                found.append(f"A{alert.number} {alert.occasion} of {key}: not in its order")
            is_open = alert.occasion != "end"
        if is_open:
            found.append(f"{key} has no end: last A{story[-1].number} {story[-1].occasion}")
    for incident in incidents:
        if incident.ended is None:
            found.append(f"incident {incident.number} ({incident.key}) is still open")
        counts, most = by_incident[incident.number], 2 if incident.flaps else 1
        if not 1 <= counts["begin"] == counts["end"] <= most:
            found.append(f"incident {incident.number} ({incident.key}) was told as {dict(counts)}")
    return found


def undelivered(
    alerts: Iterable[Told],
    letters: Iterable[Post],
    arrivals: Iterable[Arrival],
    channel: str,
    *,
    until: int,
) -> list[str]:
    """Every letter that was due `until` then is settled, each critical alert arrived, none more
    than twice. What is told too often waits for its turn, and may do so beyond the end.
    """
    posts = {post.alert: post for post in letters if post.channel == channel}
    messages = [a.text for a in arrivals if a.what.startswith("send")]
    everything = [a.text for a in arrivals]
    found = [
        f"A{p.alert}: its letter is {p.state} after {p.attempts} attempts: {p.error}"
        for p in posts.values()
        if p.state not in ("sent", "folded") and p.not_before <= until
    ]
    for alert in alerts:
        post, name = posts.get(alert.number), f"A{alert.number} "
        if post is None:
            found.append(f"{name}of {alert.key} has no letter")
        elif post.state == "sent" and not any(name in text for text in everything):
            found.append(f"{name}is said to be sent and is not on the phone")
        elif alert.severity >= CRITICAL and post.state != "sent":
            found.append(f"{name}is critical and was {post.state}")
        if (times := sum(name in text for text in messages)) > 2:
            found.append(f"{name}arrived {times} times")
    return found


# the process


def slope(samples: Sequence[Sample]) -> float:
    """Return MiB of memory per real hour: the median of all slopes between two samples (Theil and
    Sen), which a few open pages more or less do not move."""
    slopes = [
        (b.rss_mib - a.rss_mib) / (b.at - a.at) * 3600
        for n, a in enumerate(samples)
        for b in samples[n + 1 :]
        if b.at - a.at > 60
    ]
    return median(slopes) if slopes else 0.0


def not_flat(samples: Iterable[Sample], *, by: int) -> list[str]:
    """Compare the calm moments: threads and files are as many as they were."""
    calm: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.calm:
            calm[sample.calm].append(sample)
    if len(calm) < 2:
        return ["there are not two calm moments to compare"]
    first, *_, last = calm.values()
    found = []
    for what in ("fds", "threads"):
        before = min(getattr(s, what) for s in first)
        after = min(getattr(s, what) for s in last)
        if abs(after - before) > by:
            found.append(f"{what} went from {before} to {after}")
    return found
