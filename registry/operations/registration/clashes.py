"""What of a view does not fit its sources and entities, whatever their rows hold.

Not for what a definition gets wrong alone (``reading.rules``), nor for what the files hold: the
look at them says that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.reading.arriving_rules import not_pushed
from registry.reading.check_rules import unknown_columns
from registry.spec.lineage import origins_of, row_columns, row_fields

if TYPE_CHECKING:
    from registry.reading.findings import Found
    from registry.spec.version_spec import VersionSpec


def clashes(spec: VersionSpec) -> list[Found]:
    """Find what of the view does not fit its source and entities, whatever the rows hold."""
    return [
        *_name_clashes(spec),
        *_beside_function(spec),
        *_times_moved(spec),
        *unknown_columns(spec),
        *_unmasked_beside(spec),
        *not_pushed(spec),
    ]


def _name_clashes(spec: VersionSpec) -> list[Found]:
    """Find columns that would be one: engines fold the case of column names."""
    keys = [key.name.lower() for key in spec.join_keys]
    clashes: list[Found] = [
        (
            ("features", index, "name"),
            f"{feature.name!r} is a join key already; features and keys need names of their own.",
        )
        for index, feature in enumerate(spec.features)
        if feature.name in keys
    ]
    if len(set(keys)) < len(keys):
        message = f"two of these entities share a join key ({', '.join(keys)})."
        clashes.append((("entities",), message))
    return clashes


def _beside_function(spec: VersionSpec) -> list[Found]:
    """Find columns of a Python function that are called as what stands beside them in a row."""
    if spec.view.python is None:
        return []
    beside = {column.lower() for column in row_columns(spec)}
    return [
        (
            ("features", index, "column" if feature.column else "name"),
            f"{feature.source_column!r} is a join key or a time of the source, which stand beside"
            " what the function gives; have it give a column of another name.",
        )
        for index, feature in enumerate(spec.features)
        if feature.source_column.lower() in beside
    ]


def _times_moved(spec: VersionSpec) -> list[Found]:
    """Find times that are not those at which rows of other sources and views are found.

    A row that is stored as of another time would know what was not true, or not known, by then.
    """
    moved = list(spec.times_moved) if spec.has_beside else []
    message = (
        "what stands beside a row is found at the source's own {0}: have the SQL give {0} as it is."
        " Another time of a row is for a source, or a view, of its own."
    )
    return [(("sql",), message.format(name)) for name in moved]


def _unmasked_beside(spec: VersionSpec) -> list[Found]:
    """Find masked features whose values stand beside them as they are: as keys or times."""
    if not spec.has_masks:
        return []
    beside = {column.lower() for column in (*row_columns(spec), *map(str, row_fields(spec)))}
    origins = origins_of(spec)
    found: list[Found] = []
    for index, feature in enumerate(spec.features):
        if feature.mask is None:
            continue
        columns = {column.lower() for column in origins[feature.name].columns_said}
        if not columns:
            message = f"{feature.name} is made of no column; a mask is of values of the source."
            if origins[feature.name].features:
                message += " Mask what is read of another view in the view that stores it."
            found.append((("features", index, "mask"), message))
        elif columns <= beside:
            message = (
                f"{feature.name}: {', '.join(sorted(columns))} stands in every row as it is, as a"
                " join key or a time; a mask hides nothing of it. Leave the feature out, or mask"
                " the column in the source itself."
            )
            found.append((("features", index, "mask"), message))
    return found
