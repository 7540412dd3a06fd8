"""Say of each stored tick which parts of it were news.

A tick that brings only the book repeats the last price; without this column a reader of the table
takes the repeated price for a trade.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # added at the end, which SQLite does without touching the rows, however many there are
    op.add_column("quote_ticks", sa.Column("parts", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("quote_ticks", "parts")
