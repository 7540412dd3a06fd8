"""The watchdog's own way to a phone: no loop, no outbox."""

import logging

import pytest

from alerts.bot.wire import call_out
from simulator.build import Options, create_exchange
from simulator.telegram_chat import OWNER, TOKEN


def test_a_line_reaches_the_phone_without_a_loop() -> None:
    with create_exchange(Options(instruments=10)) as exchange:
        call_out(TOKEN, exchange.base_url, [OWNER], "🟣 SIM the desk does not answer")

        assert [said.text for said in exchange.telegram.delivered] == [
            "🟣 SIM the desk does not answer"
        ]


def test_what_does_not_arrive_is_told_without_the_token(caplog: pytest.LogCaptureFixture) -> None:
    with create_exchange(Options(instruments=10)) as exchange:
        exchange.faults.set("telegram_refuse")
        with caplog.at_level(logging.ERROR):
            call_out(TOKEN, exchange.base_url, [OWNER], "the desk does not answer")
            exchange.faults.clear()
            call_out(f"{TOKEN[:-1]}_", exchange.base_url, [OWNER], "the desk does not answer")

    assert [record.getMessage() for record in caplog.records] == [
        "the watchdog could not reach a phone: RemoteProtocolError",
        "the watchdog's message was refused: 401",
    ]
