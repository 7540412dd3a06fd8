"""The code that lets a phone in: two minutes, one use, five wrong tries."""

import pytest

from alerts.pairing import Pairing, code_in
from tests.trading.scripted import T0
from trading.clock import ManualClock


def pairing(clock: ManualClock, *, owner: bool = False) -> Pairing:
    return Pairing(clock, has_owner=lambda: owner, draw=lambda below: 4_217)


def test_the_right_code_lets_in_once() -> None:
    clock = ManualClock(T0)
    made = pairing(clock)
    told: list[None] = []
    made.changes.subscribe(told.append)
    code = made.open()
    assert (code.code, code.ends - clock.monotonic()) == ("004217", 120.0)
    assert "waiting for the code" in made.state

    found = made.try_code("004217", 5, 5, "Asha", T0)

    assert found is not None
    assert (found.chat, found.user, found.role, found.since) == (5, 5, "owner", T0)
    assert made.code() is None
    assert made.try_code("004217", 6, 6, "Other", T0) is None
    assert made.state == "Asha came in as owner"
    assert len(told) == 2


def test_whoever_comes_after_the_owner_reads_only() -> None:
    made = pairing(ManualClock(T0), owner=True)
    made.open()
    assert made.state == "waiting for the code from the new phone (it can read)"
    found = made.try_code("004217", 5, 5, "Asha", T0)
    assert found is not None
    assert found.role == "watcher"


def test_a_code_ends_after_two_minutes() -> None:
    clock = ManualClock(T0)
    made = pairing(clock)
    made.open()
    clock.advance(119.9)
    assert made.code() is not None
    clock.advance(0.1)
    assert made.code() is None
    assert made.try_code("004217", 5, 5, "Asha", T0) is None
    assert made.state == "nobody sent the code within 2 minutes"


def test_the_fifth_wrong_code_closes_it_and_a_new_one_opens_it() -> None:
    made = pairing(ManualClock(T0))
    made.open()
    for _ in range(4):
        assert made.try_code("111111", 5, 5, "X", T0) is None
    assert made.code() is not None
    made.try_code("111111", 5, 5, "X", T0)
    assert made.code() is None
    assert "closed after 5 wrong codes" in made.state
    assert made.try_code("004217", 5, 5, "X", T0) is None
    made.open()
    assert made.try_code("004217", 5, 5, "X", T0) is not None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("123456", "123456"),
        (" 123 456 ", "123456"),
        ("123-456", "123456"),
        ("/start 123456", "123456"),
        ("/pair@vigil_bot 123456", "123456"),
        ("1234567", ""),
        ("12345", ""),
        ("/start", ""),
        ("١٢٣٤٥٦", ""),
        ("123456" * 1_000, ""),
        ("code 123456 please", ""),
    ],
)
def test_which_messages_are_codes(text: str, code: str) -> None:
    assert code_in(text) == code
