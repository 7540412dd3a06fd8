"""Pictures for the phone: the day's P&L, a week of uptime. They are drawn off the loop."""

import asyncio
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from alerts import words
from trading.clock import Clock
from trading.desk import Desk
from trading.equity import Point, totals, with_holes
from trading.health import Minute
from trading.health_ports import Watchroom
from trading.hours import IST
from trading.order import Side
from trading.ports import PnlPoint

SIZE: Final = (800, 420)
EVERY: Final = 10.0  # seconds between two drawings of one kind
HOURS: Final = 7 * 24
ROWS: Final = 5  # components of the week
LEFT, RIGHT, TOP, BOTTOM = 96, 776, 80, 372
LOST: Final = "not known"  # the font has no dash
MOST_POINTS: Final = 700  # of the curve: one for each column of it

INK, FAINT, GRID, PAPER = "#e8eaf0", "#9aa3b5", "#2b3240", "#10141c"
UP, DOWN, BUY, SELL, MOCK = "#4cc38a", "#ff6b6b", "#6cb2ff", "#ffa657", "#b18cff"


@dataclass(frozen=True, slots=True)
class Curve:
    """The day's P&L: times in epoch ms, amounts in rupees; None is a hole."""

    title: str
    points: tuple[Point, ...]
    fills: tuple[tuple[int, Side], ...]
    gaps: tuple[tuple[int, int], ...]
    mock: str  # what is written over it, empty where it is real


@dataclass(frozen=True, slots=True)
class Week:
    """Components with the share of each hour that they were up; None where nothing was judged."""

    title: str
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]
    days: tuple[str, ...]
    mock: str


class Pictures:
    """Draws at most one of a kind in ten seconds; who asks again gets the one before."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._drawn: dict[str, tuple[float, bytes]] = {}

    async def pnl(self, desk: Desk) -> bytes:
        """Return a PNG of today's curve; raise VigilError if its points cannot be read."""
        return self._known("pnl") or await self._draw("pnl", curve_png, await _curve(desk))

    async def uptime(self, desk: Desk, room: Watchroom) -> bytes:
        """Return a PNG of the last seven days; raise VigilError if they cannot be read."""
        return self._known("week") or await self._draw("week", week_png, await _week(desk, room))

    def _known(self, kind: str) -> bytes:
        at, png = self._drawn.get(kind, (0.0, b""))
        return png if png and self._clock.monotonic() - at < EVERY else b""

    async def _draw(self, kind: str, draw: Callable[..., bytes], of: Curve | Week) -> bytes:
        png = await asyncio.to_thread(draw, of)
        self._drawn[kind] = (self._clock.monotonic(), png)
        return png


# what is drawn


async def _curve(desk: Desk) -> Curve:
    now = desk.clock.now()
    midnight = now.astimezone(IST).replace(hour=0, minute=0, second=0, microsecond=0)
    points: list[PnlPoint] = []
    for state in desk.accounts.all():
        points += await desk.pnl.pnl(state.account.id, since=midnight, until=now)
    gaps = await desk.journal.gaps(desk.feed.name, since=midnight, until=now)
    fills = [(_ms(fill.at), fill.side) for fill in desk.positions.fills()]
    return Curve(
        f"P&L of {now.astimezone(IST):%d %b %Y}, rupees",
        tuple(with_holes(totals(points))),
        tuple(fills),
        tuple((_ms(gap.start), _ms(gap.end or now)) for gap in gaps),
        desk.world.word if desk.world.word != "LIVE" else "",  # paper fills are made up, too
    )


async def _week(desk: Desk, room: Watchroom) -> Week:
    now = desk.clock.now()
    end = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    start = end - timedelta(hours=HOURS)
    rows = []
    for row in room.watch.components()[:ROWS]:
        minutes = await room.uptime.minutes(row.name, since=start, until=end)
        rows.append((row.name, by_hour(minutes, start)))
    days = tuple(f"{(start + timedelta(days=n)).astimezone(IST):%a %d}" for n in range(7))
    mock = desk.world.word if desk.world.is_mock else ""
    return Week("Uptime of seven days, in market time", tuple(rows), days, mock)


def by_hour(minutes: Sequence[Minute], start: datetime) -> tuple[float | None, ...]:
    """Return the share of each hour since `start` that something was up."""
    up, judged = [0.0] * HOURS, [0.0] * HOURS
    for minute in minutes:
        hour = int((minute.start - start).total_seconds() // 3600)
        if 0 <= hour < HOURS:
            up[hour] += minute.up
            judged[hour] += minute.judged
    return tuple(u / j if j else None for u, j in zip(up, judged, strict=True))


# how


def curve_png(curve: Curve) -> bytes:
    image, draw = _paper(curve.title, curve.mock)
    known = [(at, value) for at, value in curve.points if value is not None]
    if not known:
        draw.text((LEFT, 200), "No P&L is known today.", INK, _font(20))
        return _png(image)
    times = [at for at, _ in curve.points] + [at for at, _ in curve.fills]
    scale = _Scale(min(times), max(times), *_range([value for _, value in known]))
    _hatch(draw, [(scale.x(a), scale.x(b)) for a, b in curve.gaps])
    _axes(draw, scale)
    _line(draw, scale, _thinned(curve.points))
    for at, side in curve.fills:
        _mark(draw, scale.x(at), _near(curve.points, at, scale), side)
    amount, since = latest(curve.points)
    colour = FAINT if amount == LOST else UP if known[-1][1] >= 0 else DOWN
    draw.text((RIGHT, 20), amount, colour, _font(24), anchor="ra")
    draw.text((RIGHT, 50), since, FAINT, _font(14), anchor="ra")
    return _png(image)


def latest(points: Sequence[Point]) -> tuple[str, str]:
    """Return the last amount and of when it is; no amount if it is not known any more.

    At least one of the points has to be known.
    """
    at, value = next((at, value) for at, value in reversed(points) if value is not None)
    amount = f"{'+' if value > 0 else ''}{words.price(value)}"
    moment = words.clock(datetime.fromtimestamp(at / 1000, IST))
    if points[-1][1] is None:
        return LOST, f"since {moment}, it was {amount} then"
    return amount, f"at {moment}"


def week_png(week: Week) -> bytes:
    image, draw = _paper(week.title, week.mock)
    width = (RIGHT - 200) / HOURS
    for number, (name, shares) in enumerate(week.rows):
        y = TOP + number * 58
        draw.text((16, y + 10), name[:24], INK, _font(15))
        for hour, share in enumerate(shares):
            x = 200 + hour * width
            if share is not None:
                box = (x, y + 36 * (1 - max(0.06, share)), x + width, y + 36)
                draw.rectangle(box, fill=_shade(share))
        draw.line((200, y + 37, RIGHT, y + 37), fill=GRID)
    for number, day in enumerate(week.days):
        draw.text((204 + number * 24 * width, BOTTOM), day, FAINT, _font(15))
    legend = "full: up, short and red: down, empty: market closed or not known"
    draw.text((200, BOTTOM + 22), legend, FAINT, _font(14))
    return _png(image)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Times and amounts to places on the paper."""

    first: int
    last: int
    low: float
    high: float

    def x(self, at: int) -> float:
        share = (at - self.first) / max(1, self.last - self.first)
        return LEFT + (RIGHT - LEFT) * min(1.0, max(0.0, share))

    def y(self, value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (value - self.low) / (self.high - self.low)


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and highest amount shown; zero is always in between."""
    low, high = min(0.0, *values), max(0.0, *values)
    room = 0.08 * (high - low) or 1.0
    return low - room, high + room


def _paper(title: str, mock: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", SIZE, PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((16, 20), title, INK, _font(18))
    if mock:
        draw.text((400, 218), mock, "#241f38", _font(72), anchor="mm")
        draw.text((16, 44), mock, MOCK, _font(16))
        draw.rectangle((0, 0, SIZE[0] - 1, SIZE[1] - 1), outline=MOCK, width=3)
    return image, draw


def _axes(draw: ImageDraw.ImageDraw, scale: _Scale) -> None:
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        at = round(scale.first + share * (scale.last - scale.first))
        moment = datetime.fromtimestamp(at / 1000, IST)
        draw.text((scale.x(at), BOTTOM + 10), f"{moment:%H:%M}", FAINT, _font(14), anchor="ma")
    for value in (scale.low, scale.high):
        draw.text(
            (LEFT - 8, scale.y(value)), words.price(value)[:-3], FAINT, _font(14), anchor="rm"
        )
    zero = scale.y(0.0)
    draw.line((LEFT, zero, RIGHT, zero), fill=FAINT)
    draw.text((LEFT - 8, zero), "0", INK, _font(14), anchor="rm")


def _line(draw: ImageDraw.ImageDraw, scale: _Scale, points: Sequence[Point]) -> None:
    """Draw what is known; a hole breaks the line, a point between two holes is a dot."""
    run: list[tuple[float, float]] = []
    for at, value in [*points, (0, None)]:
        if value is not None:
            run.append((scale.x(at), scale.y(value)))
            continue
        if len(run) == 1:
            (x, y) = run[0]
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=INK)
        elif run:
            draw.line(run, fill=INK, width=2)
        run = []


def _thinned(points: Sequence[Point]) -> list[Point]:
    """Return some of very many points; every hole stays."""
    step = max(1, len(points) // MOST_POINTS)
    last = len(points) - 1
    return [p for n, p in enumerate(points) if p[1] is None or n % step == 0 or n == last]


def _hatch(draw: ImageDraw.ImageDraw, bands: Sequence[tuple[float, float]]) -> None:
    for begin, end in bands:
        end = max(end, begin + 2)
        draw.rectangle((begin, TOP, end, BOTTOM), fill="#1d2230")
        for y in range(TOP, BOTTOM, 8):
            draw.line((begin, y + min(8.0, end - begin), end, y), fill="#4a5267")


def _mark(draw: ImageDraw.ImageDraw, x: float, y: float, side: Side) -> None:
    """Draw a fill: a blue triangle upwards for a buy, an orange one downwards for a sale."""
    sign = 1 if side is Side.BUY else -1
    corners = [(x, y - 7 * sign), (x - 6, y + 5 * sign), (x + 6, y + 5 * sign)]
    draw.polygon(corners, fill=BUY if side is Side.BUY else SELL)


def _near(points: Sequence[Point], at: int, scale: _Scale) -> float:
    """Return the height of the curve at a moment, zero where it is not known."""
    known = [(abs(t - at), v) for t, v in points if v is not None]
    return scale.y(min(known)[1]) if known else scale.y(0.0)


def _shade(share: float) -> str:
    return UP if share >= 0.999 else "#e5c365" if share >= 0.95 else DOWN


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)  # comes with the library, so it is there everywhere


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
