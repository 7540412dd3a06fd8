"""The accounts of the settings: who is signed in, who carries orders, what there is to spend."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from trading.broker import Broker
from trading.clock import Clock
from trading.errors import RateLimited, Refused, VigilError
from trading.latch import LiveLatch
from trading.order import Account, AccountState
from trading.signal import Signal

log = logging.getLogger(__name__)

SignIn = Callable[[], Awaitable[str]]  # returns the broker's user id; raises VigilError


class Accounts:
    """Owns what is known of each account's session with the broker."""

    def __init__(
        self,
        accounts: Sequence[Account],
        *,
        clock: Clock,
        brokers: Mapping[str, Broker],
        sign_in: Mapping[str, SignIn],
        latch: LiveLatch,
    ) -> None:
        self.changes: Signal[AccountState] = Signal("accounts")
        self.brokers = brokers
        self.latch = latch
        self._clock = clock
        self._sign_in = sign_in
        self._states = {account.id: AccountState(account, None) for account in accounts}
        self._closed_until: dict[str, float] = {}  # monotonic: no funds are told before
        # an answer to an earlier question must not come after that to a later one
        self._turns = {account.id: asyncio.Lock() for account in accounts}

    def all(self) -> list[AccountState]:
        """Return the accounts in the order of the settings."""
        return list(self._states.values())

    def get(self, account: str) -> AccountState | None:
        return self._states.get(account)

    @property
    def primary(self) -> AccountState:
        return next(state for state in self._states.values() if state.account.primary)

    async def check(self) -> None:
        """Ask the broker of each account who is signed in, and what there is to spend."""
        await asyncio.gather(*(self._check_in_turn(account) for account in self._states))

    async def _check_in_turn(self, account: str) -> None:
        async with self._turns[account]:
            await self._check(account)

    async def _check(self, account: str) -> None:
        state = replace(self._states[account], checked=self._clock.now(), reason="")
        try:
            user = await self._sign_in[account]()
            state = replace(state, signed_in=True, user_id=user)
        except Refused as error:
            state = replace(state, signed_in=False, reason=str(error), funds=None)
        except VigilError as error:  # no answer is not an answer: what was known stays
            state = replace(state, reason=str(error))
        if state.signed_in:
            state = await self._with_funds(state)
        self._put(state)

    async def _with_funds(self, state: AccountState) -> AccountState:
        account = state.account.id
        broker, now = self.brokers[account], self._clock.monotonic()
        if now < self._closed_until.get(account, now):
            return replace(state, reason=state.reason or self._states[account].reason)
        try:
            return replace(
                state, funds=await broker.funds(), holdings=tuple(await broker.holdings())
            )
        except RateLimited as error:  # closed from midnight until 05:30, for example
            self._closed_until[account] = now + error.retry_after
            return replace(state, funds=None, reason=str(error))
        except VigilError as error:
            return replace(state, funds=None, reason=str(error))

    def _put(self, state: AccountState) -> None:
        before = self._states[state.account.id]
        self._states[state.account.id] = state
        if (before.signed_in, before.reason) != (state.signed_in, state.reason):
            log.info(
                "account %s: signed in: %s %s", state.account.id, state.signed_in, state.reason
            )
        self.changes.emit(state)
