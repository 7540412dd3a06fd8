"""The exchange alone, as a process: what it says, what it refuses, how it stops."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from simulator.__main__ import main, read
from simulator.build import BadOption, Options, create_exchange, parse_start
from tests.simulator.tiny import Client, bearer

ROOT = Path(__file__).parents[2]
HEAD = "instrument_key,timestamp,open,high,low,close,volume\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "70000"], "argument --port: 70000 is not between 0 and 65535"),
        (["--port", "x"], "argument --port: invalid"),
        (["--bogus"], "unrecognized arguments: --bogus"),
        (["--start", "soon"], "start: 'soon' is not a time such as 2024-06-27T09:15"),
        (["--speed", "0"], "argument --speed: 0 is not above 0"),
        (["--rate", "nan"], "argument --rate: nan is not above 0"),
        (["--instruments", "1"], "argument --instruments: 1 is not between 10 and 5000"),
        (["--replay", "missing.csv"], "replay: missing.csv: cannot be read"),
        (["--chain", "chain.json"], "chain: an option chain needs a replay file"),
    ],
)
def test_a_bad_argument_is_one_clear_line(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"simulator: {says}")
    assert err.count("\n") == 1


def test_a_busy_port_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    with create_exchange(Options(instruments=60)) as exchange:
        assert main(["--port", str(exchange.port), "--instruments", "60"]) == 2
        err = capsys.readouterr().err

    assert err.startswith(f"simulator: port {exchange.port}: Address already in use")
    assert err.count("\n") == 1


def test_arguments_become_options() -> None:
    options = read(["--port", "0", "--token", "T", "--start", "2024-06-27T09:15", "--speed", "60"])

    assert (options.port, options.token, options.speed) == (0, "T", 60.0)
    assert options.start is not None
    assert options.start.isoformat() == "2024-06-27T09:15:00+05:30"


def test_a_start_that_is_none_is_refused() -> None:
    with pytest.raises(BadOption, match="is not a time"):
        parse_start("27/06/2024")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_stops_within_two_seconds(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "simulator", "--port", "0", "--token", "T"]
    with subprocess.Popen(
        [*command, "--instruments", "60"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.split()[3].rstrip(",")
        answered = httpx.get(f"{url}/v2/user/profile", headers=bearer(), timeout=5).status_code
        began = time.monotonic()
        process.send_signal(number)
        code = process.wait(timeout=10)

    assert answered == 200
    assert "token T" in line
    assert code == 0
    assert time.monotonic() - began < 2.0


def test_by_default_it_is_open_now_and_its_token_lasts() -> None:
    exchange = create_exchange(Options(token="T", instruments=60))
    (token,) = exchange.tokens.all()

    assert exchange.calendar.always_open
    assert abs(exchange.clock.now_ms() - time.time() * 1000) < 5_000
    assert token.expires > exchange.clock.now_ms() + 10 * 365 * 86_400_000


def test_with_a_start_it_lives_on_that_day_and_keeps_its_hours() -> None:
    exchange = create_exchange(
        Options(token="T", start=parse_start("2024-06-27T09:15"), speed=60.0, instruments=60)
    )
    (token,) = exchange.tokens.all()

    assert not exchange.calendar.always_open
    assert exchange.clock.now().date().isoformat() == "2024-06-27"
    assert token.expires == int(parse_start("2024-06-28T03:30").timestamp() * 1000)


def test_a_replay_begins_a_little_before_its_first_minute(tmp_path: Path) -> None:
    file = tmp_path / "day.csv"
    rows = [
        "2024-06-27T09:15:00+05:30,100,102,99,101,0",
        "2024-06-27T09:16:00+05:30,101,103,100,102,0",
    ]
    file.write_text(HEAD + "".join(f"NSE_INDEX|Nifty 50,{row}\n" for row in rows))
    exchange = create_exchange(Options(token="T", replay=(file,), speed=10.0))
    ahead = parse_start("2024-06-27T09:15") - exchange.clock.now()

    assert 40.0 < ahead.total_seconds() <= 50.0


def test_the_real_market_reaches_a_subscriber() -> None:
    with create_exchange(Options(token="T", instruments=120, rate=2000.0)) as exchange:
        client = Client(exchange)
        keys = list(exchange.market.instruments)[:100]
        snapshot = client.snapshot(*keys)
        live = [client.message() for _ in range(5)]
        client.shut()

    assert set(snapshot.feeds) == set(keys)
    assert all(set(message.feeds) <= set(keys) and message.feeds for message in live)
