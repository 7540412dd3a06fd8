"""What is listed: real ISINs, expiries, ticks and lots by date, rows as the broker sends them."""

from datetime import UTC, date, datetime

import pytest

from simulator.instruments import (
    BANK,
    NIFTY,
    SERIES,
    SHARES,
    VIX,
    build_instruments,
    contract_row,
    expiries,
    expiry_date,
    future_tick,
    master_row,
    share_tick,
)
from simulator.model import Instrument

TODAY = date(2025, 11, 26)


@pytest.fixture(scope="module")
def listed() -> dict[str, Instrument]:
    return build_instruments(today=TODAY, count=500)


def passes_luhn(isin: str) -> bool:
    digits = "".join(str(int(letter, 36)) for letter in isin)
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    return sum(d // 10 + d % 10 for d in doubled) % 10 == 0


def option(listed: dict[str, Instrument], symbol: str) -> Instrument:
    return next(i for i in listed.values() if i.trading_symbol == symbol)


def test_the_fifty_shares_have_isins_whose_check_digit_is_right() -> None:
    assert len({share.isin for share in SHARES}) == 50
    assert len({share.symbol for share in SHARES}) == 50
    assert [share.symbol for share in SHARES if not passes_luhn(share.isin)] == []
    assert not passes_luhn("INE009A01022")  # the check can fail


def test_the_indices_futures_and_shares_are_listed_before_any_option() -> None:
    few = build_instruments(today=TODAY, count=59).values()

    assert {i.instrument_key for i in few if i.instrument_type == "INDEX"} == {NIFTY, BANK, VIX}
    assert sum(i.instrument_type == "FUT" for i in few) == 6
    assert sum(i.instrument_type == "EQ" for i in few) == 50


@pytest.mark.parametrize("count", [61, 500, 501, 1500])
def test_the_count_is_kept_to_the_pair(count: int) -> None:
    assert len(build_instruments(today=TODAY, count=count)) in (count, count + 1)


def test_the_nearest_chain_is_the_fullest_and_has_both_sides(
    listed: dict[str, Instrument],
) -> None:
    chains: dict[tuple[str, int], set[tuple[float, str]]] = {}
    for i in listed.values():
        if i.strike:
            chains.setdefault((i.underlying_key, i.expiry), set()).add(
                (i.strike, i.instrument_type)
            )
    nearest = chains[(NIFTY, min(expiry for key, expiry in chains if key == NIFTY))]

    assert len(nearest) == max(len(chain) for chain in chains.values()) >= 120
    assert {strike for strike, _ in nearest} >= {26_000.0 + 50 * n for n in range(-30, 31)}
    for chain in chains.values():
        assert {s for s, kind in chain if kind == "CE"} == {s for s, kind in chain if kind == "PE"}


def test_the_same_contract_has_the_same_key_on_every_start() -> None:
    small = build_instruments(today=TODAY, count=300)
    large = build_instruments(today=TODAY, count=600)

    assert small.items() <= large.items()
    assert len({i.exchange_token for i in large.values() if i.expiry}) == sum(
        bool(i.expiry) for i in large.values()
    )


@pytest.mark.parametrize(
    ("today", "coming"),
    [
        (date(2024, 6, 26), [(date(2024, 6, 27), False), (date(2024, 7, 4), True)]),
        (date(2025, 8, 27), [(date(2025, 8, 28), False), (date(2025, 9, 2), True)]),
        (date(2025, 11, 21), [(date(2025, 11, 25), False), (date(2025, 12, 2), True)]),
        (date(2026, 3, 1), [(date(2026, 3, 2), True), (date(2026, 3, 10), True)]),  # Holi on 3
    ],
)
def test_nifty_expires_on_thursdays_then_tuesdays_and_before_a_holiday(
    today: date, coming: list[tuple[date, bool]]
) -> None:
    assert expiries(SERIES[0], today)[:2] == coming


def test_nifty_bank_lost_its_weekly_expiries_in_november_2024() -> None:
    assert expiries(SERIES[1], date(2024, 6, 25))[:2] == [
        (date(2024, 6, 26), False),
        (date(2024, 7, 3), True),
    ]
    assert [weekly for _, weekly in expiries(SERIES[1], TODAY)] == [False, False, False]
    assert expiries(SERIES[1], date(2024, 12, 2))[0] == (date(2024, 12, 24), False)  # Christmas


@pytest.mark.parametrize(
    ("today", "nifty", "bank"),
    [
        (date(2024, 6, 27), 25, 15),
        (date(2025, 3, 3), 75, 30),
        (TODAY, 75, 35),
        (date(2026, 2, 2), 65, 30),
    ],
)
def test_lot_sizes_follow_the_date(today: date, nifty: int, bank: int) -> None:
    lots = {
        i.underlying_key: i.lot_size
        for i in build_instruments(today=today, count=100).values()
        if i.expiry
    }

    assert lots == {NIFTY: nifty, BANK: bank}


@pytest.mark.parametrize(
    ("price", "tick"),
    [(168, 0.01), (400, 0.05), (1545, 0.10), (7000, 0.50), (15_900, 1.0), (40_000, 5.0)],
)
def test_a_shares_tick_follows_its_price(price: float, tick: float) -> None:
    assert share_tick(price, TODAY) == tick
    assert share_tick(price, date(2025, 1, 31)) == (0.01 if price < 250 else 0.05)


def test_an_index_futures_tick_follows_the_index() -> None:
    assert future_tick(26_000, TODAY) == 0.10
    assert future_tick(59_000, TODAY) == 0.20
    assert future_tick(26_000, date(2024, 6, 27)) == 0.05


def test_a_contract_expires_a_second_before_midnight_in_india(
    listed: dict[str, Instrument],
) -> None:
    contract = option(listed, "NIFTY 26100 CE 02 DEC 25")

    assert contract.expiry == 1764700199000
    assert expiry_date(contract) == date(2025, 12, 2)
    assert datetime.fromtimestamp(contract.expiry / 1000, UTC).isoformat() == (
        "2025-12-02T18:29:59+00:00"
    )


def test_the_masters_option_row_is_the_brokers(listed: dict[str, Instrument]) -> None:
    contract = option(listed, "NIFTY 26100 CE 02 DEC 25")

    assert master_row(contract) == {
        "weekly": True,
        "segment": "NSE_FO",
        "name": "NIFTY",
        "exchange": "NSE",
        "expiry": 1764700199000,
        "instrument_type": "CE",
        "underlying_symbol": "NIFTY",
        "instrument_key": contract.instrument_key,
        "lot_size": 75,
        "freeze_quantity": 1800.0,
        "exchange_token": contract.instrument_key.partition("|")[2],
        "minimum_lot": 75,
        "underlying_key": NIFTY,
        "tick_size": 5.0,
        "underlying_type": "INDEX",
        "trading_symbol": "NIFTY 26100 CE 02 DEC 25",
        "strike_price": 26100.0,
    }
    assert contract.exchange_token.isdigit()


def test_the_masters_share_and_index_rows_are_the_brokers(listed: dict[str, Instrument]) -> None:
    assert master_row(listed["NSE_EQ|INE009A01021"]) == {
        "segment": "NSE_EQ",
        "name": "INFOSYS LIMITED",
        "exchange": "NSE",
        "isin": "INE009A01021",
        "instrument_type": "EQ",
        "instrument_key": "NSE_EQ|INE009A01021",
        "lot_size": 1,
        "freeze_quantity": 100000.0,
        "exchange_token": "1594",
        "tick_size": 10.0,
        "trading_symbol": "INFY",
        "short_name": "Infosys",
        "security_type": "NORMAL",
        "cas_eligible": True,
    }
    assert master_row(listed[NIFTY]) == {
        "segment": "NSE_INDEX",
        "name": "Nifty 50",
        "exchange": "NSE",
        "instrument_type": "INDEX",
        "instrument_key": NIFTY,
        "exchange_token": "26000",
        "trading_symbol": "NIFTY 50",
    }


def test_a_contract_row_has_the_expiry_as_a_date(listed: dict[str, Instrument]) -> None:
    contract = option(listed, "NIFTY 26100 CE 02 DEC 25")

    assert contract_row(contract)["expiry"] == "2025-12-02"
    assert contract_row(contract)["minimum_lot"] == 75
