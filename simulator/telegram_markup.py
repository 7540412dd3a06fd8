"""What a message may look like: Telegram's HTML, its lengths and its keyboards, really checked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape
from typing import Final
from urllib.parse import urlsplit

from simulator.envelope import Json

TEXT: Final = 4096  # characters of a message, counted after the tags are gone
CAPTION: Final = 1024
DATA: Final = 64  # bytes that a button may carry back

# The tags that are allowed, by what they become.
KINDS: Final = {
    "b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline",
    "ins": "underline", "s": "strikethrough", "strike": "strikethrough", "del": "strikethrough",
    "code": "code", "pre": "pre", "a": "text_link", "tg-spoiler": "spoiler",
    "blockquote": "blockquote",
}  # fmt: skip
_TAG: Final = re.compile(r"<(/?)([^\s<>/]*)((?:\s[^<>]*)?)>")
_ATTRIBUTE: Final = re.compile(r"""([a-z-]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")
_ENTITY: Final = re.compile(r"&(?:lt|gt|amp|quot|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});")


class BotError(Exception):
    """A refusal of the Bot API: its code, and what is wrong in Telegram's own words."""

    def __init__(self, code: int, words: str, *, retry_after: int | None = None) -> None:
        super().__init__(words)
        self.code = code
        self.words = words
        self.retry_after = retry_after


def bad(words: str) -> BotError:
    return BotError(400, f"Bad Request: {words}")


@dataclass(frozen=True, slots=True)
class Entity:
    """A stretch of a text; offset and length in UTF-16 units, as Telegram counts."""

    kind: str
    offset: int
    length: int
    url: str = ""

    def row(self) -> dict[str, Json]:
        row: dict[str, Json] = {"type": self.kind, "offset": self.offset, "length": self.length}
        return row | {"url": self.url} if self.url else row


@dataclass(frozen=True, slots=True)
class Text:
    """A text without its tags, what the tags said, and the HTML it came from."""

    plain: str = ""
    entities: tuple[Entity, ...] = ()
    html: str = ""

    def __len__(self) -> int:
        return units(self.plain)


@dataclass(slots=True)
class _Open:
    tag: str
    kind: str
    url: str
    offset: int


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plain(text: str) -> Text:
    stripped = text.strip()
    return Text(stripped, html=escaped(stripped))


def read_text(text: str, parse_mode: str) -> Text:
    """Read a text as it was sent; raises BotError 400 for markup that Telegram would not take."""
    if not parse_mode:
        return plain(text)
    if parse_mode.lower() != "html":
        raise bad(f"unsupported parse_mode {parse_mode!r}: this stand-in speaks HTML only")
    read = _Reader(text).read()
    lead = units(read.plain) - units(read.plain.lstrip())
    shown = read.plain.strip()
    moved = (_within(entity, lead, units(shown)) for entity in read.entities)
    return Text(shown, tuple(entity for entity in moved if entity.length > 0), text.strip())


def _within(entity: Entity, lead: int, length: int) -> Entity:
    """Move an entity by the blanks that were cut off in front, and keep it inside the text."""
    begin, end = max(0, entity.offset - lead), entity.offset + entity.length - lead
    return Entity(entity.kind, begin, min(end, length) - begin, entity.url)


@dataclass(slots=True)
class _Reader:
    source: str
    at: int = 0
    out: str = ""
    stack: list[_Open] = field(default_factory=list)
    found: list[Entity] = field(default_factory=list)

    def read(self) -> Text:
        while self.at < len(self.source):
            if self.source[self.at] == "<":
                self._tag()
            else:
                self._text()
        if self.stack:
            raise self._refused(f'Can\'t find end tag corresponding to start tag "{self._top()}"')
        ordered = sorted(self.found, key=lambda entity: (entity.offset, -entity.length))
        return Text(self.out, tuple(ordered), self.source)

    def _text(self) -> None:
        end = self.source.find("<", self.at)
        end = len(self.source) if end < 0 else end
        # Telegram knows four names and numbers; what else begins with & stays as it is
        piece = self.source[self.at : end]
        self.out += _ENTITY.sub(lambda match: unescape(match.group()), piece)
        self.at = end

    def _tag(self) -> None:
        match = _TAG.match(self.source, self.at)
        if match is None:
            raise self._refused(f"Unclosed start tag at byte offset {self._offset()}")
        ends, name, rest = match.group(1), match.group(2).lower(), match.group(3)
        if ends:
            self._end(name)
        else:
            self._begin(name, rest)
        self.at = match.end()

    def _begin(self, name: str, rest: str) -> None:
        attributes = {
            found[1]: unescape(found[2] or found[3] or found[4] or "")
            for found in _ATTRIBUTE.finditer(rest)
        }
        kind = KINDS.get(name, "")
        if name == "span" and attributes.get("class") == "tg-spoiler":
            kind = "spoiler"
        if not kind:
            words = f'Unsupported start tag "{name}" at byte offset {self._offset()}'
            raise self._refused(words)
        self.stack.append(_Open(name, kind, attributes.get("href", ""), units(self.out)))

    def _end(self, name: str) -> None:
        if not self.stack:
            raise self._refused(f"Unexpected end tag at byte offset {self._offset()}")
        if name and name != self._top():
            raise self._refused(
                f"Unmatched end tag at byte offset {self._offset()}, "
                f'expected "</{self._top()}>", found "</{name}>"'
            )
        opened = self.stack.pop()
        length = units(self.out) - opened.offset
        if length and (opened.kind != "text_link" or opened.url):
            self.found.append(Entity(opened.kind, opened.offset, length, opened.url))

    def _top(self) -> str:
        return self.stack[-1].tag

    def _offset(self) -> int:
        return len(self.source[: self.at].encode())

    @staticmethod
    def _refused(words: str) -> BotError:
        return bad(f"can't parse entities: {words}")


# --- keyboards


@dataclass(frozen=True, slots=True)
class Key:
    """A button below a message: it carries data back to the bot, or opens an address."""

    words: str
    data: str = ""
    url: str = ""

    def row(self) -> dict[str, Json]:
        carries = ("callback_data", self.data) if self.data else ("url", self.url)
        return {"text": self.words, carries[0]: carries[1]}


Keys = tuple[tuple[Key, ...], ...]


def read_keys(markup: object) -> Keys:
    """Read the inline keyboard of a reply_markup; raises BotError 400."""
    if not isinstance(markup, Mapping) or "inline_keyboard" not in markup:
        return ()
    rows = markup["inline_keyboard"]
    if not _is_rows(rows):
        raise bad('can\'t parse inline keyboard: Field "inline_keyboard" must be an Array')
    keys = tuple(tuple(_key(button) for button in row) for row in rows)
    if sum(map(len, keys)) > 100:
        raise bad("reply markup is too long")
    return tuple(row for row in keys if row)


def read_keyboard(markup: object) -> tuple[tuple[str, ...], ...] | None:
    """Read the keyboard that stands in place of the letters: () removes it, None says nothing."""
    if not isinstance(markup, Mapping):
        return None
    if markup.get("remove_keyboard"):
        return ()
    rows = markup.get("keyboard")
    if rows is None:
        return None
    if not _is_rows(rows):
        raise bad('can\'t parse keyboard: Field "keyboard" must be an Array')
    return tuple(tuple(_words(button) for button in row) for row in rows)


def _is_rows(rows: object) -> bool:
    return isinstance(rows, list) and all(isinstance(row, list) for row in rows)


def _words(button: object) -> str:
    words = button.get("text") if isinstance(button, Mapping) else button
    if not isinstance(words, str) or not words:
        raise bad('can\'t parse keyboard button: Field "text" must be a non-empty String')
    return words


def _key(button: object) -> Key:
    if not isinstance(button, Mapping):
        raise bad("can't parse inline keyboard button: expected an Object")
    words = _words(button)
    data, url = button.get("callback_data"), button.get("url")
    if isinstance(data, str):
        if not 1 <= len(data.encode()) <= DATA:
            raise bad("BUTTON_DATA_INVALID")
        return Key(words, data=data)
    if isinstance(url, str):
        return Key(words, url=_address(url))
    raise bad("can't parse inline keyboard button: Text buttons are unallowed")


def _address(url: str) -> str:
    """Return an address that a phone can open: Telegram refuses names of this machine's own."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "tg") or (
        parts.scheme != "tg" and "." not in (parts.hostname or "")
    ):
        raise bad(f"inline keyboard button URL '{url}' is invalid: Wrong HTTP URL")
    return url


# --- the bot's menu

_COMMAND: Final = re.compile(r"/?[a-z0-9_]{1,32}")


def read_commands(rows: object) -> tuple[tuple[str, str], ...]:
    """Read the commands of the bot's menu and what they do; raises BotError 400."""
    if not isinstance(rows, Sequence) or isinstance(rows, str) or len(rows) > 100:
        raise bad("can't parse commands JSON object")
    return tuple(_command(row) for row in rows)


def _command(row: object) -> tuple[str, str]:
    if not isinstance(row, Mapping):
        raise bad("can't parse commands: expected an Array of BotCommand")
    name, does = row.get("command"), row.get("description")
    if not isinstance(name, str) or not _COMMAND.fullmatch(name):
        raise bad("BOT_COMMAND_INVALID")
    if not isinstance(does, str) or not 1 <= len(does) <= 256:
        raise bad("BOT_COMMAND_DESCRIPTION_INVALID")
    return name.removeprefix("/"), does
