"""Orders on the phone: what the disk has of them and nobody was told of, each thing once.

Signals are hints to look; what is told is what was committed.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from alerts import order_words, words
from alerts.resting import Sleep, rest
from alerts.telling import Draft, Teller
from trading.accounts import Accounts
from trading.basket import Basket, BasketState
from trading.basket_book import BasketMoved
from trading.clock import Clock
from trading.desk import World
from trading.errors import VigilError
from trading.health import Alert, Component, Occasion, Severity
from trading.health_ports import AlertJournal, OrderNews
from trading.model import Instrument
from trading.order import Order, OrderStatus, Step
from trading.order_book import OrderMoved
from trading.positions import PositionBook
from trading.signal import Signal

log = logging.getLogger(__name__)

EVERY: Final = 3.0  # seconds between two looks that nobody asked for
SOON: Final = 0.5  # seconds, while something waits
MOST: Final = 500
TOGETHER: Final = 2.0  # seconds in which the fills of one order are one message
DOUBT: Final = 3.0  # seconds; the first search by its tag comes before that
COST: Final = 5.0  # seconds that the charges of a reversal may take to be known
FORMER: Final = timedelta(minutes=15)  # an older outcome is not news any more after a start
_SILENT: Final = (OrderStatus.SENT, OrderStatus.DENIED)  # told where it was asked for


class Orders(Protocol):
    changes: Signal[OrderMoved]


class Baskets(Protocol):
    changes: Signal[BasketMoved]

    def all(self, account: str | None = None) -> list[Basket]: ...


@dataclass(slots=True)
class _Story:
    """What is known of one order and not told."""

    news: list[OrderNews]

    @property
    def order(self) -> Order:
        return self.news[-1].order

    @property
    def step(self) -> Step:
        return self.news[-1].step

    @property
    def before(self) -> Step | None:
        return self.news[0].before

    @property
    def numbers(self) -> list[int]:
        return [news.number for news in self.news]


class OrderNewsTeller:
    """Owns what was seen of order news and not told yet."""

    def __init__(
        self,
        *,
        clock: Clock,
        journal: AlertJournal,
        teller: Teller,
        world: World,
        orders: Orders,
        baskets: Baskets,
        positions: PositionBook,
        accounts: Accounts,
        instrument: Callable[[str], Instrument | None],
        alarms: bool = True,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`alarms` False leaves what is critical, an order in doubt or a naked leg, to the rules
        of the watch, which find it too.
        """
        self._clock = clock
        self._journal = journal
        self._teller = teller
        self._world = world
        self._orders = orders
        self._baskets = baskets
        self._positions = positions
        self._accounts = accounts
        self._instrument = instrument
        self._alarms = alarms
        self._sleep = sleep
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._undo: list[Callable[[], None]] = []
        self._handled: set[int] = set()  # with the Teller, and perhaps not forgotten by the disk
        self._since: dict[str, float] = {}  # when an order that waits was first seen
        self._outcomes: dict[str, tuple[Basket, float]] = {}

    def start(self) -> None:
        """Begin once the desk has read its books, so that positions can be told."""
        self._undo = [
            self._orders.changes.subscribe(lambda moved: self._woken.set()),
            self._baskets.changes.subscribe(self._on_basket),
        ]
        for basket in self._baskets.all():
            self._on_basket(BasketMoved(None, basket))
        self._task = asyncio.create_task(self._run(), name="order news")

    async def stop(self) -> None:
        for undo in self._undo:
            undo()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """Tell what there is to tell; raises VigilError if the disk cannot be read."""
        found = await self._journal.order_news(most=MOST)
        self._handled &= {news.number for news in found}
        drafts: list[Draft] = []
        handled: list[int] = []
        stories = _stories([n for n in found if n.number not in self._handled])
        there = {story.order.id for story in stories}
        self._since = {order: at for order, at in self._since.items() if order in there}
        for story in stories:
            if self._is_early(story):
                continue
            self._since.pop(story.order.id, None)
            handled += story.numbers
            if self._is_worth_telling(story):
                drafts.append(Draft(self._alert(story)))
        drafts += self._outcome_drafts()
        if drafts or handled:
            self._handled.update(handled)
            await self._teller.tell(drafts, handled=handled)

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except VigilError as error:
                log.warning("order news cannot be read: %s", error)
            except Exception:
                log.exception("order news stumbled")
            waits = self._since or self._outcomes
            await rest(SOON if waits else EVERY, self._woken, self._sleep)

    # orders

    def _is_early(self, story: _Story) -> bool:
        """Return whether more of it may come in a moment: another fill, or the end of a doubt."""
        if story.step.status is OrderStatus.IN_DOUBT:
            wait = DOUBT
        elif story.step.status is OrderStatus.WORKING and _grew(story):
            wait = TOGETHER
        else:
            return False
        now = self._clock.monotonic()
        return now - self._since.setdefault(story.order.id, now) < wait

    def _is_worth_telling(self, story: _Story) -> bool:
        order, step, before = story.order, story.step, story.before
        if step.status in _SILENT or self._is_former(story):
            return False
        if order.external and step.status is OrderStatus.NOT_PLACED:
            return False  # it was taken for somebody else's: our own order tells of it
        if step.status is OrderStatus.IN_DOUBT:
            return self._alarms and (before is None or before.status is not step.status)
        if step.status is OrderStatus.WORKING:
            placed_elsewhere = order.external and before is None
            return _grew(story) or placed_elsewhere or (self._alarms and _was_in_doubt(story))
        changed = before is None or before.status is not step.status
        return changed or _grew(story)

    def _is_former(self, story: _Story) -> bool:
        """Return whether it was over elsewhere long before the day's first read told of it."""
        order = story.order
        if not order.external or story.before is not None or not order.status.final:
            return False
        moments = [c.exchange_time or c.placed for c in order.children]
        latest = max((moment for moment in moments if moment), default=None)
        return latest is not None and self._clock.now() - latest > FORMER

    def _alert(self, story: _Story) -> Alert:
        order, step = story.order, story.step
        instrument = self._instrument(order.request.instrument_key)
        lines = [order_words.facts(order, step), order_words.act(order, step, self._free(order))]
        if step.filled:
            lines.append(self._standing(order, instrument))
        if order.request.batch_id:
            lines.append(f"Leg {order.request.leg} of a basket")
        return self._told(
            f"order {order.id}",
            order_words.title(order_words.head(order, step), order, instrument),
            lines,
            severity=order_words.severity(step.status),
            occasion=self._occasion(story),
            at=step.at,
            is_mock=order.is_mock,
            link="/orders",
            once=f"{order.id} {step.status} {step.filled}",
        )

    def _occasion(self, story: _Story) -> Occasion:
        if story.step.status is OrderStatus.IN_DOUBT:
            return Occasion.BEGIN
        return Occasion.END if self._alarms and _was_in_doubt(story) else Occasion.EVENT

    def _standing(self, order: Order, instrument: Instrument | None) -> str:
        """Return `Now short 2 lots (150) · day P&L ▲ +₹6,720.00`, dashes for what is unknown."""
        request = order.request
        key = (request.account, request.instrument_key, request.product)
        position = self._positions.get(*key)
        held = "position — (not in our book yet)"
        if position is not None:
            doubt = f" (in doubt: {position.in_doubt})" if position.in_doubt else ""
            held = f"Now {words.held(position.quantity, instrument)}{doubt}"
        total = self._positions.total()
        known = total.complete and total.total is not None
        gain = words.gain(total.total) if known else f"{words.DASH} ({total.reason or 'not known'})"
        return f"{self._whose(request.account)}{held} · day P&L {gain}"

    def _whose(self, account: str) -> str:
        """Return the account's name where there are several."""
        states = self._accounts.all()
        names = {state.account.id: state.account.name for state in states}
        return f"{names.get(account, account)}: " if len(names) > 1 else ""

    def _free(self, order: Order) -> int | None:
        state = self._accounts.get(order.request.account)
        return state.funds.available if state is not None and state.funds is not None else None

    # baskets

    def _on_basket(self, moved: BasketMoved) -> None:
        """Keep an outcome that is new; the Teller knows those that were told before a crash."""
        after, before = moved.after, moved.before
        severity = order_words.basket_severity(after.state)
        if severity is None or (after.state is BasketState.UNRESOLVED and not self._alarms):
            self._outcomes.pop(after.id, None)
            return
        if after.id in self._outcomes:
            self._outcomes[after.id] = (after, self._outcomes[after.id][1])
        elif before is None:
            recent = self._clock.now() - after.updated <= FORMER
            if recent or after.alarming:
                self._outcomes[after.id] = (after, self._clock.monotonic())
        elif before.state is not after.state:
            self._outcomes[after.id] = (after, self._clock.monotonic())
        self._woken.set()

    def _outcome_drafts(self) -> list[Draft]:
        now, drafts = self._clock.monotonic(), []
        for basket, since in list(self._outcomes.values()):
            counting = basket.state is BasketState.REVERSED and basket.cost is None
            if counting and now - since < COST:
                continue
            del self._outcomes[basket.id]
            drafts.append(Draft(self._outcome(basket)))
        return drafts

    def _outcome(self, basket: Basket) -> Alert:
        severity = order_words.basket_severity(basket.state)
        assert severity is not None  # others are not kept
        return self._told(
            f"basket {basket.id}",
            order_words.basket_title(basket),
            list(order_words.basket_lines(basket)),
            severity=severity,
            occasion=Occasion.EVENT,
            at=basket.updated,
            is_mock=basket.is_mock,
            link="/baskets",
            once=f"basket {basket.id} {basket.state}",
        )

    def _told(
        self,
        key: str,
        title: str,
        lines: Sequence[str],
        *,
        severity: Severity,
        occasion: Occasion,
        at: datetime,
        is_mock: bool,
        link: str,
        once: str,
    ) -> Alert:
        return Alert(
            key=key,
            component=Component.BOOKS,
            occasion=occasion,
            severity=severity,
            at=at,
            title=title,
            lines=tuple(line for line in lines if line),
            link=link,
            mode=self._world.word,
            is_mock=is_mock,
            kind="order",
            once=once,
        )


def _stories(news: Sequence[OrderNews]) -> list[_Story]:
    """Group news by their orders, in the order of each one's last."""
    found: dict[str, _Story] = {}
    for item in news:
        story = found.pop(item.order.id, _Story([]))
        story.news.append(item)
        found[item.order.id] = story
    return list(found.values())


def _grew(story: _Story) -> bool:
    """Return whether more was filled than was told."""
    return story.step.filled > (story.before.filled if story.before else 0)


def _was_in_doubt(story: _Story) -> bool:
    return story.before is not None and story.before.status is OrderStatus.IN_DOUBT
