"""The second step of what is dangerous: a question that can be answered once, soon, and only if
what it is about has not changed since.
"""

import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final

from alerts.bot.answer import Answer
from trading.clock import Clock

VALID: Final = 30.0  # seconds
REMEMBERED: Final = 200  # answered questions, so that a second press is told so
DONE: Final = "already done"
YES: Final = "yes"
NO: Final = "no"


@dataclass(frozen=True, slots=True)
class Question:
    """What will be done if somebody says yes.

    `facts` returns what the question is about, as it is now: it must still equal what it was when
    it was asked. `act` gets the token, which is the nonce of whatever it sends.
    """

    chat: int
    user: int
    about: str  # "flatten 3 positions"
    facts: Callable[[], Hashable]
    act: Callable[[str], Awaitable[Answer]]


@dataclass(slots=True)
class _Asked:
    question: Question
    facts: Hashable
    since: float
    answer: str = ""  # "yes" or "no" once there is one


class Questions:
    """Owns the open questions and remembers the answered ones for a while."""

    def __init__(
        self, clock: Clock, *, draw: Callable[[], str] = lambda: secrets.token_hex(4)
    ) -> None:
        self._clock = clock
        self._draw = draw
        self._asked: OrderedDict[str, _Asked] = OrderedDict()

    def ask(self, question: Question) -> str:
        """Return the token of the question."""
        token = self._draw()
        self._asked[token] = _Asked(question, question.facts(), self._clock.monotonic())
        while len(self._asked) > REMEMBERED:
            self._asked.popitem(last=False)
        return token

    def take(self, token: str, answer: str, chat: int, user: int) -> "Question | str":
        """Return the question if it is to be acted on now, else what to tell in its place.

        It is used up before anything is awaited: a second press finds it answered.
        """
        asked = self._asked.get(token)
        if asked is None or (asked.question.chat, asked.question.user) != (chat, user):
            return "This question is over: ask again."
        about = asked.question.about
        if asked.answer:
            return f"{DONE}: {about}" if asked.answer == YES else f"Cancelled already: {about}"
        if answer == NO:
            asked.answer = NO
            return f"Cancelled: nothing was sent ({about})."
        asked.answer = NO  # whatever stands in the way now, it is over
        if self._clock.monotonic() - asked.since > VALID:
            return f"Too late: it is older than {VALID:g} s. Nothing was sent, ask again ({about})."
        if asked.question.facts() != asked.facts:
            return f"Position changed, ask again. Nothing was sent ({about})."
        asked.answer = YES
        return asked.question
