"""Alembic's entry point; the connection is handed in, and its owner commits."""

from typing import Any

from alembic import context

from storage.alert_tables import METADATA

SEARCH_INDEX = "instrument_words"  # kept by search.py, because it can be rebuilt at any time


def include_name(name: str | None, type_: str, _parents: Any) -> bool:
    return not (type_ == "table" and name is not None and name.startswith(SEARCH_INDEX))


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
    include_name=include_name,
    transactional_ddl=True,  # true of SQLite once BEGIN is sent by us and not by the driver
)
with context.begin_transaction():
    context.run_migrations()
