"""The one judge of what goes wrong on the way to prices."""

import socket
import ssl

import pytest
import websocket

from feeds.connection import ClosedByPeer, HalfOpen, Remedy, Stalled, Timing, process_exception
from trading.errors import (
    BadAnswer,
    BadRequest,
    CannotStart,
    NotPermitted,
    RateLimited,
    Retryable,
    TokenRefused,
)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (TokenRefused("x"), Remedy.NEW_TOKEN),
        (CannotStart("chmod"), Remedy.NEW_TOKEN),
        (NotPermitted("x"), Remedy.LONG_WAIT),
        (BadRequest("x"), Remedy.LONG_WAIT),
        (Retryable("x"), Remedy.WAIT),
        (BadAnswer("x"), Remedy.WAIT),
        (Stalled("x"), Remedy.WAIT),
        (HalfOpen("x"), Remedy.WAIT),
        (ClosedByPeer("x"), Remedy.WAIT),
        (ConnectionResetError(), Remedy.WAIT),
        (TimeoutError(), Remedy.WAIT),
        (KeyError("a bug of ours"), Remedy.WAIT),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_error_has_one_remedy(error: Exception, remedy: Remedy) -> None:
    assert process_exception(error).remedy is remedy


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "DNS"),
        (ssl.SSLCertVerificationError(), "not trusted"),
        (ssl.SSLError(), "encrypted"),
        (ConnectionRefusedError(), "refuses connections"),
        (ConnectionResetError(), "was lost"),
        (websocket.WebSocketConnectionClosedException(), "was lost"),
        (websocket.WebSocketTimeoutException(), "in time"),
        (websocket.WebSocketProtocolException("Illegal frame"), "WebSocket protocol"),
        (OSError(113, "No route to host"), "No route to host"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_the_reason_is_in_words_that_a_trader_understands(error: Exception, words: str) -> None:
    assert words in process_exception(error).reason


def refused(status: int, headers: dict[str, str] | None = None) -> Exception:
    return websocket.WebSocketBadStatusException(
        "Handshake status -+-+- secret headers and body", status, "No", headers, b"secret"
    )


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (401, Remedy.NEW_TOKEN),
        (403, Remedy.LONG_WAIT),
        (429, Remedy.WAIT),
        (500, Remedy.WAIT),
        (503, Remedy.WAIT),
    ],
)
def test_a_refused_handshake_is_judged_by_its_status_and_quotes_nothing(
    status: int, remedy: Remedy
) -> None:
    reaction = process_exception(refused(status))

    assert reaction.remedy is remedy
    assert "secret" not in reaction.reason


def test_a_wait_that_the_server_asks_for_is_kept() -> None:
    assert process_exception(RateLimited("x", retry_after=42.0)).at_least == 42.0
    assert process_exception(refused(429, {"retry-after": "7"})).at_least == 7.0
    assert process_exception(refused(429)).at_least == 30.0


def test_scaled_times_leave_the_counts_alone() -> None:
    scaled = Timing().scaled(0.1)

    assert (scaled.stall, scaled.contested) == (1.5, 6.0)
    assert (scaled.garbage, scaled.stop_within) == (10, Timing().stop_within)
