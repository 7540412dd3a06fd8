"""The simulated exchange: a broker's REST host and a feeder host, on a thread of their own."""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar

import uvicorn

from simulator import truth
from simulator.app import create_app
from simulator.broker import PACE, Broker
from simulator.calendar import ExchangeCalendar
from simulator.clock import ExchangeClock
from simulator.envelope import Json
from simulator.faults import Fault, Faults
from simulator.feed import FeedHost
from simulator.feeder import Feeder
from simulator.interest import Interest
from simulator.ledger import Ledger
from simulator.limits import STANDARD, RateLimiter, Window
from simulator.memory import Memory
from simulator.model import Market
from simulator.portfolio import Account
from simulator.portfolio_feed import ENTRY as PORTFOLIO_ENTRY
from simulator.portfolio_feed import PortfolioHost
from simulator.telegram_chat import Chats
from simulator.tokens import USER, TokenTable
from simulator.venue import Venue
from simulator.webhook import Webhook

HOST = "127.0.0.1"
KEPT_ALIVE = 75  # seconds that an idle connection to REST is left open; a client gives up sooner
PATIENCE = 5.0  # seconds to wait for the thread to start or to do something

Listeners = tuple[socket.socket, socket.socket]
R = TypeVar("R")

logger = logging.getLogger(__name__)


class SimulatedExchange:
    """Start and stop as often as you like: the ports of the first start are kept.

    Attributes are safe to use from any thread; what must happen on the exchange's own loop is
    handed over and waited for. `start` raises OSError if a port is taken.
    """

    def __init__(
        self,
        market: Market,
        *,
        clock: ExchangeClock | None = None,
        calendar: ExchangeCalendar | None = None,
        tokens: TokenTable | None = None,
        faults: Faults | None = None,
        ledger: Ledger | None = None,
        interest: Interest | None = None,
        port: int = 0,
        feeder_port: int = 0,
        flush: float = 0.05,
        ping: float = 10.0,
        max_buffer: int = 4 << 20,
        rate_limits: tuple[Window, ...] = STANDARD,
        webhook: str = "",
        pace: float = PACE,
        memory: Memory | None = None,
        newcomer: Callable[[Account], None] = lambda _: None,
    ) -> None:
        """Raises OSError if the memory cannot be read."""
        clock, interest = clock or ExchangeClock(), interest or Interest()
        faults, ledger = faults or Faults(), ledger or Ledger()
        calendar = calendar or ExchangeCalendar(always_open=True)
        self._venue = Venue(
            market,
            clock,
            calendar,
            tokens or TokenTable(clock),
            faults,
            ledger,
            interest,
            broker=Broker(
                market,
                clock=clock,
                calendar=calendar,
                faults=faults,
                interest=interest,
                pace=pace,
                memory=memory,
                newcomer=newcomer,
            ),
            webhook=Webhook(clock, faults, ledger, webhook),
        )
        self._port = port
        self._feeder_port = feeder_port
        self._rate_limits = rate_limits
        self._pacing = {"flush": flush, "ping": ping}
        self._max_buffer = max_buffer
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._feed: FeedHost | None = None
        self._updates: PortfolioHost | None = None
        self._feeder: Feeder | None = None

    # --- what others use

    @property
    def port(self) -> int:
        return self._port

    @property
    def feeder_port(self) -> int:
        return self._feeder_port

    @property
    def base_url(self) -> str:
        return f"http://{HOST}:{self._port}"

    @property
    def entry_url(self) -> str:
        """The feed's entry address, which answers 302 with the address of the real socket."""
        return f"ws://{HOST}:{self._port}/v3/feed/market-data-feed"

    @property
    def portfolio_entry_url(self) -> str:
        """The portfolio stream's entry address."""
        return f"ws://{HOST}:{self._port}{PORTFOLIO_ENTRY}"

    @property
    def bot_url(self) -> str:
        """Where the stand-in of Telegram's Bot API is; a bot's token comes right behind it."""
        return f"{self.base_url}/bot"

    @property
    def telegram(self) -> Chats:
        """The simulated chats; while the exchange runs, to be changed through `phone` only."""
        return self._venue.telegram

    def phone(self, act: Callable[[Chats], R]) -> R:
        """Do something with the simulated chats on the exchange's loop; return its result."""
        if self._thread is None:
            return act(self._venue.telegram)
        return self._on_loop(lambda: act(self._venue.telegram))

    @property
    def faults(self) -> Faults:
        return self._venue.faults

    @property
    def ledger(self) -> Ledger:
        return self._venue.ledger

    @property
    def tokens(self) -> TokenTable:
        return self._venue.tokens

    @property
    def clock(self) -> ExchangeClock:
        return self._venue.clock

    @property
    def calendar(self) -> ExchangeCalendar:
        return self._venue.calendar

    @property
    def market(self) -> Market:
        return self._venue.market

    @property
    def broker(self) -> Broker:
        """The book of orders; while the exchange runs, to be touched through `do` only."""
        return self._venue.broker

    def do(self, act: Callable[[Broker], R]) -> R:
        """Do something with the broker's book on the exchange's loop, and return its result."""
        if self._thread is None:
            return act(self._venue.broker)
        return self._on_loop(lambda: act(self._venue.broker))

    def book(self) -> dict[str, Json]:
        """Return the ground truth of all accounts, as `GET /control/book` does."""
        return self.do(truth.book)

    @property
    def running(self) -> bool:
        return self._thread is not None

    @property
    def alive(self) -> bool:
        """Whether its thread still runs; false also after an error that ended it."""
        return self._thread is not None and self._thread.is_alive()

    def send_raw(self, payload: bytes) -> None:
        """Send this message as it is, in a binary frame, to every feed connection."""
        self._on_loop(lambda: self._host().send_raw(payload))

    def feed_connections(self) -> int:
        """Return how many feed connections are open."""
        return self._on_loop(lambda: len(self._host().connections)) if self.running else 0

    def tell(self, message: Mapping[str, Json], *, user: str = USER) -> None:
        """Tell a user's portfolio streams and webhook this, as if the broker's book had changed."""
        self._on_loop(lambda: self._tell(user, message))

    def portfolio_connections(self) -> int:
        """Return how many portfolio streams are open."""
        if not self.running:
            return 0
        return self._on_loop(lambda: len(self._update_host().connections))

    # --- life

    def start(self) -> Self:
        if self._thread is not None:
            return self
        listeners = self._bind()  # first: a second copy must not write into the first one's memory
        self.broker.open_memory()
        ready: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._live, args=(listeners, ready), name="simulator", daemon=True
        )
        self._thread.start()
        ready.result(PATIENCE)
        return self

    def stop(self) -> None:
        """End every connection and stop listening, within a second; `start` works again."""
        thread, loop = self._thread, self._loop
        if thread is None:
            return
        if loop is not None:
            with suppress(RuntimeError):  # an error has ended it already
                loop.call_soon_threadsafe(self._stop.set)
        thread.join(PATIENCE)
        self.broker.close_memory()
        self._thread = self._loop = self._feed = self._updates = self._feeder = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _bind(self) -> Listeners:
        rest = _listener(self._port)
        try:
            feeder = _listener(self._feeder_port)
        except OSError:
            rest.close()
            raise
        self._port, self._feeder_port = rest.getsockname()[1], feeder.getsockname()[1]
        return rest, feeder

    # --- on the exchange's own thread

    def _live(self, listeners: Listeners, ready: Future[None]) -> None:
        try:
            asyncio.run(self._main(listeners, ready))
        except Exception as error:
            logger.exception("the simulated exchange has ended")
            if not ready.done():
                ready.set_exception(error)

    async def _main(self, listeners: Listeners, ready: Future[None]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._feed = feed = FeedHost(
            self._venue,
            flush=self._pacing["flush"],
            ping=self._pacing["ping"],
            max_buffer=self._max_buffer,
        )
        self._updates = updates = PortfolioHost(
            self._venue,
            ping=self._pacing["ping"],
            max_buffer=self._max_buffer,
            snapshot=self._venue.broker.snapshot,
        )
        self._feeder = feeder = Feeder(feed, updates)
        rest, serving = self._serve_rest(listeners[0])
        port = await self._loop.create_server(feeder.accept, sock=listeners[1])
        beats = [asyncio.create_task(host.run()) for host in (feed, updates)]
        self._venue.faults.on_change(self._fault_changed)
        for fault, seconds in self._venue.faults.ending():
            self._loop.call_later(seconds, self._venue.faults.end, fault)
        broker = self._venue.broker
        untold = broker.listen(self._tell)
        broker.agenda.attach(self._loop)
        broker.wake = feed.hurry
        ready.set_result(None)
        try:
            await self._until_stopped(beats)
        finally:
            self._venue.faults.on_change(lambda _: None)
            broker.agenda.attach(None)
            broker.wake = lambda: None
            untold()
            self._stop.set()
            port.close()
            for beat in beats:
                beat.cancel()
            feeder.hang_up()
            await self._venue.webhook.close()
            await _end_rest(rest, serving)

    async def _until_stopped(self, beats: "list[asyncio.Task[None]]") -> None:
        """Wait for stop(); a beat that dies ends the exchange loudly instead of a silent feed."""
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait((stop, *beats), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        for beat in beats:
            if beat.done():
                beat.result()

    def _serve_rest(self, listener: socket.socket) -> tuple[uvicorn.Server, "asyncio.Task[None]"]:
        app = create_app(
            self._venue,
            feeder_url=f"ws://{HOST}:{self._feeder_port}",
            limiter=RateLimiter(self._rate_limits),
            closing=self._stop,
        )
        # Loggers are shared with the uvicorn of the desk in this process: configure none of them.
        # By uvicorn's 5 s, orders met the closing of the connection that was kept for them.
        config = uvicorn.Config(
            app, lifespan="off", ws="wsproto", log_config=None, access_log=False,
            timeout_graceful_shutdown=1, timeout_keep_alive=KEPT_ALIVE,
        )  # fmt: skip
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        return server, serving

    def _fault_changed(self, fault: Fault | None) -> None:
        feeder = self._feeder
        assert feeder is not None, "the exchange is not running"

        def act() -> None:
            feeder.faults_changed(fault)
            self.broker.faults_changed()
            self._venue.telegram.wake()
            if fault is not None and fault.lasts is not None and self._loop is not None:
                self._loop.call_later(fault.lasts, self._venue.faults.end, fault)

        self._on_loop(act)

    def _tell(self, user: str, message: Mapping[str, Json]) -> None:
        self._update_host().publish(user, message)
        self._venue.webhook.publish(user, message)

    def _host(self) -> FeedHost:
        assert self._feed is not None, "the exchange is not running"
        return self._feed

    def _update_host(self) -> PortfolioHost:
        assert self._updates is not None, "the exchange is not running"
        return self._updates

    def _on_loop(self, act: Callable[[], R]) -> R:
        """Do this on the exchange's loop and return its result, from whatever thread."""
        if threading.current_thread() is self._thread:
            return act()
        if self._loop is None:
            raise RuntimeError("the exchange is not running")
        done: Future[R] = Future()

        def do() -> None:
            try:
                done.set_result(act())
            except Exception as error:  # noqa: BLE001  handed to the thread that asked
                done.set_exception(error)

        self._loop.call_soon_threadsafe(do)
        return done.result(PATIENCE)


async def _end_rest(server: uvicorn.Server, serving: "asyncio.Task[None]") -> None:
    server.should_exit = True
    await asyncio.wait((serving,), timeout=0.5)
    server.force_exit = True
    await serving


def _listener(port: int) -> socket.socket:
    # The protocol must be named: asyncio switches Nagle's algorithm off only where it is TCP, and
    # with it on each answer on a kept connection took 44 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)  # now, so that a busy port is found out before anything is started
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener
