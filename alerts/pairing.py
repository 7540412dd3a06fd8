"""A new phone is let in by a code that only somebody before the page can read."""

import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from trading.clock import Clock
from trading.health_ports import PairingCode, Person, Role
from trading.signal import Signal

VALID: Final = 120.0  # seconds
TRIES: Final = 5
DIGITS: Final = 6
_SENT: Final = re.compile(r"\s*(?:/(?:start|pair)(?:@\w+)?\s+)?(\d{3})[ -]?(\d{3})\s*")


def code_in(text: str) -> str:
    """Return the code that a message is (`/start 123456`, `123 456`), empty if it is none."""
    found = _SENT.fullmatch(text) if len(text) < 100 and text.isascii() else None
    return "".join(found.groups()) if found else ""


@dataclass(slots=True)
class _Offer:
    code: PairingCode
    wrong: int = 0


class Pairing:
    """Owns the one code that is open; implements `health_ports.Pairing`.

    Whoever comes in while there is no owner is the owner, everybody later a watcher: who gives
    orders besides is named in the settings.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        has_owner: Callable[[], bool],
        draw: Callable[[int], int] = secrets.randbelow,
    ) -> None:
        self.changes: Signal[None] = Signal("pairing")
        self._clock = clock
        self._has_owner = has_owner
        self._draw = draw
        self._offer: _Offer | None = None
        self._outcome = "no code is open"

    def open(self) -> PairingCode:
        number = f"{self._draw(10**DIGITS):0{DIGITS}d}"
        code = PairingCode(number, self._clock.monotonic() + VALID)
        self._offer = _Offer(code)
        self.changes.emit(None)
        return code

    def code(self) -> PairingCode | None:
        offer = self._open()
        return offer.code if offer else None

    @property
    def state(self) -> str:
        if self._open() is None:
            return self._outcome
        role = "it can read and give commands" if self._next() == "owner" else "it can read"
        return f"waiting for the code from the new phone ({role})"

    def try_code(self, code: str, chat: int, user: int, name: str, at: datetime) -> Person | None:
        """Return the person who comes in by this code, which is used up; None if it is wrong.

        The fifth wrong one closes it. The caller keeps the person.
        """
        offer = self._open()
        if offer is None:
            return None
        if not hmac.compare_digest(code.encode(), offer.code.code.encode()):
            offer.wrong += 1
            if offer.wrong >= TRIES:
                self._close(f"closed after {TRIES} wrong codes: somebody else may be guessing")
            return None
        role = self._next()
        self._close(f"{name} came in as {role}")
        return Person(chat, user, role, name, at)

    def _next(self) -> Role:
        return "watcher" if self._has_owner() else "owner"

    def _open(self) -> _Offer | None:
        if self._offer is not None and self._clock.monotonic() >= self._offer.code.ends:
            self._close(f"nobody sent the code within {VALID / 60:g} minutes")
        return self._offer

    def _close(self, outcome: str) -> None:
        self._offer, self._outcome = None, outcome
        self.changes.emit(None)
