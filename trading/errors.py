"""What can go wrong at the edges, one class for each reaction.

VigilError
├── Retryable         the network, a busy or broken server: wait and try again
│   ├── RateLimited   the broker said slow down: not before `retry_after` seconds
│   └── BadAnswer     not what was promised: HTML, no URL, a foreign host
├── Refused           only a person can help: stop dialling and tell
│   ├── TokenRefused  a new token heals it
│   └── NotPermitted  the account may not do this; the token is fine
├── BadRequest        we asked for something the broker does not accept; asking again is useless
└── CannotStart       a setting, a file or a port: one line to the person, exit code not zero
"""


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


class CannotStart(VigilError):
    pass
