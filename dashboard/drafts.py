"""The nonces of what is under review: one press of one order, however many tabs show it."""

import secrets
from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(slots=True)
class Draft:
    """Something under review in one or more tabs, with the nonce that all of them send."""

    content: Hashable
    nonce: str
    sheets: int = 0
    sent: bool = False


class Drafts:
    """Owns the open drafts of the desk.

    Two tabs that review the same thing at the same time share a nonce, so that a press in each is
    one order. What is reviewed after it was sent is a new one: two orders may be meant.
    """

    def __init__(self) -> None:
        self._open: dict[Hashable, Draft] = {}

    def open(self, content: Hashable) -> Draft:
        draft = self._open.get(content)
        if draft is None:
            draft = self._open[content] = Draft(content, secrets.token_hex(16))
        draft.sheets += 1
        return draft

    def sent(self, draft: Draft) -> None:
        draft.sent = True
        self._forget(draft)

    def close(self, draft: Draft) -> None:
        draft.sheets -= 1
        if draft.sheets <= 0:
            self._forget(draft)

    def _forget(self, draft: Draft) -> None:
        if self._open.get(draft.content) is draft:
            del self._open[draft.content]
