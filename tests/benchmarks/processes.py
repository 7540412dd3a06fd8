"""The exchange, the desk and a browser as processes of their own, and what each of them costs."""

import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, sync_playwright

from storage.database import open_database
from storage.tables import METADATA

ROOT: Final = Path(__file__).parents[2]
CHROMIUM: Final = shutil.which("chromium")
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
)
TICKS: Final = os.sysconf("SC_CLK_TCK")
BEGIN: Final = 30.0  # seconds that a process may take until it answers
END: Final = 10.0  # and until it has ended
TOKEN: Final = "benchmark"
OTHER_TOKEN: Final = "reference"  # of another customer


@dataclass(frozen=True, slots=True)
class Process:
    """A server in another process, with what the kernel says of it."""

    popen: subprocess.Popen[str]
    url: str

    @property
    def cpu_seconds(self) -> float:
        return cpu_seconds(self.popen.pid)

    @property
    def memory_mb(self) -> float:
        return _status_kb(self.popen.pid, "VmRSS") / 1000

    @property
    def peak_memory_mb(self) -> float:
        return _status_kb(self.popen.pid, "VmHWM") / 1000

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=5) as answer:
            body: bytes = answer.read()
            return body

    def json(self, path: str) -> Any:
        return json.loads(self.get(path))

    def answers(self, path: str = "/health") -> bool:
        """Return whether it says 200; fail if it has ended."""
        assert self.popen.poll() is None, "the process has ended"
        try:
            self.get(path)
        except OSError:  # refused, or the 503 of a desk that is still starting
            return False
        return True


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process so far; what is gone has used none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def _status_kb(pid: int, name: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    assert found, f"{name} of process {pid}"
    return float(found[1]) * 1.024


def load() -> str:
    """Return what else keeps this machine busy, to stand beside a figure."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def share(values: Sequence[float], of: float) -> float:
    """Return the value that this share of them does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * of))]


# The exchange


class Exchange(Process):
    def stall(self) -> None:
        """Let no more prices onto the wire; the connection stays."""
        _post(f"{self.url}/control/faults", {"name": "stall"})

    def ledger(self) -> Any:
        return self.json("/control/ledger")["data"]

    def ledger_rows(self) -> Iterator[list[Any]]:
        start, count = 0, 20_000
        while page := self.json(f"/control/ledger/rows?start={start}&count={count}")["data"]:
            yield from page
            start += len(page)

    def instruments(self) -> list[str]:
        """Return the keys of its master, in its order: indices and shares come first."""
        return [row["instrument_key"] for row in self.master()]

    def master(self) -> list[dict[str, Any]]:
        packed = self.get("/market-quote/instruments/exchange/complete.json.gz")
        rows: list[dict[str, Any]] = json.loads(gzip.decompress(packed))
        return rows


@dataclass(frozen=True, slots=True)
class Call:
    """One request that the exchange answered; `at` in monotonic seconds of this machine."""

    method: str
    path: str
    at: float


@dataclass(frozen=True, slots=True)
class Update:
    """A message as it was written to the portfolio stream; `at` in monotonic seconds."""

    at: float
    message: dict[str, Any]


class UnlimitedExchange(Exchange):
    """It counts no calls, and says when it answered each and when it told what."""

    def calls(self) -> list[Call]:
        return [Call(*row) for row in self._noted("calls")]

    def updates(self) -> list[Update]:
        return [Update(*row) for row in self._noted("updates")]

    def control(self, path: str, **body: Any) -> None:
        _post(f"{self.url}/control/{path}", body)

    def _noted(self, what: str) -> Any:
        given, told = self.popen.stdin, self.popen.stdout
        assert given is not None
        assert told is not None
        given.write(what + "\n")
        given.flush()
        return json.loads(told.readline())


@contextmanager
def unlimited_exchange(*, instruments: int, rate: float) -> Iterator[UnlimitedExchange]:
    command = [sys.executable, "-m", "tests.benchmarks.unlimited_exchange"]
    command += ["--token", TOKEN, "--other-token", OTHER_TOKEN]
    command += ["--instruments", str(instruments), "--rate", str(rate)]
    pipe = subprocess.PIPE
    popen = subprocess.Popen(
        command, cwd=ROOT, env=_environment(), stdin=pipe, stdout=pipe, text=True
    )
    try:
        assert popen.stdout is not None
        yield UnlimitedExchange(popen, json.loads(popen.stdout.readline()))
    finally:
        _end(popen)


@contextmanager
def exchange(*, instruments: int, rate: float, keep_rows: bool = False) -> Iterator[Exchange]:
    """Run the simulator alone on a free port of this machine."""
    command = [sys.executable, "-m", "simulator", "--port", "0", "--seed", "7", "--token", TOKEN]
    command += ["--instruments", str(instruments), "--rate", str(rate)]
    command += ["--keep-rows"] if keep_rows else []
    popen = subprocess.Popen(
        command, cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert popen.stdout is not None
        greeting = popen.stdout.readline()
        found = re.search(r"simulated exchange on (\S+),", greeting)
        assert found, f"the simulator said {greeting!r}"
        yield Exchange(popen, found[1])
    finally:
        _end(popen)


# The desk


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vigil-bench-") as name:
        yield Path(name)


@contextmanager
def desk(
    directory: Path,
    exchange_url: str = "",
    *,
    holding: Sequence[str] = (),
    wait: bool = True,
    compiled: Path | None = None,
    program: Sequence[str] = ("main.py",),
    variables: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """Run main.py against an exchange on this machine, or against its own where none is given.

    `holding` has it want these instruments although no page shows them. `wait` until it answers.
    `compiled` is where Python keeps compiled modules. `program` is a desk with something added,
    and `variables` are settings.
    """
    port = free_port()
    settings = {
        "VIGIL_SERVER__PORT": str(port),
        "VIGIL_STORAGE__DIRECTORY": str(directory),
        "VIGIL_RUN__LOG_LEVEL": "WARNING",
    }
    if exchange_url:
        settings |= {
            "VIGIL_RUN__EXCHANGE": "upstox",
            "VIGIL_UPSTOX__BASE_URL": exchange_url,
            "VIGIL_UPSTOX__ASSETS_URL": exchange_url,
            "VIGIL_UPSTOX__TOKEN": TOKEN,
        }
    command = [sys.executable, *program]
    if holding:
        keys = directory / "holding.json"
        keys.write_text(json.dumps(list(holding)))
        command = [sys.executable, "-m", "tests.benchmarks.holding_desk", str(keys)]
    environment = _environment(compiled) | settings | dict(variables or {})
    popen = subprocess.Popen(command, cwd=ROOT, env=environment, text=True)
    try:
        running = Process(popen, f"http://127.0.0.1:{port}")
        if wait:
            until(running.answers, within=BEGIN, what="the desk answers")
        yield running
    finally:
        _end(popen)


@contextmanager
def python(source: str, *, port: int, compiled: Path | None = None) -> Iterator[Process]:
    """Run a program of a few lines that serves on this port; the references are such."""
    with folder() as directory:
        file = directory / "reference.py"  # NiceGUI asks for a file
        file.write_text(source)
        command = [sys.executable, str(file)]
        popen = subprocess.Popen(
            command,
            env=_environment(compiled),
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield Process(popen, f"http://127.0.0.1:{port}")
        finally:
            _end(popen)


def watch(directory: Path, instrument_keys: Sequence[str]) -> None:
    """Put a watchlist into the database of a simulated world before the desk starts."""
    directory.mkdir(exist_ok=True)
    database = open_database(directory / "simulated.db")
    watchlist = METADATA.tables["watchlist"]
    try:
        with database.writing.begin() as connection:
            connection.execute(watchlist.delete())
            connection.execute(
                watchlist.insert(),
                [
                    {"is_mock": True, "position": place, "instrument_key": key}
                    for place, key in enumerate(instrument_keys)
                ],
            )
    finally:
        database.close()


# Browsers


@contextmanager
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield launched
        finally:
            launched.close()


def browser_cpu_seconds() -> float:
    """Return what all chromium processes that descend from this one have used."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, rest = path.read_text().rpartition(")")
        except OSError:
            continue  # it has just ended
        pid, _, name = head.partition(" (")
        parents[int(pid)], names[int(pid)] = int(rest.split()[1]), name
    own = os.getpid()
    return sum(
        cpu_seconds(pid)
        for pid, name in names.items()
        if name.startswith("chrom") and own in _ancestors(pid, parents)
    )


def _ancestors(pid: int, parents: dict[int, int]) -> set[int]:
    found: set[int] = set()
    while (pid := parents.get(pid, 0)) and pid not in found:
        found.add(pid)
    return found


# Means


def until(condition: Callable[[], bool], *, within: float, what: str, every: float = 0.05) -> float:
    """Return the seconds it took; fail after `within` of them."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > within:
            raise TimeoutError(f"not within {within:.0f} s: {what}")
        time.sleep(every)
    return time.monotonic() - began


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(compiled: Path | None = None) -> dict[str, str]:
    """Leave out what was set for the desk of the person who runs this.

    A machine may be told not to keep compiled modules; every start then takes three seconds more,
    which is no property of the desk. With `compiled` they are kept there.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("VIGIL_", "NICEGUI_"))}
    if compiled is not None:
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        kept["PYTHONPYCACHEPREFIX"] = str(compiled)
    return kept


def _post(url: str, body: dict[str, Any]) -> None:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=5):
        return


def _end(popen: subprocess.Popen[str]) -> None:
    popen.terminate()
    try:
        popen.wait(END)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait(END)
    for pipe in (popen.stdin, popen.stdout):
        if pipe is not None:
            pipe.close()
