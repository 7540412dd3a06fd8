"""The working orders of a paper account, by instrument, so that a tick finds its own at once."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from trading.model import Instrument
from trading.order import BrokerOrder, Side
from trading.paper_match import Execution, Offer, Reach, precedence, reach


@dataclass(slots=True, eq=False)
class Resting:
    """An order that can still change; owned by the broker.

    Only what the market showed from `since` on (monotonic) reaches it. While it is `deciding`, a
    decision about it is on its way to the disk and no other may be made: that is how one order is
    never filled twice, whatever ticks, polls and people do at once.
    """

    order: BrokerOrder
    instrument: Instrument
    since: float
    value: int  # paise that its whole quantity is margined by
    fills: int = 0
    deciding: bool = False
    not_before: float = -math.inf  # monotonic; after the disk refused
    said: str = ""  # why it is not filled, as told last
    said_at: float = -math.inf

    @property
    def pending(self) -> int:
        return self.order.quantity - self.order.filled


@dataclass(slots=True, eq=False)
class Bench:
    """The orders of one instrument in the order in which they are served, and their reach."""

    resting: list[Resting] = field(default_factory=list)
    reach: Reach = field(default_factory=lambda: reach(()))

    def settle(self) -> None:
        self.resting.sort(key=lambda resting: precedence(resting.order))
        self.reach = reach(resting.order for resting in self.resting)


class Benches:
    """Every working order once; `by_key` is read at each tick and changed nowhere else."""

    def __init__(self) -> None:
        self.by_key: dict[str, Bench] = {}
        self._by_id: dict[str, Resting] = {}
        self._taken: dict[tuple[str, Side], tuple[tuple[float, float, int], int]] = {}

    def __iter__(self) -> Iterator[Resting]:
        return iter(tuple(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, order_id: str) -> Resting | None:
        return self._by_id.get(order_id)

    def put(self, resting: Resting) -> None:
        """Take an order in, serve it by its new price, or let it go if it is final."""
        order = resting.order
        bench = self.by_key.get(order.instrument_key) or Bench()
        if order.status.final:
            if self._by_id.pop(order.order_id, None) is not None:
                bench.resting.remove(resting)
        elif order.order_id not in self._by_id:
            self._by_id[order.order_id] = resting
            bench.resting.append(resting)
        bench.settle()
        if bench.resting:
            self.by_key[order.instrument_key] = bench
        else:
            self.by_key.pop(order.instrument_key, None)

    def taken(self, instrument_key: str, side: Side, offered: Offer) -> int:
        """Return how many units of this very offer our own orders have had already."""
        stamp, units = self._taken.get((instrument_key, side), (None, 0))
        return units if stamp == offered.stamp else 0

    def take(self, instrument_key: str, side: Side, executed: Execution) -> None:
        """Note that so many units of an offer are gone."""
        offered = executed.offered
        units = self.taken(instrument_key, side, offered) + executed.quantity
        self._taken[instrument_key, side] = (offered.stamp, units)
