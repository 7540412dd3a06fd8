"""Real orders leave this house only on a day on which somebody has said the word."""

from collections.abc import Callable
from datetime import date
from typing import Final, Protocol

from trading.clock import Clock
from trading.errors import Denied, Problem
from trading.hours import IST
from trading.order import OrderRequest

WORD: Final = "LIVE"


class Memory(Protocol):
    """One date that outlives the process."""

    def read(self) -> date | None: ...

    async def write(self, day: date) -> None: ...


class LiveLatch:
    """Closed every morning (IST). Made-up accounts need no word."""

    def __init__(self, clock: Clock, memory: Memory, *, is_real: Callable[[str], bool]) -> None:
        """`is_real` says of an account whether its orders cost money."""
        self._clock = clock
        self._memory = memory
        self._is_real = is_real
        self._armed = memory.read()

    def armed(self) -> bool:
        return self._armed == self._today()

    def needed(self, account: str) -> bool:
        return self._is_real(account) and not self.armed()

    async def arm(self, word: str) -> None:
        """Open it for today; raise Denied unless the word is exactly right."""
        if word != WORD:
            words = f"type {WORD} in capitals to send real orders today"
            raise Denied(words, problems=[Problem("word", words)])
        today = self._today()  # the disk may take it over midnight
        await self._memory.write(today)
        self._armed = today

    def reason(self, request: OrderRequest) -> str:
        """A rule for the gate, for exits too: whoever exits is there to say the word."""
        if not self.needed(request.account):
            return ""
        return f"real orders are locked today: type {WORD} on the ticket first"

    def _today(self) -> date:
        return self._clock.now().astimezone(IST).date()
