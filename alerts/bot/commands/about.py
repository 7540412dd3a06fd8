"""/start /help /version: who speaks, and what it understands."""

import platform
from typing import Final

from alerts import words
from alerts.bot.answer import Answer
from alerts.bot.asked import Asked, Command
from alerts.bot.guests import may
from alerts.bot.markup import text


async def start(asked: Asked) -> Answer:
    person, world = asked.person, asked.desk.world
    money = "Nothing here is real money." if not _is_real(asked) else "THIS IS REAL MONEY."
    role = "owner: you may do everything" if person.role == "owner" else "watcher: you may read"
    lines = [f"You are {person.name}, {role}.", f"The desk is {world.word}. {money}"]
    if person.role == "owner" and asked.no_orders:
        lines.append(f"Orders: {asked.no_orders}")
    lines.append("/status says how things are, /help what else there is.")
    return Answer("VIGIL", (text(*lines),), keyboard=True)


async def help_(asked: Asked) -> Answer:
    name = asked.words[0].lstrip("/").lower() if asked.words else ""
    if command := asked.known.get(name):
        usage = f"/{command.name} {command.usage}".rstrip()
        return Answer(f"/{name}", (text(f"{usage}: {command.does}"),))
    mine = [c for c in asked.known.values() if may(asked.person, watcher=c.watcher)]
    lines = [f"/{c.name} {c.usage}".rstrip() + f": {c.does}" for c in mine]
    return Answer("HELP", (text(*lines),))


async def version(asked: Asked) -> Answer:
    desk = asked.desk
    lines = [f"{name} {number}" for name, number in desk.versions.items()]
    now = desk.clock.now()
    lines.append(f"python {platform.python_version()}")
    lines.append(f"running since {words.moment(desk.started, now)} IST")
    return Answer("VERSION", (text(*lines),))


def _is_real(asked: Asked) -> bool:
    return any(not state.account.is_mock for state in asked.desk.accounts.all())


COMMANDS: Final = (
    Command("start", "who you are, and the keys", start, watcher=True),
    Command("help", "what there is", help_, "[command]", watcher=True),
    Command("version", "which program this is", version, watcher=True),
)
