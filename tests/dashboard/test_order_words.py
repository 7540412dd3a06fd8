"""Orders in words: quantities, states, reasons, outcomes, and the line of a life."""

from dataclasses import replace
from datetime import timedelta

import orjson
import pytest

from dashboard import order_life
from dashboard import order_words as words
from dashboard.sheet import Tone
from tests.dashboard.fakes import CALL, OPEN_NOW, RELIANCE, MemoryCatalogue, instruments
from trading.checks import doubtful
from trading.model import UNKNOWN
from trading.order import (
    BrokerOrder,
    Order,
    OrderRequest,
    OrderStatus,
    OrderType,
    Product,
    Side,
    Step,
    Validity,
)

LISTED = MemoryCatalogue(instruments())
OPTION, SHARE = LISTED.get(CALL), LISTED.get(RELIANCE)
BUY = OrderRequest("main", CALL, Side.BUY, 150, Product.INTRADAY, OrderType.LIMIT, "n", 142.0)


def order(status: OrderStatus, message: str = "", **changes: object) -> Order:
    made = Order("vigil-1", BUY, status, OPEN_NOW, OPEN_NOW, is_mock=True, message=message)
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("units", "listed", "said"),
    [
        (75, OPTION, "1 lot (75)"),
        (150, OPTION, "2 lots (150)"),
        (112_500, OPTION, "1,500 lots (1,12,500)"),
        (80, OPTION, "80"),  # not whole lots: nothing is made up
        (10, SHARE, "10"),
        (10, None, "10"),
    ],
)
def test_lots_come_first_and_units_second(units: int, listed: object, said: str) -> None:
    assert words.quantity(units, listed) == said  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "side", "said"),
    [
        (OrderType.MARKET, Side.BUY, "at the market"),
        (OrderType.LIMIT, Side.BUY, "at 142.00 or better"),
        (OrderType.SL, Side.BUY, "at 142.00 or better, once the price rises to 140.00"),
        (OrderType.SL_M, Side.SELL, "at the market, once the price falls to 140.00"),
    ],
)
def test_the_sentence_says_at_which_price(kind: OrderType, side: Side, said: str) -> None:
    asked = replace(BUY, order_type=kind, side=side, trigger=140.0)

    start = "Buy" if side is Side.BUY else "Sell"
    assert words.sentence(asked, OPTION) == f"{start} 2 lots (150) NIFTY 27 NOV 24000 CE {said}"


def test_every_state_has_a_word_an_outcome_and_never_a_zero_price() -> None:
    for status in OrderStatus:
        shown = words.status(order(status))
        told = words.outcome(order(status, "the reason"), OPTION)
        assert shown.text
        assert told.happened
        assert told.money
        assert told.todo
        assert "0.00" not in words.average(order(status)).text
    assert words.status(order(OrderStatus.WORKING, filled=75)).text == "◐ part-filled"
    assert words.status(order(OrderStatus.IN_DOUBT)).tone is Tone.WARN


def test_a_fill_whose_price_is_not_told_yet_has_none() -> None:
    unpriced = order(OrderStatus.FILLED, filled=150, average_price=UNKNOWN)

    assert words.average(unpriced).text == "—"
    assert words.outcome(unpriced, OPTION).money == "The price of the fill is not told yet."
    assert "at a price not told yet" in words.outcome(unpriced, OPTION).happened


@pytest.mark.parametrize(
    ("reason", "helps"),
    [
        ("RMS:Margin Exceeds, Required 21000", "add funds"),
        ("price outside the circuit limit", "circuit limits"),
        ("order quantity above freeze quantity", "fewer lots"),
        ("price is not a multiple of tick size", "on the tick"),
        ("something nobody has ever seen", "ask the broker"),
    ],
)
def test_a_rejection_says_what_one_can_do(reason: str, helps: str) -> None:
    note = words.note(order(OrderStatus.REJECTED, reason))

    assert note.startswith(reason)
    assert helps in note


def test_only_the_same_leg_in_the_same_account_is_doubtful() -> None:
    lost = order(OrderStatus.IN_DOUBT)

    assert doubtful([lost], BUY) is lost
    assert doubtful([lost], replace(BUY, quantity=75, price=1.0)) is lost
    for other in ({"side": Side.SELL}, {"account": "x"}, {"instrument_key": RELIANCE}):
        assert doubtful([lost], replace(BUY, **other)) is None  # type: ignore[arg-type]
    assert doubtful([order(OrderStatus.WORKING)], BUY) is None


def lived() -> Order:
    at = OPEN_NOW + timedelta(microseconds=412_000)
    told = BrokerOrder(
        "main", "2411", "vigil-1", CALL, Side.BUY, 150, Product.INTRADAY, OrderType.LIMIT, 142.0,
        0.0, Validity.DAY, OrderStatus.FILLED, "complete", 150, 142.35,
    )  # fmt: skip
    steps = (
        Step(OrderStatus.WORKING, "open", 0, at, "answer"),
        Step(OrderStatus.WORKING, "open", 75, at + timedelta(milliseconds=82), "stream"),
        Step(OrderStatus.FILLED, "complete", 150, at + timedelta(minutes=2), "read", "late"),
    )
    return order(OrderStatus.FILLED, children=(told,), steps=steps, filled=150)


def test_the_life_of_an_order_has_its_states_and_the_time_between() -> None:
    line = order_life.stages(lived())

    assert [s.word for s in line] == ["intent on disk", "open", "open 75/150", "complete"]
    gaps = [order_life.gap(s.after) for s in line[1:]]
    assert gaps == ["+412 ms", "+82 ms", "+2m 00s"]
    assert order_life.precise(line[1].at) == "11:00:00.412"
    assert line[3].final
    assert line[3].title == "told by a read of the broker's book at 11:02:00.412: late"


def test_the_raw_rows_are_what_was_told() -> None:
    raw = orjson.loads(order_life.raw(lived()))

    assert raw["children"][0]["raw_status"] == "complete"
    assert raw["children"][0]["average_price"] == 142.35
    assert [step["seen_by"] for step in raw["steps"]] == ["answer", "stream", "read"]
