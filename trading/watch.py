"""Which prices must come in whatever a page shows: those of open positions and working orders."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from trading.marks import Marks
from trading.model import Mode
from trading.order import Order
from trading.order_book import OrderMoved
from trading.positions import PositionBook, PositionMoved
from trading.subscriptions import SubscriptionBook


@dataclass(frozen=True, slots=True)
class _Interest:
    instrument_keys: frozenset[str]
    undo: tuple[Callable[[], None], ...]


class PositionWatch:
    """Holds the subscription of what is open, and of nothing else: one hold an account and kind.

    A new hold is taken before the old one is given back, so that no price is left for a moment.
    """

    def __init__(
        self,
        *,
        subscriptions: SubscriptionBook,
        marks: Marks,
        positions: PositionBook,
        working: Callable[[str], Iterable[Order]],
    ) -> None:
        """`working` returns the orders of an account that are not final."""
        self._subscriptions = subscriptions
        self._marks = marks
        self._positions = positions
        self._working = working
        self._interests: dict[str, _Interest] = {}

    def on_position(self, moved: PositionMoved) -> None:
        account = moved.after.account
        self._hold(f"positions of {account}", self._positions.open_keys(account))

    def on_order(self, moved: OrderMoved) -> None:
        account = moved.after.request.account
        keys = frozenset(order.request.instrument_key for order in self._working(account))
        self._hold(f"orders of {account}", keys)

    def _hold(self, holder: str, instrument_keys: frozenset[str]) -> None:
        before = self._interests.pop(holder, None)
        if before is not None and before.instrument_keys == instrument_keys:
            self._interests[holder] = before
            return
        if instrument_keys:
            undo = (
                self._subscriptions.hold(holder, instrument_keys, Mode.FULL),
                self._marks.want(holder, instrument_keys),
            )
            self._interests[holder] = _Interest(instrument_keys, undo)
        for release in before.undo if before else ():
            release()
