"""What a command of the bot gets, and what it is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from alerts.bot.answer import Answer
from alerts.bot.questions import Questions
from alerts.pictures import Pictures
from trading.closing import Closing
from trading.desk import Desk
from trading.health_ports import Person, Watchroom


@dataclass(frozen=True, slots=True)
class Asked:
    """One command: who gave it, with which words after it, and what the answer is made of.

    `no_orders` says in words why nothing may be sent from this phone, empty if it may.
    `known` are all commands, for /help.
    """

    desk: Desk
    room: Watchroom
    person: Person
    words: tuple[str, ...]
    questions: Questions
    closing: Closing
    pictures: Pictures
    no_orders: str
    known: "dict[str, Command]"

    @property
    def rest(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True, slots=True)
class Command:
    """`watcher`: it only reads, so that a watcher may give it. `acts`: it sends or cancels orders.
    `notice`: pressed as a button, it is answered in a line that passes.
    """

    name: str
    does: str
    run: Callable[[Asked], Awaitable[Answer]]
    usage: str = ""
    watcher: bool = False
    acts: bool = False
    notice: bool = False
