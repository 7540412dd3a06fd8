import io
import logging
import sys

import pytest

from alerts.logs import Redactor

JWT = "eyJ0eXAiOiJKV1QifQ.eyJzdWIiOiI0WEE3UUsifQ.c2lnbmF0dXJl"


def written(message: str, *arguments: object, known: tuple[str, ...] = ()) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Redactor(known))
    handler.handle(logging.LogRecord("x", logging.WARNING, "", 0, message, arguments, None))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"Authorization: Bearer {JWT}", JWT),
        (f"token was {JWT}", JWT),
        ("GET wss://feeder/feeds?requestId=0f11-22aa&code=7a99-bb11", "7a99-bb11"),
        ("GET wss://feeder/feeds?requestId=0f11-22aa&code=7a99-bb11", "0f11-22aa"),
        ("POST https://api.telegram.org/bot123456:AAE-x_y/sendMessage", "AAE-x_y"),
        ("{'access_token': 'short-and-secret'}", "short-and-secret"),
    ],
)
def test_what_opens_doors_is_not_logged(text: str, secret: str) -> None:
    assert secret not in written("%s", text)
    assert "[secret]" in written("%s", text)


def test_a_known_secret_is_taken_out_wherever_it_stands() -> None:
    assert "hunter2" not in written("wrong: %s", {"x": "hunter2"}, known=("hunter2", ""))


def test_secrets_in_a_traceback_are_taken_out_too() -> None:
    try:
        raise ValueError(f"Bearer {JWT}")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", (), sys.exc_info())

    text = Redactor(()).format(record)
    assert "Traceback" in text
    assert JWT not in text


def test_data_cannot_forge_a_line() -> None:
    assert written("rejected: %s", "bad\n2026-11-21 ERROR vigil: all is lost").count("\n") == 1
