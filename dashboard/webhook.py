"""The broker's postbacks: a hint that something happened, never the proof of it.

They carry no signature, so whoever knows the address can send them: all that one does is to have
the books read over REST, at most once in two seconds (faults.md D).
"""

import hmac
import json
import logging
from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI, Request, Response

log = logging.getLogger(__name__)

LARGEST: Final = 65_536  # bytes


def install(app: FastAPI, *, secret: str, hint: Callable[[], None]) -> None:
    """Answer POST /webhooks/upstox/SECRET; every other path there is unknown."""

    @app.post("/webhooks/upstox/{shown}", include_in_schema=False)
    async def postback(shown: str, request: Request) -> Response:
        if not hmac.compare_digest(shown.encode(), secret.encode()):
            return Response(status_code=404)
        body = await request.body()
        if len(body) > LARGEST:
            return Response(status_code=413)
        if not tells_of_an_order(body):
            log.warning("a postback with the right secret is not about an order; ignored")
            return Response(status_code=400)
        hint()
        return Response(status_code=200)


def tells_of_an_order(body: bytes) -> bool:
    """Return whether this has the shape of an order message of the portfolio stream."""
    try:
        told: Any = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(told, dict) and isinstance(told.get("order_id"), str)
