# ruff: noqa: S608 - names and texts are quoted by sql_text, conditions are written anew
"""The checks that each row passes or fails, as SQL over a stored row. [pure]

One home of what failing means: rows are counted by it before they are published, and listed by it
in quarantine. Not for what a count says of a run: ``expectations`` judges that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lib.sql_text import identifier, text
from registry.spec.bounds import bound_in
from registry.spec.row_sql import check_expression

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.spec.bounds import Bound
    from registry.spec.checks import Expectations, Extent, ViewExpectations
    from registry.spec.model import FeatureSpec
    from registry.spec.value_types import ValueType
    from registry.spec.version_spec import VersionSpec

#: How many characters, bytes or items a value has.
_LENGTHS = {"bytes": "octet_length"}
_FLOATS = ("float32", "float64")
#: What of these types is no text that says anything.
_UNSHOWN = ("bytes", "list", "vector", "json")
#: What ``unique`` promises; ``holders`` says since when and until when an entity holds a value.
_ONCE = "no value held by two entities at once"


class RowCheck(NamedTuple):
    """One check: ``failing`` is true for the rows that fail it.

    ``blocks``: a run that fails it is not published. ``path`` leads to it in the definition.
    ``example`` is an aggregate over failing rows that gives one of their values; empty: none is
    given. ``held`` is the value of a check that looks at all rows, stored ones too: it fails those
    that hold it while another entity does (``holders``), and ``failing`` is empty.
    """

    feature: str
    check: str
    blocks: bool
    path: tuple[str | int, ...]
    failing: str
    #: What was asked, and what rows that fail have, in words.
    asked: str
    have: str
    example: str = ""
    held: str = ""
    #: The least share of rows that must not fail; None: none may.
    share: float | None = None

    @property
    def name(self) -> str:
        return f"{self.feature}: {self.check}" if self.feature else self.check


def row_checks(spec: VersionSpec) -> list[RowCheck]:
    """Return the checks of every feature and every condition of the view."""
    return [
        *(check for index, each in enumerate(spec.features) for check in _of(each, index)),
        *_conditions(spec.view.checks, ("checks",), blocks=True),
        *_conditions(spec.view.checks.warnings, ("checks", "warn"), blocks=False),
    ]


def looks_at_stored(spec: VersionSpec) -> bool:
    """Return whether a run's rows cannot be judged without those that the table has."""
    return any(check.held for check in row_checks(spec))


def _of(feature: FeatureSpec, index: int) -> Iterator[RowCheck]:
    path = ("features", index, "checks")
    yield from _expectations(feature, feature.checks, path, blocks=True)
    yield from _expectations(feature, feature.checks.warnings, (*path, "warn"), blocks=False)


def _expectations(
    feature: FeatureSpec, asked: Expectations, path: tuple[str | int, ...], *, blocks: bool
) -> Iterator[RowCheck]:
    value, kind = identifier(feature.name), feature.value_type

    def check(name: str, failing: str, words: str, have: str, example: str = "") -> RowCheck:
        return RowCheck(feature.name, name, blocks, (*path, name), failing, words, have, example)

    if asked.not_null is not None:
        words = f"a share of {asked.not_null:g}"
        yield check("not_null", f"{value} IS NULL", words, "")._replace(share=asked.not_null)
    for name, bound, sign, least, have in (
        ("min", asked.min, "<", "min", "are below it"),
        ("max", asked.max, ">", "max", "are above it"),
    ):
        if bound is not None:
            failing = f"{_number(value, kind)} {sign} {_constant(kind, bound)}"
            yield check(name, failing, f"{name} {bound}", have, f"{least}({value})")
    shown = "" if kind.kind in _UNSHOWN else f"min({value})"
    if asked.allowed is not None:
        words = f"one of {', '.join(map(repr, asked.allowed))}"
        failing = _outside(value, asked.allowed, kind)
        yield check("allowed", failing, words, "hold other values", shown)
    if asked.regex is not None:
        failing = f"NOT regexp_full_match({value}, {text(asked.regex)})"
        yield check("regex", failing, f"matches {asked.regex}", "do not match", shown)
    if asked.length is not None:
        failing = _outside_extent(f"{_LENGTHS.get(kind.kind, 'length')}({value})", asked.length)
        yield check("length", failing, f"length {asked.length}", "are shorter or longer", shown)
    if asked.unique:
        have = "hold a value that another entity holds then"
        unique = check("unique", "", _ONCE, have, shown)
        yield unique._replace(held=_comparable(value, kind))


def _conditions(
    asked: ViewExpectations, path: tuple[str | int, ...], *, blocks: bool
) -> Iterator[RowCheck]:
    for name, sql in asked.conditions.items():
        failing = f"({check_expression(sql)}) IS FALSE"
        place = (*path, "conditions", name)
        yield RowCheck("", name, blocks, place, failing, sql, "are otherwise")


def _comparable(value: str, kind: ValueType) -> str:
    """NaN equals nothing, which the engine does not know."""
    return f"CASE WHEN NOT isnan({value}) THEN {value} END" if kind.kind in _FLOATS else value


def _number(value: str, kind: ValueType) -> str:
    """NaN has no order, and to the engine it is above all numbers."""
    return f"NOT isnan({value}) AND {value}" if kind.kind in _FLOATS else value


def _constant(kind: ValueType, bound: Bound) -> str:
    """Write a bound as a value of the feature's own type: 0.1 in float32 is another number."""
    return f"CAST({text(str(bound_in(kind, bound)))} AS {kind.duckdb})"


def _outside(value: str, allowed: tuple[str | int | bool, ...], kind: ValueType) -> str:
    """Compare typed: in SQL true is 1, in a definition it is not."""
    same = [item for item in allowed if _is_of(item, kind)]
    listed = ", ".join(text(item) if isinstance(item, str) else str(item) for item in same)
    return f"{value} NOT IN ({listed})" if same else f"{value} IS NOT NULL"


def _is_of(item: str | int | bool, kind: ValueType) -> bool:
    if isinstance(item, bool) or kind.kind == "bool":
        return isinstance(item, bool) and kind.kind == "bool"
    return isinstance(item, str) == (not kind.is_numeric)


def _outside_extent(measure: str, extent: Extent) -> str:
    bounds = (("<", extent.min), (">", extent.max))
    return " OR ".join(f"{measure} {sign} {most:d}" for sign, most in bounds if most is not None)
