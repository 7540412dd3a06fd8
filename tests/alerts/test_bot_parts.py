"""The pure parts of the bot: who may, what was typed, how it is written, what is asked twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.bot.answer import Answer
from alerts.bot.commands import load
from alerts.bot.guests import Guests, may
from alerts.bot.markup import LIMIT, WIDTH, Table, Text, caption, messages, table, text
from alerts.bot.parsing import Typed, nearest, typed
from alerts.bot.questions import NO, YES, Question, Questions
from alerts.bot.strangers import Strangers
from simulator.telegram_markup import read_text
from tests.alerts.bot_rig import PANEL, person
from tests.trading.scripted import T0
from trading.clock import ManualClock

# who may


def test_a_person_is_known_by_chat_and_user_together() -> None:
    guests = Guests(lambda: [person("owner", 7), person("watcher", 8, -100)], owners=(9,))

    assert guests.find(7, 7) is not None
    assert guests.find(9, 9) is not None
    assert guests.find(-100, 8) is not None
    for chat, user in ((7, 8), (8, 7), (-100, 7), (8, 8), (0, 0)):
        assert guests.find(chat, user) is None


def test_the_settings_rule_over_what_was_paired() -> None:
    guests = Guests(lambda: [person("owner", 7)], watchers=(7, 9), owners=(9,))

    assert [(p.user, p.role) for p in guests.all()] == [(7, "watcher"), (9, "owner")]
    assert guests.has_owner()


def test_on_the_panels_phone_nobody_else_is_there() -> None:
    guests = Guests(lambda: [person("owner", 7)], owners=(9,), panel=PANEL)

    assert guests.all() == [PANEL]
    assert guests.find(7, 7) is None


def test_only_what_reads_is_for_watchers() -> None:
    commands = load()
    watcher = person("watcher")
    reading = {name for name, c in commands.items() if may(watcher, watcher=c.watcher)}

    assert reading == {
        "start", "help", "version", "status", "health", "incidents", "cal", "check", "pos", "pnl",
        "orders", "trades", "q",
    }  # fmt: skip
    assert {name for name, command in commands.items() if command.acts} == {
        "cancel", "exit", "flatten",
    }  # fmt: skip
    assert not reading & {name for name, command in commands.items() if command.acts}
    assert not any(may(None, watcher=command.watcher) for command in commands.values())


def test_an_owner_hears_of_a_stranger_once_an_hour_and_of_a_crowd_not_at_all() -> None:
    strangers = Strangers()

    assert strangers.is_news(1, 0.0)
    assert not strangers.is_news(1, 3_599.0)
    assert strangers.is_news(1, 3_600.0)
    assert sum(strangers.is_news(n, 3_601.0) for n in range(2, 500)) == 9
    assert strangers.heard == 3 + 498


# what was typed


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("/status", Typed("status")),
        ("  /STATUS@Vigil_bot  now ", Typed("status", ("now",))),
        ("/status@other_bot", None),
        ("/x 1", Typed("exit", ("1",))),
        ("/f", Typed("flatten")),
        ("/q nifty\n24000ce", Typed("q", ("nifty", "24000ce"))),
        ("status", None),
        ("", None),
        ("/", Typed("")),
    ],
)
def test_what_is_a_command(said: str, found: Typed | None) -> None:
    assert typed(said, "vigil_bot") == found


def test_the_nearest_command() -> None:
    assert nearest("flaten", load()) == "flatten"
    assert nearest("zzzzzz", load()) == ""


# how it is written


@given(
    title=st.text(max_size=700),
    lines=st.lists(st.tuples(st.text(max_size=1_500), st.booleans()), max_size=12),
)
def test_any_words_are_markup_that_telegram_takes(
    title: str, lines: list[tuple[str, bool]]
) -> None:
    blocks = [Table((line,)) if tabular else Text((line,)) for line, tabular in lines]

    for markup in (True, False):
        for part in messages(title, blocks, markup=markup):
            assert len(part.encode("utf-16-le")) // 2 <= LIMIT
            read = read_text(part, "HTML" if markup else "")
            assert len(read) <= LIMIT
            assert {e.kind for e in read.entities} <= {"bold", "pre"}


def test_nothing_is_lost_where_a_message_is_split() -> None:
    lines = tuple(f"line {n} <&>" for n in range(1_000))

    parts = messages("title", [text(*lines)])

    assert len(parts) > 3
    joined = "\n".join(read_text(part, "HTML").plain for part in parts)
    assert joined == "\n".join(["title", *lines])


def test_a_table_is_as_wide_as_a_phone() -> None:
    made = table([["24000 CE", "-2", "1,120.00"], ["x" * 40, "+10", "-5.00"]], right=(1, 2))
    short = table([["open", "09:15"], ["x", "1"]], right=(1,))

    assert all(len(line) <= WIDTH for line in made.lines)
    assert short.lines == ("open 09:15", "x        1")
    assert messages("t", [short]) == ["<b>t</b>\n<pre>open 09:15\nx        1</pre>"]


def test_a_caption_has_as_many_lines_as_fit() -> None:
    said = caption("<t>", ["&" * 50] * 10)

    assert said == "<b>&lt;t&gt;</b>" + ("\n" + "&amp;" * 50) * 4


# what is asked twice


async def nothing(token: str) -> Answer:
    return Answer(token)


def asked(facts: list[int]) -> Question:
    return Question(1, 1, "flatten 3 positions", lambda: tuple(facts), nothing)


def test_a_question_is_answered_once() -> None:
    questions = Questions(ManualClock(T0), draw=lambda: "00c0ffee")
    question = asked([1])
    token = questions.ask(question)

    assert questions.take(token, YES, 1, 1) is question
    assert questions.take(token, YES, 1, 1) == "already done: flatten 3 positions"
    assert questions.take(token, NO, 1, 1) == "already done: flatten 3 positions"


def test_a_question_is_for_who_was_asked_and_guesses_find_nothing() -> None:
    questions = Questions(ManualClock(T0))
    token = questions.ask(asked([1]))

    assert len(token) == 8
    assert "is over" in str(questions.take(token, YES, 1, 2))
    assert "is over" in str(questions.take(token, YES, 2, 1))
    assert "is over" in str(questions.take("00000000", YES, 1, 1))
    assert isinstance(questions.take(token, YES, 1, 1), Question)


def test_too_late_and_changed_facts_end_a_question() -> None:
    clock, facts = ManualClock(T0), [1]
    questions = Questions(clock)
    late, changed, fresh = (questions.ask(asked(facts)) for _ in range(3))
    clock.advance(30.0)
    assert isinstance(questions.take(fresh, YES, 1, 1), Question)
    facts[0] = 2
    assert "Position changed, ask again" in str(questions.take(changed, YES, 1, 1))
    facts[0] = 1
    assert "Cancelled already" in str(questions.take(changed, YES, 1, 1))
    clock.advance(0.1)
    assert "Too late" in str(questions.take(late, YES, 1, 1))


def test_what_is_remembered_is_bounded() -> None:
    questions = Questions(ManualClock(T0))
    first = questions.ask(asked([1]))
    for _ in range(200):
        questions.ask(asked([1]))

    assert "is over" in str(questions.take(first, YES, 1, 1))
