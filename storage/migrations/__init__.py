"""The way from every older schema to the newest; alembic is imported only when it is needed.

A new revision: change `tables.py`, write `versions/000N_what.py`, add its name to REVISIONS. The
test that compares both ways to the newest schema says when they differ.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection

REVISIONS: Final = ("0001", "0002", "0003", "0004")  # oldest first
HEAD: Final = REVISIONS[-1]


def upgrade(connection: Connection, *, to: str = HEAD) -> None:
    """Lead the schema forward inside the caller's transaction: all of it or nothing."""
    # importing alembic takes 0.8-1.3 s, which an ordinary start must not pay
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, to)
