"""Switches faults of a simulated exchange on and off, over its own control routes."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx

from trading.errors import BadRequest, Retryable

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
PATIENCE: Final = 5.0  # seconds for an answer


class SimulatedFaults:
    """A client of /control/faults; raises ValueError for an address that is not on this machine.

    Methods raise Retryable if there is no answer, and BadRequest if the exchange knows no such
    fault, which is also what a broker's real host would answer.
    """

    def __init__(self, base_url: str) -> None:
        if urlsplit(base_url).hostname not in LOOPBACK:
            raise ValueError(f"faults are for a simulated exchange on this machine, not {base_url}")
        # no proxies of the environment: these requests stay on this machine
        self._client = httpx.AsyncClient(base_url=base_url, timeout=PATIENCE, trust_env=False)

    async def set(self, name: str, **parameters: object) -> None:
        """Switch a fault on, or do it at once; `lasts` are the seconds until it ends by itself."""
        await self._ask("POST", "/control/faults", json={"name": name, **parameters})

    async def clear(self, name: str | None = None) -> None:
        """Switch the faults of this name off, or all."""
        params = {} if name is None else {"name": name}
        await self._ask("DELETE", "/control/faults", params=params)

    async def names(self) -> tuple[str, ...]:
        """Return the names of the faults that are on."""
        rows = await self._ask("GET", "/control/faults")
        return tuple(str(row["name"]) for row in rows)

    async def new_token(self) -> str:
        """Log in anew as the exchange's first customer; return the token."""
        row = await self._ask("POST", "/control/tokens", json={"action": "issue"})
        return str(row["access_token"])

    async def close(self) -> None:
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, object] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Any:
        try:
            answer = await self._client.request(method, path, json=json, params=params)
        except httpx.HTTPError as error:
            raise Retryable(f"the simulated exchange does not answer ({error!r})") from None
        if answer.is_error:
            raise BadRequest(f"the simulated exchange refuses: {_reason(answer)}")
        try:
            return answer.json()["data"]
        except (ValueError, LookupError, TypeError):
            raise BadRequest("this is no simulated exchange: it answered something else") from None


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["errors"][0]["message"])
    except (ValueError, LookupError, TypeError):
        return f"status {answer.status_code}"
