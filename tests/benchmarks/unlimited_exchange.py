"""The simulated exchange as a process of its own that limits no calls, and tells what it noted.

`calls` or `updates` on its standard input is answered with one line of JSON on its output.
"""

import argparse
import json
import sys
from typing import Any

from simulator.calendar import IST
from simulator.clock import ExchangeClock
from simulator.instruments import build_instruments
from simulator.interest import Interest
from simulator.market import RandomMarket
from simulator.server import SimulatedExchange
from simulator.tokens import TokenTable

OTHER = "OTHER1"  # a customer whose orders are the reference's and not ours


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--instruments", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--other-token", required=True)
    given = parser.parse_args()
    clock, interest = ExchangeClock(), Interest()
    listed = build_instruments(today=clock.now().astimezone(IST).date(), count=given.instruments)
    market = RandomMarket(7, listed, clock.now_ms(), given.rate, interest=interest.wants)
    tokens = TokenTable(clock)
    tokens.add(given.token, lasting=True)
    tokens.add(given.other_token, user=OTHER, lasting=True)
    exchange = SimulatedExchange(
        market, clock=clock, tokens=tokens, interest=interest, rate_limits=()
    )
    with exchange:
        _say(exchange.base_url)
        for line in sys.stdin:
            _say(_noted(exchange, line.strip()))


def _noted(exchange: SimulatedExchange, what: str) -> list[Any]:
    """Return rows of the ledger; moments are seconds of this machine's monotonic clock."""
    ledger = exchange.ledger
    if what == "calls":
        return [(call.method, call.path, call.at) for call in tuple(ledger.calls)]
    if what == "updates":
        return [(update.at, json.loads(update.message)) for update in tuple(ledger.updates)]
    raise ValueError(what)


def _say(words: Any) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
