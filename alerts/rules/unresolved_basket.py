"""A basket that ended with something left, or nobody knows: a person must look."""

from collections.abc import Iterator

from alerts.sight import Sight
from trading.basket import left_words
from trading.health import Component, Finding, Severity


def check(sight: Sight) -> Iterator[Finding]:
    for basket in sight.baskets:
        yield Finding(
            rule="unresolved_basket",
            component=Component.BOOKS,
            severity=Severity.CRITICAL,
            what=f"basket unresolved: {basket.name or basket.id}",
            meaning=f"Left of it: {left_words(basket.legs)}. {basket.reason}".rstrip(),
            act="Close what is left, or take note of it on the Baskets page",
            about=basket.id,
            at_once=True,
            instruments=tuple(dict.fromkeys(leg.request.instrument_key for leg in basket.legs)),
        )
