"""Run the simulated exchange alone: uv run python -m simulator --port 8900 --token T."""

import argparse
import signal
import sys
import threading
from pathlib import Path
from typing import NoReturn

from simulator.build import BadOption, Options, create_exchange, parse_start
from simulator.server import SimulatedExchange

BAD_USAGE = 2


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadOption(message)


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or Ctrl-C; return the exit code."""
    try:
        options = read(arguments)
        exchange = create_exchange(options)
        exchange.start()
    except BadOption as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"port {options.port}: {error.strerror}. Is another copy running?")
    with exchange:
        token = options.token or exchange.tokens.issue().value
        sys.stdout.write(greeting(exchange, token) + "\n")
        sys.stdout.flush()
        return _run(exchange)


def read(arguments: list[str] | None) -> Options:
    """Turn the command line into Options; raise BadOption."""
    parser = Parser(prog="simulator", description=__doc__, allow_abbrev=False)
    parser.add_argument("--port", type=_port, default=8900, help="of REST; 0: any free one")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--token", default="", help="accepted as an access token")
    parser.add_argument("--instruments", type=_count, default=500)
    parser.add_argument("--rate", type=_positive, default=400.0, help="price changes a second")
    parser.add_argument("--start", default="", help="2024-06-27T09:15 (IST): run on that time")
    parser.add_argument("--speed", type=_positive, default=1.0)
    parser.add_argument("--replay", type=Path, action="extend", nargs="+", default=[])
    parser.add_argument("--chain", type=Path, help="option chain that moves with the replay")
    parser.add_argument("--keep-rows", action="store_true", help="remember every tick sent")
    parser.add_argument("--webhook", default="", help="where to post order messages, on loopback")
    parser.add_argument("--memory", type=Path, help="file that keeps the accounts over restarts")
    parser.add_argument("--opening", action="store_true", help="begin with a few positions")
    given = vars(parser.parse_args(arguments))
    given["start"] = parse_start(given["start"]) if given["start"] else None
    given["replay"] = tuple(given["replay"])
    return Options(**given)


def greeting(exchange: SimulatedExchange, token: str) -> str:
    now = exchange.clock.now().isoformat(timespec="seconds")
    return (
        f"simulated exchange on {exchange.base_url}, feed {exchange.entry_url}, "
        f"control {exchange.base_url}/control/faults, token {token}, "
        f"{len(exchange.market.instruments)} instruments, its time {now}"
    )


def _run(exchange: SimulatedExchange) -> int:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(0.5):
        if not exchange.alive:
            return 1  # its thread has said why
    return 0


def _refuse(reason: str) -> int:
    sys.stderr.write(f"simulator: {reason}\n")
    return BAD_USAGE


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 65535")
    return port


def _count(text: str) -> int:
    count = int(text)
    if not 10 <= count <= 5_000:
        raise argparse.ArgumentTypeError(f"{text} is not between 10 and 5000")
    return count


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number <= 100_000:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 100000")
    return number


if __name__ == "__main__":
    sys.exit(main())
