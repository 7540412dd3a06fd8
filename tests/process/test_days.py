"""Started at a moment of the calendar and left alone: what the desk says and does until it is over.

Each day runs at sixty times the speed, so a look of the watch, which is a second apart, is a minute
of the market apart. Hours in which nothing begins or ends are skipped: the exchange's clock jumps.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from dashboard.endpoints import report
from dashboard.health_sentence import sentence
from dashboard.light import countdown, desk_light, header_segment
from feeds.upstox.token import FileToken
from main import Vigil
from settings import Run, Settings, Storage, Upstox
from simulator.build import Options, create_exchange
from simulator.calendar import HolidayType, Listed, Span
from simulator.server import SimulatedExchange
from simulator.telegram_chat import Delivered
from tests.faults.dealing import Dealing
from tests.process.served import ROOT, Place, clean_environment, launched
from tests.rig import FAST, FAST_ORDERS
from tests.rig import settings as settings_of
from trading.errors import Denied
from trading.health import Alert, Occasion, Severity
from trading.hours import IST
from trading.order import OrderStatus, OrderType, Product, Side
from trading.ports import FeedChange, FeedState

SPEED = 60.0
THURSDAY = "2025-06-12"  # ordinary, and options expire
AUTHORIZE = "/v3/feed/market-data-feed/authorize"
STREAM_AUTHORIZE = "/v2/feed/portfolio-stream-feed/authorize"
GOOD = "● All systems good"
UNALARMED = ("CAN TRADE", "CARE: prices late")


def ist(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=IST)


class Day(Dealing):
    """A desk whose words are written down as they change, with the exchange's time."""

    def __init__(self, vigil: Vigil, exchange: SimulatedExchange | None = None) -> None:
        super().__init__(vigil, exchange)
        self.said: dict[str, list[tuple[datetime, str]]] = {}
        self.alerts: list[Alert] = []  # stored ones
        self.changes: list[FeedChange] = []
        vigil.watchers.teller.stored.subscribe(self.alerts.append)
        for feed in (self.desk.feed, *self.desk.portfolio_feeds.values()):
            feed.changes.subscribe(self.changes.append)

    async def listen(self) -> None:
        """Write down what the header and the Health page say, for as long as it runs."""
        while True:
            for name, words in self._words().items():
                told = self.said.setdefault(name, [])
                if not told or told[-1][1] != words:
                    told.append((self.now_ist, words))
            await asyncio.sleep(0.05)

    def _words(self) -> dict[str, str]:
        desk = self.desk
        now = desk.clock.now()
        assert desk.watch is not None
        state = desk.hours.state(header_segment(desk), now)
        shown = countdown(state, now)
        until = shown.until and datetime.fromtimestamp(shown.until / 1000, IST)
        left = f"{shown.verb} {until:%d %b %H:%M}" if until else ""
        return {
            "light": desk_light(desk, desk.watch.watch.inputs()).text,
            "health": sentence(desk),
            "status": str(report(desk)["status"]),
            "session": f"{shown.session}, {left}",
        }

    # time

    @property
    def now_ist(self) -> datetime:
        return self.desk.clock.now().astimezone(IST)

    def at(self, clock: str) -> datetime:
        """Return this time of the day that the exchange has now."""
        return ist(f"{self.now_ist:%Y-%m-%d}T{clock}")

    async def comes(self, clock: str) -> None:
        """Wait until the exchange has this time of its day."""
        await self.reaches(self.at(clock))

    async def reaches(self, moment: datetime) -> None:
        real = (moment - self.now_ist).total_seconds() / self.exchange.clock.speed
        await self.until(lambda: self.now_ist >= moment, within=real + 5, what=f"{moment:%H:%M}")

    def skip(self, clock: str) -> None:
        """Jump to this time of the exchange's day, which is still to come."""
        moment = self.at(clock)
        assert self.now_ist < moment, f"{clock} is over: this machine was too slow"
        self.exchange.clock.set(moment)

    async def settled(self) -> None:
        """Wait until the start is over: books read, all well; what was said until then is past."""
        await self.ready()
        await self.until(self._is_well, within=10, what="all well")
        self.said.clear()

    def _is_well(self) -> bool:
        looks = self.vigil.watchers.monitor
        return sentence(self.desk).startswith(GOOD) and looks.looks > 1 and not looks.findings()

    # what was said

    def words(self, name: str) -> list[str]:
        return [words for _, words in self.said[name]]

    def when(self, name: str, words: str) -> datetime:
        """Return when this was said first."""
        return next(at for at, said in self.said[name] if words in said)

    def on_the_phone(self, words: str = "") -> list[Delivered]:
        return [each for each in self.exchange.telegram.delivered if words in each.text]

    async def tells(self, words: str, *, within: float = 5.0) -> Delivered:
        """Wait for a message on the phone; return it."""
        await self.until(
            lambda: bool(self.on_the_phone(words)),
            within=within,
            what=f"{words!r} on the phone {[m.text for m in self.on_the_phone()]}",
        )
        return self.on_the_phone(words)[0]

    @property
    def alarms(self) -> list[str]:
        """Return what the watch found worth telling."""
        return [alert.title for alert in self.alerts if alert.kind == "health"]

    def is_carried(self) -> bool:
        """Return whether all that is held was carried over, and is what the broker has."""
        sure = all(p.carried and not p.in_doubt for p in self.positions())
        return sure and self.held() == self.truly_held()

    async def incidents(self) -> list[str]:
        since = self.desk.started - timedelta(days=3)
        return [i.cause for i in await self.vigil.watchers.journal.incidents(since=since)]

    async def refused(self, **changes: Any) -> str:
        """Return why an order is not taken now."""
        with pytest.raises(Denied) as denied:
            await self.buy(**changes)
        return str(denied.value)

    # what the exchange saw, and what is on the disk

    def dials(self) -> tuple[int, int]:
        """Return how often the market feed and the portfolio stream shook hands."""
        ledger = self.exchange.ledger
        return len(ledger.handshakes), len(ledger.update_handshakes)

    def asked(self, path: str) -> int:
        return len(self.exchange.ledger.calls_to(path))

    def authorised(self) -> tuple[int, int]:
        return self.asked(AUTHORIZE), self.asked(STREAM_AUTHORIZE)

    def minutes(self) -> list[str]:
        """Return the minutes of all candles, the part of the day that was traded."""
        rows = self.rows("select distinct start from candles order by start")
        return [f"{datetime.fromtimestamp(start / 1000, IST):%d %H:%M}" for (start,) in rows]

    def curve(self) -> list[datetime]:
        rows = self.rows("select at from pnl_points order by at")
        return [datetime.fromtimestamp(at / 1000, IST) for (at,) in rows]

    def judged(self, name: str) -> list[datetime]:
        """Return the minutes in which a component was judged at all."""
        rows = self.rows("select start from component_minutes where name = ? and judged > 0", name)
        return [datetime.fromtimestamp(start / 1000, IST) for (start,) in rows]

    def listed(self, *, expiry: int, nth: int = 0) -> Any:
        """Return the nth call above the money of the nearest expiry, 0, or of a later one."""
        calls = [
            i
            for i in self.exchange.market.instruments.values()
            if i.instrument_type == "CE" and i.underlying_symbol == "NIFTY"
        ]
        spot = self.exchange.market.quotes["NSE_INDEX|Nifty 50"].ltp
        day = sorted({i.expiry for i in calls})[expiry]
        above = (i for i in calls if i.expiry == day and i.strike > spot)
        return sorted(above, key=lambda i: i.strike)[nth]


@asynccontextmanager
async def day(
    folder: Path,
    start: str,
    *,
    prepare: Callable[[SimulatedExchange], None] = lambda _: None,
    **rest: Any,
) -> AsyncIterator[Day]:
    """Start a desk at this moment of the calendar; it has begun once its start is over."""
    given = {"speed": SPEED, "rate": 20.0, "instruments": 500, "opening": True, **rest}
    vigil = Vigil(settings_of(folder, start=start, **given))
    async with begun(vigil, prepare=prepare) as desk:
        yield desk


@asynccontextmanager
async def begun(
    vigil: Vigil,
    exchange: SimulatedExchange | None = None,
    *,
    prepare: Callable[[SimulatedExchange], None] = lambda _: None,
) -> AsyncIterator[Day]:
    listening: asyncio.Task[None] | None = None
    try:
        desk = Day(vigil, exchange)
        prepare(desk.exchange)
        await vigil.start()
        listening = asyncio.create_task(desk.listen())
        await desk.settled()
        yield desk
    finally:
        if listening is not None:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
        await vigil.shutdown()


def unalarmed(words: list[str], *also: str) -> bool:
    return all(said.startswith((*UNALARMED, *also)) for said in words)


async def test_an_ordinary_afternoon_ends_at_half_past_three_and_nothing_is_said_of_it(
    tmp_path: Path,
) -> None:
    async with day(tmp_path, f"{THURSDAY}T15:20", speed=20.0) as desk:  # half a minute to act in
        far = desk.listed(expiry=1)
        waiting = await desk.buy(
            instrument=far, order_type=OrderType.LIMIT, price=1.0, product=Product.DELIVERY
        )
        await desk.becomes(waiting, OrderStatus.WORKING)
        await desk.until(lambda: bool(desk.curve()), within=10, what="a point of the curve")
        desk.skip("15:29:00")
        await desk.becomes(waiting, OrderStatus.CANCELLED, within=8)
        why = await desk.refused(instrument=far, product=Product.DELIVERY)
        told = await desk.tells("CANCELLED")
        await desk.comes("15:32")

        assert desk.words("light")[-1] == "MARKET CLOSED, opens Fri 09:15"
        assert unalarmed(desk.words("light")[:-1]), desk.words("light")
        assert desk.words("health") == [GOOD, f"{GOOD}. Market closed, opens Fri 09:15"]
        assert desk.words("status") == ["ok"]
        assert desk.words("session") == [
            "Open, closes in 12 Jun 15:30", "Closed, opens in 13 Jun 09:15",
        ]  # fmt: skip
        assert ist(f"{THURSDAY}T15:30") <= desk.when("light", "CLOSED") < desk.at("15:31")
        assert "NSE_FO is closed, opens Fri 13 Jun 09:15" in why
        assert "the market has closed" in told.text
        assert (desk.alarms, await desk.incidents()) == ([], [])
        assert (desk.dials(), desk.authorised()) == ((1, 1), (1, 1))
        assert desk.minutes()[-1] == "12 15:29"
        assert desk.curve()[-1] < desk.at("15:30")
        assert max(desk.judged("market feed")) < desk.at("15:30")


async def test_a_holiday_is_named_and_nothing_is_asked_said_or_sent(tmp_path: Path) -> None:
    async with day(tmp_path, "2025-08-15T08:45") as desk:
        why = await desk.refused()
        since = desk.desk.feed.stats().since
        await asyncio.sleep(0.5)
        moved = abs(desk.desk.feed.stats().since - since)
        desk.skip("09:04:30")
        await desk.comes("09:06:30")
        desk.skip("09:14:30")
        await desk.comes("09:17")

        assert moved < timedelta(seconds=5)  # it ran away with the speed of the exchange
        assert desk.words("light") == ["MARKET CLOSED, opens Mon 09:15"]
        assert desk.words("health") == [f"{GOOD}. Market closed, opens Mon 09:15"]
        assert desk.words("session") == ["Closed: Independence Day, opens in 18 Aug 09:15"]
        assert desk.words("status") == ["ok"]
        assert "NSE_FO is closed (Independence Day), opens Mon 18 Aug 09:15" in why
        assert (desk.alerts, desk.on_the_phone(), await desk.incidents()) == ([], [], [])
        assert (desk.dials(), desk.authorised()) == ((1, 1), (1, 1))
        assert (desk.minutes(), desk.curve(), desk.judged("market feed")) == ([], [], [])


@pytest.mark.parametrize(
    ("date", "opens", "closes", "name", "after"),
    [
        ("2025-10-21", "13:45", "14:45", "Diwali Laxmi Pujan (Muhurat trading)", "Thu 09:15"),
        ("2025-02-01", "09:15", "15:30", "Union Budget", "Mon 09:15"),  # a Saturday
    ],
)
async def test_a_special_session_is_announced_an_hour_before_and_traded_to_its_end(
    tmp_path: Path, date: str, opens: str, closes: str, name: str, after: str
) -> None:
    opening, closing = ist(f"{date}T{opens}"), ist(f"{date}T{closes}")
    async with day(tmp_path, (opening - timedelta(minutes=90)).isoformat()) as desk:
        why = await desk.refused()
        desk.skip(f"{opening - timedelta(minutes=61):%H:%M}")
        ready = await desk.tells("READY")
        said = desk.now_ist
        desk.skip(f"{opening - timedelta(seconds=45):%H:%M:%S}")
        await desk.reaches(opening + timedelta(minutes=1))
        bought = await desk.buy(product=Product.DELIVERY)
        await desk.becomes(bought, OrderStatus.FILLED)
        await desk.tells("FILLED")
        await desk.until(lambda: bool(desk.curve()), within=10, what="a point of the curve")
        desk.skip(f"{closing - timedelta(seconds=45):%H:%M:%S}")
        await desk.reaches(closing + timedelta(minutes=2))

        assert opening - timedelta(hours=1) <= said < opening - timedelta(minutes=50)
        assert f"special session {name} {opens}-{closes}" in ready.text
        assert "10 of 10" in ready.text
        assert f"opens {opening:%a %d %b %H:%M}" in why
        lights = desk.words("light")
        assert (lights[0], lights[-1]) == (
            f"MARKET CLOSED, opens {opens}", f"MARKET CLOSED, opens {after}",
        )  # fmt: skip
        assert unalarmed(lights[1:-1], "DO NOT TRADE: no price since the opening"), lights
        assert desk.words("health")[1:-1] == [GOOD]
        assert desk.words("status") == ["ok"]
        assert f"{name} opens in" in desk.words("session")[0]
        assert desk.words("session")[1].startswith(f"Open: {name}, closes in")
        assert len(desk.on_the_phone("READY")) == 1
        assert (desk.alarms, await desk.incidents()) == ([], [])
        assert (desk.dials(), desk.authorised()) == ((1, 1), (1, 1))
        assert opening <= min(desk.curve())
        assert max(desk.curve()) < closing
        last = closing - timedelta(minutes=1)
        assert (desk.minutes()[0], desk.minutes()[-1]) == (
            f"{opening:%d %H:%M}",
            f"{last:%d %H:%M}",
        )


async def test_an_ordinary_morning_is_checked_once_and_opens_without_an_alarm(
    tmp_path: Path,
) -> None:
    async with day(tmp_path, f"{THURSDAY}T08:30") as desk:
        desk.skip("08:59:30")
        await desk.comes("09:01")
        why = await desk.refused()
        desk.skip("09:04:30")
        ready = await desk.tells("READY")
        said = desk.now_ist
        desk.skip("09:14:30")
        await desk.comes("09:17")
        bought = await desk.buy(product=Product.DELIVERY)
        await desk.becomes(bought, OrderStatus.FILLED)
        await desk.comes("09:20")

        assert "NSE_FO is closed, opens Thu 12 Jun 09:15" in why
        assert ready.text.startswith("🟣 SIM ☀️ 09:05 READY  10 of 10")
        assert "calendar: normal, NIFTY expiry" in ready.text
        assert desk.at("09:05") <= said < desk.at("09:09")
        assert len(desk.on_the_phone("READY")) == 1
        lights = desk.words("light")
        assert lights[:2] == ["MARKET CLOSED, opens 09:15", "PRE-OPEN, opens 09:15"]
        assert unalarmed(lights[2:], "DO NOT TRADE: no price since the opening"), lights
        assert desk.when("light", "PRE-OPEN") < desk.at("09:01")
        assert desk.words("health")[-1] == GOOD
        assert desk.words("status") == ["ok"]
        assert desk.words("session") == [
            "Closed, opens in 12 Jun 09:15",
            "Pre-open, opens in 12 Jun 09:15",
            "Open, closes in 12 Jun 15:30",
        ]
        assert (desk.alarms, await desk.incidents()) == ([], [])
        assert (desk.dials(), desk.authorised()) == ((1, 1), (1, 1))
        assert min(desk.minutes()) == "12 09:15"
        assert min(desk.judged("market feed")) >= desk.at("09:15")


async def test_at_half_past_three_a_customer_who_signs_in_daily_notices_nothing(
    tmp_path: Path,
) -> None:
    async with day(tmp_path, f"{THURSDAY}T03:02") as desk:
        first = desk.vigil.tokens["main"].load()
        desk.skip("03:29:30")
        await desk.comes("03:30")
        await desk.until(lambda: desk.dials() == (2, 2), within=5, what="another connection each")
        await desk.until(desk._is_well, within=5, what="all well again")
        await desk.comes("03:34")

        assert desk.vigil.tokens["main"].load() != first
        assert desk.words("light") == ["MARKET CLOSED, opens 09:15"]
        assert desk.words("health")[-1] == f"{GOOD}. Market closed, opens 09:15"
        assert (desk.alerts, desk.on_the_phone(), await desk.incidents()) == ([], [], [])
        assert (desk.dials(), desk.authorised()) == ((2, 2), (2, 2))
        assert not any(change.after is FeedState.REFUSED for change in desk.changes)


async def test_at_half_past_three_a_token_of_a_real_broker_ends_and_one_alert_asks_for_another(
    tmp_path: Path,
) -> None:
    options = Options(instruments=200, start=ist(f"{THURSDAY}T03:20"), speed=5.0, rate=20.0)
    # in another process, as far as the desk can tell
    with create_exchange(options) as exchange:
        store = FileToken(tmp_path / "token")
        store.save(exchange.tokens.issue().value)
        settings = Settings(
            run=Run(exchange="upstox"),
            storage=Storage(directory=tmp_path),
            feed=FAST,
            orders=FAST_ORDERS,
            upstox=Upstox(base_url=exchange.base_url, assets_url=exchange.base_url),
        )
        async with begun(Vigil(settings), exchange) as desk:
            desk.skip("03:29:55")
            assert desk.vigil.simulator_time is not None
            await asyncio.to_thread(desk.vigil.simulator_time.ask)  # else it asks as it connects
            await desk.comes("03:30")
            told = await desk.tells("ACCOUNT REFUSED", within=8)
            asked = sum(exchange.ledger.call_counts.values())
            began = time.monotonic()
            await asyncio.sleep(2.5)
            refused = [said for said in desk.words("light") if "refused" in said]
            calls = sum(exchange.ledger.call_counts.values()) - asked
            print(
                f"{calls} calls in {time.monotonic() - began:.1f} s: {exchange.ledger.call_counts}"
            )
            while_refused = (desk.dials(), desk.authorised())
            store.save(exchange.tokens.issue().value)
            saved = time.monotonic()
            await desk.until(
                lambda: desk.dials() == (2, 2) and desk.stream is FeedState.LIVE, within=5
            )
            print(f"both back {time.monotonic() - saved:.1f} s after the new token")
            await desk.until(
                lambda: any(a.occasion is Occasion.END for a in desk.alerts), within=10
            )
            await desk.tells("BACK", within=5)

            assert "Sign in to the broker" in told.text
            assert told.silent  # it is night, and no market is open
            assert [a.occasion for a in desk.alerts] == [Occasion.BEGIN, Occasion.END], desk.alarms
            assert desk.alerts[0].severity is Severity.WARNING
            assert refused
            assert "DO NOT TRADE: feed refused" in refused[0]
            assert while_refused == ((1, 1), (2, 2))  # one dial of each found it out
            assert calls <= 10
            assert desk.words("light")[-1].startswith("MARKET CLOSED")
            assert len(await desk.incidents()) == 1


async def test_midnight_ends_the_day_of_orders_and_gains_and_carries_what_is_held(
    tmp_path: Path,
) -> None:
    async with day(tmp_path, f"{THURSDAY}T15:00") as desk:
        expiring, later = desk.listed(expiry=0), desk.listed(expiry=1)
        intraday = desk.listed(expiry=1, nth=1)
        deals = [
            {"instrument": expiring, "product": Product.DELIVERY},
            {"instrument": intraday, "product": Product.INTRADAY},
            {"instrument": later, "product": Product.DELIVERY, "lots": 2},
            {"instrument": later, "product": Product.DELIVERY, "side": Side.SELL},
        ]
        for deal in deals:
            await desk.becomes(await desk.buy(**deal), OrderStatus.FILLED)
        share = next(
            i for i in desk.exchange.market.instruments.values() if i.instrument_type == "EQ"
        )
        for side in (Side.BUY, Side.SELL):
            both = await desk.buy(instrument=share, side=side)
            await desk.becomes(both, OrderStatus.FILLED)
        await desk.agrees()
        closed = [p for p in desk.positions() if not p.quantity]
        realised = desk.desk.positions.total().realised
        held = desk.held()
        await desk.until(lambda: len(desk.on_the_phone("FILLED")) == 6, within=10, what="the news")
        desk.skip("23:59:00")
        await desk.until(lambda: desk.now_ist.day == 13, within=5)
        await desk.until(desk.is_carried, within=10, what="the broker's book of the new day")
        await desk.until(desk._is_well, within=10, what="all well")
        orders, total = desk.desk.orders.orders(), desk.desk.positions.total()

        def at_night() -> list[str]:
            return [alert.title for alert in desk.alerts if alert.at.astimezone(IST).day == 13]

        def sold() -> list[str]:
            return [title for title in at_night() if title.startswith("✅ FILLED  SELL 1 lot")]

        await desk.until(lambda: len(sold()) == 2, within=5, what="what the broker did at night")

        assert [p.instrument_key for p in closed] == [share.instrument_key]
        assert realised
        assert not any(p.quantity == 0 for p in desk.positions()), "Closed today is of today"
        assert all(p.carried and not p.realised for p in desk.positions())
        gone = {expiring.instrument_key, intraday.instrument_key}  # settled and squared off
        assert held[later.instrument_key] == later.lot_size
        assert desk.held() == {key: n for key, n in held.items() if key not in gone}
        assert (total.realised, total.complete, total.closed) == (0, True, True)
        assert not any(at.day == 13 for at in desk.curve())
        assert all(order.external for order in orders)  # ours are of yesterday
        assert len(sold()) == 2
        assert len(desk.on_the_phone()) == 6  # what the broker did at night waits for the morning
        assert (desk.alarms, await desk.incidents()) == ([], [])
        assert desk.dials() == (1, 1)


async def test_an_intraday_paper_position_is_squared_off_and_an_expired_one_settled(
    tmp_path: Path,
) -> None:
    async with day(tmp_path, f"{THURSDAY}T14:45", execution="paper") as desk:
        expiring, later = desk.listed(expiry=0), desk.listed(expiry=1)
        kept = await desk.buy(instrument=expiring, product=Product.DELIVERY)
        intraday = await desk.buy(instrument=later, product=Product.INTRADAY)
        for order in (kept, intraday):
            await desk.becomes(order, OrderStatus.FILLED)
        desk.skip("15:14:30")
        await desk.until(lambda: desk.held() == {expiring.instrument_key: 75}, within=5)
        squared = desk.now_ist
        await desk.tells("squared off")
        late = await desk.buy(instrument=later, product=Product.INTRADAY)
        late = await desk.becomes(late, OrderStatus.REJECTED)
        desk.skip("15:29:30")
        await desk.until(lambda: not desk.held(), within=8, what="settlement")
        settled = desk.now_ist
        await desk.tells("settled at expiry")
        why = await desk.refused(instrument=later, product=Product.DELIVERY)
        await desk.comes("15:33")

        assert desk.at("15:15") <= squared < desk.at("15:18")
        assert "squared off from 15:15 on" in late.message
        assert desk.at("15:30") <= settled < desk.at("15:33")
        assert "NSE_FO is closed, opens Fri 13 Jun 09:15" in why
        await desk.until(
            lambda: desk.desk.positions.total().complete, within=5, what="the price of each fill"
        )
        total = desk.desk.positions.total()
        assert total.realised == total.total
        assert desk.words("status") == ["ok"]
        assert (desk.alarms, await desk.incidents(), desk.dials()) == ([], [], (1, 0))
        assert all(at < desk.at("15:30") for at in desk.curve())


async def test_a_session_that_is_extended_during_the_day_is_followed(tmp_path: Path) -> None:
    """As on 24 February 2021: 15:45 to 17:00 was declared when the market had closed nearly."""
    today = ist(THURSDAY).date()
    hours = [("09:15", "15:30"), ("15:45", "17:00")]

    def extended(exchange: str) -> Iterator[Span]:
        for start, end in hours:
            yield Span(exchange, ist(f"{THURSDAY}T{start}").time(), ist(f"{THURSDAY}T{end}").time())

    async with day(tmp_path, f"{THURSDAY}T15:32") as desk:
        opened = tuple(span for exchange in ("NSE", "NFO") for span in extended(exchange))
        listed = Listed(today, "Extended trading", (), opened, HolidayType.SPECIAL)
        desk.exchange.calendar.declare(listed)
        assert await desk.vigil.refresh_hours()
        await asyncio.sleep(0.1)
        said = desk.words("session")[-1]
        desk.skip("15:44:30")
        await desk.comes("15:46")
        bought = await desk.buy(instrument=desk.listed(expiry=1), product=Product.DELIVERY)
        await desk.becomes(bought, OrderStatus.FILLED)
        desk.skip("16:59:30")
        await desk.comes("17:02")

        assert said == "Closed, Extended trading opens in 12 Jun 15:45"
        assert desk.words("light")[-1] == "MARKET CLOSED, opens Fri 09:15"
        assert unalarmed(desk.words("light")[2:-1], "DO NOT TRADE: no price since"), desk.said
        assert desk.minutes()[-1] == "12 16:59"
        assert (desk.alarms, await desk.incidents(), desk.dials()) == ([], [], (1, 1))


async def test_a_fill_in_quiet_hours_is_told_at_once_while_the_market_trades(
    tmp_path: Path,
) -> None:
    """The simulated exchange never closes: at 22:30 its fills waited until 07:00."""

    def late(exchange: SimulatedExchange) -> None:
        exchange.clock.set(ist(f"{datetime.now(IST):%Y-%m-%d}T22:30"))

    async with day(tmp_path, "", speed=1.0, rate=200.0, prepare=late) as desk:
        bought = await desk.buy()
        await desk.becomes(bought, OrderStatus.FILLED)
        told = await desk.tells("FILLED", within=5)

        assert desk.now_ist.hour == 22
        assert told.silent  # information makes no sound by day either


ZONES = ("UTC", "Asia/Kolkata", "America/New_York")
DECISIONS = """
import os, time
from datetime import UTC, datetime, timedelta
from alerts.checklist import plan
from alerts.routing import Routing, Way, quiet_hours, quiet_until
from dashboard import format as fmt
from dashboard.alert_words import day_start
from dashboard.light import countdown
from feeds.upstox.token import ends
from storage import defaults
from trading.hours import HoursRules, TradingHours
from trading.paper_day import Sessions

tables = (defaults.templates(), defaults.holidays(), defaults.specials())
rules = HoursRules(*map(tuple, tables))
hours, sessions = TradingHours(rules), Sessions(TradingHours(rules))
routes = Routing((Way("telegram"),), quiet_hours("22:00-07:00", holidays=True))

def decide(at):
    state, day = hours.state("NSE_EQ", at), day_start(at)
    return (state, hours.state("MCX_FO", at), countdown(state, at), quiet_until(routes, at),
            ends(at), day, plan(hours, ["NSE_EQ", "NSE_FO"], day.date()), fmt.clock(at),
            fmt.moment(at, at), fmt.opening(at + timedelta(hours=9), at),
            sessions.squares_off("NSE_FO", at, timedelta(minutes=15)))

# both nights on which New York sets its clocks, a Muhurat, the end of a year
begins = [datetime.fromisoformat(d).replace(tzinfo=UTC)
          for d in ("2025-03-08", "2025-11-01", "2025-10-20", "2025-12-31")]
for zone in ZONES:
    os.environ["TZ"] = zone
    time.tzset()
    print([decide(at + timedelta(minutes=65) * n) for at in begins for n in range(68)])
    print(time.localtime(0).tm_hour)
"""


def test_h03_the_zone_of_the_machine_decides_nothing() -> None:
    """On the nights on which clocks are set elsewhere, on a special day, at the end of a year."""
    told = subprocess.run(
        [sys.executable, "-c", f"ZONES = {ZONES}\n{DECISIONS}"],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()

    assert told[1::2] == ["0", "5", "19"]  # what the machine takes the beginning of 1970 for
    assert told[0].count("MarketState") == 4 * 68 * 2
    assert told[0] == told[2] == told[4]


def test_h03_a_desk_in_new_york_closes_when_mumbai_does(tmp_path: Path) -> None:
    closing = ist(f"{THURSDAY}T15:30")
    variables = {
        "TZ": "America/New_York",
        "VIGIL_SIMULATOR__START": f"{THURSDAY}T15:00",
        "VIGIL_SIMULATOR__SPEED": "60",
        "VIGIL_SIMULATOR__RATE": "20",
    }
    place = Place(tmp_path, variables=variables)
    with launched(place) as desk:
        desk.ready()
        before = (closing - timedelta(seconds=90)).isoformat()
        clock = f"{desk.exchange.url}/control/clock"
        assert httpx.post(clock, json={"set": before}, trust_env=False).is_success
        over = closing + timedelta(minutes=3)
        desk.until(lambda: datetime.fromisoformat(desk.health()["time"]) > over, "15:33", within=20)
        assert desk.health()["status"] == "ok"
        desk.stop()
    [(last,)] = place.rows("select max(start) from candles")
    judged = place.rows(
        "select start from component_minutes where name = 'market feed' and judged > 0"
    )

    assert datetime.fromtimestamp(last / 1000, IST) == closing - timedelta(minutes=1)
    assert max(start for (start,) in judged) < closing.timestamp() * 1000
    assert place.count("alerts") == place.count("incidents") == 0
