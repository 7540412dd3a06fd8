"""What cannot work is refused in one line that says what to do, before anything is half started."""

import json
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from storage.database import open_database
from storage.folder import DataFolder
from tests.process.served import ROOT, Place, clean_environment, files, refusal

OWN: Final = {"lock", "session_secret"}  # of the folder itself, not of what is kept in it


@dataclass
class Start:
    """A start that must be refused: what is wrong, and what the trader has to be told."""

    place: Place
    words: tuple[str, ...]
    arguments: tuple[str, ...] = ()


def busy_port(place: Place, stack: ExitStack) -> Start:
    stack.enter_context(socket.create_server(("127.0.0.1", place.port)))
    return Start(place, (f"127.0.0.1:{place.port}", "in use", "VIGIL_SERVER__PORT"))


def busy_port_of_the_simulator(place: Place, stack: ExitStack) -> Start:
    stack.enter_context(socket.create_server(("127.0.0.1", place.simulator_port)))
    return Start(place, (f":{place.simulator_port}", "in use", "VIGIL_SIMULATOR__PORT"))


def misspelt_key(place: Place, stack: ExitStack) -> Start:
    file = place.folder.parent / "settings.toml"
    shipped = (ROOT / "settings.toml").read_text(encoding="utf-8")
    file.write_text(shipped.replace("keep_ticks_days", "keep_tick_days"), encoding="utf-8")
    return Start(place, ("[storage] keep_tick_days", "misspelt"), ("--settings", str(file)))


def bad_toml(place: Place, stack: ExitStack) -> Start:
    file = place.folder.parent / "settings.toml"
    file.write_text("[run\nexchange = simulated", encoding="utf-8")
    return Start(place, (str(file), "cannot be read"), ("--settings", str(file)))


def no_settings(place: Place, stack: ExitStack) -> Start:
    file = place.folder.parent / "nowhere.toml"
    return Start(place, (str(file), "missing"), ("--settings", str(file)))


def misspelt_variable(place: Place, stack: ExitStack) -> Start:
    place.variables["VIGIL_SEVER__PORT"] = "8090"
    return Start(place, ("VIGIL_SEVER__PORT", "no such section"))


def open_to_all_without_a_password(place: Place, stack: ExitStack) -> Start:
    place.variables["VIGIL_SERVER__HOST"] = "0.0.0.0"
    return Start(place, ("0.0.0.0", "password", "VIGIL_SERVER__PASSWORD"))


def garbage(place: Place, stack: ExitStack) -> Start:
    place.folder.mkdir()
    place.database.write_bytes(b"\x89PNG" + bytes(range(256)) * 64)
    return Start(place, (str(place.database), "is not a database", "move the file away"))


def empty_file(place: Place, stack: ExitStack) -> Start:
    place.folder.mkdir()
    place.database.touch()
    return Start(place, (str(place.database), "is empty"))


def read_only_database(place: Place, stack: ExitStack) -> Start:
    database(place).chmod(0o400)
    return Start(place, (str(place.database), "read-only", "chmod"))


def read_only_folder(place: Place, stack: ExitStack) -> Start:
    place.folder.mkdir(mode=0o500)
    stack.callback(place.folder.chmod, 0o700)
    return Start(place, (str(place.folder), "permissions"))


def newer_schema(place: Place, stack: ExitStack) -> Start:
    with closing(sqlite3.connect(database(place))) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    return Start(place, ("newer Vigil", "9999", "Update"))


def second_copy(place: Place, stack: ExitStack) -> Start:
    stack.callback(DataFolder(place.folder).release)  # what the first copy does, in this process
    return Start(place, ("another copy", str(place.folder), "stop it"))


def unreadable_replay(place: Place, stack: ExitStack) -> Start:
    file = place.folder.parent / "candles.csv"
    file.write_text("once upon a time\n", encoding="utf-8")
    place.variables["VIGIL_SIMULATOR__REPLAY"] = f'["{file}"]'
    return Start(place, ("simulated exchange: replay", str(file)))


def bad_start(place: Place, stack: ExitStack) -> Start:
    place.variables["VIGIL_SIMULATOR__START"] = "27/06/2024"
    return Start(place, ("simulated exchange", "27/06/2024", "2024-06-27T09:15"))


def chain_without_replay(place: Place, stack: ExitStack) -> Start:
    place.variables["VIGIL_SIMULATOR__CHAIN"] = "chain.json"
    return Start(place, ("chain", "needs a replay"))


def database(place: Place) -> Path:
    place.folder.mkdir()
    open_database(place.database).close()
    return place.database


CASES: Final[tuple[Callable[[Place, ExitStack], Start], ...]] = (
    busy_port,
    busy_port_of_the_simulator,
    misspelt_key,
    bad_toml,
    no_settings,
    misspelt_variable,
    open_to_all_without_a_password,
    garbage,
    empty_file,
    read_only_database,
    read_only_folder,
    newer_schema,
    second_copy,
    unreadable_replay,
    bad_start,
    chain_without_replay,
)


class Program:
    """main.py, started again and again; one real start of it costs two seconds of imports."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.process.preloaded"],
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, start: Start) -> tuple[int, str]:
        """Return the exit code and what was written to stderr."""
        reader, writer = self._process.stdout, self._process.stdin
        assert reader
        assert writer
        stderr = start.place.folder.parent / "stderr"
        order = {
            "arguments": start.arguments,
            "environment": start.place.environment(),
            "stderr": str(stderr),
        }
        writer.write(json.dumps(order) + "\n")
        writer.flush()
        return int(reader.readline()), stderr.read_text()

    def close(self) -> None:
        self._process.communicate(timeout=10)


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    started = Program()
    yield started
    started.close()


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_work_is_refused_in_one_line_and_leaves_no_trace(
    program: Program, tmp_path: Path, case: Callable[[Place, ExitStack], Start]
) -> None:
    with ExitStack() as stack:
        start = case(Place(tmp_path / "data"), stack)
        before = files(start.place.folder)
        code, line = program.start(start)
        after = files(start.place.folder)

    print(line)
    assert code == 1
    assert line.startswith("vigil cannot start: ")
    assert line.count("\n") == 1
    for word in start.words:
        assert word in line
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed <= OWN


def test_the_shell_sees_a_refusal_as_one_line_and_an_exit_code(tmp_path: Path) -> None:
    place = Place(tmp_path / "data")
    with socket.create_server(("127.0.0.1", place.port)):
        code, line = refusal(place)

    assert code == 1
    assert line.startswith(f"vigil cannot start: 127.0.0.1:{place.port} cannot be used: ")
    assert line.count("\n") == 1
    assert not place.database.exists()
