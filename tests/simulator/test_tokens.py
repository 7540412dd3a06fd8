"""Tokens end at 03:30 IST and a feed address opens one connection."""

import base64
from datetime import UTC, datetime

import orjson
import pytest

from simulator.calendar import IST
from simulator.clock import ManualExchangeClock
from simulator.tokens import Invitation, Invitations, TokenTable, next_rollover


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=IST).timestamp() * 1000)


@pytest.mark.parametrize(
    ("issued", "ends"),
    [
        ("2025-11-26T20:00", "2025-11-27T03:30"),
        ("2025-11-26T02:30", "2025-11-26T03:30"),
        ("2025-11-26T03:29:59", "2025-11-26T03:30"),
        ("2025-11-26T03:30", "2025-11-27T03:30"),
    ],
)
def test_a_token_ends_at_the_next_half_past_three(issued: str, ends: str) -> None:
    assert next_rollover(ms(issued)) == ms(ends)


def test_a_token_is_good_until_the_rollover_and_not_after(clock: ManualExchangeClock) -> None:
    table = TokenTable(clock)
    token = table.issue()
    clock.set(datetime.fromtimestamp(token.expires / 1000 - 1, UTC))
    before = table.check(token.value)
    clock.set(datetime.fromtimestamp(token.expires / 1000, UTC))

    assert before == token
    assert table.check(token.value) is None


def test_an_issued_token_tells_its_end_like_the_brokers(clock: ManualExchangeClock) -> None:
    token = TokenTable(clock).issue()
    body = token.value.split(".")[1]
    claims = orjson.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))

    assert claims["exp"] * 1000 == token.expires
    assert claims["sub"] == token.user


def test_a_lasting_token_outlives_the_rollover(clock: ManualExchangeClock) -> None:
    table = TokenTable(clock)
    table.add("T", lasting=True)
    clock.advance(10 * 86_400)

    assert table.check("T") is not None


def test_unknown_revoked_and_expired_tokens_are_refused(clock: ManualExchangeClock) -> None:
    table = TokenTable(clock)
    table.add("revoked")
    table.add("expired")

    assert table.revoke("revoked")
    assert not table.revoke("revoked")
    assert table.check("revoked") is None
    assert table.check("never seen") is None
    table.expire_all()
    assert table.check("expired") is None
    assert table.check(table.issue().value) is not None


def test_a_login_code_works_once(clock: ManualExchangeClock) -> None:
    table = TokenTable(clock)
    code = table.login_code()

    assert table.redeem_login_code(code)
    assert not table.redeem_login_code(code)
    assert not table.redeem_login_code("guessed")


def test_an_invitation_opens_one_connection(clock: ManualExchangeClock) -> None:
    invitation = Invitation(TokenTable(clock).issue())
    invitations = Invitations()
    code = invitations.issue(invitation)

    assert invitations.redeem(code) == invitation
    assert invitations.redeem(code) is None
    assert invitations.redeem(invitations.used(invitation)) is None
    assert invitations.redeem(Invitations().used(invitation)) is None
