"""The feeder's port: which stream a connection asks for, and what both streams have in common."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar, TypeVar

from simulator.connection import FeedConnection, Frame, Request
from simulator.envelope import error_body
from simulator.faults import (
    Drop,
    ExpireToken,
    Fault,
    Feed,
    FeedFault,
    Handshake,
    Injection,
    Kick,
    KickOld,
    RefuseToken,
    Silence,
)
from simulator.limits import CONNECTIONS
from simulator.tokens import Invitation, Invitations
from simulator.venue import Venue

STATUS_EVERY = 0.2  # seconds between looks at the calendar and at the tokens

F = TypeVar("F", bound=Fault)


class StreamHost(ABC):
    """Lets connections in, keeps them alive, ends them, and applies the faults of its feed.

    Everything here runs on the exchange's own loop. Each host counts the connections of a user by
    itself: two to the market feed leave room for two portfolio streams.
    """

    feed: ClassVar[Feed]
    path: ClassVar[str]

    def __init__(
        self, venue: Venue, invitations: Invitations, *, ping: float, max_buffer: int
    ) -> None:
        """Take the seconds of silence before a ping, and the bytes a reader may lag behind."""
        self._venue = venue
        self._invitations = invitations
        self._ping = ping
        self._wake = asyncio.Event()
        self.connections: list[FeedConnection] = []  # welcomed, oldest first
        self.faults = venue.faults
        self.ledger = venue.ledger
        self.max_buffer = max_buffer

    # --- what each stream does in its own way

    @abstractmethod
    def welcomed(self, connection: FeedConnection, invitation: Invitation) -> None:
        """Say what a new connection is told first."""

    @abstractmethod
    def asked(self, connection: FeedConnection, payload: bytes) -> None:
        """Act on a message of the client."""

    @abstractmethod
    def sent(self, connection: FeedConnection, message: Frame) -> None:
        """Enter a data message into the ledger, right before it is written."""

    def lost(self, connection: FeedConnection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)

    # --- its faults

    def active(self, kind: type[F]) -> F | None:
        """Return a fault of this kind that is on for this feed."""
        return self.faults.active(kind, self._concerns)

    def take(self, kind: type[F]) -> F | None:
        """Return a fault of this kind that strikes this feed now."""
        return self.faults.take(kind, self._concerns)

    def take_all(self, kind: type[F]) -> Iterator[F]:
        return self.faults.take_all(kind, self._concerns)

    def _concerns(self, fault: Fault) -> bool:
        return not isinstance(fault, FeedFault) or fault.strikes(self.feed)

    @property
    def reads(self) -> bool:
        silence = self.active(Silence)
        return silence is None or silence.reads

    @property
    def pongs(self) -> bool:
        silence = self.active(Silence)
        return silence is None or silence.pongs

    def faults_changed(self, fault: Fault | None) -> None:
        """Do what a fault that was just set, or cleared, asks to be done now."""
        if fault is not None and not self._concerns(fault):
            return
        match fault:
            case Drop():
                self._each(lambda connection: drop(connection, fault))
            case Kick():
                self._each(lambda connection: connection.close(fault.code, "another client"))
            case ExpireToken():
                self._venue.tokens.expire_all()
                if fault.cut:
                    self._each(lambda connection: connection.close(1008, "token expired"))
            case Injection() if fault.probability == 1.0:
                for _ in range(fault.next or 1):
                    self.inject(fault.wire(self.faults.chance))

    def inject(self, pieces: Iterable[bytes]) -> None:
        """Write raw bytes to every connection."""
        pieces = tuple(pieces)
        self._each(lambda connection: connection.inject(pieces))

    def _each(self, act: Callable[[FeedConnection], None]) -> None:
        for connection in tuple(self.connections):
            act(connection)

    # --- the handshake

    def greet(self, connection: FeedConnection, request: Request | None) -> None:
        """Answer a handshake; a code is used up only by a request that could be let in."""
        fault = self.take(Handshake)
        if fault is not None and self._misbehave(connection, request, fault):
            return
        status, invitation = self._admit(request)
        self._shook_hands(status)
        if invitation is None or request is None:
            connection.refuse(status, error_body(status))
            return
        self._open(connection, request, invitation)

    def _shook_hands(self, status: int) -> None:
        self.ledger.shook_hands(status, self._venue.clock.now_ms(), feed=self.feed)

    def _misbehave(
        self, connection: FeedConnection, request: Request | None, fault: Handshake
    ) -> bool:
        match fault.how:
            case "never":
                self._shook_hands(0)
            case "rst":
                self._shook_hands(0)
                connection.reset()
            case "wrong_accept":
                if request is None or not request.is_upgrade:
                    return False
                self._shook_hands(101)
                connection.welcome(request, accept=b"bm90IHdoYXQgd2FzIGR1ZQ==")
            case status:
                self._shook_hands(int(status))
                retry = () if fault.retry_after is None else (f"Retry-After: {fault.retry_after}",)
                connection.refuse(int(status), error_body(int(status)), retry)
        return True

    def _admit(self, request: Request | None) -> tuple[int, Invitation | None]:
        if request is None or not request.is_upgrade:
            return 400, None
        if request.path != self.path:
            return 404, None
        invitation = self._invitations.redeem(request.query.get("code", ""))
        if invitation is None:
            return 403, None
        token = invitation.token
        if self._venue.tokens.check(token.value) is None or self.faults.take(RefuseToken):
            return 401, None
        mine = [c for c in self.connections if c.is_open and c.user == token.user]
        if len(mine) < CONNECTIONS:
            return 101, invitation
        kick = self.take(KickOld)
        if kick is None:
            return 403, None
        mine[0].close(kick.code, "another connection took over")
        self.lost(mine[0])
        return 101, invitation

    def _open(self, connection: FeedConnection, request: Request, invitation: Invitation) -> None:
        token, now_ms = invitation.token, self._venue.clock.now_ms()
        connection.token = token
        connection.record = self.ledger.opened(token.user, now_ms, feed=self.feed)
        connection.welcome(request)
        self.connections.append(connection)
        self._wake.set()
        self.welcomed(connection, invitation)
        kick = self.take(Kick)
        if kick is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(kick.after, connection.close, kick.code, "another client took over")

    # --- while they are open

    def cut_expired(self) -> None:
        """Close the connections whose token has ended."""
        now_ms = self._venue.clock.now_ms()
        for connection in tuple(self.connections):
            if connection.token is not None and connection.token.expires <= now_ms:
                connection.close(1008, "token expired")

    def ping_idle(self, now: float) -> None:
        """Ping where nothing has been written for long; `now` in monotonic seconds."""
        silence = self.active(Silence)
        if silence is None or silence.pings:
            for connection in self.connections:
                if now - connection.last_written >= self._ping:
                    connection.ping()


class Feeder:
    """Accepts sockets and hands each to the stream that its handshake names."""

    def __init__(self, market: StreamHost, portfolio: StreamHost) -> None:
        self._market = market
        self._portfolio = portfolio
        self._sockets: set[FeedConnection] = set()  # also those not yet welcomed

    def accept(self) -> FeedConnection:
        connection = FeedConnection(self)
        self._sockets.add(connection)
        return connection

    def host_of(self, request: Request | None) -> StreamHost:
        """Return the stream of this path; what has no stream is refused by the market's host."""
        if request is not None and request.path == self._portfolio.path:
            return self._portfolio
        return self._market

    def lost(self, connection: FeedConnection) -> None:
        self._sockets.discard(connection)

    def faults_changed(self, fault: Fault | None) -> None:
        for connection in tuple(self._sockets):
            connection.heed_silence()
        for host in (self._market, self._portfolio):
            host.faults_changed(fault)

    def hang_up(self) -> None:
        """End every socket at once: the server goes down."""
        for connection in tuple(self._sockets):
            connection.abort("server down")


def drop(connection: FeedConnection, fault: Drop) -> None:
    match fault.how:
        case "fin":
            connection.finish()
        case "rst":
            connection.reset()
        case code:
            connection.close(int(code), "dropped")
