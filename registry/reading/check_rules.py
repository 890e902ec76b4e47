"""What checks must satisfy on their own: the types they are for, bounds that a value fits. [pure]

Not for whether an expression means anything to the engine: a look at the source asks it.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from lib.errors import did_you_mean
from registry.reading.drift_rules import drift_problems
from registry.reading.findings import error_of, too_many
from registry.spec.bounds import bound_in
from registry.spec.durations import parse_duration
from registry.spec.row_sql import check_expression, columns_of
from registry.spec.transforms import asked_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.reading.findings import Found
    from registry.reading.yaml_documents import Path
    from registry.spec.checks import Expectations, Extent, ViewExpectations
    from registry.spec.model import FeatureSpec, FeatureViewSpec
    from registry.spec.value_types import ValueType
    from registry.spec.version_spec import VersionSpec

#: What `allowed` may list: type → how a value is written, and what it then is.
_ALLOWED: dict[str, tuple[str, type | None]] = {
    "string": ("a text", str),
    "bool": ("true or false", bool),
    "number": ("a number", int),
}
#: What has a length that differs, and what is counted of it.
_LENGTHS = {"string": "characters", "bytes": "bytes", "list": "items"}
MAX_REGEX = 1000
MAX_CONDITIONS = 50
#: More than any table has; a number beyond is a slip.
MAX_COUNT = 10**15
_CONDITION_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
#: Beside keys and features, what a row has.
_TIMES = ("event_timestamp", "created_timestamp")


def feature_check_problems(path: Path, feature: FeatureSpec) -> Iterator[Found]:
    yield from _expectations(path, feature.value_type, feature.checks)
    yield from _expectations((*path, "warn"), feature.value_type, feature.checks.warnings)
    if feature.checks.drift is not None:
        yield from drift_problems((*path, "drift"), feature.value_type, feature.checks.drift)


def _expectations(path: Path, kind: ValueType, asked: Expectations) -> Iterator[Found]:
    if asked.not_null is not None and not 0 < asked.not_null <= 1:
        message = f"{asked.not_null} is no share of rows; write 0 to 1, more than 0, as in 0.99."
        yield (*path, "not_null"), message
    yield from _bounds(path, kind, asked)
    for index, item in enumerate(asked.allowed or ()):
        if problem := _allowed_problem(kind, item):
            yield (*path, "allowed", index), problem
    if asked.regex is not None and (problem := _regex_problem(kind, asked.regex)):
        yield (*path, "regex"), problem
    if asked.length is not None:
        if kind.kind in _LENGTHS:
            yield from _extent((*path, "length"), asked.length, _LENGTHS[kind.kind], least=0)
        else:
            valid = ", ".join(_LENGTHS)
            yield (*path, "length"), f"a {kind} has no length to check; length is for {valid}."


def _bounds(path: Path, kind: ValueType, asked: Expectations) -> Iterator[Found]:
    least, most = asked.min, asked.max
    read = partial(bound_in, kind)
    given = {name: each for name, each in (("min", least), ("max", most)) if each is not None}
    wrong = [
        ((*path, name), error) for name, each in given.items() if (error := error_of(read, each))
    ]
    yield from wrong
    if least is not None and most is not None and not wrong and read(least) > read(most):
        yield (*path, "min"), f"min {least} is above max {most}: no value fits."


def _allowed_problem(kind: ValueType, item: str | int | bool) -> str | None:
    """Say why no value of the type can be ``item``; None when one can."""
    if kind.is_numeric and not isinstance(item, (str, bool)):
        return error_of(partial(bound_in, kind), item)
    word, wanted = _ALLOWED.get("number" if kind.is_numeric else kind.kind, ("", None))
    if not word:
        return f"{kind} values are not listed; allowed is for texts, numbers and booleans."
    return None if type(item) is wanted else f"{item!r} is not a value of {kind}; write {word}."


def _regex_problem(kind: ValueType, regex: str) -> str | None:
    if kind.kind != "string":
        return f"a {kind} is no text; regex is for strings."
    if len(regex) > MAX_REGEX:
        return f"{len(regex)} characters; a regex has at most {MAX_REGEX}."
    return None if regex else "an empty regex matches the empty text only; use `length`."


def _extent(path: Path, extent: Extent, counted: str, *, least: int) -> Iterator[Found]:
    """Find bounds that bound nothing: without either, below what there can be, or crossed."""
    low, high = extent.min, extent.max
    if low is None and high is None:
        yield path, f"it bounds nothing; write the least and the most {counted}, or one of them."
    # No thing has fewer than none of what is counted.
    for name, given, lowest in (("min", low, 1), ("max", high, least)):
        if given is not None and not lowest <= given <= MAX_COUNT:
            yield (*path, name), f"{given} {counted}; write {lowest} to {MAX_COUNT}, or leave it."
    if low is not None and high is not None and low > high:
        yield (*path, "min"), f"min {low} is above max {high}: nothing fits."


def view_check_problems(spec: FeatureViewSpec) -> Iterator[Found]:
    makes_ticks = any(transform.makes_ticks for transform in asked_for(spec))
    for path, asked in (
        (("checks",), spec.checks),
        (("checks", "warn"), spec.checks.warnings),
    ):
        yield from _of_view(path, asked, makes_ticks=makes_ticks)


def _of_view(path: Path, asked: ViewExpectations, *, makes_ticks: bool) -> Iterator[Found]:
    if asked.rows is not None:
        yield from _extent((*path, "rows"), asked.rows, "rows", least=1)
    if asked.newest is not None:
        if error := error_of(parse_duration, asked.newest):
            yield (*path, "newest"), error
        elif makes_ticks:
            message = (
                "ticks are stored where a value changes, so the newest says nothing of the source;"
                " promise `freshness` instead."
            )
            yield (*path, "newest"), message
    if excess := too_many((*path, "conditions"), "conditions", asked.conditions, MAX_CONDITIONS):
        yield excess
        return
    for name, sql in asked.conditions.items():
        place = (*path, "conditions", name)
        if not _CONDITION_NAME.fullmatch(name):
            rule = "use lower-case letters, digits and _, beginning with a letter, at most 63."
            yield place, f"name {name[:100]!r}: {rule}"
        elif error := error_of(check_expression, sql):
            yield place, error


def unknown_columns(spec: VersionSpec) -> Iterator[Found]:
    """Find what conditions name that a stored row does not have."""
    checks = spec.view.checks
    known = [key.name for key in spec.join_keys] + list(_TIMES)
    known += [feature.name for feature in spec.features]
    folded = {name.lower() for name in known}
    for path, asked in ((("checks",), checks), (("checks", "warn"), checks.warnings)):
        for name, sql in asked.conditions.items():
            for column in columns_of(sql):
                if column.lower() not in folded:
                    hint = did_you_mean(column, known)
                    yield (
                        (*path, "conditions", name),
                        f"{column!r} is no column of a stored row: keys, times, features.{hint}",
                    )
