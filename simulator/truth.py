"""The ground truth of accounts, as plain data for a checker: what the wire leaves out as well."""

from dataclasses import asdict

from simulator.broker import Broker
from simulator.envelope import Json
from simulator.orders import Order, Trade, order_row
from simulator.portfolio import Account, Holding, Position, rupees


def book(broker: Broker) -> dict[str, Json]:
    """Return every account by user, and the requests of this run that were to write orders."""
    return {
        "accounts": {user: account_truth(account) for user, account in broker.accounts.items()},
        "requests": [asdict(request) for request in broker.writes],
    }


def account_truth(account: Account) -> dict[str, Json]:
    """Return an account; money in rupees."""
    return {
        "user": account.user,
        "opening": rupees(account.opening),
        "cash": rupees(account.cash),
        "orders": [order_truth(order) for order in account.orders.values()],
        "trades": [trade_truth(trade) for trade in account.trades],
        "positions": [position_truth(position) for position in account.positions.values()],
        "holdings": [holding_truth(holding) for holding in account.holdings.values()],
    }


def order_truth(order: Order) -> dict[str, Json]:
    """Return the book's row with the mean price that it has, and what never goes out."""
    return order_row(order) | {
        "average_price": order.average_price,
        "correlation_id": order.correlation_id,
        "line": order.line,
        "source": order.source,
        "phase": order.phase.name,
        "final": order.is_final,
        "statuses": [str(stage.status) for stage in order.history],
        "placed_ms": order.placed_ms,
    }


def trade_truth(trade: Trade) -> dict[str, Json]:
    return {
        "trade_id": trade.trade_id,
        "order_id": trade.order.order_id,
        "tag": trade.order.tag,
        "instrument_key": trade.order.key,
        "product": trade.order.product,
        "transaction_type": trade.order.transaction_type,
        "quantity": trade.quantity,
        "price": rupees(trade.paise),
        "exchange_ms": trade.exchange_ms,
    }


def position_truth(position: Position) -> dict[str, Json]:
    return {
        "instrument_key": position.key,
        "product": position.product,
        "quantity": position.quantity,
        "overnight_quantity": position.overnight_quantity,
        "buy_value": rupees(position.buy_value),
        "sell_value": rupees(position.sell_value),
    }


def holding_truth(holding: Holding) -> dict[str, Json]:
    return {
        "instrument_key": holding.instrument.instrument_key,
        "quantity": holding.quantity,
        "t1_quantity": holding.t1_quantity,
        "used": holding.used,
        "average_price": holding.average_price,
    }
