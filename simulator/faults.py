"""What this exchange can be told to do wrong: one small entry for each fault, with its scope.

Switch one on with `faults.set("stall")` or, over the wire, POST /control/faults {"name": "stall"}.
A fault lasts until it is cleared, for `lasts` seconds, for the `next` N occasions, or strikes with
`probability`.
"""

import base64
import math
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from feeds.upstox.proto import market_data_feed_pb2 as pb
from simulator.frames import Opcode, fragmented, frame, header

GIB, MIB = 1 << 30, 1 << 20
FINAL = {"complete", "rejected", "cancelled", "cancelled after market order"}


class UnknownFault(ValueError):
    """There is no fault of this name, or it does not take this parameter; says so in words."""


class Fault(BaseModel):
    """Anything that goes wrong; its name is the class's in snake_case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    next: int | None = Field(None, ge=1)  # occasions; None: until cleared
    probability: float = Field(1.0, gt=0, le=1)
    # Real seconds until it ends by itself, also if whoever set it is gone; None: until cleared.
    lasts: float | None = Field(None, gt=0, le=3600)

    @property
    def name(self) -> str:
        return _snake(type(self).__name__)

    @property
    def slot(self) -> str:
        """Faults of one slot replace each other."""
        return self.name


Feed = Literal["market", "portfolio"]
Scope = Literal["market", "portfolio", "both"]


class FeedFault(Fault):
    """Strikes one of the two feeds, or both."""

    feed: Scope = "market"

    @property
    def slot(self) -> str:
        return f"{self.name} {self.feed}"

    def strikes(self, feed: Feed) -> bool:
        return self.feed in (feed, "both")


# --- a feed falls silent ---------------------------------------------------------------------


class Silence(FeedFault):
    """An open socket without data; what happens waits and comes once it ends."""

    pings: ClassVar[bool] = True  # the server's own
    pongs: ClassVar[bool] = True  # answers to the client's
    reads: ClassVar[bool] = True


class Stall(Silence):
    """No data, though both sides' pings work (F01)."""


class Heartbeats(Silence):
    """Nothing but a market_info every so many seconds; the market feed only (F02)."""

    feed: Literal["market"] = "market"
    every: float = Field(1.0, gt=0)


class Mute(Silence):
    """No data and no pongs."""

    pings = False
    pongs = False


class HalfOpen(Silence):
    """Nothing is read, written or accepted any more, and the sockets stay (F04)."""

    pings = False
    pongs = False
    reads = False


class MidFrame(FeedFault):
    """The next data frame of a connection stops in its middle, for good (F05)."""


class Trickle(FeedFault):
    """The next data frame of a connection comes byte by byte (F06)."""

    every: float = Field(0.3, gt=0)  # seconds a byte


class Slow(Fault):
    """Answers and data frames come so many seconds late."""

    seconds: float = Field(..., gt=0, le=600)


# --- a feed ends -----------------------------------------------------------------------------


class Action(Fault):
    """Happens once, at the moment it is set."""


class Drop(Action, FeedFault):
    """End every feed connection: by FIN, by RST, or by a close frame of this code (F07)."""

    how: Literal["fin", "rst", "1000", "1001", "1008", "1011", "1012"] = "fin"


class Kick(FeedFault):
    """Another client takes the account's place: connections are closed soon after opening (F11)."""

    after: float = Field(0.0, ge=0)  # seconds
    code: int = Field(1008, ge=1000, le=4999)


class KickOld(FeedFault):
    """A connection too many closes the oldest; without this fault it is refused with 403."""

    code: int = Field(1008, ge=1000, le=4999)


class ExpireToken(Action):
    """Every token that is known now ends, and with it the connections opened by it (A01).

    Those of both feeds, for a token is good for both.
    """

    cut: bool = True


class RefuseToken(Fault):
    """No token is accepted, over REST or in a handshake (A03)."""


# --- opening a feed --------------------------------------------------------------------------


class Handshake(FeedFault):
    """What the feeder host answers instead of the upgrade (F08)."""

    how: Literal["never", "rst", "wrong_accept", "401", "403", "429"]
    retry_after: int | None = Field(None, ge=0)


class Authorize(FeedFault):
    """What the authorize call answers instead of an address (F16-F18, A06)."""

    how: Literal["status", "timeout", "html", "no_uri", "uri", "reused"] = "status"
    status: int = Field(500, ge=400, le=599)
    retry_after: int | None = Field(None, ge=0)
    uri: str = "wss://feeder.elsewhere.example/market-data-feeder/v3/upstox-developer-api/feeds"


class Redirect(FeedFault):
    """Where the feed's entry address leads: back to itself, or to another host (A07)."""

    to: str = ""  # empty: a loop


# --- subscriptions ---------------------------------------------------------------------------


class IgnoreKeys(Fault):
    """A subscription of these instruments has no effect (F13)."""

    keys: frozenset[str] = Field(..., min_length=1)


class OverLimit(Fault):
    """What happens to instruments beyond a limit, other than getting no data."""

    how: Literal["serve", "close"]


class Whole(Fault):
    """Live frames carry every part of the mode, changed or not."""


class Burst(Fault):
    """So many times as many price changes (F30)."""

    factor: float = Field(20.0, gt=0, le=1000)


# --- whole frames ----------------------------------------------------------------------------


class Twice(Fault):
    """Every data frame comes twice (F27)."""


class Shuffle(Fault):
    """Data frames come in any order within a window (F27)."""

    window: int = Field(5, ge=2, le=1000)


class Injection(FeedFault):
    """Frames that no exchange sends: `next` of them at once (1 if not given), or, with a
    probability, again and again before data frames."""

    def wire(self, chance: random.Random) -> Iterator[bytes]:
        raise NotImplementedError


class Garbage(Injection):
    """Random bytes where a message is due (F21, F23)."""

    size: int = Field(400, ge=1, le=MIB)

    def wire(self, chance: random.Random) -> Iterator[bytes]:
        # 0x07 is a tag of the wire type 7, which does not exist: never decodable by luck
        yield frame(Opcode.BINARY, b"\x07" + chance.randbytes(self.size - 1))


class Truncated(Injection):
    """A message cut off inside its last field, in an intact frame (F21)."""

    def wire(self, chance: random.Random) -> Iterator[bytes]:
        message = pb.FeedResponse(type=pb.Type.live_feed, currentTs=1)
        message.feeds["NSE_INDEX|Nifty 50"].ltpc.ltp = 24000.0
        yield frame(Opcode.BINARY, message.SerializeToString()[:-9])


class Giant(Injection):
    """A frame that claims 8 GiB (F20)."""

    claims: int = Field(8 * GIB, ge=1)

    def wire(self, chance: random.Random) -> Iterator[bytes]:
        yield header(Opcode.BINARY, self.claims) + bytes(1024)


class Fragments(Injection):
    """One message of 9 MiB in fragments (F20)."""

    size: int = Field(9 * MIB, ge=1, le=64 * MIB)
    piece: int = Field(64 * 1024, ge=1)

    def wire(self, chance: random.Random) -> Iterator[bytes]:
        yield fragmented(bytes(self.size), self.piece)


class Empties(Injection):
    """A flood of empty frames (F20)."""

    count: int = Field(100_000, ge=1, le=1_000_000)

    def wire(self, chance: random.Random) -> Iterator[bytes]:
        yield frame(Opcode.BINARY) * self.count


class Text(Injection):
    """A text frame where only binary ones are due (F22)."""

    text: str = '{"status":"failed","method":"sub","error":"not now"}'

    def wire(self, chance: random.Random) -> Iterator[bytes]:
        yield frame(Opcode.TEXT, self.text.encode())


class BadUtf8(Injection):
    """A text frame that is not UTF-8 (F22)."""

    def wire(self, chance: random.Random) -> Iterator[bytes]:
        yield frame(Opcode.TEXT, b"\xff\xfe\xc3\x28")


class ReservedOpcode(Injection):
    """A frame whose opcode is not assigned (F22)."""

    def wire(self, chance: random.Random) -> Iterator[bytes]:
        yield frame(Opcode.RESERVED, b"?")


class Raw(Injection):
    """A frame with exactly this payload, base64 over the wire: a recorded one, say."""

    data: Annotated[bytes, BeforeValidator(lambda v: _unbase64(v))]

    def wire(self, chance: random.Random) -> Iterator[bytes]:
        yield frame(Opcode.BINARY, self.data)


# --- inside messages -------------------------------------------------------------------------


class Edit(Fault):
    """Changes a message before it is sent; what the ledger keeps is the changed one."""

    keys: frozenset[str] = frozenset()  # empty: all instruments

    def edit(self, message: pb.FeedResponse) -> None:
        raise NotImplementedError

    def concerned(self, message: pb.FeedResponse) -> list[str]:
        return [key for key in message.feeds if not self.keys or key in self.keys]

    def touches(self, message: pb.FeedResponse) -> bool:
        return bool(self.concerned(message))


class Price(Edit):
    """A last price that cannot be: 0, -1, "nan", "inf", 1e308, 5e-324 (F26)."""

    value: float

    def edit(self, message: pb.FeedResponse) -> None:
        for key in self.concerned(message):
            owner = _owner(message.feeds[key])
            if owner is not None and owner.HasField("ltpc"):
                owner.ltpc.ltp = self.value


class OmitLtpc(Edit):
    """Updates come without their price, depth and the rest only (F25)."""

    def edit(self, message: pb.FeedResponse) -> None:
        for key in self.concerned(message):
            owner = _owner(message.feeds[key])
            if isinstance(owner, pb.Feed):
                message.feeds.pop(key)  # an ltpc entry has nothing else
            elif owner is not None:
                owner.ClearField("ltpc")


class OmitKeys(Edit):
    """Frames leave these instruments out."""

    def edit(self, message: pb.FeedResponse) -> None:
        for key in self.concerned(message):
            message.feeds.pop(key)


class UnknownField(Edit):
    """Fields of a later schema, in the message and in every entry (F24)."""

    def edit(self, message: pb.FeedResponse) -> None:
        message.MergeFromString(_LATER_NUMBER)
        for key in self.concerned(message):
            message.feeds[key].MergeFromString(_LATER_NUMBER)


class UnknownOneof(Edit):
    """Entries of a kind that the schema does not have (F24)."""

    def edit(self, message: pb.FeedResponse) -> None:
        for key in self.concerned(message):
            message.feeds[key].ClearField("fullFeed")
            message.feeds[key].ClearField("ltpc")
            message.feeds[key].ClearField("firstLevelWithGreeks")
            message.feeds[key].MergeFromString(_LATER_MESSAGE)


class UnknownEnum(Edit):
    """The value 7 where the schema ends at 3 or earlier (F24)."""

    where: Literal["request_mode", "type"] = "request_mode"

    def edit(self, message: pb.FeedResponse) -> None:
        if self.where == "type":
            message.type = 7  # type: ignore[assignment]
            return
        for key in self.concerned(message):
            message.feeds[key].requestMode = 7  # type: ignore[assignment]


class Skew(Edit):
    """The exchange's clock, as told in currentTs, is off by so many seconds (H04)."""

    seconds: float

    def edit(self, message: pb.FeedResponse) -> None:
        message.currentTs += int(self.seconds * 1000)

    def touches(self, message: pb.FeedResponse) -> bool:
        return True


# --- the portfolio stream --------------------------------------------------------------------


class LateUpdates(Fault):
    """Updates come so many seconds late, in order (O03)."""

    seconds: float = Field(5.0, gt=0, le=600)


class RepeatUpdates(Fault):
    """Every update comes so many times (O05)."""

    times: int = Field(3, ge=2, le=100)


class ShuffleUpdates(Fault):
    """Updates come in any order within a window, or so many seconds if it is not full (O05)."""

    window: int = Field(5, ge=2, le=1000)
    within: float = Field(1.0, gt=0, le=60)


class DropUpdates(Fault):
    """Updates get lost: all, the first of each order, or those of a final status (O04)."""

    which: Literal["final", "all", "first"] = "final"

    def drops(self, message: Mapping[str, object], *, first: bool) -> bool:
        match self.which:
            case "first":
                return first
            case "final":
                return message.get("status") in FINAL
            case "all":
                return True


class UpdateSnapshot(Fault):
    """A new connection is told all orders, positions and holdings at once."""


class BinaryUpdates(Fault):
    """Updates come in binary frames instead of text ones."""


class Told(Injection):
    """Something said on the portfolio stream, whatever was asked for."""

    feed: Scope = "portfolio"

    def text(self, chance: random.Random) -> str:
        raise NotImplementedError

    def wire(self, chance: random.Random) -> Iterator[bytes]:
        yield frame(Opcode.TEXT, self.text(chance).encode())


class UnknownUpdateType(Told):
    """An update of a kind that the broker does not document."""

    update_type: str = Field("margin", pattern=r"^\w+$")

    def text(self, chance: random.Random) -> str:
        return f'{{"update_type":"{self.update_type}","user_id":"4XA7QK","available":1.0}}'


class GarbageUpdate(Told):
    """What is no JSON, is cut off, or is JSON but no object."""

    how: Literal["text", "truncated", "null", "list", "number"] = "text"

    def text(self, chance: random.Random) -> str:
        return {
            "text": "upstream connect error or disconnect/reset before headers",
            "truncated": '{"update_type":"order","order_id":"2511260000',
            "null": "null",
            "list": '[{"update_type":"order"}]',
            "number": "12",
        }[self.how]


class UnknownOrder(Told):
    """An update of an order that is in nobody's book."""

    status: str = Field("open", pattern=r"^[\w ]+$")

    def text(self, chance: random.Random) -> str:
        number = chance.randrange(10**9)
        return (
            f'{{"update_type":"order","user_id":"4XA7QK","order_id":"990101{number:09}",'
            f'"instrument_token":"NSE_FO|1","instrument_key":"NSE_FO|1","exchange":"NFO",'
            f'"product":"I","order_type":"LIMIT","transaction_type":"BUY","validity":"DAY",'
            f'"quantity":75,"filled_quantity":0,"pending_quantity":75,"price":1.0,'
            f'"trigger_price":0,"average_price":0,"status":"{self.status}","tag":null,'
            f'"order_timestamp":"2025-11-26 09:30:02","placed_by":"4XA7QK"}}'
        )


# --- webhooks --------------------------------------------------------------------------------


class LateWebhooks(Fault):
    """Postbacks go out so many seconds late."""

    seconds: float = Field(5.0, gt=0, le=600)


class RepeatWebhooks(Fault):
    """Every postback is sent so many times."""

    times: int = Field(3, ge=2, le=100)


# --- orders ----------------------------------------------------------------------------------


class OrderFault(Fault):
    """Strikes orders, or only those of an instrument, of a side, or of a line of a request."""

    instrument_key: str = ""  # empty: any
    side: Literal["", "BUY", "SELL"] = ""
    line: int | None = Field(None, ge=1)  # its place in a multi-order request, as sent

    @property
    def slot(self) -> str:
        return f"{self.name} {self.instrument_key} {self.side} {self.line or ''}".rstrip()

    def concerns(self, instrument_key: str, side: str, line: int) -> bool:
        return (
            self.instrument_key in ("", instrument_key)
            and self.side in ("", side)
            and self.line in (None, line)
        )


class RejectOrder(OrderFault):
    """Orders are rejected: by the answer to the request, or by a status some time later (O07)."""

    how: Literal["answer", "status"] = "status"
    after: float = Field(0.0, ge=0, le=600)  # seconds, for a status
    message: str = "You need to add Rs. 1000.00 in your account to place this trade."
    raw: str = "RMS:Margin Exceeds,Required:1000.00, Available:0.00"
    status: int = Field(400, ge=400, le=599)  # of the answer, with its code
    code: str = "UDAPI100500"


class RestOrder(OrderFault):
    """Orders open and do not fill until this is cleared (O12)."""


class PartialFill(OrderFault):
    """Orders fill so many units at most, and rest until this is cleared (O08)."""

    units: int = Field(..., ge=1)


class UnknownStatus(OrderFault):
    """Orders stand in a status that nobody knows before they open (O09)."""

    text: str = Field("held for review", min_length=1)
    seconds: float = Field(1.0, ge=0, le=600)


class CancelLoses(OrderFault):
    """A cancellation comes too late, or is refused by the exchange (O06).

    `filled`: the order fills before the request arrives, which is answered by UDAPI100040.
    `late`: the request is accepted; cancel pending, not cancelled, complete.
    `refused`: the request is accepted; cancel pending, not cancelled, open as it was.
    """

    how: Literal["filled", "late", "refused"] = "filled"


class WriteFault(Fault):
    """Strikes requests that write orders, by their path."""

    paths: ClassVar[tuple[str, ...]] = ("place", "exit", "modify", "cancel")  # the last parts

    def matches(self, path: str) -> bool:
        return path.rpartition("/")[2] in self.paths


class LostAnswer(WriteFault):
    """The broker's answer is lost: no one can know whether the request had an effect (O01, O02).

    The connection is closed, or left hanging, or a gateway answers 502 with a page of its own.
    """

    how: Literal["before", "after"] = "after"  # the effect; before: there is none
    answer: Literal["close", "hang", "gateway"] = "close"


class PlaceLost(LostAnswer):
    """Place, multi-order place and exit are not answered."""

    paths = ("place", "exit")


class ModifyLost(LostAnswer):
    """Modify is not answered."""

    paths = ("modify",)


class CancelLost(LostAnswer):
    """Cancel and multi-order cancel are not answered."""

    paths = ("cancel",)


class LateAnswer(WriteFault):
    """The answer comes so many seconds after the effect, so that updates overtake it (O03)."""

    seconds: float = Field(..., gt=0, le=600)


class PlaceDelay(LateAnswer):
    """Place, multi-order place and exit are answered late."""

    paths = ("place", "exit")


class ModifyDelay(LateAnswer):
    """Modify is answered late."""

    paths = ("modify",)


class CancelDelay(LateAnswer):
    """Cancel and multi-order cancel are answered late."""

    paths = ("cancel",)


class StaticIp(WriteFault):
    """Requests that write orders are refused for the address they come from (A05)."""

    code: str = "UDAPI1179"
    message: str = "This request is not allowed from an IP address that is not registered"


# --- Telegram --------------------------------------------------------------------------------


Calls = Literal["all", "send", "poll"]


class TelegramFault(Fault):
    """Strikes calls of the Bot API: all, those that change a chat, or those that ask for news."""

    calls: Calls = "all"

    @property
    def slot(self) -> str:
        return f"{self.name} {self.calls}"

    def strikes(self, kind: Calls) -> bool:
        return self.calls in ("all", kind)


class TelegramDown(TelegramFault):
    """Nothing is answered: connections are reset, those that wait for news too (T02)."""

    calls: Literal["all"] = "all"


class TelegramRefuse(TelegramFault):
    """Calls are met by a reset connection and have no effect (T02)."""


class TelegramBadGateway(TelegramFault):
    """A gateway answers 502 with a page of its own; the call has no effect."""


class TelegramTooMany(TelegramFault):
    """Calls are answered by 429: not before so many seconds (T01)."""

    calls: Calls = "send"
    retry_after: int = Field(30, ge=1, le=3600)


class TelegramBlocked(TelegramFault):
    """The owner has blocked the bot: 403 (T05)."""

    calls: Calls = "send"


class TelegramRevoked(TelegramFault):
    """The bot's token has been revoked: 401 (T05)."""


class TelegramBadRequest(TelegramFault):
    """Messages are not to Telegram's liking: 400; only those with markup, or all of them (T04)."""

    calls: Calls = "send"
    only_markup: bool = True
    contains: str = ""  # only texts that have this in them; empty: all
    words: str = "can't parse entities: Can't find end of the entity starting at byte offset 4"


class TelegramHang(TelegramFault):
    """Calls are not answered, though they had their effect, or had none (T03)."""

    calls: Calls = "send"
    delivered: bool = True


class TelegramSlow(TelegramFault):
    """Calls have their effect, and are answered so many seconds later."""

    seconds: float = Field(3.0, gt=0, le=600)


class TelegramOtherPoller(TelegramFault):
    """Another process asks for news with the same token: ours is told 409 so soon after."""

    calls: Literal["poll"] = "poll"
    after: float = Field(0.0, ge=0, le=50)  # seconds


# --- REST ------------------------------------------------------------------------------------


class Rest(Fault):
    """What a path (or all below it) answers instead, or how late it answers."""

    path: str = Field(..., pattern=r"^/")
    status: int | None = Field(None, ge=200, le=599)  # None: answer properly, only later
    body: str = ""
    content_type: str = "application/json"
    retry_after: int | None = Field(None, ge=0)
    delay: float = Field(0.0, ge=0, le=600)  # seconds

    @property
    def slot(self) -> str:
        return f"{self.name} {self.path}"

    def matches(self, path: str) -> bool:
        return path == self.path or path.startswith(self.path.rstrip("/") + "/")


F = TypeVar("F", bound=Fault)


@dataclass(slots=True)
class _On:
    fault: Fault
    left: int | None  # of `next`
    ends: float  # seconds of time.monotonic

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.ends


class Faults:
    """The faults that are on. Any thread may set and clear; the exchange's thread asks."""

    def __init__(self, *, seed: int = 7) -> None:
        self.chance = random.Random(seed)
        self._lock = threading.Lock()
        self._on: dict[str, _On] = {}  # by slot
        self._cleared: Counter[str] = Counter()
        self._changed: Callable[[Fault | None], None] = lambda _: None

    def on_change(self, call: Callable[[Fault | None], None]) -> None:
        """Have `call` told of each fault that is set, and None when some are cleared."""
        self._changed = call

    def set(self, name: str, **parameters: Any) -> None:
        """Switch a fault on, or do it at once; raise UnknownFault in words."""
        fault = parse(name, parameters)
        at_once = isinstance(fault, Action) or (
            isinstance(fault, Injection) and fault.probability == 1.0
        )
        if not at_once:
            ends = math.inf if fault.lasts is None else time.monotonic() + fault.lasts
            with self._lock:
                self._on[fault.slot] = _On(fault, fault.next, ends)
        self._changed(fault)

    def clear(self, name: str | None = None) -> None:
        """Switch the faults of this name off, or all; raise UnknownFault."""
        if name is not None and name not in KINDS:
            raise UnknownFault(_no_such(name))
        with self._lock:
            self._on = {s: on for s, on in self._on.items() if name not in (None, on.fault.name)}
            self._cleared.update(KINDS.keys() if name is None else (name,))
        self._changed(None)

    def end(self, fault: Fault) -> None:
        """Tell that the time of just this one is over; nothing if another took its place."""
        with self._lock:
            on = self._on.get(fault.slot)
            if on is None or on.fault is not fault:
                return
            del self._on[fault.slot]
            self._cleared[fault.name] += 1
        self._changed(None)

    def ending(self) -> list[tuple[Fault, float]]:
        """Return the faults that end by themselves, each with the seconds until then."""
        now = time.monotonic()
        on = tuple(self._on.values())
        return [(one.fault, max(0.0, one.ends - now)) for one in on if one.ends < math.inf]

    def cleared(self, name: str) -> int:
        """Return how often the faults of this name were cleared, whether one was on or not."""
        return self._cleared[name]

    def active(self, kind: type[F], concerns: Callable[[F], bool] = lambda _: True) -> F | None:
        """Return a fault of this kind that is on, without using it up."""
        for on in tuple(self._on.values()):
            if isinstance(on.fault, kind) and concerns(on.fault) and not on.over:
                return on.fault
        return None

    def take(self, kind: type[F], concerns: Callable[[F], bool] = lambda _: True) -> F | None:
        """Return a fault of this kind that strikes now, counting it as one occasion."""
        return next(self.take_all(kind, concerns), None)

    def take_all(
        self, kind: type[F], concerns: Callable[[F], bool] = lambda _: True
    ) -> Iterator[F]:
        for slot, on in tuple(self._on.items()):
            fault = on.fault
            if isinstance(fault, kind) and concerns(fault) and self._strikes(slot, fault):
                yield fault

    def show(self) -> list[dict[str, Any]]:
        """Return what is on as plain data: name, parameters, occasions left."""
        return [
            {"name": on.fault.name, **_shown(on.fault), "left": on.left}
            for on in tuple(self._on.values())
            if not on.over
        ]

    def _strikes(self, slot: str, fault: Fault) -> bool:
        if fault.probability < 1.0 and self.chance.random() >= fault.probability:
            return False
        with self._lock:
            on = self._on.get(slot)
            if on is None or on.fault is not fault or on.over:
                return False
            if on.left == 1:
                del self._on[slot]
            elif on.left is not None:
                on.left -= 1
        return True


def parse(name: str, parameters: dict[str, Any]) -> Fault:
    """Build a fault from its name and parameters; raise UnknownFault in words."""
    kind = KINDS.get(name)
    if kind is None:
        raise UnknownFault(_no_such(name))
    try:
        return kind(**parameters)
    except ValidationError as error:
        causes = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'parameters'}: {e['msg']}"
            for e in error.errors(include_url=False, include_input=False)
        )
        known = ", ".join(kind.model_fields)
        raise UnknownFault(f"fault {name}: {causes} (it knows: {known})") from None


def _no_such(name: str) -> str:
    return f"no fault is called {name!r}; there are: {', '.join(sorted(KINDS))}"


def _shown(fault: Fault) -> dict[str, Any]:
    shown = fault.model_dump(exclude={"data"}, exclude_defaults=True)
    return {key: _plain(value) for key, value in shown.items()}


def _plain(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, float):
        return value if abs(value) < float("inf") else str(value)  # JSON has no NaN
    return value


def _owner(
    feed: pb.Feed,
) -> pb.Feed | pb.MarketFullFeed | pb.IndexFullFeed | pb.FirstLevelWithGreeks | None:
    """Return the message inside an entry that holds its price."""
    match feed.WhichOneof("FeedUnion"):
        case "ltpc":
            return feed
        case "firstLevelWithGreeks":
            return feed.firstLevelWithGreeks
        case "fullFeed" if feed.fullFeed.HasField("indexFF"):
            return feed.fullFeed.indexFF
        case "fullFeed":
            return feed.fullFeed.marketFF
    return None


def _unbase64(value: object) -> object:
    return base64.b64decode(value, validate=True) if isinstance(value, str) else value


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _kinds(family: type[Fault]) -> Iterable[type[Fault]]:
    below = family.__subclasses__()
    return [kind for child in below for kind in _kinds(child)] if below else [family]


# Field 2047 is a number, field 9 a message; the schema has neither.
_LATER_NUMBER = b"\xf8\x7f\x01"
_LATER_MESSAGE = b"\x4a\x02\x08\x01"

KINDS = {_snake(kind.__name__): kind for kind in _kinds(Fault)}
