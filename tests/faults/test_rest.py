"""Bad answers to what the desk asks over REST at its start, and while it judges a silence."""

import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.faults.scene import PATIENT, QUICK, Scene, quiet_for, scene
from tests.lateness import lateness
from trading.ports import FeedState

HOLIDAYS, TIMINGS = "/v2/market/holidays", "/v2/market/timings"
MASTER = "/market-quote/instruments"
IMPATIENT = QUICK.model_copy(update={"stall_seconds": 1.0})
QUOTES = "/v2/market-quote/quotes"
PATHS = {HOLIDAYS: "trading hours", TIMINGS: "trading hours", MASTER: "instruments"}


class Bad(NamedTuple):
    """An answer that is not what was promised."""

    body: str
    content_type: str = "application/json"
    status: int = 200


def data(value: object) -> str:
    return json.dumps({"status": "success", "data": value})


ANSWERS = {
    "html": Bad("<!doctype html><title>Upstox</title>", "text/html"),
    "html-as-json": Bad("<!doctype html><title>Upstox</title>"),
    "wrong-type": Bad(data([]), "text/plain"),
    "nothing": Bad(""),
    "cut-off": Bad(data([{"date": "2026-01-26"}])[:-9]),
    "null": Bad(data(None)),
    "a-number": Bad(data(7)),
    "a-word": Bad(data("closed")),
    "rows-of-null": Bad(data([None, None])),
    "not-a-number": Bad(data([{"exchange": "NSE", "start_time": float("nan"), "end_time": 1,
                               "date": float("nan"), "open_exchanges": float("nan")}])),
    "infinite": Bad(data([{"exchange": "NSE", "start_time": float("inf"), "end_time": 1,
                           "date": 7, "open_exchanges": [{"exchange": "NSE", "end_time": 1,
                                                          "start_time": float("inf")}]}])),
    "far-future": Bad(data([{"exchange": "NSE", "start_time": 10**30, "end_time": 10**30,
                             "date": "2026-01-26", "open_exchanges": 10**30}])),
    "deep": Bad("[" * 100_000),
    "server-error": Bad("", status=503),
}  # fmt: skip


def answer(desk: Scene, path: str, bad: Bad) -> None:
    desk.exchange.faults.set(
        "rest", path=path, status=bad.status, body=bad.body, content_type=bad.content_type
    )


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.message for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize("path", PATHS)
async def test_a_bad_answer_is_named_in_the_log_and_what_was_known_stays(
    tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene(tmp_path, watching=0, feed=PATIENT) as desk:
        await known(desk)
        rules = desk.desk.hours.rules
        for name, bad in ANSWERS.items():
            caplog.clear()
            answer(desk, path, bad)
            refresh = desk.vigil.refresh_instruments if path == MASTER else desk.vigil.refresh_hours

            assert not await refresh(), name
            [warning] = warnings(caplog)
            assert warning.startswith(f"{PATHS[path]} stay as they are: "), name
            assert desk.desk.hours.rules is rules, name
            assert await desk.desk.catalogue.search("RELIANCE"), name
        assert desk.state is FeedState.LIVE
        assert not desk.changes
        desk.exchange.faults.clear()
        assert await refresh()


async def known(desk: Scene) -> None:
    """Wait until the first look is over."""
    taken = "SELECT value FROM desk_state WHERE name = 'master'"
    await desk.until(lambda: bool(desk.rows(taken)), within=5, what="the list of instruments")


@pytest.mark.parametrize("path", PATHS)
async def test_a_desk_starts_whatever_the_broker_answers_and_looks_again(
    tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """On a folder of yesterday, whose instruments and calendar are still good."""
    async with scene(tmp_path, watching=0) as desk:
        await known(desk)
    caplog.clear()
    bad = ANSWERS["html"]
    async with scene(
        tmp_path,
        watching=0,
        prepare=lambda exchange: exchange.faults.set(
            "rest", path=path, body=bad.body, content_type=bad.content_type, status=200
        ),
    ) as desk:
        await desk.until(lambda: bool(warnings(caplog)), within=2)

        assert f"{PATHS[path]} stay as they are" in warnings(caplog)[0]
        assert desk.state is FeedState.LIVE
        await desk.until(lambda: desk.health["status"] == "ok", within=5, what="good health")
        assert await desk.desk.catalogue.search("RELIANCE")
        asked = sum(call.path.startswith(path) for call in desk.exchange.ledger.calls)
        desk.exchange.faults.clear()
        await desk.until(
            lambda: sum(c.path.startswith(path) for c in desk.exchange.ledger.calls) > asked,
            within=10,  # it waits longer from time to time
        )


async def test_what_is_wrong_with_single_rows_is_left_out_and_the_rest_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "vigil")
    async with scene(tmp_path, watching=0, feed=PATIENT) as desk:
        await known(desk)
        odd: list[dict[str, Any]] = [
            {"exchange": "MOON", "start_time": 0, "end_time": 1},
            {"exchange": "NSE", "start_time": 1_795_231_800_000, "end_time": 1_795_253_400_000,
             "surprise": {"of": ["a", "later", "schema"]}},
        ]  # fmt: skip
        answer(desk, TIMINGS, Bad(data(odd)))
        assert await desk.vigil.refresh_hours()
        specials = desk.desk.hours.rules.specials
        told = {special.segment for special in specials if not special.name}
        assert told == {"NSE_EQ", "NSE_INDEX"}
        good = {"instrument_key": "NSE_EQ|X1", "segment": "NSE_EQ", "instrument_type": "EQ",
                "trading_symbol": "<b>ODD & CO</b>", "tick_size": 5.0, "later": 7}  # fmt: skip
        rows = [good, good | {"tick_size": float("nan")}, {"instrument_type": "EQ"}, None,
                good | {"instrument_type": "MOON"}, good | {"lot_size": float("inf")}]  # fmt: skip
        answer(desk, MASTER, Bad(json.dumps(rows)))
        caplog.clear()

        assert await desk.vigil.refresh_instruments()
        assert "1 unknown types and 4 bad rows left out" in caplog.text
        assert [i.symbol for i in await desk.desk.catalogue.search("ODD")] == ["<b>ODD & CO</b>"]


def row(key: str, **more: Any) -> dict[str, Any]:
    return {"instrument_token": key, "last_price": 100.0, "last_trade_time": "1", **more}


def quoted(key: str, **more: Any) -> str:
    return data({key.replace("|", ":"): row(key, **more)})


@pytest.mark.parametrize(
    "body",
    [
        "<!doctype html>",
        quoted("NSE_INDEX|Nifty 50", last_trade_time=float("nan")),
        quoted("NSE_INDEX|Nifty 50", last_trade_time=float("inf")),
        "[" * 100_000,
        data([1, 2, 3]),
    ],
    ids=["html", "nan", "inf", "deep", "list"],
)
async def test_a_quote_that_cannot_be_read_leaves_a_silence_a_stall(
    tmp_path: Path, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene(tmp_path, feed=IMPATIENT) as desk:
        answer(desk, QUOTES, Bad(body))
        desk.exchange.faults.set("stall")
        async with lateness() as late:
            stalled = await desk.told(FeedState.STALLED, within=IMPATIENT.stall_seconds + 1.5)
            lost = await desk.told(FeedState.BACKING_OFF, within=2)
        assert stalled < IMPATIENT.stall_seconds + 0.5 + 2 * late.worst
        assert lost < 0.5 + 2 * late.worst
        desk.exchange.faults.clear()
        await desk.healed()

        assert "no quote to compare with" in desk.reasons
        assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


async def test_a_trade_of_an_instrument_nobody_asked_for_is_no_reason_to_reconnect(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, watching=0, rate=0.001, feed=IMPATIENT) as desk:
        later = str(desk.exchange.clock.now_ms() + 60_000)
        rows = [row("NSE_INDEX|Nifty 50"), row("NSE_EQ|NOBODY", last_trade_time=later)]
        answer(desk, QUOTES, Bad(data(dict(enumerate(rows)))))
        await quiet_for(3 * IMPATIENT.stall_seconds, lambda: desk.state is FeedState.LIVE)

        assert len(desk.exchange.ledger.calls_to(QUOTES)) >= 2
        assert not desk.changes
        assert desk.authorised() == 1
