"""Which position somebody means: by its number in /pos, by a part of its name, or by its key."""

from collections.abc import Sequence

from alerts.bot import figures
from trading.desk import Desk
from trading.order import Product
from trading.positions import Position


def open_positions(desk: Desk) -> list[Position]:
    """Return what is open, in an order that does not depend on prices: the numbers of /pos."""
    held = (p for p in desk.positions.positions() if p.quantity)
    return sorted(held, key=lambda p: (figures.name(desk, p.instrument_key), p.account, p.product))


def find(desk: Desk, words: Sequence[str]) -> list[Position]:
    """Return the open positions that these words name; none, or several, is for the caller."""
    held = open_positions(desk)
    if not words:
        return held
    if len(words) == 1 and words[0].isascii() and words[0].isdigit() and len(words[0]) < 4:
        number = int(words[0])
        return [held[number - 1]] if 0 < number <= len(held) else []
    whole = " ".join(words)
    if exact := [p for p in held if reference(p) == whole]:
        return exact
    return [p for p in held if all(w.upper() in _named(desk, p) for w in words)]


def reference(position: Position) -> str:
    """Return what a button says to name it, whatever number it has by then."""
    return f"{position.account} {position.instrument_key} {position.product.value}"


def product(position: Position) -> str:
    return {Product.INTRADAY: "intraday", Product.DELIVERY: "carried forward"}.get(
        position.product, "margin trading"
    )


def _named(desk: Desk, position: Position) -> str:
    name = figures.name(desk, position.instrument_key)
    return f"{name} {name.replace(' ', '')} {position.instrument_key}".upper()
