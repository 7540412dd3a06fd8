"""Other clients of the same account, which dial again at once whenever they are thrown out."""

import contextlib
import json
import threading
import urllib.request
from collections.abc import Collection
from types import TracebackType
from typing import Self

import websocket

from simulator.server import SimulatedExchange
from tests.faults.scene import AUTHORIZE


class Rival:
    """One such client on a thread of its own; `connected` is set while it holds a connection."""

    def __init__(self, exchange: SimulatedExchange, wanted: Collection[str] = ()) -> None:
        self.connected = threading.Event()
        self._exchange = exchange
        self._wanted = list(wanted)
        self._token = exchange.tokens.issue().value
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rival", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self.connected.wait(3)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(3)

    def _run(self) -> None:
        while not self._over.wait(0.1):
            with contextlib.suppress(OSError, websocket.WebSocketException):
                self._hold()
            self.connected.clear()

    def _hold(self) -> None:
        sock = websocket.create_connection(self._address(), timeout=0.1)
        try:
            if self._wanted:
                data = {"mode": "full", "instrumentKeys": self._wanted}
                sock.send_binary(json.dumps({"guid": "", "method": "sub", "data": data}).encode())
                sock.recv()
            self.connected.set()
            while not self._over.is_set():
                with contextlib.suppress(websocket.WebSocketTimeoutException):
                    if not sock.recv():
                        return
        finally:
            sock.close(timeout=0)

    def _address(self) -> str:
        request = urllib.request.Request(
            self._exchange.base_url + AUTHORIZE, headers={"Authorization": f"Bearer {self._token}"}
        )
        with urllib.request.urlopen(request, timeout=2) as answer:
            address: str = json.load(answer)["data"]["authorized_redirect_uri"]
            return address
