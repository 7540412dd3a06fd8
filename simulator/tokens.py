"""Access tokens that end at 03:30 IST, and the single-use codes that open one feed connection."""

import base64
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

import orjson

from simulator.calendar import IST
from simulator.clock import ExchangeClock

ROLLOVER = time(3, 30)  # IST; whatever the time of issue
USER = "4XA7QK"
NEVER = 1 << 62  # epoch ms


def next_rollover(now_ms: int) -> int:
    """Return the next 03:30 IST after `now_ms`, both epoch ms."""
    now = datetime.fromtimestamp(now_ms / 1000, IST)
    end = datetime.combine(now.date(), ROLLOVER, IST)
    if end <= now:
        end += timedelta(days=1)
    return int(end.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Token:
    """One access token; times in epoch ms of the exchange."""

    value: str
    user: str
    issued: int
    expires: int


class TokenTable:
    """The tokens that this broker has issued and not yet forgotten."""

    def __init__(self, clock: ExchangeClock) -> None:
        self._clock = clock
        self._tokens: dict[str, Token] = {}
        self._login_codes: set[str] = set()

    def add(self, value: str, *, user: str = USER, lasting: bool = False) -> Token:
        """Make this very text a valid token, until 03:30 or, if `lasting`, for good."""
        now = self._clock.now_ms()
        token = Token(value, user, now, NEVER if lasting else next_rollover(now))
        self._tokens[value] = token
        return token

    def issue(self, *, user: str = USER) -> Token:
        """Make a fresh token in the shape of the broker's: a JWT whose `exp` is its end."""
        now = self._clock.now_ms()
        return self.add(_jwt(user, now // 1000, next_rollover(now) // 1000), user=user)

    def check(self, value: str) -> Token | None:
        """Return the token if it is known and has not ended."""
        token = self._tokens.get(value)
        if token is None or token.expires <= self._clock.now_ms():
            return None
        return token

    def revoke(self, value: str) -> bool:
        return self._tokens.pop(value, None) is not None

    def expire_all(self) -> None:
        """Let every token end now, as a rollover would."""
        now = self._clock.now_ms()
        self._tokens = {v: replace(t, expires=now) for v, t in self._tokens.items()}

    def all(self) -> tuple[Token, ...]:
        return tuple(self._tokens.values())

    def login_code(self) -> str:
        """Make the code that the login dialog hands to the redirect address."""
        code = secrets.token_urlsafe(6)
        self._login_codes.add(code)
        return code

    def redeem_login_code(self, code: str) -> bool:
        """Use a login code up; it is gone even if the exchange fails afterwards."""
        if code not in self._login_codes:
            return False
        self._login_codes.remove(code)
        return True


@dataclass(frozen=True, slots=True)
class Invitation:
    """Who may open a connection, and which updates a portfolio stream was asked for."""

    token: Token
    update_types: frozenset[str] = frozenset()


class Invitations:
    """The codes in authorised feed addresses: each opens one connection, once."""

    def __init__(self) -> None:
        self._open: dict[str, Invitation] = {}
        self._last_used = ""

    def issue(self, invitation: Invitation) -> str:
        code = secrets.token_urlsafe(24)
        self._open[code] = invitation
        return code

    def redeem(self, code: str) -> Invitation | None:
        invitation = self._open.pop(code, None)
        if invitation is not None:
            self._last_used = code
        return invitation

    def used(self, invitation: Invitation) -> str:
        """Return a code that will be refused: the last one used, else one used up now."""
        if not self._last_used:
            self.redeem(self.issue(invitation))
        return self._last_used


def _jwt(user: str, issued: int, expires: int) -> str:
    claims = {
        "sub": user,
        "jti": secrets.token_hex(8),
        "isMultiClient": False,
        "isPlusPlan": False,
        "iat": issued,
        "iss": "udapi-gateway-service",
        "exp": expires,
    }
    head = {"typ": "JWT", "alg": "HS256"}
    parts = (orjson.dumps(head), orjson.dumps(claims), secrets.token_bytes(32))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def iso(ms: int) -> str:
    """Write epoch ms the way the broker does: ISO with milliseconds and +05:30."""
    moment = datetime.fromtimestamp(ms / 1000, UTC).astimezone(IST)
    return moment.isoformat(timespec="milliseconds")
