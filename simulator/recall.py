"""Accounts as lines that can be kept, and back again: what a broker must know after a restart.

The first line says of which day the rest is. An `instrument` line comes before whatever names it.
An `account` line has all of an account but its orders, as it was then. An `order` line has one
order with its history and its trades, which the account knows already; a `change` line has what
an order is from then on, the status it was told with, and a trade that is new to the account.

What a fault does to an order is not kept: faults do not survive a restart.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Final

from simulator.model import Instrument
from simulator.orders import (
    FIRST,
    FOREVER,
    Counts,
    Order,
    Phase,
    Row,
    Stage,
    Status,
    Step,
    Terms,
    Trade,
    history_row,
)
from simulator.portfolio import Account, Holding, Position

VERSION: Final = 1
Line = Mapping[str, Any]

# What an order may become, and what it is when a line does not say.
DEFAULTS: Final[Mapping[str, Any]] = {
    "is_amo": False,
    "exchange_order_id": "",
    "status": str(Status.RECEIVED),
    "status_message": "",
    "status_message_raw": None,
    "phase": Phase.ENTERING.name,
    "passed": False,
    "limit": None,
    "exchange_ms": None,
    "requests": 1,
    "most": FOREVER,
    "steps": [],
}
AS_IT_IS: Final = tuple(
    name for name in DEFAULTS if name not in ("status", "phase", "most", "steps")
)
SUMS: Final = (
    "day_buy_quantity",
    "day_buy_value",
    "day_sell_quantity",
    "day_sell_value",
    "overnight_buy_quantity",
    "overnight_buy_amount",
    "overnight_sell_quantity",
    "overnight_sell_amount",
)


@dataclass(slots=True)
class Books:
    """All that a broker remembers: of which day, the numbers that it has given, its accounts."""

    day: date
    counts: Counts = FIRST
    accounts: dict[str, Account] = field(default_factory=dict)


# --- to lines


def first_line(day: date, counts: Counts) -> Line:
    return {"kind": "day", "version": VERSION, "day": day.isoformat(), "counts": [*counts]}


def instrument_line(instrument: Instrument) -> Line:
    return {"kind": "instrument", **asdict(instrument)}


def account_line(account: Account) -> Line:
    return {
        "kind": "account",
        "user": account.user,
        "opening": account.opening,
        "flow": account.flow,
        "disabled": account.disabled,
        "positions": [
            [p.key, p.product, *(getattr(p, name) for name in SUMS)]
            for p in account.positions.values()
        ],
        "holdings": [
            [key, h.quantity, h.average_price, h.t1_quantity, h.used]
            for key, h in account.holdings.items()
        ],
    }


def order_line(order: Order, counts: Counts) -> Line:
    """Return all of an order; its trades are those that its account knows."""
    return {
        "kind": "order",
        "user": order.user,
        "id": order.order_id,
        "ref": order.order_ref_id,
        "key": order.key,
        "product": order.product,
        "side": order.transaction_type,
        "placed": order.placed_ms,
        "tag": order.tag,
        "correlation": order.correlation_id,
        "line": order.line,
        "source": order.source,
        "now": _now(order),
        "trades": [_trade_row(trade) for trade in order.trades],
        "history": list(_steps_back(order)),
        "counts": [*counts],
    }


def change_line(order: Order, counts: Counts, *, said: bool, trade: Trade | None) -> Line:
    """Return what an order has become; `said`: it was just told so by its latest stage."""
    line: dict[str, Any] = {
        "kind": "change", "user": order.user, "id": order.order_id, "now": _now(order),
        "counts": [*counts],
    }  # fmt: skip
    if said:
        line["said"] = order.history[-1][:2]
    if trade is not None:
        line["trade"] = _trade_row(trade)
    return line


def lines(books: Books) -> Iterator[Line]:
    """Yield the shortest lines that say it all."""
    yield first_line(books.day, books.counts)
    for instrument in {i.instrument_key: i for i in _instruments(books)}.values():
        yield instrument_line(instrument)
    for account in books.accounts.values():
        yield account_line(account)
        for order in account.orders.values():
            yield order_line(order, books.counts)


def _instruments(books: Books) -> Iterator[Instrument]:
    for account in books.accounts.values():
        yield from (order.instrument for order in account.orders.values())
        yield from (position.instrument for position in account.positions.values())
        yield from (holding.instrument for holding in account.holdings.values())


def _now(order: Order) -> Row:
    """Return what has become of an order, as far as it differs from what it was at first."""
    now: Row = {"terms": list(order.terms)}
    for name in AS_IT_IS:
        value = getattr(order, name)
        if value != DEFAULTS[name]:
            now[name] = value
    now["status"] = str(order.status)
    now["phase"] = order.phase.name
    if order.most != FOREVER and not order.held_while[0]:
        now["most"] = order.most
    if order.steps:
        now["steps"] = [[step.act, *step.about] for step in order.steps]
    return now


def _trade_row(trade: Trade) -> list[Any]:
    return [trade.trade_id, trade.quantity, trade.paise, trade.exchange_ms]


def _steps_back(order: Order) -> Iterator[list[Any]]:
    """Yield each stage, the first one last, by what its row has that the stage after has not."""
    after = history_row(order)
    for stage in reversed(order.history):
        row = {name: value for name, value in stage.row.items() if after[name] != value}
        yield [str(stage.status), stage.exchange_ms, row]
        after = stage.row


# --- and back


def recall(kept: Iterable[Line], listed: Mapping[str, Instrument]) -> Books:
    """Return the books that lines are of; instruments are the listed ones, if they are yet.

    Raises ValueError, KeyError or TypeError if they are not such lines.
    """
    reader = _Reader(listed)
    for line in kept:
        reader.read(line)
    return reader.books()


class _Reader:
    def __init__(self, listed: Mapping[str, Instrument]) -> None:
        self._listed = listed
        self._instruments: dict[str, Instrument] = {}
        self._books: Books | None = None
        self._kinds = {
            "instrument": self._instrument,
            "account": self._account,
            "order": self._order,
            "change": self._change,
        }

    def read(self, line: Line) -> None:
        if self._books is None:
            if line["kind"] != "day" or line["version"] != VERSION:
                raise ValueError("it does not begin with a day")
            self._books = Books(date.fromisoformat(line["day"]), Counts(*line["counts"]))
            return
        self._kinds[line["kind"]](line)
        if "counts" in line:
            self._books.counts = Counts(*line["counts"])

    def books(self) -> Books:
        if self._books is None:
            raise ValueError("it has no beginning")
        for account in self._books.accounts.values():
            trades = (trade for order in account.orders.values() for trade in order.trades)
            account.trades = sorted(trades, key=lambda trade: int(trade.trade_id))
            account.live = {o.order_id: o for o in account.orders.values() if not o.is_final}
        return self._books

    def _instrument(self, line: Line) -> None:
        row = {name: value for name, value in line.items() if name != "kind"}
        instrument = Instrument(**row)
        key = instrument.instrument_key
        self._instruments[key] = self._listed.get(key, instrument)

    def _account(self, line: Line) -> None:
        account = self._of(line["user"])
        account.opening, account.flow = line["opening"], line["flow"]
        account.disabled = dict(line["disabled"])
        account.carry(
            Position(self._instruments[key], product, *sums)
            for key, product, *sums in line["positions"]
        )
        account.holdings = {
            key: Holding(self._instruments[key], *rest) for key, *rest in line["holdings"]
        }

    def _of(self, user: str) -> Account:
        assert self._books is not None
        return self._books.accounts.setdefault(user, Account(user))

    def _order(self, line: Line) -> None:
        order = Order(
            line["user"],
            line["id"],
            line["ref"],
            self._instruments[line["key"]],
            line["product"],
            line["side"],
            Terms(*line["now"]["terms"]),
            line["placed"],
            tag=line["tag"],
            correlation_id=line["correlation"],
            line=line["line"],
            source=line["source"],
        )
        for row in line["trades"]:
            order.take(_trade(order, row))
        _become(order, line["now"])
        order.history = _history(order, line["history"])
        self._of(order.user).orders[order.order_id] = order

    def _change(self, line: Line) -> None:
        account = self._of(line["user"])
        order = account.orders[line["id"]]
        if "trade" in line:
            trade = _trade(order, line["trade"])
            order.take(trade)
            account.enter(trade)
        _become(order, line["now"])
        if "said" in line:
            order.note(*line["said"])


def _trade(order: Order, row: list[Any]) -> Trade:
    trade_id, quantity, paise, exchange_ms = row
    return Trade(trade_id, order, quantity, paise, exchange_ms)


def _become(order: Order, now: Line) -> None:
    order.terms = Terms(*now["terms"])
    for name in AS_IT_IS:
        setattr(order, name, now.get(name, DEFAULTS[name]))
    order.status = now["status"]
    order.phase = Phase[now["phase"]]
    order.most = now.get("most", FOREVER)
    order.steps = [Step(act, tuple(about)) for act, *about in now.get("steps", ())]


def _history(order: Order, kept: Iterable[list[Any]]) -> list[Stage]:
    row = history_row(order)
    stages = []
    for status, exchange_ms, differs in kept:
        row = row | differs
        stages.append(Stage(status, exchange_ms, row))
    return stages[::-1]
