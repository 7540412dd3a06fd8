"""WebSocket frames as raw bytes, so that a fault can send what no library would."""

import struct
from enum import IntEnum


class Opcode(IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    RESERVED = 3
    CLOSE = 8
    PING = 9
    PONG = 10


def header(opcode: Opcode, length: int, *, final: bool = True) -> bytes:
    """Build the head of an unmasked frame that claims `length` bytes of payload."""
    first = (0x80 if final else 0) | opcode
    if length < 126:
        return bytes((first, length))
    if length < 1 << 16:
        return struct.pack("!BBH", first, 126, length)
    return struct.pack("!BBQ", first, 127, length)


def frame(opcode: Opcode, payload: bytes = b"", *, final: bool = True) -> bytes:
    return header(opcode, len(payload), final=final) + payload


def close(code: int, reason: str = "") -> bytes:
    return frame(Opcode.CLOSE, struct.pack("!H", code) + reason.encode())


def fragmented(payload: bytes, size: int) -> bytes:
    """Split one binary message into frames of `size` bytes."""
    pieces = [payload[start : start + size] for start in range(0, len(payload), size)] or [b""]
    last = len(pieces) - 1
    return b"".join(
        frame(Opcode.CONTINUATION if n else Opcode.BINARY, piece, final=n == last)
        for n, piece in enumerate(pieces)
    )
