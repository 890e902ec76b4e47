"""Columns that a function gives, as the declared types: each value itself, or none of them.

The rules are those of ``transforms.pairs``, by Arrow and not by an engine, for what a function
gives is held to its declaration before an engine has it: decision 0014. Texts stay texts here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

if TYPE_CHECKING:
    from collections.abc import Callable

#: Types of which one may become another, if the value at hand does; lists go by their items.
_FAMILIES: tuple[tuple[Callable[[pa.DataType], bool], ...], ...] = (
    (kinds.is_integer, kinds.is_floating, kinds.is_decimal),
    (kinds.is_string, kinds.is_large_string, kinds.is_string_view),
    (kinds.is_binary, kinds.is_large_binary, kinds.is_binary_view, kinds.is_fixed_size_binary),
    (kinds.is_timestamp,),
    (kinds.is_date,),
    (kinds.is_boolean,),
)
_LISTS = (
    kinds.is_list, kinds.is_large_list, kinds.is_fixed_size_list,
    kinds.is_list_view, kinds.is_large_list_view,
)  # fmt: skip
#: From here on a float stands for several whole numbers, and which one was meant is lost.
_EXACT_BELOW = {pa.float32(): 2.0**24, pa.float64(): 2.0**53}
#: What says that a value is none of a type.
NO_VALUE = (pa.ArrowInvalid, pa.ArrowNotImplementedError)


def may_become(have: pa.DataType, want: pa.DataType) -> bool:
    """Say whether some value of the one type is one of the other."""
    if kinds.is_dictionary(have):
        return may_become(have.value_type, want)
    if _is_list(have) and _is_list(want):
        return may_become(have.value_type, want.value_type)
    if have == want or kinds.is_null(have):
        return True
    return any(
        any(is_it(have) for is_it in family) and any(is_it(want) for is_it in family)
        for family in _FAMILIES
    )


def become(column: pa.Array, want: pa.DataType) -> pa.Array:
    """Return the column as a type that it may become.

    :raises NO_VALUE: a value is none of that type.
    """
    have = column.type
    if kinds.is_dictionary(have):
        return become(column.dictionary_decode(), want)
    if have == want:
        return column
    if kinds.is_null(have):
        return pa.nulls(len(column), want)
    if _is_list(have):
        return _list(column, want)
    if kinds.is_integer(have):
        return _from_whole(column, want)
    if kinds.is_floating(have):
        return _from_float(column, want)
    return _from_decimal(column, want) if kinds.is_decimal(have) else column.cast(want)


def first_unlike(column: pa.Array, want: pa.DataType) -> str:
    """Return the first value that cannot become a type, of a column that has one."""
    while len(column) > 1:
        half = len(column) // 2
        try:
            become(column.slice(0, half), want)
        except NO_VALUE:
            column = column.slice(0, half)
        else:
            column = column.slice(half)
    return str(column[0])


def _is_list(kind: pa.DataType) -> bool:
    return any(is_it(kind) for is_it in _LISTS)


def _list(column: pa.Array, want: pa.DataType) -> pa.Array:
    """Judge item by item, leaving out what may lie below a null."""
    items = become(column.flatten(), want.value_type)
    ends = pc.cumulative_sum(pc.fill_null(pc.list_value_length(column), 0).cast(pa.int64()))
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), ends]).cast(pa.int32())
    return pa.ListArray.from_arrays(offsets, items, type=want, mask=column.is_null())


def _from_whole(column: pa.Array, want: pa.DataType) -> pa.Array:
    if kinds.is_decimal(want):
        return column.cast(_wide(want)).cast(want)
    if kinds.is_integer(want):
        return column.cast(want)
    have, made = column.type, column.cast(want, safe=False)
    # What was rounded up out of the type cannot be cast back to be compared.
    most = 2.0 ** (have.bit_width - kinds.is_signed_integer(have))
    inside = pc.if_else(pc.less(made, most), made, None)
    _require(pc.equal(inside.cast(have), column), column)
    return made


def _from_float(column: pa.Array, want: pa.DataType) -> pa.Array:
    if kinds.is_float16(column.type):
        column = column.cast(pa.float32())
    have = column.type
    if kinds.is_floating(want):
        made = column.cast(want, safe=False)
        _require(pc.or_(pc.equal(made.cast(have), column), pc.is_nan(column)), column)
        return made
    _require(pc.less(pc.abs(column), _EXACT_BELOW[have]), column)
    # The decimal is the number that the float's shortest writing says.
    return column.cast(pa.string()).cast(want) if kinds.is_decimal(want) else column.cast(want)


def _from_decimal(column: pa.Array, want: pa.DataType) -> pa.Array:
    if kinds.is_decimal(want):
        return column.cast(_wide(want)).cast(want)
    if kinds.is_integer(want):
        return column.cast(want)
    wide = _wide(column.type)
    made = column.cast(wide).cast(pa.string()).cast(want)
    # The nearest float, if it is written the same way.
    _require(pc.equal(made.cast(pa.string()).cast(wide), column.cast(wide)), column)
    return made


def _wide(kind: pa.DataType) -> pa.DataType:
    """Return the widest decimal of a scale: Arrow asks for room for every value of a type."""
    return pa.decimal256(76, max(kind.scale, 0))


def _require(is_kept: pa.Array, column: pa.Array) -> None:
    """:raises pa.ArrowInvalid: some value is not kept; nulls are."""
    if not pc.all(pc.or_(pc.fill_null(is_kept, False), column.is_null()), min_count=0).as_py():
        raise pa.ArrowInvalid("a value would become another one")
