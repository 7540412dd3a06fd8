"""Accounts: prices only while the primary one is signed in, and books of each of its own."""

from pathlib import Path

import pytest

from settings import AccountSettings, Settings
from tests.faults.dealing import Dealing, dealing
from tests.rig import settings
from trading.errors import CannotStart, Denied
from trading.order import OrderStatus
from trading.ports import FeedState

TWO = (AccountSettings(id="main", primary=True), AccountSettings(id="wife", name="Wife"))


async def test_prices_stop_when_the_primary_account_is_signed_out_and_come_back(
    tmp_path: Path,
) -> None:
    async with dealing(tmp_path) as desk:
        await desk.desk.accounts.check()
        assert desk.desk.accounts.primary.signed_in is True

        desk.fault("refuse_token")
        await desk.desk.accounts.check()
        await desk.until(lambda: state(desk) is FeedState.REFUSED, within=3, what="the end")
        signed_out = desk.desk.accounts.primary
        assert signed_out.signed_in is False
        assert signed_out.funds is None
        assert "token" in signed_out.reason

        desk.exchange.faults.clear()
        desk.exchange.tokens.expire_all()  # so that the trader signs in anew
        await desk.until(lambda: state(desk) is FeedState.LIVE, within=6, what="prices")
        await desk.desk.accounts.check()
        assert desk.desk.accounts.primary.signed_in is True


async def test_no_answer_is_not_a_sign_out(tmp_path: Path) -> None:
    async with dealing(tmp_path) as desk:
        await desk.desk.accounts.check()
        desk.fault("rest", path="/v2/user/profile", status=500)
        await desk.desk.accounts.check()

        assert desk.desk.accounts.primary.signed_in is True
        assert desk.desk.accounts.primary.reason
        assert state(desk) is FeedState.LIVE


async def test_each_account_has_its_own_orders_and_positions(tmp_path: Path) -> None:
    async with dealing(tmp_path, accounts=TWO) as desk:
        await desk.until(
            lambda: desk.desk.portfolio_feeds["wife"].stats().state is FeedState.LIVE, within=5
        )
        ours = await desk.buy(1)
        hers = await desk.buy(2, account="wife")
        for order in (ours, hers):
            await desk.becomes(order, OrderStatus.FILLED)

        lot = desk.option().lot_size
        held = {a: [p.quantity for p in desk.desk.positions.positions(a)] for a in ("main", "wife")}
        assert held == {"main": [lot], "wife": [2 * lot]}
        assert [o.id for o in desk.desk.orders.orders("wife")] == [hers.id]
        holds = [h for h in desk.desk.subscriptions.holds() if "positions" in h.holder]
        key = desk.option().instrument_key
        assert len(holds) == 2
        assert list(desk.desk.subscriptions.wanted().modes).count(key) == 1
        with pytest.raises(Denied, match="one account"):
            await desk.desk.orders.place_many([desk.request(), desk.request(account="wife")])


@pytest.mark.parametrize(
    ("accounts", "words"),
    [
        ((), "exactly one"),
        ((AccountSettings(id="a"),), "exactly one"),
        ((AccountSettings(id="a", primary=True), AccountSettings(id="b", primary=True)), "exactly"),
        ((AccountSettings(id="a", primary=True), AccountSettings(id="a")), "same id"),
    ],
)
def test_settings_without_exactly_one_primary_account_are_refused(
    accounts: tuple[AccountSettings, ...], words: str
) -> None:
    with pytest.raises((ValueError, CannotStart), match=words):
        Settings(accounts=accounts)


def test_the_settings_of_a_test_have_one_account(tmp_path: Path) -> None:
    assert [a.id for a in settings(tmp_path).accounts] == ["main"]


def state(desk: Dealing) -> FeedState:
    return desk.desk.feed.stats().state
