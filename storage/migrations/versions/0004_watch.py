"""The watch: alerts and letters, incidents, uptimes, people, drills, and what is known of gaps."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "component_hours",
        sa.Column("world", sa.String(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("judged", sa.Float(), nullable=False),
        sa.Column("up", sa.Float(), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.Column("errors", sa.Integer(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("world", "start", "name", name=op.f("pk_component_hours")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "component_minutes",
        sa.Column("world", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("judged", sa.Float(), nullable=False),
        sa.Column("up", sa.Float(), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.Column("errors", sa.Integer(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("world", "name", "start", name=op.f("pk_component_minutes")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "drill_runs",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("world", sa.String(), nullable=False),
        sa.Column("drill", sa.String(), nullable=False),
        sa.Column("began", sa.Integer(), nullable=False),
        sa.Column("detected_after", sa.Float(), nullable=True),
        sa.Column("recovered_after", sa.Float(), nullable=True),
        sa.Column("ticks_lost", sa.Integer(), nullable=True),
        sa.Column("alerts_sent", sa.Integer(), nullable=False),
        sa.Column("told_after", sa.Float(), nullable=True),
        sa.Column("ended", sa.Integer(), nullable=True),
        sa.Column("good", sa.Boolean(), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_drill_runs")),
        sa.UniqueConstraint(
            "world", "drill", "began", name=op.f("uq_drill_runs_world_drill_began")
        ),
    )
    op.create_table(
        "incidents",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("world", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("component", sa.String(), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("began", sa.Integer(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("ended", sa.Integer(), nullable=True),
        sa.Column("flaps", sa.Integer(), nullable=False),
        sa.Column("ticks_missed", sa.Integer(), nullable=True),
        sa.Column("acknowledged", sa.Integer(), nullable=True),
        sa.Column("acknowledged_by", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_incidents")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_incidents_lasting",
        "incidents",
        ["world"],
        unique=False,
        sqlite_where=sa.text("ended IS NULL"),
    )
    op.create_index(op.f("ix_incidents_world_began"), "incidents", ["world", "began"], unique=False)
    op.create_table(
        "mutes",
        sa.Column("world", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("until", sa.Integer(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("world", "key", name=op.f("pk_mutes")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "people",
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.Column("chat", sa.Integer(), nullable=False),
        sa.Column("user", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("since", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("is_mock", "chat", "user", name=op.f("pk_people")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "alerts",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("world", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("component", sa.String(), nullable=False),
        sa.Column("occasion", sa.String(), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("at", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("lines", sa.String(), nullable=False),
        sa.Column("link", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("buttons", sa.String(), nullable=False),
        sa.Column("once", sa.String(), nullable=False),
        sa.Column("incident", sa.Integer(), nullable=True),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("acknowledged", sa.Integer(), nullable=True),
        sa.Column("acknowledged_by", sa.String(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["incident"], ["incidents.number"], name=op.f("fk_alerts_incident_incidents")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_alerts")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_alerts_incident"), "alerts", ["incident"], unique=False)
    op.create_index(
        "ix_alerts_unacknowledged",
        "alerts",
        ["world"],
        unique=False,
        sqlite_where=sa.text("(acknowledged IS NULL AND severity >= 2)"),
    )
    op.create_index(op.f("ix_alerts_world"), "alerts", ["world"], unique=False)
    op.create_index(
        "uq_alerts_once",
        "alerts",
        ["world", "once"],
        unique=True,
        sqlite_where=sa.text("once <> ''"),
    )
    op.create_table(
        "incident_steps",
        sa.Column("incident", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("at", sa.Integer(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["incident"], ["incidents.number"], name=op.f("fk_incident_steps_incident_incidents")
        ),
        sa.PrimaryKeyConstraint("incident", "position", name=op.f("pk_incident_steps")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "order_news",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("intent", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["intent"], ["orders.number"], name=op.f("fk_order_news_intent_orders")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_order_news")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "letters",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("world", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("alert", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("not_before", sa.Integer(), nullable=False),
        sa.Column("silent", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=True),
        sa.Column("took_ms", sa.Float(), nullable=True),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["alert"], ["alerts.number"], name=op.f("fk_letters_alert_alerts")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_letters")),
        sa.UniqueConstraint("alert", "channel", name=op.f("uq_letters_alert_channel")),
    )
    op.create_index(
        "ix_letters_claimed",
        "letters",
        ["world", "channel"],
        unique=False,
        sqlite_where=sa.text("state = 'sending'"),
    )
    op.create_index(
        "ix_letters_edited",
        "letters",
        ["world", "channel", "key", "alert"],
        unique=False,
        sqlite_where=sa.text("(state = 'sent' AND reference <> '')"),
    )
    op.create_index(
        "ix_letters_queued",
        "letters",
        ["world", "channel", "rank", "alert", "not_before"],
        unique=False,
        sqlite_where=sa.text("state = 'queued'"),
    )
    op.create_index(op.f("ix_letters_world"), "letters", ["world"], unique=False)
    op.add_column("feed_gaps", sa.Column("rate", sa.Float(), nullable=True))
    op.add_column("feed_gaps", sa.Column("instruments", sa.Integer(), nullable=True))
    op.add_column("feed_gaps", sa.Column("ticks_missed", sa.Integer(), nullable=True))
    op.add_column("feed_gaps", sa.Column("filled", sa.Integer(), nullable=True))
    op.add_column("feed_gaps", sa.Column("fill_words", sa.String(), nullable=True))
    op.create_index(
        "ix_feed_gaps_unfilled",
        "feed_gaps",
        ["feed", "started"],
        unique=False,
        sqlite_where=sa.text("(ended IS NOT NULL AND filled IS NULL)"),
    )

    # nobody shall ask the broker for a year of minutes at the first start
    op.execute(
        "UPDATE feed_gaps SET filled = 0, "
        "fill_words = 'not filled: it was over before this version of Vigil' "
        "WHERE ended IS NOT NULL"
    )


def downgrade() -> None:
    op.drop_index("ix_feed_gaps_unfilled", table_name="feed_gaps")
    op.drop_column("feed_gaps", "fill_words")
    op.drop_column("feed_gaps", "filled")
    op.drop_column("feed_gaps", "ticks_missed")
    op.drop_column("feed_gaps", "instruments")
    op.drop_column("feed_gaps", "rate")
    op.drop_table("letters")
    op.drop_table("order_news")
    op.drop_table("incident_steps")
    op.drop_table("alerts")
    op.drop_table("people")
    op.drop_table("mutes")
    op.drop_table("incidents")
    op.drop_table("drill_runs")
    op.drop_table("component_minutes")
    op.drop_table("component_hours")
