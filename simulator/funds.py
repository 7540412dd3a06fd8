"""What an account has and has used, in the rows of both versions of the funds call.

Figures are signed so that they always add up: what is free is the opening balance less all that
is used. More premium received than paid is a premium below 0, a realised gain a loss below 0.
Charges are not booked, and unrealised losses are not collected.
"""

from dataclasses import dataclass

from simulator.envelope import Json
from simulator.margin import Row, blocked, is_option
from simulator.portfolio import Account, PriceOf


@dataclass(frozen=True, slots=True)
class Funds:
    """Rupees. `blocked` holds the margins of positions and working orders, without premiums."""

    opening: float
    blocked: Row
    premium: float  # paid for options today, less received, and reserved by working orders
    loss: float  # realised today, of all but options

    @property
    def used(self) -> float:
        return self.blocked.total + self.premium + self.loss

    @property
    def available(self) -> float:
        return self.opening - self.used


def funds(account: Account, price: PriceOf) -> Funds:
    """Take stock of an account."""
    held, waiting = account.lines(), account.waiting(price)
    row = max(blocked(held), blocked([*held, *waiting]), key=lambda row: row.total)
    reserved = account.used(price) - row.total
    paid = premium(account)
    return Funds(account.opening / 100, row, paid + reserved, -(account.gained() + paid))


def premium(account: Account) -> float:
    """Return the rupees that today's options have cost, less what they have brought in."""
    options = (p for p in account.positions.values() if is_option(p.line))
    return sum(p.day_buy_value - p.day_sell_value for p in options) / 100


def equity_row(money: Funds) -> Json:
    """Build the equity object of the second version; commodity is always zeros."""
    return {
        "used_margin": round(money.used, 2),
        "payin_amount": 0.0,
        "span_margin": round(money.blocked.span, 2),
        "adhoc_margin": 0.0,
        "notional_cash": 0.0,  # as at the real broker, whatever cash there is
        "available_margin": round(money.available, 2),
        "exposure_margin": round(money.blocked.exposure, 2),
    }


NOTHING = Funds(0.0, Row(), 0.0, 0.0)


def funds_row(money: Funds) -> Json:
    """Build the third version's answer of an account without pledges; pledge has no total."""
    available, opening = round(money.available, 2), round(money.opening, 2)
    return {
        "available_to_trade": {
            "total": available,
            "cash_available_to_trade": {
                "total": available,
                "cash": {
                    "opening_balance": opening,
                    "added_today": 0.0,
                    "withdrawn_today": 0.0,
                    "amount_from_stock_sale": 0.0,
                    "unpaid_charges": 0.0,
                },
                "margin_used": {**_used(money), "loss": _loss(money)},
            },
            "pledge_available_to_trade": {
                "margin_from_pledge": {"total": 0.0, "equity": 0.0, "mutual_funds": 0.0},
                "margin_used": _used(NOTHING),
            },
        },
        "unavailable_to_trade": {
            "cash_unavailable_to_trade": {
                "unsettled_profit": {"todays_profit": 0.0, "previous_days": 0.0}
            },
            "pledge_unavailable_to_trade": {"equity": 0.0, "mutual_funds": 0.0},
        },
    }


def _used(money: Funds) -> dict[str, Json]:
    return {
        "total": round(money.used, 2),
        "mtf": 0.0,
        "span_exposure": round(money.blocked.span + money.blocked.exposure, 2),
        "cash_margin_var_elm": round(money.blocked.equity, 2),
        "premium_present": round(money.premium, 2),
        "delivery_margin": {"total": 0.0, "equity": 0.0, "fo_settlement": 0.0},
    }


def _loss(money: Funds) -> Json:
    loss = round(money.loss, 2)
    return {"total": loss, "realised": loss, "unrealised": 0.0}
