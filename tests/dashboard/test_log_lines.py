"""Which component a line of the log belongs to, and how it is written."""

import ast
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dashboard.log_lines import OWNERS, SHOWN, belongs, last_of, level
from trading.health import Component, LogLine

ROOT = Path(__file__).parents[2]
ROOMS = ("alerts", "dashboard", "feeds", "storage", "trading", "simulator")
AT = datetime(2025, 11, 26, 5, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("logger", "component"),
    [
        ("feeds.connection.market", Component.MARKET_FEED),
        ("feeds.upstox.market_feed", Component.MARKET_FEED),
        ("storage.writer", Component.STORAGE),
        ("storage.order_journal", Component.STORAGE),
        ("alembic.runtime.migration", Component.STORAGE),
        ("alerts.channels.telegram", Component.PHONE),
        ("alerts.bot.polling", Component.PHONE),
        ("telegram.ext.Updater", Component.PHONE),
        ("alerts.channels.email", Component.CHANNELS),
        ("alerts.dispatcher", Component.CHANNELS),
        ("apscheduler.executors.default", Component.JOBS),
        ("trading.cycle", Component.BOOKS),
        ("trading.orders", Component.BOOKS),
        ("alerts.recovery", Component.RECOVERY),
        ("alerts.sleep", Component.CLOCK),
        ("httpx", Component.REST),
        ("trading.order_bookkeeping", Component.PROCESS),  # no name of ours is a part of another
        ("vigil", Component.PROCESS),
        ("nicegui", Component.PROCESS),
        ("alerts.monitor", Component.PROCESS),
        ("root", Component.PROCESS),
    ],
)
def test_a_line_belongs_to_one_component(logger: str, component: Component) -> None:
    assert [each for each in Component if belongs(logger, each, "")] == [component]


def test_a_stream_has_the_lines_of_its_own_account() -> None:
    for logger in ("feeds.connection.portfolio-main", "feeds.upstox.portfolio_protocol.main"):
        assert belongs(logger, Component.PORTFOLIO, "main")
        assert not belongs(logger, Component.PORTFOLIO, "second")
        assert not belongs(logger, Component.PORTFOLIO, "mai")
        assert not belongs(logger, Component.MARKET_FEED, "")


def test_what_does_not_know_its_feed_stands_with_each() -> None:
    assert belongs("feeds.inbox", Component.MARKET_FEED, "")
    assert belongs("feeds.inbox", Component.PORTFOLIO, "second")
    assert not belongs("feeds.inbox", Component.STORAGE, "")


@pytest.mark.parametrize("name", [n for n in OWNERS if n.split(".")[0] in ROOMS])
def test_each_name_of_ours_is_there(name: str) -> None:
    """A file that was renamed would lose its lines to the process."""
    path = ROOT.joinpath(*name.split("."))
    assert path.is_dir() or path.with_suffix(".py").is_file()


def test_no_two_files_log_under_a_name_that_is_not_their_own() -> None:
    """The map goes by the names of files."""
    for path in (p for room in ROOMS for p in ROOT.joinpath(room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "getLogger":
                said = ast.unparse(node.args[0])
                assert said.startswith(("__name__", "f'{__name__}.", "name")), f"{path}: {said}"


def test_the_last_twenty_are_told_newest_last() -> None:
    lines = [LogLine(AT, logging.INFO, "storage.writer", f"batch {n}") for n in range(30)]
    others = [LogLine(AT, logging.INFO, "vigil", "x")] * 40

    found = last_of([*lines, *others], Component.STORAGE, "")

    assert [line.text for line in found] == [f"batch {n}" for n in range(30 - SHOWN, 30)]


def test_a_level_is_a_glyph_and_a_word() -> None:
    numbers = (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG, 1)
    assert [level(number)[0] for number in numbers] == [
        "✖ error", "✖ error", "! warning", "i info", "· debug", "· debug",
    ]  # fmt: skip
