"""One account at Upstox: orders by REST, news by the portfolio stream."""

from collections.abc import Sequence
from typing import Final

from feeds.upstox import account_calls, order_calls
from feeds.upstox.portfolio_feed import UpstoxPortfolioFeed
from feeds.upstox.portfolio_protocol import Rows
from feeds.upstox.rest import UpstoxRest
from trading.broker import Line, Placed
from trading.errors import BadRequest
from trading.order import (
    BrokerHolding,
    BrokerOrder,
    BrokerPosition,
    Fill,
    Funds,
    Margin,
    OrderChange,
    OrderRequest,
)

NOT_FOUND: Final = "UDAPI100010"


class UpstoxBroker:
    """Implements `broker.Broker`; its signals are those of the account's stream."""

    def __init__(self, rest: UpstoxRest, feed: UpstoxPortfolioFeed, account: str) -> None:
        self.account = account
        self.order_updates = feed.order_updates
        self.position_updates = feed.position_updates
        self._rest = rest
        self._rows = Rows(account, is_mock=rest.is_mock)

    async def place(self, line: Line) -> tuple[str, ...]:
        return await self._rest.execute(order_calls.place(line))

    async def place_many(self, lines: Sequence[Line]) -> list[Placed]:
        """Send all in one call; an answer has both numbers and an error if only some slices went.

        Raises like `place` if the call as a whole was refused or not answered.
        """
        return await self._rest.execute(order_calls.place_many(lines))

    async def modify(self, order: BrokerOrder, change: OrderChange) -> None:
        await self._rest.execute(order_calls.modify(order, change))

    async def cancel(self, order_id: str) -> None:
        await self._rest.execute(order_calls.cancel(order_id))

    async def orders(self) -> list[BrokerOrder]:
        return await self._rest.fetch(account_calls.orders(self._rows))

    async def orders_tagged(self, tag: str) -> list[BrokerOrder]:
        try:
            return await self._rest.fetch(account_calls.orders_tagged(self._rows, tag))
        except BadRequest as error:
            if error.code == NOT_FOUND:  # the broker's other way to say that there is none
                return []
            raise

    async def trades(self) -> list[Fill]:
        return await self._rest.fetch(account_calls.trades(self._rows))

    async def positions(self) -> list[BrokerPosition]:
        return await self._rest.fetch(account_calls.positions(self._rows))

    async def holdings(self) -> list[BrokerHolding]:
        return await self._rest.fetch(account_calls.holdings(self._rows))

    async def funds(self) -> Funds:
        return await self._rest.fetch(account_calls.funds())

    async def margin(self, requests: Sequence[OrderRequest]) -> Margin:
        return await self._rest.fetch(account_calls.margin(requests))

    async def charges(self, request: OrderRequest, price: float) -> int:
        return await self._rest.fetch(account_calls.charges(request, price))
