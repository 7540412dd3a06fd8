"""The commands of the bot: each file defines COMMANDS, and is found by being here."""

import importlib
import pkgutil

from alerts.bot.asked import Command


def load() -> dict[str, Command]:
    """Return all commands by their names; raise ValueError if two files define the same."""
    found: dict[str, Command] = {}
    for module in pkgutil.iter_modules(__path__):
        for command in importlib.import_module(f"{__name__}.{module.name}").COMMANDS:
            if command.name in found:
                raise ValueError(f"/{command.name} is defined twice")
            found[command.name] = command
    return found
