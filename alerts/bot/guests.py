"""Who may speak to the bot: people that the settings name, that paired, or the phone of a panel."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from trading.health_ports import Person, Role

_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Guests:
    """Everybody who may speak to the bot.

    `owners` and `watchers` are user ids of the settings, whose private chat has the same id;
    `paired` those on the disk. Where `panel` is given, the phone is a simulated one of this
    machine, and nobody else is there.
    """

    paired: Callable[[], Sequence[Person]]
    owners: tuple[int, ...] = ()
    watchers: tuple[int, ...] = ()
    panel: Person | None = None

    def all(self) -> list[Person]:
        """Return each chat and user once: the settings rule over what was paired."""
        if self.panel is not None:
            return [self.panel]
        named = [_named(user, "owner") for user in self.owners]
        named += [_named(user, "watcher") for user in self.watchers if user not in self.owners]
        found = {(person.chat, person.user): person for person in (*self.paired(), *named)}
        return list(found.values())

    def find(self, chat: int, user: int) -> Person | None:
        """Return who this is: the chat alone is not enough, nor is the user in another chat."""
        known = (p for p in self.all() if p.chat == chat and p.user == user)
        return next(known, None)

    def has_owner(self) -> bool:
        return any(person.role == "owner" for person in self.all())


def _named(user: int, role: Role) -> Person:
    return Person(chat=user, user=user, role=role, name=f"{role} of the settings", since=_NEVER)


def may(person: Person | None, *, watcher: bool) -> bool:
    """Return whether somebody may give a command; `watcher`: it only reads."""
    return person is not None and (watcher or person.role == "owner")
