"""A hand-made market of a few instruments, and a client of the feed, for tests of the server."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

import httpx
import orjson
import websocket

from feeds.upstox.proto import market_data_feed_pb2 as pb
from simulator.model import Bar, Instrument, Part, Quote
from simulator.server import SimulatedExchange

NIFTY = "NSE_INDEX|Nifty 50"
INFY = "NSE_EQ|INE009A01021"
CALL = "NSE_FO|45450"
PUT = "NSE_FO|45451"
T0 = 1_764_129_600_000  # 2025-11-26 09:30:00 IST
EXPIRY = 1_764_700_199_000  # 2025-12-02 23:59:59 IST
TOKEN = "T"

INSTRUMENTS = (
    Instrument(NIFTY, "NSE_INDEX", "INDEX", "NIFTY 50", "Nifty 50", "26000"),
    Instrument(
        INFY, "NSE_EQ", "EQ", "INFY", "INFOSYS LIMITED", "1594",
        isin="INE009A01021", short_name="Infosys", tick_size=0.1, lot_size=1,
        freeze_quantity=100_000,
    ),
    *(
        Instrument(
            key, "NSE_FO", kind, f"NIFTY 26100 {kind} 02 DEC 25", "NIFTY", key[7:],
            underlying_key=NIFTY, underlying_symbol="NIFTY", strike=26100.0, expiry=EXPIRY,
            weekly=True, tick_size=0.05, lot_size=75, freeze_quantity=1800,
        )
        for key, kind in ((CALL, "CE"), (PUT, "PE"))
    ),
)  # fmt: skip


def quote(instrument: Instrument) -> Quote:
    day, minute = Bar(T0, 128.0, 149.9, 121.4, 142.6, 1000), Bar(T0, 142.0, 143.0, 141.5, 142.6, 75)
    made = Quote(142.6, T0, 75, 131.2, day, minute)
    if instrument.instrument_type == "INDEX":
        return replace(made, ltq=0)
    made.bids = [(142.5 - n * 0.05, 300 + n) for n in range(5)]
    made.asks = [(142.7 + n * 0.05, 225 + n) for n in range(5)]
    made.atp, made.volume, made.total_buy, made.total_sell = 137.4, 1000, 4000.0, 3000.0
    made.lower_circuit, made.upper_circuit = 100.0, 200.0
    if instrument.expiry:
        made.oi, made.previous_oi, made.iv = 3_127_500.0, 2_988_000.0, 0.1174
        made.delta, made.theta, made.gamma, made.vega, made.rho = 0.48, -9.12, 0.0008, 14.02, 2.7
    return made


class TinyMarket:
    """Yields the changes that a test has queued; a change may be made from any thread."""

    def __init__(self, *more: Instrument) -> None:
        listed = (*INSTRUMENTS, *more)
        self.instruments = {i.instrument_key: i for i in listed}
        self.quotes = {i.instrument_key: quote(i) for i in listed}
        self._script: deque[tuple[str, Part, dict[str, object]]] = deque()

    def change(self, key: str, part: Part = Part.PRICE, **fields: object) -> None:
        self._script.append((key, part, fields))

    def trade(self, key: str, ltp: float, *, ltt: int = T0 + 1000) -> None:
        self.change(key, Part.PRICE, ltp=ltp, ltt=ltt)

    def advance(self, now: int) -> Iterator[tuple[str, Part]]:
        while self._script:
            key, part, fields = self._script.popleft()
            for name, value in fields.items():
                setattr(self.quotes[key], name, value)
            yield key, part


def wait_until(condition: Callable[[], bool], *, seconds: float = 5.0) -> bool:
    """Return whether the condition came true within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def bearer(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def authorize(exchange: SimulatedExchange, token: str = TOKEN) -> str:
    url = f"{exchange.base_url}/v3/feed/market-data-feed/authorize"
    answer = httpx.get(url, headers=bearer(token), timeout=5)
    answer.raise_for_status()
    return str(answer.json()["data"]["authorized_redirect_uri"])


class Client:
    """A plain client of the feed: connects, asks, and reads messages until one fits."""

    def __init__(self, exchange: SimulatedExchange, *, url: str = "", token: str = TOKEN) -> None:
        url = url or authorize(exchange, token)
        self.socket = websocket.create_connection(url, timeout=5, redirect_limit=0)

    def ask(self, method: str, *keys: str, mode: str | None = None) -> None:
        data: dict[str, object] = {"instrumentKeys": list(keys)}
        if mode is not None:
            data["mode"] = mode
        self.socket.send_binary(orjson.dumps({"guid": "g", "method": method, "data": data}))

    def sub(self, *keys: str, mode: str = "full") -> None:
        self.ask("sub", *keys, mode=mode)

    def raw(self) -> bytes:
        opcode, data = self.socket.recv_data()
        assert opcode == websocket.ABNF.OPCODE_BINARY, (opcode, data)
        return bytes(data)

    def message(self) -> pb.FeedResponse:
        return pb.FeedResponse.FromString(self.raw())

    def until(self, kind: pb.Type) -> pb.FeedResponse:
        while (message := self.message()).type != kind:
            pass
        return message

    def snapshot(self, *keys: str, mode: str = "full") -> pb.FeedResponse:
        """Subscribe and return the answer, leaving the market_info behind."""
        self.sub(*keys, mode=mode)
        return self.until(pb.Type.initial_feed)

    def silent(self, seconds: float) -> bool:
        """Return whether no data comes for so long; pings do not count."""
        self.socket.settimeout(seconds)
        try:
            self.raw()
        except websocket.WebSocketTimeoutException:
            return True
        finally:
            self.socket.settimeout(5)
        return False

    def close_code(self) -> int:
        """Read on until the server closes; 1006 if it does so without a close frame."""
        try:
            while True:
                opcode, data = self.socket.recv_data()
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    return int.from_bytes(data[:2], "big")
        except (websocket.WebSocketConnectionClosedException, ConnectionError):
            return 1006

    def shut(self) -> None:
        self.socket.shutdown()
