"""A paper account for tests: a manual clock, and a disk and quotes that misbehave at will."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time

from tests.ticks import CALL, NIFTY, tick
from trading.broker import Line, PaperLedger, PaperState
from trading.clock import ManualClock
from trading.errors import BadRequest, VigilError
from trading.hours import HoursRules, Phase, TemplateSession, TradingHours
from trading.market_data import MarketDataService
from trading.marks import Marks
from trading.model import Batch, Instrument, InstrumentType, Part, Tick
from trading.order import (
    BrokerOrder,
    BrokerPosition,
    Fill,
    OrderRequest,
    OrderStatus,
    OrderType,
    Product,
    Side,
    Validity,
)
from trading.paper import PaperBroker, PaperRules
from trading.ports import PolledQuote

NINE_THIRTY = datetime(2025, 11, 26, 4, 0, tzinfo=UTC)  # IST, a Wednesday
EXPIRY = date(2025, 12, 2)
PUT, FAR_CALL, FUTURE = "NSE_FO|45451", "NSE_FO|45452", "NSE_FO|45453"
SHARE = "NSE_EQ|INE009A01021"
RUPEES = 100  # paise


def option(key: str, strike: float, kind: InstrumentType = InstrumentType.CALL) -> Instrument:
    return Instrument(
        key,
        "NSE_FO",
        kind,
        f"NIFTY {strike:g} {kind}",
        "NIFTY",
        lot_size=75,
        tick_size=0.05,
        freeze_quantity=1800,
        underlying_key=NIFTY,
        underlying_symbol="NIFTY",
        expiry=EXPIRY,
        strike=strike,
    )


INSTRUMENTS = {
    CALL: option(CALL, 26100.0),
    PUT: option(PUT, 26100.0, InstrumentType.PUT),
    FAR_CALL: option(FAR_CALL, 26300.0),
    FUTURE: replace(option(FUTURE, 0.0, InstrumentType.FUTURE), strike=None, expiry=EXPIRY),
    SHARE: Instrument(SHARE, "NSE_EQ", InstrumentType.EQUITY, "INFY", "INFOSYS", tick_size=0.1),
    NIFTY: Instrument(NIFTY, "NSE_INDEX", InstrumentType.INDEX, "NIFTY 50", "Nifty 50"),
}


def all_day(*segments: str) -> TradingHours:
    sessions = [TemplateSession(s, Phase.OPEN, time(9, 15), time(15, 30)) for s in segments]
    return TradingHours(HoursRules(templates=tuple(sessions)))


class Disk:
    """The other side of the ledger's port, in memory: an account since its last opening."""

    def __init__(self) -> None:
        self.cash: int | None = None
        self.opening: tuple[BrokerPosition, ...] = ()
        self.orders: dict[str, BrokerOrder] = {}
        self.fills: dict[str, Fill] = {}
        self.commits = 0
        self.refusing: VigilError | None = None
        self.dies_before = self.dies_after = -1  # the number of a commit
        self.yields = 0  # turns of the loop that a commit takes

    async def load(self, account: str, *, day: date) -> PaperState | None:
        if self.cash is None:
            return None
        return PaperState(
            self.cash, tuple(self.orders.values()), tuple(self.fills.values()), self.opening
        )

    async def keep(
        self,
        account: str,
        *,
        orders: Sequence[BrokerOrder] = (),
        fills: Sequence[Fill] = (),
        cash: int,
        opening: Sequence[BrokerPosition] | None = None,
    ) -> None:
        number, self.commits = self.commits, self.commits + 1
        for _ in range(self.yields):
            await asyncio.sleep(0)
        if self.refusing is not None:
            raise self.refusing
        if number == self.dies_before:
            await asyncio.Event().wait()
        self._commit(orders, fills, cash, opening)
        if number == self.dies_after:
            await asyncio.Event().wait()

    def _commit(
        self,
        orders: Sequence[BrokerOrder],
        fills: Sequence[Fill],
        cash: int,
        opening: Sequence[BrokerPosition] | None,
    ) -> None:
        for fill in fills:
            if fill.trade_id in self.fills:
                raise BadRequest(f"{fill.trade_id} is known")
        for order in orders:
            known = self.orders.get(order.order_id)
            if known is not None and known.status.final:
                raise BadRequest(f"{order.order_id} is final")
        if opening is not None:
            self.opening, self.fills = tuple(opening), {}
            self.orders = {k: o for k, o in self.orders.items() if not o.status.final}
        self.cash = cash
        self.fills |= {fill.trade_id: fill for fill in fills}
        self.orders |= {order.order_id: order for order in orders}


class Quotes:
    """The broker's REST quotes."""

    def __init__(self) -> None:
        self.told: dict[str, PolledQuote] = {}
        self.asked: list[tuple[str, ...]] = []

    async def quotes(self, instrument_keys: Sequence[str]) -> list[PolledQuote]:
        self.asked.append(tuple(instrument_keys))
        await asyncio.sleep(0)
        return [self.told[key] for key in instrument_keys if key in self.told]


@dataclass
class Rig:
    rules: PaperRules = field(default_factory=PaperRules)
    fallback: bool = True
    disk: Disk = field(default_factory=Disk)
    ledger: PaperLedger | None = None  # in place of the disk
    cash: int = PaperRules().cash
    clock: ManualClock = field(default_factory=lambda: ManualClock(NINE_THIRTY))
    hours: TradingHours = field(default_factory=lambda: all_day("NSE_FO", "NSE_EQ", "NSE_INDEX"))

    def __post_init__(self) -> None:
        self.market_data = MarketDataService(self.clock)
        self.quotes = Quotes()
        heard = self.market_data if self.rules.ticks else MarketDataService(self.clock)
        self.marks = Marks(
            clock=self.clock, market_data=heard, source=self.quotes, is_open=self.hours.is_open
        )
        self.broker = self.new_broker()
        self.told: list[BrokerOrder] = []
        self.positions_told: list[BrokerPosition] = []
        self.broker.order_updates.subscribe(self.told.append)
        self.broker.position_updates.subscribe(self.positions_told.append)

    def new_broker(self) -> PaperBroker:
        """Return a broker over the same disk, as after a restart."""
        return PaperBroker(
            "main",
            clock=self.clock,
            hours=self.hours,
            ledger=self.ledger or self.disk,
            market_data=self.market_data,
            marks=self.marks if self.fallback else None,
            instrument=INSTRUMENTS.get,
            rules=replace(self.rules, cash=self.cash),
        )

    # the market

    def tick(
        self,
        key: str = CALL,
        *,
        after: float = 0.1,
        parts: Part | None = None,
        connection: int = 1,
        **fields,
    ):
        """Publish a tick that was traded and received now."""
        self.clock.advance(after)
        at = self.wall_ms()
        told = tick(
            key,
            ltt=fields.pop("ltt", at),
            at=at,
            received=self.clock.monotonic(),
            **({"parts": parts} if parts else {}),
            **{k: v for k, v in fields.items() if k in ("ltp", "bid", "ask", "volume")},
        )
        rest = {k: v for k, v in fields.items() if k not in ("ltp", "bid", "ask", "volume")}
        self.publish(told._replace(**rest), connection=connection)

    def publish(self, *ticks: Tick, connection: int = 1) -> None:
        self.market_data.publish(Batch(list(ticks), connection))

    def quote(self, key: str = CALL, **fields) -> None:
        """Set what a poll will tell from now on."""
        base = {
            "ltp": 142.6,
            "ltt": self.wall_ms(),
            "bid": 142.5,
            "bid_qty": 300,
            "ask": 142.7,
            "ask_qty": 225,
            "day_low": 121.4,
            "day_high": 149.9,
            "lower_circuit": 90.0,
            "upper_circuit": 200.0,
        }
        self.quotes.told[key] = PolledQuote(key, **(base | fields))

    def wall_ms(self) -> int:
        return round(self.clock.now().timestamp() * 1000)

    # orders

    async def place(self, *args, **fields) -> str:
        return (await self.broker.place(line(*args, **fields)))[0]

    def state(self, order_id: str) -> BrokerOrder:
        """Return what was told last about an order."""
        return next(o for o in reversed(self.told) if o.order_id == order_id)

    def words(self, order_id: str) -> list[str]:
        return [o.raw_status for o in self.told if o.order_id == order_id]

    async def settle(self) -> None:
        """Let everything that was decided reach the disk."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def fills(self) -> list[tuple[int, float]]:
        return [(f.side.sign * f.quantity, f.price) for f in await self.broker.trades()]


async def opened(**fields) -> Rig:
    rig = Rig(**fields)
    await rig.broker.start()
    return rig


def line(
    side: Side = Side.BUY,
    quantity: int = 75,
    *,
    key: str = CALL,
    price: float = 0.0,
    trigger: float = 0.0,
    product: Product = Product.DELIVERY,
    validity: Validity = Validity.DAY,
    tag: str = "vigil-1",
) -> Line:
    """Build a line; its order type follows from which prices are given."""
    kinds = {
        (False, False): OrderType.MARKET,
        (True, False): OrderType.LIMIT,
        (True, True): OrderType.SL,
        (False, True): OrderType.SL_M,
    }
    kind = kinds[bool(price), bool(trigger)]
    request = OrderRequest(
        "main", key, side, quantity, product, kind, "nonce", price, trigger, validity
    )
    return Line(tag, request)


def working(orders: Sequence[BrokerOrder]) -> list[BrokerOrder]:
    return [o for o in orders if o.status is OrderStatus.WORKING]
