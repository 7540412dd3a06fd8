"""What was typed into a ticket, whatever it was: a request or words beside the field."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import order_form as forms
from dashboard.drafts import Drafts
from tests.dashboard.fakes import CALL, RELIANCE, MemoryCatalogue, instruments
from trading.checks import on_tick
from trading.order import OrderType

OPTION = MemoryCatalogue(instruments()).get(CALL)
assert OPTION is not None


def form(**changes: object) -> forms.Form:
    typed = forms.Form("main", CALL)
    for name, value in changes.items():
        setattr(typed, name, value)
    return typed


def test_lots_become_units_and_prices_only_what_the_type_takes() -> None:
    typed = form(lots=" 1,000 ", price="142.35", trigger="140")

    request, found = forms.read(typed, OPTION)
    assert found != []  # above what 25 slices carry
    typed.lots = "24"
    request, found = forms.read(typed, OPTION)

    assert found == []
    assert request is not None
    assert (request.quantity, request.price, request.trigger) == (1800, 0.0, 0.0)
    typed.order_type = OrderType.SL
    typed.trigger = "140.00"
    request, _ = forms.read(typed, OPTION)
    assert request is not None
    assert (request.price, request.trigger) == (142.35, 140.0)


@given(st.text(), st.text(), st.text(), st.sampled_from(OrderType))
def test_whatever_is_typed_is_a_valid_request_or_words_that_name_a_field(
    lots: str, price: str, trigger: str, kind: OrderType
) -> None:
    typed = form(lots=lots, price=price, trigger=trigger, order_type=kind)

    request, found = forms.read(typed, OPTION)

    assert (request is None) == bool(found)
    assert {p.field for p in found} <= {"quantity", "price", "trigger"}
    assert all(p.words for p in found)


@pytest.mark.parametrize(
    ("text", "steps", "becomes"),
    [
        ("142.35", 1, "142.40"),
        ("142.35", -1, "142.30"),
        ("142.37", 1, "142.40"),
        ("142.37", -1, "142.35"),
        ("0.05", -1, "0.05"),
        ("", 1, "100.05"),
        ("x", -1, "99.95"),
    ],
)
def test_the_price_steps_from_tick_to_tick(text: str, steps: int, becomes: str) -> None:
    assert forms.stepped(text, steps, size=0.05, start=100.0) == becomes


def test_without_any_price_there_is_nothing_to_step_from() -> None:
    assert forms.stepped("", 1, size=0.05, start=math.nan) == ""


@given(st.floats(0.01, 1e6), st.integers(-50, 50), st.sampled_from([0.01, 0.05, 0.1, 0.2, 5.0]))
def test_a_stepped_price_is_always_on_the_tick(value: float, steps: int, size: float) -> None:
    moved = forms.stepped(f"{value:.2f}", steps, size=size, start=math.nan)

    if steps:
        assert on_tick(float(moved), size)
        assert float(moved) > 0


@pytest.mark.parametrize(
    ("text", "steps", "becomes"), [("2", 1, "3"), ("1", -1, "1"), ("", 1, "1"), ("x", 5, "5")]
)
def test_lots_step_by_one_and_never_below_one(text: str, steps: int, becomes: str) -> None:
    assert forms.stepped_lots(text, steps) == becomes


def test_two_sheets_of_the_same_order_share_a_nonce_until_it_is_sent() -> None:
    drafts = Drafts()
    first, second = drafts.open("buy"), drafts.open("buy")
    assert first is second
    assert drafts.open("sell").nonce != first.nonce

    drafts.sent(first)

    assert second.sent
    assert drafts.open("buy").nonce != first.nonce


def test_a_draft_that_nobody_reviews_any_more_is_forgotten() -> None:
    drafts = Drafts()
    first = drafts.open(RELIANCE)
    drafts.open(RELIANCE)

    drafts.close(first)
    assert drafts.open(RELIANCE) is first
    drafts.close(first)
    drafts.close(first)

    assert drafts.open(RELIANCE) is not first
