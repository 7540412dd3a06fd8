"""What is folded into one line, and that what is critical never is."""

from collections.abc import Collection
from datetime import timedelta

from alerts.digest import FILLED, REJECTED, Plan, plan, summary
from tests.alerts.scripted_channel import alert
from tests.alerts.timeline import NOON
from trading.health import Alert, Component, Occasion, Severity
from trading.health_ports import Letter, LetterState

INFO, WARNING, CRITICAL = Severity


def letters(*alerts: Alert, held: timedelta = timedelta()) -> list[Letter]:
    """Queue alerts in the order of the port: critical ones first."""
    found = [
        Letter(told.id, "telegram", told, told.at + held, False, LetterState.QUEUED)
        for told in alerts
    ]
    return sorted(found, key=lambda m: (m.alert.severity < CRITICAL, m.number))


def chosen(
    *alerts: Alert,
    now: int = 0,
    room: Collection[Severity] = tuple(Severity),
    storm_line: bool = True,
) -> Plan:
    moment = NOON + timedelta(seconds=now)
    return plan(letters(*alerts), moment, room=room, storm_line=storm_line)


def fill(number: int, *, seconds: int = 0) -> Alert:
    return alert(
        f"{FILLED}  SELL 2 lots", INFO, Occasion.EVENT, key=f"vig-{number}", id=number,
        kind="order", at=NOON + timedelta(seconds=seconds),
    )  # fmt: skip


def feed(number: int, occasion: Occasion, *, seconds: int, incident: int = 5) -> Alert:
    return alert(
        f"FEED {occasion}", WARNING, occasion, id=number, incident=incident,
        at=NOON + timedelta(seconds=seconds),
    )  # fmt: skip


def test_what_is_critical_goes_first_alone_and_oldest_first() -> None:
    first = alert("ONE", CRITICAL, key="1", id=2)
    plan_ = chosen(alert("INFO", INFO, key="i", id=1), first, alert("TWO", CRITICAL, key="2", id=3))

    assert plan_.parcel is not None
    assert plan_.parcel.letter.alert == first
    assert not plan_.parcel.is_digest


def test_after_an_absence_everything_else_is_one_line() -> None:
    waited = (
        fill(1),
        feed(2, Occasion.BEGIN, seconds=10),
        feed(3, Occasion.END, seconds=52),
        fill(4),
        fill(6),
    )

    parcel = chosen(*waited, now=700).parcel

    assert parcel is not None
    told = parcel.letter.alert
    assert told.title == "Sent late: 3 fills, 1 market feed incident (42 s)"
    assert len(parcel.covers) == 5
    assert told.lines[0] == "12:00:00 ✅ FILLED  SELL 2 lots"
    assert told.is_mock


def test_an_absence_never_folds_what_is_critical_and_sends_it_before_the_line() -> None:
    waited = (fill(1), fill(2), alert("NAKED LEG", CRITICAL, key="b", id=3))

    parcel = chosen(*waited, now=7200).parcel

    assert parcel is not None
    assert [m.alert.title for m in parcel.covers] == ["NAKED LEG"]


def test_what_was_held_for_the_morning_says_so() -> None:
    held = letters(fill(1), fill(2), held=timedelta(hours=8))

    parcel = plan(held, NOON + timedelta(hours=8), room=tuple(Severity), storm_line=True).parcel

    assert parcel is not None
    assert parcel.letter.alert.title == "From your quiet hours: 2 fills"


def test_one_late_message_is_sent_as_it_is() -> None:
    parcel = chosen(fill(1), now=3600).parcel

    assert parcel is not None
    assert parcel.letter.alert == fill(1)


def test_a_matter_that_went_on_is_told_once_by_its_last_word() -> None:
    begin, end = feed(1, Occasion.BEGIN, seconds=0), feed(2, Occasion.END, seconds=3)

    plan_ = chosen(begin, end, fill(3), now=5)

    assert [m.alert for m in plan_.superseded] == [begin]
    assert plan_.parcel is not None
    assert plan_.parcel.letter.alert == end


def test_a_critical_word_is_never_superseded_and_supersedes() -> None:
    begin = feed(1, Occasion.BEGIN, seconds=0)
    worse = alert("BLIND", CRITICAL, Occasion.ESCALATE, id=2)
    end = feed(3, Occasion.END, seconds=3)

    assert [m.alert.id for m in chosen(begin, worse).superseded] == [1]
    assert [m.alert.id for m in chosen(begin, worse, end).superseded] == [1]


def test_a_storm_is_one_line_and_then_silence_until_there_is_room() -> None:
    many = tuple(fill(number) for number in range(1, 38))

    line = chosen(*many, room=())
    assert line.parcel is not None
    assert line.parcel.letter.alert.title == "37 more in the app: 37 fills"
    assert line.is_storm
    assert chosen(*many, room=(), storm_line=False).parcel is None

    critical = alert("NAKED LEG", CRITICAL, key="b", id=99)
    passes = chosen(*many, critical, room=(), storm_line=False).parcel
    assert passes is not None
    assert passes.letter.alert == critical


def test_the_line_names_what_is_open_and_shows_the_gravest() -> None:
    alerts = [fill(number) for number in range(1, 12)]
    alerts.append(alert(f"{REJECTED}  BUY 1 lot", WARNING, key="r", id=12, kind="order"))
    alerts.append(feed(13, Occasion.BEGIN, seconds=0))
    alerts.append(alert("DISK", WARNING, key="disk", id=14, component=Component.STORAGE))

    assert summary(alerts) == (
        "11 fills, 1 rejected order, 1 market feed incident (not over), "
        "1 storage incident (not over)"
    )
    parcel = chosen(*alerts, now=700).parcel
    assert parcel is not None
    lines = parcel.letter.alert.lines
    assert len(lines) == 9
    assert any("REJECTED" in line for line in lines)
    assert lines[-1] == "and 6 more, all of them in the app"
    assert parcel.letter.alert.severity is WARNING


def test_many_fills_hold_up_no_warning() -> None:
    """Five hundred fills had used up the messages of ten minutes, and a silent feed waited."""
    many = [fill(n) for n in range(1, 6)]
    warning = feed(9, Occasion.BEGIN, seconds=1)

    told = chosen(*many, warning, room=(WARNING,), storm_line=False).parcel

    assert told is not None
    assert told.letter.alert == warning
    assert not told.is_digest
