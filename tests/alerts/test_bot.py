"""The bot as a person meets it: the real library, real HTTP, and a stand-in of Telegram."""

import asyncio
import logging
import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from alerts.bot.commands import load
from simulator.telegram_chat import GROUP, OWNER, STRANGER, TOKEN, Chats
from tests.alerts.bot_rig import person, talking, until
from tests.dashboard.dealing import deal, read
from tests.dashboard.fakes import CALL, NIFTY, PUT
from tests.dashboard.scripted_watch import feed_incident, script
from trading.errors import Refused
from trading.orders import ReadFailed


async def test_status_is_answered_within_a_second_and_says_whose_world_it_is() -> None:
    async with talking() as rig:
        rig.prices([NIFTY])
        await read(rig.desk)
        await rig.asks("/version")  # the first answer waits for the sign-on
        began = time.monotonic()
        answer = await rig.asks("/status")
        took = time.monotonic() - began

    said = answer.text.plain
    assert took < 1.0
    assert said.startswith("🟣 SIM STATUS  CAN TRADE\n")
    assert "0 positions open, 0 orders working" in said
    assert "Day P&L ₹0.00" in said
    assert "last price 0.0 s ago, simulated" in said
    assert "Market open until 15:30:00 IST" in said


async def test_before_the_books_are_read_nothing_is_said_of_what_is_held() -> None:
    """Three positions may be open at the broker: `0 open` would be believed."""
    async with talking() as rig:
        said = {
            name: (await rig.asks(f"/{name}")).text.plain
            for name in ("status", "pos", "orders", "pnl", "trades", "flatten", "cancel all")
        }

    for name, words in said.items():
        assert "the books of main have not been read yet" in words, name
        for guess in ("0 open", "0 positions", "0 orders", "Nothing"):
            assert guess not in words, (name, words)


async def test_an_outage_of_the_books_is_said_wherever_what_is_held_is() -> None:
    async with talking() as rig:
        await read(rig.desk)
        failed = ReadFailed("main", "positions: status 503", rig.clock.now())
        rig.desk.positions.on_read_failed(failed)
        said = [(await rig.asks(name)).text.plain for name in ("/pos", "/orders", "/flatten")]

    for words in said:
        assert "the books of main were last read at" in words
        assert "positions: status 503" in words


async def test_a_crowd_of_strangers_does_not_drown_what_the_owner_says() -> None:
    async with talking() as rig:
        await rig.asks("/version")

        def crowd(chats: Chats) -> int:
            for _ in range(60):
                chats.say("let me in 123456", sender=STRANGER)
            return chats.say("/status").number

        number = await rig.phone(crowd)
        answer = await rig.hears(lambda m: m.number > number)

    assert "STATUS" in answer.text.plain


@pytest.mark.parametrize("name", sorted(load()))
async def test_every_command_answers_an_empty_desk(name: str) -> None:
    async with talking() as rig:
        answer = await rig.asks(f"/{name}")

    said = answer.text.plain
    assert said.startswith("🟣 SIM ")
    assert "FAILED" not in said
    for unknown in ("None ", "nan", "0.00\n"):
        assert unknown not in said


async def test_an_unknown_command_names_the_nearest_one() -> None:
    async with talking() as rig:
        near = await rig.asks("/statsu")
        far = await rig.asks("/qqqqqqqq")

    assert "There is no /statsu. Did you mean /status?" in near.text.plain
    assert "/help" in far.text.plain


async def test_start_brings_the_keys_and_the_menu_of_this_chat_only() -> None:
    async with talking() as rig:
        answer = await rig.asks("/start")
        chats = rig.exchange.telegram

        assert "You are Owner, owner: you may do everything." in answer.text.plain
        assert ("/status", "/pos", "/pnl") in chats.chats[OWNER].keyboard
        assert not any("flatten" in key for row in chats.chats[OWNER].keyboard for key in row)
        assert list(chats.menu) == [f"chat {OWNER}"]


async def test_a_mute_says_what_still_comes() -> None:
    """A key that was named is silent altogether, a component only below critical."""
    async with talking() as rig:
        script(rig.room).journal.add_incident(feed_incident(rig.clock))
        key = (await rig.asks("/mute 1h no_prices")).text.plain
        component = (await rig.asks("/mute 1h market feed")).text.plain
        unknown = (await rig.asks("/ack A999")).text.plain

    assert "no_prices: silent for 1 h, what is critical of it too" in key
    assert "market feed: silent for 1 h, but what is critical still comes" in component
    assert "No alert of that number waits" in unknown


async def test_an_estimate_of_missed_ticks_says_that_it_is_one() -> None:
    async with talking() as rig:
        script(rig.room).journal.add_incident(feed_incident(rig.clock, ended=True))
        said = (await rig.asks("/incidents")).text.plain

    assert "lasted 7 s, about 1,780 ticks missed" in said


# who may


async def test_a_strangers_message_has_no_answer_no_effect_and_one_line_for_the_owner() -> None:
    async with talking() as rig:
        await deal(rig.desk, 75, 100.0)
        for text in ("/start", "/flatten", "/status", "hello", "123456"):
            await rig.say(text, sender=STRANGER)
        await rig.asks("/version")  # everything before it was dealt with

        assert rig.chat(STRANGER) == []
        assert rig.calls("sendMessage") == 1
        assert [a.title for a in rig.told] == ["A stranger spoke to the bot: Stranger (user 6006)"]
        assert (rig.told[0].kind, rig.told[0].mode) == ("stranger", "SIMULATED")
        assert len(rig.broker.sent) == 1

        rig.clock.advance(3_601)
        await rig.say("/start", sender=STRANGER)
        await until(lambda: len(rig.told) == 2, what="the line of the next hour")


async def test_a_strangers_button_has_no_effect() -> None:
    async with talking() as rig:
        await deal(rig.desk, 75, 100.0)
        await read(rig.desk)
        question = await rig.asks("/flatten")
        await rig.press(question, "Flatten", sender=STRANGER)
        await until(lambda: rig.told, what="the line about the stranger")
        await rig.asks("/version")

        assert len(rig.broker.sent) == 1
        assert rig.calls("answerCallbackQuery") == 0
        assert rig.calls("editMessageText") == 0


async def test_in_a_group_the_user_counts_and_not_the_chat() -> None:
    async with talking(people=[person("owner", OWNER, GROUP)]) as rig:
        await rig.say("/status", sender=STRANGER, chat=GROUP)
        await until(lambda: rig.told, what="the line about the stranger")
        assert rig.chat(GROUP) == []

        answer = await rig.asks("/status", chat=GROUP)
        assert "STATUS" in answer.text.plain

        await rig.say("/status")  # the same user in a chat that was not paired
        await rig.asks("/version", chat=GROUP)
        assert rig.chat(OWNER) == []


async def test_a_watcher_reads_and_does_nothing_else() -> None:
    async with talking(people=[person("watcher")], commands=True) as rig:
        await deal(rig.desk, 75, 100.0)
        assert "STATUS" in (await rig.asks("/status")).text.plain
        for text in ("/flatten", "/ack", "/reconnect", "/cancel all", "/exit 1"):
            refused = await rig.asks(text)
            assert "is for the owner: you may read. Nothing was done." in refused.text.plain
        assert len(rig.broker.sent) == 1
        known = {name for name, _ in rig.exchange.telegram.menu[f"chat {OWNER}"]}
        assert "status" in known
        assert "flatten" not in known


async def test_a_forwarded_command_is_refused() -> None:
    async with talking() as rig:
        await deal(rig.desk, 75, 100.0)
        refused = await rig.asks("/flatten", forwarded=True)

    assert "Forwarded messages are not obeyed" in refused.text.plain
    assert refused.keys == ()


# old commands


async def test_what_was_written_while_the_desk_was_down_is_not_done() -> None:
    async with talking(start=False) as rig:
        await deal(rig.desk, 75, 100.0)
        for text in ("/flatten", "/cancel all", "/status"):
            await rig.say(text, age=3_600)
        rig.bot.start()
        answer = await rig.hears(lambda m: "Too old" in m.text.plain)
        await rig.asks("/version")

        assert "nothing was done. Send again what still holds." in answer.text.plain
        assert len(rig.chat()) == 2  # one word for all of them
        assert len(rig.broker.sent) == 1


async def test_only_what_a_person_wrote_is_the_last_message_heard() -> None:
    async with talking() as rig:
        await until(lambda: rig.calls("getUpdates") > 2)
        assert (rig.bot.health().state, rig.bot.health().last_sent) == ("ok", None)
        await rig.asks("/version")
        assert rig.bot.health().last_sent == rig.clock.now()


async def test_a_command_is_too_old_after_half_a_minute() -> None:
    began = datetime.now(UTC) - timedelta(hours=1)
    times = [began]
    async with talking(wall=lambda: times[0]) as rig:
        await rig.asks("/version", age=3_590)
        times[0] = datetime.now(UTC)
        fresh = await rig.asks("/status", age=28)
        times[0] = datetime.now(UTC)
        old = await rig.asks("/status", age=34)

    assert "STATUS" in fresh.text.plain
    assert re.search(r"Too old \(3[0-5] s\)", old.text.plain)


async def test_a_button_pressed_while_the_desk_was_down_is_not_done() -> None:
    async with talking() as rig:
        await deal(rig.desk, 75, 100.0)
        await read(rig.desk)
        question = await rig.asks("/flatten")
        await rig.bot.stop()
        await rig.press(question, "Flatten")
        rig.bot.start()
        await until(lambda: rig.calls("answerCallbackQuery"), what="the answer to the press")
        await rig.asks("/version")

        assert "Too old" in rig.exchange.telegram.chats[OWNER].messages[question.number].notice
        assert len(rig.broker.sent) == 1


# hostile text


async def test_markup_in_a_name_arrives_as_it_is() -> None:
    async with talking() as rig:
        answer = await rig.asks("/q <b>_*[x](http://a)`&amp; ' \" </b><script>")

    assert "<b>_*[x](http://a)`&amp; ' \" </b><script>" in answer.text.plain


async def test_five_thousand_characters_are_dealt_with() -> None:
    async with talking() as rig:
        answer = await rig.asks("/q " + "M&M <" * 1_000)
        unknown = await rig.asks("/" + "x" * 4_999)

    assert "Nothing on the list is" in answer.text.plain
    assert "There is no /xxxx" in unknown.text.plain


async def test_an_answer_that_telegram_cannot_read_is_sent_as_plain_words() -> None:
    async with talking() as rig:
        await rig.asks("/version")
        rig.exchange.faults.set("telegram_bad_request")
        answer = await rig.asks("/status")

    assert answer.text.entities == ()
    assert "STATUS" in answer.text.plain


# trouble


async def test_no_network_at_start_delays_nothing_and_the_bot_comes_when_it_is_there() -> None:
    async with talking(start=False) as rig:
        rig.exchange.faults.set("telegram_down")
        assert rig.bot.health().state == "off"
        began = time.monotonic()
        rig.bot.start()
        assert time.monotonic() - began < 0.5  # it waits for no try
        assert rig.bot.health().state == "waiting"
        await until(lambda: rig.bot.health().state == "down")
        assert rig.bot.health().next_attempt is not None
        rig.exchange.faults.clear()
        assert "VERSION" in (await rig.asks("/version")).text.plain
        assert (rig.bot.health().state, rig.bot.health().reason) == ("ok", "")


async def test_a_revoked_token_is_said_and_survived() -> None:
    async with talking() as rig:
        await rig.asks("/version")
        rig.exchange.faults.set("telegram_revoked")
        await until(lambda: rig.bot.health().state == "down")
        assert "make a new token with @BotFather" in rig.bot.health().reason
        before = rig.calls("getUpdates")
        await asyncio.sleep(0.15)
        assert rig.calls("getUpdates") == before  # not asked again before its time
        rig.exchange.faults.clear()
        assert "STATUS" in (await rig.asks("/status")).text.plain


async def test_two_processes_on_one_token_are_told_and_sending_goes_on() -> None:
    async with talking() as rig:
        await rig.asks("/version")
        rig.exchange.faults.set("telegram_other_poller")
        await until(lambda: rig.bot.health().state == "contested")
        assert "another process listens with the same bot token" in rig.bot.health().reason
        sent = await rig.wire.api.send_message(OWNER, "an alert")
        assert sent.text == "an alert"
        rig.exchange.faults.clear()
        await until(lambda: rig.bot.health().state == "ok")


async def test_a_page_in_telegrams_place_is_not_taken_for_a_wrong_token() -> None:
    async with talking() as rig:
        await rig.asks("/version")
        rig.exchange.faults.set("telegram_bad_gateway")
        await until(lambda: rig.bot.health().state == "down")
        assert "trouble" in rig.bot.health().reason
        rig.exchange.faults.clear()
        assert "STATUS" in (await rig.asks("/status")).text.plain


@pytest.mark.parametrize("fault", ["", "telegram_down", "telegram_slow", "telegram_hang"])
async def test_a_stop_takes_no_more_than_two_seconds(fault: str) -> None:
    async with talking() as rig:
        await rig.asks("/version")
        if fault:
            rig.exchange.faults.set(fault)
            await rig.say("/status")
            await asyncio.sleep(0.1)
        began = time.monotonic()
        await rig.bot.stop()
        await rig.wire.close()
        assert time.monotonic() - began < 2.0


async def test_nothing_is_done_twice_after_a_restart() -> None:
    async with talking() as rig:
        await rig.asks("/version")
        before = len(rig.chat())
        await rig.bot.stop()
        rig.bot.start()
        await rig.asks("/status")
        assert len(rig.chat()) == before + 1


async def test_the_token_is_in_no_word_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore"):  # as alerts.logs does
        caplog.set_level(logging.WARNING, logger=name)
    async with talking() as rig:
        await rig.asks("/version")
        for fault in ("telegram_revoked", "telegram_bad_gateway", "telegram_down"):
            rig.exchange.faults.set(fault)
            await until(lambda: rig.bot.health().state == "down")
            assert TOKEN not in rig.bot.health().reason
            await rig.say("/status")
            rig.exchange.faults.clear()
            await until(lambda: rig.bot.health().state == "ok")

    assert "Telegram commands" in caplog.text
    assert TOKEN not in caplog.text
    assert all(TOKEN not in m.text.plain for m in rig.chat())


async def test_the_way_to_telegram_and_back_is_tried_for_the_checklist() -> None:
    async with talking(start=False) as rig:
        assert await rig.bot.round_trip() == "@vigil_simulated_bot"
        rig.exchange.faults.set("telegram_revoked")
        with pytest.raises(Refused, match="make a new token"):
            await rig.bot.round_trip()


# pairing


async def test_a_new_phone_comes_in_by_the_code_and_the_first_is_the_owner() -> None:
    async with talking(people=[]) as rig:
        code = rig.pairing.open().code
        welcome = await rig.asks(f"/start {code}", sender=STRANGER)

        assert "owner: you may do everything" in welcome.text.plain
        assert [(p.chat, p.user, p.role) for p in rig.people.known] == [
            (STRANGER, STRANGER, "owner")
        ]
        assert rig.pairing.code() is None
        assert "STATUS" in (await rig.asks("/status", sender=STRANGER)).text.plain
        await until(lambda: any("came in as owner" in a.title for a in rig.told))

        await rig.say(code, sender=OWNER)  # it was for one use
        code = rig.pairing.open().code
        second = await rig.asks(code, sender=OWNER)
        assert "watcher: you may read" in second.text.plain


async def test_a_wrong_code_is_met_with_silence_and_the_fifth_closes_it() -> None:
    async with talking(people=[]) as rig:
        code = rig.pairing.open().code
        wrong = f"{(int(code) + 1) % 1_000_000:06d}"
        for _ in range(5):
            await rig.say(wrong, sender=STRANGER)
        await until(lambda: rig.pairing.code() is None)
        await rig.say(code, sender=STRANGER)
        await asyncio.sleep(0.3)

        assert rig.people.known == []
        assert rig.chat(STRANGER) == []
        assert "closed after 5 wrong codes" in rig.pairing.state


# reading


async def test_positions_show_price_age_source_and_what_is_missing() -> None:
    async with talking() as rig:
        await deal(rig.desk, -150, 140.0)
        await deal(rig.desk, 75, 60.0, key=PUT)
        await read(rig.desk)
        rig.prices([CALL])
        answer = await rig.asks("/pos")

    said = answer.text.plain
    assert "1. NIFTY 27 NOV 24000 CE\n   short 2 lots (150) at 140.00, intraday" in said
    assert "0.0 s old, simulated" in said
    assert "2. NIFTY 27 NOV 24000 PE\n   long 1 lot (75) at 60.00, intraday\n   — no price" in said
    assert "✖ not all of it" in said


async def test_pnl_comes_with_its_picture() -> None:
    async with talking() as rig:
        await deal(rig.desk, -75, 140.0)
        await read(rig.desk)
        rig.prices([CALL])
        answer = await rig.asks("/pnl")

    assert answer.picture is not None
    assert (answer.picture.width, answer.picture.height) == (800, 420)
    assert answer.text.plain.startswith("🟣 SIM P&L  today\nDay P&L ")
    assert "Charges about ₹" in answer.text.plain


async def test_a_quote_of_what_nobody_watches_is_fetched_for_the_moment() -> None:
    async with talking() as rig:
        task = asyncio.create_task(rig.asks("/q nifty 24000ce"))
        await until(lambda: CALL in rig.desk.subscriptions.wanted().modes)
        rig.prices([CALL])
        answer = await task

        assert "QUOTE  NIFTY 27 NOV 24000 CE" in answer.text.plain
        assert "0.0 s old, simulated" in answer.text.plain
        assert CALL not in rig.desk.subscriptions.wanted().modes
