"""What a paper account blocks for positions and orders: a model in the manner of SPAN, not SPAN.

All sums are paise. What is blocked is always computed anew from what is open, never added up from
changes, so that the last unit closed releases the last paisa.

* An option that is held blocks what was paid for it. Of an option that is sold nothing is counted
  as received before it is bought back.
* A short option blocks a scan share and an exposure share of its notional (strike x quantity), of
  index options 9 % and 2 %, of share options 15 % and 3.5 %. Options of one underlying and expiry
  are taken together: a short that a long of its kind covers blocks the worst that they can lose
  at expiry; of naked calls and naked puts only one side can lose, so the larger scan share counts,
  and the exposure share of both. It is never more than the shorts one by one.
* A future blocks the same shares of its price x quantity, alone.
* Shares block 20 % for the day, 25 % margin-funded, all of their price for delivery.
* An order that works blocks what would be opened if its side alone were filled; it is not helped by
  another order. What only closes a position blocks nothing, unless it was a short's cover.

Neither the extra margin of an expiry day, physical delivery, nor losses not yet taken are counted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from trading.model import Instrument, InstrumentType
from trading.order import Margin, Product

SCAN: Final = {"index": 0.09, "share": 0.15}  # of the notional
EXPOSURE: Final = {"index": 0.02, "share": 0.035}
SHARES: Final = {Product.INTRADAY: 0.20, Product.MTF: 0.25, Product.DELIVERY: 1.0}
KINDS: Final = (InstrumentType.CALL, InstrumentType.PUT)


@dataclass(frozen=True, slots=True)
class Stake:
    """So many units of one instrument (below 0: sold), and what they cost or brought in paise."""

    instrument: Instrument
    product: Product
    quantity: int
    value: int  # never negative

    @property
    def is_option(self) -> bool:
        return self.instrument.type in KINDS

    @property
    def place(self) -> tuple[str, str]:
        """Return what is netted: shares by product, for they are margined by it."""
        by_product = self.instrument.type is InstrumentType.EQUITY
        return self.instrument.instrument_key, str(self.product) if by_product else ""

    @property
    def group(self) -> tuple[str, object]:
        """Return what options must share to help each other."""
        return self.instrument.underlying_key or self.instrument.name, self.instrument.expiry

    def part(self, quantity: int) -> "Stake":
        """Return so many units of it (same sign) at the same price."""
        value = round(self.value * quantity / self.quantity) if self.quantity else 0
        return replace(self, quantity=quantity, value=abs(value))

    def plus(self, more: "Stake") -> "Stake":
        """Return both together: what closes takes its part of the value with it."""
        if not self.quantity or self.quantity * more.quantity > 0:
            return replace(
                more, quantity=self.quantity + more.quantity, value=self.value + more.value
            )
        left = self.quantity + more.quantity
        return self.part(left) if left * self.quantity >= 0 else more.part(left)


def blocked(stakes: Iterable[Stake]) -> int:
    """Return what positions block."""
    net = [stake for stake in netted(stakes) if stake.quantity]
    alone = sum(_alone(stake) for stake in net if not stake.is_option or stake.quantity > 0)
    groups = {stake.group for stake in net if stake.is_option and stake.quantity < 0}
    return alone + sum(
        _shorts([stake for stake in net if stake.is_option and stake.group == group])
        for group in groups
    )


def blocked_by_orders(positions: Sequence[Stake], orders: Iterable[Stake]) -> int:
    """Return what working orders block beside these positions."""
    held = {stake.place: stake for stake in netted(positions)}
    sides: dict[tuple[tuple[str, str], bool], Stake] = {}
    for order in orders:
        key = order.place, order.quantity > 0
        sides[key] = sides[key].plus(order) if key in sides else order
    return sum(_opens(order, held) for order in sides.values())


def needed(positions: Sequence[Stake], orders: Sequence[Stake], more: Sequence[Stake]) -> Margin:
    """Return what `more` orders need beside positions and working orders.

    `required` while none of them is filled, `final` once all of them are.
    """
    with_all = blocked_by_orders(positions, [*orders, *more])
    final = blocked([*positions, *more]) - blocked(positions)
    return Margin(with_all - blocked_by_orders(positions, orders), max(0, final))


def netted(stakes: Iterable[Stake]) -> list[Stake]:
    """Add up each instrument, shares by product."""
    sums: dict[tuple[str, str], Stake] = {}
    for stake in stakes:
        sums[stake.place] = sums[stake.place].plus(stake) if stake.place in sums else stake
    return list(sums.values())


def _opens(order: Stake, held: dict[tuple[str, str], Stake]) -> int:
    """Return what these orders of one side block beside what is held."""
    position = held.get(order.place)
    if order.is_option and order.quantity < 0:
        return _uncovers(order, position, list(held.values()))
    now = position.quantity if position else 0
    closes = min(abs(now), abs(order.quantity)) if now * order.quantity < 0 else 0
    return _alone(order.part(order.quantity - (closes if order.quantity > 0 else -closes)))


def _uncovers(order: Stake, position: Stake | None, held: Sequence[Stake]) -> int:
    """Return what more its group's shorts block once options are sold, also by closing a cover."""
    side = [stake for stake in held if stake.is_option and stake.group == order.group]
    others = [stake for stake in side if stake.place != order.place]
    after = position.plus(order) if position else order
    return max(0, _shorts([*others, after]) - _shorts(side))


def _alone(stake: Stake) -> int:
    """Return what anything but a short option blocks."""
    if stake.is_option:
        return stake.value
    if stake.instrument.type is InstrumentType.FUTURE:
        kind = _kind(stake.instrument)
        return round((SCAN[kind] + EXPOSURE[kind]) * stake.value)
    return round(SHARES[stake.product] * stake.value)


def _kind(instrument: Instrument) -> str:
    return "share" if instrument.underlying_key.partition("|")[0].endswith("_EQ") else "index"


@dataclass(frozen=True, slots=True)
class _Need:
    scan: float = 0.0
    exposure: float = 0.0


def _shorts(group: Sequence[Stake]) -> int:
    """Return what the short options of one underlying and expiry block, given the longs."""
    alone = _sum(stake for stake in group if stake.quantity < 0)
    covered: list[Stake] = []
    naked: list[_Need] = []
    for kind in KINDS:
        with_cover, without = _parted([s for s in group if s.instrument.type is kind])
        covered += with_cover
        naked.append(_sum(without))
    together = max(need.scan for need in naked) + sum(need.exposure for need in naked)
    return round(min(alone.scan + alone.exposure, together + worst_loss(covered)))


def _sum(shorts: Iterable[Stake]) -> _Need:
    scan = exposure = 0.0
    for stake in shorts:
        notional = -stake.quantity * _strike(stake) * 100
        kind = _kind(stake.instrument)
        scan += SCAN[kind] * notional
        exposure += EXPOSURE[kind] * notional
    return _Need(scan, exposure)


def _parted(side: list[Stake]) -> tuple[list[Stake], list[Stake]]:
    """Part calls, or puts, into as many shorts as there are longs with these, and naked shorts.

    The shorts nearest to the money stay naked: those farther out are the cheapest to cover.
    """
    excess = max(0, -sum(stake.quantity for stake in side))
    covered, naked = [], []
    for stake in sorted(side, key=_nearness, reverse=True):
        bare = min(excess, max(0, -stake.quantity))
        excess -= bare
        if bare:
            naked.append(stake.part(-bare))
        if stake.quantity + bare:
            covered.append(stake.part(stake.quantity + bare))
    return covered, naked


def _nearness(stake: Stake) -> float:
    """Return how deep in the money an option is beside others of its kind."""
    strike = _strike(stake)
    return strike if stake.instrument.type is InstrumentType.PUT else -strike


def worst_loss(options: Sequence[Stake]) -> int:
    """Return the most that options can lose at expiry, premiums apart, if calls are covered."""
    levels = {0.0, *(_strike(stake) for stake in options)}  # the bends of the pay-off
    return max(0, round(-100 * min(sum(_payoff(s, level) for s in options) for level in levels)))


def intrinsic(instrument: Instrument, level: float) -> float:
    """Return what an option is worth at expiry in rupees a unit, or a future: the level itself."""
    if instrument.type not in KINDS:
        return level
    inside = level - (instrument.strike or 0.0)
    return max(0.0, -inside if instrument.type is InstrumentType.PUT else inside)


def _payoff(stake: Stake, level: float) -> float:
    return stake.quantity * intrinsic(stake.instrument, level)


def _strike(stake: Stake) -> float:
    return stake.instrument.strike or 0.0
