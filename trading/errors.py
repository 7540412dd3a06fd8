"""What can go wrong at the edges, one class for each reaction.

VigilError
├── Retryable         the network, a busy or broken server: wait and try again
│   ├── RateLimited   the broker said slow down: not before `retry_after` seconds
│   └── BadAnswer     not what was promised: HTML, no URL, a foreign host
├── Refused           only a person can help: stop dialling and tell
│   ├── TokenRefused  a new token heals it
│   └── NotPermitted  the account may not do this; the token is fine
├── BadRequest        we asked for something the broker does not accept; asking again is useless
├── Unanswered        sent, and no answer worth the name: it may have happened; look, never resend
├── Denied            our own rules refused it: nothing was sent
└── CannotStart       a setting, a file or a port: one line to the person, exit code not zero
"""

from collections.abc import Sequence
from dataclasses import dataclass


class VigilError(Exception):
    """Anything the desk expects to go wrong; the message is written for the trader."""


class Retryable(VigilError):
    pass


class RateLimited(Retryable):
    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(VigilError):
    pass


class TokenRefused(Refused):
    pass


class NotPermitted(Refused):
    pass


class BadAnswer(Retryable):
    """Ambiguous, so it is retried like a broken network, but named in words of its own."""


class BadRequest(VigilError):
    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Unanswered(VigilError):
    pass


class Denied(VigilError):
    """`problems` name the fields, for the person or program that asked; the message holds all."""

    def __init__(self, message: str, *, problems: Sequence["Problem"] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a request: which field, and in words what and what would be right."""

    field: str
    words: str


class CannotStart(VigilError):
    pass
