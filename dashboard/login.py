"""The password in front of a dashboard that can be reached from outside this machine."""

import asyncio
import hashlib
import hmac
import html
import os
import time
from collections import deque
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope

LOGIN_PATH: Final = "/login"
COOKIE: Final = "vigil_login"
VALID: Final = 12 * 3600  # seconds; a trading day and its evening
ATTEMPTS: Final = 5  # a minute from one address
ATTEMPTS_ALL: Final = 30  # a minute from all of them
WINDOW: Final = 60.0  # seconds
ADDRESSES: Final = 1_000  # remembered at most
FORM_LIMIT: Final = 4_096  # bytes
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**14, 8, 1  # about 50 ms and 16 MB

PAGE: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Vigil</title>
<style>body{{background:#0d1117;color:#e4e9ef;font:15px system-ui,sans-serif;display:grid;
place-items:center;min-height:100vh;margin:0}}form{{display:grid;gap:12px;width:280px}}
input,button{{font:inherit;min-height:44px;padding:0 12px;border-radius:4px;
border:1px solid #2b3542;background:#141a22;color:inherit}}button{{background:#1663b8}}
p{{color:#ff8d92;margin:0;min-height:1.4em}}</style></head><body>
<form method="post" action="/login"><label for="password">Password of this desk</label>
<input id="password" name="password" type="password" autocomplete="current-password" autofocus
required><input type="hidden" name="next" value="{next}"><button>Log in</button>
<p role="alert">{message}</p></form></body></html>"""


class Attempts:
    """Counts tries of the last minute, right or wrong, and says when there were too many."""

    def __init__(self) -> None:
        self._all: deque[float] = deque()
        self._by_address: dict[str, deque[float]] = {}

    def allow(self, address: str, now: float) -> bool:
        mine = self._by_address.setdefault(address, deque())
        for tries in (mine, self._all):
            while tries and now - tries[0] > WINDOW:
                tries.popleft()
        if len(self._by_address) > ADDRESSES:
            self._by_address = {a: t for a, t in self._by_address.items() if t or a == address}
        if len(mine) >= ATTEMPTS or len(self._all) >= ATTEMPTS_ALL:
            return False
        mine.append(now)
        self._all.append(now)
        return True


class Door:
    """Knows the password only as a hash, and its cookies by their signature."""

    def __init__(self, password: str, secret: str) -> None:
        if not secret:
            raise ValueError("a password needs a secret to sign its cookies with")
        self._salt = os.urandom(16)
        self._hash = _scrypt(password, self._salt)
        # a changed password makes old cookies worthless
        self._key = hashlib.sha256(f"{secret}\0{password}".encode()).digest()
        self._attempts = Attempts()

    def knows(self, cookie_header: str | None) -> bool:
        """Return whether the request carries a cookie that we signed and that is still valid."""
        cookies: SimpleCookie = SimpleCookie()
        try:
            cookies.load(cookie_header or "")
        except CookieError:
            return False
        morsel = cookies.get(COOKIE)
        if morsel is None:
            return False
        expires, _, signature = morsel.value.partition(".")
        genuine = hmac.compare_digest(signature.encode(), self._sign(expires).encode())
        return genuine and int(expires) > time.time()

    async def answer(self, scope: Scope, receive: Receive) -> Response:
        request = Request(scope, receive)
        if request.method == "GET":
            return _form(request.query_params.get("next", "/"))
        if request.method != "POST":
            return PlainTextResponse("method not allowed", 405)
        return await self._try(request)

    async def _try(self, request: Request) -> Response:
        address = request.client.host if request.client else ""
        if not self._attempts.allow(address, time.monotonic()):
            return _form("/", "Too many attempts. Wait a minute.", 429)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > FORM_LIMIT:
                return PlainTextResponse("too large", 413)
        fields = parse_qs(body.decode("utf-8", "replace"))
        given, target = fields.get("password", [""])[0], fields.get("next", ["/"])[0]
        # off the loop: the hash is slow on purpose
        hashed = await asyncio.to_thread(_scrypt, given, self._salt)
        if not hmac.compare_digest(hashed, self._hash):
            return _form(target, "This is not the password.", 401)
        return self._welcome(target, secure=request.url.scheme == "https")

    def _welcome(self, target: str, *, secure: bool) -> Response:
        expires = str(int(time.time()) + VALID)
        response = RedirectResponse(local_path(target), 303)
        response.set_cookie(
            COOKIE,
            f"{expires}.{self._sign(expires)}",
            max_age=VALID,
            httponly=True,
            samesite="strict",
            secure=secure,
        )
        return response

    def _sign(self, expires: str) -> str:
        return hmac.new(self._key, expires.encode(), hashlib.sha256).hexdigest()


def local_path(target: str) -> str:
    """Return the target if it is a path of ours, else the first page: no way to other hosts."""
    if target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable():
        return target
    return "/"


def _form(target: str, message: str = "", status: int = 200) -> HTMLResponse:
    page = PAGE.format(next=html.escape(local_path(target), quote=True), message=message)
    return HTMLResponse(page, status)


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(
        password.encode(), salt=salt, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P, maxmem=2**26
    )
