"""Builds the desk out of its parts, starts them in order, and stops them backwards."""

import argparse
import asyncio
import gc
import logging
import os
import resource
import shutil
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from nicegui import app, ui

from alerts import heartbeat, logs
from alerts.bot.bot import Bot
from alerts.bot.guests import Guests
from alerts.bot.wire import Wire, call_out, connect
from alerts.channels import email, telegram
from alerts.channels import webhook as outgoing
from alerts.checklist import SEGMENTS, Checklist
from alerts.dispatcher import Dispatcher
from alerts.drills import FireDrills, Scene, no_login
from alerts.gap_filling import GapFilling
from alerts.incidents import IncidentBook
from alerts.jobs import JobBook
from alerts.latency import LatencyBook
from alerts.minutes import MinuteBook
from alerts.monitor import Monitor
from alerts.order_news import OrderNewsTeller
from alerts.pairing import Pairing
from alerts.phone import SimulatedPhone
from alerts.pnl_levels import PnlLevels
from alerts.recovery import Recovery
from alerts.routing import Routing, Way, quiet_hours
from alerts.sight import Lookout, Sources
from alerts.sleep import SleepWatch, follow_clock
from alerts.telling import Draft, Teller
from alerts.vitals import LoopVitals
from alerts.watchdog import Watchdog
from alerts.watching import WatchDesk
from alerts.wording import trial
from alerts.words import glyph
from dashboard.app import register
from dashboard.guard import Security
from feeds.connection import Timing
from feeds.upstox.broker import UpstoxBroker
from feeds.upstox.history import UpstoxHistory
from feeds.upstox.hours import calendar, unusual
from feeds.upstox.instruments import Master
from feeds.upstox.market_feed import UpstoxMarketFeed
from feeds.upstox.portfolio_feed import UpstoxPortfolioFeed
from feeds.upstox.quotes import UpstoxQuotes
from feeds.upstox.rest import UpstoxRest
from feeds.upstox.simulated_faults import SimulatedFaults
from feeds.upstox.simulated_time import SimulatorTime
from feeds.upstox.token import FileToken, TokenStore
from feeds.upstox.token import ends as token_ends
from settings import AccountSettings, Settings, is_loopback, load_settings
from simulator.build import Options, create_exchange, parse_start
from simulator.customer import SignedInDaily
from simulator.server import SimulatedExchange
from simulator.telegram_chat import OWNER, TOKEN
from simulator.tokens import USER
from storage.alert_journal import DatabaseAlertJournal
from storage.batch_journal import DatabaseBatchJournal
from storage.catalogue import InstrumentCatalogue
from storage.database import open_database
from storage.drills import DatabaseDrillJournal
from storage.filled_candles import FilledCandles
from storage.folder import DataFolder, own_secret
from storage.gaps import DatabaseGapLedger, Fact, keep_fact
from storage.journal import DatabaseJournal
from storage.latch import KeptWord, LiveDay, Word
from storage.moments import to_ms
from storage.order_journal import DatabaseOrderJournal
from storage.paper_ledger import DatabasePaperLedger
from storage.people import DatabasePeople
from storage.pnl import DatabasePnlJournal
from storage.recorder import Recorder
from storage.retention import Retention
from storage.uptime import DatabaseUptimeJournal
from storage.writer import Writer
from trading.accounts import Accounts
from trading.bands import Bands
from trading.basket import OnFilled
from trading.batch import Baskets
from trading.broker import Broker
from trading.candles import CandleBuilder
from trading.checks import Limits
from trading.clock import Clock, ExchangeTime, SystemClock
from trading.closing import Closing
from trading.cycle import MonitoringCycle, Rhythm
from trading.desk import Desk, World
from trading.equity import EVERY, PnlCurve
from trading.errors import CannotStart, VigilError
from trading.exiting import covered_by
from trading.health import Alert, ChannelHealth, Severity, Thresholds
from trading.health_ports import Channel, Person, Watchroom
from trading.hours import IST, Phase, SpecialSession, TradingHours
from trading.latch import LiveLatch
from trading.market_data import MarketDataService
from trading.marks import Marks
from trading.model import Mode, segment_of
from trading.order import Account, AccountState, OrderFills, OrderRequest
from trading.orders import Gate, OrderManager, Patience, in_session, on_a_sound_disk
from trading.paper import PaperBroker, PaperRules
from trading.ports import FeedChange, FeedState
from trading.positions import PositionBook
from trading.session import SessionWatch
from trading.signal import Priority
from trading.subscriptions import SubscriptionBook
from trading.unwinding import Pace
from trading.watch import PositionWatch

log = logging.getLogger("vigil")

HERE: Final = Path(__file__).parent
CANARIES: Final = ("NSE_INDEX|Nifty 50", "NSE_INDEX|Nifty Bank")
LIBRARIES: Final = ("nicegui", "sqlmodel", "apscheduler", "websocket-client", "protobuf")
SHUTDOWN: Final = 2.0  # seconds for what waits for a broker; the disk has what it needs to go on
OPEN_FILES: Final = 8_192  # programs may hold 1,200 sockets, and some systems begin with 256
ACCOUNTS_AFTER: Final = 1.0  # seconds after a fill, or a new token
HOURS_EVERY: Final = 10  # minutes
TIDY: Final = 30.0  # seconds
CALENDAR_DAYS: Final = 8  # of the broker's timings, today included


def main() -> None:
    """Refuse in one line before anything is half started, else run until told to stop."""
    try:
        settings = load_settings(_arguments().settings)
        log_book = prepare_process(settings)
        vigil = Vigil(settings, log_book)
    except CannotStart as error:
        sys.exit(f"vigil cannot start: {error}")
    try:
        serve(vigil, settings)
    except KeyboardInterrupt:
        log.info("stopped by Ctrl-C")
    finally:
        if not under_test():  # there ui.run returns at once and the test's app goes on
            vigil.stop()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="main.py", description="Vigil, a trading desk")
    parser.add_argument("--settings", type=Path, default=HERE / "settings.toml", metavar="FILE")
    return parser.parse_args([] if under_test() else None)


def serve(vigil: "Vigil", settings: Settings) -> None:
    """Show the desk's pages until somebody stops the process."""
    app.state.vigil = vigil  # the way tests reach it
    webhook = settings.storage.directory / "webhook_secret"
    register(
        vigil.desk,
        _security(settings),
        webhook_secret=own_secret(webhook) if settings.orders.webhook else "",
    )
    app.on_startup(vigil.start)
    app.on_shutdown(vigil.shutdown)
    ui.run(
        host=settings.server.host,
        port=settings.server.port,
        reload=False,
        show=settings.server.open_browser,
        title="Vigil",
        dark=True,
        show_welcome_message=False,
        timeout_graceful_shutdown=2,  # else an open request keeps a stop waiting for ever
        message_history_length=200,
        tailwind=False,  # its compiler in the browser costs more than our few styles
        binding_refresh_interval=None,  # live numbers travel as patches, nothing is bound
        log_config=None,  # else the server prints past the redactor and the pages' last lines
        ws_per_message_deflate=False,  # three tabs with 1,000 cells: 3 % of a core for loopback
    )


def _security(settings: Settings) -> Security:
    server = settings.server
    hosts = (*server.allowed_hosts, "test") if under_test() else server.allowed_hosts
    return Security(
        port=server.port,
        allowed_hosts=hosts,
        password=server.password.get_secret_value() or None,
        secret=own_secret(settings.storage.directory / "session_secret"),
        api_token=own_secret(settings.storage.directory / "api_token"),
    )


def under_test() -> bool:
    return "NICEGUI_USER_SIMULATION" in os.environ


def prepare_process(settings: Settings) -> logs.LogBook:
    known = [
        settings.upstox.token,
        settings.server.password,
        settings.telegram.token,
        settings.email.password,
        settings.webhook.secret,
    ]
    log_book = logs.prepare(settings.run.log_level, [secret.get_secret_value() for secret in known])
    sys.setswitchinterval(0.001)  # a frame of 2,000 instruments would hold the loop up for 7 ms
    gc.set_threshold(50_000, 20, 20)  # ticks are many and never in circles
    allow_open_files()
    if not under_test():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it again at the end
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # nohup wants us to go on
            signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    return log_book


async def collect_garbage() -> None:
    """Free what closed pages left: it lies in circles, 0.7 MB a page, and with thresholds for ticks
    the collector by itself would come round to it after more than a thousand pages.
    """
    gc.collect()


def allow_open_files() -> None:
    """Ask for room for every socket: a desk without a free one can neither read nor send."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def refuse_busy_port(host: str, port: int) -> None:
    """Find out now what uvicorn would only find out after every part has started."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CannotStart(
                f"{host}:{port} cannot be used: {error.strerror}. Stop what uses it, or set "
                "another port: VIGIL_SERVER__PORT"
            ) from None


def _once(
    declared: Sequence[SpecialSession], odd: Iterable[SpecialSession]
) -> list[SpecialSession]:
    """Join the sessions of two answers; a day that has its own name already keeps it."""
    named = {(session.day, session.segment) for session in declared}
    return [*declared, *(s for s in odd if (s.day, s.segment) not in named)]


def _tell_failure(task: asyncio.Task[None]) -> None:
    """Log why a task ended that should not: nobody waits for it, so nobody would ever hear."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a part of the desk failed", exc_info=error)


class Vigil:
    """The running desk. Each part that is built or started pushes its own undo."""

    desk: Desk

    def __init__(self, settings: Settings, log_book: logs.LogBook | None = None) -> None:
        self._settings = settings
        self.log_book = log_book
        self._accounts_soon: asyncio.TimerHandle | None = None
        self._accounts_check: asyncio.Task[None] | None = None
        self._undo = ExitStack()
        self.simulator_time: SimulatorTime | None = None  # of one in another process
        try:
            self._build()
        except BaseException:
            self.stop()
            raise

    def undo(self, undo: Callable[[], object]) -> None:
        """Have this called when the desk stops, before what was there already is stopped."""
        self._undo.callback(undo)

    def stop(self) -> None:
        """Unwind whatever was started; safe from any stage of the start, and when called twice."""
        try:
            self._undo.close()
        except Exception:
            log.exception("a part did not stop cleanly; the others did")

    async def shutdown(self) -> None:
        """Let what is under way come to its next commit, then stop; never longer than that."""
        self.desk.progress.stage = "stopping"
        papers = (paper.stop() for paper in self.papers.values())
        dealing = (self.baskets.stop(), self.cycle.stop(), self.orders.stop(), *papers)
        parts = (*dealing, self.watchers.stop())
        with suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN):
                await asyncio.gather(*parts, return_exceptions=True)
        self.stop()

    # building

    def _build(self) -> None:
        settings = self._settings
        folder = DataFolder(settings.storage.directory)
        self._undo.callback(folder.release)
        if not under_test():
            refuse_busy_port(settings.server.host, settings.server.port)
        self.exchange = self._simulated_exchange(folder.path)
        self.world = self._world()
        self.clock = self._clock()
        if self.log_book is not None:
            self.log_book.follow(self.clock.now)
        self._build_storage(folder.path)
        self._build_core()
        self._build_accounts(folder.path)
        self._build_feed()
        self._build_dealing()
        self._connect()
        self.watchers = Watchers(self, settings)
        self.desk = replace(self.desk, watch=self.watchers.room)

    def _simulated_exchange(self, folder: Path) -> SimulatedExchange | None:
        if self._settings.run.exchange != "simulated":
            return None
        simulator = self._settings.simulator
        world = "replay" if simulator.replay else "simulated"  # whose accounts must never mix
        try:
            exchange = create_exchange(
                Options(
                    port=simulator.port,
                    seed=simulator.seed,
                    instruments=simulator.instruments,
                    rate=simulator.rate,
                    start=parse_start(simulator.start) if simulator.start else None,
                    speed=simulator.speed,
                    replay=simulator.replay,
                    chain=simulator.chain or None,
                    memory=folder / f"{world}_exchange.jsonl",
                    opening=simulator.opening,
                )
            )
        except ValueError as error:
            raise CannotStart(f"simulated exchange: {error}") from None
        try:
            exchange.start()
        except OSError as error:
            raise CannotStart(
                f"simulated exchange: 127.0.0.1:{simulator.port} cannot be used: {error.strerror}. "
                "Stop what uses it, or set another port: VIGIL_SIMULATOR__PORT"
            ) from None
        self._undo.callback(exchange.stop)
        return exchange

    def _world(self) -> World:
        run, simulator = self._settings.run, self._settings.simulator
        if run.exchange == "upstox":
            # nothing on this machine is the real broker, whatever the setting says
            local = is_loopback(urlsplit(self._settings.upstox.base_url).hostname or "")
            return World("simulated" if local else "upstox", run.execution)
        return World("replay" if simulator.replay else "simulated", run.execution)

    def _clock(self) -> Clock:
        if self.exchange:
            time = self.exchange.clock
            return ExchangeTime(time.now, lambda: time.speed)
        if self.world.is_mock:
            self.simulator_time = SimulatorTime(self._settings.upstox.base_url)
            self.simulator_time.ask()
            return ExchangeTime(self.simulator_time.now, self.simulator_time.speed)
        return SystemClock()

    def _build_storage(self, folder: Path) -> None:
        # A file for each world: a simulated day's calendar must never be taken for a real one's.
        self.database = open_database(folder / f"{self.world.exchange}.db")
        self._undo.callback(self.database.close)
        self.writer = Writer(self.database, capacity=self._settings.storage.queue_rows)
        self._undo.callback(self.writer.stop)
        self.catalogue = InstrumentCatalogue(self.database, self.writer, is_mock=self.world.is_mock)
        self._undo.callback(self.catalogue.close)
        self.journal = DatabaseJournal(self.database, self.writer, is_mock=self.world.is_mock)
        self._undo.callback(self.journal.close)

    def _build_core(self) -> None:
        self.market_data = MarketDataService(self.clock)
        self.subscriptions = SubscriptionBook()
        self.candles = CandleBuilder()
        self.hours = TradingHours(self.journal.hours_now())
        self.vitals = LoopVitals()

    def _build_accounts(self, folder: Path) -> None:
        """Make each account's token and its way to the broker."""
        mock = self.world.is_mock or self.world.execution == "paper"
        given = self._settings.accounts
        self.accounts_set = tuple(Account(a.id, a.name, a.primary, mock) for a in given)
        self.tokens = {a.id: self._token(folder, a) for a in given}
        self.rests = {a.id: self._rest(self.tokens[a.id]) for a in given}
        self.primary = next(a.id for a in given if a.primary)
        self.rest = self.rests[self.primary]

    def _rest(self, token: TokenStore) -> UpstoxRest:
        upstox = self._settings.upstox
        base = self.exchange.base_url if self.exchange else upstox.base_url
        assets = self.exchange.base_url if self.exchange else upstox.assets_url
        orders = base if self.world.is_mock else upstox.order_url
        try:
            return UpstoxRest(
                base, token, assets_url=assets, hft_url=orders, is_mock=self.world.is_mock
            )
        except ValueError as error:
            raise CannotStart(f"settings: [upstox]: {error}") from None

    def _token(self, folder: Path, account: AccountSettings) -> TokenStore:
        if self.exchange:
            user = USER if account.primary else f"SIM-{account.id.upper()}"
            return SignedInDaily(self.exchange.tokens, user)
        given = self._settings.upstox.token.get_secret_value() if account.primary else ""
        return FileToken(folder / account.token_file, given=given)

    def _build_feed(self) -> None:
        self.feed = UpstoxMarketFeed(
            self.rest,
            self.tokens[self.primary],
            self.clock,
            deliver=self.market_data.publish,
            is_mock=self.world.is_mock,
            timing=self._timing(),
        )

    def _timing(self) -> Timing:
        feed = self._settings.feed
        return Timing(
            handshake=feed.handshake_seconds,
            ping_after=feed.ping_seconds,
            ping_wait=feed.ping_timeout,
            stall=feed.stall_seconds,
            snapshot=feed.snapshot_seconds,
            backoff_open=feed.backoff_open,
            backoff_closed=feed.backoff_closed,
            contested=feed.contested_seconds,
        )

    def _build_dealing(self) -> None:
        """Make what holds positions and sends orders."""
        quotes = UpstoxQuotes(self.rest)
        self.marks = Marks(
            clock=self.clock,
            market_data=self.market_data,
            source=quotes,
            is_open=self.hours.is_open,
        )
        self.brokers = self._brokers(quotes)
        self.latch = LiveLatch(
            self.clock, self._kept_date(), is_real=lambda account: not self._mock[account]
        )
        self.accounts = Accounts(
            self.accounts_set,
            clock=self.clock,
            brokers=self.brokers,
            sign_in={name: self._sign_in(rest) for name, rest in self.rests.items()},
            latch=self.latch,
        )
        self.positions = PositionBook(self.accounts_set, clock=self.clock, marks=self.marks)
        self._build_orders(Bands(self.clock, quotes))
        self._build_books()

    @property
    def _mock(self) -> dict[str, bool]:
        return {account.id: account.is_mock for account in self.accounts_set}

    @property
    def _is_real(self) -> bool:
        return not all(self._mock.values())

    def _brokers(self, quotes: UpstoxQuotes) -> dict[str, Broker]:
        """Make the object that executes for each account; with a stream where there is one."""
        self.portfolio_feeds: dict[str, UpstoxPortfolioFeed] = {}
        self.papers: dict[str, PaperBroker] = {}
        self.paper_marks: Marks | None = None
        if self.world.execution == "paper":
            self.papers = self._paper_brokers(quotes)
            return dict(self.papers)
        self.portfolio_feeds = {
            account: UpstoxPortfolioFeed(
                rest, self.tokens[account], self.clock, account=account, timing=self._timing()
            )
            for account, rest in self.rests.items()
        }
        return {
            account: UpstoxBroker(self.rests[account], feed, account)
            for account, feed in self.portfolio_feeds.items()
        }

    def _paper_brokers(self, quotes: UpstoxQuotes) -> dict[str, PaperBroker]:
        paper = self._settings.paper
        ledger = DatabasePaperLedger(self.database, self.writer, world=self.books_world)
        self._undo.callback(ledger.close)
        rules = PaperRules(
            cash=round(paper.cash * 100),
            ticks=paper.prices == "websocket",
            square_off=timedelta(minutes=paper.square_off_minutes),
        )
        self.paper_marks = self._paper_marks(quotes)
        return {
            account: PaperBroker(
                account,
                clock=self.clock,
                hours=self.hours,
                ledger=ledger,
                market_data=self.market_data,
                marks=self.paper_marks,
                instrument=self.catalogue.get,
                rules=rules,
            )
            for account in self.rests
        }

    def _paper_marks(self, quotes: UpstoxQuotes) -> Marks | None:
        """Return who asks for quotes on behalf of paper orders, if anybody shall.

        Where fills come from quotes alone, its marks know no ticks, so everything is asked for.
        """
        paper = self._settings.paper
        if paper.prices == "websocket":
            return self.marks if paper.fallback else None
        return Marks(
            clock=self.clock,
            market_data=MarketDataService(self.clock),
            source=quotes,
            is_open=self.hours.is_open,
        )

    def _sign_in(self, rest: UpstoxRest) -> Callable[[], Awaitable[str]]:
        async def user() -> str:
            return (await rest.profile()).user_id

        return user

    def _kept_date(self) -> LiveDay:
        word = KeptWord(
            self.database,
            self.writer,
            Word.LIVE,
            world=self.books_world,
            is_mock=self.world.is_mock,
        )
        self._undo.callback(word.close)
        return LiveDay(word)

    @property
    def books_world(self) -> str:
        """Whose orders these are: those of another world must never be taken for them."""
        return f"{self.world.exchange} {self.world.execution}"

    def _build_orders(self, bands: Bands) -> None:
        settings = self._settings.orders
        self.order_journal = DatabaseOrderJournal(
            self.database, self.writer, world=self.books_world, durable=self._is_real
        )
        self._undo.callback(self.order_journal.close)
        # what is working is known only once there is somebody to know it
        gate = Gate(
            is_exit=covered_by(self.positions, lambda account: self.orders.working(account))
        )
        self.orders = OrderManager(
            clock=self.clock,
            brokers=self.brokers,
            journal=self.order_journal,
            mock=self._mock,
            instrument=self.catalogue.get,
            ltp=self._believed_price,
            band=bands.of,
            gate=gate,
            limits=Limits(settings.value_limit, settings.collar_percent),
            most_a_second=settings.per_second,
            patience=Patience(settings.doubt_first_seconds, settings.doubt_every_seconds),
        )
        self.cycle = MonitoringCycle(
            clock=self.clock,
            orders=self.orders,
            exposure=self.positions,
            accounts=[account.id for account in self.accounts_set],
            feeds=self.portfolio_feeds,
            rhythm=Rhythm(settings.read_working_seconds, settings.read_open_seconds),
        )
        gate.add(self._at_work, exits_too=True)
        gate.add(self.latch.reason, exits_too=True)
        gate.add(self.orders.too_fast, exits_too=True)
        gate.add(in_session(self.hours, self.clock), exits_too=True)
        gate.add(self.cycle.reason)
        gate.add(lambda request: self.watchers.sleep.reason(request))
        gate.add(on_a_sound_disk(self.journal.stats))

    def _at_work(self, _: OrderRequest) -> str:
        """A rule for the gate: a desk whose start failed does not know what it has sent."""
        progress = self.desk.progress
        if progress.stage == "ready":
            return ""
        because = f", {progress.reason}" if progress.reason else ""
        return f"the desk is not at work ({progress.stage}{because})"

    def _believed_price(self, instrument_key: str) -> float | None:
        mark = self.marks.of(instrument_key)
        return None if mark is None else mark.price

    def _build_books(self) -> None:
        """Make the baskets and the day's curve, and join orders to positions and prices."""
        batches = DatabaseBatchJournal(
            self.database, self.writer, world=self.books_world, durable=self._is_real
        )
        self._undo.callback(batches.close)
        self.pnl = DatabasePnlJournal(self.database, self.writer, world=self.books_world)
        self._undo.callback(self.pnl.close)
        self.baskets = Baskets(
            clock=self.clock,
            orders=self.orders,
            brokers=self.brokers,
            journal=batches,
            instrument=self.catalogue.get,
            quote=self.marks.of,
            mock=self._mock,
            on_filled=OnFilled.ASK if self._is_real else OnFilled.REVERSE,
            pace=Pace(settle=self._settings.orders.settle_seconds),
        )
        self.curve = PnlCurve(
            self.accounts_set,
            clock=self.clock,
            positions=self.positions,
            journal=self.pnl,
            is_open=self.hours.is_open,
        )
        self.position_watch = PositionWatch(
            subscriptions=self.subscriptions,
            marks=self.marks,
            positions=self.positions,
            working=self.orders.working,
        )
        self._join_books()

    def _join_books(self) -> None:
        self.orders.filled.subscribe(self.positions.on_fills, priority=Priority.HIGH)
        self.orders.filled.subscribe(self._on_fills)
        self.orders.reconciled.subscribe(self.positions.on_read, priority=Priority.HIGH)
        self.orders.read_failed.subscribe(self.positions.on_read_failed, priority=Priority.HIGH)
        for broker in self.brokers.values():
            broker.position_updates.subscribe(self.positions.on_told)
        self.market_data.ticks.subscribe(self.positions.on_ticks, priority=Priority.HIGH)
        self.marks.polled.subscribe(self.positions.on_polled, priority=Priority.HIGH)
        self.positions.changes.subscribe(self.position_watch.on_position)
        self.orders.changes.subscribe(self.position_watch.on_order)
        self.accounts.changes.subscribe(self._on_account)

    def _connect(self) -> None:
        """Join the parts: ticks to candles and disk, wishes to the feed."""
        self.desk = Desk(
            world=self.world,
            clock=self.clock,
            market_data=self.market_data,
            subscriptions=self.subscriptions,
            hours=self.hours,
            candles=self.candles,
            feed=self.feed,
            journal=self.journal,
            catalogue=self.catalogue,
            vitals=self.vitals,
            accounts=self.accounts,
            orders=self.orders,
            closing=Closing(self.orders, self.positions),
            positions=self.positions,
            marks=self.marks,
            baskets=self.baskets,
            cycle=self.cycle,
            portfolio_feeds=self.portfolio_feeds,
            pnl=self.pnl,
            started=self.clock.now(),
            versions={name: version(name) for name in LIBRARIES},
            canaries=CANARIES,
            first_watchlist=self._first_watchlist(),
        )
        self.watch = SessionWatch(
            clock=self.clock,
            hours=self.hours,
            subscriptions=self.subscriptions,
            feed=self.feed,
            candles=self.candles,
        )
        self.market_data.ticks.subscribe(self.candles.add)
        self.market_data.late.subscribe(self.candles.add)
        self.feed.changes.subscribe(self._on_feed)
        self.feed.changes.subscribe(self._on_connection)
        for stream in self.portfolio_feeds.values():
            stream.changes.subscribe(self._on_connection)
        self.feed.changes.subscribe(self.watch.on_change)
        self.recorder = Recorder(self.writer, self.clock, is_mock=self.world.is_mock)
        self.recorder.follow(self.market_data, self.candles, self.feed)
        self.subscriptions.changes.subscribe(lambda w: self.feed.want(w.modes, w.deep))
        self.subscriptions.hold("header", CANARIES, Mode.FULL)

    def _first_watchlist(self) -> tuple[str, ...]:
        """Return what a new desk shows; a replay knows only what was recorded."""
        replays = self.world.exchange == "replay"
        return CANARIES if replays else self._settings.run.first_watchlist

    # running

    async def start(self) -> None:
        """Start what needs the loop; whatever fails is shown on the page and by /health."""
        progress = self.desk.progress
        try:
            self.keep_running(self.vitals.run())
            await self.watchers.load()
            self.watchers.open_ways()  # a start that fails is told, too
            await self.orders.start()  # before any broker can tell of an order
            for paper in self.papers.values():
                await paper.start()
            await self.baskets.resume()
            self._start_feeds()
            self._schedule()
            self.watchers.start(self.scheduler)
            self.keep_running(self._first_look())
            progress.stage = "ready"
        except Exception:
            progress.stage, progress.reason = "failed", "see the log"
            log.exception("the desk could not start")
            self.watchers.monitor.wake()  # it is to be told, though no job runs
        gc.freeze()  # what is here now stays: no need to look at it again and again

    def _start_feeds(self) -> None:
        self._undo.callback(self._stop_checking)  # once they have stopped: till then fills come
        self.feed.start()
        self._undo.callback(self._stop_feed)
        for feed in self.portfolio_feeds.values():
            feed.start()
            self._undo.callback(feed.stop)

    def _on_fills(self, _: OrderFills) -> None:
        """Ask soon what there is to spend now."""
        self._check_accounts_soon()

    def _on_connection(self, change: FeedChange) -> None:
        """Ask who is signed in when a feed is refused, and when it gets in again."""
        signed_out = any(state.signed_in is False for state in self.accounts.all())
        gets_in = signed_out and change.after is FeedState.OPEN
        if gets_in or change.after is FeedState.REFUSED:
            self._check_accounts_soon()

    def _check_accounts_soon(self) -> None:
        """Of many reasons within a second, once, after the last; fills come in bursts."""
        if self.desk.progress.stage == "ready":
            if self._accounts_soon is not None:
                self._accounts_soon.cancel()
            loop = asyncio.get_running_loop()
            self._accounts_soon = loop.call_later(ACCOUNTS_AFTER, self._check_accounts)

    def _check_accounts(self) -> None:
        if self._accounts_check is not None and not self._accounts_check.done():
            self._check_accounts_soon()  # a broker that answers slowly is not asked in a queue
            return
        self._accounts_check = asyncio.get_running_loop().create_task(self.accounts.check())
        self._accounts_check.add_done_callback(_tell_failure)

    def _stop_checking(self) -> None:
        for soon in (self._accounts_soon, self._accounts_check):
            if soon is not None:
                soon.cancel()

    def _on_account(self, state: AccountState) -> None:
        """Let no price pass for live that comes to an account which is signed out."""
        heard = self.feed.stats().state in (FeedState.OPEN, FeedState.LIVE, FeedState.STALLED)
        if state.account.primary and state.signed_in is False and heard:
            self.feed.reconnect(f"account {state.account.id} is not signed in: {state.reason}")

    def keep_running(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(_tell_failure)
        self._undo.callback(task.cancel)

    def _on_feed(self, change: FeedChange) -> None:
        """Follow an exchange of another process: a new connection may be to another time."""
        if self.simulator_time is not None and change.after is FeedState.OPEN:
            self._follower = asyncio.get_running_loop().create_task(
                self._follow(self.simulator_time)
            )
            self._follower.add_done_callback(_tell_failure)

    async def _follow(self, simulator_time: SimulatorTime) -> None:
        await asyncio.to_thread(simulator_time.ask)
        # by the time before, minutes would be partial or whole that are not
        self.candles.broken(int(self.clock.now().timestamp() * 1000))

    def _stop_feed(self) -> None:
        self.desk.progress.stage = "stopping"
        self.feed.stop()  # delivers what it holds
        self.candles.flush()

    def _schedule(self) -> None:
        """Every job is `async def` and never dropped for lateness (APScheduler's default is)."""
        scheduler = AsyncIOScheduler(
            timezone=IST,
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        add = scheduler.add_job
        now = datetime.now(UTC)
        add(self.watch.look, "interval", seconds=1, id="session watch")
        add(self.cycle.look, "interval", seconds=1, id="books")
        add(self.marks.poll, "interval", seconds=1, id="quotes")
        add(self.positions.look, "interval", seconds=1, id="positions")
        for account, paper in self.papers.items():
            add(paper.look, "interval", seconds=1, id=f"paper account {account}")
        if self.papers and self.paper_marks not in (None, self.marks):
            add(self.paper_marks.poll, "interval", seconds=1, id="quotes for paper orders")
        add(self.curve.sample, "interval", seconds=EVERY, id="P&L curve")
        add(self.accounts.check, "interval", seconds=30, next_run_time=now, id="accounts")
        add(self.recorder.heartbeat, "interval", seconds=10, id="heartbeat")
        add(collect_garbage, "interval", seconds=TIDY, id="memory")
        add(self.refresh_instruments, "interval", hours=6, id="instruments")
        # a session may be extended while it runs: the word comes minutes before the old end
        add(self.refresh_hours, "interval", minutes=HOURS_EVERY, id="hours")
        add(
            Retention(
                self.writer,
                self.clock,
                self._settings.storage.keep_ticks_days,
                self._settings.storage.keep_candles_days,
            ).run,
            "interval",
            hours=1,
            id="retention",
        )
        scheduler.start()
        self.scheduler = scheduler
        self._undo.callback(self._stop_scheduler, asyncio.get_running_loop())

    def _stop_scheduler(self, loop: asyncio.AbstractEventLoop) -> None:
        if not loop.is_closed():  # as after a second Ctrl-C, which took the timers with it
            self.scheduler.shutdown(wait=False)

    async def _first_look(self) -> None:
        """Load the calendar and the instruments as soon as there is a broker to ask."""
        delay = 1.0
        while not (await self.refresh_hours() and await self.refresh_instruments()):
            await asyncio.sleep(delay)
            delay = min(60.0, delay * 2)

    async def refresh_hours(self) -> bool:
        """Take over the broker's holidays and odd days; without them our own tables stand."""
        try:
            declared = calendar(await self.rest.holidays())
            ours = TradingHours(await self.journal.hours_without_broker())
            today = self.clock.now().astimezone(IST).date()
            days = [today + timedelta(days=n) for n in range(CALENDAR_DAYS)]
            odd = [s for d in days for s in unusual(d, await self.rest.timings(d), ours)]
            await self.journal.keep_broker_hours(declared.holidays, _once(declared.specials, odd))
            self.hours.replace(await self.journal.hours())
        except VigilError as error:  # the disk's, too: a lock passes, and the next look succeeds
            log.warning("trading hours stay as they are: %s", error)
            return False
        return True

    async def refresh_instruments(self) -> bool:
        try:
            master = Master(await self.rest.instruments_master())
            await asyncio.to_thread(self.catalogue.replace, master)
        except VigilError as error:
            log.warning("instruments stay as they are: %s", error)
            return False
        log.info(
            "instruments: %d unknown types and %d bad rows left out", master.unknown, master.bad
        )
        return True


class Watchers:
    """What watches one desk, tells people of it and mends what it can: its parts, start and stop.

    The rules look at a desk without a watch; pages and the bot get one with `room`.
    """

    def __init__(self, vigil: Vigil, settings: Settings) -> None:
        self._vigil, self._settings, self._desk = vigil, settings, vigil.desk
        named = [field.name for field in fields(Thresholds)]
        self.limits = Thresholds(**{name: getattr(settings.watch, name) for name in named})
        self._keep()
        self._build_ways()
        self._build_watch()
        self._build_remedies()
        self._build_news()
        self._open_room()

    # building

    def _keep(self) -> None:
        """Make what the disk keeps of the watch."""
        vigil, mock = self._vigil, self._vigil.world.is_mock
        database, writer, world = vigil.database, vigil.writer, vigil.books_world
        self.journal = DatabaseAlertJournal(database, writer, world=world, is_mock=mock)
        self.uptime = DatabaseUptimeJournal(database, writer, world=world, is_mock=mock)
        self.drill_journal = DatabaseDrillJournal(database, writer, world=world, is_mock=mock)
        self.gaps = DatabaseGapLedger(database, writer, is_mock=mock)
        for kept in (self.journal, self.uptime, self.drill_journal, self.gaps):
            vigil.undo(kept.close)
        self.people = DatabasePeople(database, writer, is_mock=self._own_phone is not None)

    @property
    def _own_phone(self) -> str | None:
        """Return where the simulated phone is, None where a real one is used, or none at all."""
        given = self._settings.telegram.token.get_secret_value()
        return self._simulated_url if self._vigil.world.is_mock and not given else None

    @property
    def _simulated_url(self) -> str:
        exchange = self._vigil.exchange
        return exchange.base_url if exchange else self._settings.upstox.base_url

    def _build_ways(self) -> None:
        """Make the channels and who may use them."""
        clock, wire = self._desk.clock, self._wire()
        panel = self._own_phone and Person(OWNER, OWNER, "owner", "You", clock.now())
        given = self._settings.telegram
        self.wire = wire
        self.guests = Guests(
            self.people.all, owners=given.owners, watchers=given.watchers, panel=panel or None
        )
        found: list[Channel | None] = [
            telegram.create(telegram.TelegramWay(wire, self.guests.all)),
            email.create(self._mail()),
            outgoing.create(self._target()),
        ]
        channels = [channel for channel in found if channel is not None]
        self.routes = Routing(
            ways=tuple(self._way(channel.name) for channel in channels),
            quiet=quiet_hours(self._settings.quiet.hours, holidays=self._settings.quiet.holidays),
            has_session=self._has_session,
            trades=self._trades,
            storm=self._settings.quiet.storm,
        )
        self.teller = Teller(clock, self.journal, self.routes)
        self.dispatcher = Dispatcher(clock, self.journal, channels, self.teller)

    def _wire(self) -> Wire | None:
        given = self._settings.telegram
        if self._own_phone:
            return connect(TOKEN, self._own_phone)
        token = given.token.get_secret_value()
        return connect(token, given.api_url) if token else None

    def _mail(self) -> email.EmailServer:
        given, server = self._settings.email, self._settings.server
        return email.EmailServer(
            given.host,
            given.port,
            given.security,
            given.sender,
            given.to,
            user=given.user,
            password=given.password.get_secret_value(),
            home=f"http://{server.host}:{server.port}",
        )

    def _target(self) -> outgoing.WebhookTarget:
        given = self._settings.webhook
        return outgoing.WebhookTarget(given.url, given.secret.get_secret_value(), given.private)

    def _way(self, name: str) -> Way:
        least = {"e-mail": self._settings.email.least, "webhook": self._settings.webhook.least}
        return Way(name, Severity[least.get(name, "info").upper()], person=name != "webhook")

    def _has_session(self, day: date) -> bool:
        hours = self._desk.hours
        return any(
            session.phase is Phase.OPEN
            for segment in SEGMENTS
            for session in hours.sessions(segment, day)
        )

    def _trades(self, at: datetime) -> bool:
        """Return whether a market is open in which the trader looks, holds or dealt today."""
        desk = self._desk
        keys = {*desk.subscriptions.wanted().modes}
        keys |= {position.instrument_key for position in desk.positions.positions()}
        keys |= {order.request.instrument_key for order in desk.orders.orders()}
        return any(desk.hours.is_open(segment, at) for segment in set(map(segment_of, keys)))

    def _build_watch(self) -> None:
        desk, clock = self._desk, self._desk.clock
        self.minutes = MinuteBook(self.uptime)
        feed = self._vigil.feed
        self.latencies = LatencyBook(arrival=feed.arrival, decoding=feed.decoding)
        self.jobs = JobBook(clock)
        self.incidents = IncidentBook(clock, self.journal)
        sources = Sources(
            jobs=self.jobs.health,
            channels=self._channels,
            disk_free=self._disk_free,
            token_ends=self._token_ends,
            rest={account: rest.stats for account, rest in self._vigil.rests.items()},
        )
        lookout = Lookout(desk, self.limits, self.minutes, sources)
        self.monitor = Monitor(
            desk,
            lookout,
            self.incidents,
            self.minutes,
            self.teller,
            limits=self.limits,
            latencies=self.latencies,
        )
        self.monitor.found.subscribe(self.teller.on_change)

    def _channels(self) -> list[ChannelHealth]:
        found = [*self.dispatcher.health()]
        if self.bot is not None:
            found.append(self.bot.health())
        if self.heartbeat is not None:
            found.append(self.heartbeat.health())
        return found

    def _disk_free(self) -> int | None:
        try:
            return shutil.disk_usage(self._settings.storage.directory).free
        except OSError:
            return None

    def _token_ends(self) -> Mapping[str, datetime]:
        """Return by account when its token ends; a simulated customer signs in by himself."""
        if self._vigil.exchange:
            return {}
        end = token_ends(self._desk.clock.now())
        return {s.account.id: end for s in self._desk.accounts.all() if s.signed_in}

    def _build_remedies(self) -> None:
        vigil, desk = self._vigil, self._desk
        self.recovery = Recovery(desk, self.monitor, self.incidents, desk.clock)
        self.monitor.also(self.recovery.findings)
        marks = [marks for marks in (vigil.paper_marks,) if marks not in (None, desk.marks)]
        self.sleep = SleepWatch(desk, wall=lambda: datetime.now(UTC), marks=marks)
        self.monitor.also(self.sleep.findings)
        self.gap_filling = GapFilling(
            desk,
            ledger=self.gaps,
            source=UpstoxHistory(vigil.rest, desk.clock),
            store=FilledCandles(vigil.writer),
        )
        self.checklist = Checklist(
            desk,
            self.limits,
            write=self._written,
            disk_free=self._disk_free,
            token_ends=self._token_ends,
            phone=self._round_trip if self.wire else None,
            tell=self._tell,
        )

    async def _written(self) -> None:
        """Return when something is on the disk."""
        desk = self._desk
        tried = to_ms(desk.clock.now())
        kept = self._vigil.writer.submit(
            lambda c: keep_fact(c, Fact.TRIED, tried, is_mock=desk.world.is_mock)
        )
        await asyncio.wrap_future(kept)

    async def _round_trip(self) -> str:
        assert self.bot is not None, "there is a bot where there is a wire"
        return await self.bot.round_trip()

    async def _tell(self, alert: Alert) -> None:
        await self.teller.tell([Draft(alert)])

    async def _test_message(self, by: str) -> None:
        desk = self._desk
        at = desk.clock.now()
        for channel in self.dispatcher.health():
            if channel.state == "down":  # refused; one that was asked to wait is left to wait
                self.dispatcher.retry(channel.name)
        await self._tell(trial(at, by, mode=desk.world.word, is_mock=desk.world.is_mock))

    def _build_news(self) -> None:
        desk = self._desk
        self.order_news = OrderNewsTeller(
            clock=desk.clock,
            journal=self.journal,
            teller=self.teller,
            world=desk.world,
            orders=desk.orders,
            baskets=desk.baskets,
            positions=desk.positions,
            accounts=desk.accounts,
            instrument=desk.catalogue.get,
            alarms=False,  # the rules find those, and remind
        )
        self.pnl_levels = PnlLevels(
            self._settings.watch.pnl_levels,
            clock=desk.clock,
            teller=self.teller,
            world=desk.world,
            total=desk.positions.total,
        )
        self.heartbeat = heartbeat.create(
            self._settings.watch.heartbeat_url,
            clock=desk.clock,
            is_ready=lambda: desk.progress.stage == "ready",
            monitor_age=self.monitor.alive_age,
        )

    def _open_room(self) -> None:
        desk = self._desk
        self.phone = SimulatedPhone(self._own_phone) if self._own_phone else None
        self.pairing = Pairing(desk.clock, has_owner=self.guests.has_owner)
        self.watch = WatchDesk(
            desk,
            self.monitor,
            self.incidents,
            self.minutes,
            self.teller,
            jobs=self.jobs.health,
            channels=self._channels,
            checklist=self.checklist.run,
            test_message=self._test_message,
            recovery=self.recovery.status,
            checked=lambda: self.checklist.latest,
        )
        self.drills = self._fire_drills() if desk.world.is_mock else None
        self.room: Watchroom = Watchroom(
            watch=self.watch,
            journal=self.journal,
            uptime=self.uptime,
            gaps=self.gaps,
            people=self.people,
            drills=self.drills,
            phone=self.phone,
            pairing=self.pairing if self.wire else None,
            routes=self.routes,
            latencies=self.latencies,
            log=self._vigil.log_book,
        )
        self.bot = self._build_bot()

    def _fire_drills(self) -> FireDrills:
        vigil, desk = self._vigil, self._desk
        self.faults = SimulatedFaults(self._simulated_url)
        scene = Scene(
            simulated=True,
            feed=desk.feed,
            wanted=self.heard_of,
            findings=self.monitor.findings,
            stored=self.teller.stored,
            streams=tuple(desk.portfolio_feeds.values()),
            channels=self.dispatcher.health,
            phone=self.phone,
            test_message=self._test_message,
            renew=no_login if vigil.exchange else self._new_token,
            replay=desk.world.exchange == "replay",
        )
        return FireDrills(desk.clock, self.faults, scene, self.drill_journal)

    def heard_of(self) -> Mapping[str, Mode]:
        """Return what is wanted and has had a price: the rest may have none for hours."""
        last, wanted = self._desk.market_data.last, self._desk.subscriptions.wanted().modes
        return {key: mode for key, mode in wanted.items() if last(key) is not None}

    async def _new_token(self) -> None:
        self._vigil.tokens[self._vigil.primary].save(await self.faults.new_token())

    def _build_bot(self) -> Bot | None:
        if self.wire is None:
            return None
        bot = Bot(
            replace(self._desk, watch=self.room),
            self.room,
            self.wire,
            self.guests,
            people=self.people,
            pairing=self.pairing,
            tell=self._tell,
            commands=self._settings.telegram.commands,
        )
        bot.came_in.subscribe(lambda _: self.dispatcher.retry(telegram.TelegramChannel.name))
        return bot

    # running

    async def load(self) -> None:
        """Take over what the disk knows of the watch, before anything new can be found."""
        await self.teller.load()
        await self.incidents.load()
        await self.minutes.load(self._desk.clock.now())
        if self.drills is not None:
            await self.drills.load()

    def open_ways(self) -> None:
        """Begin to deliver, and to hear from the phone."""
        self.dispatcher.start()
        if self.phone is not None:
            self.phone.start()
        if self.bot is not None:
            self.bot.start()

    def start(self, scheduler: AsyncIOScheduler) -> None:
        self.order_news.start()
        self._schedule(scheduler)
        self.watchdog = Watchdog(
            asyncio.get_running_loop(),
            lambda: self.monitor.looked_at,
            self.monitor.look_now,
            speak=self._speak if self.wire else None,
        )
        self.watchdog.start()
        self._vigil.undo(self.watchdog.stop)

    def _schedule(self, scheduler: AsyncIOScheduler) -> None:
        given, add = self._settings.watch, scheduler.add_job
        self.jobs.attach(scheduler)
        add(self.monitor.look, "interval", seconds=given.every_seconds, id="watch")
        add(self.recovery.look, "interval", seconds=given.recovery_seconds, id="recovery")
        add(self.teller.look, "interval", seconds=1, id="alerts")
        self._vigil.keep_running(self.sleep.run())
        self.sleep.leaps.subscribe(partial(follow_clock, scheduler))
        add(self.gap_filling.look, "interval", seconds=5, id="gaps")
        add(self.checklist.morning, "interval", seconds=1, id="checklist")
        add(self._refresh_uptimes, "interval", minutes=5, id="uptimes")
        if given.pnl_levels:
            add(self.pnl_levels.look, "interval", seconds=1, id="P&L levels")
        if self.heartbeat is not None:
            add(self.heartbeat.beat, "interval", minutes=1, id="heartbeat to outside")

    def _speak(self, words: str) -> None:
        """Tell the phones on the watchdog's thread: the loop may never run again."""
        chats = sorted({person.chat for person in self.guests.all()})
        text = f"{glyph(self._desk.world.word, is_mock=self._desk.world.is_mock)} {words}"
        given = self._settings.telegram
        if self._own_phone:
            call_out(TOKEN, self._own_phone, chats, text)
        else:
            call_out(given.token.get_secret_value(), given.api_url, chats, text)

    async def _refresh_uptimes(self) -> None:
        await self.minutes.refresh(self._desk.clock.now())

    async def stop(self) -> None:
        """Let what is being told come to its end; what waits is on the disk."""
        self.recovery.stop()
        self.gap_filling.stop()
        parts = [self.order_news.stop(), self.monitor.stop()]
        parts += [part.stop() for part in (self.bot, self.phone) if part is not None]
        await self._end(parts)
        await self._end([self.incidents.stop(), self.teller.stop(), self.dispatcher.stop()])
        closing = [part.close() for part in (self.wire, self.heartbeat) if part is not None]
        await self._end([*closing, self._end_drill()])  # alerts first: an exchange may hang

    async def _end_drill(self) -> None:
        if self.drills is not None:
            await self.drills.stop()
            await self.faults.close()

    async def _end(self, parts: Iterable[Awaitable[object]]) -> None:
        for outcome in await asyncio.gather(*parts, return_exceptions=True):
            if isinstance(outcome, Exception):
                log.error("a part of the watch did not stop cleanly", exc_info=outcome)


if __name__ in {"__main__", "__mp_main__"}:
    main()
