"""The broker's book says something else than ours."""

from collections.abc import Iterator

from alerts.sight import Sight
from alerts.words import count
from trading.health import Component, Finding, Severity

OPEN_MARKET_ONLY = True


def check(sight: Sight) -> Iterator[Finding]:
    if not sight.market_open:
        return
    for books in sight.books:
        wrong = [row for row in books.rows if row.agree is False]
        if wrong:
            names = tuple(row.instrument_key for row in wrong)
            many = count(len(names), "instrument")
            yield Finding(
                rule="books_differ",
                component=Component.BOOKS,
                severity=Severity.WARNING,
                what=f"books differ: {books.account}, {sight.name(names[0])}: {wrong[0].reason}",
                meaning=f"You may hold more or less than is shown: {many}",
                act="Look at Positions: it is read again, and there you can adopt the broker's",
                about=books.account,
                instruments=names,
            )
