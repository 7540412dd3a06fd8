"""What goes wrong in a soak, when, and for how long: seeded, so that a run can be repeated.

The cards are dealt from a shuffled deck, so that every fault comes before any comes again. Left
out: what only a person mends (a permission, a blocked bot), which would end the run's sense, and
`skew`, which changes the very stamps that the checker compares.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

EVERY: Final = (15.0, 25.0)  # real seconds from one fault to the next
LASTS: Final = (3.0, 10.0)  # real seconds


@dataclass(frozen=True, slots=True)
class Card:
    """A fault of the exchange. `matter`: what it must be found as, if it lasts: "stream", "token";
    of prices the ledger's silences say it. An `instant` one happens at once and has no end."""

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)
    matter: str = ""
    instant: bool = False
    drops: str = ""  # a feed that is ended as well, so that it is felt on a new connection

    @property
    def title(self) -> str:
        return " ".join([self.name, *(str(v) for v in self.parameters.values())])[:60]


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that was on; ms of the exchange's clock."""

    title: str
    matter: str
    start: int
    end: int


def card(name: str, matter: str = "", *, drops: str = "", **parameters: Any) -> Card:
    return Card(name, parameters, matter, drops=drops)


def once(name: str, matter: str = "", **parameters: Any) -> Card:
    return Card(name, parameters, matter, instant=True)


POSITIONS, ORDERS = "/v2/portfolio/short-term-positions", "/v2/order/retrieve-all"
MARKET: Final = (
    card("stall"), card("heartbeats"), card("mute"), card("half_open"), card("mid_frame"),
    card("trickle"), card("slow", seconds=1.0), card("kick"), card("burst", factor=20.0),
    card("twice"), card("shuffle"), card("omit_ltpc"), card("unknown_field"),
    card("unknown_oneof", probability=0.2), card("price", value=0.0, probability=0.2),
    card("price", value="nan", probability=0.2),
    card("garbage", probability=0.3), once("garbage", next=20), once("truncated", next=5),
    once("giant"), once("reserved_opcode"), once("text"), once("bad_utf8"),
    once("empties", count=20_000),
    *(once("drop", how=how) for how in ("fin", "rst", "1000", "1011", "1012")),
    card("handshake", how="never", drops="market"), card("handshake", how="rst", drops="market"),
    card("handshake", how="wrong_accept", drops="market"),
    card("authorize", how="status", status=503, drops="market"),
    card("authorize", how="timeout", drops="market"),
    card("authorize", how="html", drops="market"),
    card("authorize", how="status", status=429, retry_after=2, drops="market"),
)  # fmt: skip
ACCOUNT: Final = (
    once("drop", how="fin", feed="portfolio"), once("drop", how="rst", feed="both"),
    card("half_open", feed="portfolio"), card("half_open", feed="both"),
    card("authorize", "stream", how="status", status=503, feed="portfolio", drops="portfolio"),
    card("handshake", "stream", how="rst", feed="portfolio", drops="portfolio"),
    card("drop_updates", which="all"), card("drop_updates", which="final"),
    card("drop_updates", which="first"), card("repeat_updates"), card("shuffle_updates"),
    card("late_updates", seconds=2.0), once("garbage_update", how="truncated"),
    once("garbage_update", how="null"), once("unknown_update_type"),
    once("expire_token", "token"),
)  # fmt: skip
REST: Final = (
    card("rest", path=POSITIONS, status=500), card("rest", path=ORDERS, status=502, body="<html>"),
    card("rest", path=POSITIONS, status=200, body="<html></html>", content_type="text/html"),
    card("rest", path=POSITIONS, delay=6.0), card("rest", path="/v2", status=503),
    card("rest", path="/v2", status=429, retry_after=1),
)  # fmt: skip
DEALING: Final = (
    card("place_lost", how="after", answer="close"), card("place_lost", how="after", answer="hang"),
    card("place_lost", how="before", answer="gateway"),
    card("place_lost", how="before", answer="close"),
    card("place_delay", seconds=2.0), card("cancel_lost", how="after"),
    card("reject_order", how="status", after=0.5), card("reject_order", how="answer"),
    card("partial_fill", units=1), card("cancel_loses", how="filled"), card("rest_order"),
    card("unknown_status", seconds=1.0),
)  # fmt: skip
PHONE: Final = (
    card("telegram_down"), card("telegram_refuse"), card("telegram_bad_gateway"),
    card("telegram_too_many", retry_after=5), card("telegram_bad_request"),
    card("telegram_hang", delivered=True), card("telegram_hang", delivered=False),
    card("telegram_slow", seconds=2.0), card("telegram_other_poller"),
)  # fmt: skip
DECK: Final = (*MARKET, *ACCOUNT, *REST, *DEALING, *PHONE)
TOUCHES_ORDERS: Final = frozenset(c.name for c in DEALING)


def dealt(seed: int) -> Iterator[tuple[Card, float, float]]:
    """Yield for ever: a fault, for how long, and how long until the next; real seconds."""
    chance = random.Random(seed)
    while True:
        deck = list(DECK)
        chance.shuffle(deck)
        for each in deck:
            yield each, chance.uniform(*LASTS), chance.uniform(*EVERY)


class Nemesis:
    """Switches faults on at the exchange, and keeps the books of it."""

    def __init__(self, url: str, seed: int, now_ms: Callable[[], int]) -> None:
        self.struck: list[Struck] = []
        self.renew: Callable[[], Awaitable[None]] | None = None  # the customer signs in again
        self.on: str = ""  # what is on now
        self._cards = dealt(seed)
        self._now_ms = now_ms
        self._client = httpx.AsyncClient(base_url=url, trust_env=False, timeout=10)

    async def run(self) -> None:
        """Strike until cancelled; then what is on stays on until `calm`."""
        for each, lasts, pause in self._cards:
            began = asyncio.get_running_loop().time()
            await self._strike(each, lasts)
            rest = pause - (asyncio.get_running_loop().time() - began)
            await asyncio.sleep(max(1.0, rest))

    async def calm(self) -> None:
        """End everything that is on."""
        answer = await self._client.delete("/control/faults")
        answer.raise_for_status()
        self.on = ""

    async def close(self) -> None:
        await self._client.aclose()

    async def _strike(self, each: Card, lasts: float) -> None:
        start = self._now_ms()
        self.on = each.name
        try:
            with contextlib.suppress(httpx.TransportError):  # it may hurt the exchange's own answer
                await self._switch(each, lasts)
                if each.drops:
                    await self._set("drop", how="fin", feed=each.drops)
            await asyncio.sleep(0.2 if each.instant and each.matter != "token" else lasts)
        finally:
            self.struck.append(Struck(each.title, each.matter, start, self._now_ms()))
            if each.matter == "token" and self.renew is not None:
                await asyncio.shield(self.renew())
            self.on = ""

    async def _switch(self, each: Card, lasts: float) -> None:
        given = each.parameters if each.instant else {**each.parameters, "lasts": lasts}
        await self._set(each.name, **given)

    async def _set(self, name: str, **parameters: Any) -> None:
        answer = await self._client.post("/control/faults", json={"name": name, **parameters})
        assert answer.status_code == 200, answer.text
