"""The replay: candles rebuilt from its prices are the file's, and the chain follows the index."""

import math
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.calendar import ExchangeCalendar, MarketStatus
from simulator.candles import Candle, points, read_candles
from simulator.instruments import NIFTY
from simulator.model import Part
from simulator.replay import ReplayMarket

DATA = Path(__file__).parents[2].parent / "shared" / "data"
REAL = sorted(DATA.glob("*_1m_*.csv"))
CHAIN = DATA / "nifty50_option_chain_2024-06-26_close_exp_2024-06-27.json"
real_data = pytest.mark.skipif(not REAL, reason=f"no recorded market data in {DATA.parent.name}")
TCS = "NSE_EQ|INE467B01029"
MINUTE = 60_000
HEADER = "instrument_key,timestamp,open,high,low,close"

Rebuilt = dict[tuple[str, int], tuple[float, float, float, float, int]]


def rebuild(market: ReplayMarket, keys: set[str]) -> Rebuilt:
    """Make candles by ltt alone, as somebody does who knows only the ticks."""
    found: Rebuilt = {}
    volumes: dict[str, int] = {}
    for key, part in market.advance(market.end_ms):
        quote = market.quotes[key]
        if key not in keys or not part & Part.PRICE or quote.ltt < market.start_ms:
            continue
        grown = quote.volume - volumes.get(key, 0)
        grown = quote.volume if grown < 0 else grown
        volumes[key] = quote.volume
        place = key, quote.ltt - quote.ltt % MINUTE
        o, h, l, _, v = found.get(place, (quote.ltp, quote.ltp, quote.ltp, quote.ltp, 0))  # noqa: E741
        found[place] = (o, max(h, quote.ltp), min(l, quote.ltp), quote.ltp, v + grown)
    return found


def expected(files: list[Path]) -> Rebuilt:
    return {
        (c.instrument_key, c.start): (c.open, c.high, c.low, c.close, c.volume)
        for file in files
        for c in read_candles(file)
    }


def write(path: Path, *rows: str, header: str = HEADER) -> Path:
    path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return path


@real_data
def test_candles_rebuilt_from_all_the_real_files_are_the_files() -> None:
    market = ReplayMarket(REAL, count=7)
    keys = set(market.instruments)
    # the day roll tells the last price again, with its old ltt, which must change no candle

    found = rebuild(market, keys)

    assert len(found) == len(REAL) * 375
    assert found == expected(REAL)


@real_data
def test_the_candles_stay_exact_beside_a_moving_chain() -> None:
    files = [f for f in REAL if "2024-06-27" in f.name]
    market = ReplayMarket(files, CHAIN, count=4)

    assert rebuild(market, {NIFTY, "NSE_INDEX|Nifty Bank"}) == expected(files)


@real_data
def test_the_exchanges_own_minutes_are_the_files_too() -> None:
    file = DATA / "tcs_1m_2025-01-31.csv"
    market = ReplayMarket([file], count=5)
    list(market.advance(market.end_ms))

    quote = market.quotes[TCS]
    bars = [*quote.minutes, quote.minute]
    assert [(b.start, b.open, b.high, b.low, b.close, b.volume) for b in bars] == [
        (c.start, c.open, c.high, c.low, c.close, c.volume) for c in read_candles(file)
    ]
    assert quote.volume == sum(c.volume for c in read_candles(file))
    assert quote.bids[0][0] < quote.asks[0][0]


@real_data
def test_two_replays_are_identical_in_whatever_steps_time_passes() -> None:
    files = [DATA / "nifty50_1m_2024-06-27.csv"]
    one, two = (ReplayMarket(files, CHAIN, count=6) for _ in range(2))
    end = one.start_ms + 5 * MINUTE
    at_once = list(one.advance(end))
    bit_by_bit = [c for now in (*range(two.start_ms, end, 333), end) for c in two.advance(now)]

    assert at_once == bit_by_bit
    assert repr(one.quotes) == repr(two.quotes)


@real_data
def test_the_session_is_over_after_the_last_minute() -> None:
    market = ReplayMarket([DATA / "nifty50_1m_2024-06-27.csv"], count=4)
    list(market.advance(market.end_ms))

    assert list(market.advance(market.end_ms + 3_600_000)) == []
    status = ExchangeCalendar(always_open=False).status("NSE_INDEX", market.end_ms)
    assert status is MarketStatus.NORMAL_CLOSE


@real_data
def test_the_second_day_knows_the_first_days_close() -> None:
    files = [DATA / f"nifty50_1m_2024-06-{day}.csv" for day in (26, 27)]
    market = ReplayMarket(files, count=4)

    assert market.quotes[NIFTY].close == 0.0
    list(market.advance(market.end_ms))
    assert market.quotes[NIFTY].close == 23840.25
    assert market.quotes[NIFTY].day.open == 23881.55


@pytest.fixture
def chain_market() -> ReplayMarket:
    return ReplayMarket([DATA / "nifty50_1m_2024-06-27.csv"], CHAIN, count=4)


@real_data
def test_the_chain_starts_as_the_broker_sent_it(chain_market: ReplayMarket) -> None:
    contract, quote = chain_market.instruments["NSE_FO|40085"], chain_market.quotes["NSE_FO|40085"]
    zeros = chain_market.quotes["NSE_FO|39661"]  # the 16000 call

    assert len(chain_market.instruments) == 1 + 230
    assert contract.trading_symbol == "NIFTY 15000 PE 27 JUN 24"
    assert (contract.lot_size, contract.tick_size, contract.weekly) == (25, 0.05, False)
    assert (quote.ltp, quote.volume, quote.oi, quote.previous_oi) == (0.25, 710750, 244100, 309325)
    assert (quote.bids[0], quote.asks[0]) == ((0.25, 1750), (0.35, 1775))
    assert (quote.iv, quote.delta, quote.close) == (pytest.approx(2.6563), -0.0003, 0.7)
    assert (zeros.iv, zeros.vega, zeros.theta, zeros.delta) == (0, 0, 0, 1)
    assert chain_market.quotes[NIFTY].close == 23868.8


@real_data
def test_the_chain_moves_with_the_index_and_never_below_a_tick(chain_market: ReplayMarket) -> None:
    traded = 0
    for key, part in chain_market.advance(chain_market.end_ms):
        quote = chain_market.quotes[key]
        if key == NIFTY:
            continue
        if part & Part.PRICE:
            traded += 1
            assert quote.ltp >= 0.05
            assert quote.ltp == round(round(quote.ltp / 0.05) * 0.05, 2)
        assert 0.05 <= quote.bids[0][0] < quote.asks[0][0]
    spot = chain_market.quotes[NIFTY].ltp
    by_strike = {
        (i.strike, i.instrument_type): chain_market.quotes[k]
        for k, i in chain_market.instruments.items()
        if i.strike
    }

    assert traded > 10_000
    assert spot == 24036.1
    for strike in range(23_500, 24_001, 100):  # at expiry an option is worth its intrinsic value
        assert by_strike[(strike, "CE")].ltp == pytest.approx(spot - strike, abs=12)
        assert by_strike[(strike, "PE")].ltp <= 0.2


@real_data
def test_at_the_open_a_call_gains_and_a_put_loses_with_the_index() -> None:
    market = ReplayMarket([DATA / "nifty50_1m_2024-06-27.csv"], CHAIN, count=20)
    keys = {i.instrument_type: k for k, i in market.instruments.items() if i.strike == 23_850.0}
    seen: list[tuple[float, float, float]] = []
    for key, _ in market.advance(market.start_ms + 60 * MINUTE):
        if key == NIFTY:
            call, put = (market.quotes[keys[kind]] for kind in ("CE", "PE"))
            seen.append(
                (
                    market.quotes[NIFTY].ltp,
                    (call.bids[0][0] + call.asks[0][0]) / 2,
                    (put.bids[0][0] + put.asks[0][0]) / 2,
                )
            )
    spots, calls, puts = zip(*seen[20:], strict=True)

    assert correlation(spots, calls) > 0.8
    assert correlation(spots, puts) < -0.8
    carry = [c - p - (s - 23_850) for s, c, p in seen[20:]]
    assert sorted(carry)[len(carry) // 2] == pytest.approx(-10.8, abs=3)  # the chain's own forward


def correlation(xs: tuple[float, ...], ys: tuple[float, ...]) -> float:
    mx, my = sum(xs) / len(xs), sum(ys) / len(ys)
    both = sum((x - mx) * (y - my) for x, y in zip(xs, ys, strict=True))
    return both / math.sqrt(sum((x - mx) ** 2 for x in xs) * sum((y - my) ** 2 for y in ys))


paise = st.integers(min_value=1, max_value=20_000_000)


@given(st.lists(paise, min_size=4, max_size=4), st.integers(0, 50_000), st.integers(1, 40), paise)
def test_a_path_makes_its_candle_again(
    drawn: list[int], volume: int, count: int, seed: int
) -> None:
    low, one, other, high = sorted(drawn)
    candle = Candle(TCS, 600_000, one / 100, high / 100, low / 100, other / 100, volume)
    path = points(candle, count=count, tick=5, random=Random(seed))
    prices = [point.price for point in path]
    times = [point.at for point in path]

    assert (prices[0], max(prices), min(prices), prices[-1]) == (
        candle.open,
        candle.high,
        candle.low,
        candle.close,
    )
    assert times[0] == candle.start
    assert times == sorted(set(times))
    assert times[-1] < candle.start + MINUTE
    assert sum(point.volume for point in path) == volume
    assert len(path) == max(4, count)


@pytest.mark.parametrize(
    ("opened", "closed", "order"), [(100, 101, "low first"), (101, 100, "high first")]
)
def test_a_rising_minute_dips_first_and_a_falling_one_rises_first(
    opened: float, closed: float, order: str
) -> None:
    candle = Candle(TCS, 0, opened, 102, 99, closed, 0)
    prices = [p.price for p in points(candle, count=4, tick=5, random=Random(1))]

    assert (prices.index(99) < prices.index(102)) == (order == "low first")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("K|A,2024-06-27T09:16:00+05:30,1,2,x,1", "low is not a price: 'x'"),
        ("K|A,2024-06-27T09:16:00+05:30,1,2,nan,1", "low is not a price: 'nan'"),
        ("K|A,2024-06-27T09:16:00+05:30,1,2,0,1", "low is not a price: '0'"),
        ("K|A,2024-06-27T09:16:00+05:30,5,4,3,3", "the high 4.0 is below the open"),
        ("K|A,2024-06-27T09:16:00+05:30,5,6,5.5,6", "the low 5.5 is above the open"),
        ("K|A,2024-06-27T09:16:30+05:30,1,2,1,1", "not the start of a minute"),
        ("K|A,2024-06-27T09:16:00,1,2,1,1", "no time zone"),
        ("K|A,yesterday,1,2,1,1", "timestamp is not a time: 'yesterday'"),
        ("K|A,2024-06-27T09:16:00+05:30,1,2", "low is missing"),
        ("K|A,2024-06-27T09:15:00+05:30,1,2,1,1", "has this minute already"),
        ('K|A,"2024-06-27', "unexpected end of data"),
    ],
)
def test_a_garbled_row_is_named_by_file_and_line(tmp_path: Path, row: str, said: str) -> None:
    file = write(tmp_path / "day.csv", "K|A,2024-06-27T09:15:00+05:30,1,2,1,1", row)

    with pytest.raises(ValueError, match=r"day\.csv, line 3: .*" + said):
        ReplayMarket([file])


def test_a_negative_volume_is_named(tmp_path: Path) -> None:
    row = "K|A,2024-06-27T09:15:00+05:30,1,2,1,1,-5"
    file = write(tmp_path / "day.csv", row, header=HEADER + ",volume")

    with pytest.raises(ValueError, match="line 2: volume is not a quantity"):
        ReplayMarket([file])


@pytest.mark.parametrize("header", ["", "<html>", HEADER.replace("low", "lowest")])
def test_a_file_of_something_else_is_named(tmp_path: Path, header: str) -> None:
    with pytest.raises(ValueError, match=r"day\.csv, line 1: the header has no column"):
        ReplayMarket([write(tmp_path / "day.csv", header=header)])


def test_a_missing_or_empty_or_binary_file_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "bin.csv"
    binary.write_bytes(HEADER.encode() + b"\n\xff\xfe\x00")

    with pytest.raises(ValueError, match=r"no\.csv: cannot be read: No such file"):
        ReplayMarket([tmp_path / "no.csv"])
    with pytest.raises(ValueError, match=r"day\.csv, line 1: no candles"):
        ReplayMarket([write(tmp_path / "day.csv")])
    with pytest.raises(ValueError, match=r"bin\.csv, line 2: it is not text"):
        ReplayMarket([binary])
    with pytest.raises(ValueError, match="no files"):
        ReplayMarket([])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not an option chain: Expecting value"),
        ("[]", "it has no rows"),
        ('{"status": "error"}', "'data' is missing"),
        ('[{"underlying_key": "K|A"}]', "'underlying_spot_price' is missing"),
        ("[1]", "not an option chain"),
        ('{"data": {"a": 1}}', "not an option chain"),
    ],
)
def test_a_garbled_chain_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = write(tmp_path / "day.csv", f"{NIFTY},2024-06-27T09:15:00+05:30,1,2,1,1")
    chain = tmp_path / "chain.json"
    chain.write_text(text, encoding="utf-8")

    with pytest.raises(ValueError, match=r"chain\.json: .*" + said):
        ReplayMarket([file], chain)


def test_a_missing_chain_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "day.csv", f"{NIFTY},2024-06-27T09:15:00+05:30,1,2,1,1")

    with pytest.raises(ValueError, match=r"no\.json.*cannot be read"):
        ReplayMarket([file], tmp_path / "no.json")


@real_data
def test_a_chain_without_its_underlying_or_after_its_expiry_is_refused(tmp_path: Path) -> None:
    bank = DATA / "banknifty_1m_2024-06-27.csv"
    late = write(tmp_path / "late.csv", f"{NIFTY},2024-06-28T09:15:00+05:30,1,2,1,1")

    with pytest.raises(ValueError, match="no file replays its underlying"):
        ReplayMarket([bank], CHAIN)
    with pytest.raises(ValueError, match="expires on 2024-06-27, before the replay"):
        ReplayMarket([late], CHAIN)
