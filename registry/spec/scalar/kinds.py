"""What a scalar expression computes with: kinds of values, and an expression in both forms. [pure]

Not for what operators and functions do (``operators``, ``functions``). Both forms are made side by
side, so that a feature means the same at the request and in a training set: what one computes in
Python, the other says in SQL, with every cast written out.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from lib.errors import Invalid
from lib.instants import EARLIEST_US, LATEST_US

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Run = Callable[[Sequence[Any]], Any]

#: The kinds, and the type of the engine that each is computed in. Whole numbers have 64 bits,
#: fractions are doubles. In Python an instant is its microseconds since 1970, a day its days, a
#: decimal the whole number that its digits are without the point.
BOOL, INT, FLOAT, TEXT, INSTANT, DAY, NULL = (
    "bool",
    "int64",
    "float64",
    "string",
    "timestamp",
    "date",
    "null",
)
ENGINE_TYPES = {
    BOOL: "BOOLEAN",
    INT: "BIGINT",
    FLOAT: "DOUBLE",
    TEXT: "VARCHAR",
    INSTANT: "TIMESTAMP WITH TIME ZONE",
    DAY: "DATE",
    NULL: "BOOLEAN",
}
#: The declared types of inputs and results, and the kind that each is computed as.
KIND_OF = {
    "bool": BOOL,
    "int32": INT,
    "int64": INT,
    "float32": FLOAT,
    "float64": FLOAT,
    "string": TEXT,
    "timestamp": INSTANT,
    "date": DAY,
}
#: Digits that decimals are computed with; their kind says how many of them are after the point.
DIGITS = 38
LEAST_INT, MOST_INT = -(2**63), 2**63 - 1
_IS_INSTANT = f"a BETWEEN {EARLIEST_US} AND {LATEST_US}"
_INSTANT = "CAST(make_timestamp(a) AS TIMESTAMP WITH TIME ZONE)"
#: Characters of a text in which all that a pattern finds is replaced: each find has its price.
MOST_REPLACED = 250_000
#: Operations that may have no result, as macros of the engine: name and arguments, what raises an
#: error then, and what is null. The second is slower, so the first is tried before it.
MACROS = (
    ("assay_add(a, b)", "a + b", "TRY_CAST(CAST(a AS HUGEINT) + CAST(b AS HUGEINT) AS BIGINT)"),
    (
        "assay_subtract(a, b)",
        "a - b",
        "TRY_CAST(CAST(a AS HUGEINT) - CAST(b AS HUGEINT) AS BIGINT)",
    ),
    (
        "assay_multiply(a, b)",
        "a * b",
        "TRY_CAST(CAST(a AS HUGEINT) * CAST(b AS HUGEINT) AS BIGINT)",
    ),
    ("assay_add_decimals(a, b)", "a + b", "TRY(a + b)"),
    ("assay_subtract_decimals(a, b)", "a - b", "TRY(a - b)"),
    ("assay_multiply_decimals(a, b)", "a * b", "TRY(a * b)"),
    ("assay_tried(a)", "a", "TRY(a)"),
    (
        "assay_within(a, most)",
        "CASE WHEN a IS NULL OR a BETWEEN -most AND most THEN a ELSE error('out of range') END",
        "CASE WHEN a BETWEEN -most AND most THEN a END",
    ),
    (
        "assay_replaced(a)",
        f"CASE WHEN a IS NULL OR length(a) <= {MOST_REPLACED} THEN a ELSE error('too long') END",
        f"CASE WHEN length(a) <= {MOST_REPLACED} THEN a END",
    ),
    ("assay_divide(a, b)", "a // b", "TRY(a // b)"),
    ("assay_remainder(a, b)", "a % b", "TRY(a % b)"),
    ("assay_abs(a)", "abs(a)", "TRY_CAST(abs(CAST(a AS HUGEINT)) AS BIGINT)"),
    ("assay_whole(a)", "CAST(a AS BIGINT)", "TRY_CAST(a AS BIGINT)"),
    (
        "assay_int32(a)",
        "CAST(CAST(a AS INTEGER) AS BIGINT)",
        "CAST(TRY_CAST(a AS INTEGER) AS BIGINT)",
    ),
    (
        "assay_float32(a)",
        "CAST(CAST(a AS FLOAT) AS DOUBLE)",
        "CAST(TRY_CAST(a AS FLOAT) AS DOUBLE)",
    ),
    (
        "assay_instant(a)",
        f"CASE WHEN a IS NULL OR {_IS_INSTANT} THEN {_INSTANT} ELSE error('no such time') END",
        f"CASE WHEN {_IS_INSTANT} THEN {_INSTANT} END",
    ),
)


class Untyped(Invalid):
    """An expression, or a part of one, that no value can be computed of."""

    code = "invalid_expression"


class NoResult(ArithmeticError):
    """An operation has none: an overflow, whole numbers divided by zero, a cast out of range.

    It is null then, and the row says why: the last item of a row is the list of such reasons.
    """


class Scalar(NamedTuple):
    """One expression: its kind, its SQL, and the function from a row of inputs to its value.

    Its SQL calls macros (``MACROS``). ``is_constant``: it reads no input, so that ``run`` gives the
    same for every row. ``written``: the digits of a fraction that stands there, which is a decimal
    beside decimals. ``joined_by``: the operator that its outermost brackets hold together.
    """

    kind: str
    sql: str
    run: Callable[[Sequence[Any]], Any]
    is_constant: bool = False
    written: str = ""
    joined_by: str = ""

    @property
    def constant(self) -> Any:
        """What it is in every row; None where it is not the same in all."""
        return self.run(([],)) if self.is_constant else None

    @property
    def is_null(self) -> bool:
        """Whether it is null in every row by what is written, not for want of a result."""
        without: list[NoResult] = []
        return self.is_constant and self.run((without,)) is None and not without


def decimal_kind(scale: int) -> str:
    return f"decimal({DIGITS},{scale})"


@lru_cache(maxsize=64)
def scale_of(kind: str) -> int | None:
    """Return how many digits a kind of decimals has after the point; None: it is no decimal."""
    return int(kind.rpartition(",")[2][:-1]) if kind.startswith("decimal") else None


def engine_type(kind: str) -> str:
    return ENGINE_TYPES.get(kind) or kind.upper()


def null(kind: str = NULL) -> Scalar:
    return Scalar(kind, f"CAST(NULL AS {engine_type(kind)})", lambda _row: None, is_constant=True)


def constant(kind: str, sql: str, value: Any) -> Scalar:
    return Scalar(kind, f"CAST({sql} AS {engine_type(kind)})", lambda _row: value, True)


def strict(kind: str, sql: str, compute: Callable[..., Any], *parts: Scalar) -> Scalar:
    """Return a function that is null where one of its arguments is, or where it has no result.

    ``sql`` has ``{0}``, ``{1}`` and so on. All arguments are computed, unless one is written as
    null: then an engine computes none.
    """
    if any(part.is_null for part in parts):
        return null(kind)
    text = sql.format(*(part.sql for part in parts))
    run = _RUNS.get(len(parts), _of_many)(compute, [part.run for part in parts])
    return Scalar(kind, text, run, all(part.is_constant for part in parts))


#: Operators that bind alike, from the left.
_ALIKE = ({"+", "-"}, {"*", "/"}, {"AND"}, {"OR"}, {"||"})


def joined_text(left: str, left_by: str, sign: str, right: str) -> str:
    """Return SQL of two in brackets, without those of the left where they change nothing.

    A parser goes deep into each pair of brackets, and not into a sum of many.
    """
    if any(left_by in each and sign in each for each in _ALIKE):
        left = left[1:-1]
    return f"({left} {sign} {right})"


def infix(kind: str, sign: str, compute: Callable[..., Any], left: Scalar, right: Scalar) -> Scalar:
    """Return an operator of two, as ``strict`` does."""
    found = strict(kind, "", compute, left, right)
    if left.is_null or right.is_null:
        return found
    text = joined_text(left.sql, left.joined_by, sign, right.sql)
    return found._replace(sql=text, joined_by=sign)


def _of_one(compute: Callable[..., Any], runs: Sequence[Run]) -> Run:
    (only,) = runs

    def run(row: Sequence[Any]) -> Any:
        value = only(row)
        if value is None:
            return None
        try:
            return compute(value)
        except NoResult as exc:
            row[-1].append(exc)
            return None

    return run


def _of_two(compute: Callable[..., Any], runs: Sequence[Run]) -> Run:
    left, right = runs

    def run(row: Sequence[Any]) -> Any:
        first, second = left(row), right(row)
        if first is None or second is None:
            return None
        try:
            return compute(first, second)
        except NoResult as exc:
            row[-1].append(exc)
            return None

    return run


def _of_many(compute: Callable[..., Any], runs: Sequence[Run]) -> Run:
    def run(row: Sequence[Any]) -> Any:
        values = [each(row) for each in runs]
        if None in values:
            return None
        try:
            return compute(*values)
        except NoResult as exc:
            row[-1].append(exc)
            return None

    return run


_RUNS = {1: _of_one, 2: _of_two}
