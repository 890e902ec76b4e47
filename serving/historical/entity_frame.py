"""An entity frame as the join asks of it: each column required once, each join key typed once.

[pure] Not for reading bytes (``forms``), nor for how a column is typed (``typed_columns``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from lib.delimiters import other_delimiter
from lib.errors import SHOWN, nearest
from serving.historical.typed_columns import BadEntityFrame, BadEntityValue, instants
from serving.values import JOIN_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registry.spec.value_types import ValueType
    from registry.spec.version_spec import VersionSpec
    from serving.historical.forms import SentFrame
    from serving.values import KeyColumn

EVENT_TIMESTAMP = "event_timestamp"


class MissingEntityColumn(BadEntityFrame):
    code = "missing_entity_column"


class EntityFrame(NamedTuple):
    """``table`` is the frame as the answer repeats it, with ``event_timestamp`` as UTC instants.

    ``keys`` has each column that a join key is read from, typed as declared, by name and type: two
    views may read one column with different types.
    """

    table: pa.Table
    keys: dict[tuple[str, ValueType], pa.ChunkedArray]

    def rows_for(self, spec: VersionSpec, columns: Mapping[str, str]) -> pa.Table:
        """Return what a join to this version asks of the frame: its typed keys, and the times.

        ``columns``: join key → the frame's column that has it, where names differ.
        """
        keys = {
            key.name: self.keys[columns.get(key.name, key.name), key.value_type]
            for key in spec.join_keys
        }
        return pa.table({**keys, EVENT_TIMESTAMP: self.table[EVENT_TIMESTAMP]})


def entity_frame(sent: SentFrame, keys: Sequence[KeyColumn]) -> EntityFrame:
    """Return what was sent as a frame that can answer for ``keys``.

    Naive times are UTC, zoned ones are converted, text is read as ISO 8601, a date is its midnight;
    digits finer than a microsecond are cut towards the past.

    :raises BadEntityFrame: two columns have one name, one that is needed is missing, or
        ``event_timestamp`` is null somewhere or holds no instants.
    :raises BadEntityValue, BadKeyValue: a join key's values are not what it is declared to have.
    """
    require_columns(sent.names, keys)
    typed = {(key.name, key.type): sent.key(key) for key in keys}
    first = {name: column for (name, _), column in reversed(typed.items())}
    table = sent.shown(first)
    place = table.column_names.index(EVENT_TIMESTAMP)
    return EntityFrame(table.set_column(place, EVENT_TIMESTAMP, _times(table[place])), typed)


def require_columns(names: Sequence[str], keys: Sequence[KeyColumn]) -> None:
    """Return if a frame with columns of these names has all that are needed, each once.

    :raises BadEntityFrame: it has none, or two of one name.
    :raises MissingEntityColumn: naming who needs it, and the column that may be meant: none in use.
    """
    if not names:
        raise BadEntityFrame("the entity frame has no columns; it needs event_timestamp and keys.")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise BadEntityFrame(f"the entity frame has two columns {twice!r}; keep one.", column=twice)
    needed = {EVENT_TIMESTAMP, *[key.name for key in keys]}
    if not needed <= set(names) and (several := other_delimiter(names, needed)):
        name, delimiter = several
        raise BadEntityFrame(
            f"the entity frame has the column {name[:200]!r}, which is separated by {delimiter};"
            " CSV is separated by commas here. Write it again with commas."
        )
    for key in keys:
        if key.name not in names:
            raise _missing_key(key, names, unused=set(names) - needed)
    if EVENT_TIMESTAMP not in names:
        raise MissingEntityColumn(
            f"the entity frame has no column {EVENT_TIMESTAMP!r}, the instant each row asks about."
            f" Its columns: {', '.join(names)}.",
            column=EVENT_TIMESTAMP,
        )


def _missing_key(key: KeyColumn, names: Sequence[str], *, unused: set[str]) -> MissingEntityColumn:
    near = nearest(key.name, unused)
    hint = f" Did you mean {near!r}?" if near else f" Its columns: {', '.join(names[:SHOWN])}."
    other = ' A key under another name is said in "views".' if key.what == JOIN_KEY else ""
    return MissingEntityColumn(
        f"the entity frame has no column {key.name!r}, a {key.what} of {key.view}.{hint}{other}",
        column=key.name,
        feature_view=key.view,
    )


def _times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return ``event_timestamp`` as instants, each of which is there."""
    times = instants(column, name=EVENT_TIMESTAMP)
    if times.null_count:
        row = pc.index(times.is_null(), True).as_py()
        raise BadEntityValue(
            f"{EVENT_TIMESTAMP} is null in row {row}, which then asks about no instant."
            " Fill it or leave the row out.",
            column=EVENT_TIMESTAMP,
            row=row,
        )
    return times
