"""A chat message as runs of styled text: what a page may draw of Telegram's HTML without trust."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import unescape
from typing import Final
from urllib.parse import urlsplit

_TAG: Final = re.compile(r"<(/?)([a-zA-Z-]+)((?:\s[^<>]*)?)>")
_HREF: Final = re.compile(r"""\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_ENTITY: Final = re.compile(r"&(?:lt|gt|amp|quot|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});")


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of plain text in one style; never to be read as HTML. Line breaks are in it.

    `link` is an http(s) address, or empty.
    """

    text: str
    bold: bool = False
    italic: bool = False
    underline: bool = False
    strike: bool = False
    code: bool = False
    link: str = ""


# The tags that the bot may send, by the style that each adds.
_STYLES: Final = {
    "b": "bold", "strong": "bold", "i": "italic", "em": "italic", "u": "underline",
    "ins": "underline", "s": "strike", "strike": "strike", "del": "strike", "code": "code",
    "pre": "code",
}  # fmt: skip


def runs(html: str) -> list[Run]:
    """Split a text in Telegram's HTML into runs; what is no known tag is shown as it stands."""
    found: list[Run] = []
    for run in _pieces(html):
        if found and replace(found[-1], text="") == replace(run, text=""):
            found[-1] = replace(run, text=found[-1].text + run.text)
        else:
            found.append(run)
    return found


def words(html: str) -> str:
    """Return a text without its tags: for titles, and for who cannot see styles."""
    return "".join(run.text for run in runs(html))


def _pieces(html: str) -> Iterator[Run]:
    """Yield text with the style of the tags that are open around it, the last of a kind closed."""
    open_tags: list[tuple[str, str]] = []  # name and address
    at = 0
    for tag in _TAG.finditer(html):
        name = tag.group(2).lower()
        if name != "a" and name not in _STYLES:
            continue  # stays in the text
        yield from _styled(html[at : tag.start()], open_tags)
        at = tag.end()
        if tag.group(1):
            _close(open_tags, name)
        else:
            open_tags.append((name, _address(tag.group(3)) if name == "a" else ""))
    yield from _styled(html[at:], open_tags)


def _styled(text: str, open_tags: list[tuple[str, str]]) -> Iterator[Run]:
    if not text:
        return
    styles = {_STYLES.get(name, "") for name, _ in open_tags}
    links = [address for name, address in open_tags if name == "a"]
    yield Run(
        _ENTITY.sub(_character, text),
        bold="bold" in styles,
        italic="italic" in styles,
        underline="underline" in styles,
        strike="strike" in styles,
        code="code" in styles,
        link=links[-1] if links else "",
    )


def _close(open_tags: list[tuple[str, str]], name: str) -> None:
    for place in range(len(open_tags) - 1, -1, -1):
        if open_tags[place][0] == name:
            del open_tags[place]
            return


def _address(attributes: str) -> str:
    """Return where a link leads, if that is the web: a script has no place in a chat."""
    match = _HREF.search(attributes)
    if match is None:
        return ""
    address = unescape(match.group(1) or match.group(2) or match.group(3) or "").strip()
    try:
        return address if urlsplit(address).scheme in ("http", "https") else ""
    except ValueError:
        return ""


def _character(match: re.Match[str]) -> str:
    return unescape(match.group())
