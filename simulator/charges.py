"""What an executed order costs beside its price, at NSE rates as published in October 2025.

Rates change (the securities transaction tax of derivatives was raised after that date): these are
constants of a simulation, not advice. Sources of the day: the broker's price list for brokerage
and GST, the exchange's for transaction and investor protection, the Finance Act for the tax.

Brokerage is 20 rupees flat for each executed order, of every segment. GST is 18 % of brokerage
and of all that exchange and regulator charge. Derivatives are charged alike for both products.
An option's turnover is its premium. The broker is its own clearing member: clearing is free.
"""

from dataclasses import dataclass
from typing import Final

from simulator.model import Instrument

AS_OF: Final = "2025-10"
BROKERAGE: Final = 20.0  # rupees an executed order
GST: Final = 0.18
SEBI: Final = 1e-6  # of the turnover: ten rupees a crore
DP_CHARGE: Final = 20.0  # rupees for taking shares out of the depository; not in the total


@dataclass(frozen=True, slots=True)
class Rates:
    """Parts of the turnover."""

    stt_buy: float
    stt_sell: float
    stamp_duty: float  # on buying only
    transaction: float
    ipft: float


DELIVERY: Final = Rates(0.001, 0.001, 0.00015, 0.0000297, 0.000001)
INTRADAY: Final = Rates(0.0, 0.00025, 0.00003, 0.0000297, 0.000001)
FUTURE: Final = Rates(0.0, 0.0002, 0.00002, 0.0000173, 0.000001)
OPTION: Final = Rates(0.0, 0.001, 0.00003, 0.0003503, 0.000005)


@dataclass(frozen=True, slots=True)
class Charges:
    """Rupees, each rounded to the paisa."""

    brokerage: float
    gst: float
    stt: float
    stamp_duty: float
    transaction: float
    clearing: float
    ipft: float
    sebi_turnover: float

    @property
    def total(self) -> float:
        parts = (self.brokerage, self.gst, self.stt, self.stamp_duty)
        return round(sum(parts) + self.other, 2)

    @property
    def other(self) -> float:
        return self.transaction + self.clearing + self.ipft + self.sebi_turnover


def charge(
    instrument: Instrument, quantity: int, price: float, *, product: str, selling: bool
) -> Charges:
    """Return what one executed order of `quantity` units (above 0) at `price` is charged."""
    turnover = quantity * price
    rates = _rates(instrument, product)
    transaction = round(turnover * rates.transaction, 2)
    ipft = round(turnover * rates.ipft, 2)
    sebi = round(turnover * SEBI, 2)
    return Charges(
        brokerage=BROKERAGE,
        gst=round(GST * (BROKERAGE + transaction + ipft + sebi), 2),
        stt=round(turnover * (rates.stt_sell if selling else rates.stt_buy), 2),
        stamp_duty=0.0 if selling else round(turnover * rates.stamp_duty, 2),
        transaction=transaction,
        clearing=0.0,
        ipft=ipft,
        sebi_turnover=sebi,
    )


def _rates(instrument: Instrument, product: str) -> Rates:
    match instrument.instrument_type:
        case "CE" | "PE":
            return OPTION
        case "FUT":
            return FUTURE
        case _:
            return INTRADAY if product == "I" else DELIVERY
