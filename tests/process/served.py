"""The desk as its users run it: main.py as a process, on free ports, in a folder of its own."""

import fcntl
import os
import re
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import websocket

from simulator.calendar import IST
from simulator.instruments import build_instruments
from storage.database import open_database

ROOT = Path(__file__).parents[2]
STARTS_WITHIN = 60.0  # seconds; on a machine that does other things as well
CTRL_C = b"\x03"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment() -> dict[str, str]:
    """Return ours without what a test run adds, which NiceGUI would take notice of.

    And let modules be compiled once, as they are for a user: that is half of a start.
    """
    foreign = ("NICEGUI_", "PYTEST_", "VIGIL_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


@dataclass
class Place:
    """Where a desk runs, again after each stop: its folder, its ports, its settings."""

    folder: Path
    port: int = field(default_factory=free_port)
    simulator_port: int = field(default_factory=free_port)
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def database(self) -> Path:
        return self.folder / "simulated.db"

    def environment(self) -> dict[str, str]:
        return clean_environment() | {
            "VIGIL_SERVER__PORT": str(self.port),
            "VIGIL_SIMULATOR__PORT": str(self.simulator_port),
            "VIGIL_STORAGE__DIRECTORY": str(self.folder),
            **self.variables,
        }

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read the database as a stranger would; of a desk that never wrote there is nothing."""
        if not self.database.exists():
            return []
        with closing(sqlite3.connect(self.database, timeout=10)) as connection:
            return connection.execute(sql, values).fetchall()

    def count(self, table: str) -> int:
        rows = self.rows(f"SELECT count(*) FROM {table}")
        return int(rows[0][0]) if rows else 0


class Served:
    """A running main.py. Leave nothing behind: `launched` ends it whatever happens."""

    def __init__(self, process: "subprocess.Popen[bytes]", place: Place, terminal: "Terminal"):
        self.process = process
        self.place = place
        self.terminal = terminal
        self.began = time.monotonic()
        self.rows_before = place.count("quote_ticks")
        self.client = httpx.Client(base_url=self.url, timeout=5.0, trust_env=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.place.port}"

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return self.terminal.text

    def ready(self) -> "Served":
        """Wait until it says that it is all right, which includes that prices arrive."""
        self.until(lambda: self.health()["status"] == "ok", "all right", within=STARTS_WITHIN)
        return self

    def until(self, condition: Any, what: str, *, within: float) -> float:
        """Return the seconds it took; while the desk does not answer, the condition is not met."""
        began = time.monotonic()
        while time.monotonic() - began < within:
            if self.process.poll() is not None:
                raise AssertionError(f"it ended, code {self.process.returncode}:\n{self.log}")
            with suppress(httpx.TransportError):
                if condition():
                    return time.monotonic() - began
            time.sleep(0.02)
        raise AssertionError(f"not {what} within {within:g} s:\n{self.log}")

    def health(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.get("/health").json()
        return answer

    def metric(self, name: str) -> float:
        """Return the sum over all labels."""
        text = self.client.get("/metrics").text
        found = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)
        assert found, f"there is no metric {name}"
        return sum(map(float, found))

    def received(self) -> int:
        """Return how many ticks it has taken in that have to be stored."""
        text = self.client.get("/metrics").text
        found = re.findall(
            r"^vigil_market_ticks_(?:published|late)_total (\S+)$", text, re.MULTILINE
        )
        assert len(found) == 2
        return int(sum(map(float, found)))

    @property
    def exchange(self) -> "Control":
        return Control(f"http://127.0.0.1:{self.place.simulator_port}")

    def ended(self, *, within: float = 5.0) -> float:
        """Wait for the end; return the seconds it took. Fails if it takes longer."""
        began = time.monotonic()
        try:
            self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within:g} s:\n{self.log}") from None
        took = time.monotonic() - began
        self.terminal.drain()
        return took

    def stop(self, number: int = signal.SIGTERM) -> float:
        self.process.send_signal(number)
        return self.ended()


class Control:
    """The control route of a simulated exchange: what goes wrong there is switched on here."""

    def __init__(self, url: str) -> None:
        self.url = url

    def fault(self, name: str, **parameters: Any) -> None:
        wish = {"name": name, **parameters}
        answer = httpx.post(f"{self.url}/control/faults", json=wish, trust_env=False)
        assert answer.status_code == 200, answer.text

    def clear_faults(self, name: str | None = None) -> None:
        """Clear one fault, or all of them."""
        which = {"name": name} if name else {}
        answer = httpx.delete(f"{self.url}/control/faults", params=which, trust_env=False)
        assert answer.status_code == 200, answer.text


class Terminal:
    """A pseudo terminal that somebody looks at: what is written to it is kept as text."""

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()
        self._seen = bytearray()
        self._open = True
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        return self._seen.decode(errors="replace").replace("\r\n", "\n")

    def press(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def close(self) -> None:
        """Close its window, as somebody does who has had enough; the process is told by SIGHUP."""
        self._open = False
        self._reader.join()

    def drain(self) -> None:
        """Read what is left after the process has ended."""
        self._reader.join(2.0)

    def _read(self) -> None:
        """Read, and close here: a close while another thread reads would hang up on nobody."""
        with suppress(OSError):  # EIO once nobody has the other side open
            while self._open:
                if select.select([self.master], [], [], 0.05)[0]:
                    self._seen += os.read(self.master, 65536)
        os.close(self.master)


def _as_a_shell_does() -> None:
    """Give it the terminal, and SIGHUP as it is there: these tests may run under nohup."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@contextmanager
def launched(place: Place) -> Iterator[Served]:
    """Start main.py on a terminal of its own, and kill it at the end if it still runs."""
    terminal = Terminal()
    slave = terminal.slave
    process = subprocess.Popen(
        [sys.executable, "main.py"],
        cwd=ROOT,
        env=place.environment(),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=_as_a_shell_does,
    )
    os.close(slave)
    served = Served(process, place, terminal)
    try:
        yield served
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGCONT)
            process.kill()
        process.wait(10)
        served.client.close()
        terminal.drain()
        terminal.close()


def refusal(place: Place, *arguments: str) -> tuple[int, str]:
    """Start main.py where it should not start; return its exit code and what it wrote to stderr."""
    done = subprocess.run(
        [sys.executable, "main.py", *arguments],
        cwd=ROOT,
        env=place.environment(),
        capture_output=True,
        text=True,
        timeout=STARTS_WITHIN,
        check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def busy_watchlist(place: Place, size: int = 200) -> list[str]:
    """Have a tab of this desk watch so many instruments: there is something to record."""
    today = datetime.now(IST).date()
    keys = list(build_instruments(today=today, count=500))[:size]
    place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    open_database(place.database).close()
    with closing(sqlite3.connect(place.database)) as connection, connection:
        rows = [(True, n, key) for n, key in enumerate(keys)]
        connection.execute("DELETE FROM watchlist")
        connection.executemany(
            "INSERT INTO watchlist (is_mock, position, instrument_key) VALUES (?, ?, ?)", rows
        )
    return keys


class Sent(NamedTuple):
    """One tick as the exchange sent it; times in ms of its clock."""

    connection: int
    instrument_key: str
    at: int
    ltt: int
    ltp: float


class Exchange(Control):
    """The simulated exchange as a process of its own, which outlives the desk and remembers."""

    TOKEN = "a-token-of-the-simulated-broker"

    def __init__(self, *arguments: str, token: str = TOKEN) -> None:
        self.token = token
        self.process = subprocess.Popen(
            [sys.executable, "-m", "simulator", "--port", "0", "--token", token, *arguments],
            cwd=ROOT,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", self.process.stdout.readline())
        assert found, "the simulated exchange did not start"
        super().__init__(found[0])
        self._sent: list[Sent] = []

    def variables(self) -> dict[str, str]:
        """Return what a desk has to be told to use it as if it were the broker."""
        return {
            "VIGIL_RUN__EXCHANGE": "upstox",
            "VIGIL_UPSTOX__BASE_URL": self.url,
            "VIGIL_UPSTOX__ASSETS_URL": self.url,
            "VIGIL_UPSTOX__TOKEN": self.token,
            "VIGIL_WATCH__TOKEN_MINUTES": "0",  # from 03:00 on it would be told that it ends
        }

    def sent(self) -> list[Sent]:
        """Return every tick that it has sent, oldest first."""
        while page := self._page(len(self._sent)):
            self._sent += [Sent(row[0], row[1], row[2], row[3], row[6]) for row in page]
        return self._sent

    def _page(self, start: int) -> list[list[Any]]:
        url = f"{self.url}/control/ledger/rows?start={start}&count=50000"
        rows: list[list[Any]] = httpx.get(url, timeout=30, trust_env=False).json()["data"]
        return rows

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


class Tab:
    """An open page without a browser: it holds the page's socket and answers its pings."""

    def __init__(self, served: Served) -> None:
        page = served.client.get("/").text
        found = re.search(r"'client_id': '([\w-]+)'", page)
        assert found, "the page does not name its client"
        query = f"client_id={found[1]}&tab_id=t&document_id=d&next_message_id=0"
        self._socket = websocket.create_connection(
            f"ws://127.0.0.1:{served.place.port}/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
            f"&implicit_handshake=true&{query}",
            origin=served.url,
            timeout=30,
        )
        self._socket.send("40")
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self) -> None:
        self._socket.shutdown()

    def _read(self) -> None:
        with suppress(websocket.WebSocketException, OSError):
            while True:
                if self._socket.recv() == "2":
                    self._socket.send("3")


def stuck_request(served: Served) -> socket.socket:
    """Send a request that never ends: a message for the page's socket whose text does not come."""
    opened = served.client.get("/_nicegui_ws/socket.io/?EIO=4&transport=polling").text
    found = re.search(r'"sid":"([^"]+)"', opened)
    assert found, opened
    stuck = socket.create_connection(("127.0.0.1", served.place.port))
    head = (
        f"POST /_nicegui_ws/socket.io/?EIO=4&transport=polling&sid={found[1]} HTTP/1.1",
        f"Host: 127.0.0.1:{served.place.port}",
        f"Origin: {served.url}",
        "Content-Length: 100",
    )
    stuck.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
    return stuck


def listening(pid: int) -> list[tuple[str, int]]:
    """Return address and port of each socket on which this process listens, as Linux knows them."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            target = str(entry.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = []
    for family, name in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:  # LISTEN
                address, _, port = fields[1].partition(":")
                found.append((_address(family, address), int(port, 16)))
    return found


def _address(family: int, text: str) -> str:
    words = [bytes.fromhex(text[n : n + 8])[::-1] for n in range(0, len(text), 8)]
    return socket.inet_ntop(family, b"".join(words))


def processes_of_session(session: int) -> list[int]:
    """Return who still lives of those that were started on this terminal."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session and fields[0] != "Z":
                    found.append(int(entry.name))
    return found


def files(folder: Path) -> dict[str, bytes]:
    """Return what is in a folder, to see whether anything was changed there."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def whole(place: Place) -> Sequence[tuple[Any, ...]]:
    return place.rows("PRAGMA integrity_check")
