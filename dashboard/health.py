"""The figures of the parts of the desk, in words: read by the cards of the Health page."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from dashboard import format as fmt
from dashboard.live import Facts, Since
from dashboard.sheet import Shown, Tone
from trading.clock import Clock
from trading.desk import Desk
from trading.hours import MarketState, Phase
from trading.model import Mode
from trading.ports import FeedState, FeedStats, Percentiles, StorageStats

MODES: Final = tuple(Mode)
MARKS: Final = {
    FeedState.LIVE: "●",
    FeedState.OPEN: "◔",
    FeedState.CONNECTING: "◔",
    FeedState.STALLED: "✖",
    FeedState.BACKING_OFF: "◐",
    FeedState.REFUSED: "✖",
    FeedState.CONTESTED: "✖",
    FeedState.STOPPED: "■",
}
GOOD_STORAGE: Final = "ok"
HOLDERS: Final = 12  # lines of the subscription meter
MISSING: Final = 4  # keys named in full


def feed_facts(stats: FeedStats, clock: Clock) -> Facts:
    moment = clock.monotonic()
    return {
        "state": f"{MARKS[stats.state]} {stats.state}",
        "reason": stats.reason,
        "since": fmt.moment(stats.since, clock.now()),
        "frame_age": _since(stats.frame_age, moment),
        "tick_age": _since(stats.tick_age, moment),
        "frame_rate": f"{fmt.number(stats.frame_rate, 1)}/s",
        "tick_rate": f"{fmt.number(stats.tick_rate, 1)}/s",
        "byte_rate": f"{fmt.data_size(stats.byte_rate)}/s, {fmt.data_size(stats.bytes)} in all",
        "latency": percentiles(stats.latency),
        "clock_skew": _skew(stats.clock_skew),
        "connections": f"{fmt.whole(stats.connections)} / {fmt.whole(stats.reconnects)}",
        "backoff": backoff(stats),
        "decode_errors": fmt.whole(stats.decode_errors),
        "bad_prices": fmt.whole(stats.bad_prices),
        "dropped": fmt.whole(stats.dropped),
        "duplicate_frames": fmt.whole(stats.duplicate_frames),
        "unasked": fmt.whole(stats.unasked),
        "missing": _missing(stats.missing),
    }


def told_facts(stats: FeedStats, clock: Clock) -> Facts:
    """Return the facts of a feed with its state toned, and its reason where one rests on it."""
    good = stats.state is FeedState.LIVE
    state = Shown(
        f"{MARKS[stats.state]} {stats.state}", Tone.GOOD if good else Tone.BAD, stats.reason
    )
    return {**feed_facts(stats, clock), "state": state}


def stream_facts(desk: Desk, account: str) -> Facts:
    """Return how one account's stream is; while nothing happens it says nothing, and is alive."""
    facts = dict(told_facts(desk.portfolio_feeds[account].stats(), desk.clock))
    read = desk.cycle.confirmed_age(account)
    facts["read"] = _since(read, desk.clock.monotonic())
    return facts


def backoff(stats: FeedStats) -> str:
    """Return where on the ladder it is: `attempt 3 of unlimited, next in 4.2s`."""
    if not stats.attempt:
        return "not needed"
    attempt = f"attempt {stats.attempt} of unlimited"
    if stats.next_attempt_in is None:
        return f"{attempt}, under way"
    return f"{attempt}, next in {fmt.age(stats.next_attempt_in)}"


def percentiles(values: Percentiles) -> str:
    if values.p50 is None:
        return fmt.DASH
    return " / ".join(fmt.milliseconds(v) for v in (values.p50, values.p95, values.p99))


def storage_facts(stats: StorageStats) -> Facts:
    good = stats.state == GOOD_STORAGE
    return {
        "state": f"{'●' if good else '✖'} {stats.state}",
        "reason": stats.reason,
        "queued": f"{fmt.whole(stats.queued)} of {fmt.whole(stats.capacity)} rows",
        "lag": fmt.age(stats.lag),
        "rows": fmt.whole(stats.rows),
        "dropped": fmt.whole(stats.dropped),
        "left_out": fmt.whole(stats.left_out),
        "errors": fmt.whole(stats.errors),
        "commit": fmt.milliseconds(stats.last_commit_ms),
        "database": fmt.data_size(stats.database_bytes),
        "wal": fmt.data_size(stats.wal_bytes),
    }


def process_facts(desk: Desk) -> Facts:
    vitals = desk.vitals.stats()
    cpu = fmt.DASH if vitals.cpu_percent is None else f"{vitals.cpu_percent:.1f}%"
    return {
        "state": f"● {desk.progress.stage}",
        "reason": desk.progress.reason,
        "lag": percentiles(vitals.loop_lag),
        "lag_max": fmt.milliseconds(vitals.loop_lag_max),
        "memory": fmt.data_size(vitals.memory_bytes),
        "cpu": cpu,
        "threads": fmt.whole(vitals.threads),
        "started": fmt.moment(desk.started, desk.clock.now()),
        "versions": ", ".join(f"{name} {version}" for name, version in desk.versions.items()),
    }


def subscription_facts(desk: Desk) -> Facts:
    stats = desk.feed.stats()
    facts: dict[str, str | Shown | Since] = {}
    for mode in MODES:
        used, limit = stats.subscribed.get(mode, 0), stats.limits.get(mode)
        of = "" if limit is None else f" of {fmt.whole(limit)}"
        facts[f"mode {mode}"] = f"{fmt.whole(used)}{of}"
    return facts | {"holders": holders(desk)}


def holders(desk: Desk) -> str:
    """Return a line for each holder: how many instruments, and in which mode."""
    held: dict[tuple[str, Mode], int] = defaultdict(int)
    for hold in desk.subscriptions.holds():
        held[hold.holder, hold.mode] += len(hold.instrument_keys)
    lines = [f"{name}: {count} in {mode}" for (name, mode), count in sorted(held.items())]
    if len(lines) > HOLDERS:
        lines = [*lines[:HOLDERS], f"and {len(lines) - HOLDERS} more"]
    return "\n".join(lines) or "nobody wants anything"


def segments(desk: Desk) -> list[str]:
    """Return every segment that the rules or the exchange speak of."""
    rules = desk.hours.rules
    named = {template.segment for template in rules.templates}
    return sorted(named | {s.segment for s in rules.specials} | set(desk.feed.stats().segments))


def segment_facts(desk: Desk) -> Facts:
    now = desk.clock.now()
    told = desk.feed.stats().segments
    facts = {}
    for segment in segments(desk):
        exchange = f" · exchange says {told[segment]}" if segment in told else ""
        facts[segment] = market_words(desk.hours.state(segment, now), now) + exchange
    return facts


def market_words(state: MarketState, now: datetime) -> str:
    name = f" ({state.name})" if state.name else ""
    if state.phase is Phase.OPEN:
        until = f" until {fmt.opening(state.until, now)}" if state.until else ""
        return f"open{name}{until}"
    opens = f", opens {fmt.opening(state.next_open, now)}" if state.next_open else ""
    return f"{state.phase}{name}{opens}"


def _since(age: float | None, moment: float) -> Since:
    return Since(None if age is None else moment - age)


def _skew(seconds: float | None) -> str:
    return fmt.DASH if seconds is None else f"{fmt.signed(seconds, 2)}s"


def _missing(keys: Sequence[str]) -> str:
    if not keys:
        return "none"
    more = f" and {len(keys) - MISSING} more" if len(keys) > MISSING else ""
    return ", ".join(keys[:MISSING]) + more
