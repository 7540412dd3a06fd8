"""The three-book check: what the broker says, what we count, what the stream said last."""

from datetime import datetime
from typing import Final

from nicegui import ui

from dashboard import format as fmt
from dashboard import order_words
from dashboard.frame import Tab
from dashboard.live import Age, Cell
from dashboard.search import marker
from dashboard.sheet import Shown, Tone
from trading.books import BookRow, Books
from trading.desk import Desk
from trading.errors import VigilError
from trading.model import Instrument
from trading.order import Product

LOOK: Final = 0.5  # seconds between two looks at the books
HEADINGS: Final = ("Instrument", "Broker", "Ours", "Stream", "", "")
NOTHING: Final = "No book of this account has a position today."
NOT_READ: Final = "✖ the broker's books have not been read yet"
RowKey = tuple[str, Product]


def verdict(books: Books, now: datetime) -> Shown:
    """Return in one line whether the books agree; how long ago they were read stands beside it."""
    if books.checked is None:
        because = f": {books.failed}" if books.failed else ""
        return Shown(NOT_READ + because, Tone.BAD if books.failed else Tone.NONE)
    if books.failed:
        return Shown(f"✖ {failed_words(books, now)}", Tone.BAD)
    apart = [row for row in books.rows if row.agree is False]
    if apart:
        return Shown(f"✖ {len(apart)} of {len(books.rows)} differ, checked", Tone.BAD)
    if not books.agree:
        return Shown("◔ not compared since the last fill, checked", Tone.NONE)
    return Shown("● agree, checked", Tone.GOOD)


def failed_words(books: Books, now: datetime) -> str:
    """Return since when the positions are not confirmed, and why; empty if they are."""
    if not books.failed:
        return ""
    if books.checked is None:
        return f"the broker's books could not be read: {books.failed}"
    at = fmt.moment(books.checked, now)
    return f"positions as of {at}, the broker did not answer: {books.failed}"


def row_verdict(row: BookRow) -> Shown:
    if row.agree is None:
        return Shown(f"◔ {row.reason}", Tone.MUTED)
    if not row.agree:
        return Shown(f"✖ {row.reason}", Tone.BAD)
    said = f"● agree{f': {row.reason}' if row.reason else ''}"
    if row.stream is not None and row.stream != row.ours:
        return Shown(f"{said}; the stream has not told of it", Tone.MUTED)
    return Shown(said, Tone.NONE)


def units(quantity: int | None) -> Shown:
    """Return signed units; a book that has said nothing has a dash."""
    if quantity is None:
        return Shown(fmt.DASH, Tone.NONE, "this book has said nothing of it yet")
    sign = "+" if quantity > 0 else "-" if quantity < 0 else ""
    return Shown(f"{sign}{fmt.grouped(str(abs(quantity)))}")


def adopt_words(row: BookRow, instrument: Instrument | None) -> str:
    """Return what adopting does, for the trader to confirm."""
    what = f"{order_words.title(instrument, row.instrument_key)}, "
    what += order_words.product(row.product, instrument)
    return (
        f"{what}: we count {units(row.ours).text}, the broker says {units(row.broker).text}. "
        f"Adopting makes it {units(row.broker).text} here. No order is sent and no money moves; "
        "where no fill explains the difference, its price is not known and neither is its P&L. "
        "The row says for the rest of the day that it was adjusted."
    )


class BooksView:
    """The books of all accounts, one below the other."""

    def __init__(self, desk: Desk, tab: Tab) -> None:
        with ui.element("div").classes("v-books"):
            accounts = [state.account for state in desk.accounts.all()]
            for account in accounts:
                _AccountBooks(desk, tab, account.id, account.name if len(accounts) > 1 else "")


class _AccountBooks:
    """One account: the verdict, and a row for each position in any of its books."""

    def __init__(self, desk: Desk, tab: Tab, account: str, name: str) -> None:
        self._desk, self._tab, self._account = desk, tab, account
        self._rows: dict[RowKey, _Row] = {}
        with ui.element("section").classes("v-book-account") as self._box:
            if name:
                ui.label(name).classes("v-title")
            with ui.element("div").classes("v-verdict").props('role="status"'):
                self._verdict = Cell(tab.live, "status").mark(f"books-{account}")
                self._age = Age(tab.live, "va")
                self._ago = ui.label("ago")
            with ui.element("div").classes("v-head v-book-row").props('role="row"'):
                for heading in HEADINGS:
                    ui.label(heading).props('role="columnheader"')
            self._body = ui.element("div")
            self._empty = ui.label(NOTHING).classes("v-empty")
        self._look()
        ui.timer(LOOK, self._look)

    def _look(self) -> None:
        desk = self._desk
        books = desk.positions.books(self._account)
        self._verdict.show(verdict(books, desk.clock.now()))
        if books.age is not None:
            self._age.start(desk.clock.monotonic() - books.age)
        for element in (self._age, self._ago):
            element.set_visibility(books.age is not None and not books.failed)
        rows = {(row.instrument_key, row.product): row for row in books.rows}
        for key in self._rows.keys() - rows.keys():
            self._rows.pop(key).box.delete()
        for key, row in rows.items():
            if key not in self._rows:
                with self._body:
                    self._rows[key] = _Row(desk, self._tab, self._account, row)
            self._rows[key].show(row)
        self._empty.set_visibility(not rows)


class _Row:
    def __init__(self, desk: Desk, tab: Tab, account: str, row: BookRow) -> None:
        self._desk, self._tab, self._account, self._row = desk, tab, account, row
        self._instrument = desk.catalogue.get(row.instrument_key)
        with ui.element("div").classes("v-book-row v-book-line").props('role="row"') as self.box:
            self.box.mark(marker("book", row.instrument_key))
            with ui.element("div").classes("v-name") as name:
                name._props["title"] = row.instrument_key
                ui.label(order_words.title(self._instrument, row.instrument_key))
                ui.label(str(row.product)).classes("v-chip")
            self._broker = self._cell("Broker", "broker")
            self._ours = self._cell("Ours", "ours")
            self._stream = self._cell("Stream", "stream")
            self._said = Cell(tab.live, "status b-said").mark("said")
            self._adopt = ui.button("Adopt", on_click=self._ask, color=None).mark("adopt")
            self._adopt.props("outline dense no-caps").classes("v-adopt")
        self.show(row)

    def _cell(self, heading: str, name: str) -> Cell:
        cell = Cell(self._tab.live, f"n b-{name}").mark(name)
        cell._props["data-h"] = heading
        return cell

    def show(self, row: BookRow) -> None:
        self._row = row
        self._broker.show(units(row.broker))
        self._ours.show(units(row.ours))
        self._stream.show(units(row.stream))
        self._said.show(row_verdict(row))
        apart = row.agree is False and row.broker is not None and row.broker != row.ours
        self._adopt.set_visibility(apart)

    def _ask(self) -> None:
        with self.box, ui.dialog() as dialog, ui.card().classes("v-sheet v-review"):
            dialog.mark("adopt-dialog").on("hide", dialog.delete)
            ui.label("Adopt the broker's book").classes("v-title")
            ui.label(adopt_words(self._row, self._instrument)).mark("adopt-words")
            with ui.element("div").classes("v-review-foot"):
                leave = ui.button("Leave it", on_click=dialog.close, color=None)
                leave.props("flat no-caps autofocus")
                shown = self._row
                button = ui.button(
                    f"Adopt {units(shown.broker).text}",
                    on_click=lambda: self._take(dialog, shown),
                    color=None,
                )
                button.props("unelevated no-caps").classes("v-send").mark("adopt-confirm")
        dialog.open()

    def _take(self, dialog: ui.dialog, shown: BookRow) -> None:
        """Adopt what was shown; if the broker says something else by now, ask again."""
        dialog.close()
        if (self._row.broker, self._row.ours) != (shown.broker, shown.ours):
            self._tab.say("The books have moved meanwhile: nothing was adopted. Look again.")
            return
        try:
            self._desk.positions.adopt(self._account, shown.instrument_key, shown.product)
        except VigilError as error:
            self._tab.say(f"Not adopted: {error}.")
            return
        position = self._desk.positions.get(self._account, shown.instrument_key, shown.product)
        title = order_words.title(self._instrument, shown.instrument_key)
        if (position.quantity if position else 0) != shown.broker:
            self._tab.say("Not adopted: the broker's book is older than the last fill. Look again.")
        else:
            self._tab.say(f"Adopted: {title} is {units(shown.broker).text}, as the broker says.")
