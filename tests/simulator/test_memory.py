"""A broker that has stopped, or was killed, goes on where it stood; or begins a new day."""

import logging
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import orjson
import pytest
from hypothesis import note, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from simulator.__main__ import read
from simulator.build import BadOption, Options, create_exchange
from simulator.envelope import BrokerError
from simulator.kill_switch import Wish, throw
from simulator.memory import AGAIN, Memory, fresh_counts
from simulator.model import Instrument
from simulator.order_forms import ModifyForm, read_modify, read_order
from simulator.orders import FIRST, Order, Phase
from simulator.portfolio import Holding, overnight
from simulator.tokens import USER
from simulator.truth import account_truth, order_truth
from tests.simulator.floor import LOT, Floor, body, fills, statuses
from tests.simulator.tiny import CALL, INFY, INSTRUMENTS, PUT, T0

CALL_ROW = next(i for i in INSTRUMENTS if i.instrument_key == CALL)
INFY_ROW = next(i for i in INSTRUMENTS if i.instrument_key == INFY)
OTHER = "NSE_FO|45452"
OTHER_ROW = replace(CALL_ROW, instrument_key=OTHER, strike=26200.0)
DAY = 86_400_000  # ms
GOOD = b'{"kind":"day","version":1,"day":"2025-11-26","counts":[1,2,3]}\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "exchange.jsonl"


def floor_of(file: Path, *more: Instrument, **named: Any) -> Floor:
    return Floor(*more, memory=Memory(file), **named)


def again(floor: Floor, file: Path, *more: Instrument, **named: Any) -> Floor:
    """Stop, and start another broker on what the first one has written."""
    floor.broker.close_memory()
    return floor_of(file, *more, **named)


def as_it_was_killed(file: Path, folder: Path, **named: Any) -> Floor:
    """Start a broker on the file as it is at this moment, with the first one still at work."""
    copy = folder / f"copy-{next(_copies)}.jsonl"
    shutil.copy(file, copy)
    return floor_of(copy, **named)


_copies = count()


def truth(floor: Floor) -> dict[str, Any]:
    return {user: account_truth(account) for user, account in floor.broker.accounts.items()}


# --- whatever happens, a restart changes nothing


class Restarts(RuleBasedStateMachine):
    """Requests and whims of the market in any order, and between any two of them a restart."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.file = self.folder / "exchange.jsonl"
        self.floor = floor_of(self.file)
        account = self.floor.account
        account.opening = 10**12
        account.carry([overnight(CALL_ROW, "D", 150, 140.0), overnight(INFY_ROW, "I", -20, 141.0)])
        account.holdings = {INFY: Holding(INFY_ROW, 500, 1400.0, 10)}
        self.floor.broker.remember(account)

    def teardown(self) -> None:
        self.floor.broker.close_memory()
        shutil.rmtree(self.folder)

    @property
    def live(self) -> list[Order]:
        return list(self.floor.broker.live(USER))

    @rule(
        key=st.sampled_from([CALL, PUT, INFY]),
        side=st.sampled_from(["BUY", "SELL"]),
        kind=st.sampled_from(["MARKET", "LIMIT", "SL", "SL-M"]),
        product=st.sampled_from(["I", "D", "MTF"]),
        validity=st.sampled_from(["DAY", "IOC"]),
        lots=st.integers(1, 30),
        ticks=st.integers(-10, 10),
        milliseconds=st.integers(0, 12),
    )
    def place(
        self, key: str, side: str, kind: str, product: str, validity: str, lots: int, ticks: int,
        milliseconds: int,
    ) -> None:  # fmt: skip
        lot = self.floor.market.instruments[key].lot_size
        price = round(142.6 + ticks * 0.1, 2)
        fields: dict[str, Any] = {"order_type": kind, "tag": f"tag-{lots}"}
        fields["price"] = price if kind in ("LIMIT", "SL") else 0
        if kind.startswith("SL"):
            fields["trigger_price"] = price
        self.floor.send(
            instrument_token=key, transaction_type=side, product=product, validity=validity,
            quantity=lots * lot, **fields,
        )  # fmt: skip
        note(f"{side} {kind} {lots} {key} at {price}")
        self.floor.settle(milliseconds / 1000)

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0, 100))
    def cancel(self, which: int) -> None:
        order = self.live[which % len(self.live)]
        self.floor.broker.cancel(USER, order.order_id)

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0, 100), lots=st.integers(1, 30), wait=st.booleans())
    def modify(self, which: int, lots: int, wait: bool) -> None:
        order = self.live[which % len(self.live)]
        if order.terms.order_type != "LIMIT":
            return
        self.floor.modify(order, quantity=lots * order.instrument.lot_size, price=142.6)
        if wait:
            self.floor.settle()

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0, 100), part=st.booleans())
    def fill_from_outside(self, which: int, part: bool) -> None:
        order = self.live[which % len(self.live)]
        if order.phase in (Phase.STOP, Phase.WORKING):
            self.floor.broker.fill(order, quantity=1 if part else None, price=143.15)

    @rule(how=st.sampled_from(["market", "once", "rest"]))
    def place_by_telephone(self, how: str) -> None:
        form = read_order(body(quantity=LOT))
        self.floor.broker.place_elsewhere(USER, form, fill=how, price=142.65)

    @rule(quantity=st.sampled_from([-75, 75]))
    def convert(self, quantity: int) -> None:
        try:
            self.floor.broker.convert(USER, CALL_ROW, ("I", "D"), quantity)
        except BrokerError:
            note("there was less to convert")

    @rule()
    def throw_the_kill_switch(self) -> None:
        wish = Wish("NSE_EQ", "DISABLE")
        try:
            throw(self.floor.broker, USER, [wish], self.floor.clock.now_ms())
        except BrokerError:
            note("there are open positions")

    @rule(key=st.sampled_from([CALL, INFY]), bid=st.integers(-20, 20), shown=st.integers(1, 800))
    def move_book(self, key: str, bid: int, shown: int) -> None:
        price = round(142.5 + bid * 0.1, 2)
        self.floor.book(price, round(price + 0.2, 2), shown=shown, key=key)

    @rule(milliseconds=st.integers(1, 20))
    def wait(self, milliseconds: int) -> None:
        self.floor.settle(milliseconds / 1000)

    @rule(killed=st.booleans(), most=st.sampled_from([1, 3_000, 1 << 20]))
    def restart(self, killed: bool, most: int) -> None:
        """Go on with another broker, in the same market."""
        before, others = truth(self.floor), self.floor.account.disabled
        if killed:
            shutil.copy(self.file, self.folder / "killed.jsonl")
            self.floor.broker.close_memory()
            (self.folder / "killed.jsonl").replace(self.file)
        else:
            self.floor.broker.close_memory()
        self.floor = Floor(memory=Memory(self.file, most=most))
        assert truth(self.floor) == before
        assert self.floor.account.disabled == others

    @invariant()
    def what_is_held_is_what_was_traded(self) -> None:
        account = self.floor.account
        flow = sum(-t.value if t.order.buying else t.value for t in account.trades)
        assert account.flow == flow
        for order in account.orders.values():
            assert order.filled_quantity == sum(t.quantity for t in order.trades)
            assert (order.order_id in account.live) is not order.is_final

    @rule()
    def let_all_be_done(self) -> None:
        self.floor.settle(1.0)
        assert all(o.phase in (Phase.STOP, Phase.WORKING) for o in self.live)
        assert not any(o.steps for o in self.live)


TestRestarts = Restarts.TestCase
TestRestarts.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


# --- an order on its way


def rest(floor: Floor) -> Order:
    return floor.send(price=142.6)


def fill_whole(floor: Floor) -> Order:
    return floor.send(price=142.7)


def immediate(floor: Floor) -> Order:
    return floor.send(price=142.7, quantity=4 * LOT, validity="IOC")


def stopped(floor: Floor) -> Order:
    return floor.send(order_type="SL", price=150.0, trigger_price=142.6)


def rejected(floor: Floor) -> Order:
    return floor.send(quantity=LOT - 1)


def cancelled(floor: Floor) -> Order:
    order = floor.place(price=142.6)
    floor.broker.cancel(USER, order.order_id)
    return order


def modified(floor: Floor) -> Order:
    order = floor.place(price=142.6)
    floor.broker.modify(USER, modification(order, price=142.7))
    return order


def modified_in_vain(floor: Floor) -> Order:
    order = floor.place(price=142.6)
    floor.broker.modify(USER, modification(order, quantity=LOT - 1))
    return order


def telephoned(floor: Floor) -> Order:
    (order,) = floor.broker.place_elsewhere(USER, read_order(body()), fill="once", price=142.45)
    return order


def modification(order: Order, **fields: Any) -> ModifyForm:
    terms = order.terms
    return read_modify(
        {
            "order_id": order.order_id,
            "order_type": terms.order_type,
            "validity": terms.validity,
            "price": terms.price,
            "trigger_price": terms.trigger_price,
        }
        | fields
    )


LIVES = [
    rest, fill_whole, immediate, stopped, rejected, cancelled, modified, modified_in_vain,
    telephoned,
]  # fmt: skip


@pytest.mark.parametrize("live", LIVES)
def test_whenever_it_stops_an_order_ends_as_it_would_have(
    live: Callable[[Floor], Order], tmp_path: Path
) -> None:
    unharmed = Floor()
    order = live(unharmed)
    unharmed.settle()
    for stops_after in count():
        file = tmp_path / f"{stops_after}.jsonl"
        floor = floor_of(file)
        order_id = live(floor).order_id
        done = run(floor, stops_after)
        floor = again(floor, file)
        run(floor, 1)
        floor = again(floor, file)
        floor.settle()
        found = floor.account.orders[order_id]
        assert statuses(found) == statuses(order)
        assert fills(found) == fills(order)
        floor.broker.close_memory()
        if done < stops_after:
            break
    assert stops_after > 2


def run(floor: Floor, steps: int) -> int:
    """Do so many steps of the agenda, or all that there are; return how many."""
    for n in range(steps):
        if floor.agenda.empty:
            return n
        floor.settle(max(0.0, floor.agenda.next_at - floor.agenda.now()))
    return steps


@pytest.mark.parametrize("live", LIVES)
def test_killed_between_any_two_writes_it_ends_well(
    live: Callable[[Floor], Order], tmp_path: Path
) -> None:
    file = tmp_path / "exchange.jsonl"
    floor = floor_of(file)
    whole = live(floor)
    floor.settle()
    floor.broker.close_memory()
    written = file.read_bytes().splitlines(keepends=True)
    asked = 0
    for kept in range(1, len(written) + 1):
        cut = tmp_path / f"{kept}.jsonl"
        cut.write_bytes(b"".join(written[:kept]))
        after = floor_of(cut)
        after.settle(1.0)
        found = after.account.orders.get(whole.order_id)
        traded = sum(t.quantity if t.order.buying else -t.quantity for t in after.account.trades)
        assert sum(p.quantity for p in after.account.positions.values()) == traded
        ended = found is not None and ends_alike(found, whole)
        asked += ended
        assert ended or not asked  # before its last request was written it was not made
        after.broker.close_memory()
    assert asked


def ends_alike(found: Order, whole: Order) -> bool:
    """Compare with an order that was not interrupted; a new book may have more for it."""
    more = found.filled_quantity - whole.filled_quantity
    return found.is_final is whole.is_final and (more == 0 or (more > 0 and not found.unfilled))


@pytest.mark.parametrize("live", LIVES)
def test_nothing_is_told_that_is_not_written(
    live: Callable[[Floor], Order], file: Path, tmp_path: Path
) -> None:
    floor = floor_of(file)
    wrong: list[Any] = []

    def listen(_: str, told: Any) -> None:
        kept = as_it_was_killed(file, tmp_path)
        if told["update_type"] == "order":
            found = order_truth(kept.account.orders[told["order_id"]])
            names = ("status", "filled_quantity", "exchange_timestamp", "exchange_order_id")
            wrong.extend(name for name in names if found[name] != told[name])
        else:
            position = kept.account.positions[told["instrument_key"], told["product"]]
            wrong.extend(["position"] * (position.quantity != told["quantity"]))
        kept.broker.close_memory()

    floor.broker.listen(listen)
    live(floor)
    floor.settle()
    floor.broker.close_memory()

    assert floor.told
    assert wrong == []


def test_what_works_works_on(file: Path) -> None:
    floor = floor_of(file)
    limit = floor.place(price=142.6, quantity=2 * LOT)
    stop = floor.place(order_type="SL-M", trigger_price=145.0)
    market = floor.place(order_type="MARKET", quantity=20 * LOT)
    left = market.unfilled
    floor = again(floor, file)
    before = [o.phase for o in floor.broker.live(USER)], floor.broker.busy
    floor.book(142.4, 142.6)
    filled = fills(floor.account.orders[limit.order_id])
    floor.trade(145.0)

    assert before == ([Phase.WORKING, Phase.STOP, Phase.WORKING], True)
    assert filled == [(142.6, 2 * LOT)]
    assert floor.account.orders[market.order_id].filled_quantity == market.filled_quantity + left
    assert statuses(floor.account.orders[stop.order_id])[-1] == "complete"


def test_an_order_that_a_fault_held_back_is_free_after_a_restart(file: Path) -> None:
    floor = floor_of(file)
    floor.faults.set("rest_order")
    order = floor.place(price=142.7)
    held = order.filled_quantity
    floor = again(floor, file)
    floor.book(142.4, 142.6)

    assert held == 0
    assert floor.account.orders[order.order_id].filled_quantity == LOT


# --- numbers


def test_no_number_is_given_twice(file: Path) -> None:
    orders, trades = set(), set()
    floor = floor_of(file)
    for _ in range(3):
        orders.add(floor.place(price=142.7).order_id)
        trades |= {t.trade_id for t in floor.account.trades}
        floor.book(142.5, 142.7)
        floor = again(floor, file)
    file.unlink()
    time.sleep(0.01)
    order = again(floor, file).place(price=142.7)

    assert (len(orders), len(trades)) == (3, 3)
    assert order.order_id not in orders
    assert order.trades[0].trade_id not in trades


def test_the_first_numbers_of_a_day_have_nine_digits() -> None:
    assert FIRST.orders < fresh_counts().orders < 999_000_000


# --- the file


def test_a_torn_last_line_is_dropped(file: Path) -> None:
    floor = floor_of(file)
    floor.place()
    before = truth(floor)
    floor.broker.close_memory()
    with file.open("ab") as opened:
        opened.write(b'{"kind":"change","user":"4XA7')
    floor = floor_of(file)

    assert truth(floor) == before
    assert file.read_bytes().endswith(b"}\n")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\x00\xff garbage \n",
        b"[1, 2]\n",
        b'{"kind":"day","version":99,"day":"2025-11-26","counts":[1,2,3]}\n',
        GOOD + b'{"kind":"change","user":"4XA7QK","id":"1","now":{}}\n',
        GOOD + b'{"kind":"tea"}\n' + GOOD,
        GOOD + b'{"kind":"instrument","colour":"red"}\n',
    ],
)
def test_a_file_that_makes_no_sense_is_put_aside(
    text: bytes, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_bytes(text)
    with caplog.at_level(logging.WARNING):
        floor = floor_of(file)
    floor.place()
    (aside,) = file.parent.glob("exchange.jsonl.unreadable-*")

    assert aside.read_bytes() == text
    assert aside.name in caplog.text
    assert len(again(floor, file).account.orders) == 1


def test_the_file_is_for_its_owner_only(file: Path) -> None:
    floor_of(file).place()

    assert file.stat().st_mode & 0o777 == 0o600


def test_two_exchanges_never_share_a_file(file: Path) -> None:
    options = Options(instruments=60, memory=file)
    with create_exchange(options) as first:
        first.do(lambda broker: broker.account(USER))
        with pytest.raises(BadOption, match="in use"):
            create_exchange(options)
    create_exchange(Options(instruments=60, memory=file))


def test_a_file_that_cannot_be_read_is_an_option_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match=r"memory: .* cannot be read: Is a directory"):
        create_exchange(Options(instruments=60, memory=tmp_path))


def test_an_exchange_without_accounts_leaves_no_trace(file: Path) -> None:
    with create_exchange(Options(instruments=60, memory=file)):
        pass

    assert list(file.parent.iterdir()) == []


def test_the_file_does_not_grow_for_ever(file: Path) -> None:
    floor = Floor(memory=Memory(file, most=20_000))
    largest = 0
    for _ in range(100):
        order = floor.place()
        floor.cancel(order)
        largest = max(largest, file.stat().st_size)
    before = truth(floor)
    shortest = file.stat().st_size
    floor = again(floor, file)

    assert truth(floor) == before
    assert file.stat().st_size <= shortest
    assert largest < file.stat().st_size + 25_000


def test_a_disk_that_takes_nothing_is_told_of_and_all_is_kept_later(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    floor = floor_of(file)
    floor.place()
    with no_room_beyond(file.stat().st_size + 10), caplog.at_level(logging.WARNING):
        floor.place(price=142.7)
        floor.place()
    said = caplog.text
    time.sleep(AGAIN)
    with caplog.at_level(logging.WARNING):
        floor.place()
    before = truth(floor)
    after = again(floor, file)

    assert said.count("cannot be kept in exchange.jsonl (File too large)") == 1
    assert "kept in exchange.jsonl again" in caplog.text
    assert truth(after) == before


def test_a_folder_that_takes_no_file_does_not_stop_the_exchange(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "later" / "exchange.jsonl"
    floor = floor_of(file)
    order = floor.place()
    file.parent.mkdir()
    floor.broker.close_memory()

    assert "cannot be kept" in caplog.text
    assert order.order_id in floor_of(file).account.orders


@contextmanager
def no_room_beyond(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- another day, another list


@pytest.mark.parametrize("always_open", [True, False])
@pytest.mark.parametrize("running", [True, False])
def test_on_a_new_day_orders_end_and_positions_are_carried_or_squared_off(
    always_open: bool, running: bool, file: Path
) -> None:
    floor = floor_of(file, always_open=always_open)
    floor.place(price=142.7, quantity=LOT, product="D")
    floor.place(price=142.7, quantity=2 * LOT, product="I")
    floor.place(instrument_token=PUT, price=142.5, transaction_type="SELL", product="I")
    resting = floor.place(price=142.6)
    cash = floor.account.balance()
    if running:
        floor.clock.advance(DAY / 1000)
        floor.broker.look_around()
    else:
        floor = again(floor, file, always_open=always_open, now_ms=T0 + DAY)
    account = floor.account

    assert account.orders == {}
    assert account.trades == []
    assert {k: p.overnight_quantity for k, p in account.positions.items()} == {(CALL, "D"): LOT}
    # two lots of the call sold and one of the put bought, at the last price
    assert account.balance() == pytest.approx(cash + (2 * LOT - LOT) * 142.6)
    assert again(floor, file, always_open=always_open, now_ms=T0 + DAY).account.orders == {}
    if running:
        assert resting.status == "cancelled"
        assert [m["status"] for m in floor.told if m["update_type"] == "order"][-1] == "complete"
        assert floor.told[-1]["quantity"] == 0


def test_a_time_that_runs_back_begins_a_day_too(file: Path) -> None:
    floor = floor_of(file, now_ms=T0 + 3 * DAY)
    floor.place(price=142.7, product="D")
    floor = again(floor, file)

    assert floor.account.orders == {}
    assert floor.account.positions[CALL, "D"].overnight_quantity == LOT
    assert floor.place(price=142.7).order_id.startswith("251126")


def test_the_same_day_goes_on_at_an_earlier_hour(file: Path) -> None:
    """As a replay does, which begins at its first minute again."""
    floor = floor_of(file, now_ms=T0 + 3_600_000)
    floor.place(price=142.7)
    before = truth(floor)

    assert truth(again(floor, file)) == before


def test_an_after_market_order_waits_over_the_night(file: Path) -> None:
    hour = 3_600_000
    floor = floor_of(file, always_open=False, now_ms=T0 + 7 * hour)
    order = floor.place(price=142.7)
    floor = again(floor, file, always_open=False, now_ms=T0 + 24 * hour)
    floor.broker.look_around()
    floor.settle()

    assert statuses(floor.account.orders[order.order_id])[-1] == "complete"


def test_what_was_open_at_a_close_that_nobody_saw_is_cancelled(file: Path) -> None:
    hour = 3_600_000
    floor = floor_of(file, always_open=False)
    resting, coming = floor.place(price=142.6), floor.send(price=142.7)
    floor = again(floor, file, always_open=False, now_ms=T0 + 7 * hour)
    floor.settle()

    for order in (resting, coming):
        assert statuses(floor.account.orders[order.order_id])[-1] == "cancelled"
    assert floor.account.trades == []


def test_a_contract_that_has_expired_is_settled(file: Path) -> None:
    floor = floor_of(file)
    floor.place(price=142.7, product="D")
    floor = again(floor, file, now_ms=CALL_ROW.expiry + 1_000)

    assert floor.account.positions == {}
    assert floor.account.balance() == pytest.approx(1_000_000 + LOT * (142.6 - 142.7))


def test_what_is_not_listed_any_more_is_settled(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    floor = floor_of(file, OTHER_ROW)
    floor.place(instrument_token=OTHER, price=142.7, product="D")
    resting = floor.place(instrument_token=OTHER, price=142.6)
    floor.account.holdings[OTHER] = Holding(OTHER_ROW, 10, 100.0)
    floor.broker.remember(floor.account)
    with caplog.at_level(logging.INFO):
        floor = again(floor, file)
    account = floor.account
    _, _, squared_off = account.orders.values()

    assert account.orders[resting.order_id].status == "cancelled"
    assert account.positions[OTHER, "D"].quantity == 0
    assert account.holdings == {}
    assert (squared_off.source, fills(squared_off)) == ("broker", [(142.7, LOT)])
    assert account.balance() == pytest.approx(1_000_000 + 1_000)
    assert "squared off at 142.70" in caplog.text
    assert "sold at what they cost" in caplog.text
    assert truth(again(floor, file)) == truth(floor)


def test_the_command_line_has_it() -> None:
    options = read(["--memory", "exchange.jsonl", "--opening"])

    assert (options.memory, options.opening) == (Path("exchange.jsonl"), True)
    assert (read([]).memory, read([]).opening) == (None, False)


def test_lines_are_json_that_a_person_can_read(file: Path) -> None:
    floor_of(file).place(price=142.7, tag="mine")
    kinds = [orjson.loads(line)["kind"] for line in file.read_bytes().splitlines()]

    assert kinds == ["day", "account", "instrument", "order", *["change"] * 5]
