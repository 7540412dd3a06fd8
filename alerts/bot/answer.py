"""What the bot answers, before it is written in anybody's markup."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from alerts.bot.markup import Block
from trading.health import Button


@dataclass(frozen=True, slots=True)
class Answer:
    """A title, what follows it, and rows of buttons.

    `picture` draws a PNG, off the loop; it is sent with the text below it.
    """

    title: str
    blocks: tuple[Block, ...] = ()
    buttons: tuple[tuple[Button, ...], ...] = ()
    picture: Callable[[], Awaitable[bytes]] | None = None
    keyboard: bool = False  # shows the commands as keys below the chat
