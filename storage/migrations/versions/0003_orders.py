"""The account: orders with their lives, fills, baskets, the P&L curve, and the paper account."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "baskets",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("world", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("rollback_on_failure", sa.Boolean(), nullable=False),
        sa.Column("on_filled", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created", sa.Integer(), nullable=False),
        sa.Column("updated", sa.Integer(), nullable=False),
        sa.Column("problems", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("decision", sa.String(), nullable=True),
        sa.Column("asking", sa.Boolean(), nullable=False),
        sa.Column("acknowledged", sa.Integer(), nullable=True),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_baskets")),
        sa.UniqueConstraint("world", "id", name=op.f("uq_baskets_world_id")),
    )
    op.create_index(op.f("ix_baskets_world_created"), "baskets", ["world", "created"], unique=False)
    op.create_index(
        "ix_baskets_open",
        "baskets",
        ["world"],
        unique=False,
        sqlite_where=sa.text(
            "(state IN ('validating', 'placing', 'compensating') "
            "OR (state = 'unresolved' AND acknowledged IS NULL))"
        ),
    )
    op.create_index(
        "uq_baskets_nonce", "baskets", ["nonce"], unique=True, sqlite_where=sa.text("nonce <> ''")
    )
    op.create_table(
        "fills",
        sa.Column("world", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("trade_id", sa.String(), nullable=False),
        sa.Column("instrument_key", sa.String(), nullable=False),
        sa.Column("product", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("price", sa.Float(), nullable=True),
        sa.Column("at", sa.Integer(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_fills")),
        sa.UniqueConstraint(
            "world",
            "account",
            "order_id",
            "trade_id",
            name=op.f("uq_fills_world_account_order_id_trade_id"),
        ),
    )
    op.create_index(op.f("ix_fills_world_at"), "fills", ["world", "at"], unique=False)
    op.create_table(
        "latches",
        sa.Column("world", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("world", "name", name=op.f("pk_latches")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "orders",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("instrument_key", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("product", sa.String(), nullable=False),
        sa.Column("order_type", sa.String(), nullable=False),
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("price", sa.Float(), nullable=True),
        sa.Column("trigger", sa.Float(), nullable=True),
        sa.Column("validity", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("reduces", sa.Boolean(), nullable=False),
        sa.Column("batch_id", sa.String(), nullable=False),
        sa.Column("leg", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("world", sa.String(), nullable=False),
        sa.Column("press", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("created", sa.Integer(), nullable=False),
        sa.Column("updated", sa.Integer(), nullable=False),
        sa.Column("external", sa.Boolean(), nullable=False),
        sa.Column("filled", sa.Integer(), nullable=False),
        sa.Column("average_price", sa.Float(), nullable=True),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_orders")),
        sa.UniqueConstraint("world", "id", name=op.f("uq_orders_world_id")),
    )
    op.create_index(
        "ix_orders_open",
        "orders",
        ["world"],
        unique=False,
        sqlite_where=sa.text("status IN ('sent', 'in doubt', 'working')"),
    )
    op.create_index(op.f("ix_orders_press"), "orders", ["press"], unique=False)
    op.create_index(op.f("ix_orders_world_created"), "orders", ["world", "created"], unique=False)
    op.create_index(
        "uq_orders_nonce", "orders", ["nonce"], unique=True, sqlite_where=sa.text("NOT external")
    )
    op.create_table(
        "paper_accounts",
        sa.Column("world", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("cash", sa.Integer(), nullable=False),
        sa.Column("opening", sa.Integer(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("world", "account", name=op.f("pk_paper_accounts")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "paper_fills",
        sa.Column("world", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("trade_id", sa.String(), nullable=False),
        sa.Column("instrument_key", sa.String(), nullable=False),
        sa.Column("product", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("price", sa.Float(), nullable=True),
        sa.Column("at", sa.Integer(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("opening", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_paper_fills")),
        sa.UniqueConstraint(
            "world",
            "account",
            "order_id",
            "trade_id",
            name=op.f("uq_paper_fills_world_account_order_id_trade_id"),
        ),
    )
    op.create_table(
        "paper_orders",
        sa.Column("world", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("instrument_key", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("product", sa.String(), nullable=False),
        sa.Column("order_type", sa.String(), nullable=False),
        sa.Column("price", sa.Float(), nullable=True),
        sa.Column("trigger", sa.Float(), nullable=True),
        sa.Column("validity", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("raw_status", sa.String(), nullable=False),
        sa.Column("filled", sa.Integer(), nullable=False),
        sa.Column("average_price", sa.Float(), nullable=True),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("parent_id", sa.String(), nullable=False),
        sa.Column("exchange_order_id", sa.String(), nullable=False),
        sa.Column("placed", sa.Integer(), nullable=True),
        sa.Column("exchange_time", sa.Integer(), nullable=True),
        sa.Column("is_amo", sa.Boolean(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("opening", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_paper_orders")),
        sa.UniqueConstraint(
            "world", "account", "order_id", name=op.f("uq_paper_orders_world_account_order_id")
        ),
    )
    op.create_table(
        "paper_positions",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("world", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("instrument_key", sa.String(), nullable=False),
        sa.Column("product", sa.String(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("multiplier", sa.Float(), nullable=True),
        sa.Column("day_buy_quantity", sa.Integer(), nullable=False),
        sa.Column("day_buy_value", sa.Float(), nullable=True),
        sa.Column("day_sell_quantity", sa.Integer(), nullable=False),
        sa.Column("day_sell_value", sa.Float(), nullable=True),
        sa.Column("overnight_quantity", sa.Integer(), nullable=False),
        sa.Column("overnight_buy_quantity", sa.Integer(), nullable=False),
        sa.Column("overnight_buy_amount", sa.Float(), nullable=True),
        sa.Column("overnight_sell_quantity", sa.Integer(), nullable=False),
        sa.Column("overnight_sell_amount", sa.Float(), nullable=True),
        sa.Column("last_price", sa.Float(), nullable=True),
        sa.Column("close_price", sa.Float(), nullable=True),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_paper_positions")),
        sa.UniqueConstraint(
            "world", "account", "position", name=op.f("uq_paper_positions_world_account_position")
        ),
    )
    op.create_table(
        "pnl_points",
        sa.Column("world", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("at", sa.Integer(), nullable=False),
        sa.Column("realised", sa.Integer(), nullable=True),
        sa.Column("unrealised", sa.Integer(), nullable=True),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("world", "account", "at", name=op.f("pk_pnl_points")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "basket_legs",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("instrument_key", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("product", sa.String(), nullable=False),
        sa.Column("order_type", sa.String(), nullable=False),
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("price", sa.Float(), nullable=True),
        sa.Column("trigger", sa.Float(), nullable=True),
        sa.Column("validity", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("reduces", sa.Boolean(), nullable=False),
        sa.Column("batch_id", sa.String(), nullable=False),
        sa.Column("leg", sa.Integer(), nullable=False),
        sa.Column("basket", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("filled", sa.Integer(), nullable=False),
        sa.Column("average", sa.Float(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("reversal_ids", sa.String(), nullable=False),
        sa.Column("reversed", sa.Integer(), nullable=False),
        sa.Column("reversed_average", sa.Float(), nullable=True),
        sa.Column("reversal_reason", sa.String(), nullable=False),
        sa.Column("residual", sa.Integer(), nullable=True),
        sa.Column("answer_ms", sa.Float(), nullable=True),
        sa.Column("final_ms", sa.Float(), nullable=True),
        sa.Column("price_cost", sa.Integer(), nullable=True),
        sa.Column("charges", sa.Integer(), nullable=True),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["basket"], ["baskets.number"], name=op.f("fk_basket_legs_basket_baskets")
        ),
        sa.PrimaryKeyConstraint("basket", "number", name=op.f("pk_basket_legs")),
    )
    op.create_table(
        "basket_steps",
        sa.Column("basket", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("at", sa.Integer(), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["basket"], ["baskets.number"], name=op.f("fk_basket_steps_basket_baskets")
        ),
        sa.PrimaryKeyConstraint("basket", "position", name=op.f("pk_basket_steps")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "broker_orders",
        sa.Column("world", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("instrument_key", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("product", sa.String(), nullable=False),
        sa.Column("order_type", sa.String(), nullable=False),
        sa.Column("price", sa.Float(), nullable=True),
        sa.Column("trigger", sa.Float(), nullable=True),
        sa.Column("validity", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("raw_status", sa.String(), nullable=False),
        sa.Column("filled", sa.Integer(), nullable=False),
        sa.Column("average_price", sa.Float(), nullable=True),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("parent_id", sa.String(), nullable=False),
        sa.Column("exchange_order_id", sa.String(), nullable=False),
        sa.Column("placed", sa.Integer(), nullable=True),
        sa.Column("exchange_time", sa.Integer(), nullable=True),
        sa.Column("is_amo", sa.Boolean(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("intent", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["intent"], ["orders.number"], name=op.f("fk_broker_orders_intent_orders")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_broker_orders")),
        sa.UniqueConstraint(
            "world", "account", "order_id", name=op.f("uq_broker_orders_world_account_order_id")
        ),
    )
    op.create_index(
        op.f("ix_broker_orders_intent_position"),
        "broker_orders",
        ["intent", "position"],
        unique=False,
    )
    op.create_table(
        "order_steps",
        sa.Column("intent", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("raw_status", sa.String(), nullable=False),
        sa.Column("filled", sa.Integer(), nullable=False),
        sa.Column("at", sa.Integer(), nullable=False),
        sa.Column("seen_by", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("is_mock", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["intent"], ["orders.number"], name=op.f("fk_order_steps_intent_orders")
        ),
        sa.PrimaryKeyConstraint("intent", "position", name=op.f("pk_order_steps")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("order_steps")
    op.drop_table("broker_orders")
    op.drop_table("basket_steps")
    op.drop_table("basket_legs")
    op.drop_table("pnl_points")
    op.drop_table("paper_positions")
    op.drop_table("paper_orders")
    op.drop_table("paper_fills")
    op.drop_table("paper_accounts")
    op.drop_table("orders")
    op.drop_table("latches")
    op.drop_table("fills")
    op.drop_table("baskets")
