"""What the account of a new desk begins with, and that it does so once."""

from pathlib import Path

import pytest

from simulator.build import Options, create_exchange
from simulator.calendar import day_of
from simulator.margin import blocked
from simulator.opening import opening
from simulator.portfolio import CASH
from simulator.server import SimulatedExchange
from simulator.tokens import USER
from tests.simulator.tiny import T0, TinyMarket


@pytest.fixture(scope="module")
def exchange() -> SimulatedExchange:
    return create_exchange(Options(instruments=200, opening=True))


def test_it_begins_with_a_spread_shares_and_money(exchange: SimulatedExchange) -> None:
    account = exchange.broker.account(USER)
    sold, bought, funded = account.positions.values()

    assert account.cash == CASH * 100
    assert (sold.quantity, bought.quantity) == (-bought.quantity, 2 * bought.instrument.lot_size)
    assert sold.instrument.strike < bought.instrument.strike
    assert sold.open_price > bought.open_price > 0
    assert funded.instrument.instrument_type == "EQ"
    assert all(p.quantity == p.overnight_quantity for p in account.positions.values())
    assert len(account.holdings) == 3
    assert account.gained() == 0


def test_it_leaves_most_of_the_money_free(exchange: SimulatedExchange) -> None:
    lines = exchange.broker.account(USER).lines()

    assert 0 < blocked(lines).total < CASH / 10
    assert exchange.broker.available(USER) > 0.9 * CASH


def test_prices_are_on_a_tick_and_near_the_day_before(exchange: SimulatedExchange) -> None:
    for position in exchange.broker.account(USER).positions.values():
        close = exchange.market.quotes[position.key].close
        tick = position.instrument.tick_size
        assert position.open_price / tick == pytest.approx(round(position.open_price / tick))
        assert position.open_price == pytest.approx(close, abs=tick)


def test_no_contract_ends_on_the_day_itself(exchange: SimulatedExchange) -> None:
    today = day_of(exchange.clock.now_ms())
    expiries = [p.instrument.expiry for p in exchange.broker.account(USER).positions.values()]

    assert all(day_of(expiry) > today for expiry in expiries if expiry)


def test_another_user_begins_with_money_only(exchange: SimulatedExchange) -> None:
    other = exchange.broker.account("SIM-WIFE")

    assert (other.positions, other.holdings, other.cash) == ({}, {}, CASH * 100)


def test_without_the_option_nobody_has_anything() -> None:
    account = create_exchange(Options(instruments=60)).broker.account(USER)

    assert (account.positions, account.holdings) == ({}, {})


def test_what_a_market_does_not_list_is_left_out() -> None:
    positions, holdings = opening(TinyMarket(), T0)

    assert positions == []
    assert [(h.instrument.trading_symbol, h.quantity) for h in holdings] == [("INFY", 40)]


def test_it_is_given_once(tmp_path: Path) -> None:
    options = Options(instruments=200, opening=True, memory=tmp_path / "exchange.jsonl")
    with create_exchange(options) as first:
        account = first.broker.account(USER)
        account.carry([])
        first.broker.remember(account)
    again = create_exchange(options).broker.account(USER)

    assert again.positions == {}
    assert len(again.holdings) == 3
