"""An act of the watch that was asked for on a page, and what became of it, said to the person."""

from collections.abc import Awaitable
from typing import Final

from dashboard.frame import Tab
from trading.errors import VigilError

BY: Final = "page"


async def told(tab: Tab, act: Awaitable[object], done: str) -> bool:
    """Wait for the act; say that it is done, or why not. Return whether it is."""
    try:
        await act
    except VigilError as error:
        tab.say(f"Not done: {error}.")
        return False
    if done:
        tab.say(done)
    return True


def slug(name: str) -> str:
    """Return a name as marks and addresses have it: without spaces."""
    return name.replace(" ", "-")
