# ruff: noqa: S608 - names go through identifier(), the rest are names of our own
"""SQL that finds, beside each of some rows, the newest row of its key that was known then. [pure]

Not for what is found (``joining`` writes it into tables) nor for training sets, whose rows know
nothing later than themselves (``compute.point_in_time_sql``). Of a row at ``at`` that was ``known``
at that instant or later it is the greatest by (event, created, values) of those with an event up to
``at`` that were known at ``known``, unless its event is older than the ttl.
"""

from __future__ import annotations

from typing import NamedTuple

from lib.sql_text import identifier, text

#: So many times a number of rows can be halved.
_BITS = 62


class Held(NamedTuple):
    """A table of the connection: keys ``k0…``, event ``e``, created ``c``, values ``v0…``.

    Beside it one of how they became known, empty where each was known at its event.
    """

    name: str
    keys: int
    values: int
    #: What decides between rows of one key and both times, before their values: the greatest does.
    order: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return ", ".join(f"k{i}" for i in range(self.keys))

    def made_of(self, typed: str) -> list[str]:
        """Return the statements that make both of a sub-select that gives such rows.

        Those of one key and both times are one, whatever order they come in.
        """
        names = (*self.order, *(f"v{i}" for i in range(self.values)))
        order = ", ".join(f"{name} DESC NULLS LAST" for name in names)
        there = " AND ".join(f"k{i} IS NOT NULL" for i in range(self.keys))
        of_key = f"OVER (PARTITION BY {self.key}"
        return [
            f"CREATE OR REPLACE TEMP TABLE {self.name} AS SELECT *, c = max(c) {of_key}, e) AS"
            f" newest FROM (SELECT * FROM ({typed}) WHERE e IS NOT NULL AND {there} QUALIFY"
            f" row_number() {of_key}, e, c ORDER BY {order}) = 1)",
            # Of a key: how many were known before each, and how many there are.
            f"CREATE OR REPLACE TEMP TABLE {self.known} AS SELECT {self.key}, e, c,"
            f" row_number() {of_key} ORDER BY c, e) - 1 AS place, count(*) {of_key}) AS n"
            f" FROM {self.name} WHERE (SELECT bool_or(c > e) FROM {self.name})",
        ]

    @property
    def known(self) -> str:
        return f"{self.name}_known"


class RowTimes(NamedTuple):
    """Of rows that others are found beside: their event, when they were known, both as SQL.

    ``prefix`` is what no column of theirs begins with.
    """

    at: str
    known: str
    prefix: str


class Beside(NamedTuple):
    """How rows of a table come beside other rows: as one struct, by a name, of some fields.

    ``equal`` has for each key what it is of those rows, and of the table.
    """

    held: Held
    name: str
    fields: tuple[str, ...]
    equal: tuple[tuple[str, str], ...]
    at: str
    known: str
    ttl_us: int | None
    #: What no column of those rows, and of what else stands beside them, begins with.
    prefix: str

    def join_at_once(self) -> str:
        """Return the join that finds it, where each row was known at its event."""
        columns = {f"k{i}": theirs for i, (_, theirs) in enumerate(self.equal)}
        columns |= {name: name for name in ("e", *self._values)}
        chosen = ", ".join(f"{made} AS {self._own(name)}" for name, made in columns.items())
        on = [f"{ours} = {self._own(f'k{i}')}" for i, (ours, _) in enumerate(self.equal)]
        on.append(f"{self.at} >= {self._own('e')}")
        found = f"(SELECT {chosen} FROM {self.held.name} WHERE newest)"
        return f"ASOF LEFT JOIN {found} ON {' AND '.join(on)}"

    def join_later(self, rows: str) -> str:
        """Return the join that finds it beside ``rows``, where some became known after their event.

        What they ask for is read of them once more.
        """
        asked = [f"{ours} AS a{i}" for i, (ours, _) in enumerate(self.equal)]
        same = [f"{ours} = {self._own(f'a{i}')}" for i, (ours, _) in enumerate(self.equal)]
        same += [f"{self.at} = {self._own('t')}", f"{self.known} = {self._own('known')}"]
        names = (*self._asked, "e", *self._values)
        chosen = ", ".join(f"{name} AS {self._own(name)}" for name in names)
        return (
            f"LEFT JOIN (WITH asked AS (SELECT DISTINCT {', '.join(asked)}, {self.at} AS t,"
            f" {self.known} AS known FROM {rows}), {self._answers()}"
            f" SELECT {chosen} FROM answers) ON {' AND '.join(same)}"
        )

    def _answers(self) -> str:
        """Return the parts that find the row of each that is ``asked``.

        Mostly the newest of all was known. Where it was not, the newest of those that were is
        looked for: of a key, in the order in which they became known, the first so many are one
        half of some power of two, one quarter, and so on, each looked at once.
        """
        held, key, own = self.held, self.held.key, ", ".join(self._asked)
        keys = [f"k{i}" for i in range(held.keys)]
        equal = " AND ".join(f"a.a{i} = {theirs}" for i, (_, theirs) in enumerate(self.equal))
        of_key = " AND ".join(f"l.{each} = o.{each}" for each in keys)
        of_late = ", ".join(f"l.{each}" for each in (*self._asked, *keys))
        values = "".join(f", o.{each}" for each in self._values)
        bits = f"range(0, {_BITS}) AS bits(bit)"
        return f"""
            first AS (SELECT {own}, {key}, e, c FROM asked AS a ASOF JOIN
                (SELECT * FROM {held.name} WHERE newest) ON {equal} AND a.t >= e),
            late AS MATERIALIZED (SELECT {own}, {key} FROM first WHERE c > known),
            kept AS MATERIALIZED (SELECT * FROM {held.known} SEMI JOIN late USING ({key})),
            counts AS (SELECT {key}, c, max(place) + 1 AS had FROM kept GROUP BY {key}, c),
            probes AS (SELECT {of_late}, bit, (o.had >> bit) - 1 AS block FROM late AS l
                ASOF JOIN counts AS o ON {of_key} AND l.known >= o.c, {bits}
                WHERE (o.had >> bit) & 1 = 1),
            tree AS (SELECT {key}, bit, place >> bit AS block, e, max(c) AS c FROM kept, {bits}
                WHERE (1::BIGINT << bit) <= n AND (place >> bit) & 1 = 0
                GROUP BY {key}, bit, place >> bit, e),
            best AS (SELECT {of_late}, max({{'e': o.e, 'c': o.c}}) AS found FROM probes AS l
                ASOF JOIN tree AS o ON {of_key} AND l.bit = o.bit AND l.block = o.block
                AND l.t >= o.e GROUP BY {of_late}),
            answers AS (SELECT l.*{values} FROM
                (SELECT {own}, {key}, e, c FROM first WHERE c <= known UNION ALL
                SELECT {own}, {key}, found.e, found.c FROM best) AS l
                JOIN {held.name} AS o ON {of_key} AND l.e = o.e AND l.c = o.c)"""

    def struct(self) -> str:
        """Return what stands beside a row, once it is joined."""
        pairs = zip(self.fields, self._values, strict=True)
        fields = ", ".join(f"{text(name)}: {self._own(value)}" for name, value in pairs)
        is_found = f"{self._own('e')} IS NOT NULL"
        if self.ttl_us is not None:
            age = f"epoch_us({self.at})::HUGEINT - epoch_us({self._own('e')})"
            is_found += f" AND {age} <= {self.ttl_us:d}"
        return f"CASE WHEN {is_found} THEN {{{fields}}} END AS {identifier(self.name)}"

    @property
    def _values(self) -> tuple[str, ...]:
        return tuple(f"v{i}" for i in range(self.held.values))

    @property
    def _asked(self) -> tuple[str, ...]:
        return (*(f"a{i}" for i, _ in enumerate(self.equal)), "t", "known")

    def _own(self, name: str) -> str:
        """Return a name for something of ours beside those rows' columns."""
        return f"{self.prefix}{name}"
