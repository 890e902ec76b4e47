"""How a FeatureTable lies in Redis: the keys of its entities, the bytes of its rows. [pure]

Not for talking to Redis (``online``) or for encoding single columns (``packing``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.errors import Invalid
from lib.instants import from_us, to_us
from materialization.stores import packing
from registry.spec.value_types import SCALARS, ValueType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registry.spec.model import VersionSpec

#: What every stored row begins with: when it was true, when it was known, its sequence.
HEADER_COLUMNS = ("event_timestamp", "created_timestamp", "__sequence")
#: No row has its header numbers behind this many bytes: an array16, then at most three int64.
HEADER_END = 30
#: Arrays of fewer items have their size in their first byte; others have it behind that.
_FIX_ARRAY = 16
#: What the keys of all rows begin with. Another layout of rows takes another letter.
ROWS = b"r"
#: A key no row ever has: what a null join key is looked up under.
NO_KEY = ROWS + b"-"

#: Keys that one call to Redis is about: it answers nobody else meanwhile.
KEYS_PER_CALL = 500
#: What a broker keeps in the same server may begin with the same letter, as its list ``runs`` does.
_ROW_KEY = re.compile(ROWS + rb"([a-z2-7]{8})\{.*\}", re.DOTALL)
_SLASH = b"/"
_COLON = b":"
_DAY_ZERO = date(1970, 1, 1)
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
        texts = [list(map(_KEY_BYTES[t.kind], c)) for t, c in zip(self.types, columns, strict=True)]
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
            pieces += [*_arrow_key_bytes(column, kind), _SLASH]
        return packing.join(*pieces[:-1], pa.scalar(b"}", pa.binary()))

    def values(self, tag: bytes) -> tuple[Any, ...] | None:
        """Return the typed key values that have this tag; None: no entity's are written so."""
        rest, found = tag[1:-1], []
        try:
            for kind in self.types:
                text, rest = _first(rest, is_sized=kind.kind in ("string", "bytes"))
                found.append(pa.scalar(_KEY_VALUES[kind.kind](text), kind.arrow).as_py())
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
        events, created, sequences = header_numbers(batch)
        start = np.broadcast_to(self._array_marker, (batch.num_rows, len(self._array_marker)))
        head = np.hstack([start, packing.marked(0xD3, events)])
        columns = zip(self.features, self.types, strict=True)
        packed = [packing.pack(_column(batch, name, kind.arrow), kind) for name, kind in columns]
        order = packing.narrow(created - events), packing.narrow(sequences)
        return packing.join(packing.fixed_width(head), *order, *packed)

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


def uid_of(key: bytes) -> str | None:
    """Return which table the key of a row belongs to; None: it is no row's."""
    found = _ROW_KEY.fullmatch(key)
    return found[1].decode() if found else None


def marker_key(uid: str) -> bytes:
    return b"n" + uid.encode()


def ticket_key(uid: str) -> bytes:
    return b"l" + uid.encode()


def decode_rows(blobs: Sequence[bytes | None], *, missing: bytes) -> list[list[Any]]:
    """Return the rows ``[event µs, lag µs, sequence, feature, …]``; all None where a blob is.

    The lag is how long after its event a row was known: less than nothing where it was foreseen.

    The blobs are joined to one msgpack array: one decoding for all costs a third of one for each.
    """
    whole = b"".join([blob or missing for blob in blobs])
    return _decode_rows.decode(b"\xdd" + len(blobs).to_bytes(4, "big") + whole)


def header_numbers(batch: pa.RecordBatch) -> list[np.ndarray]:
    """Return event and created time in microseconds and the sequence, as int64."""
    instant = SCALARS["timestamp"][0]
    types = dict(zip(HEADER_COLUMNS, (instant, instant, pa.int64()), strict=True))
    return [
        packing.integers(_column(batch, name, kind, nulls=False)) for name, kind in types.items()
    ]


def _column(batch: pa.RecordBatch, name: str, kind: pa.DataType, *, nulls: bool = True) -> pa.Array:
    if name not in batch.schema.names:
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


def _arrow_key_bytes(column: pa.Array, kind: ValueType) -> list[pa.Array | pa.Scalar]:
    """Return the pieces of one key value, as ``_KEY_BYTES`` writes them."""
    if kind.kind in ("string", "bytes"):
        data = column.cast(pa.binary())
        return [_text(pc.binary_length(data)), _COLON, data]
    if kind.kind == "bool":
        return [_text(column.cast(pa.int8()))]
    return [_text(pa.array(packing.integers(column)))]


def _text(numbers: pa.Array) -> pa.Array:
    return numbers.cast(pa.string()).cast(pa.binary())


def _first(pieces: bytes, *, is_sized: bool) -> tuple[bytes, bytes]:
    """Return the first of the pieces that make a tag, and the others."""
    if is_sized:
        size, _, data = pieces.partition(b":")
        return data[: int(size)], data[int(size) + 1 :]
    first, _, others = pieces.partition(b"/")
    return first, others


def _sized(data: bytes) -> bytes:
    """Return ``4:abcd``: with its length before it no value can pass for two."""
    return b"%d:%s" % (len(data), data)


_KEY_BYTES: dict[str, Callable[[Any], bytes | None]] = {
    "bool": lambda value: None if value is None else b"%d" % value,
    "int32": lambda value: None if value is None else b"%d" % value,
    "int64": lambda value: None if value is None else b"%d" % value,
    "string": lambda value: None if value is None else _sized(value.encode()),
    "bytes": lambda value: None if value is None else _sized(value),
    "timestamp": lambda value: None if value is None else b"%d" % to_us(value),
    "date": lambda value: None if value is None else b"%d" % (value - _DAY_ZERO).days,
}

_KEY_VALUES: dict[str, Callable[[bytes], Any]] = {
    "bool": lambda text: bool(int(text)),
    "int32": int,
    "int64": int,
    "string": bytes.decode,
    "bytes": bytes,
    "timestamp": lambda text: from_us(int(text)),
    "date": lambda text: date.fromordinal(_DAY_ZERO.toordinal() + int(text)),
}
