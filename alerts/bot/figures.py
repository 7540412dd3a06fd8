"""Numbers of the desk for the phone, each with its age and source, or why it is missing."""

from alerts import words
from trading.desk import Desk, World
from trading.health import Check
from trading.hours import Phase
from trading.marks import Mark
from trading.model import Instrument, segment_of
from trading.positions import Value
from trading.trust import STALE_AFTER


def age(seconds: float) -> str:
    """Return `0.3 s`, `43 s`, `2 min 10 s`."""
    return f"{max(0.0, seconds):.1f} s" if seconds < 9.95 else words.duration(seconds)


def source(letter: str, world: World) -> str:
    """Return where a price came from: the feed, or a quote that was asked for."""
    if letter == "R":
        return "asked for" if not world.is_mock else "asked for, simulated"
    if world.exchange == "replay":
        return "replayed"
    return "simulated" if world.is_mock else "feed"


def priced(mark: Mark, world: World) -> str:
    """Return `142.35, 0.3 s old, simulated`; the last of a session that is over says so."""
    closed = ", market closed" if mark.closed else ""
    return f"{words.price(mark.price)}, {age(mark.age)} old, {source(mark.source, world)}{closed}"


def price_line(desk: Desk, instrument_key: str) -> str:
    """Return the price, or a dash with the reason and what was known last."""
    mark = desk.marks.of(instrument_key)
    if mark is not None:
        return priced(mark, desk.world)
    why = desk.marks.why_not(instrument_key) or "no price is known"
    tick, heard = desk.market_data.last(instrument_key), desk.market_data.price_age(instrument_key)
    if tick is None or heard is None:
        return f"{words.DASH} {why}"
    return f"{words.DASH} {why} (it was {words.price(tick.ltp)})"


def gained(paise: int | None, why: str) -> str:
    return words.gain(paise) if paise is not None else f"{words.DASH} {why or 'not known'}"


def total(value: Value) -> str:
    """Return the day's P&L, and what is not in it."""
    said = f"Day P&L {gained(value.total, value.reason)}"
    if value.total is not None and not value.complete:
        said += f" ✖ not all of it: {value.reason}"
    if value.as_of is not None and value.as_of > STALE_AFTER and not value.closed:
        said += f" (prices up to {age(value.as_of)} old)"
    return said


def unread(desk: Desk) -> str:
    """Return whose books at the broker were never read, empty if all were.

    Until then what is held there is not known, and no count of it may be told.
    """
    names = [name for name in _accounts(desk) if desk.positions.books(name).checked is None]
    return f"the books of {', '.join(names)} have not been read yet" if names else ""


def reservations(desk: Desk) -> list[str]:
    """Return lines that say why more, or less, may be held than the desk knows."""
    said = []
    if why := unread(desk):
        said.append(f"✖ {why}: there may be positions and orders that the desk does not know")
    for account in _accounts(desk):
        books = desk.positions.books(account)
        if books.failed and books.checked is not None:
            last = words.moment(books.checked, desk.clock.now())
            said.append(f"✖ the books of {account} were last read at {last}: {books.failed}")
        apart = [row for row in books.rows if row.agree is False]
        if apart:
            what = ", ".join(f"{name(desk, r.instrument_key)} ({r.reason})" for r in apart)
            said.append(f"✖ the broker's book of {account} differs in {what}: look at Positions")
    return said


def differs(desk: Desk) -> bool:
    """Return whether a broker's book says something else than our own count."""
    return any(desk.positions.differs(account) for account in _accounts(desk))


def _accounts(desk: Desk) -> list[str]:
    return [state.account.id for state in desk.accounts.all()]


def checked(check: Check) -> str:
    """Return one line of the inputs, or of the checklist."""
    if check.good:
        return f"✅ {check.name}: {check.words}"
    glyph = "❌" if check.grave else "⚠️"
    return f"{glyph} {check.name}: {check.words}" + (f" → {check.fix}" if check.fix else "")


def segment(desk: Desk) -> str:
    """Return whose session counts for the desk as a whole: that of the first index."""
    return segment_of(desk.canaries[0]) if desk.canaries else "NSE_EQ"


def session(desk: Desk) -> str:
    """Return `NSE_INDEX open until 15:30`, `closed (Diwali), opens Mon 24 Nov 09:15`."""
    now = desk.clock.now()
    state = desk.hours.state(segment(desk), now)
    named = f" ({state.name})" if state.name else ""
    said = f"Market {state.phase}{named}"
    if state.phase is Phase.OPEN and state.until:
        return f"{said} until {words.moment(state.until, now)} IST"
    if state.next_open:
        return f"{said}, opens {words.moment(state.next_open, now)} IST"
    return said


def name(desk: Desk, instrument_key: str) -> str:
    return words.name(instrument(desk, instrument_key), instrument_key)


def instrument(desk: Desk, instrument_key: str) -> Instrument | None:
    return desk.catalogue.get(instrument_key)
