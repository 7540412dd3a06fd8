"""/health for machines that watch the desk, and /metrics for Prometheus; no secrets in either.

What is wrong tells of orders, baskets and accounts: where a password is set, /health answers
whoever has not logged in with no more than how things are.
"""

from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from dashboard.health_sentence import blindness, rows, troubles
from dashboard.login import Door
from dashboard.metrics import DeskCollector
from trading.desk import Desk
from trading.health import ComponentHealth, Incident
from trading.ports import FeedStats

NO_STORE: Final = {"Cache-Control": "no-store"}


def install(app: FastAPI, desk: Desk, door: Door | None, *, tabs: Callable[[], int]) -> None:
    registry = CollectorRegistry()  # of this desk alone: a second one in a process is no clash
    registry.register(DeskCollector(desk, tabs))

    @app.get("/health", include_in_schema=False)
    def health_endpoint(request: Request) -> Response:
        known = door is None or door.knows(request.headers.get("cookie"))
        body = report(desk) if known else outline(desk)
        code = 200 if body["status"] in ("ok", "degraded") else 503
        return JSONResponse(body, status_code=code, headers=NO_STORE)

    @app.get("/metrics", include_in_schema=False)
    def metrics_endpoint() -> Response:
        text = generate_latest(registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST, headers=NO_STORE)


def status(desk: Desk) -> str:
    """Return ok, degraded, starting, failed or stopping."""
    if desk.progress.stage != "ready":
        return desk.progress.stage
    return "degraded" if troubles(desk) else "ok"


def report(desk: Desk) -> dict[str, Any]:
    storage = desk.journal.stats()
    return {
        "status": status(desk),
        "troubles": troubles(desk),
        "mode": desk.world.word,
        "is_mock": desk.world.is_mock,
        "feeds": [
            _feed(desk.feed.stats()),
            *(_feed(feed.stats()) for feed in desk.portfolio_feeds.values()),
        ],
        "storage": {
            "state": storage.state,
            "reason": storage.reason,
            "queued": storage.queued,
            "lag_seconds": storage.lag,
            "rows": storage.rows,
            "dropped": storage.dropped,
        },
        "watch": _watch(desk),
        "versions": dict(desk.versions),
        "started": desk.started.isoformat(),
        "time": desk.clock.now().isoformat(),
    }


def outline(desk: Desk) -> dict[str, Any]:
    """Return what anybody may know who can reach this desk: nothing of accounts or orders."""
    return {
        "status": status(desk),
        "trouble_count": len(troubles(desk)),
        "components": [
            {"component": str(each.component), "condition": str(each.condition)}
            for each in rows(desk)
        ],
    }


def _watch(desk: Desk) -> dict[str, Any]:
    """Return what the watch says; without one, that nobody looks for trouble."""
    told: dict[str, Any] = {"running": not blindness(desk), "reason": blindness(desk)}
    if desk.watch is None:
        return told
    watch = desk.watch.watch
    return told | {
        "age_seconds": watch.alive_age(),
        "components": [_component(each) for each in watch.components()],
        "incidents": [_incident(each) for each in watch.open_incidents()],
        "against_trading": [
            f"{check.name}: {check.words}"
            for check in watch.inputs()
            if check.grave and not check.good
        ],
    }


def _component(health: ComponentHealth) -> dict[str, Any]:
    return {
        "name": health.name,
        "condition": str(health.condition),
        "since": health.since.isoformat() if health.since else None,
        "words": health.words,
        "uptime_24h": health.uptimes.day,
    }


def _incident(incident: Incident) -> dict[str, Any]:
    return {
        "number": incident.number,
        "component": str(incident.component),
        "severity": incident.severity.name.lower(),
        "began": incident.began.isoformat(),
        "cause": incident.cause,
        "acknowledged": incident.acknowledged is not None,
    }


def _feed(stats: FeedStats) -> dict[str, Any]:
    return {
        "name": stats.feed,
        "state": str(stats.state),
        "since": stats.since.isoformat(),
        "reason": stats.reason,
        "is_mock": stats.is_mock,
        "frame_age_seconds": stats.frame_age,
        "tick_age_seconds": stats.tick_age,
        "ticks": stats.ticks,
        "reconnects": stats.reconnects,
        "dropped": stats.dropped,
    }
