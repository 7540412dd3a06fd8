"""From a click to the broker's number, one order and four; and the account's cost at rest.

The exchange is a process of its own that limits no calls; the desk's own limits stay (ten orders
in 1.1 s, forty baskets in 60.5 s, see feeds/upstox/rest.py).
"""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Final
from urllib.parse import urlsplit

from simulator.tokens import USER
from tests.benchmarks.dealing_desk import EVERY, Plan, Press
from tests.benchmarks.figures import Figure
from tests.benchmarks.processes import (
    OTHER_TOKEN,
    desk,
    folder,
    load,
    median,
    share,
    unlimited_exchange,
    until,
)
from tests.benchmarks.unlimited_exchange import OTHER

INSTRUMENTS: Final = 500
RATE: Final = 5_000.0  # ticks/s
QUIET: Final = 50.0
PER_SECOND: Final = 8.0  # orders
GOAL_P50, GOAL_P99 = 50.0, 150.0  # ms
GOAL_RATIO: Final = 1.5
PLACED: Final = "/v3/order/place"
BARE: Final = "/v2/order/place"  # the reference's way in, told apart by its address
BARE_EVERY: Final = 0.25  # seconds
CASH: Final = 1e9  # rupees, so that no margin is short


def run(*, short: bool = False) -> list[Figure]:
    orders = 16 if short else 400
    quiet = _deal(orders=orders, pairs=4 if short else 36, rate=QUIET)
    busy = _deal(orders=orders, pairs=0 if short else 36, rate=RATE)
    return [
        *_clicks("click to acknowledged", quiet),
        *_clicks(f"click to acknowledged, {RATE:,.0f} ticks/s", busy),
        *_baskets("four legs to one", quiet),
        *_baskets(f"four legs to one, {RATE:,.0f} ticks/s", busy),
    ]


@dataclass(frozen=True, slots=True)
class Dealt:
    """What came of the presses; `bare` are ms of the same request without a desk."""

    singles: list[Press]
    ones: list[Press]
    fours: list[Press]
    denied: int  # of the single ones, as too many in a second
    unanswered: list[str]  # orders in doubt, or worse; they are in no time below
    answered: list[float]  # when the exchange answered a single order, monotonic seconds
    bare: list[float]
    ticks: float  # a second that the desk received
    load: str


def _deal(*, orders: int, pairs: int, rate: float) -> Dealt:
    with unlimited_exchange(instruments=INSTRUMENTS, rate=rate) as other_end, folder() as directory:
        keys = other_end.instruments()
        for user in (USER, OTHER):
            other_end.control("positions", user=user, cash=CASH)
        plan, result = directory / "plan.json", directory / "result.json"
        plan.write_text(json.dumps(asdict(Plan(orders, PER_SECOND, pairs, keys))))
        program = ("-m", "tests.benchmarks.dealing_desk", str(plan), str(result))
        ours = {"VIGIL_ORDERS__PER_SECOND": "10"}  # paced ones come unevenly: 8 may be in a second
        with (
            desk(directory, other_end.url, program=program, variables=ours),
            _bare_orders(other_end.url, keys[-1]) as bare,
        ):
            before, began = other_end.ledger()["ticks_sent"], time.monotonic()
            within = 60 + orders / PER_SECOND + pairs * EVERY
            until(result.exists, within=within, what="everything was pressed")
            ticks = (other_end.ledger()["ticks_sent"] - before) / (time.monotonic() - began)
        told = json.loads(result.read_text())
        assert "error" not in told, told["error"]
        answered = [call.at for call in other_end.calls() if call.path == PLACED]
    denied = told.pop("denied")
    presses = {name: [Press(**row) for row in rows] for name, rows in told.items()}
    unanswered = [why for rows in presses.values() for press in rows for why in press.unanswered]
    presses = {name: [p for p in rows if not p.unanswered] for name, rows in presses.items()}
    return Dealt(
        **presses,
        denied=denied,
        unanswered=unanswered,
        answered=answered,
        bare=bare,
        ticks=ticks,
        load=load(),
    )


@contextmanager
def _bare_orders(url: str, instrument_key: str) -> Iterator[list[float]]:
    """Send orders of another customer on a kept connection meanwhile; collect the ms of each."""
    took: list[float] = []
    stop = threading.Event()
    body = {"instrument_token": instrument_key, "quantity": 1, "product": "I", "validity": "DAY",
            "price": 0, "order_type": "MARKET", "transaction_type": "BUY", "trigger_price": 0,
            "disclosed_quantity": 0, "is_amo": False}  # fmt: skip
    headers = {"Authorization": f"Bearer {OTHER_TOKEN}", "Content-Type": "application/json"}

    def send() -> None:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
        connection.connect()
        while not stop.wait(BARE_EVERY):
            began = time.perf_counter()
            connection.request("POST", BARE, json.dumps(body), headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            took.append(1000 * (time.perf_counter() - began))
        connection.close()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield took
    finally:
        stop.set()
        thread.join()
    assert took, "the reference was measured, too"


def _clicks(name: str, dealt: Dealt) -> list[Figure]:
    clicks = dealt.singles
    took = [_ms(press.due, press.returned) for press in clicks]
    cold = [_ms(press.due, press.returned) for press in clicks if press.cold]
    p50, p99 = share(took, 0.5), share(took, 0.99)
    beside = (
        f"{len(took)} orders at {PER_SECOND:g}/s, {dealt.denied} denied as too fast, most "
        f"{max(took):.0f} ms; {len(cold)} asked for circuit limits first: "
        f"p50 {share(cold, 0.5):.1f} ms; {dealt.ticks:,.0f} ticks/s"
    )
    bare = (
        f"a bare POST on a kept connection p50 {share(dealt.bare, 0.5):.1f}, "
        f"p99 {share(dealt.bare, 0.99):.1f} ms ({len(dealt.bare)}); {dealt.load}"
    )
    return [
        Figure(f"{name}: p50", p50, "ms", f"< {GOAL_P50:g}", p50 < GOAL_P50, bare),
        Figure("  p99", p99, "ms", f"< {GOAL_P99:g}", p99 < GOAL_P99, beside),
        Figure(
            "  orders that got no number",
            len(dealt.unanswered),
            "orders",
            "= 0",
            not dealt.unanswered,
            "; ".join(dealt.unanswered),
        ),
        *_parts(dealt),
    ]


def _parts(dealt: Dealt) -> list[Figure]:
    answered = _answers(dealt.singles, dealt.answered)
    parts: dict[str, Callable[[Press], float]] = {
        "until the loop takes the click": lambda p: _ms(p.due, p.begun),
        "check": lambda p: _ms(p.begun, p.checked),
        "commit (FULL), and all who hear of the intent": lambda p: _ms(p.checked, p.committed),
        "out, until the exchange answers": lambda p: _ms(p.committed, answered[p.due]),
        "back, read and merged": lambda p: _ms(answered[p.due], p.returned),
    }
    figures = []
    for name, part in parts.items():
        took = [part(press) for press in dealt.singles]
        worst = f"p99 {share(took, 0.99):.1f} ms"
        figures.append(Figure(f"    {name}: p50", share(took, 0.5), "ms", reference=worst))
    return figures


def _answers(presses: Sequence[Press], answered: Sequence[float]) -> dict[float, float]:
    """Return by its due moment when the exchange answered a press."""
    left = sorted(answered)
    found = {}
    for press in sorted(presses, key=lambda p: p.returned):
        moment = next(at for at in left if press.committed <= at <= press.returned)
        left.remove(moment)
        found[press.due] = moment
    return found


def _baskets(name: str, dealt: Dealt) -> list[Figure]:
    """Compare medians from three beginnings: sent, agreed to by the rules, and pressed.

    A basket is committed before its orders are, and its margin is asked for before that.
    """
    if not dealt.fours:
        return []
    worst = max(_ms(p.due, p.returned) for p in dealt.fours)
    of = f"{len(dealt.fours)} each in turn, slowest basket {worst:.0f} ms; {dealt.load}"
    sent, agreed, pressed = (_ratio(dealt, since) for since in ("committed", "checked", "due"))
    return [
        Figure(
            f"{name}: sent to all acknowledged",
            sent.times,
            "x",
            f"< {GOAL_RATIO:g}",
            sent.times < GOAL_RATIO,
            f"{sent}, {of}",
        ),
        Figure("  with the commits before it", agreed.times, "x", reference=str(agreed)),
        Figure("  with margin and funds asked for", pressed.times, "x", reference=str(pressed)),
    ]


@dataclass(frozen=True, slots=True)
class Ratio:
    """Medians in ms."""

    four: float
    one: float

    @property
    def times(self) -> float:
        return self.four / self.one

    def __str__(self) -> str:
        return f"medians {self.four:.1f} and {self.one:.1f} ms"


def _ratio(dealt: Dealt, since: str) -> Ratio:
    return Ratio(_middle(dealt.fours, since), _middle(dealt.ones, since))


def _middle(presses: Sequence[Press], since: str) -> float:
    return median([_ms(getattr(press, since), press.returned) for press in presses])


def _ms(start: float, end: float) -> float:
    return 1000 * (end - start)
