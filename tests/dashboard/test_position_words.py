"""Positions in words: sizes, chips, what a sum lacks, how they are grouped."""

import math
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from dashboard import format as fmt
from dashboard import position_words as words
from dashboard.position_words import Grouping
from dashboard.sheet import Tone
from tests.dashboard.fakes import CALL, EXPIRY, FUTURE, MAIN, PUT, RELIANCE, instruments
from trading.order import Account, Product
from trading.positions import Position, Value

BY_KEY = {i.instrument_key: i for i in instruments()}
OTHER = Account("other", "Second", primary=False, is_mock=True)


def position(quantity: int = 150, key: str = CALL, **changes: object) -> Position:
    base = Position(
        "main", key, Product.INTRADAY, quantity, 142.35, 0, 21_352_50, False, 1.0, None, 1, True
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def value(unrealised: int | None = 100, *, complete: bool = True, reason: str = "") -> Value:
    return Value(0, unrealised, unrealised, complete, reason=reason)


@pytest.mark.parametrize(
    ("paise", "text"),
    [
        (672_000, "▲ +₹6,720.00"),
        (-1, "▼ -₹0.01"),
        (0, "₹0.00"),
        (123_456_750, "▲ +₹12,34,567.50"),
        (None, "—"),
    ],
)
def test_a_gain_has_mark_and_sign_and_an_unknown_one_is_a_dash(
    paise: int | None, text: str
) -> None:
    assert fmt.gain(paise) == text


@pytest.mark.parametrize(
    ("paise", "text"), [(672_049, "▲ +₹6,720"), (-49, "₹0"), (-1_23_456_00, "▼ -₹1,23,456")]
)
def test_a_narrow_gain_has_no_paise(paise: int, text: str) -> None:
    assert fmt.short_gain(paise) == text


def test_lots_come_first_and_units_second_with_the_side_as_sign() -> None:
    assert words.lots(position(150), BY_KEY[CALL]) == "+2 lots (150)"
    assert words.lots(position(-75), BY_KEY[CALL]) == "-1 lot (75)"
    assert words.lots(position(10, RELIANCE), BY_KEY[RELIANCE]) == "+10"
    assert words.lots(position(0), BY_KEY[CALL]) == "closed"


def test_an_unknown_average_is_a_dash_with_its_reason() -> None:
    shown = words.average(position(average=math.nan))

    assert shown.text == "—"
    assert "not known" in shown.title


def test_chips_say_expiry_product_what_was_carried_and_the_account() -> None:
    held = position(carried=True, product=Product.DELIVERY)

    assert [c.text for c in words.chips(held, BY_KEY[CALL], EXPIRY, [MAIN])] == [
        "0DTE",
        "D",
        "carried",
    ]
    later = words.chips(held, BY_KEY[CALL], date(2025, 11, 26), [MAIN, OTHER])
    assert [c.text for c in later] == ["D", "carried", "Main"]
    assert later[0].title == "Carry forward"


def test_doubts_and_adjustments_are_said_on_the_row() -> None:
    assert words.note(position()) == ""
    assert words.note(position(in_doubt="the broker says 0")) == "IN DOUBT: the broker says 0"
    assert words.note(position(adjusted=-75)) == (
        "adjusted by -75 to the broker's book: no fill explains it"
    )


def test_a_sum_says_how_many_legs_it_lacks_and_why() -> None:
    whole = (position(), value())
    stale = (position(), value(None, complete=False, reason="old"))
    doubt = (position(in_doubt="?"), value())

    assert words.shortfall([whole] * 4) == ""
    assert words.shortfall([whole] * 4 + [stale]) == "1 of 5 legs stale"
    assert words.shortfall([stale, doubt]) == "1 of 2 legs stale, 1 of 2 legs in doubt"
    assert words.shortfall([(position(0), value(0))]) == ""


def test_a_partial_sum_names_what_is_not_in_it() -> None:
    partial = Value(100_00, 50_00, 150_00, complete=False, reason="CALL has no price")

    shown = words.summed_gain(150_00, partial)

    assert shown.text == "▲ +₹150.00"
    assert shown.title == "not in it: CALL has no price"
    assert words.summed_gain(None, partial).text == "—"


def test_percent_is_of_what_was_paid() -> None:
    assert words.percent(position(), value(213_53)) == ("+1.00%", Tone.UP, "")
    assert words.percent(position(-150, cost=-21_352_50), value(-213_53))[0] == "-1.00%"
    assert words.percent(position(cost=None), value(None)).text == "—"


def test_groups_are_named_by_underlying_and_expiry() -> None:
    held = position()
    share = position(10, RELIANCE)

    assert words.group(held, BY_KEY[CALL], Grouping.NONE) == ""
    assert words.group(held, BY_KEY[CALL], Grouping.UNDERLYING) == "NIFTY"
    assert words.group(held, BY_KEY[CALL], Grouping.EXPIRY) == "NIFTY 27 NOV"
    assert words.group(share, BY_KEY[RELIANCE], Grouping.EXPIRY) == "RELIANCE"


def test_positions_are_sorted_by_underlying_expiry_and_strike() -> None:
    keys = [RELIANCE, "NSE_FO|45452", PUT, CALL, FUTURE]
    ordered = sorted((position(75, k) for k in keys), key=lambda p: words.order(p, BY_KEY[k_(p)]))

    assert [p.instrument_key for p in ordered] == [FUTURE, CALL, PUT, "NSE_FO|45452", RELIANCE]


def k_(held: Position) -> str:
    return held.instrument_key


def test_a_filter_looks_at_name_product_and_account() -> None:
    held = position()

    assert words.fits(held, BY_KEY[CALL], "nifty 24000 ce intraday main")
    assert not words.fits(held, BY_KEY[CALL], "nifty pe")
    assert words.fits(held, None, "45450")


def test_the_day_of_expiry_is_that_of_india() -> None:
    late = datetime(2025, 11, 26, 19, 0, tzinfo=UTC)  # 00:30 IST on the 27th

    assert words.today(late) == EXPIRY
