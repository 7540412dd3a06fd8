"""Trading hours in the database: three sources for the same day, of which the nearest prevails."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import Connection, Row, delete, insert, select

from storage.tables import SOURCES, HolidayRow, HoursTemplateRow, SpecialSessionRow
from trading.hours import Holiday, HoursRules, Phase, SpecialSession, TemplateSession

Source = Literal["default", "broker", "trader"]
Key = TypeVar("Key")

_RANKS: Final = {source: rank for rank, source in enumerate(SOURCES)}


def load(connection: Connection, *, broker: bool = True) -> HoursRules:
    """Return the rules that count, or, without `broker`, what would count if it said nothing.

    A segment's templates, and a segment's sessions of one date, are taken as a whole from the
    trader if he gave any, else from the broker, else from our defaults. The broker's list of
    holidays covers whole years: our defaults count only in years of which it says nothing; what
    the trader adds always counts.
    """
    templates = _prevailing(_rows(connection, HoursTemplateRow, broker), lambda row: row.segment)
    specials = _prevailing(
        _rows(connection, SpecialSessionRow, broker), lambda row: (row.day, row.segment)
    )
    return HoursRules(
        tuple(_template(row) for row in templates),
        tuple(_holidays(_rows(connection, HolidayRow, broker))),
        tuple(_special(row) for row in specials),
    )


def keep(
    connection: Connection,
    source: Source,
    *,
    holidays: Iterable[Holiday],
    specials: Iterable[SpecialSession],
) -> None:
    """Replace what this source said before about dates, and nothing of the other sources."""
    _replace(connection, HolidayRow, source, _unique(_holiday_values(h) for h in holidays))
    _replace(connection, SpecialSessionRow, source, [_special_values(s) for s in specials])


def keep_templates(
    connection: Connection, source: Source, templates: Iterable[TemplateSession]
) -> None:
    _replace(connection, HoursTemplateRow, source, [_template_values(t) for t in templates])


def _rows(connection: Connection, table: type[Any], broker: bool) -> Sequence[Row[Any]]:
    row = table.__table__.c
    query = select(table.__table__).order_by(row.id)
    return connection.execute(query if broker else query.where(row.source != "broker")).all()


def _prevailing(rows: Sequence[Row[Any]], key: Callable[[Row[Any]], Key]) -> list[Row[Any]]:
    best: dict[Key, int] = {}
    for row in rows:
        best[key(row)] = max(best.get(key(row), -1), _RANKS[row.source])
    return [row for row in rows if _RANKS[row.source] == best[key(row)]]


def _holidays(rows: Sequence[Row[Any]]) -> Iterable[Holiday]:
    covered = {(row.day.year, row.segment) for row in rows if row.source == "broker"}
    counting = [
        row for row in rows if row.source != "default" or (row.day.year, row.segment) not in covered
    ]
    for row in _prevailing(counting, lambda row: (row.day, row.segment)):
        yield Holiday(row.day, row.segment, row.name)


def _template(row: Row[Any]) -> TemplateSession:
    return TemplateSession(
        segment=row.segment,
        phase=Phase(row.phase),
        start=row.start,
        end=row.end,
        weekdays=frozenset(map(int, row.weekdays)),
        valid_from=row.valid_from,
        valid_to=row.valid_to,
    )


def _special(row: Row[Any]) -> SpecialSession:
    return SpecialSession(row.day, row.segment, Phase(row.phase), row.start, row.end, row.name)


def _replace(
    connection: Connection, table: type[Any], source: Source, values: list[dict[str, Any]]
) -> None:
    connection.execute(delete(table).where(table.__table__.c.source == source))
    if values:
        connection.execute(insert(table), [value | {"source": source} for value in values])


def _unique(values: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of a day that is listed twice keep the first: the broker's list has such lines."""
    found: dict[tuple[date, str], dict[str, Any]] = {}
    for value in values:
        found.setdefault((value["day"], value["segment"]), value)
    return list(found.values())


def _holiday_values(holiday: Holiday) -> dict[str, Any]:
    return {"day": holiday.day, "segment": holiday.segment, "name": holiday.name}


def _special_values(special: SpecialSession) -> dict[str, Any]:
    return {
        "day": special.day,
        "segment": special.segment,
        "phase": special.phase.value,
        "start": special.start,
        "end": special.end,
        "name": special.name,
    }


def _template_values(template: TemplateSession) -> dict[str, Any]:
    return {
        "segment": template.segment,
        "phase": template.phase.value,
        "start": template.start,
        "end": template.end,
        "weekdays": "".join(map(str, sorted(template.weekdays))),
        "valid_from": template.valid_from,
        "valid_to": template.valid_to,
    }
