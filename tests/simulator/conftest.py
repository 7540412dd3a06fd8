"""A running exchange with a tiny market and a clock that stands still, fresh for each test."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from simulator.calendar import ExchangeCalendar
from simulator.clock import ManualExchangeClock
from simulator.server import SimulatedExchange
from simulator.tokens import TokenTable
from tests.simulator.tiny import T0, TOKEN, Client, TinyMarket


@pytest.fixture
def market() -> TinyMarket:
    return TinyMarket()


@pytest.fixture
def clock() -> ManualExchangeClock:
    return ManualExchangeClock(datetime.fromtimestamp(T0 / 1000, UTC))


@pytest.fixture
def exchange(market: TinyMarket, clock: ManualExchangeClock) -> Iterator[SimulatedExchange]:
    tokens = TokenTable(clock)
    tokens.add(TOKEN)
    calendar = ExchangeCalendar(always_open=False)
    with SimulatedExchange(
        market, clock=clock, calendar=calendar, tokens=tokens, flush=0.01
    ) as running:
        running.ledger.keep_rows()
        yield running


@pytest.fixture
def connect(exchange: SimulatedExchange) -> Iterator[Callable[[], Client]]:
    """Open as many clients as a test wants; they are shut when it ends."""
    clients: list[Client] = []

    def open_one() -> Client:
        clients.append(Client(exchange))
        return clients[-1]

    yield open_one
    for client in clients:
        client.shut()


@pytest.fixture
def client(connect: Callable[[], Client]) -> Client:
    return connect()
