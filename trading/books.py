"""The three-book check: what the broker says, what we count, and what the stream said last."""

from dataclasses import dataclass
from datetime import datetime

from trading.order import Product


@dataclass(frozen=True, slots=True)
class BookRow:
    """Signed units of one position in each book; None where that book has said nothing yet.

    The stream has no snapshot, so it is None until something moved after the desk connected.
    `agree` is None while they were not compared since the latest fill. `reason` says in words why
    they do not agree, or that and by how much we were corrected.
    """

    instrument_key: str
    product: Product
    ours: int
    broker: int | None
    stream: int | None
    agree: bool | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Books:
    """One account's books at one moment. `age` is seconds since the broker's were last read.

    `failed` says why the latest attempt to read them failed; everything is as it was before.
    """

    account: str
    rows: tuple[BookRow, ...]
    checked: datetime | None
    age: float | None
    failed: str = ""

    @property
    def differs(self) -> bool:
        return any(row.agree is False for row in self.rows)

    @property
    def agree(self) -> bool:
        """Return whether they were compared and found equal, the latest attempt included."""
        compared = self.checked is not None and not self.failed
        return compared and all(row.agree for row in self.rows)
