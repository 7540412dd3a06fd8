"""What the simulated exchange lists: indices, Nifty shares, futures and option chains."""

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple

from simulator.calendar import IST, epoch_ms, trades_on
from simulator.model import Instrument

NIFTY: Final = "NSE_INDEX|Nifty 50"
BANK: Final = "NSE_INDEX|Nifty Bank"
VIX: Final = "NSE_INDEX|India VIX"
LEVELS: Final[Mapping[str, float]] = {NIFTY: 26_000.0, BANK: 59_000.0, VIX: 13.0}

TICK_REFORM: Final = date(2025, 4, 15)  # ticks by price for shares above 1,000 and index futures
WEEKDAY_REFORM: Final = date(2025, 9, 1)  # all expiries on Tuesdays
WED, THU, TUE, NEVER = 2, 3, 1, -1


class Share(NamedTuple):
    """A listed company; `price` is a plausible level in rupees, for the random market only."""

    symbol: str
    isin: str
    token: str
    price: float
    name: str
    short_name: str


SHARES: Final = tuple(
    Share(*row)
    for row in (
        ("ADANIENT", "INE423A01024", "25", 2400.0, "ADANI ENTERPRISES LIMITED", "Adani Ent"),
        ("ADANIPORTS", "INE742F01042", "15083", 1480.0, "ADANI PORT & SEZ LTD", "Adani Ports"),
        ("APOLLOHOSP", "INE437A01024", "157", 7400.0, "APOLLO HOSPITALS ENTER. L", "Apollo Hosp"),
        ("ASIANPAINT", "INE021A01026", "236", 2850.0, "ASIAN PAINTS LIMITED", "Asian Paints"),
        ("AXISBANK", "INE238A01034", "5900", 1270.0, "AXIS BANK LIMITED", "Axis Bank"),
        ("BAJAJ-AUTO", "INE917I01010", "16669", 9050.0, "BAJAJ AUTO LIMITED", "Bajaj Auto"),
        ("BAJFINANCE", "INE296A01032", "317", 1020.0, "BAJAJ FINANCE LIMITED", "Bajaj Finance"),
        ("BAJAJFINSV", "INE918I01026", "16675", 2080.0, "BAJAJ FINSERV LTD.", "Bajaj Finserv"),
        ("BEL", "INE263A01024", "383", 415.0, "BHARAT ELECTRONICS LTD", "BEL"),
        ("BHARTIARTL", "INE397D01024", "10604", 2110.0, "BHARTI AIRTEL LIMITED", "Airtel"),
        ("CIPLA", "INE059A01026", "694", 1520.0, "CIPLA LTD", "Cipla"),
        ("COALINDIA", "INE522F01014", "20374", 378.0, "COAL INDIA LTD", "Coal India"),
        ("DRREDDY", "INE089A01031", "881", 1250.0, "DR. REDDY S LABORATORIES", "Dr Reddys"),
        ("EICHERMOT", "INE066A01021", "910", 7000.0, "EICHER MOTORS LTD", "Eicher Motors"),
        ("ETERNAL", "INE758T01015", "5097", 302.0, "ETERNAL LIMITED", "Eternal"),
        ("GRASIM", "INE047A01021", "1232", 2720.0, "GRASIM INDUSTRIES LTD", "Grasim"),
        ("HCLTECH", "INE860A01027", "7229", 1620.0, "HCL TECHNOLOGIES LTD", "HCL Tech"),
        ("HDFCBANK", "INE040A01034", "1333", 1000.0, "HDFC BANK LTD", "HDFC Bank"),
        ("HDFCLIFE", "INE795G01014", "467", 765.0, "HDFC LIFE INS CO LTD", "HDFC Life"),
        ("HINDALCO", "INE038A01020", "1363", 805.0, "HINDALCO INDUSTRIES LTD", "Hindalco"),
        ("HINDUNILVR", "INE030A01027", "1394", 2420.0, "HINDUSTAN UNILEVER LTD.", "HUL"),
        ("ICICIBANK", "INE090A01021", "4963", 1370.0, "ICICI BANK LTD.", "ICICI Bank"),
        ("INDIGO", "INE646L01027", "11195", 5850.0, "INTERGLOBE AVIATION LTD", "IndiGo"),
        ("INFY", "INE009A01021", "1594", 1545.0, "INFOSYS LIMITED", "Infosys"),
        ("ITC", "INE154A01025", "1660", 404.0, "ITC LTD", "ITC"),
        ("JIOFIN", "INE758E01017", "18143", 306.0, "JIO FIN SERVICES LTD", "Jio Financial"),
        ("JSWSTEEL", "INE019A01038", "11723", 1160.0, "JSW STEEL LIMITED", "JSW Steel"),
        ("KOTAKBANK", "INE237A01028", "1922", 2090.0, "KOTAK MAHINDRA BANK LTD", "Kotak Bank"),
        ("LT", "INE018A01030", "11483", 4030.0, "LARSEN & TOUBRO LTD.", "L&T"),
        ("M&M", "INE101A01026", "2031", 3700.0, "MAHINDRA & MAHINDRA LTD", "M&M"),
        ("MARUTI", "INE585B01010", "10999", 15900.0, "MARUTI SUZUKI INDIA LTD.", "Maruti"),
        ("MAXHEALTH", "INE027H01010", "22377", 1160.0, "MAX HEALTHCARE INS LTD", "Max Health"),
        ("NESTLEIND", "INE239A01024", "17963", 1260.0, "NESTLE INDIA LIMITED", "Nestle"),
        ("NTPC", "INE733E01010", "11630", 326.0, "NTPC LTD", "NTPC"),
        ("ONGC", "INE213A01029", "2475", 247.0, "OIL AND NATURAL GAS CORP.", "ONGC"),
        ("POWERGRID", "INE752E01010", "14977", 272.0, "POWER GRID CORP. LTD.", "Power Grid"),
        ("RELIANCE", "INE002A01018", "2885", 1540.0, "RELIANCE INDUSTRIES LTD", "Reliance"),
        ("SBILIFE", "INE123W01016", "21808", 2010.0, "SBI LIFE INSURANCE CO LTD", "SBI Life"),
        ("SBIN", "INE062A01020", "3045", 975.0, "STATE BANK OF INDIA", "SBI"),
        ("SHRIRAMFIN", "INE721A01047", "4306", 840.0, "SHRIRAM FINANCE LIMITED", "Shriram Fin"),
        ("SUNPHARMA", "INE044A01036", "3351", 1790.0, "SUN PHARMACEUTICAL IND L", "Sun Pharma"),
        ("TCS", "INE467B01029", "11536", 3130.0, "TATA CONSULTANCY SERV LT", "TCS"),
        ("TATACONSUM", "INE192A01025", "3432", 1160.0, "TATA CONSUMER PRODUCT LTD", "Tata Cons"),
        ("TMPV", "INE155A01022", "3456", 358.0, "TATA MOTORS PASS VEH LTD", "Tata Motors PV"),
        ("TATASTEEL", "INE081A01020", "3499", 168.0, "TATA STEEL LIMITED", "Tata Steel"),
        ("TECHM", "INE669C01036", "13538", 1510.0, "TECH MAHINDRA LIMITED", "Tech Mahindra"),
        ("TITAN", "INE280A01028", "3506", 3900.0, "TITAN COMPANY LIMITED", "Titan"),
        ("TRENT", "INE849A01020", "1964", 4250.0, "TRENT LTD", "Trent"),
        ("ULTRACEMCO", "INE481G01011", "11532", 11600.0, "ULTRATECH CEMENT LIMITED", "UltraTech"),
        ("WIPRO", "INE075A01022", "3787", 246.0, "WIPRO LTD", "Wipro"),
    )
)

_INDEX_ROWS: Final = (
    (NIFTY, "Nifty 50", "NIFTY 50", "26000"),
    (BANK, "Nifty Bank", "NIFTY BANK", "26009"),
    (VIX, "India VIX", "INDIA VIX", "26017"),
)


@dataclass(frozen=True, slots=True)
class Series:
    """How the derivatives of an index are listed; dated rows hold from their date on.

    `weekly` and `monthly` are the weekday of expiry (0 Monday, NEVER for none), judged by the
    expiry's own date; `lots` by the day of listing.
    """

    underlying_key: str
    symbol: str
    step: float
    freeze: int
    lots: tuple[tuple[date, int], ...]
    weekly: tuple[tuple[date, int], ...]
    monthly: tuple[tuple[date, int], ...]
    lateness: int  # how many strikes of the other index go first when the list is cut


SERIES: Final = (
    Series(
        NIFTY,
        "NIFTY",
        50.0,
        1800,
        lots=(
            (date.min, 50),
            (date(2024, 4, 26), 25),
            (date(2024, 11, 20), 75),
            (date(2025, 12, 31), 65),
        ),
        weekly=((date.min, THU), (WEEKDAY_REFORM, TUE)),
        monthly=((date.min, THU), (WEEKDAY_REFORM, TUE)),
        lateness=0,
    ),
    Series(
        BANK,
        "BANKNIFTY",
        100.0,
        900,
        lots=(
            (date.min, 15),
            (date(2024, 11, 20), 30),
            (date(2025, 4, 25), 35),
            (date(2025, 12, 31), 30),
        ),
        weekly=((date.min, WED), (date(2024, 11, 14), NEVER)),
        monthly=(
            (date.min, THU),
            (date(2024, 3, 1), WED),
            (date(2025, 1, 1), THU),
            (WEEKDAY_REFORM, TUE),
        ),
        lateness=10,
    ),
)

WEEKLIES, MONTHLIES = 4, 3  # expiries listed at a time
EXPIRY_LATENESS: Final = 15  # strikes of the nearer expiry that go before a farther one's first
WIDEST: Final = 200  # strikes to each side


def in_force(rows: tuple[tuple[date, int], ...], day: date) -> int:
    """Return the value of the dated row that holds on a day."""
    return [number for since, number in rows if since <= day][-1]


def share_tick(price: float, day: date) -> float:
    """Return the tick size of a share in rupees, by its price (NSE, June 2024 and April 2025)."""
    if price < 250:
        return 0.01
    if day < TICK_REFORM or price < 1_000:
        return 0.05
    bands = ((5_000, 0.10), (10_000, 0.50), (20_000, 1.00))
    return next((tick for below, tick in bands if price < below), 5.00)


def future_tick(level: float, day: date) -> float:
    """Return the tick size of an index future in rupees, by the index's level."""
    if day < TICK_REFORM or level < 15_000:
        return 0.05
    return 0.10 if level <= 30_000 else 0.20


def expiries(series: Series, today: date) -> list[tuple[date, bool]]:
    """Return the expiries from today on that are listed, and whether each is a weekly one."""
    months = _coming(_monthly_dates(series, today), today, MONTHLIES)
    last_days = {day for day, _ in months}
    weeks = ((day, True) for day, _ in _weekly_dates(series, today) if day not in last_days)
    return sorted(months + _coming(weeks, today, WEEKLIES))


def monthly_expiries(series: Series, today: date) -> list[date]:
    return [day for day, _ in _coming(_monthly_dates(series, today), today, MONTHLIES)]


def _coming(days: Iterator[tuple[date, bool]], today: date, count: int) -> list[tuple[date, bool]]:
    kept: list[tuple[date, bool]] = []
    for day, weekly in days:
        if day >= today:
            kept.append((day, weekly))
        if len(kept) == count:
            break
    return kept


def _traded(day: date) -> date:
    """Return the day itself, or the trading day before it if it is a holiday."""
    while not trades_on(day):
        day -= timedelta(1)
    return day


def _monthly_dates(series: Series, today: date) -> Iterator[tuple[date, bool]]:
    first = today.replace(day=1)
    for _ in range(MONTHLIES + 2):
        following = (first + timedelta(32)).replace(day=1)
        last = following - timedelta(1)
        weekday = in_force(series.monthly, last)
        yield _traded(last - timedelta((last.weekday() - weekday) % 7)), False
        first = following


def _weekly_dates(series: Series, today: date) -> Iterator[tuple[date, bool]]:
    for ahead in range(-3, 7 * (WEEKLIES + MONTHLIES)):
        day = today + timedelta(ahead)
        if in_force(series.weekly, day) == day.weekday():
            yield _traded(day), True


def expiry_ms(day: date) -> int:
    """Return 23:59:59 IST of the expiry date in epoch ms, as the instruments master has it."""
    return epoch_ms(day, time(23, 59, 59))


def expiry_date(instrument: Instrument) -> date:
    """Return the Indian date on which a contract expires."""
    return datetime.fromtimestamp(instrument.expiry / 1000, UTC).astimezone(IST).date()


def indices() -> dict[str, Instrument]:
    """Return the listed indices; they have no tick, lot or ISIN."""
    return {
        key: Instrument(
            instrument_key=key,
            segment="NSE_INDEX",
            instrument_type="INDEX",
            trading_symbol=symbol,
            name=name,
            exchange_token=token,
        )
        for key, name, symbol, token in _INDEX_ROWS
    }


def shares(today: date, levels: Mapping[str, float] = LEVELS) -> dict[str, Instrument]:
    """Return the fifty Nifty shares by ISIN, with the tick size of their price on the day."""
    rows = {f"NSE_EQ|{share.isin}": share for share in SHARES}
    return {
        key: Instrument(
            instrument_key=key,
            segment="NSE_EQ",
            instrument_type="EQ",
            trading_symbol=share.symbol,
            name=share.name,
            exchange_token=share.token,
            isin=share.isin,
            short_name=share.short_name,
            tick_size=share_tick(levels.get(key, share.price), today),
            lot_size=1,
            freeze_quantity=100_000,
        )
        for key, share in rows.items()
    }


class Contract(NamedTuple):
    """A derivative that could be listed; the smaller the rank, the sooner it is."""

    rank: float
    series: Series
    day: date
    weekly: bool
    instrument_type: str
    strike: float = 0.0


def contract_instrument(contract: Contract, *, today: date, level: float, token: str) -> Instrument:
    """Return the instrument of a contract on the underlying's level."""
    series, kind = contract.series, contract.instrument_type
    strike = f" {contract.strike:g}" if contract.strike else ""
    lot = in_force(series.lots, today)
    return Instrument(
        instrument_key=f"NSE_FO|{token}",
        segment="NSE_FO",
        instrument_type=kind,
        trading_symbol=f"{series.symbol}{strike} {kind} {contract.day:%d %b %y}".upper(),
        name=series.symbol,
        exchange_token=token,
        underlying_key=series.underlying_key,
        underlying_symbol=series.symbol,
        strike=contract.strike,
        expiry=expiry_ms(contract.day),
        weekly=contract.weekly,
        tick_size=future_tick(level, today) if kind == "FUT" else 0.05,
        lot_size=lot,
        freeze_quantity=series.freeze,
    )


def _futures(today: date) -> list[Contract]:
    return [
        Contract(0.0, series, day, False, "FUT")
        for series in SERIES
        for day in monthly_expiries(series, today)
    ]


def _options(today: date, levels: Mapping[str, float]) -> list[Contract]:
    """Return every option in the order of listing: near expiries and near strikes first."""
    found: list[Contract] = []
    for series in SERIES:
        middle = round(levels[series.underlying_key] / series.step)
        for nth, (day, weekly) in enumerate(expiries(series, today)):
            late = series.lateness + nth * EXPIRY_LATENESS
            for away in range(-WIDEST, WIDEST + 1):
                strike = (middle + away) * series.step
                rank = late + abs(away) + (0.5 if away < 0 else 0.0)
                found += [
                    Contract(rank, series, day, weekly, kind, strike)
                    for kind in ("CE", "PE")
                    if strike > 0
                ]
    return sorted(found, key=lambda contract: contract.rank)


def _tokens() -> Callable[[str], str]:
    """Return a giver of exchange tokens: the same contract gets the same one on every start."""
    taken: set[int] = set()

    def give(name: str) -> str:
        token = 35_000 + zlib.crc32(name.encode()) % 60_000
        while token in taken:
            token += 1
        taken.add(token)
        return str(token)

    return give


def build_instruments(
    *, today: date, count: int, levels: Mapping[str, float] = LEVELS
) -> dict[str, Instrument]:
    """Return about `count` instruments by key: indices, futures, shares, then options.

    Indices, futures and shares are always listed; both options of a strike or none, so that the
    count may be exceeded by one. `levels` are the indices' in points and may hold share prices.
    """
    listed = indices() | shares(today, levels)
    token = _tokens()
    contracts = _futures(today)
    free = count - len(listed) - len(contracts)
    contracts += _options(today, levels)[: max(0, free + free % 2)]
    for contract in contracts:
        name = f"{contract.series.symbol}{contract.day}{contract.strike}{contract.instrument_type}"
        level = levels[contract.series.underlying_key]
        row = contract_instrument(contract, today=today, level=level, token=token(name))
        listed[row.instrument_key] = row
    return listed


Row = dict[str, str | int | float | bool]


def master_row(instrument: Instrument) -> Row:
    """Return the instruments master's JSON object; its tick_size is in paise."""
    match instrument.instrument_type:
        case "INDEX":
            return _index_row(instrument)
        case "EQ":
            return _share_row(instrument)
        case _:
            return _derivative_row(instrument)


def _paise(instrument: Instrument) -> float:
    return round(instrument.tick_size * 100, 2)


def _index_row(instrument: Instrument) -> Row:
    return {
        "segment": instrument.segment,
        "name": instrument.name,
        "exchange": instrument.segment.partition("_")[0],
        "instrument_type": "INDEX",
        "instrument_key": instrument.instrument_key,
        "exchange_token": instrument.exchange_token,
        "trading_symbol": instrument.trading_symbol,
    }


def _share_row(instrument: Instrument) -> Row:
    return {
        "segment": instrument.segment,
        "name": instrument.name,
        "exchange": instrument.segment.partition("_")[0],
        "isin": instrument.isin,
        "instrument_type": "EQ",
        "instrument_key": instrument.instrument_key,
        "lot_size": instrument.lot_size,
        "freeze_quantity": float(instrument.freeze_quantity),
        "exchange_token": instrument.exchange_token,
        "tick_size": _paise(instrument),
        "trading_symbol": instrument.trading_symbol,
        "short_name": instrument.short_name,
        "security_type": "NORMAL",
        "cas_eligible": True,
    }


def _derivative_row(instrument: Instrument) -> Row:
    return {
        "weekly": instrument.weekly,
        "segment": instrument.segment,
        "name": instrument.name,
        "exchange": instrument.segment.partition("_")[0],
        "expiry": instrument.expiry,
        "instrument_type": instrument.instrument_type,
        "underlying_symbol": instrument.underlying_symbol,
        "instrument_key": instrument.instrument_key,
        "lot_size": instrument.lot_size,
        "freeze_quantity": float(instrument.freeze_quantity),
        "exchange_token": instrument.exchange_token,
        "minimum_lot": instrument.lot_size,
        "underlying_key": instrument.underlying_key,
        "tick_size": _paise(instrument),
        "underlying_type": "INDEX",
        "trading_symbol": instrument.trading_symbol,
        "strike_price": instrument.strike,
    }


def contract_row(instrument: Instrument) -> Row:
    """Return a row of `/v2/option/contract`: the master's, but with the expiry as a date."""
    return _derivative_row(instrument) | {"expiry": expiry_date(instrument).isoformat()}
