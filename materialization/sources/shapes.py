"""How deep the JSON value of each column is read, by what is made of it.

Not for casting: what comes is text all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.errors import SourceUnreadable
from materialization.sources.json_rows import TEXT, Shape, shape_of
from registry.spec.aggregate_functions import FunctionWithParameters

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from registry.spec.value_types import ValueType
    from registry.spec.version_spec import VersionSpec


def shapes(spec: VersionSpec, *, all_of: Iterable[str] = ()) -> dict[str, Shape] | None:
    """Return the columns a view reads of JSON objects, and how; None: all, whatever there is.

    ``all_of`` are those there are, once that is known.

    :raises SourceUnreadable: two features of one column that need it in different ways.
    """
    read = spec.columns_read
    if read is None:
        names = sorted(all_of)
        if not names:
            return None
        return dict.fromkeys(names, TEXT)
    found = dict.fromkeys(sorted(read), TEXT)
    if not spec.transform.reads_keys:
        return found
    made: dict[str, str] = {}
    for column, declared in _declared(spec):
        shape = shape_of(declared)
        if column in made and found[column] != shape:
            raise SourceUnreadable(
                f"column {column!r} is declared as {made[column]} and as {declared}; JSON values "
                "are read in one way only. Declare one, or write the value in two columns."
            )
        found[column], made[column] = shape, str(declared)
    return found


def _declared(spec: VersionSpec) -> Iterator[tuple[str, ValueType]]:
    outputs = spec.view.aggregate_outputs()
    for feature in spec.features:
        if feature.sql is not None:
            continue  # it is made of others
        if feature.mask is not None or feature.encode is not None:
            continue  # it is a text until something is made of it, as what nothing declares is
        if not outputs:
            yield feature.source_column, feature.value_type
        elif (output := outputs.get(feature.source_column)) is not None:
            function, declared = output.function, feature.value_type
            if isinstance(function, FunctionWithParameters):
                declared = function.reads(declared)
            yield output.column, declared
