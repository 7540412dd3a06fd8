"""The last lines of the log that belong to one component, as text."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from nicegui import ui

from dashboard import format as fmt
from dashboard.sheet import Tone
from trading.health import Component, LogLine
from trading.health_ports import LogLines

SHOWN: Final = 20
EMPTY: Final = "Nothing was logged since the start."
CONNECTION: Final = "feeds.connection."  # followed by the name of the feed
PORTFOLIO: Final = f"{CONNECTION}portfolio-"
ROWS: Final = "feeds.upstox.portfolio_protocol."  # followed by the account
EVERY_FEED: Final = ("feeds.inbox", "feeds.stream")  # they do not know whose they are

# Whose a logger is: the longest name that it begins with. All others are the process's.
OWNERS: Final = {
    "feeds": Component.MARKET_FEED,
    "feeds.upstox.simulated_time": Component.CLOCK,
    "alerts.sleep": Component.CLOCK,
    "httpx": Component.REST,
    "httpcore": Component.REST,
    "feeds.upstox.rest": Component.REST,
    "trading.accounts": Component.REST,
    "trading.bands": Component.REST,
    "trading.marks": Component.REST,
    "trading.basket_book": Component.BOOKS,
    "trading.batch": Component.BOOKS,
    "trading.closing": Component.BOOKS,
    "trading.cycle": Component.BOOKS,
    "trading.order_book": Component.BOOKS,
    "trading.orders": Component.BOOKS,
    "trading.paper": Component.BOOKS,
    "trading.paper_writer": Component.BOOKS,
    "trading.positions": Component.BOOKS,
    "trading.unwinding": Component.BOOKS,
    "alerts.recovery": Component.RECOVERY,
    "alerts.gap_filling": Component.RECOVERY,
    "storage": Component.STORAGE,
    "sqlalchemy": Component.STORAGE,
    "alembic": Component.STORAGE,
    "apscheduler": Component.JOBS,
    "telegram": Component.PHONE,
    "alerts.bot": Component.PHONE,
    "alerts.phone": Component.PHONE,
    "alerts.channels.telegram": Component.PHONE,
    "alerts.channels": Component.CHANNELS,
    "alerts.dispatcher": Component.CHANNELS,
    "alerts.heartbeat": Component.CHANNELS,
    "alerts.telling": Component.CHANNELS,
}
LEVELS: Final = (
    (logging.ERROR, "✖ error", Tone.BAD),
    (logging.WARNING, "! warning", Tone.WARN),
    (logging.INFO, "i info", Tone.NONE),
    (logging.NOTSET, "· debug", Tone.MUTED),
)


def belongs(logger: str, component: Component, about: str) -> bool:
    """Return whether a logger's lines are about this component; `about` is a stream's account."""
    if logger in EVERY_FEED:
        return component in (Component.MARKET_FEED, Component.PORTFOLIO)
    for prefix in (PORTFOLIO, ROWS):
        if logger.startswith(prefix):
            account = logger.removeprefix(prefix)
            return component is Component.PORTFOLIO and about == account
    return component is _owner(logger)


def _owner(logger: str) -> Component:
    name = logger
    while name:
        if name in OWNERS:
            return OWNERS[name]
        name = name.rpartition(".")[0]
    return Component.PROCESS


def last_of(lines: Sequence[LogLine], component: Component, about: str) -> list[LogLine]:
    """Return the last lines about a component, oldest first."""
    return [line for line in lines if belongs(line.logger, component, about)][-SHOWN:]


def level(number: int) -> tuple[str, Tone]:
    """Return a level as glyph and word, with the tone that says the same."""
    return next((word, tone) for least, word, tone in LEVELS if number >= least)


class LogTail:
    """Shows the last lines, drawn again when there is another."""

    def __init__(self, log: LogLines, component: Component, about: str, name: str) -> None:
        self._log, self._component, self._about = log, component, about
        self._shown: list[LogLine] | None = None
        with ui.element("section").classes("h-log").props('aria-label="log"').mark(f"log-{name}"):
            ui.label(f"Log, last {SHOWN} lines").classes("h-sub")
            self._body = ui.element("ol").classes("h-log-lines")
            self._empty = ui.label(EMPTY).classes("v-note").mark(f"log-empty-{name}")

    def show(self, now: datetime) -> None:
        found = last_of(self._log.lines(), self._component, self._about)
        if found == self._shown:
            return
        self._shown = found
        self._empty.set_visibility(not found)
        self._body.set_visibility(bool(found))
        self._body.clear()
        with self._body:
            for line in found:
                _draw(line, now)


def _draw(line: LogLine, now: datetime) -> None:
    word, tone = level(line.level)
    with ui.element("li").classes("h-log-line").mark("log-line"):
        ui.label(fmt.moment(line.at, now)).classes("n h-log-at")
        ui.label(word).classes("h-log-level")._props["data-tone"] = int(tone)
        ui.label(line.logger).classes("h-log-name")
        ui.label(line.text).classes("h-log-text")
