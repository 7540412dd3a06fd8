"""A small SMTP server on a socket of its own: keeps the mails, or misbehaves as a test says."""

import contextlib
import email
import email.policy
import socket
import ssl
import threading
from email.message import EmailMessage
from typing import Self

Answers = dict[str, str]


class MailServer:
    """`answers` replaces the answer to a verb; "hang" never answers, "drop" closes instead.

    With `context` it offers STARTTLS, or speaks TLS from the start if `tls`.
    """

    def __init__(self, *, context: ssl.SSLContext | None = None, tls: bool = False) -> None:
        self.answers: Answers = {}
        self.mails: list[EmailMessage] = []
        self.verbs: list[str] = []
        self.ended = threading.Event()  # the last conversation, by whomever
        self._context = context
        self._tls = tls
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.settimeout(5)
            self.ended.clear()
            with contextlib.suppress(OSError, ValueError):
                self._serve(client)
            client.close()
            self.ended.set()

    def _serve(self, client: socket.socket) -> None:
        if self._tls and self._context:
            client = self._context.wrap_socket(client, server_side=True)
        with client:
            if not self._say(client, "CONNECT", "220 small.example"):
                return
            reader = client.makefile("rb")
            while line := reader.readline():
                verb = line.decode().split()[0].upper()
                self.verbs.append(verb)
                if not self._say(client, verb, self._usual(verb)):
                    return
                if verb == "STARTTLS" and self._context:
                    reader.close()
                    client = self._context.wrap_socket(client, server_side=True)
                    reader = client.makefile("rb")
                if verb == "DATA" and not self._text(client, reader):
                    return
                if verb == "QUIT":
                    return

    def _usual(self, verb: str) -> str:
        if verb == "EHLO":
            offers = ["250-small.example", "250-AUTH PLAIN", "250 SIZE 1000000"]
            if self._context and not self._tls:
                offers.insert(1, "250-STARTTLS")
            return "\r\n".join(offers)
        usual = {"STARTTLS": "220 now", "DATA": "354 go on", "AUTH": "235 hello", "QUIT": "221 bye"}
        return usual.get(verb, "250 ok")

    def _say(self, client: socket.socket, verb: str, usual: str) -> bool:
        """Answer; return whether the conversation goes on."""
        answer = self.answers.get(verb, usual)
        if answer == "drop":
            return False
        if answer == "hang":
            client.recv(1)  # until the other side gives up
            return False
        client.sendall(answer.encode() + b"\r\n")
        return True

    def _text(self, client: socket.socket, reader) -> bool:  # type: ignore[no-untyped-def]
        lines = []
        while (line := reader.readline()) != b".\r\n":
            if not line:
                return False
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        self.mails.append(
            email.message_from_bytes(b"".join(lines), policy=email.policy.default)  # type: ignore[arg-type]
        )
        return self._say(client, "TEXT", "250 taken")
