"""The keys below a message, as Telegram takes them."""

from collections.abc import Sequence
from typing import Final

from telegram import InlineKeyboardButton, InlineKeyboardMarkup

from trading.health import Button

DATA: Final = 64  # bytes that a button may carry


def keyboard(rows: Sequence[Sequence[Button]]) -> InlineKeyboardMarkup | None:
    """Return the keys below a message; a command that is too long for one is left out."""
    keys = [
        [
            InlineKeyboardButton(button.words, callback_data=button.command)
            for button in row
            if 0 < len(button.command.encode()) <= DATA
        ]
        for row in rows
    ]
    return InlineKeyboardMarkup([row for row in keys if row]) if any(keys) else None
