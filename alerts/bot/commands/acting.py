"""/cancel /exit /flatten: in two steps, by the same functions as the pages."""

import asyncio
from collections.abc import Hashable, Sequence
from functools import partial
from typing import Final

from alerts import words
from alerts.bot import figures, held
from alerts.bot.answer import Answer
from alerts.bot.asked import Asked, Command
from alerts.bot.commands.book import described
from alerts.bot.commands.watching import by
from alerts.bot.markup import text
from alerts.bot.questions import VALID, Question
from trading.closing import Sent
from trading.desk import Desk
from trading.errors import VigilError
from trading.exit_plan import ExitLine, in_order, plan, request
from trading.health import Button
from trading.order import Order, OrderStatus, Side
from trading.positions import Key, Position

VERBS: Final = {Side.BUY: "Buy back", Side.SELL: "Sell"}
ANSWER: Final = f"Answer within {VALID:g} s."


# /cancel


async def cancel(asked: Asked) -> Answer:
    desk = asked.desk
    if asked.no_orders:
        return Answer("CANCEL", (text(asked.no_orders),))
    everything = [o for o in desk.orders.working() if o.children]
    whole = asked.rest.lower() == "all"
    found = everything if whole else _named(everything, asked.words)
    if not found:
        nothing = _unknown(desk, "cancelled") or ["Nothing works."]
        lines = nothing if whole else ["Which? /orders shows their numbers, or: all"]
        return Answer("CANCEL", (text(*lines),))
    ids = [order.id for order in found]
    about = f"cancel {words.count(len(found), 'order')}"
    question = Question(
        asked.person.chat,
        asked.person.user,
        about,
        lambda: _orders_now(desk, ids),
        lambda _: _cancelled(asked, ids),
    )
    lines = [f"{n}. {described(desk, order)}" for n, order in enumerate(found, 1)]
    return _question(asked, question, f"CANCEL {len(found)}?", lines, f"Cancel {len(found)}")


def _named(working: Sequence[Order], named: Sequence[str]) -> list[Order]:
    ordered = sorted(working, key=lambda order: order.created)
    if len(named) != 1:
        return []
    if exact := [o for o in ordered if o.id == named[0]]:
        return exact
    number = int(named[0]) if named[0].isascii() and named[0].isdigit() else 0
    return [ordered[number - 1]] if 0 < number <= len(ordered) else []


def _orders_now(desk: Desk, ids: Sequence[str]) -> Hashable:
    found = [desk.orders.get(order_id) for order_id in ids]
    return tuple((o.id, o.status, o.filled, o.request) for o in found if o is not None)


async def _cancelled(asked: Asked, ids: Sequence[str]) -> Answer:
    began = asked.desk.clock.monotonic()
    lines = await asyncio.gather(*(_cancel_one(asked, order_id) for order_id in ids))
    done = sum(line.startswith("✓") for line in lines)
    title = f"CANCELLED {done} of {len(ids)} in {_took(asked, began)}"
    return Answer(title, (text(*lines),))


async def _cancel_one(asked: Asked, order_id: str) -> str:
    desk = asked.desk
    try:
        order = await desk.orders.cancel_in_turn(order_id)
    except VigilError as error:
        known = desk.orders.get(order_id)
        name = described(desk, known) if known else order_id
        return f"✖ {name}: not cancelled, {error}"
    await asked.closing.final(order_id)
    order = desk.orders.get(order_id) or order
    return _outcome(desk, order, OrderStatus.CANCELLED)


# /exit


async def exit_(asked: Asked) -> Answer:
    found = held.find(asked.desk, asked.words)
    if not asked.words or not found:
        return Answer("EXIT", (text("Which position? /pos shows their numbers: /exit 1"),))
    if len(found) > 1:
        lines = [f"“{asked.rest}” fits {len(found)} positions: say more, or take its number"]
        return Answer("EXIT", (text(*lines),))
    return await _leave(asked, found, "EXIT", cancels=False)


async def flatten(asked: Asked) -> Answer:
    desk = asked.desk
    found = held.open_positions(desk)
    working = desk.orders.working()
    if not found and not working:
        nothing = _unknown(desk, "sent") or ["Nothing is open and nothing works."]
        return Answer("FLATTEN", (text(*nothing),))
    return await _leave(asked, found, "FLATTEN", cancels=True)


def _unknown(desk: Desk, done: str) -> list[str]:
    """Return why there may be more than the desk knows, and that it did nothing about that."""
    doubts = figures.reservations(desk)
    return [*doubts, f"So nothing was {done}: look at what the broker shows"] if doubts else []


async def _leave(asked: Asked, found: Sequence[Position], verb: str, *, cancels: bool) -> Answer:
    desk = asked.desk
    if refusal := asked.no_orders or _locked(desk, found):
        return Answer(verb, (text(refusal),))
    working = [o for o in desk.orders.working() if o.children] if cancels else []
    lines = in_order(_lines(desk, found))
    said = [f"First cancels {words.count(len(working), 'working order')}."] if working else []
    sendable = 0
    for number, line in enumerate(lines, 1):
        why_not = await _why_not(desk, line)
        said += _said(desk, line, number, why_not, cancels=cancels)
        sendable += not why_not
    said += figures.reservations(desk)
    if not sendable and not working:
        return Answer(verb, (text(*said, "Nothing can be sent now."),))
    keys = [line.key for line in lines]
    nonce = f"phone {desk.clock.now():%Y%m%d%H%M%S}"
    question = Question(
        asked.person.chat,
        asked.person.user,
        f"{verb.lower()} {words.count(len(lines), 'position')}",
        partial(_facts, desk, None if cancels else keys),
        lambda token: _left(asked, None if cancels else keys, f"{nonce} {token}"),
    )
    does = f"{verb.capitalize()} {len(lines)}"
    return _question(asked, question, f"{verb} {len(lines)}?", said, does)


def _locked(desk: Desk, found: Sequence[Position]) -> str:
    latch = desk.accounts.latch
    if any(latch.needed(position.account) for position in found):
        return "Real orders are locked today: type LIVE on the page first. Nothing was sent."
    return ""


def _lines(desk: Desk, positions: Sequence[Position]) -> list[ExitLine]:
    return [plan(p, desk.orders.working(p.account)) for p in positions if p.quantity]


def _positions(desk: Desk, keys: Sequence[Key] | None) -> list[Position]:
    """Return the positions that are meant, as they are now; None means all that are open."""
    if keys is None:
        return held.open_positions(desk)
    found = [desk.positions.get(*key) for key in keys]
    return [position for position in found if position is not None]


def _facts(desk: Desk, keys: Sequence[Key] | None) -> Hashable:
    """Return what a question is about; prices may move, what is held and what works may not."""
    lines = _lines(desk, _positions(desk, keys))
    working = desk.orders.working() if keys is None else ()
    return (
        frozenset((x.key, x.side, x.quantity, tuple(o.id for o in x.resting)) for x in lines),
        frozenset((order.id, order.pending) for order in working),
    )


async def _why_not(desk: Desk, line: ExitLine) -> str:
    """Return why a line is left out, empty if it can be sent."""
    if not line.quantity:
        return "nothing is left to send"
    if line.doubtful is not None:
        return (
            "an order that may close it is IN DOUBT: sent again, it may close it twice. Use the "
            "page, where a reason is typed"
        )
    try:
        found = await desk.orders.check(request(line, "review", "exit"))
    except VigilError as error:
        return f"the desk would not send it: {error}"
    refused = "; ".join(problem.words for problem in found)
    return f"the desk would not send it: {refused}" if refused else ""


def _said(desk: Desk, line: ExitLine, number: int, why_not: str, *, cancels: bool) -> list[str]:
    """Return in words what will be done with a line, and what one has to know of it."""
    key = line.key[1]
    instrument = figures.instrument(desk, key)
    size, name = words.lots(line.quantity or line.held, instrument), words.name(instrument, key)
    said = [f"{number}. {VERBS[line.side]} {size} {name} at the market"]
    if why_not:
        return [*said, f"   ✖ left out: {why_not}"]
    said.append(f"   {figures.price_line(desk, key)}")
    if desk.marks.of(key) is None:
        said.append("   ✖ no price to rely on: a market order takes what the market pays")
    if line.resting and not cancels:
        said.append(f"   first cancels {words.count(len(line.resting), 'resting order')}")
    if line.on_its_way:
        said.append(f"   {words.lots(line.on_its_way, instrument)} on the way already")
    if line.adding and not cancels:
        said.append("   an order that opens it again still works: /orders")
    if line.position_doubt:
        said.append(f"   ✖ how much is held is in doubt: {line.position_doubt}")
    return said


async def _left(asked: Asked, keys: Sequence[Key] | None, nonce: str) -> Answer:
    """Do what was asked for; what is sent is planned anew after what works was cancelled."""
    desk = asked.desk
    began = desk.clock.monotonic()
    said = await _cancel_all(asked) if keys is None else []
    lines = in_order(_lines(desk, _positions(desk, keys)))
    sendable = [line for line in lines if line.quantity and line.doubtful is None]
    source = f"exit by {by(asked)}"
    send = [
        (line, partial(asked.closing.send, line, f"{nonce} {number}", source))
        for number, line in enumerate(sendable, 1)
    ]
    sent = await asked.closing.in_waves(send)
    await asyncio.gather(*(asked.closing.final(s.order.id) for s in sent if s.order))
    took = _took(asked, began)
    said += [_result(desk, one) for one in sent]
    still = [p for p in _positions(desk, keys) if p.quantity]
    doubts = figures.reservations(desk)
    gone = "By our own count nothing" if doubts else "Nothing"
    said += [f"STILL OPEN: {_held(desk, p)}" for p in still] or [f"{gone} of it is open any more."]
    said += doubts
    closed = sum(_is_filled(desk, one) for one in sent)
    return Answer(f"CLOSED {closed} of {len(lines)} in {took}", (text(*said),), (_AFTER,))


async def _cancel_all(asked: Asked) -> list[str]:
    """Cancel whatever works; return what came of it in words."""
    desk = asked.desk
    working = [order.id for order in desk.orders.working() if order.children]
    if not working:
        return []
    began = desk.clock.monotonic()
    told = await asyncio.gather(*(_cancel_one(asked, order_id) for order_id in working))
    done = sum(line.startswith("✓") for line in told)
    head = f"Cancelled {done} of {len(working)} in {_took(asked, began)}"
    return [head, *(line for line in told if not line.startswith("✓"))]


def _result(desk: Desk, sent: Sent) -> str:
    if sent.order is not None:
        order = desk.orders.get(sent.order.id) or sent.order
        return _outcome(desk, order, OrderStatus.FILLED)
    return f"✖ {figures.name(desk, sent.line.key[1])}: {sent.words}"


def _is_filled(desk: Desk, sent: Sent) -> bool:
    known = desk.orders.get(sent.order.id) if sent.order else None
    return known is not None and known.status is OrderStatus.FILLED


def _held(desk: Desk, position: Position) -> str:
    instrument = figures.instrument(desk, position.instrument_key)
    size = words.held(position.quantity, instrument)
    return f"{words.name(instrument, position.instrument_key)} {size}"


# both


def _question(
    asked: Asked, question: Question, title: str, lines: Sequence[str], does: str
) -> Answer:
    token = asked.questions.ask(question)
    keys = (Button(f"✅ {does}", f"yes {token}"), Button("✖ Cancel", f"no {token}"))
    return Answer(title, (text(*lines, ANSWER),), (keys,))


def _outcome(desk: Desk, order: Order, wanted: OrderStatus) -> str:
    """Return in a line what became of an order, and whether that is what was wanted."""
    what, mark = described(desk, order), "✓" if order.status is wanted else "✖"
    match order.status:
        case OrderStatus.FILLED:
            return f"{mark} {what}: filled at {words.price(order.average_price)}"
        case OrderStatus.CANCELLED:
            part = f", {order.filled} were filled before" if order.filled else ""
            return f"{mark} {what}: cancelled{part}"
        case OrderStatus.IN_DOUBT:
            return f"? {what}: IN DOUBT, it is being looked for and not sent again"
        case status if not status.final:
            return f"◌ {what}: {status}, not confirmed yet"
        case status:
            return f"✖ {what}: {status}, {order.message or 'no reason was given'}"


def _took(asked: Asked, began: float) -> str:
    return f"{1000 * (asked.desk.clock.monotonic() - began):.0f} ms"


_AFTER: Final = (Button("Positions", "pos"), Button("Orders", "orders"))

COMMANDS: Final = (
    Command("cancel", "cancel orders, asks first", cancel, "<n|all>", acts=True),
    Command("exit", "close a position, asks first", exit_, "<n|name>", acts=True),
    Command("flatten", "cancel all and close all, asks first", flatten, acts=True),
)
