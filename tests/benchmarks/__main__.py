"""`uv run python -m tests.benchmarks [NAME ...] [--short]`: every figure with its reference."""

import argparse
import importlib
import os
import platform
import sys

NAMES = (
    "wire",
    "memory",
    "marks",
    "paper",
    "storage",
    "order_storage",
    "outbox",
    "start",
    "socket_load",
    "cells",
    "orders",
    "order_news",
    "account_rest",
    "watch",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.benchmarks")
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=str(NAMES))
    parser.add_argument("--short", action="store_true", help="a tenth of the long ones' time")
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}")
    for name in arguments.names or NAMES:
        print(f"\n{name}")
        bench = importlib.import_module(f"tests.benchmarks.{name}")
        for figure in bench.run(short=arguments.short):
            print(f"  {figure}")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
