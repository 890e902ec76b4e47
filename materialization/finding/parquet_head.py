"""The first row groups of a Parquet file as a file of their own, byte by byte as they are. [pure]

Their bytes are the beginning of the file; what follows them is a footer that tells of no others.
Nothing is read or written again, so that columns have the very types of the whole file. Not for
fetching those bytes (``pieces``).

The footer is Thrift's compact protocol, of which what is here knows as much as it takes to leave
fields out: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md, and
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift for the numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT, _UUID = (
    0, 1, 2, 3, 7, 8, 9, 10, 11, 12, 13,
)  # fmt: skip
_NUMBERS = frozenset((4, 5, 6))
#: Fields of FileMetaData, RowGroup and ColumnChunk.
_NUM_ROWS, _ROW_GROUPS, _COLUMNS, _META_DATA = 3, 4, 1, 3
#: What lies behind the row groups: indexes of pages (ColumnChunk), Bloom filters (ColumnMetaData).
_INDEXES, _BLOOM = frozenset((4, 5, 6, 7)), frozenset((14, 15))


class BadFooter(ValueError):
    """It is none that is understood."""


class _Field(NamedTuple):
    number: int
    kind: int
    value: bytes


def with_first_groups(footer: bytes, *, count: int, rows: int) -> bytes:
    """Return a footer of the first ``count`` row groups, which have ``rows``.

    :raises BadFooter: it is none.
    """
    try:
        return _changed(
            footer,
            {
                _NUM_ROWS: lambda _: _number(rows),
                _ROW_GROUPS: lambda value: _listed(_items(value)[:count], _group),
            },
        )
    except (IndexError, RecursionError) as exc:
        raise BadFooter("the footer ends before it is over") from exc


def _group(value: bytes) -> bytes:
    return _changed(value, {_COLUMNS: lambda columns: _listed(_items(columns), _column)})


def _column(value: bytes) -> bytes:
    return _changed(
        value, {_META_DATA: lambda found: _changed(found, {}, without=_BLOOM)}, _INDEXES
    )


def _changed(
    struct: bytes,
    changes: dict[int, Callable[[bytes], bytes]],
    without: Collection[int] = (),
) -> bytes:
    """Return a struct with some fields changed, and others left out."""
    made, last = bytearray(), 0
    for field in _fields(struct):
        if field.number in without:
            continue
        step = field.number - last
        made += bytes([step << 4 | field.kind]) if 0 < step < 16 else _long_header(field)
        change = changes.get(field.number)
        made += change(field.value) if change is not None else field.value
        last = field.number
    return bytes(made) + bytes([_STOP])


def _long_header(field: _Field) -> bytes:
    return bytes([field.kind]) + _number(field.number)


def _fields(struct: bytes) -> Iterable[_Field]:
    at, number = 0, 0
    while (header := struct[at]) & 15 != _STOP:
        at += 1
        kind = header & 15
        if header >> 4:
            number += header >> 4
        else:
            said, at = _varint(struct, at)
            number = said >> 1 ^ -(said & 1)
        end = at if kind in (_TRUE, _FALSE) else _after(struct, at, kind)
        yield _Field(number, kind, struct[at:end])
        at = end


def _after(data: bytes, at: int, kind: int) -> int:
    """Return where a value that begins at ``at`` is over."""
    if kind in (_TRUE, _FALSE, _BYTE):  # of booleans in lists, each a byte
        return at + 1
    if kind in _NUMBERS:
        return _varint(data, at)[1]
    if kind in (_DOUBLE, _UUID):
        return at + (8 if kind == _DOUBLE else 16)
    if kind == _BINARY:
        size, at = _varint(data, at)
        return at + size
    if kind in (_LIST, _SET):
        size, inside, at = _list_header(data, at)
        for _ in range(size):
            at = _after(data, at, inside)
        return at
    if kind == _MAP:
        size, at = _varint(data, at)
        _require_size(size, data)
        kinds = data[at] if size else 0
        at += bool(size)
        for _ in range(size):
            at = _after(data, _after(data, at, kinds >> 4), kinds & 15)
        return at
    if kind == _STRUCT:
        while (header := data[at]) & 15 != _STOP:
            at += 1
            if not header >> 4:
                at = _varint(data, at)[1]
            if header & 15 not in (_TRUE, _FALSE):
                at = _after(data, at, header & 15)
        return at + 1
    raise BadFooter(f"the footer has a value of kind {kind}")


def _list_header(data: bytes, at: int) -> tuple[int, int, int]:
    size, kind = data[at] >> 4, data[at] & 15
    at += 1
    if size == 15:
        size, at = _varint(data, at)
    _require_size(size, data)
    return size, kind, at


def _require_size(size: int, data: bytes) -> None:
    """:raises BadFooter: it tells of more than it can hold."""
    if size > len(data):
        raise BadFooter(f"the footer tells of {size} values and has {len(data)} bytes")


def _items(value: bytes) -> list[bytes]:
    """Return the structs of a list."""
    size, kind, at = _list_header(value, 0)
    if kind != _STRUCT:
        raise BadFooter(f"the footer has a list of kind {kind}")
    found = []
    for _ in range(size):
        end = _after(value, at, kind)
        found.append(value[at:end])
        at = end
    return found


def _listed(items: list[bytes], change: Callable[[bytes], bytes]) -> bytes:
    size = len(items)
    header = (
        bytes([size << 4 | _STRUCT]) if size < 15 else bytes([15 << 4 | _STRUCT]) + _plain(size)
    )
    return header + b"".join(map(change, items))


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise BadFooter("the footer has a number of more than 64 bits")


def _number(value: int) -> bytes:
    return _plain(value << 1 if value >= 0 else (-value << 1) - 1)


def _plain(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    made.append(value)
    return bytes(made)
