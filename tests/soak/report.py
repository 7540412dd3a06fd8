"""The verdict of a soak: every check by its name, and the figures."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

from tests.process.test_order_crash import violations
from tests.soak import checker
from tests.soak.checker import PRICES, STREAM, Pace, Sample, Span
from tests.soak.desk_under_load import Evidence
from tests.soak.nemesis import LASTS, Struck

GROWTH: Final = 5.0  # MiB in an hour of the session
LAG: Final = 250.0  # ms, p99 of each minute
NOISY: Final = 2.0  # times what an idle loop sees
WAL: Final = 64.0  # MiB
FLAT: Final = 2  # threads, files
SHOWN: Final = 8  # violations of one check in full
LONG_ENOUGH: Final = 900.0  # seconds of samples from which a slope says something
GAP_AFTER: Final = 1.0  # seconds over the stall after which a silence must be in the gap ledger
SURE_AFTER: Final = 6.0  # seconds of silence, with three looks and their pause, to be an incident
STARTED: Final = 120.0  # seconds after which a minute has nothing of the start in it
RECOVERED: Final = 60.0  # seconds, from any single fault, without a restart
STREAM_AFTER, TOKEN_AFTER = 5.5, 3.0


@dataclass(frozen=True, slots=True)
class Run:
    """What was done and measured, beside what both sides have written down."""

    pace: Pace
    session: Span  # judged, from the begin of the load to the close
    ready: int  # when the desk was ready, ms
    calm: Sequence[Span]
    held: frozenset[str]
    struck: Sequence[Struck]
    samples: Sequence[Sample]
    page_errors: Sequence[str]
    left: str  # what was still to wait for when there was no more time
    dropped_rows: float
    exit_code: int


Checks = dict[str, list[str]]


def judged(run: Run, seen: Evidence) -> Checks:
    """Return for each check what violates it."""
    pace, sent = run.pace, seen.sent
    live = [s for s in sent if run.session.start <= s.at <= run.session.end]
    quiet = checker.silences(live, run.session, pace, pace.stall + GAP_AFTER)
    long = [s for s in quiet if s.end - s.start >= pace.ms(SURE_AFTER)]
    return {
        "each stored tick was sent, and once": checker.unknown_ticks(seen.stored, sent),
        "each sent trade is stored or in a gap": checker.lost_ticks(
            sent, seen.stored, seen.gaps, pace, run.held
        ),
        "whole minutes are the exchange's": checker.wrong_candles(
            seen.minutes, sent, seen.history, run.ready
        ),
        "orders and positions are the broker's": violations(seen.books, seen.truth),
        "gaps are the silences, within 1 s": checker.wrong_gaps(
            seen.gaps, quiet, sent, seen.stored, pace
        ),
        "silences were noticed": checker.unnoticed(long, seen.incidents, PRICES, pace),
        "no silence outlived its fault by a minute": checker.never_mended(
            quiet, LASTS[1] + RECOVERED, pace
        ),
        "lost streams were noticed": checker.unnoticed(
            _matters(run, "stream", STREAM_AFTER), seen.incidents, STREAM, pace
        ),
        "ended tokens were noticed": checker.unnoticed(
            _matters(run, "token", TOKEN_AFTER), seen.incidents, frozenset({"feed_refused"}), pace
        ),
        "each matter: one begin, one end": checker.wrong_story(seen.alerts, seen.incidents),
        "no alarm while nothing is wrong": checker.false_alarms(seen.alerts, run.calm),
        "every alert arrived": checker.undelivered(
            seen.alerts, seen.letters, seen.arrivals, "telegram", until=run.calm[-1].end
        ),
        "memory": _memory(run),
        "threads and files are flat": checker.not_flat(run.samples, by=FLAT),
        "loop lag": _late(run.samples),
        "WAL": _over("WAL", [s.wal_mib for s in run.samples], WAL),
        "no page complained": list(run.page_errors),
        "nothing was dropped before the disk": [f"{run.dropped_rows:.0f} rows"]
        if run.dropped_rows
        else [],
        "the desk settled": [run.left] if run.left else [],
        "the desk stopped well": [f"exit code {run.exit_code}"] if run.exit_code else [],
        "the database is whole": [str(row) for row in seen.integrity if row != ("ok",)],
    }


def _matters(run: Run, matter: str, least: float) -> list[Span]:
    spans = [Span(s.start, s.end, s.title) for s in run.struck if s.matter == matter]
    return [s for s in spans if s.end - s.start >= run.pace.ms(least)]


def _memory(run: Run) -> list[str]:
    warm = after_warm_up(run.samples)
    if not warm or warm[-1].at - warm[0].at < LONG_ENOUGH:
        return []  # shown, but not judged: a few minutes say nothing about an hour
    growth = checker.slope(warm) / run.pace.speed
    return [f"{growth:.2f} MiB in an hour of the session"] if growth > GROWTH else []


def after_warm_up(samples: Sequence[Sample]) -> list[Sample]:
    """Leave out the first quarter."""
    if not samples:
        return []
    begin = samples[0].at + (samples[-1].at - samples[0].at) / 4
    return [s for s in samples if s.at >= begin]


def minutes(samples: Sequence[Sample]) -> list[Sample]:
    """Return a sample for each minute after the start: percentiles are of the last minute."""
    found: list[Sample] = []
    for sample in samples:
        if sample.at >= STARTED and (not found or sample.at - found[-1].at >= 60):
            found.append(sample)
    return found


def _late(samples: Sequence[Sample]) -> list[str]:
    """Nine of ten minutes must do; one in which an idle loop is as late says nothing about ours."""
    judged = minutes(samples)
    found = [
        f"p99 of a minute {s.lag_p99_ms:.0f} ms, of an idle loop {s.reference_ms:.0f} ms"
        for s in judged
        if s.lag_p99_ms > max(LAG, NOISY * s.reference_ms)
    ]
    return found if len(found) > len(judged) / 10 else []


def _over(what: str, values: Sequence[float], most: float) -> list[str]:
    return [f"{what} {value:.1f}" for value in values if value > most]


def figures(run: Run, seen: Evidence) -> list[str]:
    pace, samples = run.pace, run.samples
    quiet = checker.silences(seen.sent, run.session, pace, pace.stall + GAP_AFTER)
    warm = after_warm_up(samples)
    growth = checker.slope(warm)
    lags = [s.lag_p99_ms for s in minutes(samples) if s.lag_p99_ms == s.lag_p99_ms]
    idle = [s.reference_ms for s in minutes(samples)]
    told = Counter(a.occasion for a in seen.alerts if a.kind == "health")
    rules = Counter(i.key.split()[0] for i in seen.incidents)
    states = Counter(p.state for p in seen.letters)
    longest = max((s.end - s.start for s in quiet), default=0)
    return [
        f"ticks: {len(seen.sent):,} sent, {len(seen.stored):,} stored; "
        f"{sum(m.complete for m in seen.minutes):,} whole minutes of {len(seen.minutes):,}",
        f"faults: {len(run.struck)} ({len({s.title for s in run.struck})} kinds); "
        f"{len(quiet)} silences over {pace.stall + GAP_AFTER:g} s, the longest "
        f"{pace.seconds(longest):.1f} s; {len(seen.gaps)} gaps in the ledger",
        f"incidents: {len(seen.incidents)} {dict(rules.most_common())}",
        f"alerts of the watch: {dict(told)}; of orders: "
        f"{sum(a.kind != 'health' for a in seen.alerts)}; critical: "
        f"{sum(a.severity >= 3 for a in seen.alerts)}; letters: {dict(states)}",
        f"broker's orders: {len(seen.truth['orders'])}, ours: {len(seen.books['orders'])}; "
        f"positions: {sum(p['quantity'] != 0 for p in seen.books['positions'])}",
        f"memory: {samples[0].rss_mib:.0f} MiB at first, {samples[-1].rss_mib:.0f} at the end, "
        f"{max(s.rss_mib for s in samples):.0f} at most; after warm-up {growth:+.1f} MiB in a real "
        f"hour, {growth / pace.speed:+.2f} in an hour of the session",
        f"calm moments: {calm_words(samples)}",
        f"loop lag p99 of a minute: median {median(lags):.1f} ms, worst {max(lags):.1f} ms; "
        f"of an idle loop beside it {median(idle):.1f} and {max(idle):.1f} ms"
        if lags
        else "loop lag: the run was too short",
        f"WAL at most {max(s.wal_mib for s in samples):.1f} MiB",
    ]


def calm_words(samples: Sequence[Sample]) -> str:
    names = dict.fromkeys(s.calm for s in samples if s.calm)
    lowest = {name: min((s.fds, s.threads) for s in samples if s.calm == name) for name in names}
    return "; ".join(f"{name}: {fds} files, {threads} threads"
                     for name, (fds, threads) in lowest.items())  # fmt: skip


def shown(checks: Checks) -> list[str]:
    lines = []
    for name, found in checks.items():
        lines.append(
            f"{'ok  ' if not found else 'FAIL'} {name}" + (f": {len(found)}" if found else "")
        )
        lines += [f"       {words[:400]}" for words in found[:SHOWN]]
    return lines


def gaps_between(samples: Sequence[Sample]) -> float:
    """Return the longest time without a sample: a machine that slept makes figures worthless."""
    return max((b.at - a.at for a, b in pairwise(samples)), default=0.0)
