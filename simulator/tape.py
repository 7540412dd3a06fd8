"""What a trade, a moved book and a new day do to a quote."""

from typing import Final

from simulator.model import Bar, Quote

MINUTE: Final = 60_000  # ms
MINUTES_KEPT: Final = 900  # bars of the longest session (MCX); an open-ended one keeps its latest
LEVELS: Final = 5
Level = tuple[float, int]
EMPTY: Final[Level] = (0.0, 0)  # how the exchange sends a level that nobody stands on


def minute_of(at: int) -> int:
    """Return the start of the minute; IST is whole minutes from UTC."""
    return at - at % MINUTE


def new_quote(price: float, *, at: int, day: int, close: float) -> Quote:
    """Return a quote that opens at a price without a trade; `day` is the day's midnight."""
    return Quote(
        ltp=price,
        ltt=at,
        ltq=0,
        close=close,
        day=Bar(day, price, price, price, price),
        minute=Bar(minute_of(at), price, price, price, price),
    )


def print_trade(quote: Quote, price: float, quantity: int, at: int) -> None:
    """Enter a trade; an index, which does not trade, prints with quantity 0."""
    if quote.ltt < quote.day.start:
        quote.day = Bar(quote.day.start, price, price, price, price, quantity)
    else:
        quote.day.add(price, quantity)
    quote.ltp = price
    quote.ltt = at
    start = at - at % MINUTE
    if quote.minute.start == start:
        quote.minute.add(price, quantity)
    else:
        _next_minute(quote, Bar(start, price, price, price, price, quantity))
    if quantity:
        volume = quote.volume + quantity
        quote.atp = (quote.atp * quote.volume + price * quantity) / volume
        quote.volume = volume
        quote.ltq = quantity


def _next_minute(quote: Quote, bar: Bar) -> None:
    if quote.minute.start >= quote.day.start:
        quote.minutes.append(quote.minute)
    if len(quote.minutes) > MINUTES_KEPT:
        del quote.minutes[0]
    quote.minute = bar


def roll_day(quote: Quote, day: int) -> None:
    """Begin a new day: the last price becomes the previous close, counters start from nothing.

    Until the first trade the day's bar stands at that price and the minute bar is yesterday's
    last, as the broker shows them; neither enters the new day's open, high, low or minutes.
    """
    price = quote.ltp
    quote.close = price
    quote.previous_oi = quote.oi
    quote.day = Bar(day, price, price, price, price)
    quote.minutes.clear()
    quote.volume = 0
    quote.ltq = 0
    quote.atp = 0.0


def ladder(best: int, step: int, tick: int, unit: int, bits: int) -> list[Level]:
    """Return five levels from the best price on, in ticks of `tick` paise.

    `step` is -1 for bids and 1 for asks, `unit` the smallest quantity; 60 random `bits` decide
    quantities and gaps. A bid that would fall below one tick is empty.
    """
    levels = []
    for _ in range(LEVELS):
        if best > 0:
            levels.append((best * tick / 100, unit * (1 + (bits & 1023))))
        else:
            levels.append(EMPTY)
        best += step + step * (bits >> 10 & 1)
        bits >>= 12
    return levels
