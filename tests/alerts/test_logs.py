import io
import logging
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from alerts.logs import KEPT, LONGEST, LogBook, Redactor

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


# what is kept for the pages


def book(*known: str) -> LogBook:
    return LogBook(Redactor(known))


def record(
    message: str, *arguments: object, level: int = logging.INFO, name: str = "feeds.inbox"
) -> logging.LogRecord:
    return logging.LogRecord(name, level, "", 0, message, arguments, None)


def test_a_line_is_kept_with_its_level_and_its_logger() -> None:
    kept = book()
    kept.handle(record("%s: live", "market", level=logging.WARNING, name="feeds.connection.market"))

    [line] = kept.lines()
    assert (line.level, line.logger) == (logging.WARNING, "feeds.connection.market")
    assert line.text == "market: live"
    assert abs(datetime.now(UTC) - line.at) < timedelta(seconds=30)


def test_what_is_kept_has_no_secrets_not_even_one_that_would_be_cut() -> None:
    kept = book("hunter2-hunter2-hunter2")
    padding = "x" * (LONGEST - 12)
    kept.handle(record("POST https://api.telegram.org/bot123456:AAE-x_y/sendMessage"))
    kept.handle(record("GET %s", f"https://x/y?access_token={JWT}"))
    kept.handle(record("%s", padding + "hunter2-hunter2-hunter2"))

    said = [line.text for line in kept.lines()]
    assert "AAE-x_y" not in said[0]
    assert JWT[:20] not in said[1]
    assert "hunter2" not in said[2]
    assert all("[secret]" in text or text.endswith("…") for text in said)


def test_a_kept_line_is_one_line_of_bounded_length() -> None:
    kept = book()
    kept.handle(record("bad\n%s", "ERROR vigil: all is lost\r" * 100))

    [line] = kept.lines()
    assert "\n" not in line.text
    assert "\r" not in line.text
    assert len(line.text) == LONGEST


def test_of_a_traceback_its_last_word_is_kept_without_secrets() -> None:
    kept = book()
    try:
        raise ValueError(f"Bearer {JWT}\nsecond line")
    except ValueError:
        failed = logging.LogRecord("x", logging.ERROR, "", 0, "failed", (), sys.exc_info())
    kept.handle(failed)

    assert kept.lines()[0].text == "failed (ValueError: Bearer [secret]\\nsecond line)"


def test_only_the_last_lines_are_kept_from_any_thread() -> None:
    kept = book()

    def write(writer: int) -> None:
        for number in range(KEPT):
            kept.handle(record("%d %d", writer, number))
            kept.lines()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(kept.lines()) == KEPT
    assert kept.lines()[-1].text.endswith(f" {KEPT - 1}")


def test_lines_are_told_in_the_time_of_the_desk_also_those_before_it_had_one() -> None:
    kept = book()
    kept.handle(record("before the exchange's clock was known"))
    monday = datetime(2025, 11, 24, 5, 0, tzinfo=UTC)

    kept.follow(lambda: monday)
    kept.handle(record("after"))

    first, second = kept.lines()
    assert second.at == monday
    assert timedelta(0) <= monday - first.at < timedelta(seconds=30)


def test_a_record_that_cannot_be_written_stops_nothing() -> None:
    kept = book()
    kept.handle(record("%d", "not a number"))
    kept.handle(record("next"))

    assert [line.text for line in kept.lines()] == ["next"]
