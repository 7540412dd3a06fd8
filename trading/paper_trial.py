"""A paper account as it would stand: what one more order would block, and what is free."""

from collections.abc import Callable
from dataclasses import replace

from trading.model import Instrument
from trading.order import OrderRequest, Product
from trading.paper_bench import Resting
from trading.paper_book import PaperBook
from trading.paper_margin import Stake, blocked, blocked_by_orders, needed
from trading.paper_writer import Move


class Trial:
    """The account as it would stand after the lines looked at so far."""

    def __init__(
        self, book: PaperBook, orders: list[Stake], instrument: Callable[[str], Instrument]
    ) -> None:
        self.book, self.orders = book, orders
        self._instrument = instrument

    @property
    def positions(self) -> list[Stake]:
        return self.book.stakes(self._instrument)

    @property
    def used(self) -> int:
        positions = self.positions
        return blocked(positions) + blocked_by_orders(positions, self.orders)

    @property
    def free(self) -> int:
        return self.book.cash - self.used

    def need(self, stake: Stake) -> int:
        """Return what this order would block beside all others."""
        return needed(self.positions, self.orders, [stake]).required

    def selling(self, instrument_key: str, product: Product) -> int:
        """Return the units that working orders sell."""
        return -sum(
            order.quantity
            for order in self.orders
            if order.quantity < 0
            and (order.instrument.instrument_key, order.product) == (instrument_key, product)
        )

    def take(self, move: Move) -> None:
        """Take in an order with what it was filled at once."""
        if move.fill is not None:
            self.book.take(self.book.post([move.fill], self._instrument))
        if not move.told[-1].status.final:
            resting = replace(move.resting, order=move.told[-1])
            self.orders.append(pending_stake(resting))


def stake_of(instrument: Instrument, request: OrderRequest, value: int, quantity: int) -> Stake:
    """Return so many units of a request as a stake; `value` is that of its whole quantity."""
    share = round(value * quantity / request.quantity)
    return Stake(instrument, request.product, request.side.sign * quantity, share)


def pending_stake(resting: Resting) -> Stake:
    order = resting.order
    value = round(resting.value * resting.pending / order.quantity)
    return Stake(resting.instrument, order.product, order.side.sign * resting.pending, value)
