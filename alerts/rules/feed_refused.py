"""The broker refuses an account: its token, a permission, or because another client uses it.

One trouble whatever it shows in: both feeds and the books of an account stop with its token.
"""

from collections.abc import Iterator

from alerts.sight import FeedSight, Sight
from trading.health import Component, Finding, Severity
from trading.order import AccountState
from trading.ports import FeedState

CLOSE_OTHER = "Close the other program that uses this account's feed; then it connects by itself"
NEW_TOKEN = "Sign in to the broker and put the new token in its place: it connects by itself"
TOKEN = "refused the token"  # in the reason of a feed
PERMISSION = (
    "If it is the token: sign in and put a new one in its place. If it is a permission: have the "
    "broker grant it"
)


def check(sight: Sight) -> Iterator[Finding]:
    for state in sight.accounts:
        feed = _refused_feed(sight, state)
        if feed is not None or state.signed_in is False:
            yield _finding(sight, state, feed)


def _refused_feed(sight: Sight, state: AccountState) -> FeedSight | None:
    feeds = [sight.market] if state.account.primary else []
    stream = sight.stream(state.account.id)
    feeds += [stream] if stream else []
    return next((feed for feed in feeds if feed.refusal is not None), None)


def _finding(sight: Sight, state: AccountState, feed: FeedSight | None) -> Finding:
    account, grave = state.account.id, sight.market_open and sight.exposed
    reason = (feed.reason if feed else "") or state.reason
    contested = feed is not None and feed.refusal is FeedState.CONTESTED
    word = "feed contested" if contested else "account refused"
    return Finding(
        rule="feed_refused",
        component=Component.MARKET_FEED if state.account.primary else Component.PORTFOLIO,
        severity=Severity.CRITICAL if grave else Severity.WARNING,
        what=f"{word}: {account}, {reason}" if reason else f"{word}: {account}",
        meaning=_meaning(sight, state),
        act=CLOSE_OTHER if contested else _act(state, reason),
        about=account,
        at_once=True,
    )


def _meaning(sight: Sight, state: AccountState) -> str:
    what = "No prices come in" if state.account.primary else "Its orders are not followed"
    if not sight.market_open:
        return f"{what}; no market is open now"
    return f"{what} and nothing can be sent; {sight.stake}"


def _act(state: AccountState, reason: str) -> str:
    """Say which of the two it is; at 03:30 the feeds know it before the account was asked."""
    return NEW_TOKEN if state.signed_in is False or TOKEN in reason else PERMISSION
