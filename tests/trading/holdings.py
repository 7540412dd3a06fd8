"""A position book with prices, time and a quote source that tests decide about."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from tests.ticks import ALL, CALL, batch, tick
from trading.clock import ManualClock
from trading.errors import VigilError
from trading.market_data import MarketDataService
from trading.marks import Marks
from trading.model import UNKNOWN, Part
from trading.order import Account, BrokerPosition, Fill, OrderFills, Product, Side
from trading.orders import BookRead
from trading.ports import PolledQuote
from trading.positions import Position, PositionBook, PositionMoved

MORNING = datetime(2025, 11, 26, 4, 0, tzinfo=UTC)  # 09:30 IST, a Wednesday
PUT = "NSE_FO|45451"
MAIN = Account("main", "Main", primary=True, is_mock=True)
OTHER = Account("other", "Other", primary=False, is_mock=True)


class Quotes:
    """The far side of the port: answers with what the test has put there, or fails."""

    def __init__(self) -> None:
        self.answers: dict[str, PolledQuote] = {}
        self.asked: list[list[str]] = []
        self.fails: VigilError | None = None
        self.while_asked: Callable[[], None] = lambda: None

    async def quotes(self, instrument_keys: Sequence[str]) -> list[PolledQuote]:
        self.asked.append(list(instrument_keys))
        self.while_asked()
        if self.fails:
            raise self.fails
        return [self.answers[key] for key in instrument_keys if key in self.answers]


def quote(
    key: str = CALL, ltp: float = 145.0, *, ltt: int, low: float = 121.4, high: float = 149.9
) -> PolledQuote:
    return PolledQuote(key, ltp, ltt, ltp - 0.1, 150, ltp + 0.1, 75, low, high, 50.0, 250.0)


class House:
    def __init__(self, *accounts: Account) -> None:
        self.accounts = accounts or (MAIN,)
        self.clock = ManualClock(MORNING)
        self.market_data = MarketDataService(self.clock)
        self.quotes = Quotes()
        self.is_open = True
        self.marks = Marks(
            clock=self.clock,
            market_data=self.market_data,
            source=self.quotes,
            is_open=lambda _segment, _at: self.is_open,
        )
        self.book = PositionBook(self.accounts, clock=self.clock, marks=self.marks)
        self.moves: list[PositionMoved] = []
        self.book.changes.subscribe(self.moves.append)
        self.orders: dict[str, list[Fill]] = {}

    @property
    def now_ms(self) -> int:
        return int(self.clock.now().timestamp() * 1000)

    def price(self, ltp: float, key: str = CALL, *, parts: Part = ALL) -> None:
        """Let a tick arrive now."""
        self.market_data.publish(
            batch(tick(key, ltp=ltp, ltt=self.now_ms, received=self.clock.monotonic(), parts=parts))
        )

    def fill(
        self,
        units: int,
        price: float,
        *,
        order: str,
        key: str = CALL,
        account: str = "main",
        product: Product = Product.INTRADAY,
    ) -> Fill:
        """Fill so many units more of an order, sold if negative; tell all of its fills."""
        fill = Fill(
            account=account,
            order_id=order,
            trade_id=f"{order}-{len(self.orders.get(order, []))}",
            instrument_key=key,
            product=product,
            side=Side.BUY if units > 0 else Side.SELL,
            quantity=abs(units),
            price=price,
            at=self.clock.now(),
            is_mock=True,
        )
        self.orders.setdefault(order, []).append(fill)
        self.tell(order)
        return fill

    def tell(self, order: str) -> None:
        fills = tuple(self.orders[order])
        self.book.on_fills(OrderFills(fills[0].account, order, fills))

    def settle(self, order: str, *prices: float) -> None:
        """Let the broker's own rows of trades come, with these prices."""
        known = self.orders[order]
        self.orders[order] = [
            replace(f, price=price, trade_id=f"row-{n}")
            for n, (f, price) in enumerate(zip(known, prices, strict=True))
        ]
        self.tell(order)

    def read(self, *rows: BrokerPosition, account: str = "main") -> None:
        """Let a reading of the broker's three books succeed; its trades are our fills."""
        trades = tuple(f for fills in self.orders.values() for f in fills if f.account == account)
        self.book.on_read(BookRead(account, (), trades, rows, self.clock.now()))

    def read_later(self, *rows: BrokerPosition, seconds: float = 4.0) -> None:
        self.clock.advance(seconds)
        self.read(*rows)

    def only(self) -> Position:
        positions = self.book.positions()
        assert len(positions) == 1, positions
        return positions[0]


def row(
    quantity: int,
    *,
    key: str = CALL,
    bought: tuple[int, float] = (0, 0.0),
    sold: tuple[int, float] = (0, 0.0),
    carried: int = 0,
    carried_at: float = 0.0,
    account: str = "main",
    product: Product = Product.INTRADAY,
    multiplier: float = 1.0,
) -> BrokerPosition:
    """Build a broker's row: units and value bought and sold today, and what was carried over."""
    long, short = max(carried, 0), max(-carried, 0)
    return BrokerPosition(
        account=account,
        instrument_key=key,
        product=product,
        quantity=quantity,
        multiplier=multiplier,
        day_buy_quantity=bought[0],
        day_buy_value=bought[1],
        day_sell_quantity=sold[0],
        day_sell_value=sold[1],
        overnight_quantity=carried,
        overnight_buy_quantity=long,
        overnight_buy_amount=long * carried_at,
        overnight_sell_quantity=short,
        overnight_sell_amount=short * carried_at,
        last_price=UNKNOWN,
        close_price=UNKNOWN,
    )
