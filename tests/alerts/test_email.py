"""Mail to a real SMTP server that may hang, refuse, or show a false certificate."""

import asyncio
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from alerts.channels.email import EmailChannel, EmailServer, compose, create
from tests.alerts.mail_server import MailServer
from tests.alerts.scripted_channel import alert
from tests.alerts.timeline import NOON
from trading.errors import BadRequest, CannotStart, Refused, Retryable, Unanswered, VigilError
from trading.health import Severity
from trading.health_ports import Letter, LetterState

ME, TRADER = "desk@example.org", "trader@example.org"


def letter(title: str = "NAKED LEG  short 1 lot 24000 CE", number: int = 17) -> Letter:
    told = alert(title, Severity.CRITICAL, id=number, lines=("Leg 3 rejected.", "Act now."))
    return Letter(number, "e-mail", told, NOON, False, LetterState.QUEUED)


def plain(server: MailServer, **options: float) -> EmailChannel:
    target = EmailServer("127.0.0.1", server.port, "none", ME, (TRADER,), home="http://here:8080/")
    return EmailChannel(target, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make one that is its own authority, for this machine alone."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, so no certificate can be made")
    folder = tmp_path_factory.mktemp("mail")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return cert, key


def serving(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


async def test_a_mail_says_in_plain_words_what_is_wrong_and_where_to_look() -> None:
    with MailServer() as server:
        assert await plain(server).send(letter()) == ""

    [mail] = server.mails
    assert mail["Subject"] == "🟣 SIM NAKED LEG  short 1 lot 24000 CE"
    assert (mail["From"], mail["To"]) == (ME, TRADER)
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content().replace("\r\n", "\n") == (
        "🟣 SIM NAKED LEG  short 1 lot 24000 CE\nLeg 3 rejected.\nAct now.\n"
        "A17 · 12:00:00 IST\n\nhttp://here:8080/status\n"
    )
    assert mail["Auto-Submitted"] == "auto-generated"


async def test_t03_a_second_copy_is_the_same_mail() -> None:
    with MailServer() as server:
        channel = plain(server)
        await channel.send(letter())
        await channel.send(letter())
        await channel.send(letter(number=18))

    numbers = [mail["Message-ID"] for mail in server.mails]
    assert numbers[0] == numbers[1] == "<vigil.a17-20261120t063000@example.org>"
    assert numbers[2] != numbers[0]


async def test_what_has_no_number_yet_is_the_same_mail_only_if_it_says_the_same() -> None:
    """As while the disk refuses: what is told in one look has one time, and all the number 0."""
    with MailServer() as server:
        channel = plain(server)
        for title in ("FEED DOWN", "FEED DOWN", "BOOKS DIFFER"):
            await channel.send(letter(number=0, title=title))

    first, again, other = (mail["Message-ID"] for mail in server.mails)
    assert first == again != other


@pytest.mark.parametrize(
    "title",
    [
        "M&M\r\nBcc: everybody@example.org",
        "x\nSubject: other",
        "\u202e<script>alert(1)</script>\x00",
        "ñ" * 5_000,
        "\udcff",
    ],
)
async def test_nothing_in_a_title_becomes_a_header_or_stops_the_mail(title: str) -> None:
    with MailServer() as server:
        await plain(server).send(letter(title))

    [mail] = server.mails
    assert mail["Bcc"] is None
    assert len(mail.get_all("Subject") or []) == 1
    assert len(str(mail["Subject"])) <= 180


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ({"TEXT": "451 try later"}, Retryable),
        ({"RCPT": "450 mailbox busy"}, Retryable),
        ({"CONNECT": "421 too many"}, Retryable),
        ({"TEXT": "554 looks like spam"}, BadRequest),
        ({"RCPT": "550 no such user"}, Refused),
        ({"MAIL": "553 sender not allowed"}, Refused),
        ({"CONNECT": "554 go away"}, Refused),
        ({"CONNECT": "drop"}, Retryable),
        ({"RCPT": "drop"}, Retryable),
        ({"TEXT": "drop"}, Unanswered),
        ({"RCPT": "hang"}, Retryable),
        ({"CONNECT": "hang"}, Retryable),
        ({"TEXT": "hang"}, Unanswered),
    ],
)
async def test_each_trouble_has_its_own_consequence(
    answers: dict[str, str], kind: type[VigilError]
) -> None:
    with MailServer() as server:
        server.answers = answers
        with pytest.raises(VigilError, match=r"mail server 127\.0\.0\.1") as caught:
            await plain(server, timeout=0.3).send(letter())

    assert type(caught.value) is kind


async def test_what_the_server_says_of_its_end_does_not_make_a_mail_twice() -> None:
    with MailServer() as server:
        server.answers = {"QUIT": "500 what?"}
        await plain(server).send(letter())

    assert len(server.mails) == 1


async def test_a_wrong_password_needs_a_person() -> None:
    with MailServer() as server:
        server.answers = {"AUTH": "535 bad credentials"}
        target = EmailServer("127.0.0.1", server.port, "none", ME, (TRADER,), "me", "canary")
        with pytest.raises(Refused, match="535 bad credentials") as caught:
            await EmailChannel(target).send(letter())

    assert "canary" not in str(caught.value) + repr(target)


async def test_nobody_there_is_tried_again() -> None:
    with MailServer() as server:
        channel = plain(server)
    with pytest.raises(Retryable, match="mail server"):
        await channel.send(letter())


async def test_a_server_that_trickles_is_cut_off_and_its_thread_ends() -> None:
    with MailServer() as server:
        server.answers = {"MAIL": "hang"}
        began = time.monotonic()
        with pytest.raises(Retryable, match="no answer within"):
            await plain(server, timeout=30, total=0.2).send(letter())

        assert time.monotonic() - began < 2
        assert await gone(lambda: any(t.name == "e-mail" for t in threading.enumerate()))


async def gone(still: Callable[[], bool]) -> bool:
    for _ in range(200):
        if not still():
            return True
        await asyncio.sleep(0.01)
    return False


async def test_starttls_and_tls_deliver_to_a_server_whose_certificate_is_right(
    certificate: tuple[Path, Path],
) -> None:
    trusted = ssl.create_default_context(cafile=str(certificate[0]))
    for security in ("starttls", "tls"):
        with MailServer(context=serving(certificate), tls=security == "tls") as server:
            target = EmailServer(
                "127.0.0.1",
                server.port,
                security,
                ME,
                (TRADER,),
                "me",
                "word",  # type: ignore[arg-type]
            )
            await EmailChannel(target, context=trusted).send(letter())

            assert len(server.mails) == 1
            assert server.verbs.count("AUTH") == 1


async def test_a_certificate_of_nobody_gets_neither_password_nor_mail(
    certificate: tuple[Path, Path],
) -> None:
    for security in ("starttls", "tls"):
        with MailServer(context=serving(certificate), tls=security == "tls") as server:
            target = EmailServer(
                "127.0.0.1",
                server.port,
                security,
                ME,
                (TRADER,),
                "me",
                "word",  # type: ignore[arg-type]
            )
            with pytest.raises(Refused, match="certificate that is not its own"):
                await EmailChannel(target).send(letter())

        assert server.mails == []
        assert "AUTH" not in server.verbs


async def test_a_server_without_starttls_gets_nothing_in_the_clear() -> None:
    with MailServer() as server:
        target = EmailServer("127.0.0.1", server.port, "starttls", ME, (TRADER,), "me", "word")
        with pytest.raises(Refused, match="cannot do what"):
            await EmailChannel(target).send(letter())

    assert not {"AUTH", "MAIL"} & set(server.verbs)


GOOD = EmailServer("mail.example.org", 587, "starttls", ME, (TRADER,))


def test_without_a_server_there_is_no_channel() -> None:
    assert create(replace(GOOD, host="")) is None
    assert create(GOOD) is not None
    assert create(replace(GOOD, host="127.0.0.1", security="none")) is not None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (replace(GOOD, security="none"), "in the clear"),
        (replace(GOOD, to=()), "at least one address"),
        (replace(GOOD, to=("a@b\r\nBcc: c@d",)), "is not an address"),
        (replace(GOOD, sender="nobody"), "is not an address"),
    ],
)
def test_what_cannot_be_safe_is_refused_at_the_start(wrong: EmailServer, words: str) -> None:
    with pytest.raises(CannotStart, match=words):
        create(wrong)


def test_a_mail_is_pure_ascii_on_the_wire() -> None:
    assert compose(letter(), GOOD).as_bytes().isascii()
