"""A process that has imported what main.py imports and forks a start of it for each line it reads.

Importing takes two seconds, refusing to start a tenth of one: sixteen refusals would cost half
a minute. What runs in the fork is main.py itself, as `__main__`, up to the interpreter's own exit.
"""

import json
import os
import runpy
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import main

AT_MOST = 10  # seconds until a start that was not refused is ended


@dataclass(frozen=True)
class Order:
    arguments: list[str]
    environment: dict[str, str]
    stderr: str


def next_order() -> Order:
    """Fork for each line of stdin and tell how it ended; return in the fork only."""
    for line in sys.stdin:
        order = Order(**json.loads(line))
        child = os.fork()
        if child == 0:
            return order
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
    sys.exit()


if __name__ == "__main__":
    order = next_order()
    os.dup2(os.open(order.stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
    signal.alarm(AT_MOST)
    os.environ.clear()
    os.environ.update(order.environment)
    program = Path(main.__file__)
    sys.argv = [program.name, *order.arguments]
    runpy.run_path(str(program), run_name="__main__")
