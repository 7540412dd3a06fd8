"""What somebody typed: which command, with which words. Pure."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

ALIASES: Final = {"x": "exit", "f": "flatten", "p": "pos", "s": "status", "h": "help"}
LONGEST: Final = 200  # characters of a command that are looked at


@dataclass(frozen=True, slots=True)
class Typed:
    """A command's name without the slash, in lower case, and the words after it."""

    name: str
    words: tuple[str, ...] = ()

    @property
    def rest(self) -> str:
        return " ".join(self.words)


def typed(text: str, bot_name: str = "") -> Typed | None:
    """Return the command that a message is; None if it is none, or meant for another bot."""
    words = clean(text[:LONGEST]).split()
    if not words or not words[0].startswith("/"):
        return None
    name, _, whom = words[0][1:].lower().partition("@")
    if whom and whom != bot_name.lower():
        return None
    return Typed(ALIASES.get(name, name), tuple(words[1:]))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the command that somebody may have meant, empty if none is like it."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return found[0] if found else ""


def clean(text: str) -> str:
    """Return the text in one line, without what would change how the rest of it is read."""
    return "".join(c if c.isprintable() else " " for c in text)
