"""Masked forms in SQL: what is stored of a feature that tells less than its column. [pure]

Not for what a mask means (``registry.spec.masks``). No error of a column that is masked tells a
value of it. Hashes are HMAC-SHA256 of a value's text: the two pads are variables of the session, so
that no SQL, which errors may quote, has the key.
"""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_CEILING, Context, Decimal
from typing import TYPE_CHECKING, Protocol

from lib.sql_text import identifier, instant, text
from materialization.transforms.base import require
from materialization.transforms.casts import Cast, cast
from materialization.transforms.pairs.families import family
from registry.spec.encodes import input_type
from registry.spec.masks import edge_of, edges_of, labels
from registry.spec.value_types import ValueType, parse_type

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from registry.spec.bounds import Bound
    from registry.spec.model import FeatureSpec


class Session(Protocol):
    """The part of a connection that variables are set by."""

    def execute(self, query: str, parameters: list[bytes]) -> object: ...


#: Variables of a session, before the name of a feature.
_INNER, _OUTER = "assay_inner_", "assay_outer_"
#: Bytes that SHA-256 works on at a time (RFC 2104: the key is filled up to them).
_BLOCK = 64
#: Every digit of what a double or a decimal may be.
_EXACT = Context(prec=400)


def stored_cast(feature: FeatureSpec, columns: Mapping[str, str]) -> Cast:
    """Return the cast of a feature's column: to its type or, masked, to what the mask is made of.

    :raises UnknownColumn, SourceValueInvalid: there is no such column, or none of its values fits.
    """
    column = feature.source_column
    have = require(column, columns)
    want = _unmasked(feature, have)
    if want is None:
        return Cast(identifier(column), None, identifier(column), column, have, is_private=True)
    made = cast(identifier(column), have=have, want=want, column=column)
    return made._replace(is_private=feature.mask is not None)


def stored_value(feature: FeatureSpec, columns: Mapping[str, str]) -> str:
    """Return SQL of what is stored of a feature; what is encoded is what its first step takes.

    :raises UnknownColumn, SourceValueInvalid: as ``stored_cast``.
    """
    value = stored_cast(feature, columns).strict
    if feature.mask is None:
        return value
    have = require(feature.source_column, columns)
    if edges := edges_of(feature.mask):
        return _bucket(value, edges, have, as_text=feature.type == "string")
    return _hash(value, have, feature.name)


def set_key(connection: Session, feature: str, key: bytes) -> None:
    """Let a feature be hashed with a key, of at most 64 bytes, on a connection."""
    block = key.ljust(_BLOCK, b"\0")
    for pad, bits in ((_INNER, 0x36), (_OUTER, 0x5C)):
        padded = bytes(byte ^ bits for byte in block)
        connection.execute(f"SET VARIABLE {pad}{feature} = ?", [padded])


def _unmasked(feature: FeatureSpec, have: str) -> ValueType | None:
    """Return the type that a column is read as; None: as it is."""
    kind = family(have)
    if feature.encode is not None:
        return input_type(feature.encode)
    if feature.mask is None:
        return feature.value_type
    if edges := edges_of(feature.mask):
        if isinstance(edges[0], str):
            return parse_type("timestamp")
        is_number = kind in ("integer", "float", "decimal") and have != "UHUGEINT"
        return None if is_number else parse_type("float64")
    if kind == "bytes":
        return None
    return parse_type("timestamp" if kind == "time" else "string")


def _hash(value: str, have: str, feature: str) -> str:
    kind = family(have)
    if kind == "time":
        value = f"strftime({value} AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')"
    message = value if kind == "bytes" else f"encode({value})"
    inner = f"unhex(sha256(getvariable('{_INNER}{feature}') || {message}))"
    return f"sha256(getvariable('{_OUTER}{feature}') || {inner})"


def _bucket(value: str, edges: Sequence[Bound], have: str, *, as_text: bool) -> str:
    """Return SQL of the label, or number, of the bucket; NaN is in none and has its own."""
    prepared, below, may_be_nan = _comparing(edges, have)
    names = [text(label) if as_text else str(n) for n, label in enumerate(labels(edges))]
    # The value is computed once, however many edges it is compared with.
    cases = "WHEN x IS NULL THEN NULL"
    if may_be_nan:
        cases += f" WHEN isnan(x) THEN {text('NaN') if as_text else '-1'}"
    for edge, name in zip(edges, names, strict=False):
        cases += f" WHEN {below(edge_of(edge))} THEN {name}"
    label = f"CASE {cases} ELSE {names[-1]} END"
    return f"list_transform([{prepared.format(value)}], lambda x: {label})[1]"


def _comparing(
    edges: Sequence[Bound], have: str
) -> tuple[str, Callable[[Decimal | datetime], str], bool]:
    """Return how a value is prepared, what says that it is below an edge, and if it may be NaN.

    Edges become numbers of the column's kind that divide its values in the same way: nothing is
    rounded when they are compared.
    """
    if isinstance(edges[0], str):
        return "{}", lambda edge: f"x < {instant(_instant(edge))}", False
    kind = family(have) if have != "UHUGEINT" else "text"
    if kind == "integer":
        return "CAST({} AS HUGEINT)", lambda edge: f"x < {_up(edge, 0)}", False
    if kind == "decimal":
        scale = int(have.rstrip(")").partition(",")[2])
        return "{}", lambda edge: _below_decimal(_up(edge, scale), scale), False
    return "CAST({} AS DOUBLE)", lambda edge: f"x < CAST('{edge}' AS DOUBLE)", True


def _up(edge: Decimal | datetime, scale: int) -> Decimal:
    """Return the least number of a scale that is not below an edge."""
    step = Decimal(1).scaleb(-scale)
    return Decimal(edge).quantize(step, ROUND_CEILING, _EXACT)  # type: ignore[arg-type]


def _below_decimal(edge: Decimal, scale: int) -> str:
    if len(edge.as_tuple().digits) > 38:  # beyond every value of the type
        return "true" if edge > 0 else "false"
    wide = f"DECIMAL(38,{scale})"
    return f"CAST(x AS {wide}) < CAST('{edge:f}' AS {wide})"


def _instant(edge: Decimal | datetime) -> datetime:
    if not isinstance(edge, datetime):
        raise TypeError(f"{edge} is no instant: a mask's edges are all of one kind")
    return edge
