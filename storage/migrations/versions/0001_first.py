"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "desk_state",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", "is_mock", name=op.f("pk_desk_state")),
    )
    op.create_table(
        "feed_gaps",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("feed", sa.String(), nullable=False),
        sa.Column("started", sa.Integer(), nullable=False),
        sa.Column("ended", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feed_gaps")),
    )
    op.create_index(
        op.f("ix_feed_gaps_feed_started"), "feed_gaps", ["feed", "started"], unique=False
    )
    op.create_table(
        "holidays",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("segment", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.CheckConstraint(
            "source IN ('default', 'broker', 'trader')", name=op.f("ck_holidays_source")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holidays")),
        sa.UniqueConstraint(
            "day", "segment", "source", name=op.f("uq_holidays_day_segment_source")
        ),
    )
    op.create_table(
        "hours_templates",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("segment", sa.String(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("start", sa.Time(), nullable=False),
        sa.Column("end", sa.Time(), nullable=False),
        sa.Column("weekdays", sa.String(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_to", sa.Date(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.CheckConstraint(
            "source IN ('default', 'broker', 'trader')", name=op.f("ck_hours_templates_source")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hours_templates")),
    )
    op.create_table(
        "instruments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("instrument_key", sa.String(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.Column("master", sa.Integer(), nullable=False),
        sa.Column("segment", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("exchange_token", sa.String(), nullable=False),
        sa.Column("isin", sa.String(), nullable=False),
        sa.Column("lot_size", sa.Integer(), nullable=False),
        sa.Column("tick_size", sa.Float(), nullable=False),
        sa.Column("freeze_quantity", sa.Integer(), nullable=False),
        sa.Column("underlying_key", sa.String(), nullable=False),
        sa.Column("underlying_symbol", sa.String(), nullable=False),
        sa.Column("expiry", sa.Date(), nullable=True),
        sa.Column("strike", sa.Float(), nullable=True),
        sa.Column("weekly", sa.Boolean(), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instruments")),
        sa.UniqueConstraint(
            "instrument_key", "is_mock", name=op.f("uq_instruments_instrument_key_is_mock")
        ),
    )
    op.create_table(
        "quote_ticks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("instrument_id", sa.Integer(), nullable=False),
        sa.Column("received", sa.Integer(), nullable=False),
        sa.Column("exchange_ts", sa.Integer(), nullable=True),
        sa.Column("ltp", sa.Float(), nullable=True),
        sa.Column("ltt", sa.Integer(), nullable=True),
        sa.Column("ltq", sa.Integer(), nullable=True),
        sa.Column("close", sa.Float(), nullable=True),
        sa.Column("bid", sa.Float(), nullable=True),
        sa.Column("bid_qty", sa.Integer(), nullable=True),
        sa.Column("ask", sa.Float(), nullable=True),
        sa.Column("ask_qty", sa.Integer(), nullable=True),
        sa.Column("volume", sa.Integer(), nullable=True),
        sa.Column("oi", sa.Float(), nullable=True),
        sa.Column("iv", sa.Float(), nullable=True),
        sa.Column("delta", sa.Float(), nullable=True),
        sa.Column("theta", sa.Float(), nullable=True),
        sa.Column("gamma", sa.Float(), nullable=True),
        sa.Column("vega", sa.Float(), nullable=True),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quote_ticks")),
    )
    op.create_index(
        op.f("ix_quote_ticks_instrument_id_exchange_ts"),
        "quote_ticks",
        ["instrument_id", "exchange_ts"],
        unique=False,
    )
    op.create_table(
        "special_sessions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("segment", sa.String(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("start", sa.Time(), nullable=False),
        sa.Column("end", sa.Time(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.CheckConstraint(
            "source IN ('default', 'broker', 'trader')", name=op.f("ck_special_sessions_source")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_special_sessions")),
    )
    op.create_index(
        op.f("ix_special_sessions_day_segment"),
        "special_sessions",
        ["day", "segment"],
        unique=False,
    )
    op.create_table(
        "watchlist",
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("instrument_key", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("is_mock", "position", name=op.f("pk_watchlist")),
    )
    op.create_table(
        "candles",
        sa.Column("instrument_id", sa.Integer(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("open", sa.Float(), nullable=False),
        sa.Column("high", sa.Float(), nullable=False),
        sa.Column("low", sa.Float(), nullable=False),
        sa.Column("close", sa.Float(), nullable=False),
        sa.Column("volume", sa.Integer(), nullable=True),
        sa.Column("ticks", sa.Integer(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instrument_id"], ["instruments.id"], name=op.f("fk_candles_instrument_id_instruments")
        ),
        sa.PrimaryKeyConstraint("instrument_id", "start", name=op.f("pk_candles")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("candles")
    op.drop_table("watchlist")
    op.drop_table("special_sessions")
    op.drop_table("quote_ticks")
    op.drop_table("instruments")
    op.drop_table("hours_templates")
    op.drop_table("holidays")
    op.drop_table("feed_gaps")
    op.drop_table("desk_state")
