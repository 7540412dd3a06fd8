"""A scheduled job that fails, or that does not come to an end."""

from collections.abc import Iterator

from alerts.sight import Sight
from alerts.words import duration
from trading.health import Component, Finding, JobHealth, Severity

HANGS = 120.0  # seconds; the longest job reads the list of all instruments


def check(sight: Sight) -> Iterator[Finding]:
    for job in sight.jobs:
        if job.running_for is not None and job.running_for > HANGS:
            yield _finding(job, f"job hangs: {job.name}, {duration(job.running_for)}")
        elif job.failing > 0:
            yield _finding(job, f"job fails: {job.name}, {job.error}")


def _finding(job: JobHealth, what: str) -> Finding:
    return Finding(
        rule="missed_jobs",
        component=Component.JOBS,
        severity=Severity.WARNING,
        what=what,
        meaning="What it keeps up to date is not kept up to date",
        act="Look at the log; if it stays so, restart the desk",
        about=job.name,
    )
