"""Who is signed in, and what there is to spend: asked for in turn, and not in vain."""

import asyncio

from tests.trading.scripted import T0, ScriptedBroker
from trading.accounts import Accounts
from trading.clock import ManualClock
from trading.errors import RateLimited, Retryable, TokenRefused
from trading.latch import LiveLatch
from trading.order import Account, AccountState, Funds

MAIN = Account("main", "Main", primary=True, is_mock=True)
WIFE = Account("wife", "Wife", primary=False, is_mock=True)


class Purse(ScriptedBroker):
    """A broker that counts how often it is asked for funds, or says that it is closed."""

    asked = 0
    closed: RateLimited | None = None

    async def funds(self) -> Funds:
        self.asked += 1
        if self.closed:
            raise self.closed
        return await super().funds()


class House:
    refused = False

    def __init__(self) -> None:
        self.clock = ManualClock(T0)
        self.brokers = {"main": Purse("main"), "wife": Purse("wife")}
        self.answers = asyncio.Event()
        self.answers.set()
        self.accounts = Accounts(
            [MAIN, WIFE],
            clock=self.clock,
            brokers=self.brokers,
            sign_in={"main": self._sign_in, "wife": self._sign_in_wife},
            latch=LiveLatch(self.clock, self, is_real=lambda _: False),
        )

    def read(self) -> None:
        return None

    async def write(self, day: object) -> None: ...

    async def _sign_in(self) -> str:
        refused, answers = self.refused, self.answers  # as things stand when it is asked
        await answers.wait()
        if refused:
            raise TokenRefused("signed out")
        return "AB1234"

    async def _sign_in_wife(self) -> str:
        raise Retryable("500")

    def state(self, account: str) -> AccountState:
        found = self.accounts.get(account)
        assert found is not None
        return found


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a08_funds_that_are_closed_for_the_night_are_asked_for_once_in_a_while() -> None:
    """Every half minute of it, the broker was asked in vain."""
    house = House()
    house.brokers["main"].closed = RateLimited("closed by broker until 05:30", retry_after=900.0)
    for _ in range(120):  # an hour
        await house.accounts.check()
        house.clock.advance(30.0)

    assert house.brokers["main"].asked == 4
    assert (house.state("main").funds, house.state("main").signed_in) == (None, True)
    assert "until 05:30" in house.state("main").reason
    house.brokers["main"].closed = None
    house.clock.advance(900.0)
    await house.accounts.check()
    assert house.state("main").funds == Funds(100_000_00, 0)
    assert house.state("main").reason == ""


async def test_an_account_whose_broker_hangs_keeps_no_other_waiting() -> None:
    house = House()
    house.answers.clear()
    checking = asyncio.ensure_future(house.accounts.check())
    for _ in range(10):
        await asyncio.sleep(0)

    assert house.state("wife").reason == "500"
    assert house.state("main").checked is None
    house.answers.set()
    await checking
    assert house.state("main").signed_in


async def test_an_answer_to_an_earlier_question_does_not_undo_that_to_a_later_one() -> None:
    """The earlier one hangs: who signs out meanwhile stays signed out."""
    house = House()
    house.answers.clear()
    earlier = asyncio.create_task(house.accounts.check())
    await settled()
    hanging, house.answers = house.answers, asyncio.Event()
    house.refused = True
    house.answers.set()
    later = asyncio.create_task(house.accounts.check())
    await settled()
    hanging.set()
    await asyncio.gather(earlier, later)

    assert house.state("main").signed_in is False
