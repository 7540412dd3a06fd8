"""What executing an order costs beside its price: brokerage, taxes and fees, an estimate.

Rates are the published ones of the day of the trade: the broker's price list (Upstox), NSE's and
BSE's transaction charges since October 2024, the Finance Acts for the transaction tax (raised on
derivatives on 2024-10-01 and 2026-04-01). Contract notes round the tax and the stamp duty to
rupees over the whole day; here every part is rounded to the paisa, so that a note may differ by
less than a rupee a part. Depository charges and BSE's groups of shares are left out.
"""

from dataclasses import dataclass
from datetime import date
from typing import Final

from trading.model import Instrument, InstrumentType
from trading.order import Product, Side

BROKERAGE: Final = 2_000  # paise, the most for an executed order
GST: Final = 0.18  # of brokerage and of what exchange and regulator take
SEBI: Final = 1e-6  # of the turnover: ten rupees a crore
OPTIONS: Final = (InstrumentType.CALL, InstrumentType.PUT)


@dataclass(frozen=True, slots=True)
class Charges:
    """Paise."""

    brokerage: int = 0
    transaction_tax: int = 0
    exchange: int = 0  # transaction charges and the investor protection fund
    regulator: int = 0
    gst: int = 0
    stamp_duty: int = 0

    @property
    def total(self) -> int:
        return (
            self.brokerage
            + self.transaction_tax
            + self.exchange
            + self.regulator
            + self.gst
            + self.stamp_duty
        )


@dataclass(frozen=True, slots=True)
class _Rates:
    """Parts of the turnover; of an option, of its premium."""

    brokerage: float  # at most BROKERAGE; 1.0 means flat
    tax_buy: float
    tax_sell: float
    stamp_duty: float  # on buying only
    nse: float
    nse_fund: float
    bse: float


@dataclass(frozen=True, slots=True)
class _Taxes:
    """The transaction tax on derivatives from a day on."""

    since: date
    future: float
    premium: float
    exercise: float  # of the intrinsic value, paid by the holder of an option that expires in it


_DELIVERY: Final = _Rates(1.0, 0.001, 0.001, 0.00015, 0.0000297, 0.000001, 0.0000375)
_INTRADAY: Final = _Rates(0.001, 0.0, 0.00025, 0.00003, 0.0000297, 0.000001, 0.0000375)
_FUTURE: Final = _Rates(0.0005, 0.0, 0.0, 0.00002, 0.0000173, 0.000001, 0.0)
_OPTION: Final = _Rates(1.0, 0.0, 0.0, 0.00003, 0.0003503, 0.000005, 0.000325)
_TAXES: Final = (
    _Taxes(date(2026, 4, 1), 0.0005, 0.0015, 0.0015),
    _Taxes(date(2024, 10, 1), 0.0002, 0.001, 0.00125),
    _Taxes(date.min, 0.000125, 0.000625, 0.00125),
)


def charges(instrument: Instrument, product: Product, side: Side, value: int, day: date) -> Charges:
    """Return what one executed order of this turnover (paise) costs on an IST day."""
    rates = _rates(instrument, product)
    bse = instrument.segment.startswith("BSE")
    brokerage = min(BROKERAGE, round(rates.brokerage * value))
    exchange = round(value * rates.bse) if bse else _nse(value, rates)
    regulator = round(value * SEBI)
    return Charges(
        brokerage=brokerage,
        transaction_tax=round(value * _tax(instrument, rates, side, day)),
        exchange=exchange,
        regulator=regulator,
        gst=round(GST * (brokerage + exchange + regulator)),
        stamp_duty=round(value * rates.stamp_duty) if side is Side.BUY else 0,
    )


def exercise(instrument: Instrument, closes: Side, intrinsic: int, day: date) -> Charges:
    """Return what the expiry of a position costs that a fill on side `closes` ends (paise)."""
    if instrument.type not in OPTIONS or closes is Side.BUY:
        return Charges()  # the writer of an option and the holder of a future pay nothing
    return Charges(transaction_tax=round(intrinsic * _taxes(day).exercise))


def _nse(value: int, rates: _Rates) -> int:
    return round(value * rates.nse) + round(value * rates.nse_fund)


def _rates(instrument: Instrument, product: Product) -> _Rates:
    if instrument.type in OPTIONS:
        return _OPTION
    if instrument.type is InstrumentType.FUTURE:
        return _FUTURE
    return _INTRADAY if product is Product.INTRADAY else _DELIVERY


def _tax(instrument: Instrument, rates: _Rates, side: Side, day: date) -> float:
    if side is Side.BUY:
        return rates.tax_buy
    if instrument.type in OPTIONS:
        return _taxes(day).premium
    if instrument.type is InstrumentType.FUTURE:
        return _taxes(day).future
    return rates.tax_sell


def _taxes(day: date) -> _Taxes:
    return next(taxes for taxes in _TAXES if day >= taxes.since)
