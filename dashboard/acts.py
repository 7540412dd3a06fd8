"""An act of the watch that was asked for on a page, and what became of it, said to the person."""

from collections.abc import Awaitable, Callable
from typing import Final

from nicegui import ui

from trading.errors import VigilError
from trading.health_ports import Watchroom

BY: Final = "page"
MUTE: Final = 60.0  # minutes
TESTED: Final = (
    "A test message is on its way through every channel that is set up. The delivery log on the "
    "Alerts page shows when."
)

Say = Callable[[str], None]


async def told(
    say: Say, act: Awaitable[object], done: str, *, undone: str = "Not done", after: str = ""
) -> bool:
    """Wait for the act; say that it is done, or why not and what comes `after`. Return whether
    it is done.
    """
    try:
        await act
    except VigilError as error:
        say(f"{undone}: {str(error).removesuffix('.')}. {after}".rstrip())
        return False
    if done:
        say(done)
    return True


def draw_test(room: Watchroom, say: Say) -> ui.button:
    """Draw the button that tries every way to a person."""

    async def send() -> None:
        await told(say, room.watch.test_message(BY), TESTED, undone="No test message was sent")

    button = ui.button("Send a test message", on_click=send, color=None)
    return button.props("outline no-caps").mark("test-message")


def slug(name: str) -> str:
    """Return a name as marks and addresses have it: without spaces."""
    return name.replace(" ", "-")
