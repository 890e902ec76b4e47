"""What a view reads of other views, as of each row of its source: written, and embedded. [pure]

Not for finding what references name (``operations.registration.reads``) or for joining rows
(``materialization.sources.read_views``).
"""

from __future__ import annotations

from datetime import timedelta  # noqa: TC003 - annotations are read elsewhere
from typing import TYPE_CHECKING

from sqlglot import exp

from lib.errors import did_you_mean
from registry.spec.base import Name, Spec
from registry.spec.dialect import DIALECT
from registry.spec.durations import parse_duration
from registry.spec.references import Reference
from registry.spec.row_sql import select_of
from registry.spec.value_types import ValueType, parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


#: In the canonical JSON of every version that reads others, and of hardly any other.
MAY_READ = '"reads":['


class ViewRead(Spec, frozen=True, kw_only=True):
    """Features of one version of a view, found by its keys: ``on`` has those the source has under
    another name, as ``{theirs: ours}``. The view's ``sql`` calls them ``name.feature``.
    """

    features: tuple[str, ...]
    on: dict[str, str] = {}
    #: What ``sql`` calls it; the view's own name unless it says so.
    name: Name | None = None


class ReadKey(Spec, frozen=True, kw_only=True):
    """A join key of what is read, and the column of the source that it is compared with."""

    name: str
    type: str
    column: str

    @property
    def value_type(self) -> ValueType:
        return parse_type(self.type)


class ReadVersion(Spec, frozen=True, kw_only=True):
    """One approved version of another view, as a version that reads it embeds it.

    In a draft that waits for it to be approved, what it is checked against: which version that is,
    and of which data, is settled when the draft is submitted.
    """

    name: Name
    project: str
    view: Name
    #: Its number; while that is not settled what is written in its place, which may be nothing.
    version: str
    #: Which rows those are: of the data fingerprint that the version has. Empty: not settled.
    data: str
    keys: tuple[ReadKey, ...]
    #: Its features that are read, with their types.
    features: dict[str, str]
    ttl: str | None = None

    @property
    def ttl_duration(self) -> timedelta | None:
        return parse_duration(self.ttl) if self.ttl else None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the source that say which rows are found."""
        return tuple(key.column for key in self.keys)

    @property
    def is_settled(self) -> bool:
        """Return whether it is known which version this is: it was approved when it was named."""
        return bool(self.data)

    def reference(self, feature: str) -> Reference:
        return Reference(self.view, self.version or None, feature)

    def __str__(self) -> str:
        return f"{self.view}@{self.version}" if self.version else self.view


def decides(reads: Sequence[ReadVersion]) -> list[dict[str, object]]:
    """Return what of them decides rows: which number the same data has does not."""
    return [
        {
            "name": each.name,
            "view": each.view,
            "data": each.data,
            "keys": each.keys,
            "features": each.features,
            "ttl": each.ttl_duration.total_seconds() if each.ttl_duration else None,
        }
        for each in sorted(reads, key=lambda each: each.name)
    ]


def use_problems(sql: str, source: str, named: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield what is wrong with how a checked SELECT uses what it reads; ``named``: name → features.

    Each is written ``name.feature`` and nothing else, so that it can be told what is made of what.
    """
    folded = {name.lower(): name for name in named}
    select = select_of(sql)
    if any(True for _ in select.find_all(exp.Star)):
        yield "`*` would take what is read of other views as a whole; name the columns."
        return
    tables = {table.alias_or_name.lower() for table in select.find_all(exp.Table)}
    if both := sorted(tables & folded.keys()):
        yield f"{both[0]!r} is the source here; give what is read of the view another `name`."
        return
    used = set()
    for column in select.find_all(exp.Column):
        parts = [part.name for part in column.parts]
        text = column.sql(dialect=DIALECT)
        if parts[0].lower() in tables:
            if len(parts) == 1:
                yield f"{text} is a whole row; name a column."
            elif parts[1].lower() in folded:
                yield f"{text}: write {'.'.join(parts[1:])}."
            continue
        name = folded.get(parts[0].lower())
        if name is None:
            continue
        features = named[name]
        if parts[0] != name:
            yield f"{text}: names mean what is written; write {name}.{'.'.join(parts[1:])}."
        elif len(parts) != 2:
            yield f"{text}: write {name}.feature, of {', '.join(features)}."
        elif parts[1] not in features:
            hint = did_you_mean(parts[1], features)
            yield f"{text}: {parts[1]!r} is not among what the view reads of {name}.{hint}"
        else:
            used.add((name, parts[1]))
    for name, features in named.items():
        for feature in features:
            if (name, feature) not in used:
                yield f"{name}.{feature} is read and not used; leave it out of `views`."
