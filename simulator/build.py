"""Options in, a simulated exchange out: its clock, calendar, instruments, market and token."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from simulator.calendar import IST, ExchangeCalendar
from simulator.clock import ExchangeClock
from simulator.instruments import build_instruments
from simulator.interest import Interest
from simulator.ledger import Ledger
from simulator.line_file import InUse
from simulator.market import RandomMarket
from simulator.memory import Memory
from simulator.model import Market
from simulator.opening import begin_with_some
from simulator.portfolio import Account
from simulator.replay import ReplayMarket
from simulator.server import SimulatedExchange
from simulator.tokens import USER, TokenTable
from simulator.webhook import check_address

LEAD = 5.0  # real seconds before a replay's first minute, so that whoever listens hears it whole


class BadOption(ValueError):
    """An option that cannot be; says in one line which and why."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to simulate. Without a start and a replay it is the real time and never closes."""

    port: int = 0  # 0: any free one
    seed: int = 7
    token: str = ""  # a text that is accepted as an access token; empty: none, issue one
    instruments: int = 500
    rate: float = 400.0  # price changes in a second of the exchange's time
    start: datetime | None = None
    speed: float = 1.0  # seconds of the exchange's time in a real second
    replay: tuple[Path, ...] = ()
    chain: Path | None = None
    keep_rows: bool = False  # have the ledger keep every tick sent
    webhook: str = ""  # address on loopback that order messages are posted to; empty: nowhere
    memory: Path | None = None  # file that keeps the accounts over restarts; None: forget them
    opening: bool = False  # the user's account begins with a few carried positions and holdings


def create_exchange(options: Options) -> SimulatedExchange:
    """Build an exchange that is not started yet; raise BadOption."""
    try:
        check_address(options.webhook)
    except ValueError as error:
        raise BadOption(str(error)) from None
    interest = Interest()
    replay = _replay(options)
    calendar = ExchangeCalendar(always_open=options.start is None and replay is None)
    clock = _clock(options, replay)
    market = replay or _random(options, clock, calendar, interest)
    try:
        return SimulatedExchange(
            market,
            clock=clock,
            calendar=calendar,
            tokens=_tokens(options, clock, calendar),
            ledger=Ledger(keep_rows=options.keep_rows),
            interest=interest,
            port=options.port,
            webhook=options.webhook,
            memory=Memory(options.memory) if options.memory is not None else None,
            newcomer=_newcomer(options, market, clock),
        )
    except InUse as error:
        raise BadOption(f"memory: {error}") from None
    except OSError as error:
        raise BadOption(f"memory: {options.memory} cannot be read: {error.strerror}") from None


def parse_start(text: str) -> datetime:
    """Read a moment, IST unless it says otherwise; raise BadOption."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadOption(f"start: {text!r} is not a time such as 2024-06-27T09:15") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=IST)


def _replay(options: Options) -> ReplayMarket | None:
    if not options.replay:
        if options.chain is not None:
            raise BadOption("chain: an option chain needs a replay file that moves it")
        return None
    try:
        return ReplayMarket(options.replay, options.chain, seed=options.seed)
    except ValueError as error:
        raise BadOption(f"replay: {error}") from error


def _clock(options: Options, replay: ReplayMarket | None) -> ExchangeClock:
    start = options.start
    if start is None and replay is not None:
        first = datetime.fromtimestamp(replay.start_ms / 1000, UTC)
        start = first - timedelta(seconds=LEAD * options.speed)
    try:
        return ExchangeClock(start, options.speed)
    except ValueError as error:
        raise BadOption(str(error)) from error


def _random(
    options: Options, clock: ExchangeClock, calendar: ExchangeCalendar, interest: Interest
) -> Market:
    today = clock.now().astimezone(IST).date()
    return RandomMarket(
        options.seed,
        build_instruments(today=today, count=options.instruments),
        clock.now_ms(),
        options.rate,
        interest=interest.alive,
        is_open=None if calendar.always_open else calendar.is_open,
    )


def _newcomer(options: Options, market: Market, clock: ExchangeClock) -> Callable[[Account], None]:
    if not options.opening:
        return lambda _: None
    return partial(begin_with_some, market, USER, clock.now_ms())


def _tokens(options: Options, clock: ExchangeClock, calendar: ExchangeCalendar) -> TokenTable:
    tokens = TokenTable(clock)
    if options.token:
        # An exchange that never closes does not turn its only user away at 03:30 either.
        tokens.add(options.token, lasting=calendar.always_open)
    return tokens
