"""One WebSocket on its own thread that keeps itself connected, and knows when it is not."""

import logging
import math
import random
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from enum import Enum, auto
from typing import Final, Protocol

import websocket

from feeds import backoff
from feeds.wire import Interrupted, Wakeup, Wire, dial
from trading.errors import (
    BadRequest,
    CannotStart,
    NotPermitted,
    RateLimited,
    Retryable,
    TokenRefused,
    VigilError,
)
from trading.ports import FeedState

USER_AGENT: Final = "Mozilla/5.0 (compatible; Vigil/0.1)"  # none at all has been refused with 403
PASS: Final = 0.1  # seconds between two looks at the clocks
FRAMES_A_PASS: Final = 64  # so that a flood does not starve the clocks
NO_RETRY_AFTER: Final = 30.0  # seconds, where a 429 does not say


@dataclass(frozen=True, slots=True)
class Timing:
    """Every threshold of a feed, in seconds, and one count."""

    handshake: float = 10.0  # in total, from the first packet on
    ping_after: float = 15.0  # of hearing nothing, not even a ping
    ping_wait: float = 10.0  # for any sign of life after our ping
    stall: float = 15.0  # without a price while prices are due
    snapshot: float = 5.0  # for the first answer to a subscription
    backoff_base: float = 1.0
    backoff_open: float = 30.0  # the longest wait while prices are due
    backoff_closed: float = 300.0
    kicked_within: float = 10.0  # a connection that is closed so soon was taken from us
    contested: float = 60.0  # so as not to play ping-pong with another client
    token_poll: float = 1.0
    garbage_window: float = 10.0
    log_every: float = 60.0  # the same trouble again and again
    stop_within: float = 1.8  # the feed promises two
    garbage: int = 10  # undecodable frames within the window that are still bad luck

    def scaled(self, factor: float) -> "Timing":
        """Return the same with every time multiplied, for tests."""
        times = {f.name: getattr(self, f.name) * factor for f in fields(self) if f.type is float}
        return Timing(**{**times, "stop_within": self.stop_within})


class Heard(Enum):
    """What a frame was, in the eyes of the one who can read it."""

    PRICES = auto()
    OTHER = auto()
    GARBAGE = auto()


class Reader(Protocol):
    """Who understands the frames. All calls come on the connection's thread."""

    def opened(self, generation: int) -> None:
        """Take note of a new socket, which has been asked for nothing."""
        ...

    def received(self, frame: bytes, *, text: bool, at: float, generation: int) -> Heard: ...

    def to_send(self, at: float) -> Sequence[bytes]:
        """Return a few frames to send now; asked again at once until there are none."""
        ...

    def may_be_silent(self) -> bool:
        """Say whether silence means nothing now, e.g. since what is wanted does not trade."""
        ...


class Stalled(Retryable):
    """No prices while the exchange trades."""


class HalfOpen(Retryable):
    """Not even an answer to a ping."""


class Garbled(Retryable):
    """One frame after the other that nobody can read."""


class ClosedByPeer(Retryable):
    """The other end closed, politely or not."""


class Asked(Retryable):
    """Somebody on our side wanted a new connection."""


class Remedy(Enum):
    WAIT = auto()  # the backoff
    NEW_TOKEN = auto()
    LONG_WAIT = auto()  # only a person can help, but nobody tells us when they have
    YIELD = auto()  # to whoever keeps taking the connection from us
    NOW = auto()


@dataclass(frozen=True, slots=True)
class Reaction:
    """What to do about an error: the reason in the trader's words, and seconds at least to wait."""

    remedy: Remedy
    reason: str
    at_least: float = 0.0


def process_exception(error: Exception) -> Reaction:
    """Decide what an error on the way to prices means. The only judge of errors in this module."""
    match error:
        case TokenRefused() | CannotStart():  # the token's file is not as it must be
            return Reaction(Remedy.NEW_TOKEN, str(error))
        case NotPermitted() | BadRequest():
            return Reaction(Remedy.LONG_WAIT, str(error))
        case RateLimited():
            return Reaction(Remedy.WAIT, str(error), error.retry_after)
        case Asked():
            return Reaction(Remedy.NOW, str(error))
        case VigilError():
            return Reaction(Remedy.WAIT, str(error))
        case websocket.WebSocketBadStatusException():
            return _handshake_refused(error)
        case _:
            return Reaction(Remedy.WAIT, _in_words(error))


def _handshake_refused(error: websocket.WebSocketBadStatusException) -> Reaction:
    """Judge by the status alone: the error's text carries headers and body."""
    match error.status_code:
        case 401:
            return Reaction(Remedy.NEW_TOKEN, "the feed refused the token")
        case 403:
            return Reaction(
                Remedy.LONG_WAIT, "the feed gives no permission (403), though the token is good"
            )
        case 429:
            return Reaction(
                Remedy.WAIT, "the feed wants fewer connections (429)", _retry_after(error)
            )
        case status:
            return Reaction(Remedy.WAIT, f"the feed answered the handshake with status {status}")


def _retry_after(error: websocket.WebSocketBadStatusException) -> float:
    told = (error.resp_headers or {}).get("retry-after", "")
    return float(told) if told.isdecimal() else NO_RETRY_AFTER


def _in_words(error: Exception) -> str:
    """Name the trouble without the library's text, which may carry headers or the address."""
    match error:
        case socket.gaierror():
            return "the feed's host name cannot be resolved (DNS)"
        case ssl.SSLCertVerificationError():
            return "the feed's certificate is not trusted"
        case ssl.SSLError():
            return "the encrypted connection failed"
        case ConnectionRefusedError():
            return "the feed's server refuses connections"
        case ConnectionError() | websocket.WebSocketConnectionClosedException():
            return "the connection was lost"
        case TimeoutError() | websocket.WebSocketTimeoutException():
            return "no answer in time"
        case websocket.WebSocketException():
            return "the other end does not keep to the WebSocket protocol"
        case OSError():
            return f"the network failed ({error.strerror or type(error).__name__})"
        case _:
            return f"unexpected trouble ({type(error).__name__})"


@dataclass(slots=True)
class _Session:
    """One socket's life; times monotonic."""

    wire: Wire
    generation: int
    opened: float
    heard: float  # any frame
    quiet_from: float  # since when silence counts as trouble
    pinged: float | None = None  # when, and not answered yet
    garbage: deque[float] | None = None


@dataclass(slots=True)
class Counters:
    """Plain numbers, written by the connection's thread and read by anybody."""

    frames: int = 0
    bytes: int = 0
    text_frames: int = 0
    connections: int = 0
    authorisations: int = 0
    attempt: int = 0  # of the present outage
    frame_at: float | None = None  # monotonic; any sign of life
    price_at: float | None = None
    next_attempt_at: float | None = None


class Connection:
    """Dials, reads, watches and dials again, for ever, until stopped; used once.

    It is the only one that decides to reconnect. `authorise` returns an address that is good for
    one connection; `token_mark` anything that changes with the token; `probe` whether the
    exchange shows a trade that we were not told of. All three run on the connection's thread,
    as does `changed`, which is told every change of state.
    """

    def __init__(
        self,
        name: str,
        reader: Reader,
        *,
        authorise: Callable[[], str],
        token_mark: Callable[[], str],
        probe: Callable[[], bool],
        changed: Callable[[FeedState, FeedState, str], None],
        timing: Timing,
        jitter: random.Random,
        generation: int = 0,
        opened: str = "connected, no price yet",
    ) -> None:
        """`opened` says in the trader's words what an OPEN connection waits for."""
        self.state = FeedState.STOPPED
        self.reason = ""
        self.changed_at = time.monotonic()
        self.counters = Counters()
        self.generation = generation
        self._name = name
        self._logger = logging.getLogger(f"{__name__}.{name}")  # the name says whose line it is
        self._reader = reader
        self._authorise = authorise
        self._token_mark = token_mark
        self._probe = probe
        self._changed = changed
        self._opened = opened
        self._timing = timing
        self._jitter = jitter
        self._expected = False
        self._asked: str | None = None  # reason of a wanted reconnect
        self._confirmed = (0, "")  # generation that its owner calls LIVE, and why
        self._opened_at: float | None = None  # of the present socket
        self._kicks = 0  # connections in a row that were taken from us
        self._was_live = False  # the present socket
        self._served: str | None = None  # mark of the token by which a socket was live
        self._denied = 0  # permission, in a row, since then
        self._logged_at = -timing.log_every
        self._delays = self._fresh_delays()
        self._wakeup = Wakeup()
        self._thread = threading.Thread(target=self._run, name=f"feed-{name}", daemon=True)

    # for other threads

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End within `stop_within` seconds; a thread that hangs in a system call is left behind."""
        self._wakeup.stop()
        if self._thread.is_alive():
            self._thread.join(self._timing.stop_within)
        if self._thread.is_alive():
            self._logger.warning(
                "%s: its thread did not end in time and is left behind", self._name
            )
        else:
            self._wakeup.close()
        before, self.state, self.reason = self.state, FeedState.STOPPED, "stopped"
        self.changed_at = time.monotonic()
        if before is not FeedState.STOPPED:
            self._logger.info("%s: %s -> stopped", self._name, before)
            self._changed(before, FeedState.STOPPED, "stopped")

    def wake(self) -> None:
        """Have the reader asked for frames to send, soon."""
        self._wakeup.wake()

    def expect(self, expected: bool) -> None:
        self._expected = expected
        self._wakeup.wake()

    def reconnect(self, reason: str) -> None:
        self._asked = reason
        self._wakeup.wake()

    def confirm(self, generation: int, reason: str) -> None:
        """Have this socket, if it is still the present one, called LIVE without a price."""
        self._confirmed = (generation, reason)
        self._wakeup.wake()

    # on its own thread

    def _run(self) -> None:
        try:
            while True:
                self._react(self._one_connection())
        except Interrupted:
            return

    def _one_connection(self) -> Reaction:
        """Connect and read until something goes wrong; return what to do about it."""
        began = time.monotonic()
        mark = self._token_mark()
        try:
            self._read(self._open())
        except (VigilError, OSError, websocket.WebSocketException) as error:
            reaction = self._contested(error) or process_exception(error)
        except Interrupted:
            raise
        except Exception as error:
            self._logger.exception("%s: unexpected trouble", self._name)
            reaction = process_exception(error)
        else:
            raise AssertionError("reading ends with an exception")
        if self._was_live:
            self._was_live, self._served, self._denied = False, mark, 0
        if time.monotonic() - began > self._longest_wait():
            self._delays = self._fresh_delays()  # it held: what comes now is a new outage
        if reaction.remedy in (Remedy.NEW_TOKEN, Remedy.LONG_WAIT):
            self._await_remedy(reaction, mark)
            return Reaction(Remedy.NOW, "trying again")
        return reaction

    def _open(self) -> _Session:
        counters = self.counters
        counters.attempt += 1
        counters.next_attempt_at = None
        self._asked = None
        self._to(FeedState.CONNECTING, f"attempt {counters.attempt}")
        counters.authorisations += 1
        url = self._authorise()
        self._wakeup.heard()
        wire = dial(url, self._wakeup, within=self._timing.handshake, user_agent=USER_AGENT)
        self.generation += 1
        counters.connections += 1
        now = time.monotonic()
        counters.frame_at = now
        session = _Session(wire, self.generation, opened=now, heard=now, quiet_from=now)
        self._opened_at = now
        return session

    def _read(self, session: _Session) -> None:
        """Never returns: a connection ends with the exception that says why."""
        wire = session.wire
        try:
            self._to(FeedState.OPEN, self._opened)
            self._reader.opened(session.generation)
            while True:
                if self._asked is not None:
                    raise Asked(self._asked)
                busy = self._send(session)
                busy |= self._take(session)
                generation, reason = self._confirmed
                if generation == session.generation and self.state is FeedState.OPEN:
                    self._recovered(reason)
                self._watch(session)
                wire.wait(0.0 if busy else PASS)
        finally:
            wire.cut()

    def _send(self, session: _Session) -> bool:
        frames = self._reader.to_send(time.monotonic())
        for frame in frames:
            session.wire.send_binary(frame)
        return bool(frames)

    def _take(self, session: _Session) -> bool:
        """Read what is there, up to a limit; return whether there may be more."""
        for _ in range(FRAMES_A_PASS):
            got = session.wire.read()
            if got is None:
                return False
            self._frame(session, *got)
        return True

    def _frame(self, session: _Session, opcode: int, payload: bytes) -> None:
        counters = self.counters
        session.heard = counters.frame_at = now = time.monotonic()
        session.pinged = None
        counters.frames += 1
        counters.bytes += len(payload)
        if opcode == websocket.ABNF.OPCODE_BINARY:
            self._message(session, payload, now, text=False)
        elif opcode == websocket.ABNF.OPCODE_TEXT:
            counters.text_frames += 1
            self._message(session, payload, now, text=True)
        elif opcode == websocket.ABNF.OPCODE_CLOSE:
            raise ClosedByPeer(_close_reason(payload))

    def _message(self, session: _Session, payload: bytes, now: float, *, text: bool) -> None:
        heard = self._reader.received(payload, text=text, at=now, generation=session.generation)
        if heard is Heard.PRICES:
            session.quiet_from = self.counters.price_at = now
            if self.state is not FeedState.LIVE:
                self._recovered("prices arrive")
        elif heard is Heard.GARBAGE:
            self._bad_luck(session, now)

    def _recovered(self, reason: str) -> None:
        self.counters.attempt = 0
        self._was_live = True
        self._delays = self._fresh_delays()
        self._to(FeedState.LIVE, reason)

    def _bad_luck(self, session: _Session, now: float) -> None:
        times = session.garbage = session.garbage or deque()
        times.append(now)
        while times[0] < now - self._timing.garbage_window:
            times.popleft()
        if len(times) > self._timing.garbage:
            raise Garbled(f"{len(times)} frames in a row could not be read")

    def _watch(self, session: _Session) -> None:
        """Look at the two clocks: is the socket alive, and do prices come?"""
        timing, now = self._timing, time.monotonic()
        if session.pinged is not None:
            if now - session.pinged > timing.ping_wait:
                raise HalfOpen(f"nothing heard for {now - session.heard:.0f} s, not even a pong")
        elif now - session.heard > timing.ping_after:
            session.wire.ping()
            session.pinged = now
        if not self._expected or self._reader.may_be_silent():
            session.quiet_from = now
        elif now - session.quiet_from > timing.stall:
            self._judge_silence(session, now)

    def _judge_silence(self, session: _Session, now: float) -> None:
        """Raise Stalled unless the exchange itself shows no trade that we have not seen."""
        silence = f"no price for {now - session.quiet_from:.0f} s"
        try:
            newer = self._probe()
        except VigilError as error:
            self._to(FeedState.STALLED, silence)
            raise Stalled(f"{silence}, and no quote to compare with: {error}") from error
        self._wakeup.heard()
        if newer:
            self._to(FeedState.STALLED, silence)
            raise Stalled(f"{silence}, though the exchange trades")
        session.quiet_from = time.monotonic()

    def _contested(self, error: Exception) -> Reaction | None:
        """Tell a connection that another client takes from us from one that just broke."""
        opened, self._opened_at = self._opened_at, None
        if opened is None:
            return None
        soon = time.monotonic() - opened < self._timing.kicked_within
        by_peer = isinstance(
            error, ClosedByPeer | ConnectionError | websocket.WebSocketConnectionClosedException
        )
        self._kicks = self._kicks + 1 if soon and by_peer else 0
        if self._kicks < 2:
            return None
        return Reaction(Remedy.YIELD, "another client is using this account")

    def _react(self, reaction: Reaction) -> None:
        match reaction.remedy:
            case Remedy.YIELD:
                pause = self._timing.contested * (1 + self._jitter.random() / 4)
                self._pause(FeedState.CONTESTED, reaction.reason, pause, at_least=pause)
            case Remedy.WAIT:
                expected, delay = self._expected, next(self._delays)
                self._pause(
                    FeedState.BACKING_OFF,
                    reaction.reason,
                    delay,
                    at_least=reaction.at_least,
                    expected=expected,
                )
            case _:
                self._to(FeedState.BACKING_OFF, reaction.reason)

    def _pause(
        self,
        state: FeedState,
        reason: str,
        seconds: float,
        *,
        at_least: float,
        expected: bool = True,
    ) -> None:
        """Wait, though not longer than the market's opening allows, nor when somebody asks.

        `expected` is what the wait was chosen for: prices may have become due since. Not before
        `at_least` seconds, because that is what the broker asked for.
        """
        begun = time.monotonic()
        until = begun + max(seconds, at_least)
        self.counters.next_attempt_at = until
        self._to(state, reason, f"; again in {until - begun:.1f} s")
        while (left := until - time.monotonic()) > 0 and self._asked is None:
            if self._expected and not expected:
                sooner = max(begun + at_least, time.monotonic() + next(self._delays))
                until = self.counters.next_attempt_at = min(until, sooner)
                left = until - time.monotonic()
            expected = self._expected
            self._wakeup.wait(max(0.0, left))

    def _await_remedy(self, reaction: Reaction, mark: str) -> None:
        """Wait for another token than the one in use, for ever if that was what was refused.

        Nothing is dialled meanwhile: it would only be refused again, and lock the account.
        """
        until = math.inf
        if reaction.remedy is Remedy.LONG_WAIT:
            until = time.monotonic() + self._until_permitted(mark)
            self.counters.next_attempt_at = until
        self._to(FeedState.REFUSED, reaction.reason)
        self._delays = self._fresh_delays()
        while self._token_mark() == mark and self._asked is None and time.monotonic() < until:
            self._wakeup.wait(self._timing.token_poll)

    def _until_permitted(self, mark: str) -> float:
        """Return the seconds until a refused permission is asked for again.

        Where this token was served before, it is hardly the permission: the broker says the same
        of a connection too many, and may still count those that were lost without a word.
        """
        if mark != self._served:
            return self._timing.backoff_closed
        self._denied += 1
        soon = self._timing.contested / 2
        return backoff.doubled(soon, self._denied - 1, cap=self._timing.backoff_closed)

    def _fresh_delays(self) -> Iterator[float]:
        return backoff.delays(
            self._timing.backoff_base, cap=self._longest_wait, jitter=self._jitter
        )

    def _longest_wait(self) -> float:
        return self._timing.backoff_open if self._expected else self._timing.backoff_closed

    def _to(self, state: FeedState, reason: str, more: str = "") -> None:
        """Change the state, tell it, and log it unless it is the same trouble again."""
        self._wakeup.heard()
        before, self.state, self.reason = self.state, state, reason
        now = time.monotonic()
        if before is state:
            return
        self.changed_at = now
        retry = self.counters.attempt > 1 and state in (FeedState.CONNECTING, FeedState.BACKING_OFF)
        if not retry or now - self._logged_at >= self._timing.log_every:
            self._logger.info("%s: %s -> %s, %s%s", self._name, before, state, reason, more)
            self._logged_at = now
        self._changed(before, state, reason)


def _close_reason(payload: bytes) -> str:
    """Name the code of a close frame; its text is the other end's and may be anything."""
    code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
    return f"the feed closed the connection (code {code})"
