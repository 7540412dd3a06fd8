"""The desk, the exchange and a browser as processes, and everything that is asked of them."""

import asyncio
import contextlib
import gzip
import json
import random
import re
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx
import websocket
from playwright.async_api import Browser, ConsoleMessage, Page

from alerts.vitals import LoopVitals
from feeds.upstox.token import FileToken
from simulator.calendar import IST
from simulator.tokens import USER
from simulator.wire import PRICE
from tests.process.served import Exchange, Place, Served, launched
from tests.soak.checker import Arrival, Lasted, Minute, Pace, Post, Sample, Sent, Span, Stored, Told
from tests.soak.nemesis import TOUCHES_ORDERS, Nemesis

PATHS: Final = ("/", "/status", "/positions", "/orders", "/baskets", "/alerts")
SEARCHES: Final = ("reliance", "nifty", "bank", "tcs", "nifty ce", "banknifty pe")
POSITIONS: Final = 50
INSTRUMENTS: Final = 300
RATE: Final = 25.0  # price changes a second of the exchange's time, over all instruments
TABS: Final = 5
SAMPLE_EVERY: Final = 5.0  # seconds
ORDER_EVERY: Final = 30.0

# The tenth of settings.toml where the exchange's time or the nemesis runs ten times as fast, see
# the package's words; what is not here is as every desk has it.
SCALED: Final = {
    "VIGIL_FEED__STALL_SECONDS": "2.0",
    "VIGIL_FEED__PING_SECONDS": "1.5",
    "VIGIL_FEED__PING_TIMEOUT": "1.0",
    "VIGIL_FEED__HANDSHAKE_SECONDS": "2.0",
    "VIGIL_FEED__BACKOFF_OPEN": "3.0",
    "VIGIL_FEED__CONTESTED_SECONDS": "6.0",
    "VIGIL_WATCH__FEED_SILENT": "2.0",
    "VIGIL_WATCH__POSITION_BLIND": "6.0",
    "VIGIL_WATCH__RECOVERY_SECONDS": "5.0",
    "VIGIL_WATCH__FLAP_WINDOW": "60",
    "VIGIL_WATCH__STEADY": "30",
    "VIGIL_WATCH__UNDELIVERED": "12",
    "VIGIL_QUIET__STORM": "200",
    "VIGIL_ORDERS__READ_WORKING_SECONDS": "2.0",
    "VIGIL_ORDERS__READ_OPEN_SECONDS": "5.0",
    "VIGIL_ORDERS__DOUBT_FIRST_SECONDS": "0.5",
    "VIGIL_ORDERS__DOUBT_EVERY_SECONDS": "1.0",
}
STALL: Final = 2.0


@dataclass
class Theatre:
    """Everything that runs: one exchange, one desk, and the books of what was done to them."""

    exchange: Exchange
    served: Served
    pace: Pace
    seed: int
    began: float = field(default_factory=time.monotonic)
    samples: list[Sample] = field(default_factory=list)
    page_errors: list[str] = field(default_factory=list)
    visits: int = 0
    searches: int = 0
    socket_messages: int = 0
    orders_asked: int = 0
    orders_taken: int = 0
    refusals: list[str] = field(default_factory=list)
    arrivals: dict[tuple[int, str, str], Arrival] = field(default_factory=dict)
    calm: str = ""
    held: frozenset[str] = frozenset()  # positions from the begin to the end
    reference: LoopVitals = field(default_factory=LoopVitals)  # of the checker's own loop
    _zero: tuple[float, int] = (0.0, 0)

    @property
    def folder(self) -> Path:
        return self.served.place.folder

    def now_ms(self) -> int:
        """Return the exchange's time: it is asked once, for it runs evenly."""
        if not self._zero[1]:
            began = time.monotonic()
            told = self.ask("clock")
            self._zero = ((began + time.monotonic()) / 2, told["now_ms"])
        at, ms = self._zero
        return ms + self.pace.ms(time.monotonic() - at)

    def ask(self, what: str) -> Any:
        return httpx.get(f"{self.exchange.url}/control/{what}", trust_env=False, timeout=60).json()[
            "data"
        ]

    def api(self, path: str, **body: Any) -> httpx.Response:
        """Ask the desk's REST as a program does; with a body it is a POST."""
        token = (self.folder / "api_token").read_text().strip()
        return httpx.request(
            "POST" if body else "GET",
            f"{self.served.url}/api/accounts/main/{path}",
            json=body or None,
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            timeout=30,
        )


@contextmanager
def theatre(folder: Path, *, start: str, speed: float, seed: int) -> Iterator[Theatre]:
    """Start an exchange with 50 positions in the account, and a desk that uses it."""
    exchange = Exchange(
        "--start", start, "--speed", str(speed), "--keep-rows", "--seed", str(seed),
        "--rate", str(RATE), "--instruments", str(INSTRUMENTS),
    )  # fmt: skip
    try:
        held = open_positions(exchange, seed)
        place = Place(folder, variables={**exchange.variables(), **SCALED})
        with launched(place) as served:
            yield Theatre(exchange, served, Pace(speed, STALL), seed, held=held)
    finally:
        exchange.close()


def open_positions(exchange: Exchange, seed: int) -> frozenset[str]:
    """Carry 50 positions over from the day before: shares, futures and options; return them."""
    chance = random.Random(seed)
    listed = master(exchange)
    shares = [row for row in listed if row["instrument_type"] == "EQ"][:20]
    futures = [row for row in listed if row["instrument_type"] == "FUT"][:5]
    options = [row for row in listed if row["instrument_type"] in ("CE", "PE")]
    chosen = [*shares, *futures]
    chosen += chance.sample(options, POSITIONS - len(chosen))
    rows = [
        {
            "instrument_key": row["instrument_key"],
            "quantity": row["lot_size"] * chance.choice((-1, 1, 2)),
            "average_price": round(chance.uniform(50, 500), 2),
        }
        for row in chosen
    ]
    answer = httpx.post(
        f"{exchange.url}/control/positions",
        json={"user": USER, "cash": 1e9, "positions": rows},
        trust_env=False,
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    return frozenset(row["instrument_key"] for row in rows)


def master(exchange: Exchange) -> list[dict[str, Any]]:
    path = "/market-quote/instruments/exchange/complete.json.gz"
    packed = httpx.get(f"{exchange.url}{path}", trust_env=False, timeout=10).content
    rows: list[dict[str, Any]] = json.loads(gzip.decompress(packed))
    return rows


# what is done to the desk


async def new_token(scene: Theatre) -> None:
    """Sign in again, as the customer does: the file's token is read on every dial."""
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        answer = await client.post(f"{scene.exchange.url}/control/tokens", json={"action": "issue"})
    scene.exchange.token = answer.json()["data"]["access_token"]
    FileToken(scene.folder / "token").save(scene.exchange.token)


async def trade(scene: Theatre, nemesis: Nemesis) -> None:
    """Send an order every 30 seconds, and one into each fault that strikes orders."""
    chance = random.Random(scene.seed + 1)
    rows = await asyncio.to_thread(lambda: scene.api("positions").json())
    keys = [row["instrument_key"] for row in rows]
    lots = {row["instrument_key"]: row.get("lot_size", 1) for row in master(scene.exchange)}
    sent_at, met = 0.0, ""
    while True:
        on = nemesis.on if nemesis.on in TOUCHES_ORDERS else ""
        if time.monotonic() - sent_at >= ORDER_EVERY or (on and on != met):
            sent_at = time.monotonic()
            key = chance.choice(keys)
            scene.held -= {key}
            await _order(scene, chance, key, lots[key])
        met = on
        await asyncio.sleep(0.25)


async def _order(scene: Theatre, chance: random.Random, key: str, lot: int) -> None:
    scene.orders_asked += 1
    body = {
        "nonce": f"soak-{scene.seed}-{scene.orders_asked}",
        "instrument_key": key,
        "side": chance.choice(("BUY", "SELL")),
        "quantity": lot,
        "product": "D",
    }
    with contextlib.suppress(httpx.TransportError):
        answer = await asyncio.to_thread(lambda: scene.api("orders", **body))
        if answer.status_code == 201:
            scene.orders_taken += 1
        else:
            scene.refusals.append(f"{answer.status_code} {answer.text[:160]}")


async def visit(scene: Theatre, browser: Browser, slot: int) -> None:
    """Open a page, look at it for a while, close it; the later slots are empty at most times."""
    chance = random.Random(scene.seed * 100 + slot)
    while True:
        if slot >= 2 and chance.random() < 0.7:
            await asyncio.sleep(chance.uniform(5, 20))
            continue
        phone = chance.random() < 0.3
        size = {"width": 390, "height": 844} if phone else {"width": 1366, "height": 768}
        path = chance.choice(PATHS)
        try:
            await one_visit(scene, browser, path, size, chance)
        except Exception as error:  # noqa: BLE001  what the browser says is evidence
            scene.page_errors.append(f"{path}: {type(error).__name__} {str(error)[:200]}")
        await asyncio.sleep(chance.uniform(0.5, 4))


async def one_visit(
    scene: Theatre, browser: Browser, path: str, size: Any, chance: random.Random
) -> None:
    context = await browser.new_context(viewport=size)
    try:
        page = await context.new_page()
        page.on("console", lambda message: _heard(scene, path, message))
        page.on("pageerror", lambda error: scene.page_errors.append(f"{path}: {error}"))
        await page.goto(scene.served.url + path, timeout=20_000)
        scene.visits += 1
        if path == "/" and size["width"] > 800:
            await _search(scene, page, chance)
        await asyncio.sleep(chance.uniform(6, 15))
    finally:
        await context.close()


def _heard(scene: Theatre, path: str, message: ConsoleMessage) -> None:
    if message.type == "error":
        scene.page_errors.append(f"{path}: {message.text[:200]}")


async def _search(scene: Theatre, page: Page, chance: random.Random) -> None:
    """Look for an option; sometimes put it on the list, and take it off again."""
    await page.wait_for_selector(".v-list .v-row", timeout=15_000)
    await page.wait_for_function("() => window.socket?.connected", timeout=15_000)  # keys go there
    words = chance.choice(SEARCHES)
    await asyncio.sleep(0.5)  # nobody types before he has seen the page
    await page.keyboard.press("/")
    await page.keyboard.type(words, delay=100)
    found = page.locator(".v-result").first
    await found.wait_for(timeout=10_000)
    scene.searches += 1
    await page.keyboard.press("Escape")


def listen(scene: Theatre, stop: threading.Event) -> None:
    """Hold the API's sockets in turn, for half a minute each; a thread of its own."""
    chance = random.Random(scene.seed + 2)
    token = (scene.folder / "api_token").read_text().strip()
    while not stop.is_set():
        path = chance.choice(("orders/main", "orders", "status"))
        with contextlib.suppress(OSError, websocket.WebSocketException):
            socket = websocket.create_connection(
                f"ws://127.0.0.1:{scene.served.place.port}/api/ws/{path}",
                header=[f"Authorization: Bearer {token}"],
                suppress_origin=True,
                timeout=1.0,
            )
            _hear(scene, socket, stop, time.monotonic() + chance.uniform(10, 40))
        stop.wait(1.0)


def _hear(scene: Theatre, socket: websocket.WebSocket, stop: threading.Event, until: float) -> None:
    try:
        while time.monotonic() < until and not stop.is_set():
            with contextlib.suppress(websocket.WebSocketTimeoutException):
                text = socket.recv()
                scene.socket_messages += 1
                if '"ping"' in str(text)[:20]:
                    socket.send('{"type": "pong"}')
    finally:
        socket.close(timeout=1)


# what is seen of it


async def sample(scene: Theatre) -> None:
    """Write down what the kernel and /metrics say, every five seconds; and the phone's messages,
    of which the exchange tells the last thousand."""
    while True:
        scene.samples.append(await asyncio.to_thread(_one_sample, scene))
        if len(scene.samples) % 12 == 0:
            with contextlib.suppress(httpx.TransportError):
                await asyncio.to_thread(keep_arrivals, scene)
        await asyncio.sleep(SAMPLE_EVERY)


def _one_sample(scene: Theatre) -> Sample:
    proc = Path(f"/proc/{scene.served.pid}")
    status = (proc / "status").read_text()
    wal = scene.served.place.database.with_name(f"{scene.served.place.database.name}-wal")
    return Sample(
        at=time.monotonic() - scene.began,
        rss_mib=int(_found(r"^VmRSS:\s+(\d+)", status)) / 1024,
        fds=len(list((proc / "fd").iterdir())),
        threads=int(_found(r"^Threads:\s+(\d+)", status)),
        wal_mib=wal.stat().st_size / (1 << 20) if wal.exists() else 0.0,
        lag_p99_ms=_lag(scene),
        reference_ms=scene.reference.stats().loop_lag.p99 or 0.0,
        calm=scene.calm,
    )


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    assert found, pattern
    return found[1]


def _lag(scene: Theatre) -> float:
    with contextlib.suppress(httpx.TransportError, AssertionError):
        text = httpx.get(f"{scene.served.url}/metrics", trust_env=False, timeout=10).text
        return float(_found(r'^vigil_loop_lag_seconds\{quantile="0\.99"\} (\S+)', text)) * 1000
    return float("nan")


def keep_arrivals(scene: Theatre) -> None:
    for row in scene.ask("telegram/truth")["delivered"]:
        arrival = Arrival(row["what"], row["number"], row["text"])
        scene.arrivals.setdefault((row["number"], row["what"], row["text"]), arrival)


async def until(condition: Callable[[], Awaitable[str]], *, within: float) -> str:
    """Wait until nothing is left to wait for; return what still is after so long."""
    end = time.monotonic() + within
    left = await condition()
    while left and time.monotonic() < end:
        await asyncio.sleep(1.0)
        left = await condition()
    return left


# the evidence


@dataclass(frozen=True, slots=True)
class Evidence:
    """What both sides have written down, when all is over."""

    sent: list[Sent]
    stored: list[Stored]
    minutes: list[Minute]
    history: dict[tuple[str, int], Minute]
    gaps: list[Span]
    incidents: list[Lasted]
    alerts: list[Told]
    letters: list[Post]
    arrivals: list[Arrival]
    books: dict[str, Any]
    truth: dict[str, Any]
    metrics: str
    integrity: list[tuple[Any, ...]]


def from_exchange(scene: Theatre) -> tuple[list[Sent], dict[str, Any]]:
    sent, start = [], 0
    while page := scene.ask(f"ledger/rows?start={start}&count=50000"):
        sent += [_sent(row) for row in page]
        start += len(page)
    book = scene.ask("book")
    requests = [r for r in book["requests"] if r["user"] == USER]
    return sent, {**book["accounts"][USER], "requests": requests}


def _sent(row: list[Any]) -> Sent:
    connection, key, at, ltt, _, ltq, ltp, initial, parts = row
    priced = bool(parts & PRICE) and ltp is not None and 1e-4 <= float(ltp) <= 1e8
    return Sent(connection, key, at, ltt, float(ltp or 0.0), ltq, priced, initial)


def history_of(scene: Theatre, keys: list[str]) -> dict[tuple[str, int], Minute]:
    """Ask the exchange for its own minutes of the day."""
    found = {}
    headers = {"Authorization": f"Bearer {scene.exchange.token}"}
    with httpx.Client(base_url=scene.exchange.url, headers=headers, trust_env=False) as client:
        for key in keys:
            answer = client.get(f"/v3/historical-candle/intraday/{key}/minutes/1", timeout=10)
            if answer.status_code != 200:
                continue
            for at, opened, high, low, close, *_ in answer.json()["data"]["candles"]:
                start = round(datetime.fromisoformat(at).timestamp() * 1000)
                found[key, start] = Minute(key, start, opened, high, low, close, True)
            time.sleep(0.03)  # the exchange's own limit is 50 a second
    return found


def books_of(scene: Theatre) -> dict[str, Any]:
    """Return our orders as the database has them and our positions as the API tells them."""
    positions = scene.api("positions").json()
    rows = scene.served.place.rows(
        "SELECT o.id, o.external, o.filled, o.nonce, o.status, b.order_id, b.status, b.filled,"
        " b.price FROM orders o LEFT JOIN broker_orders b ON b.intent = o.number ORDER BY o.number"
    )
    orders: dict[str, dict[str, Any]] = {}
    for id_, external, filled, nonce, status, number, child, child_filled, price in rows:
        order = orders.setdefault(
            id_,
            {"id": id_, "external": bool(external), "filled": filled, "nonce": nonce,
             "status": status, "children": {}},
        )  # fmt: skip
        if number is not None:
            order["children"][number] = [child, child_filled, price or 0.0]
    doubts = [o["id"] for o in orders.values() if o["status"] in ("sent", "in doubt")]
    return {
        "unsettled": f"orders {doubts}" if doubts else "",
        "orders": list(orders.values()),
        "positions": [
            {
                "key": p["instrument_key"],
                "product": p["product"],
                "quantity": p["quantity"],
                "in_doubt": p["in_doubt"],
                "adjusted": 0,  # the API does not tell it
            }
            for p in positions
        ],
        "baskets": [],
    }


def ours(database: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Read the database as a stranger would."""
    queries = {
        "stored": "SELECT i.instrument_key, exchange_ts, ltt, ltp, received FROM quote_ticks"
        " JOIN instruments i ON i.id = instrument_id",
        "minutes": "SELECT i.instrument_key, start, open, high, low, close, complete FROM candles"
        " JOIN instruments i ON i.id = instrument_id",
        "gaps": "SELECT started, ended, reason FROM feed_gaps WHERE feed = 'market' ORDER BY id",
        "incidents": "SELECT number, key, began, ended, flaps FROM incidents ORDER BY number",
        "alerts": "SELECT number, key, occasion, severity, kind, at, incident FROM alerts"
        " ORDER BY number",
        "letters": "SELECT alert, channel, state, attempts, error, not_before FROM letters",
        "integrity": "PRAGMA integrity_check",
        "filled": "SELECT count(*), sum(filled IS NOT NULL) FROM feed_gaps",
    }
    with closing(sqlite3.connect(database, timeout=10)) as connection:
        return {name: connection.execute(sql).fetchall() for name, sql in queries.items()}


def moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, IST).strftime("%H:%M:%S")
