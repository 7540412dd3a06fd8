"""Messages in Telegram's HTML: escaped, in tables of a phone's width, split at its limit. Pure."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from alerts.bot.parsing import clean

LIMIT: Final = 4_096  # characters of one message
CAPTION: Final = 1_024  # of the text below a picture
WIDTH: Final = 34  # characters of a line of equal widths on a phone
CHUNK: Final = 600  # characters of one line: escaped they are below the limit


@dataclass(frozen=True, slots=True)
class Text:
    """Plain words, one line each."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Plain lines that are shown in letters of equal width, the columns joined already."""

    lines: tuple[str, ...]


Block = Text | Table


def text(*lines: str) -> Text:
    return Text(lines)


def table(rows: Sequence[Sequence[str]], *, right: Iterable[int] = ()) -> Table:
    """Join the cells of rows to columns; those of the indices `right` end where the column ends."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(len(row[n]) for row in cells) for n in range(len(cells[0]))] if cells else []
    ends = set(right)
    joined = (
        " ".join(
            cell.rjust(width) if n in ends else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )
    return Table(tuple(_within(line) for line in joined))


def messages(title: str, blocks: Sequence[Block], *, markup: bool = True) -> list[str]:
    """Return the messages that say this; without `markup` they are plain text."""
    made: list[str] = []
    lines: list[str] = []
    size = 0
    for line, tabular in _lines(title, blocks, markup=markup):
        if lines and size + _size(line) > LIMIT - 16:  # room for the tags of a table
            made.append(_joined(lines, markup=markup))
            lines, size = [], 0
        lines.append(f"\0{line}" if tabular else line)
        size += _size(line) + 1
    made.append(_joined(lines, markup=markup))
    return [message for message in made if message.strip()]


def caption(title: str, lines: Iterable[str]) -> str:
    """Return the text below a picture: as many of the lines as fit."""
    said = f"<b>{escaped(title[:CHUNK])}</b>"
    for line in lines:
        if _size(said) + _size(escaped(line)) + 1 > CAPTION:
            break
        said += f"\n{escaped(line)}"
    return said


def escaped(words: str) -> str:
    return html.escape(clean(words), quote=False)


def _lines(title: str, blocks: Sequence[Block], *, markup: bool) -> Iterable[tuple[str, bool]]:
    """Yield each line ready to be sent, and whether it is of a table."""
    write = escaped if markup else clean
    for chunk in _chunks(clean(title)):
        yield (f"<b>{write(chunk)}</b>" if markup else chunk), False
    for block in blocks:
        for line in block.lines:
            for chunk in _chunks(line):
                yield write(chunk), isinstance(block, Table)


def _chunks(line: str) -> list[str]:
    return [line[n : n + CHUNK] for n in range(0, len(line), CHUNK)] or [""]


def _joined(lines: Sequence[str], *, markup: bool) -> str:
    """Join lines; those of tables, which a zero marks, get their tags around them."""
    said = ""
    inside = False
    for number, line in enumerate(lines):
        tabular = line.startswith("\0")
        if markup and inside and not tabular:
            said += "</pre>"
        said += "\n" if number else ""
        said += "<pre>" if markup and tabular and not inside else ""
        said += line.removeprefix("\0")
        inside = tabular
    return said + ("</pre>" if markup and inside else "")


def _size(words: str) -> int:
    """Return how long Telegram finds it: units of UTF-16."""
    return len(words.encode("utf-16-le")) // 2


def _within(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"
