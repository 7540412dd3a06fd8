"""Alerts by e-mail, on threads of their own: a server that hangs holds up neither desk nor stop."""

import asyncio
import contextlib
import ipaddress
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final, Literal

from alerts import words
from alerts.event import event_id
from trading.errors import (
    BadRequest,
    CannotStart,
    Refused,
    Retryable,
    Unanswered,
    VigilError,
)
from trading.health_ports import Letter

NAME: Final = "e-mail"
MAIL: Final = SMTP.clone(cte_type="7bit")  # not every server takes eight bits
TIMEOUT: Final = 10.0  # seconds for each answer of the server
TOTAL: Final = 40.0  # seconds for a whole letter, however it trickles
LONGEST_SUBJECT: Final = 180  # characters
TEMPORARY: Final = 500  # codes of SMTP below this pass by themselves


@dataclass(frozen=True, slots=True)
class EmailServer:
    """Where mail goes out, and to whom. `home` is where the desk's pages are, "" for no links."""

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    sender: str
    to: tuple[str, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    home: str = ""


def create(settings: EmailServer) -> "EmailChannel | None":
    """Return the channel, None if no server is set; raise CannotStart for what cannot be safe."""
    if not settings.host:
        return None
    if not settings.to or not settings.sender:
        raise CannotStart("[email] needs a sender and at least one address in `to`")
    for address in (settings.sender, *settings.to):
        if not address.isascii() or not address.isprintable() or address.count("@") != 1:
            raise CannotStart(f"[email] {address!r} is not an address")
    if settings.security == "none" and not _is_here(settings.host):
        raise CannotStart(
            f"[email] security = 'none' would send alerts and password in the clear to "
            f"{settings.host}: use 'starttls' or 'tls'"
        )
    return EmailChannel(settings)


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class EmailChannel:
    """Implements `health_ports.Channel`; each letter has a connection and a thread of its own."""

    name = NAME
    edits = False
    every = 1.0

    def __init__(
        self,
        server: EmailServer,
        *,
        context: ssl.SSLContext | None = None,
        timeout: float = TIMEOUT,
        total: float = TOTAL,
    ) -> None:
        """`context` is for servers whose certificate is no authority's; it has to verify."""
        self._server = server
        self._context = context or ssl.create_default_context()
        self._timeout = timeout
        self._total = total
        self._running: set[_Delivery] = set()

    async def send(self, letter: Letter) -> str:
        delivery = _Delivery(self._server, self._context, self._timeout)
        mail = compose(letter, self._server)
        self._running.add(delivery)
        try:
            async with asyncio.timeout(self._total):
                await _on_a_thread(lambda: delivery.run(mail))
        except TimeoutError:
            raise delivery.trouble(f"no answer within {self._total:.0f} s") from None
        finally:
            self._running.discard(delivery)
            delivery.interrupt()
        return ""

    async def close(self) -> None:
        for delivery in self._running:
            delivery.interrupt()


def compose(letter: Letter, server: EmailServer) -> EmailMessage:
    """Return the mail. Its number comes from the alert: a second copy is the same mail."""
    alert = letter.alert
    mail = EmailMessage(policy=MAIL)
    subject = f"{words.headline(alert)}{words.times(alert)}"
    mail["Subject"] = subject[:LONGEST_SUBJECT]
    mail["From"] = server.sender
    mail["To"] = ", ".join(server.to)
    mail["Date"] = format_datetime(alert.at)
    domain = server.sender.rpartition("@")[2].strip("<> ")
    mail["Message-ID"] = f"<vigil.{event_id(alert).lower()}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    body = [words.plain(alert)]
    if server.home:
        body.append(f"{server.home.rstrip('/')}{alert.link}")
    mail.set_content("\n\n".join(body) + "\n")
    return mail


@dataclass(eq=False, slots=True)
class _Delivery:
    """One conversation with the server. `handed_over` is set before the text goes out."""

    server: EmailServer
    context: ssl.SSLContext
    timeout: float
    handed_over: bool = False
    _socket: socket.socket | None = None

    def run(self, mail: EmailMessage) -> None:
        """Deliver; raise in our own words. Blocks, so it has a thread of its own."""
        try:
            self._converse(mail)
        except ssl.SSLCertVerificationError as error:
            why = error.verify_message
            raise Refused(f"{self._name} shows a certificate that is not its own: {why}") from error
        except smtplib.SMTPResponseException as error:
            raise self._answered(error.smtp_code, error.smtp_error) from error
        except smtplib.SMTPNotSupportedError as error:
            words_ = f"{self._name} cannot do what [email] asks for: {error}"
            raise Refused(words_) from error
        except (OSError, smtplib.SMTPException) as error:
            raise self.trouble(str(error) or type(error).__name__) from error

    def trouble(self, why: str) -> VigilError:
        """Return what a broken conversation means: nothing arrived, or nobody knows."""
        if self.handed_over:
            return Unanswered(f"{self._name} did not confirm the mail: {why}")
        return Retryable(f"{self._name}: {why}")

    def interrupt(self) -> None:
        """End the conversation from another thread."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    @property
    def _name(self) -> str:
        return f"mail server {self.server.host}:{self.server.port}"

    def _converse(self, mail: EmailMessage) -> None:
        smtp = self._connected()
        try:
            self._prepare(smtp)
            self.handed_over = True
            _expect(smtp.data(mail.as_bytes()))
            smtp.putcmd("QUIT")  # its answer could only make a delivered mail look lost
        finally:
            smtp.close()

    def _prepare(self, smtp: smtplib.SMTP) -> None:
        """Come as far as the text."""
        server = self.server
        if server.security == "starttls":
            smtp.starttls(context=self.context)
            self._socket = smtp.sock
        smtp.ehlo_or_helo_if_needed()
        if server.user:
            smtp.login(server.user, server.password)
        _expect(smtp.mail(server.sender))
        refused = [a for a in map(smtp.rcpt, server.to) if a[0] not in (250, 251)]
        if len(refused) == len(server.to):
            _expect(refused[0])

    def _connected(self) -> smtplib.SMTP:
        server = self.server
        if server.security == "tls":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, timeout=self.timeout, context=self.context
            )
        else:
            smtp = smtplib.SMTP(server.host, server.port, timeout=self.timeout)
        self._socket = smtp.sock
        return smtp

    def _answered(self, code: int, answer: bytes | str) -> VigilError:
        """Return what a code means; a refusal of the text itself is this letter's own."""
        said = answer.decode(errors="replace") if isinstance(answer, bytes) else answer
        words_ = f"{self._name} answered {code} {words.one_line(said)[:200]}"
        if code < TEMPORARY:
            return Retryable(words_)
        return BadRequest(words_) if self.handed_over else Refused(words_)


def _expect(answer: tuple[int, bytes]) -> None:
    code, said = answer
    if not 200 <= code < 300:
        raise smtplib.SMTPResponseException(code, said)


async def _on_a_thread(work: Callable[[], None]) -> None:
    """Run blocking work where nobody has to wait for it: not in the pool, which a stop joins."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(error: Exception | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error: Exception | None = None
        try:
            work()
        except Exception as raised:  # noqa: BLE001 - it is raised again where it is awaited
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is gone, and so is whoever waited
            loop.call_soon_threadsafe(finish, error)

    threading.Thread(target=run, name=NAME, daemon=True).start()
    await done
