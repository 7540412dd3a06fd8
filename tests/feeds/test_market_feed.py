"""The market feed against a scripted exchange on a real socket, with every time a tenth."""

import asyncio
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from feeds.connection import Timing
from feeds.upstox.token import FixedToken
from tests.feeds.desk import CALL, FAST, NIFTY, desk
from tests.feeds.exchange import (
    T0,
    TOKEN,
    Exchange,
    Peer,
    Reply,
    failure,
    frame,
    ltpc,
    market_info,
    success,
)
from tests.lateness import lateness
from trading.histogram import quantile
from trading.model import Mode
from trading.ports import FeedState

AUTHORISE = "/v3/feed/market-data-feed/authorize"
QUOTES = "/v2/market-quote/quotes"
NORMAL_OPEN, NORMAL_CLOSE = 2, 3
TWENTIETH = Timing().scaled(0.05)


def snapshots(peer: Peer) -> None:
    peer.serve(peer.snapshot)


def first_then(misbehave: Callable[[Peer], None]) -> Callable[[Peer], None]:
    """Return a script: the first socket answers once and then misbehaves, later ones are good."""

    def script(peer: Peer) -> None:
        if peer.number > 0:
            snapshots(peer)
        request = peer.read()
        assert request
        peer.snapshot(request)
        misbehave(peer)

    return script


def quote(ltt: object, key: str = NIFTY) -> Reply:
    row = {
        "instrument_token": key,
        "last_price": 101.0,
        "last_trade_time": ltt if ltt is None else str(ltt),
        "timestamp": "2025-11-26T09:31:12.442+05:30",
    }
    return success({"NSE_INDEX:NIFTY": row})


async def test_a_price_goes_from_the_socket_to_the_loop() -> None:
    with Exchange(snapshots) as exchange:
        async with desk(exchange.url, NIFTY, CALL) as d:
            await d.live()

            assert {t.instrument_key for t in d.ticks} == {NIFTY, CALL}
            assert d.ticks[0].ltp == 100.0
            assert d.ticks[0].is_mock
            stats = d.feed.stats()
            assert stats.subscribed[Mode.LTPC] == 2
            assert stats.ticks == 2
            assert stats.attempt == 0
            assert stats.latency.p50 is not None
            assert stats.clock_skew is not None
    assert d.states == [FeedState.CONNECTING, FeedState.OPEN, FeedState.LIVE, FeedState.STOPPED]


async def test_the_handshake_carries_a_user_agent_and_no_token() -> None:
    with Exchange(snapshots) as exchange:
        async with desk(exchange.url, NIFTY) as d:
            await d.live()

    authorise, handshake = exchange.heads[:2]
    assert "Authorization: Bearer canary" in authorise
    assert "User-Agent: Mozilla/5.0" in handshake
    assert "canary" not in handshake
    assert "origin" not in handshake.lower()


async def test_f12_fifty_wishes_while_connecting_become_two_frames_at_most() -> None:
    keys = [f"NSE_FO|{n}" for n in range(50)]
    with Exchange(snapshots) as exchange:
        async with desk(exchange.url) as d:
            for count in range(1, 51):
                d.feed.want(dict.fromkeys(keys[:count], Mode.LTPC))
            await d.until(lambda: len({t.instrument_key for t in d.ticks}) == 50)

            assert len(exchange.peers[0].requests) <= 2


async def test_each_frame_is_timed_on_its_way_and_in_the_decoder() -> None:
    before = time.time() * 1000 - 500

    def script(peer: Peer) -> None:
        def answer(request: dict[str, Any]) -> None:
            for n in range(3):
                peer.send(ltpc({NIFTY: 100.0 + n}, at=int(before)))

        peer.serve(answer)

    with Exchange(script) as exchange:
        async with desk(exchange.url, NIFTY) as d:
            await d.until(lambda: len(d.ticks) == 3)

    arrival, decoding = d.feed.arrival.counts(), d.feed.decoding.counts()
    assert sum(arrival.values()) == sum(decoding.values()) == 3
    half = quantile(arrival, 0.5)
    assert half is not None
    assert 450 < half < 5_000
    half = quantile(decoding, 0.5)
    assert half is not None
    assert 0 < half < 450


async def test_a_wish_reaches_a_silent_socket_at_once() -> None:
    with Exchange(snapshots) as exchange:
        async with desk(exchange.url) as d:
            await d.until(lambda: d.feed.stats().state is FeedState.OPEN)
            await asyncio.sleep(0.12)
            async with lateness() as late:
                d.feed.want({CALL: Mode.LTPC})
                took = await d.until(lambda: bool(d.ticks))

    assert took < 0.05 + 2 * late.worst


async def test_f14_only_what_changes_is_said() -> None:
    with Exchange(snapshots) as exchange:
        async with desk(exchange.url) as d:
            d.feed.want({NIFTY: Mode.LTPC, CALL: Mode.FULL})
            await d.live()
            d.feed.want({NIFTY: Mode.LTPC, CALL: Mode.LTPC})
            await d.until(lambda: exchange.peers[0].asked.get(CALL) == "ltpc")
            d.feed.want({CALL: Mode.LTPC})
            await d.until(lambda: exchange.peers[0].asked == {CALL: "ltpc"})

    said = [(r["method"], r["data"]["instrumentKeys"]) for r in exchange.peers[0].requests]
    assert sorted(said[:2]) == [("sub", [CALL]), ("sub", [NIFTY])]
    assert said[2:] == [("change_mode", [CALL]), ("unsub", [NIFTY])]


async def test_a_thousand_keys_go_out_in_chunks_of_five_hundred() -> None:
    keys = [f"NSE_FO|{n}" for n in range(1200)]
    with Exchange(snapshots) as exchange:
        async with desk(exchange.url, *keys) as d:
            await d.until(lambda: len({t.instrument_key for t in d.ticks}) == 1200)

    sizes = [len(r["data"]["instrumentKeys"]) for r in exchange.peers[0].requests]
    assert sizes == [500, 500, 200]


async def test_f13_keys_that_stay_silent_are_asked_once_more_and_then_missing() -> None:
    dumb = {"NSE_FO|3", "NSE_FO|7"}

    def script(peer: Peer) -> None:
        def answer(request: dict[str, object]) -> None:
            data = request["data"]
            assert isinstance(data, dict)
            keys = [k for k in data["instrumentKeys"] if k not in dumb]
            if keys:
                peer.send(ltpc(dict.fromkeys(keys, 100.0)))

        peer.serve(answer)

    with Exchange(script) as exchange:
        async with desk(exchange.url, *(f"NSE_FO|{n}" for n in range(10))) as d:
            await d.until(lambda: bool(d.feed.stats().missing))

            assert set(d.feed.stats().missing) == dumb
            requests = [r["data"]["instrumentKeys"] for r in exchange.peers[0].requests]
            assert len(requests) == 2
            assert set(requests[1]) == dumb
            exchange.peers[0].send(ltpc({"NSE_FO|3": 5.0}))
            await d.until(lambda: d.feed.stats().missing == ("NSE_FO|7",))


async def test_f13_a_missing_key_that_is_asked_for_anew_may_speak_on_the_same_socket() -> None:
    deaf = [True]

    def script(peer: Peer) -> None:
        def answer(request: dict[str, Any]) -> None:
            asked = request["data"]["instrumentKeys"]
            told = [key for key in asked if not (deaf[0] and key == CALL)]
            if request["method"] == "sub":
                peer.send(ltpc(dict.fromkeys(told, 100.0), kind=0))

        peer.serve(answer)

    with Exchange(script) as exchange:
        async with desk(exchange.url, NIFTY, CALL, timing=TWENTIETH) as d:
            await d.until(lambda: d.feed.stats().missing == (CALL,))
            deaf[0] = False
            d.feed.ask_again([CALL, "NSE_EQ|nobody wants it"])
            await d.until(lambda: any(t.instrument_key == CALL for t in d.ticks))

            assert d.feed.stats().missing == ()
            requests = exchange.peers[0].requests[-2:]
            assert [r["method"] for r in requests] == ["unsub", "sub"]
            assert [r["data"]["instrumentKeys"] for r in requests] == [[CALL], [CALL]]
    assert exchange.authorised == 1


async def test_ticks_that_nobody_asked_for_are_counted_and_dropped() -> None:
    with Exchange(snapshots) as exchange:
        async with desk(exchange.url, NIFTY) as d:
            await d.live()
            exchange.peers[0].send(ltpc({"NSE_FO|99": 5.0, NIFTY: 101.0}))
            await d.until(lambda: d.feed.stats().unasked == 1)

            assert {t.instrument_key for t in d.ticks} == {NIFTY}


async def test_over_the_limit_the_rest_is_refused_and_shown() -> None:
    keys = [f"NSE_FO|{n}" for n in range(60)]
    with Exchange(snapshots) as exchange:
        async with desk(exchange.url, *keys, mode=Mode.FULL_D30) as d:
            await d.live()

            stats = d.feed.stats()
            assert stats.subscribed[Mode.FULL_D30] == stats.limits[Mode.FULL_D30] == 50
            assert len(stats.missing) == 10


def fin(peer: Peer) -> None:
    peer.fin()


def reset(peer: Peer) -> None:
    peer.reset()


def closes(code: int) -> Callable[[Peer], None]:
    def misbehave(peer: Peer) -> None:
        peer.close(code)
        peer.swallow()

    return misbehave


@pytest.mark.parametrize(
    "loss",
    [fin, reset, closes(1000), closes(1011), closes(1012)],
    ids=["fin", "reset", "1000", "1011", "1012"],
)
async def test_f07_a_lost_socket_comes_back_with_its_subscriptions(
    loss: Callable[[Peer], None],
) -> None:
    with Exchange(first_then(loss)) as exchange:
        async with desk(exchange.url, NIFTY, CALL) as d:
            await d.until(lambda: len(exchange.peers) == 2 and len(d.batches) >= 2)
            await d.live()

            assert exchange.peers[1].asked == {NIFTY: "ltpc", CALL: "ltpc"}
            assert [b.generation for b in d.batches] == [1, 2]
            assert d.feed.stats().reconnects == 1
            assert FeedState.BACKING_OFF in d.states
            assert FeedState.STALLED not in d.states


@pytest.mark.parametrize(
    "silence",
    [
        lambda peer: peer.swallow(),
        lambda peer: [
            (peer.send(market_info(NORMAL_OPEN, "NSE_INDEX") + bytes([0x18, n])), time.sleep(0.1))
            for n in range(100)
        ],
        lambda peer: (peer.raw(frame(2, ltpc({NIFTY: 2.0}))[:20]), peer.swallow()),
        lambda peer: [
            (peer.raw(bytes([byte])), time.sleep(0.03)) for byte in frame(2, b"x" * 60000)[:400]
        ],
    ],
    ids=["f01-pongs-only", "f02-market-info-only", "f05-stops-mid-frame", "f06-trickles"],
)
async def test_silence_in_an_open_market_is_a_stall_and_heals(
    silence: Callable[[Peer], object],
) -> None:
    def script(peer: Peer) -> None:
        try:
            silence(peer)
        except OSError:
            return

    with Exchange(first_then(script)) as exchange:
        exchange.replies[QUOTES] = quote(T0 + 1)
        async with desk(exchange.url, NIFTY, timing=TWENTIETH) as d, lateness() as late:
            await d.live()
            stalled = await d.until(lambda: FeedState.STALLED in d.states)
            healed = await d.until(lambda: d.states[-1] is FeedState.LIVE)

    assert 0.7 - 2 * late.worst < stalled < 0.75 + 0.5 + 2 * late.worst
    assert healed < 0.5 + 2 * late.worst
    assert "though the exchange trades" in next(
        c.reason for c in d.changes if c.after is FeedState.BACKING_OFF
    )


async def test_f01_never_having_heard_a_price_is_silence_too() -> None:
    def dumb_at_first(peer: Peer) -> None:
        if peer.number == 0:
            peer.swallow()
        snapshots(peer)

    with Exchange(dumb_at_first) as exchange:
        exchange.replies[QUOTES] = quote(T0)
        async with desk(exchange.url, NIFTY, timing=TWENTIETH) as d:
            await d.live()

    assert FeedState.STALLED in d.states


async def test_f01_if_the_broker_cannot_be_asked_the_silence_is_a_stall() -> None:
    with Exchange(first_then(lambda peer: peer.swallow())) as exchange:
        exchange.replies[QUOTES] = failure(503, "UDAPI100500")
        async with desk(exchange.url, NIFTY, timing=TWENTIETH) as d:
            await d.until(lambda: FeedState.STALLED in d.states)
            await d.until(lambda: d.states[-1] is FeedState.LIVE)


async def test_f03_a_quiet_market_is_left_alone_if_the_broker_shows_no_trade_either() -> None:
    with Exchange(snapshots) as exchange:
        exchange.replies[QUOTES] = quote(T0)
        async with desk(exchange.url, NIFTY, timing=Timing().scaled(0.02)) as d:
            await d.live()
            assert d.feed.stats().quiet_age is None
            async with lateness() as late:
                asked = await d.until(
                    lambda: sum(QUOTES in head for head in exchange.heads) >= 2, within=10
                )
            assert asked < 1.0 + 2 * late.worst
            await asyncio.sleep(0.1)

            assert d.states[-1] is FeedState.LIVE
            quiet_age = d.feed.stats().quiet_age
            assert quiet_age is not None
            assert quiet_age < 0.9
    assert exchange.authorised == 1


@pytest.mark.parametrize(
    "told",
    [success({}), quote(None), quote(0), quote(T0, "NSE_EQ|NOBODY")],
    ids=["nothing", "no trade time", "never traded", "somebody else's"],
)
async def test_f03_quotes_that_tell_of_no_trade_do_not_prove_a_quiet_market(told: Reply) -> None:
    with Exchange(first_then(lambda peer: peer.swallow())) as exchange:
        exchange.replies[QUOTES] = told
        async with desk(exchange.url, NIFTY, timing=TWENTIETH) as d:
            await d.live()
            await d.until(lambda: FeedState.STALLED in d.states)
            await d.until(lambda: d.states[-1] is FeedState.LIVE)

            assert d.feed.stats().quiet_age is None
    reasons = [c.reason for c in d.changes if c.after is FeedState.BACKING_OFF]
    assert "no quote to compare with" in reasons[0]


async def test_f03_what_traded_last_is_asked_about_however_late_it_was_wanted() -> None:
    options = [f"NSE_FO|{number}" for number in range(1, 40)]
    busy = options[-1]

    def script(peer: Peer) -> None:
        request = peer.read()
        assert request
        peer.snapshot(request)
        peer.send(ltpc({busy: 101.0}, at=T0 + 1))
        peer.swallow()

    def told(head: str) -> Reply:
        asked = parse_qs(urlsplit(head.split(" ")[1]).query)["instrument_key"][0].split(",")
        assert len(asked) == 20
        assert asked[0] == busy
        assert NIFTY in asked
        return quote(T0 + 2, busy)

    with Exchange(script) as exchange:
        exchange.replies[QUOTES] = told
        async with desk(exchange.url, NIFTY, *options, timing=TWENTIETH) as d:
            await d.until(lambda: FeedState.STALLED in d.states)


async def test_f03_a_closed_market_is_not_even_asked_about() -> None:
    def script(peer: Peer) -> None:
        peer.send(market_info(NORMAL_CLOSE, "NSE_INDEX"))
        snapshots(peer)

    with Exchange(script) as exchange:
        async with desk(exchange.url, NIFTY, timing=Timing().scaled(0.02)) as d:
            await d.live()
            await asyncio.sleep(0.8)

            assert d.states[-1] is FeedState.LIVE
            assert d.feed.stats().segments == {"NSE_INDEX": "NORMAL_CLOSE"}
    assert not any(QUOTES in head for head in exchange.heads)


async def test_silence_is_not_judged_while_no_prices_are_expected() -> None:
    with Exchange(snapshots) as exchange:
        async with desk(exchange.url, NIFTY, timing=Timing().scaled(0.02)) as d:
            d.feed.expect_prices(False)
            await d.live()
            await asyncio.sleep(0.8)

    assert FeedState.STALLED not in d.states


async def test_f04_a_peer_that_does_not_even_pong_is_left() -> None:
    def deaf_at_first(peer: Peer) -> None:
        if peer.number == 0:
            peer.swallow(pong=False)
        snapshots(peer)

    with Exchange(deaf_at_first) as exchange:
        async with desk(exchange.url, NIFTY, timing=TWENTIETH) as d:
            d.feed.expect_prices(False)
            async with lateness() as late:
                took = await d.until(lambda: len(exchange.peers) == 2, within=4)

    assert 1.2 < took < 1.7 + 2 * late.worst
    assert any("not even a pong" in change.reason for change in d.changes)


async def test_pings_of_the_server_are_answered_and_count_as_life() -> None:
    def script(peer: Peer) -> None:
        for _ in range(6):
            peer.raw(frame(9, b"beat"))
            time.sleep(0.05)
        snapshots(peer)

    with Exchange(script) as exchange:
        async with desk(exchange.url, NIFTY, timing=Timing().scaled(0.01)) as d:
            d.feed.expect_prices(False)
            await d.live()

    assert exchange.peers[0].pongs == 6
    assert len(exchange.peers) == 1


async def test_f08_a_handshake_that_trickles_has_the_same_deadline() -> None:
    served = threading.Event()

    def listen(head: str) -> Reply:
        url = f"ws://127.0.0.1:{slow.getsockname()[1]}/feed?code=x"
        return success({"authorized_redirect_uri": url})

    slow = socket.create_server(("127.0.0.1", 0))

    def trickle() -> None:
        sock, _ = slow.accept()
        with sock:
            try:
                for byte in b"HTTP/1.1 101 Switching Protocols\r\n" + b"X: y\r\n" * 1000:
                    sock.sendall(bytes([byte]))
                    time.sleep(0.02)
            except OSError:
                served.set()

    thread = threading.Thread(target=trickle, daemon=True)
    thread.start()
    with slow, Exchange(snapshots) as exchange:
        exchange.replies[AUTHORISE] = listen
        async with desk(exchange.url, NIFTY) as d:
            async with lateness() as late:
                await d.until(lambda: FeedState.BACKING_OFF in d.states)
            given_up = d.changes[d.states.index(FeedState.BACKING_OFF)]
            took = (given_up.at - d.changes[0].at).total_seconds()
            await asyncio.to_thread(served.wait, 2)
        thread.join(2)

    assert 0.9 - 2 * late.worst < took < 1.3 + 2 * late.worst
    assert "no answer in time" in given_up.reason


async def test_f09_it_never_gives_up_and_says_the_same_trouble_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "feeds.connection")
    timing = Timing(backoff_base=0.002, backoff_open=0.01, backoff_closed=0.01)
    with Exchange(snapshots) as exchange:
        exchange.replies[AUTHORISE] = failure(503, "UDAPI100500")
        async with desk(exchange.url, NIFTY, timing=timing) as d:
            await d.until(lambda: d.feed.stats().authorisations > 30)
            lines = len(caplog.records)
            del exchange.replies[AUTHORISE]
            await d.live()

    assert lines <= 4
    assert d.feed.stats().attempt == 0


async def test_f10_two_hundred_losses_make_two_hundred_dials_and_never_two_sockets() -> None:
    timing = Timing(
        backoff_base=0.001,
        backoff_open=0.001,
        backoff_closed=0.001,
        kicked_within=0.0,
        stall=0.001,
        ping_after=0.001,
    )

    def chaos(peer: Peer) -> None:
        if peer.number >= 200:
            snapshots(peer)
        peer.send(b"\xff")
        (peer.close, lambda _: peer.reset(), lambda _: peer.fin())[peer.number % 3](1011)

    with Exchange(chaos) as exchange:
        exchange.replies[QUOTES] = quote(T0)
        async with desk(exchange.url, timing=timing) as d:
            await d.until(lambda: len(exchange.peers) > 200, within=40)

    assert exchange.most_open <= 2  # the server's thread may see the end of the last one late
    assert exchange.authorised - len(exchange.peers) <= 1


async def test_f11_two_kicks_in_a_row_are_contested_and_not_fought_over() -> None:
    def kick(peer: Peer) -> None:
        request = peer.read()
        if request:
            peer.snapshot(request)
        peer.close(1008)

    with Exchange(kick) as exchange:
        async with desk(exchange.url, NIFTY, timing=FAST) as d:
            await d.until(lambda: FeedState.CONTESTED in d.states)
            dials = exchange.authorised
            await asyncio.sleep(0.5)

            assert exchange.authorised == dials == 2
            assert d.feed.stats().next_attempt_in is not None
            assert "another client" in d.changes[-1].reason


async def test_f16_a_429_is_waited_out() -> None:
    with Exchange(snapshots) as exchange:
        exchange.replies[AUTHORISE] = failure(429, "UDAPI10005", Retry_After="1")
        async with desk(exchange.url, NIFTY) as d:
            await d.until(lambda: FeedState.BACKING_OFF in d.states)
            calls = len(exchange.heads)
            await asyncio.sleep(0.8)
            assert len(exchange.heads) == calls == 1
            del exchange.replies[AUTHORISE]
            await d.live()


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(body=b"<html>", content_type="text/html"), "text/html"),
        (success({"something": "else"}), "no address"),
        (success({"authorized_redirect_uri": "wss://evil.example/x?code=1"}), "evil.example"),
        (success({"authorized_redirect_uri": "ws://api.upstox.com/x?code=1"}), "not encrypted"),
        (success(None), "no data"),
    ],
    ids=["html", "no uri", "foreign host", "not encrypted", "no data"],
)
async def test_f18_an_answer_that_is_not_what_was_promised_is_not_dialled(
    reply: Reply, words: str
) -> None:
    with Exchange(snapshots) as exchange:
        exchange.replies[AUTHORISE] = reply
        async with desk(exchange.url, NIFTY) as d:
            await d.until(lambda: FeedState.BACKING_OFF in d.states)

            assert words in d.changes[-1].reason
    assert exchange.peers == []


@pytest.mark.parametrize(
    "flood",
    [
        b"\x82\x7f" + struct.pack("!Q", 8 << 30),
        frame(2, b"x" * (3 << 20), fin=False) + frame(0, b"x" * (3 << 20), fin=False) * 2,
        frame(2, b"", fin=False) + frame(0, b"", fin=False) * 5000,
        frame(2, b"") * 5000,
    ],
    ids=["8 GiB claimed", "9 MiB in fragments", "endless fragments", "empty frames"],
)
async def test_f20_a_flood_is_dropped_at_once(flood: bytes) -> None:
    def script(peer: Peer) -> None:
        try:
            peer.raw(flood)
            peer.swallow()
        except OSError:
            return

    with Exchange(first_then(script)) as exchange:
        async with desk(exchange.url, NIFTY) as d:
            await d.until(lambda: len(exchange.peers) == 2 and d.states[-1] is FeedState.LIVE)

    assert FeedState.STALLED not in d.states


async def test_f22_text_frames_are_counted_and_survived() -> None:
    with Exchange(snapshots) as exchange:
        async with desk(exchange.url, NIFTY) as d:
            await d.live()
            exchange.peers[0].raw(frame(1, b'{"status":"failed"}') + frame(1, b"\xff\xfe"))
            exchange.peers[0].send(ltpc({NIFTY: 102.0}))
            await d.until(lambda: d.ticks[-1].ltp == 102.0)

            assert d.feed.stats().text_frames == 2
    assert len(exchange.peers) == 1


async def test_f22_a_reserved_opcode_is_a_protocol_error_and_reconnects() -> None:
    def script(peer: Peer) -> None:
        peer.raw(frame(3, b"?"))
        peer.swallow()

    with Exchange(first_then(script)) as exchange:
        async with desk(exchange.url, NIFTY) as d:
            await d.until(lambda: len(exchange.peers) == 2 and d.states[-1] is FeedState.LIVE)

    assert any("WebSocket protocol" in change.reason for change in d.changes)


async def test_f23_ten_unreadable_frames_are_bad_luck_and_eleven_are_not() -> None:
    with Exchange(snapshots) as exchange:
        async with desk(exchange.url, NIFTY) as d:
            await d.live()
            for number in range(10):
                exchange.peers[0].send(b"\xff" + bytes([number]))
            await d.until(lambda: d.feed.stats().decode_errors == 10)
            assert len(exchange.peers) == 1
            exchange.peers[0].send(b"\xfe")
            await d.until(lambda: len(exchange.peers) == 2)

    assert any("could not be read" in change.reason for change in d.changes)


class Tokens(FixedToken):
    """A token that a test replaces."""


async def test_a02_a_refused_token_stops_dialling_and_a_new_one_heals() -> None:
    token = Tokens("yesterday's")
    with Exchange(snapshots) as exchange:
        async with desk(exchange.url, NIFTY, token=token) as d:
            await d.until(lambda: FeedState.REFUSED in d.states)
            await asyncio.sleep(0.4)
            assert len(exchange.heads) == 1

            token.save(exchange.token)
            async with lateness() as late:
                healed = await d.live()

    assert healed < 0.5 + 2 * late.worst
    assert "token" in next(c.reason for c in d.changes if c.after is FeedState.REFUSED)


async def test_a04_a_403_after_a_good_authorise_is_a_matter_of_permission() -> None:
    with Exchange(snapshots) as exchange:
        exchange.refuse_socket = 403
        async with desk(exchange.url, NIFTY) as d:
            await d.until(lambda: FeedState.REFUSED in d.states)
            await asyncio.sleep(0.3)

            assert exchange.authorised == 1
            assert "permission" in d.feed.stats().reason


async def test_a04_a_better_token_ends_the_long_wait() -> None:
    token = Tokens(TOKEN)
    with Exchange(snapshots) as exchange:
        exchange.refuse_socket = 403
        async with desk(exchange.url, NIFTY, token=token) as d:
            await d.until(lambda: FeedState.REFUSED in d.states)
            exchange.refuse_socket = None
            exchange.token = f"{TOKEN}-2"
            token.save(exchange.token)

            async with lateness() as late:
                healed = await d.live()
            assert healed < 0.5 + 2 * late.worst


async def test_a04_a_token_that_was_served_before_is_soon_tried_again() -> None:
    """A connection too many is refused with the same 403, and the lost one may still count."""
    timing = replace(FAST, contested=1.0, backoff_closed=60.0)
    with Exchange(snapshots) as exchange:
        async with desk(exchange.url, NIFTY, timing=timing) as d:
            await d.live()
            exchange.refuse_socket = 403
            d.feed.reconnect("a test")
            await d.until(lambda: FeedState.REFUSED in d.states)
            exchange.refuse_socket = None
            healed = await d.live()

    assert 0.3 < healed < 1.5


async def test_a06_every_dial_has_an_address_of_its_own() -> None:
    with Exchange(first_then(fin)) as exchange:
        async with desk(exchange.url, NIFTY) as d:
            await d.until(lambda: len(exchange.peers) == 2)

    dials = [head.split()[1] for head in exchange.heads if "upgrade: websocket" in head.lower()]
    assert len(set(dials)) == len(dials) == exchange.authorised


async def test_a07_a_redirect_is_not_followed() -> None:
    with Exchange(snapshots) as impostor, Exchange(snapshots) as exchange:
        exchange.refuse_socket = 302
        async with desk(exchange.url, NIFTY) as d:
            await d.until(lambda: FeedState.BACKING_OFF in d.states)

    assert impostor.heads == []


async def test_a_wanted_reconnect_happens_at_once_and_once() -> None:
    with Exchange(snapshots) as exchange:
        async with desk(exchange.url, NIFTY) as d:
            await d.live()
            d.feed.reconnect("the machine slept")
            async with lateness() as late:
                took = await d.until(lambda: len(d.batches) == 2)
            await asyncio.sleep(0.2)

    assert took < 0.3 + 2 * late.worst
    assert len(exchange.peers) == 2
    assert any(change.reason == "the machine slept" for change in d.changes)


async def test_the_wait_is_cut_short_when_the_market_opens() -> None:
    timing = Timing(backoff_base=400.0, backoff_open=0.05, backoff_closed=400.0)
    with Exchange(snapshots) as exchange:
        exchange.replies[AUTHORISE] = failure(503, "UDAPI100500")
        async with desk(exchange.url, timing=timing) as d:
            await d.until(lambda: (d.feed.stats().next_attempt_in or 0) > 1)
            del exchange.replies[AUTHORISE]
            d.feed.want({NIFTY: Mode.LTPC})
            d.feed.expect_prices(True)

            await d.live(within=1)


def hang(seconds: float) -> Callable[[str], Reply]:
    return lambda head: Reply(delay=seconds)


async def test_stop_is_quick_while_the_authorise_call_hangs() -> None:
    with Exchange(snapshots) as exchange:
        exchange.replies[AUTHORISE] = hang(0.8)
        timing = Timing(stop_within=0.2)
        async with desk(exchange.url, NIFTY, timing=timing) as d:
            await d.until(lambda: len(exchange.heads) == 1)
            began = time.monotonic()
            d.feed.stop()

            assert time.monotonic() - began < 0.5
            assert d.feed.stats().state is FeedState.STOPPED


async def test_stop_is_quick_mid_frame_and_during_the_handshake() -> None:
    def stuck(peer: Peer) -> None:
        peer.raw(frame(2, b"x" * 1000)[:100])
        peer.swallow(pong=False)

    with Exchange(stuck) as exchange:
        async with desk(exchange.url, NIFTY) as d:
            await d.until(lambda: len(exchange.peers) == 1)
            await asyncio.sleep(0.1)
            began = time.monotonic()
            d.feed.stop()

            assert time.monotonic() - began < 0.2


async def test_it_can_be_started_again_after_a_stop() -> None:
    with Exchange(snapshots) as exchange:
        async with desk(exchange.url, NIFTY) as d:
            await d.live()
            d.feed.stop()
            await asyncio.sleep(0.02)
            d.feed.start()
            await d.until(lambda: len(d.batches) == 2)

    assert [batch.generation for batch in d.batches] == [1, 2]
    assert d.states[-2:] in ([FeedState.OPEN, FeedState.LIVE], [FeedState.LIVE, FeedState.STOPPED])


async def test_no_secret_is_ever_logged_or_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "feeds")
    with Exchange(first_then(reset)) as exchange:
        async with desk(exchange.url, NIFTY) as d:
            await d.until(lambda: len(exchange.peers) == 2)
            await d.live()
            exchange.replies[AUTHORISE] = failure(400, "UDAPI10000", "bad")
            d.feed.reconnect("again")
            await d.until(lambda: FeedState.REFUSED in d.states)

            told = caplog.text + repr(d.changes) + repr(d.feed.stats())
    assert "canary" not in told
    assert "code=" not in told
