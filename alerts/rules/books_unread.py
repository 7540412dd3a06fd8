"""The broker's books could not be read."""

from collections.abc import Iterator

from alerts.sight import Sight
from alerts.words import duration
from trading.health import Component, Finding, Severity

OPEN_MARKET_ONLY = True


def check(sight: Sight) -> Iterator[Finding]:
    if not sight.market_open:
        return
    for books in sight.books:
        if books.failed:
            age = books.age
            known = "they were never read" if age is None else f"last read {duration(age)} ago"
            yield Finding(
                rule="books_unread",
                component=Component.BOOKS,
                severity=Severity.WARNING,
                what=f"books not read: {books.account}, {books.failed}",
                meaning=f"Fills and cancels may have happened that you do not see: {known}",
                act="Nothing: they are read again every few seconds",
                about=books.account,
            )
