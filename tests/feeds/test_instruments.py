"""The instruments master, row by row."""

import gzip
import json
from datetime import date

import pytest

from feeds.upstox.instruments import Master
from trading.errors import BadAnswer
from trading.model import Instrument, InstrumentType

SHARE = {
    "segment": "NSE_EQ", "name": "INFOSYS LIMITED", "exchange": "NSE", "isin": "INE009A01021",
    "instrument_type": "EQ", "instrument_key": "NSE_EQ|INE009A01021", "lot_size": 1,
    "freeze_quantity": 100000.0, "exchange_token": "1594", "tick_size": 10.0,
    "trading_symbol": "INFY",
}  # fmt: skip
CALL = {
    "weekly": True, "segment": "NSE_FO", "name": "NIFTY", "expiry": 1764700199000,
    "instrument_type": "CE", "underlying_symbol": "NIFTY", "instrument_key": "NSE_FO|45450",
    "lot_size": 75, "freeze_quantity": 1800.0, "exchange_token": "45450",
    "underlying_key": "NSE_INDEX|Nifty 50", "tick_size": 5.0,
    "trading_symbol": "NIFTY 26100 CE 02 DEC 25", "strike_price": 26100.0,
}  # fmt: skip
INDEX = {
    "segment": "NSE_INDEX", "name": "Nifty 50", "instrument_type": "INDEX",
    "instrument_key": "NSE_INDEX|Nifty 50", "trading_symbol": "NIFTY 50",
}  # fmt: skip


def packed(*rows: object) -> bytes:
    return gzip.compress(json.dumps(list(rows)).encode())


def read(data: bytes) -> tuple[list[Instrument], Master]:
    master = Master(data)
    return list(master), master


def test_a_share_an_option_and_an_index_are_read() -> None:
    (share, call, index), _ = read(packed(SHARE, CALL, INDEX))

    assert (share.symbol, share.isin, share.tick_size) == ("INFY", "INE009A01021", 0.10)
    assert call == Instrument(
        instrument_key="NSE_FO|45450",
        segment="NSE_FO",
        type=InstrumentType.CALL,
        symbol="NIFTY 26100 CE 02 DEC 25",
        name="NIFTY",
        exchange_token="45450",
        lot_size=75,
        tick_size=0.05,
        freeze_quantity=1800,
        underlying_key="NSE_INDEX|Nifty 50",
        underlying_symbol="NIFTY",
        expiry=date(2025, 12, 2),
        strike=26100.0,
        weekly=True,
    )
    assert (index.type, index.lot_size, index.expiry) == (InstrumentType.INDEX, 1, None)


def test_the_last_second_in_india_is_not_the_next_day() -> None:
    (call,), _ = read(packed({**CALL, "expiry": 1772216999000}))

    assert call.expiry == date(2026, 2, 27)


def test_other_types_and_bad_rows_are_counted_and_skipped() -> None:
    bad = [
        {**CALL, "expiry": None},
        {**CALL, "strike_price": 0},
        {**CALL, "lot_size": -1},
        {**SHARE, "instrument_key": "BSE_EQ|1"},
        {**SHARE, "tick_size": "five"},
        {**CALL, "expiry": 10**30},
        {"instrument_type": "EQ"},
        7,
        None,
    ]
    found, master = read(packed({**SHARE, "instrument_type": "GS"}, *bad, SHARE))

    assert [i.symbol for i in found] == ["INFY"]
    assert (master.unknown, master.bad) == (1, len(bad))


def test_a_long_list_is_read_in_pieces() -> None:
    rows = [{**SHARE, "trading_symbol": f"S{n}", "name": "é" * 40} for n in range(5000)]

    found, master = read(packed(*rows))

    assert [i.symbol for i in found] == [f"S{n}" for n in range(5000)]
    assert master.bad == 0


@pytest.mark.parametrize("text", [b" [ ] ", b"[]", b"\xef\xbb\xbf[]"])
def test_an_empty_list_has_no_instruments(text: bytes) -> None:
    assert read(gzip.compress(text))[0] == []
    assert read(text)[0] == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b'{"a": 1}',
        packed(SHARE, CALL)[:-40],
        b"\x1f\x8bgarbage",
        json.dumps([SHARE]).encode()[:-3],
        b'[{"name": "' + b"x" * (3 << 20),
    ],
    ids=["empty", "html", "object", "cut off", "garbage", "cut off text", "endless row"],
)
def test_what_is_no_master_is_a_bad_answer(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        read(data)
