# ruff: noqa: S608 - names and texts are quoted by sql_text, the rest are numbers
"""Which rows hold a value while another entity holds it: what ``unique`` asks of a run's rows.

An entity holds a value from the event of the row that has it until the event of its next row, or
until its TTL has passed, as a training set by event time finds it. So a value may be in many rows
of one entity and go from one to another. What is known of that is what arrived: where a row that
gives a value up comes later than the one that takes it, only a run that has both lets them pass.
Not for what a count says of a run: ``expectations`` judges that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.instants import MICROSECOND
from lib.sql_text import identifier, text
from materialization.compute.stored_rows_sql import stored_rows
from materialization.stores.columns import CREATED, EVENT, PLACE, SEQUENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.quality.profiling import Asked
    from registry.spec.version_spec import VersionSpec

#: Later than any instant, in µs.
_NEVER = 2**63 - 1


def find_clashes(
    connection: Asked,
    spec: VersionSpec,
    value: str,
    files: Sequence[str],
    *,
    stored: Sequence[str] = (),
    up_to: int | None = None,
    name: str = "clashes",
) -> None:
    """Create the temporary table ``name`` of the rows in ``files`` that hold what another holds.

    ``value`` is the SQL of the value; null is none. ``stored`` are the files of the table, of which
    with ``up_to`` only rows up to that sequence count. Columns: ``v``; ``file`` and ``row``, where
    it stands; ``other``, a struct of the keys of one who holds the same, ``k0…``, and ``since``
    when, in µs. Its rows are no more than those that clash: values that one entity alone has are
    left out first, by one pass over the value and the keys.
    """
    before = _before(connection, spec, files, stored, up_to) if stored else None
    sought = _Sought(spec, value, stored_rows(files), before, sorted({*files, *stored}))
    steps = {
        "shared": sought.shared_sql(),
        "holders": sought.holders_sql(),
        "held": sought.held_sql(),
        name: sought.clashes_sql(),
    }
    try:
        for table, sql in steps.items():
            connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {sql}")
    finally:
        for table in ("held", "holders", "shared"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")


def _before(
    connection: Asked,
    spec: VersionSpec,
    files: Sequence[str],
    stored: Sequence[str],
    up_to: int | None,
) -> str:
    """Return the stored rows that may be held still when the first of the others begins."""
    asked = f"SELECT epoch_us(min({EVENT})) FROM {stored_rows(files)}"
    ((earliest,),) = connection.execute(asked).fetchall()
    conditions = ["TRUE"] if up_to is None else [f"{SEQUENCE} <= {up_to:d}"]
    if spec.ttl is not None and earliest is not None:
        first = earliest - spec.ttl // MICROSECOND
        conditions.append(f"{EVENT} >= make_timestamptz({first:d})")
    columns = f"*, {', '.join(PLACE)}"
    return f"(SELECT {columns} FROM {stored_rows(stored)} WHERE {' AND '.join(conditions)})"


class _Sought:
    """The SQL of one question: ``shared`` values, their ``holders``, who ``held`` what when, and
    the rows that clash.
    """

    def __init__(
        self, spec: VersionSpec, value: str, new: str, before: str | None, files: Sequence[str]
    ) -> None:
        """``new`` and ``before`` are the relations of rows asked about, and of stored ones.

        ``files`` are those of both, in order: their long names are sorted as numbers.
        """
        self._file = f"{PLACE[0]}::ENUM ({', '.join(map(text, files))})"
        self._value, self._new, self._before = value, new, before
        names = [identifier(key.name) for key in spec.join_keys]
        self._keys = [f"k{number}" for number, _ in enumerate(names)]
        pairs = zip(names, self._keys, strict=True)
        self._narrow = f"{value} AS v, " + ", ".join(f"{name} AS {key}" for name, key in pairs)
        self._ttl = None if spec.ttl is None else spec.ttl // MICROSECOND
        self._joined = ", ".join(self._keys)

    def shared_sql(self) -> str:
        """Return the values of the rows that more than one entity has, at whatever times.

        Two keys differ in one of their columns, so its least and greatest do.
        """
        both = f"SELECT {self._narrow} FROM {self._new}"
        if self._before is not None:
            same = f"SEMI JOIN (SELECT {self._value} AS v FROM {self._new}) USING (v)"
            both += f" UNION ALL SELECT * FROM (SELECT {self._narrow} FROM {self._before}) {same}"
        several = " OR ".join(f"min({key}) <> max({key})" for key in self._keys)
        return f"SELECT v FROM ({both}) WHERE v IS NOT NULL GROUP BY v HAVING {several}"

    def holders_sql(self) -> str:
        rows = [f"SELECT {self._narrow} FROM {each}" for each in self._all]
        return f"SELECT {self._joined} FROM ({' UNION ALL '.join(rows)}) SEMI JOIN shared USING (v)"

    def held_sql(self) -> str:
        """Return when entities hold shared values: ``v``, ``k0…``, ``since``, ``until``, in µs.

        And ``file``, ``row``, ``is_new``; ``known_until``, until when the entity holds the same
        value by stored rows alone, null where it does not: then a new row only says it again. Of
        rows of one entity and event the greatest counts, as readers take it: the last here.
        """
        rows = " UNION ALL ".join(
            f"SELECT {self._narrow}, epoch_us({EVENT}) AS since,"
            f" {CREATED} AS c, {SEQUENCE} AS s, {self._file} AS file, {PLACE[1]} AS row,"
            f" {is_new} AS is_new FROM {each}"
            for each, is_new in zip(self._all, ("TRUE", "FALSE"), strict=False)
        )
        ordered = f"PARTITION BY {self._joined} ORDER BY since, c, s, file, row"
        before = f"({ordered} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
        is_stored = "CASE WHEN NOT is_new THEN struct_pack(v := v, since := since) END"
        known = f"last_value({is_stored} IGNORE NULLS) OVER {before}"
        lasting = (
            f"SELECT *, lead(since) OVER ({ordered}) AS next, {known} AS known"
            f" FROM ({rows}) SEMI JOIN holders USING ({self._joined})"
            " QUALIFY next IS NULL OR next > since"
        )
        return (
            f"SELECT v, {self._joined}, since, {self._end('since', 'next')} AS until, file, row,"
            f" is_new, CASE WHEN is_new AND known.v = v AND {self._end('known.since')} > since"
            f" THEN {self._end('known.since')} END AS known_until"
            f" FROM ({lasting}) SEMI JOIN shared USING (v)"
        )

    def clashes_sql(self) -> str:
        """Return the rows whose time overlaps with that of another entity which has the value.

        The times of one entity never overlap: whoever holds the value until later than a row's
        beginning, or from before its end on, is another. Of those that hold a value before the
        first new row of it, whoever holds it longest stands for all.
        """
        first = "(SELECT v, min(since) AS first FROM held WHERE is_new GROUP BY v)"
        told = f"SELECT *, held.rowid AS id FROM held JOIN {first} USING (v)"
        near = (
            "SELECT v, since, until, id, is_new, known_until"
            f" FROM ({told}) WHERE since >= first UNION ALL"
            " SELECT v, max(since), max(until), arg_max(id, until), FALSE, NULL"
            f" FROM ({told}) WHERE since < first GROUP BY v"
        )
        ordered = "PARTITION BY v ORDER BY since, id"
        earlier = f"({ordered} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
        beside = (
            f"SELECT *, max(until) OVER {earlier} > since AS is_held,"
            f" arg_max(id, until) OVER {earlier} AS holder,"
            f" lead(since) OVER ({ordered}) < until AS is_taken,"
            f" lead(id) OVER ({ordered}) AS taker, {self._prolonged} AS is_prolonged"
            f" FROM ({near})"
        )
        clashing = (
            "SELECT id, CASE WHEN is_held THEN holder ELSE taker END AS other"
            f" FROM ({beside}) WHERE is_new AND (is_held OR is_taken)"
            " AND (known_until IS NULL OR is_prolonged)"
        )
        who = ", ".join(f"{key} := other.{key}" for key in self._keys)
        return (
            "SELECT own.v, own.file::VARCHAR AS file, own.row,"
            f" struct_pack({who}, since := other.since) AS other"
            f" FROM ({clashing}) AS found JOIN held AS own ON own.rowid = found.id"
            " JOIN held AS other ON other.rowid = found.other"
        )

    @property
    def _prolonged(self) -> str:
        """Whether somebody takes the value after the stored rows let it go, before this one does.

        Without a TTL stored rows hold it until the entity's next row, as this one does.
        """
        if self._ttl is None:
            return "FALSE"
        frame = "greatest(known_until - since, 0) FOLLOWING AND until - since - 1 FOLLOWING"
        counted = f"(PARTITION BY v ORDER BY since RANGE BETWEEN {frame})"
        return f"known_until < until AND count(*) OVER {counted} > 0"

    def _end(self, since: str, following: str = "NULL") -> str:
        """Return until when a row holds its value; at the very end of its TTL it is still held."""
        until = f"coalesce({following}, {_NEVER})"
        return until if self._ttl is None else f"least({until}, {since} + {self._ttl + 1:d})"

    @property
    def _all(self) -> list[str]:
        return [self._new] if self._before is None else [self._new, self._before]
