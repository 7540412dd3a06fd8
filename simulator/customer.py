"""A customer of the simulated broker, who holds a token as the desk's own accounts do."""

from simulator.tokens import TokenTable


class SignedInDaily:
    """The token of a customer of the simulated broker, who signs in again when it has ended."""

    def __init__(self, tokens: TokenTable, user: str) -> None:
        self._tokens = tokens
        self._user = user
        self._token = tokens.issue(user=user).value

    def load(self) -> str:
        if self._tokens.check(self._token) is None:
            self._token = self._tokens.issue(user=self._user).value
        return self._token

    def save(self, token: str) -> None:
        self._token = token
