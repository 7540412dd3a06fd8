"""Ticks for tests: whole ones, and ones that leave parts out."""

from trading.model import UNKNOWN, UNKNOWN_COUNT, Batch, Level, Part, Tick

NIFTY = "NSE_INDEX|Nifty 50"
CALL = "NSE_FO|45450"
T0 = 1_764_129_600_000  # 2025-11-26 09:30:00 IST
ALL = Part(511)


def tick(
    key: str = CALL,
    *,
    ltp: float = 142.6,
    ltt: int = T0,
    volume: int = 1000,
    bid: float = 142.5,
    ask: float = 142.7,
    at: int | None = None,
    received: float = 1000.0,
    parts: Part = ALL,
    depth: tuple[Level, ...] | None = None,
) -> Tick:
    """Build what a decoder would: fields of parts that did not come are unknown."""

    def have(part: Part, value: float) -> float:
        return value if parts & part else UNKNOWN

    def count(part: Part, value: int) -> int:
        return value if parts & part else UNKNOWN_COUNT

    return Tick(
        instrument_key=key,
        ltp=have(Part.PRICE, ltp),
        ltt=ltt if parts & Part.PRICE else 0,
        ltq=count(Part.PRICE, 75),
        close=have(Part.CLOSE, 131.2),
        bid=have(Part.BOOK, bid),
        bid_qty=count(Part.BOOK, 300),
        ask=have(Part.BOOK, ask),
        ask_qty=count(Part.BOOK, 225),
        volume=count(Part.VOLUME, volume),
        atp=have(Part.VOLUME, 137.44),
        oi=have(Part.OI, 3_127_500.0),
        iv=have(Part.IV, 0.1174),
        delta=have(Part.GREEKS, 0.4821),
        theta=have(Part.GREEKS, -9.12),
        gamma=have(Part.GREEKS, 0.0008),
        vega=have(Part.GREEKS, 14.02),
        rho=have(Part.GREEKS, 2.7),
        total_buy=have(Part.TOTALS, 412_575.0),
        total_sell=have(Part.TOTALS, 389_100.0),
        day_open=have(Part.DAY, 128.0),
        day_high=have(Part.DAY, 149.9),
        day_low=have(Part.DAY, 121.4),
        exchange_ts=ltt if at is None else at,
        received=received,
        price_received=have(Part.PRICE, received),
        book_received=have(Part.BOOK, received),
        greeks_received=have(Part.GREEKS, received),
        parts=int(parts),
        is_mock=True,
        depth=depth,
    )


def batch(*ticks: Tick, generation: int = 1) -> Batch:
    return Batch(list(ticks), generation)
