"""The catalogue: found by any word, most likely first; ids and the unknown stay what they are."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from storage import search
from storage.catalogue import InstrumentCatalogue
from storage.database import Database, open_database
from storage.writer import Writer
from tests.storage.sql import rows, value
from tests.ticks import tick
from trading.errors import BadAnswer
from trading.model import Instrument, InstrumentType
from trading.ports import Catalogue

EXPIRY = date(2026, 11, 24)
WEEK = timedelta(days=7)


def equity(symbol: str, name: str) -> Instrument:
    return Instrument(f"NSE_EQ|{symbol}", "NSE_EQ", InstrumentType.EQUITY, symbol, name)


def future(underlying: str, expiry: date) -> Instrument:
    symbol = f"{underlying} FUT {expiry:%d %b %y}".upper()
    return Instrument(
        f"NSE_FO|{symbol}", "NSE_FO", InstrumentType.FUTURE, symbol, underlying,
        underlying_symbol=underlying, expiry=expiry, lot_size=75,
    )  # fmt: skip


def option(underlying: str, strike: float, kind: InstrumentType, expiry: date) -> Instrument:
    symbol = f"{underlying} {strike:g} {kind} {expiry:%d %b %y}".upper()
    return Instrument(
        f"NSE_FO|{symbol}", "NSE_FO", kind, symbol, underlying, underlying_symbol=underlying,
        expiry=expiry, strike=strike, lot_size=75, tick_size=0.05, weekly=True,
    )  # fmt: skip


CE, PE = InstrumentType.CALL, InstrumentType.PUT
NIFTY = Instrument("NSE_INDEX|Nifty 50", "NSE_INDEX", InstrumentType.INDEX, "NIFTY", "Nifty 50")
BANK = Instrument(
    "NSE_INDEX|Nifty Bank", "NSE_INDEX", InstrumentType.INDEX, "BANKNIFTY", "Nifty Bank"
)
RELIANCE = equity("RELIANCE", "RELIANCE INDUSTRIES LTD")
LIST = [
    *(future(name, EXPIRY + n * WEEK) for n in (4, 0) for name in ("BANKNIFTY", "NIFTY")),
    *(
        option(name, strike, kind, expiry)
        for expiry in (EXPIRY + WEEK, EXPIRY)
        for name in ("NIFTYNXT50", "NIFTY", "BANKNIFTY")
        for strike in (24100.0, 24000.0, 23900.0)
        for kind in (PE, CE)
    ),
    equity("RELINFRA", "RELIANCE INFRASTRUCTURE LTD"),
    RELIANCE,
    equity("NIFTYBEES", "NIPPON INDIA ETF NIFTY 50"),
    equity("M&M", "MAHINDRA & MAHINDRA LTD"),
    equity("BAJAJ-AUTO", "BAJAJ AUTO LIMITED"),
    BANK,
    NIFTY,
]


@pytest.fixture
def catalogue(database: Database, writer: Writer) -> Iterator[InstrumentCatalogue]:
    catalogue = InstrumentCatalogue(database, writer, is_mock=True)
    catalogue.replace(LIST)
    yield catalogue
    catalogue.close()


async def symbols(catalogue: Catalogue, text: str, limit: int = 20) -> list[str]:
    return [found.symbol for found in await catalogue.search(text, limit=limit)]


async def test_words_find_what_the_trader_most_likely_means(
    catalogue: InstrumentCatalogue,
) -> None:
    assert (await catalogue.search("reliance"))[0] == RELIANCE
    assert (await symbols(catalogue, "nifty"))[:3] == ["NIFTY", "BANKNIFTY", "NIFTYBEES"]
    assert await symbols(catalogue, "bank fut") == [
        "BANKNIFTY FUT 24 NOV 26",
        "BANKNIFTY FUT 22 DEC 26",
    ]
    assert (await symbols(catalogue, "nifty 24000 ce"))[:4] == [
        "NIFTY 24000 CE 24 NOV 26",
        "NIFTY 24000 CE 01 DEC 26",
        "NIFTYNXT50 24000 CE 24 NOV 26",
        "NIFTYNXT50 24000 CE 01 DEC 26",
    ]


async def test_a_strike_alone_finds_the_nearest_expiry_first(
    catalogue: InstrumentCatalogue,
) -> None:
    found = await catalogue.search("24000")

    assert {instrument.strike for instrument in found} == {24000.0}
    assert [i.expiry for i in found] == sorted(i.expiry for i in found if i.expiry)


async def test_of_strikes_that_begin_alike_the_one_that_was_typed_comes_first(
    catalogue: InstrumentCatalogue,
) -> None:
    catalogue.replace([option("NIFTY", strike, CE, EXPIRY) for strike in (24000, 240, 2400)])

    assert [i.strike for i in await catalogue.search("nifty 2400")] == [2400.0, 24000.0]


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("M&M", "M&M"),
        ("m&m", "M&M"),
        ("\u202enifty", "NIFTY"),  # turns the text's direction
        ("bajaj-auto", "BAJAJ-AUTO"),
        ("Nifty 50", "NIFTY"),
        ("infra reli", "RELINFRA"),
        ("  nifty   put 23900 01dec ", "NIFTY 23900 PE 01 DEC 26"),
    ],
)
async def test_names_as_people_write_them(
    catalogue: InstrumentCatalogue, text: str, symbol: str
) -> None:
    assert (await symbols(catalogue, text))[0] == symbol


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "'", '"', '""', "*", "%", "_", "\\", "(", ")", "\0", "NEAR(", "{{7*7}}", "..",
        "'; DROP TABLE instruments;--", '" OR 1=1 --', "words:x", "^x", "x" * 10_000,
        "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "%00", "\U0001f600", "-",
        "AND OR",
    ],
)  # fmt: skip
async def test_odd_text_finds_nothing_and_breaks_nothing(
    catalogue: InstrumentCatalogue, text: str
) -> None:
    assert await catalogue.search(text) == []
    assert (await symbols(catalogue, "reliance"))[0] == "RELIANCE"


async def test_without_an_index_the_search_finds_the_same(
    catalogue: InstrumentCatalogue, database: Database
) -> None:
    for text in ("nifty", "nifty 24000 ce", "bank fut", "24000", "reliance ltd", "%", "_", "'"):
        words = search.words_in(text)
        with database.reading.connect() as connection:
            found = [
                search.find(connection, text, is_mock=True, current=1, limit=50, indexed=indexed)
                for indexed in (True, False)
            ]
        assert found[0] == found[1]
        assert bool(found[0]) == bool(words)


def test_an_index_that_is_gone_is_built_again(database: Database, writer: Writer) -> None:
    InstrumentCatalogue(database, writer, is_mock=True).replace(LIST)
    writer.submit(lambda c: c.exec_driver_sql("DROP TABLE instrument_words")).result(5)
    writer.submit(lambda c: c.exec_driver_sql("DROP TRIGGER instrument_words_new")).result(5)
    writer.stop()

    again = open_database(database.path)

    with again.reading.connect() as connection:
        assert len(search.find(connection, "reliance", is_mock=True, current=1, limit=9)) == 2
    again.close()


def test_get_knows_every_field_and_nothing_it_was_not_told(
    catalogue: InstrumentCatalogue,
) -> None:
    wanted: Catalogue = catalogue
    for instrument in LIST:
        assert wanted.get(instrument.instrument_key) == instrument
    assert wanted.get("NSE_EQ|NOBODY") is None
    assert wanted.get("") is None


async def test_the_real_catalogue_does_not_know_simulated_instruments(
    catalogue: InstrumentCatalogue, database: Database, writer: Writer
) -> None:
    real = InstrumentCatalogue(database, writer, is_mock=False)

    assert real.get(NIFTY.instrument_key) is None
    assert await real.search("nifty") == []
    real.close()


async def test_what_left_the_list_is_no_longer_found_but_still_known(
    catalogue: InstrumentCatalogue,
) -> None:
    gone = LIST[0]
    catalogue.replace(LIST[1:])

    assert gone not in await catalogue.search(gone.symbol)
    assert catalogue.get(gone.instrument_key) == gone


async def test_a_list_that_breaks_off_or_is_empty_takes_nothing_away(
    catalogue: InstrumentCatalogue,
) -> None:
    def broken() -> Iterator[Instrument]:
        yield LIST[0]
        raise BadAnswer("the download was cut off")

    with pytest.raises(BadAnswer):
        catalogue.replace(broken())
    assert catalogue.replace([]) == 0

    assert (await symbols(catalogue, "reliance"))[0] == "RELIANCE"


async def test_a_new_list_changes_what_is_known_and_keeps_the_ids(
    catalogue: InstrumentCatalogue, path: Path
) -> None:
    query = "SELECT instrument_key, id FROM instruments ORDER BY 1"
    before = rows(path, query)
    assert catalogue.get(RELIANCE.instrument_key) == RELIANCE
    renamed = equity("RELIANCE", "JIO HOLDINGS LTD")

    catalogue.replace([renamed if i is RELIANCE else i for i in reversed(LIST)])

    assert rows(path, query) == before
    assert catalogue.get(RELIANCE.instrument_key) == renamed
    assert await catalogue.search("jio") == [renamed]
    assert "RELIANCE" not in await symbols(catalogue, "reliance industries")


def test_a_key_that_only_ticks_told_of_gets_an_id_that_the_list_takes_over(
    database: Database, writer: Writer, path: Path
) -> None:
    catalogue = InstrumentCatalogue(database, writer, is_mock=True)
    writer.ticks([tick(RELIANCE.instrument_key)], 1)
    writer.flush()
    assert catalogue.get(RELIANCE.instrument_key) is None

    catalogue.replace(LIST)

    stored = value(path, "SELECT instrument_id FROM quote_ticks")
    named = "SELECT id FROM instruments WHERE instrument_key = ?"
    assert value(path, named, RELIANCE.instrument_key) == stored
    assert catalogue.get(RELIANCE.instrument_key) == RELIANCE
    catalogue.close()


def test_a_large_list_is_taken_over_in_small_steps_beside_the_ticks(
    database: Database, writer: Writer
) -> None:
    catalogue = InstrumentCatalogue(database, writer, is_mock=True)
    many = [equity(f"STOCK{n}", f"STOCK NUMBER {n} LIMITED") for n in range(10_000)]
    begun = time.monotonic()
    catalogue.replace(many)

    assert time.monotonic() - begun < 1.5  # 100,000 take 1.5 s on the machine of its author
    assert catalogue.get("NSE_EQ|STOCK9999") == many[-1]
    catalogue.close()


async def test_the_options_of_an_underlying_come_by_expiry_and_strike(
    catalogue: InstrumentCatalogue,
) -> None:
    later = EXPIRY + WEEK
    chain = [
        replace(option("NIFTY", strike, kind, expiry), underlying_key=NIFTY.instrument_key)
        for strike, kind, expiry in ((24100, PE, later), (24100, CE, EXPIRY), (23900, CE, EXPIRY))
    ]
    other = replace(option("BANKNIFTY", 52000, CE, EXPIRY), underlying_key=BANK.instrument_key)
    fut = replace(future("NIFTY", EXPIRY), underlying_key=NIFTY.instrument_key)
    catalogue.replace([*chain, other, fut])

    assert await catalogue.options(NIFTY.instrument_key) == chain[::-1]

    catalogue.replace([chain[0]])

    assert await catalogue.options(NIFTY.instrument_key) == [chain[0]]
