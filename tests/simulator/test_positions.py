"""Positions, holdings and money: as the wire tells them, and in sum what the trades say."""

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from simulator.envelope import BrokerError
from simulator.orders import Order
from simulator.portfolio import (
    Holding,
    Position,
    holding_message,
    holding_row,
    overnight,
    position_message,
    position_row,
)
from simulator.tokens import USER
from simulator.truth import book
from tests.simulator.floor import LOT, Floor
from tests.simulator.tiny import CALL, INFY, INSTRUMENTS, PUT, quote

INFY_ROW, CALL_ROW = INSTRUMENTS[1], INSTRUMENTS[2]


@pytest.fixture
def floor() -> Floor:
    return Floor()


def row(position: Position, ltp: float = 145.0) -> dict[str, object]:
    here = quote(position.instrument)
    here.ltp = ltp
    return position_row(position, here)


# --- rows


def test_a_position_of_today_has_no_average_price_and_a_true_profit(floor: Floor) -> None:
    floor.place(price=142.7)
    told = row(floor.account.positions[CALL, "I"])

    assert told["average_price"] is None
    assert told["quantity"] == told["day_buy_quantity"] == LOT
    assert told["buy_price"] == told["day_buy_price"] == 142.7
    assert told["value"] == told["buy_value"] == told["day_buy_value"] == 10_702.5
    assert told["pnl"] == told["unrealised"] == 172.5
    assert (told["exchange"], told["tradingsymbol"]) == ("NFO", "NIFTY25D0226100CE")


def test_a_closed_position_stays_with_quantity_0(floor: Floor) -> None:
    floor.place(price=142.7)
    floor.place(price=142.5, transaction_type="SELL")
    told = row(floor.account.positions[CALL, "I"])

    assert told["quantity"] == 0
    assert told["pnl"] == told["realised"] == -15.0
    assert told["unrealised"] == 0.0


def test_the_profit_of_a_carried_position_leaves_its_cost_out() -> None:
    told = row(overnight(CALL_ROW, "D", 75, 140.0))

    assert told["average_price"] == 140.0
    assert told["overnight_quantity"] == told["overnight_buy_quantity"] == 75
    assert told["overnight_buy_amount"] == told["buy_value"] == 10_500.0
    assert told["pnl"] == 75 * 145.0  # which nobody has gained
    assert told["day_buy_quantity"] == 0


def test_a_carried_short_is_told_by_its_sells() -> None:
    told = row(overnight(CALL_ROW, "D", -75, 140.0))

    assert (told["quantity"], told["overnight_quantity"]) == (-75, -75)
    assert told["overnight_sell_amount"] == 10_500.0
    assert told["pnl"] == -75 * 145.0


def test_closing_a_carried_position_is_a_sell_of_today(floor: Floor) -> None:
    floor.account.carry([overnight(CALL_ROW, "D", 75, 140.0)])
    floor.place(price=142.5, transaction_type="SELL", product="D")
    position = floor.account.positions[CALL, "D"]
    told = row(position)

    assert (told["quantity"], told["overnight_quantity"]) == (0, 75)
    assert (told["day_sell_quantity"], told["day_buy_quantity"]) == (75, 0)
    assert told["pnl"] == 10_687.5
    assert position.realised == 187.5 * 100


def test_the_stream_tells_positions_by_segment_and_without_prices(floor: Floor) -> None:
    floor.place(price=142.7)
    told = position_message(floor.account.positions[CALL, "I"])

    assert floor.told[-1] == told
    assert told["exchange"] == "NSE_FO"
    assert told["average_price"] == 0
    assert not {"pnl", "last_price", "unrealised", "realised"} & set(told)


def test_a_holding_may_lack_its_price() -> None:
    known = holding_row(Holding(INFY_ROW, 10, 140.0), quote(INFY_ROW))
    unknown = holding_row(Holding(INFY_ROW, 10), quote(INFY_ROW))

    assert (known["quantity"], known["pnl"]) == (10, 26.0)
    assert (unknown["average_price"], unknown["pnl"]) == (None, 0.0)
    assert known["day_change"] == 0
    assert holding_message(Holding(INFY_ROW, 10))["exchange"] == "NSE"


def test_selling_shares_out_of_the_holdings_is_told(floor: Floor) -> None:
    floor.account.holdings[INFY] = Holding(INFY_ROW, 10, 140.0)
    share = {"instrument_token": INFY, "product": "D", "transaction_type": "SELL", "price": 142.5}
    floor.place(**share, quantity=4)
    used = floor.account.holdings[INFY].used
    too_many = floor.place(**share, quantity=7)

    assert used == 4
    assert [m["cnc_used_quantity"] for m in floor.told if m["update_type"] == "holding"] == [4]
    assert too_many.status == "rejected"


# --- money


def test_an_option_bought_and_sold_costs_what_it_lost(floor: Floor) -> None:
    before = floor.broker.available(USER)
    floor.place(price=142.7)
    held = floor.broker.available(USER)
    floor.place(price=142.5, transaction_type="SELL")

    assert before - held == pytest.approx(10_702.5)
    assert floor.broker.available(USER) == pytest.approx(before - 15.0)


def test_a_short_option_blocks_a_margin_and_gives_it_back(floor: Floor) -> None:
    before = floor.broker.available(USER)
    floor.place(price=142.5, transaction_type="SELL")
    short = floor.broker.available(USER)
    floor.place(price=142.7)

    assert before - short > 100_000  # 11 % of 26100 x 75, less the premium received
    assert floor.broker.available(USER) == pytest.approx(before - 15.0)


def test_shares_bought_for_delivery_are_holdings_on_the_next_day(floor: Floor) -> None:
    floor = Floor(always_open=False)
    floor.account.holdings[INFY] = Holding(INFY_ROW, 10, 100.0)
    before = floor.broker.available(USER)
    floor.place(instrument_token=INFY, product="D", quantity=10, price=142.7)
    today = floor.broker.available(USER)
    floor.clock.advance(16 * 3600)
    floor.broker.look_around()

    assert before - today == pytest.approx(1427.0)
    assert floor.broker.available(USER) == pytest.approx(today)
    assert floor.account.positions == {}
    assert floor.account.holdings[INFY].quantity == 20
    assert floor.account.holdings[INFY].average_price == pytest.approx(121.35)


def test_the_next_day_carries_what_is_open_and_settles_what_was_gained(floor: Floor) -> None:
    floor = Floor(always_open=False)
    floor.place(price=142.7, quantity=150, product="D")
    floor.place(price=142.5, transaction_type="SELL", product="D")
    before = floor.broker.available(USER)
    floor.clock.advance(16 * 3600)
    floor.broker.look_around()
    position = floor.account.positions[CALL, "D"]

    assert (position.overnight_quantity, position.open_price) == (75, 142.7)
    assert floor.broker.available(USER) == pytest.approx(before)


def test_accounts_are_apart(floor: Floor) -> None:
    floor.place(price=142.7)

    assert floor.broker.available("OTHER") == 1_000_000.0
    assert floor.broker.account("OTHER").positions == {}


def test_a_position_of_today_can_be_converted(floor: Floor) -> None:
    floor.place(price=142.7, quantity=150)
    floor.broker.convert(USER, CALL_ROW, ("I", "D"), 75)
    left, moved = floor.account.positions[CALL, "I"], floor.account.positions[CALL, "D"]

    assert (left.quantity, moved.quantity) == (75, 75)
    assert left.day_buy_value == moved.day_buy_value == 1_070_250
    with pytest.raises(BrokerError):
        floor.broker.convert(USER, CALL_ROW, ("I", "D"), 150)


# --- whatever happens, the sums are right


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 20), st.integers(1, 100_000)), max_size=30))
def test_a_position_is_the_sum_of_its_executions(trades: list[tuple[bool, int, int]]) -> None:
    position = Position(CALL_ROW, "I")
    for buying, quantity, price in trades:
        position.add(quantity if buying else -quantity, quantity * price)
    flow = sum(-q * p if buying else q * p for buying, q, p in trades)
    unrealised = position.quantity * (position.open_price * 100)

    assert position.quantity == sum(q if buying else -q for buying, q, _ in trades)
    # closing what is left at its own price brings what was realised, and nothing else
    assert position.realised == pytest.approx(flow + unrealised, abs=1.0)


class Day(RuleBasedStateMachine):
    """A day of one account: every request and every whim of the market, in any order."""

    @initialize()
    def begin(self) -> None:
        self.floor = Floor()
        self.floor.account.opening = 10**12
        self.floor.account.carry(
            [overnight(CALL_ROW, "D", 150, 140.0), overnight(INFY_ROW, "I", -20, 141.0)]
        )
        self.orders: list[Order] = []

    @rule(
        key=st.sampled_from([CALL, PUT, INFY]),
        side=st.sampled_from(["BUY", "SELL"]),
        kind=st.sampled_from(["MARKET", "LIMIT", "SL", "SL-M"]),
        product=st.sampled_from(["I", "D"]),
        validity=st.sampled_from(["DAY", "IOC"]),
        lots=st.integers(1, 12),
        ticks=st.integers(-10, 10),
        settle=st.booleans(),
    )
    def place(
        self, key: str, side: str, kind: str, product: str, validity: str, lots: int, ticks: int,
        settle: bool,
    ) -> None:  # fmt: skip
        lot = self.floor.market.instruments[key].lot_size
        price = round(142.6 + ticks * 0.1, 2)
        fields = {"order_type": kind, "price": price if kind in ("LIMIT", "SL") else 0}
        if kind.startswith("SL"):
            fields["trigger_price"] = price
        order = self.floor.send(
            instrument_token=key, transaction_type=side, product=product, validity=validity,
            quantity=lots * lot, **fields,
        )  # fmt: skip
        self.orders.append(order)
        note(f"{order.order_id} {side} {kind} {lots} at {price}")
        if settle:
            self.floor.settle()

    @rule(which=st.integers(0, 100))
    def cancel(self, which: int) -> None:
        live = [order for order in self.orders if not order.is_final]
        if live:
            self.floor.broker.cancel(USER, live[which % len(live)].order_id)

    @rule(which=st.integers(0, 100), ticks=st.integers(-10, 10), lots=st.integers(1, 12))
    def modify(self, which: int, ticks: int, lots: int) -> None:
        live = [o for o in self.orders if not o.is_final and o.terms.order_type == "LIMIT"]
        if live:
            order = live[which % len(live)]
            quantity = lots * order.instrument.lot_size
            self.floor.modify(order, price=round(142.6 + ticks * 0.1, 2), quantity=quantity)

    @rule(
        key=st.sampled_from([CALL, PUT, INFY]),
        bid=st.integers(-20, 20),
        shown=st.integers(1, 800),
    )
    def move_book(self, key: str, bid: int, shown: int) -> None:
        price = round(142.5 + bid * 0.1, 2)
        self.floor.book(price, round(price + 0.2, 2), shown=shown, key=key)

    @rule(key=st.sampled_from([CALL, INFY]), ticks=st.integers(-20, 20), qty=st.integers(1, 500))
    def trade(self, key: str, ticks: int, qty: int) -> None:
        self.floor.trade(round(142.6 + ticks * 0.1, 2), quantity=qty, key=key)

    @rule(milliseconds=st.integers(1, 20))
    def wait(self, milliseconds: int) -> None:
        self.floor.settle(milliseconds / 1000)

    @invariant()
    def cash_is_the_sum_of_the_trades(self) -> None:
        account = self.floor.account
        flow = sum(-t.value if t.order.buying else t.value for t in account.trades)
        assert account.cash == account.opening + flow
        day = sum(p.day_sell_value - p.day_buy_value for p in account.positions.values())
        assert flow == day

    @invariant()
    def positions_are_the_sum_of_the_trades(self) -> None:
        held = {(CALL, "D"): 150, (INFY, "I"): -20}
        for trade in self.floor.account.trades:
            key = trade.order.key, trade.order.product
            signed = trade.quantity if trade.order.buying else -trade.quantity
            held[key] = held.get(key, 0) + signed
        assert held == {k: p.quantity for k, p in self.floor.account.positions.items()}

    @invariant()
    def orders_have_filled_what_their_trades_say(self) -> None:
        for order in self.orders:
            assert order.filled_quantity == sum(t.quantity for t in order.trades)
            assert order.unfilled >= 0 or order.is_final
            if order.status == "complete":
                assert order.unfilled == 0
            if order.status == "rejected":
                assert not order.trades
            assert [s.status for s in order.history].count("complete") <= 1

    @invariant()
    def a_final_order_is_final(self) -> None:
        finals = {"complete", "cancelled", "rejected"}
        for order in self.orders:
            told = [str(s.status) in finals for s in order.history]
            assert told.count(True) == (1 if order.is_final else 0)
            assert not any(told[:-1])

    @invariant()
    def nobody_holds_interest_for_what_is_done(self) -> None:
        floor = self.floor
        for key in (CALL, PUT, INFY):
            at_exchange = [o for o in self.orders if o.key == key and not o.is_final]
            if not at_exchange:
                assert not floor.interest.wants(key)

    def teardown(self) -> None:
        if hasattr(self, "floor"):
            assert book(self.floor.broker)["requests"] == []


TestDay = Day.TestCase
TestDay.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
