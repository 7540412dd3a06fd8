"""The soak's checker finds what is wrong, and nothing where all is well."""

from collections.abc import Sequence
from itertools import islice

from simulator.faults import parse
from tests.soak.checker import (
    PRICES,
    Arrival,
    Lasted,
    Minute,
    Pace,
    Post,
    Sample,
    Sent,
    Span,
    Stored,
    Told,
    false_alarms,
    joined,
    lost_ticks,
    never_mended,
    not_flat,
    silences,
    slope,
    undelivered,
    unknown_ticks,
    unnoticed,
    wrong_candles,
    wrong_gaps,
    wrong_story,
)
from tests.soak.nemesis import DECK, dealt

PACE = Pace(speed=10.0, stall=2.0)  # a second of the exchange is 100 ms
T = 1_800_000_000_000 - 1_800_000_000_000 % 60_000
KEY = "NSE_EQ|A"
HELD = frozenset({KEY})


def sent(at: int, ltp: float = 100.0, *, ltt: int | None = None, priced: bool = True) -> Sent:
    return Sent(1, KEY, T + at, T + (at if ltt is None else ltt), ltp, 1, priced)


def kept(row: Sent, after: int = 5) -> Stored:
    return Stored(row.key, row.at, row.ltt, row.ltp, row.at + after)


def stream(until: int, *, without: Sequence[Span] = ()) -> list[Sent]:
    """A price every 200 ms of the exchange's time, but for some spans."""
    return [
        sent(at, 100 + at / 1000)
        for at in range(0, until, 200)
        if not any(s.start <= at < s.end for s in without)
    ]


# ticks


def test_a_tick_twice_or_one_that_was_never_sent_is_found() -> None:
    rows = stream(2_000)
    assert unknown_ticks([kept(row) for row in rows], rows) == []
    assert len(unknown_ticks([kept(rows[0]), kept(rows[0])], rows)) == 1
    assert len(unknown_ticks([kept(sent(77))], rows)) == 2  # neither its frame nor its trade
    other_price = kept(rows[3])._replace(ltp=1.0)
    assert "no trade" in unknown_ticks([other_price], rows)[0]


def test_a_tick_without_a_price_of_its_own_may_repeat_the_price_before() -> None:
    first, book = sent(0, 101.0), sent(200, 0.0, priced=False)
    stored = [kept(first), Stored(KEY, book.at, first.ltt, 101.0, book.at)]
    assert unknown_ticks(stored, [first, book]) == []


def test_a_lost_trade_is_found_unless_the_gap_ledger_has_it() -> None:
    rows = stream(60_000)
    stored = [kept(row) for row in rows if not 20_000 <= row.at - T < 40_000]
    assert len(lost_ticks(rows, stored, [], PACE, HELD)) == 100
    gap = Span(T + 20_000, T + 40_000)
    assert lost_ticks(rows, stored, [gap], PACE, HELD) == []
    short = Span(T + 20_000, T + 28_000)  # 10 s of the exchange are one second of slack
    assert len(lost_ticks(rows, stored, [short], PACE, HELD)) == 9


def test_a_trade_that_was_told_again_after_the_gap_is_not_lost() -> None:
    lost, again = sent(0, 101.0), sent(90_000, 101.0, ltt=0)
    assert lost_ticks([lost, again], [kept(again)], [], PACE, HELD) == []


def test_the_last_word_of_what_a_page_let_go_is_not_lost() -> None:
    rows = stream(60_000)
    assert lost_ticks(rows, [kept(row) for row in rows[:-1]], [], PACE, frozenset()) == []
    assert len(lost_ticks(rows, [kept(row) for row in rows[:-1]], [], PACE, HELD)) == 1
    assert len(lost_ticks(rows, [kept(row) for row in rows[1:]], [], PACE, frozenset())) == 1


# candles


def minute(**changes: float) -> Minute:
    values = {"open": 100.0, "high": 103.0, "low": 100.0, "close": 102.0, **changes}
    return Minute(KEY, T, *values.values(), True)  # type: ignore[arg-type]


def test_a_whole_minute_is_what_was_sent_or_what_the_exchange_says() -> None:
    rows = [sent(100, 100.0), sent(900, 103.0), sent(50_000, 102.0)]
    assert wrong_candles([minute()], rows, {}, since=T) == []
    assert len(wrong_candles([minute(high=103.5)], rows, {}, since=T)) == 1
    history = {(KEY, T): minute(high=103.5)}
    assert wrong_candles([minute(high=103.5)], rows, history, since=T) == []
    assert len(wrong_candles([minute()], rows, {}, since=T + 1)) == 1  # from before we came
    partly = minute(high=999.0)._replace(complete=False)
    assert wrong_candles([partly], rows, {}, since=T) == []


def test_of_trades_in_one_millisecond_any_may_be_the_last() -> None:
    rows = [sent(100, 100.0), sent(900, 103.0), sent(900, 101.0)]
    for close in (103.0, 101.0):
        assert wrong_candles([minute(close=close)], rows, {}, since=T) == []


# silences and gaps

SILENT = Span(T + 100_000, T + 140_000)  # four real seconds


def test_a_silence_is_found_with_its_length_and_its_edges() -> None:
    rows = stream(200_000, without=[Span(100_000, 140_000)])
    session = Span(T, T + 200_000)
    [found] = silences(rows, session, PACE, 3.0)
    assert (found.start, found.end) == (T + 99_800, T + 140_000)
    assert silences(rows, session, PACE, 5.0) == []
    [at_the_end] = silences(rows[:500], Span(T, T + 140_000), PACE, 3.0)
    assert at_the_end.end == T + 140_000


def test_a_silence_without_a_gap_and_a_gap_without_a_silence_are_found() -> None:
    rows = stream(200_000, without=[Span(100_000, 140_000)])
    stored = [kept(row) for row in rows]
    assert wrong_gaps([SILENT], [SILENT], rows, stored, PACE) == []
    late = Span(SILENT.start + 9_000, SILENT.end - 9_000)
    assert wrong_gaps([late], [SILENT], rows, stored, PACE) == []
    too_late = Span(SILENT.start + 11_000, SILENT.end)
    assert len(wrong_gaps([too_late], [SILENT], rows, stored, PACE)) == 1
    assert len(wrong_gaps([], [SILENT], rows, stored, PACE)) == 1
    too_long = Span(SILENT.start - 30_000, SILENT.end)
    [words] = wrong_gaps([too_long], [SILENT], rows, stored, PACE)
    assert "prices came in it" in words
    snapshots = [row._replace(initial=True) for row in rows]
    assert wrong_gaps([too_long], [SILENT], snapshots, stored, PACE) == []


def test_two_gaps_with_a_moment_between_them_hold_one_silence() -> None:
    halves = [Span(T + 100_000, T + 118_000), Span(T + 119_000, T + 140_000)]
    assert wrong_gaps(halves, [SILENT], [], [], PACE) == []
    assert joined([Span(0, 10), Span(30, 40), Span(12, 20)], 5) == [Span(0, 20), Span(30, 40)]


def test_a_silence_that_nobody_noticed_is_found() -> None:
    fits = Lasted(1, "no_prices", SILENT.start + 20_000, SILENT.end)
    assert unnoticed([SILENT], [fits], PRICES, PACE) == []
    for other in (
        Lasted(1, "no_prices", T, T + 1_000),
        Lasted(1, "books_unread main", SILENT.start, SILENT.end),
    ):
        assert len(unnoticed([SILENT], [other], PRICES, PACE)) == 1


def test_a_feed_that_does_not_come_back_is_found() -> None:
    assert never_mended([SILENT], 4.0, PACE) == []
    assert len(never_mended([SILENT], 3.9, PACE)) == 1


# alerts


def told(number: int, occasion: str, *, key: str = "no_prices", severity: int = 2) -> Told:
    return Told(number, key, occasion, severity, "health", T + number, 1)


WHOLE = [told(1, "begin"), told(2, "escalate", severity=3), told(3, "end", severity=1)]
OVER = [Lasted(1, "no_prices", T, T + 3)]


def test_a_matter_begins_once_and_ends_once() -> None:
    assert wrong_story(WHOLE, OVER) == []
    assert wrong_story([*WHOLE, Told(9, "order x", "event", 1, "order", T, None)], OVER) == []
    assert len(wrong_story(WHOLE[:2], OVER)) == 2  # the matter, and its incident
    assert len(wrong_story([WHOLE[0], told(2, "begin"), WHOLE[2]], OVER)) == 2
    assert len(wrong_story(WHOLE[1:], OVER)) == 2
    flapped = [OVER[0]._replace(flaps=2)]
    twice = [*WHOLE, *(row._replace(number=n) for n, row in enumerate(WHOLE, 11))]
    assert (wrong_story(twice, flapped), len(wrong_story(twice, OVER))) == ([], 1)
    still_open = [Lasted(1, "no_prices", T, None)]
    assert "still open" in wrong_story(WHOLE, still_open)[0]


def test_an_alarm_in_a_calm_moment_is_found() -> None:
    assert len(false_alarms(WHOLE, [Span(T, T + 10)])) == 1
    assert false_alarms(WHOLE, [Span(T + 2, T + 10)]) == []
    assert false_alarms([told(1, "begin", key="loop_lag")], [Span(T, T + 10)]) == []


LETTERS = [Post(n, "telegram", "sent", 1, "") for n in (1, 2, 3)]
PHONE = [Arrival("sendMessage", n, f"something\nA{n} · 10:00 IST") for n in (1, 2, 3)]


def test_alerts_that_did_not_arrive_are_found() -> None:
    assert undelivered(WHOLE, LETTERS, PHONE, "telegram", until=T) == []
    assert "no letter" in undelivered(WHOLE, LETTERS[:2], PHONE, "telegram", until=T)[0]
    assert "not on the phone" in undelivered(WHOLE, LETTERS, PHONE[1:], "telegram", until=T)[0]
    folded = [LETTERS[0]._replace(state="folded"), *LETTERS[1:]]
    assert undelivered(WHOLE, folded, PHONE[1:], "telegram", until=T) == []
    critical = [LETTERS[0], LETTERS[1]._replace(state="folded"), LETTERS[2]]
    assert "is critical" in undelivered(WHOLE, critical, PHONE, "telegram", until=T)[0]
    parked = [LETTERS[0]._replace(state="parked"), *LETTERS[1:]]
    assert "parked" in undelivered(WHOLE, parked, PHONE, "telegram", until=T)[0]
    waits = [LETTERS[0]._replace(state="queued", not_before=T + 1), *LETTERS[1:]]
    assert undelivered(WHOLE, waits, PHONE, "telegram", until=T) == []
    assert "queued" in undelivered(WHOLE, waits, PHONE, "telegram", until=T + 1)[0]
    edited = [PHONE[0], PHONE[1], PHONE[2]._replace(what="editMessageText")]
    assert undelivered(WHOLE, LETTERS, edited, "telegram", until=T) == []


def test_one_number_is_not_the_beginning_of_another() -> None:
    alerts, letters = [told(1, "event")], [Post(1, "telegram", "sent", 1, "")]
    other = [Arrival("sendMessage", 1, "something\nA11 · 10:00 IST")]
    assert len(undelivered(alerts, letters, other, "telegram", until=T)) == 1


def test_a_message_once_more_is_allowed_and_twice_more_is_not() -> None:
    assert undelivered(WHOLE, LETTERS, [*PHONE, PHONE[0]], "telegram", until=T) == []
    assert len(undelivered(WHOLE, LETTERS, [*PHONE, PHONE[0], PHONE[0]], "telegram", until=T)) == 1


# the process


def sample(at: float, rss: float, *, fds: int = 40, threads: int = 20, calm: str = "") -> Sample:
    return Sample(at, rss, fds, threads, 1.0, 5.0, 5.0, calm)


def test_memory_that_grows_is_told_from_memory_that_swings() -> None:
    growing = [sample(at, 100 + 12 * at / 3600) for at in range(0, 1_800, 30)]
    assert round(slope(growing), 6) == 12
    swinging = [sample(at, 100 + 20 * (at // 30 % 2)) for at in range(0, 1_800, 30)]
    assert abs(slope(swinging)) < 1


def test_threads_and_files_are_compared_in_calm_moments_only() -> None:
    calm = [sample(0, 1, calm="a"), sample(5, 1, fds=90), sample(9, 1, fds=42, calm="b")]
    assert not_flat(calm, by=2) == []
    grown = [*calm, sample(12, 1, fds=43, threads=23, calm="c")]
    assert len(not_flat(grown, by=2)) == 2
    assert not_flat(calm[:2], by=2)


# the nemesis


def test_every_fault_is_known_to_the_exchange_and_comes_before_any_comes_again() -> None:
    for each in DECK:
        lasts = {} if each.instant else {"lasts": 3.0}
        assert parse(each.name, {**each.parameters, **lasts}).name == each.name
    first = [each for each, _, _ in islice(dealt(5), len(DECK))]
    assert sorted(map(repr, first)) == sorted(map(repr, DECK))


def test_a_seed_deals_the_same_faults_again() -> None:
    hand = list(islice(dealt(5), 300))
    assert hand == list(islice(dealt(5), 300))
    assert hand != list(islice(dealt(6), 300))
    assert all(3 <= lasts <= 10 <= 15 <= pause <= 25 for _, lasts, pause in hand)
