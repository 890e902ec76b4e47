"""How a FeatureTable lies in Redis: the keys of its entities, the bytes of its rows. [pure]

Not for talking to Redis (``online``) or for encoding single columns (``packing``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from lib.errors import Invalid
from materialization.stores import packing
from materialization.stores.key_bytes import KEY_BYTES, KEY_VALUES, arrow_key_bytes, first_piece
from registry.spec.value_types import SCALARS, ValueType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.spec.version_spec import VersionSpec

#: What every stored row begins with: when it was true, when it was known, its sequence.
HEADER_COLUMNS = ("event_timestamp", "created_timestamp", "__sequence")
#: No row has its header numbers behind this many bytes: an array16, then at most three int64.
HEADER_END = 30
#: Arrays of fewer items have their size in their first byte; others have it behind that.
_FIX_ARRAY = 16
#: What the keys of all rows begin with. Another layout of rows takes another letter.
ROWS = b"r"
#: What the keys of entities begin with whose events are kept, all of them in one key.
EVENTS = b"w"
#: Matches the keys of both.
ANY_ROWS = b"[" + ROWS + EVENTS + b"]"
#: A key no row ever has: what a null join key is looked up under.
NO_KEY = ROWS + b"-"

#: Keys that one call to Redis is about: it answers nobody else meanwhile.
KEYS_PER_CALL = 500
#: What a broker keeps in the same server may begin with the same letter, as its list ``runs`` does.
_ROW_KEY = re.compile(rb"[" + ROWS + EVENTS + rb"]([a-z2-7]{8})\{.*\}", re.DOTALL)
_SLASH = b"/"
_decode_rows = msgspec.msgpack.Decoder(list[list[Any]])


class BadOnlineRows(Invalid):
    code = "bad_online_rows"


@dataclass(frozen=True)
class EntityKey:
    """What identifies an entity: its join keys, sorted by name, and their types.

    ``tags`` and ``arrow_tags`` give the same bytes, the values alone: ``{1001}``. A table has rows
    of one entity only, so they need no name; in every table an entity's are in one slot of a
    cluster. That another entity's may be there too harms nobody.
    """

    names: tuple[str, ...]
    types: tuple[ValueType, ...]

    def tags(self, columns: Sequence[Sequence[Any]]) -> list[bytes | None]:
        """Return one tag a row of typed columns, one for each name; None where a key is null."""
        if len(columns) == 1 and self.types[0].kind in ("int32", "int64"):
            return [None if value is None else b"{%d}" % value for value in columns[0]]
        texts = [list(map(KEY_BYTES[t.kind], c)) for t, c in zip(self.types, columns, strict=True)]
        return [
            None if None in row else b"{%s}" % b"/".join(row) for row in zip(*texts, strict=True)
        ]

    def arrow_tags(self, batch: pa.RecordBatch) -> pa.Array:
        """Return one tag a row as a binary array.

        :raises BadOnlineRows: a join key is null.
        """
        pieces: list[Any] = [pa.scalar(b"{", pa.binary())]
        for name, kind in zip(self.names, self.types, strict=True):
            column = _column(batch, name, kind.arrow, nulls=False)
            pieces += [*arrow_key_bytes(column, kind), _SLASH]
        return packing.join(*pieces[:-1], pa.scalar(b"}", pa.binary()))

    def values(self, tag: bytes) -> tuple[Any, ...] | None:
        """Return the typed key values that have this tag; None: no entity's are written so."""
        rest, found = tag[1:-1], []
        try:
            for kind in self.types:
                text, rest = first_piece(rest, is_sized=kind.kind in ("string", "bytes"))
                found.append(pa.scalar(KEY_VALUES[kind.kind](text), kind.arrow).as_py())
        except (ValueError, OverflowError):
            return None
        # Whatever else could be read as a key is told apart by how the key would be written.
        return tuple(found) if self.tags([[value] for value in found]) == [tag] else None


@dataclass(frozen=True)
class TableLayout:
    """One FeatureTable: its uid, its entity, and its features sorted by name.

    A row is one msgpack array: the event time in microseconds, how much later it was known,
    sequence, features. The first is an int64 always, the two others take what they need.
    """

    uid: str
    entity: EntityKey
    features: tuple[str, ...]
    types: tuple[ValueType, ...]

    @cached_property
    def key_prefix(self) -> bytes:
        return value_prefix(self.uid)

    @cached_property
    def marker_key(self) -> bytes:
        return marker_key(self.uid)

    @cached_property
    def width(self) -> int:
        """How many numbers and values a decoded row has."""
        return len(HEADER_COLUMNS) + len(self.features)

    @cached_property
    def missing(self) -> bytes:
        """The row that stands for no row: every number and feature nil."""
        return msgspec.msgpack.encode([None] * self.width)

    def position(self, feature: str) -> int:
        """Return where a decoded row has the feature."""
        return len(HEADER_COLUMNS) + self.features.index(feature)

    def keys(self, tags: Sequence[bytes | None]) -> list[bytes]:
        """Return the value key of each entity; NO_KEY where the tag is None."""
        prefix = self.key_prefix
        return [NO_KEY if tag is None else prefix + tag for tag in tags]

    def arrow_keys(self, batch: pa.RecordBatch) -> pa.Array:
        return packing.join(pa.scalar(self.key_prefix, pa.binary()), self.entity.arrow_tags(batch))

    def arrow_rows(self, batch: pa.RecordBatch) -> pa.Array:
        """Return each row's bytes; the batch has the header columns and the features, in any order.

        :raises BadOnlineRows: a column is missing, of another type, or a header value is null.
        """
        _, _, sequences = header_numbers(batch)
        return packing.join(
            *self._arrow_heads(batch), packing.narrow(sequences), *self._arrow_values(batch)
        )

    def arrow_parts(self, batch: pa.RecordBatch) -> tuple[pa.Array, pa.Array]:
        """Return each row's bytes before its sequence and after it: who writes it has the number.

        :raises BadOnlineRows: as ``arrow_rows``.
        """
        return packing.join(*self._arrow_heads(batch)), packing.join(*self._arrow_values(batch))

    def _arrow_heads(self, batch: pa.RecordBatch) -> list[pa.Array]:
        events, created = header_numbers(batch, HEADER_COLUMNS[:2])
        start = np.broadcast_to(self._array_marker, (batch.num_rows, len(self._array_marker)))
        head = np.hstack([start, packing.marked(0xD3, events)])
        return [packing.fixed_width(head), packing.narrow(created - events)]

    def _arrow_values(self, batch: pa.RecordBatch) -> list[pa.Array]:
        columns = zip(self.features, self.types, strict=True)
        return [packing.pack(_column(batch, name, kind.arrow), kind) for name, kind in columns]

    @cached_property
    def _array_marker(self) -> np.ndarray:
        """The bytes every row begins with."""
        fixed = self.width < _FIX_ARRAY
        marker = bytes([0x90 | self.width]) if fixed else b"\xdc" + self.width.to_bytes(2, "big")
        return np.frombuffer(marker, np.uint8)


def layout_of(spec: VersionSpec, *, uid: str) -> TableLayout:
    """Return the layout of the table ``uid``; equal for all versions that share it."""
    keys = sorted(spec.join_keys, key=lambda key: key.name)
    entity = EntityKey(tuple(k.name for k in keys), tuple(k.value_type for k in keys))
    features = sorted(spec.features, key=lambda feature: feature.name)
    return TableLayout(
        uid, entity, tuple(f.name for f in features), tuple(f.value_type for f in features)
    )


def value_prefix(uid: str) -> bytes:
    """Return what the keys of a table's rows begin with, and no other keys."""
    return ROWS + uid.encode()


def any_prefix(uid: str) -> bytes:
    """Return the pattern that keys of a table's rows, or events, match up to their entity."""
    return ANY_ROWS + uid.encode()


def uid_of(key: bytes) -> str | None:
    """Return which table the key of a row belongs to; None: it is no row's."""
    found = _ROW_KEY.fullmatch(key)
    return found[1].decode() if found else None


def marker_key(uid: str) -> bytes:
    return b"n" + uid.encode()


def ticket_key(uid: str) -> bytes:
    return b"l" + uid.encode()


def log_key(uid: str) -> bytes:
    """Return the key of what was pushed to a table and is not in the offline store yet."""
    return b"p" + uid.encode()


def counter_key(uid: str) -> bytes:
    """Return the key of the sequences that Redis may give to pushed rows."""
    return b"q" + uid.encode()


def decode_rows(blobs: Sequence[bytes | None], *, missing: bytes) -> list[list[Any]]:
    """Return the rows ``[event µs, lag µs, sequence, feature, …]``; all None where a blob is.

    The lag is how long after its event a row was known: less than nothing where it was foreseen.

    The blobs are joined to one msgpack array: one decoding for all costs a third of one for each.
    """
    whole = b"".join([missing if blob is None else blob for blob in blobs])
    return _decode_rows.decode(b"\xdd" + len(blobs).to_bytes(4, "big") + whole)


def header_numbers(
    batch: pa.RecordBatch, names: Sequence[str] = HEADER_COLUMNS
) -> list[np.ndarray]:
    """Return event and created time in microseconds and the sequence, as int64."""
    instant = SCALARS["timestamp"][0]
    types = dict(zip(HEADER_COLUMNS, (instant, instant, pa.int64()), strict=True))
    return [packing.integers(_column(batch, name, types[name], nulls=False)) for name in names]


def _column(batch: pa.RecordBatch, name: str, kind: pa.DataType, *, nulls: bool = True) -> pa.Array:
    if batch.schema.get_field_index(name) < 0:
        raise BadOnlineRows(
            f"rows for the online store lack column {name!r}; they have {batch.schema.names}."
        )
    column = batch.column(name)
    if not nulls and column.null_count:
        raise BadOnlineRows(
            f"rows for the online store have {column.null_count} nulls in {name!r}; drop them."
        )
    try:
        return column if column.type == kind else column.cast(kind)
    except pa.ArrowInvalid as exc:
        raise BadOnlineRows(
            f"column {name!r} is {column.type}, and not all of it is {kind}: {exc}"
        ) from exc
