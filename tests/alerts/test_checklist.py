"""The list of ten: each thing broken in turn turns exactly its own line, and it comes on time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from alerts.checklist import NAMES, Checklist, plan, render
from alerts.sight import SETTLES
from tests.alerts.scripted_feeds import MORNING, Bench
from tests.dashboard.fakes import BANK, MAIN, NIFTY, WEEKDAYS, MemoryCatalogue, instruments
from trading.accounts import Accounts
from trading.errors import Retryable, TokenRefused
from trading.health import Alert, Check, Severity, Thresholds
from trading.hours import (
    IST,
    Holiday,
    Phase,
    SpecialSession,
    TradingHours,
)
from trading.model import Instrument, Mode
from trading.order import Account, BrokerPosition, Fill, OrderFills, Product, Side
from trading.ports import FeedState

DAY = date(2025, 11, 26)


class Gate:
    """A desk before the opening at which nothing is wrong, and its checklist."""

    def __init__(self, at: datetime = MORNING) -> None:
        self.bench = Bench(at=at, wanted={NIFTY: Mode.FULL, BANK: Mode.FULL})
        self.clock = self.bench.clock
        self.token = True
        desk = self.bench.desk
        self.bench.desk = replace(
            desk,
            accounts=Accounts(
                [MAIN],
                clock=self.clock,
                brokers=desk.accounts.brokers,
                sign_in={"main": self.signed_in},
                latch=desk.accounts.latch,
            ),
        )
        self.answers = True  # the feed, to the test
        self.disk: Exception | None = None
        self.free: int | None = 20 << 30
        self.phone: Exception | None = None
        self.told: list[Alert] = []
        self.list = self.made()

    def made(self) -> Checklist:
        return Checklist(
            self.bench.desk,
            Thresholds(),
            write=self.write,
            disk_free=lambda: self.free,
            token_ends=lambda: {"main": datetime(2025, 11, 26, 22, 0, tzinfo=UTC)},
            phone=self.called,
            tell=self.tell,
            pause=self.pause,
        )

    async def ready(self) -> None:
        await self.bench.desk.accounts.check()
        await self.bench.read_books()

    async def signed_in(self) -> str:
        if not self.token:
            raise TokenRefused("the broker refused the token")
        return "AB1234"

    async def write(self) -> None:
        if self.disk:
            raise self.disk

    async def called(self) -> str:
        if self.phone:
            raise self.phone
        return "@vigil_bot"

    async def tell(self, alert: Alert) -> None:
        self.told.append(alert)

    async def pause(self, seconds: float) -> None:
        self.clock.advance(seconds)
        if self.answers and self.bench.feed.asked_again:
            self.bench.price(NIFTY)
        await asyncio.sleep(0)

    async def bad(self) -> dict[str, Check]:
        return {check.name: check for check in await self.list.run() if not check.good}


@pytest.fixture
async def gate() -> Gate:
    made = Gate()
    await made.ready()
    return made


async def test_with_nothing_wrong_all_ten_are_good(gate: Gate) -> None:
    checks = await gate.list.run()

    assert tuple(check.name for check in checks) == NAMES
    assert {check.name for check in checks if not check.good} == set()
    words = {check.name: check.words for check in checks}
    assert words["Token"] == "valid till 03:30"
    assert words["Calendar"] == "normal"
    assert words["Market feed"] == "a test price after 0.1 s"
    assert words["Disk"] == "20.0 GiB free"
    assert gate.list.latest is not None
    assert gate.list.latest.checks == tuple(checks)


async def refuse_token(gate: Gate) -> None:
    gate.token = False
    await gate.bench.desk.accounts.check()


def silence(gate: Gate) -> None:
    gate.answers = False


def disconnect(gate: Gate) -> None:
    gate.bench.feed.now(state=FeedState.BACKING_OFF, reason="no answer in time")


def lose_stream(gate: Gate) -> None:
    gate.bench.stream.goes(FeedState.BACKING_OFF)


def skew(gate: Gate) -> None:
    gate.bench.feed.now(clock_skew=-2.4)


def no_skew(gate: Gate) -> None:
    gate.bench.feed.now(clock_skew=None)


def lock_disk(gate: Gate) -> None:
    gate.disk = Retryable("database is locked")


def fill_disk(gate: Gate) -> None:
    gate.free = 200 << 20


def no_disk(gate: Gate) -> None:
    gate.free = None


def hang_up(gate: Gate) -> None:
    gate.phone = Retryable("telegram: the bot cannot be reached")


def forget_freeze(gate: Gate) -> None:
    wrong = [
        replace(i, freeze_quantity=0) if i.instrument_key == "NSE_FO|45450" else i
        for i in instruments()
    ]
    desk = replace(gate.bench.desk, catalogue=MemoryCatalogue(wrong))
    gate.bench.desk = desk
    gate.list = gate.made()


def forget_instruments(gate: Gate) -> None:
    gate.bench.desk = replace(gate.bench.desk, catalogue=MemoryCatalogue([]))
    gate.list = gate.made()


@pytest.mark.parametrize(
    ("fault", "name", "words"),
    [
        (refuse_token, "Token", "refused: main"),
        (silence, "Market feed", "no test price within 5 s"),
        (disconnect, "Market feed", "backing off: no answer in time"),
        (lose_stream, "Portfolio stream", "main backing off"),
        (skew, "Clock", "2.4 s ahead"),
        (no_skew, "Clock", "not compared with the exchange's yet"),
        (lock_disk, "Database", "cannot be written: database is locked"),
        (fill_disk, "Disk", "200 MiB free"),
        (no_disk, "Disk", "its room is not known"),
        (hang_up, "Phone", "telegram: the bot cannot be reached"),
        (forget_freeze, "Instruments", "no lot, tick or freeze size: NIFTY 27 NOV 24000 CE"),
        (forget_instruments, "Instruments", f"2 instruments not known, e.g. {NIFTY}"),
    ],
)
async def test_what_is_broken_turns_exactly_its_line_and_says_what_to_do(
    gate: Gate, fault: Callable[[Gate], Awaitable[None] | None], name: str, words: str
) -> None:
    done = fault(gate)
    if done is not None:
        await done
    bad = await gate.bad()

    assert {n: check.words for n, check in bad.items()} == {name: words}
    assert bad[name].fix


async def test_positions_that_nobody_compared_and_such_that_differ() -> None:
    gate = Gate()
    await gate.bench.desk.accounts.check()
    assert (await gate.bad())["Positions"].words == "not compared yet: main"
    await gate.bench.read_books()
    assert await gate.bad() == {}

    broker = gate.bench.desk.accounts.brokers["main"]
    row = BrokerPosition("main", "NSE_FO|45450", Product.INTRADAY, 75, 1.0, *[0] * 9)
    broker.held.append(row)
    gate.clock.advance(61)
    await gate.bench.read_books()

    assert (await gate.bad())["Positions"].words.startswith("main differs from the broker in 1")


async def test_what_was_not_compared_since_the_last_fill_is_not_as_the_broker_has_it(
    gate: Gate,
) -> None:
    positions, call = gate.bench.desk.positions, "NSE_FO|45450"
    done = Fill(
        "main", "o-1", "t-1", call, Product.INTRADAY, Side.BUY, 75, 100.0, gate.clock.now(),
        is_mock=True,
    )  # fmt: skip
    positions.on_fills(OrderFills("main", "o-1", (done,)))

    checks = {check.name: check for check in await gate.list.run()}

    assert checks["Positions"].good
    assert checks["Positions"].words.startswith("0 positions as the broker has them, compared ")
    assert checks["Positions"].words.endswith("; 1 not compared since the last fill")


async def test_who_is_refused_and_of_whom_nobody_knows_are_told_apart(gate: Gate) -> None:
    async def out() -> str:
        raise TokenRefused("the broker refused the token")

    async def silent() -> str:
        raise Retryable("no answer in time")

    family = Account("family", "Family", primary=False, is_mock=True)
    other = Account("other", "Other", primary=False, is_mock=True)
    desk = gate.bench.desk
    brokers = dict.fromkeys(("main", "family", "other"), desk.accounts.brokers["main"])
    accounts = Accounts(
        [MAIN, family, other],
        clock=gate.clock,
        brokers=brokers,
        sign_in={"main": gate.signed_in, "family": out, "other": silent},
        latch=desk.accounts.latch,
    )
    await accounts.check()
    gate.bench.desk = replace(desk, accounts=accounts)

    checks = {check.name: check for check in await gate.made().run()}

    assert checks["Token"].words == "refused: family; not known yet: other"


async def test_without_a_phone_and_on_paper_the_lines_say_so(gate: Gate) -> None:
    desk = replace(gate.bench.desk, portfolio_feeds={})
    made = Checklist(
        desk, Thresholds(), write=gate.write, disk_free=lambda: gate.free, token_ends=dict,
        phone=None, tell=gate.tell, pause=gate.pause,
    )  # fmt: skip
    words = {check.name: check.words for check in await made.run() if check.good}

    assert words["Phone"].startswith("none is set up")
    assert words["Portfolio stream"].startswith("not needed")
    assert words["Token"] == "signed in"


async def test_the_message_has_the_form_of_the_product(gate: Gate) -> None:
    skew(gate)
    at = datetime(2025, 11, 26, 9, 5, tzinfo=IST)
    alert = render(await gate.list.run(), gate.bench.desk, at)

    assert alert.title == "☀️ 09:05 READY  9 of 10"
    assert alert.lines[0] == "❌ clock: 2.4 s ahead → Sync the clock (sudo chronyc makestep)"
    assert alert.lines[1] == "✅ token: valid till 03:30"
    assert alert.severity is Severity.WARNING
    assert (alert.kind, alert.once) == ("check", "checklist 2025-11-26")
    assert alert.is_mock
    await refuse_token(gate)
    assert "NOT READY  8 of 10" in render(await gate.list.run(), gate.bench.desk, at).title


async def test_an_expiry_is_told_on_its_day() -> None:
    gate = Gate(datetime(2025, 11, 27, 9, 0, tzinfo=IST))
    await gate.ready()
    checks = {check.name: check.words for check in await gate.list.run()}

    assert checks["Calendar"] == "normal, NIFTY expiry"


# when


MUHURAT = SpecialSession(
    date(2025, 11, 29), "NSE_EQ", Phase.OPEN, time(18, 0), time(19, 0), "Muhurat"
)
HOURS = replace(
    WEEKDAYS,
    holidays=(
        Holiday(date(2025, 11, 25), "NSE_EQ", "Guru Nanak"),
        Holiday(date(2025, 11, 25), "NSE_FO", "Guru Nanak"),
    ),
    specials=(MUHURAT,),
)


@pytest.mark.parametrize(
    ("day", "show", "send"),
    [
        (DAY, "09:00", "09:05"),
        (date(2025, 11, 29), "17:00", "17:00"),  # a special session on a Saturday evening
        (date(2025, 11, 30), None, None),
        (date(2025, 11, 25), None, None),
    ],
)
def test_it_is_due_before_the_days_first_session(
    day: date, show: str | None, send: str | None
) -> None:
    due = plan(TradingHours(HOURS), ("NSE_EQ", "NSE_FO"), day)

    if due is None:
        assert show is None
        return
    assert (f"{due.show.astimezone(IST):%H:%M}", f"{due.send.astimezone(IST):%H:%M}") == (
        show,
        send,
    )


async def course(gate: Gate, start: datetime, minutes: int) -> list[tuple[str, int, bool]]:
    """Let the job of each minute run; return the time, the messages, and whether it was shown."""
    seen: list[tuple[str, int, bool]] = []
    for minute in range(minutes):
        gate.clock.step_wall((start + timedelta(minutes=minute) - gate.clock.now()).total_seconds())
        await gate.list.morning()
        now = (len(gate.told), gate.list.latest is not None)
        if not seen or seen[-1][1:] != now:
            seen.append((f"{gate.clock.now().astimezone(IST):%H:%M}", *now))
    return seen


async def test_on_a_trading_day_it_is_shown_at_nine_and_sent_once_at_five_past() -> None:
    start = datetime(2025, 11, 26, 8, 30, tzinfo=IST)
    gate = Gate(start)
    await gate.ready()

    assert await course(gate, start, 120) == [
        ("08:30", 0, False), ("09:00", 0, True), ("09:05", 1, True),
    ]  # fmt: skip


async def test_a_desk_that_starts_late_sends_it_until_the_opening_and_not_after() -> None:
    for start, messages in (("09:12", 1), ("09:15", 0), ("11:00", 0)):
        at = datetime.combine(DAY, time.fromisoformat(start), IST)
        gate = Gate(at)
        await gate.ready()
        await course(gate, at, 10)

        assert len(gate.told) == messages


async def test_a_desk_that_was_just_started_knows_its_books_before_it_tells_of_them() -> None:
    """One that was started at 09:07 said NOT READY, since it had asked for nothing yet."""
    at = datetime(2025, 11, 26, 9, 7, tzinfo=IST)
    gate, stuck = Gate(at), Gate(at)
    await gate.list.morning()
    assert not gate.told
    await gate.ready()
    await gate.list.morning()
    assert [told.title for told in gate.told] == ["☀️ 09:07 READY  10 of 10"]

    stuck.clock.advance(SETTLES)  # what is not known by then is worth telling
    await stuck.list.morning()
    assert stuck.told[0].title.startswith("☀️ 09:07 NOT READY")


class LockedOnce(MemoryCatalogue):
    """A list of instruments on a disk that cannot be read the first time."""

    def __init__(self) -> None:
        super().__init__(instruments())
        self.fails = True

    async def options(self, underlying_key: str) -> list[Instrument]:
        if self.fails:
            self.fails = False
            raise Retryable("database is locked")
        return await super().options(underlying_key)


@pytest.mark.parametrize(("at", "messages"), [(time(9, 0), 0), (time(9, 5), 1)])
async def test_a_disk_that_fails_once_does_not_cost_the_days_list(at: time, messages: int) -> None:
    gate = Gate(datetime.combine(DAY, at, IST))
    await gate.ready()
    gate.bench.desk = replace(gate.bench.desk, catalogue=LockedOnce())
    gate.list = gate.made()
    gate.clock.advance(SETTLES)

    with pytest.raises(Retryable):  # the job fails, and that is told
        await gate.list.morning()
    assert gate.list.latest is None
    for _ in range(3):
        gate.clock.advance(1)
        await gate.list.morning()

    assert gate.list.latest is not None
    assert len(gate.told) == messages


async def test_on_a_weekend_nothing_is_sent() -> None:
    start = datetime(2025, 11, 29, 0, 0, tzinfo=IST)
    gate = Gate(start)

    assert await course(gate, start, 24 * 60) == [("00:00", 0, False)]
