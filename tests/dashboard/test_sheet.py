"""What is written of an instrument: once for all tabs, and a dash for what is not known."""

import math
from datetime import UTC, datetime

import pytest

from dashboard.sheet import FIELDS, Sheet, Tone
from tests.ticks import CALL, NIFTY, batch, tick
from trading.clock import ManualClock
from trading.desk import World
from trading.market_data import MarketDataService
from trading.model import Level, Part

SIMULATED = World("simulated", "broker")


@pytest.fixture
def market() -> MarketDataService:
    return MarketDataService(ManualClock(datetime(2025, 11, 26, 5, 30, tzinfo=UTC)))


def test_an_instrument_never_heard_of_is_all_dashes(market: MarketDataService) -> None:
    row = Sheet(market, SIMULATED).row(CALL)

    assert {row.cell(name).text for name in FIELDS} == {"—"}
    assert all(row.cell(name).title for name in FIELDS)


def test_parts_that_never_came_are_dashes_and_never_zero(market: MarketDataService) -> None:
    market.publish(batch(tick(NIFTY, ltp=24012.35, parts=Part.PRICE)))

    row = Sheet(market, SIMULATED).row(NIFTY)

    assert row.cell("ltp").text == "24,012.35"
    unknown = set(FIELDS) - {"ltp", "last_quantity", "last_time"}
    assert {row.cell(name).text for name in unknown} == {"—"}


def test_the_change_is_told_with_mark_sign_and_tone(market: MarketDataService) -> None:
    market.publish(batch(tick(ltp=132.512)))
    up = Sheet(market, SIMULATED).row(CALL).cell("change")

    market.publish(batch(tick(ltp=129.888, ltt=tick().ltt + 1)))
    down = Sheet(market, SIMULATED).row(CALL).cell("change")

    assert (up.text, up.tone) == ("▲ +1.00%", Tone.UP)
    assert (down.text, down.tone) == ("▼ -1.00%", Tone.DOWN)


def test_a_price_points_where_it_moved_and_a_repeat_keeps_it(market: MarketDataService) -> None:
    sheet = Sheet(market, SIMULATED)
    tones = []
    for n, ltp in enumerate((100.0, 101.0, 101.0, 99.0)):
        market.publish(batch(tick(ltp=ltp, ltt=tick().ltt + n, received=1000.0 + n)))
        sheet.sample([CALL])
        tones.append(sheet.row(CALL).cell("ltp").tone)

    assert tones == [Tone.NONE, Tone.UP, Tone.UP, Tone.DOWN]


def test_a_row_gets_a_new_version_only_when_something_arrived(market: MarketDataService) -> None:
    sheet = Sheet(market, SIMULATED)
    market.publish(batch(tick()))
    sheet.sample([CALL])
    first = sheet.row(CALL).version

    sheet.sample([CALL])
    assert sheet.row(CALL).version == first

    market.publish(batch(tick(ltp=143.0, ltt=tick().ltt + 1, received=1001.0)))
    sheet.sample([CALL])
    assert sheet.row(CALL).version == first + 1


def test_an_empty_side_of_the_book_is_a_dash(market: MarketDataService) -> None:
    levels = (Level(142.5, 300, 142.7, 225), Level(142.45, 75, 0.0, 0))
    market.publish(batch(tick(depth=levels)))

    row = Sheet(market, SIMULATED).row(CALL)

    shown = [row.cell(f"{name}_1").text for name in ("bid_qty", "bid", "ask", "ask_qty")]
    assert shown == ["75", "142.45", "—", "—"]
    assert row.cell("bid_4").text == "—"


def test_the_letter_tells_where_a_price_comes_from(market: MarketDataService) -> None:
    market.publish(batch(tick()))

    assert Sheet(market, SIMULATED).row(CALL).source == "S"
    assert Sheet(market, World("replay", "broker")).row(CALL).source == "P"

    market.publish(batch(tick(ltt=tick().ltt + 1, received=1001.0)._replace(is_mock=False)))
    assert Sheet(market, World("upstox", "broker")).row(CALL).source == "W"


def test_a_change_against_an_unknown_close_is_unknown(market: MarketDataService) -> None:
    market.publish(batch(tick()._replace(close=0.0)))
    assert Sheet(market, SIMULATED).row(CALL).cell("change").text == "—"

    market.publish(batch(tick(ltt=tick().ltt + 1, received=1001.0)._replace(close=math.nan)))
    assert Sheet(market, SIMULATED).row(CALL).cell("change").text == "—"
