"""What a new database knows of trading hours before the broker or the trader has said anything.

These rows are only a start: the broker's calendar replaces whole years of them. Left out on
purpose are days of which we know that they are special but not how (the broker will say):
Sunday 2026-11-08 has a Muhurat session whose hours had not been published, and on most holidays
of the exchanges the commodity segments are closed only until 17:00.
"""

from datetime import date, time
from typing import Final

from sqlalchemy import Connection

from storage import hours
from trading.hours import Holiday, Phase, SpecialSession, TemplateSession

CASH: Final = ("NSE_EQ", "NSE_INDEX", "BSE_EQ", "BSE_INDEX")
DERIVATIVES: Final = ("NSE_FO", "BSE_FO")
CURRENCY: Final = ("NCD_FO", "BCD_FO")
COMMODITY: Final = ("MCX_FO", "MCX_INDEX", "NSE_COM")
SECURITIES: Final = (*CASH, *DERIVATIVES, *CURRENCY)

OPENS: Final = time(9, 15)
CLOSES: Final = time(15, 30)
AUCTION: Final = date(2026, 8, 3)  # closing auction for cash, ten minutes more for derivatives
BEFORE_AUCTION: Final = date(2026, 8, 2)
FUTURES_PRE_OPEN: Final = date(2025, 12, 8)

# While New York is on winter time the commodity exchanges stay open until 23:55.
WINTERS: Final = (
    (date(2023, 11, 6), date(2024, 3, 8)),
    (date(2024, 11, 4), date(2025, 3, 7)),
    (date(2025, 11, 3), date(2026, 3, 6)),
    (date(2026, 11, 2), date(2027, 3, 12)),
)

# Trading holidays of NSE and BSE on weekdays. A day with a Muhurat session is a holiday too.
HOLIDAYS: Final = {
    date(2024, 1, 22): "Ram Mandir consecration",
    date(2024, 1, 26): "Republic Day",
    date(2024, 3, 8): "Mahashivratri",
    date(2024, 3, 25): "Holi",
    date(2024, 3, 29): "Good Friday",
    date(2024, 4, 11): "Id-ul-Fitr",
    date(2024, 4, 17): "Ram Navami",
    date(2024, 5, 1): "Maharashtra Day",
    date(2024, 5, 20): "General elections, Mumbai",
    date(2024, 6, 17): "Bakri Id",
    date(2024, 7, 17): "Moharram",
    date(2024, 8, 15): "Independence Day",
    date(2024, 10, 2): "Gandhi Jayanti",
    date(2024, 11, 1): "Diwali Laxmi Pujan",
    date(2024, 11, 15): "Gurunanak Jayanti",
    date(2024, 11, 20): "Assembly elections, Maharashtra",
    date(2024, 12, 25): "Christmas",
    date(2025, 2, 26): "Mahashivratri",
    date(2025, 3, 14): "Holi",
    date(2025, 3, 31): "Id-ul-Fitr",
    date(2025, 4, 10): "Mahavir Jayanti",
    date(2025, 4, 14): "Ambedkar Jayanti",
    date(2025, 4, 18): "Good Friday",
    date(2025, 5, 1): "Maharashtra Day",
    date(2025, 8, 15): "Independence Day",
    date(2025, 8, 27): "Ganesh Chaturthi",
    date(2025, 10, 2): "Gandhi Jayanti, Dussehra",
    date(2025, 10, 21): "Diwali Laxmi Pujan",
    date(2025, 10, 22): "Diwali Balipratipada",
    date(2025, 11, 5): "Gurunanak Jayanti",
    date(2025, 12, 25): "Christmas",
    date(2026, 1, 15): "Municipal elections, Maharashtra",
    date(2026, 1, 26): "Republic Day",
    date(2026, 3, 3): "Holi",
    date(2026, 3, 26): "Ram Navami",
    date(2026, 3, 31): "Mahavir Jayanti",
    date(2026, 4, 3): "Good Friday",
    date(2026, 4, 14): "Ambedkar Jayanti",
    date(2026, 5, 1): "Maharashtra Day",
    date(2026, 5, 28): "Bakri Id",
    date(2026, 6, 26): "Moharram",
    date(2026, 9, 14): "Ganesh Chaturthi",
    date(2026, 10, 2): "Gandhi Jayanti",
    date(2026, 10, 20): "Dussehra",
    date(2026, 11, 10): "Diwali Balipratipada",
    date(2026, 11, 24): "Gurunanak Jayanti",
    date(2026, 12, 25): "Christmas",
}

# The few on which the commodity segments are closed for the evening as well.
WHOLE_DAYS: Final = (
    "Republic Day",
    "Good Friday",
    "Independence Day",
    "Gandhi Jayanti",
    "Christmas",
)

# Sessions on days without an ordinary one, the same for all of cash and derivatives.
SPECIALS: Final = (
    (date(2024, 1, 20), OPENS, CLOSES, "Saturday session"),
    (date(2024, 3, 2), OPENS, time(10, 0), "Disaster recovery drill"),
    (date(2024, 3, 2), time(11, 30), time(12, 30), "Disaster recovery drill"),
    (date(2024, 5, 18), OPENS, time(10, 0), "Disaster recovery drill"),
    (date(2024, 5, 18), time(11, 45), time(12, 40), "Disaster recovery drill"),
    (date(2024, 11, 1), time(18, 0), time(19, 0), "Muhurat"),
    (date(2025, 2, 1), OPENS, CLOSES, "Budget session"),
    (date(2025, 10, 21), time(13, 45), time(14, 45), "Muhurat"),
)


def seed(connection: Connection) -> None:
    """Write the defaults, in place of older ones."""
    hours.keep_templates(connection, "default", templates())
    hours.keep(connection, "default", holidays=holidays(), specials=specials())


def templates() -> list[TemplateSession]:
    return [*_cash(), *_derivatives(), *_currency(), *_commodity()]


def holidays() -> list[Holiday]:
    closed = [Holiday(day, s, name) for day, name in HOLIDAYS.items() for s in SECURITIES]
    return closed + [
        Holiday(day, segment, name)
        for day, name in HOLIDAYS.items()
        if name.startswith(WHOLE_DAYS)
        for segment in COMMODITY
    ]


def specials() -> list[SpecialSession]:
    return [
        SpecialSession(day, segment, Phase.OPEN, start, end, name)
        for day, start, end, name in SPECIALS
        for segment in (*CASH, *DERIVATIVES)
    ]


def _cash() -> list[TemplateSession]:
    """Continuous trading, and since August 2026 the closing auction after it.

    The auction of stocks that have derivatives begins at 15:15 already; the others trade until
    15:30. A segment cannot say both: what is open until 15:30 is shown as open (uncertain).
    """
    return [
        row
        for segment in CASH
        for row in (
            TemplateSession(segment, Phase.PRE_OPEN, time(9, 0), OPENS),
            TemplateSession(segment, Phase.OPEN, OPENS, CLOSES),
            TemplateSession(segment, Phase.CLOSING, CLOSES, time(15, 35), valid_from=AUCTION),
        )
    ]


def _derivatives() -> list[TemplateSession]:
    rows = [
        row
        for segment in DERIVATIVES
        for row in (
            TemplateSession(segment, Phase.OPEN, OPENS, CLOSES, valid_to=BEFORE_AUCTION),
            TemplateSession(segment, Phase.OPEN, OPENS, time(15, 40), valid_from=AUCTION),
        )
    ]
    pre_open = TemplateSession(
        "NSE_FO", Phase.PRE_OPEN, time(9, 0), OPENS, valid_from=FUTURES_PRE_OPEN
    )
    return [*rows, pre_open]


def _currency() -> list[TemplateSession]:
    return [TemplateSession(s, Phase.OPEN, time(9, 0), time(17, 0)) for s in CURRENCY]


def _commodity() -> list[TemplateSession]:
    ordinary = [TemplateSession(s, Phase.OPEN, time(9, 0), time(23, 30)) for s in COMMODITY]
    longer = [
        TemplateSession(s, Phase.OPEN, time(23, 30), time(23, 55), valid_from=begin, valid_to=end)
        for s in COMMODITY
        for begin, end in WINTERS
    ]
    return ordinary + longer
