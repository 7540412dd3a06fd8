"""The rules of the folder, and which of their findings say nothing beside others."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from alerts import rules
from alerts.sight import Sight
from trading.health import Component, Finding
from trading.model import segment_of

Check = Callable[[Sight], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One file of alerts/rules/; `open_market_only`: see there."""

    name: str
    check: Check
    open_market_only: bool = False


def found_rules() -> list[Rule]:
    """Return the rule of each file, by name."""
    modules = [
        importlib.import_module(f"{rules.__name__}.{info.name}")
        for info in pkgutil.iter_modules(rules.__path__)
    ]
    return [
        Rule(
            module.__name__.rpartition(".")[2],
            module.check,
            getattr(module, "OPEN_MARKET_ONLY", False),
        )
        for module in modules
    ]


# While these are found nothing can be said of anything else.
BLINDING: Final = frozenset({"start_failed", "sleep"})
_FEED: Final = frozenset(
    {"stale_position", "no_data", "low_uptime", "low_message_rate", "high_error_rate"}
)
# What says the same trouble again, in other words.
_SAME: Final[Mapping[str, frozenset[str]]] = {
    "no_prices": _FEED,
    "stream_down": frozenset({"low_uptime"}),
    "feed_refused": _FEED | {"no_prices", "stream_down", "books_unread"},
    "unreachable": _FEED | {"no_prices", "stream_down", "books_unread"},
}


def holds_back(roots: Sequence[Finding], finding: Finding, *, found: bool) -> bool:
    """Return whether nothing can be said of a finding because of what else is found.

    What is not found any more although its cause is still there is over all the same, unless the
    desk itself is blind.
    """
    if any(root.rule in BLINDING for root in roots):
        return finding.rule not in BLINDING
    return found and any(_explains(root, finding) for root in roots)


def _explains(root: Finding, finding: Finding) -> bool:
    if finding.rule not in _SAME.get(root.rule, ()):
        return False
    if finding.rule == "stale_position" and root.rule == "no_prices":
        return not finding.about  # one instrument may be in trouble of its own
    accounts = Component.PORTFOLIO, Component.BOOKS
    other_account = root.about and finding.component in accounts and finding.about != root.about
    return not other_account


def rests(sight: Sight, rule: Rule | None, finding: Finding) -> bool:
    """Return whether the market of a finding is closed, so that not finding it proves nothing."""
    if rule is None or not rule.open_market_only:
        return False
    segments = {segment_of(key) for key in finding.instruments}
    return not (segments or sight.open_segments) & sight.open_segments
