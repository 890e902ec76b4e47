"""What a request narrows a search by → conditions on features of the version. [pure]

``5`` is equal to, ``null`` is null, a list is one of these, and ``{"gte": 1, "lt": 5}`` is between.
"""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Any

from lib.errors import SHOWN_LENGTH, did_you_mean
from materialization.vectors.conditions import COMPARABLE, Condition
from serving.request_body import BadRequest
from serving.values import parse_key, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from materialization.stores.layout import TableLayout
    from registry.spec.value_types import ValueType

#: Values of one list.
MAX_VALUES = 1000
BOUNDS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def conditions(sent: Mapping[str, Any], layout: TableLayout, *, of: str) -> tuple[Condition, ...]:
    """Return what each named feature of the version ``of`` must be.

    :raises BadRequest: it has none of that name, or none that can be compared so.
    """
    types = dict(zip(layout.features, layout.types, strict=True))
    if unknown := sent.keys() - types.keys():
        name = min(unknown)[:SHOWN_LENGTH]
        hint = did_you_mean(name, tuple(types))
        raise BadRequest(f"filter {name!r}: {of} has no such feature.{hint}")
    return tuple(
        condition
        for name, wanted in sent.items()
        for condition in _of_one(name, types[name], wanted, of)
    )


def _of_one(name: str, kind: ValueType, wanted: Any, of: str) -> Iterator[Condition]:
    if kind.kind not in COMPARABLE:
        raise BadRequest(
            f"filter {name!r}: {of} has it as {kind}; a search is narrowed by features of"
            f" {', '.join(COMPARABLE)}."
        )
    if isinstance(wanted, list):
        if not 1 <= len(wanted) <= MAX_VALUES:
            raise BadRequest(f"filter {name!r} lists {len(wanted)} values; send 1 to {MAX_VALUES}.")
        yield Condition(name, kind, "in", tuple(_value(each, kind, name) for each in wanted))
    elif isinstance(wanted, dict):
        if not wanted:
            raise BadRequest(f"filter {name!r} is empty: send {', '.join(BOUNDS)} or a value.")
        for bound, value in wanted.items():
            yield Condition(name, kind, _op(bound, kind, name), _bound(value, kind, name))
    else:
        yield Condition(name, kind, "==", _value(wanted, kind, name))


def _op(bound: str, kind: ValueType, name: str) -> str:
    if bound not in BOUNDS:
        hint = did_you_mean(bound[:SHOWN_LENGTH], tuple(BOUNDS))
        raise BadRequest(f"filter {name!r}: unknown bound {bound[:SHOWN_LENGTH]!r}.{hint}")
    if kind.kind == "bool":
        raise BadRequest(f"filter {name!r} is bool: it has no order. Send true or false.")
    return BOUNDS[bound]


def _bound(value: Any, kind: ValueType, name: str) -> Any:
    if value is None:
        raise BadRequest(f"filter {name!r}: a bound is a value, not null.")
    return _value(value, kind, name)


def _value(value: Any, kind: ValueType, name: str) -> Any:
    found = parse_key(value, kind, name=name, what="filter")
    if isinstance(found, float) and isnan(found):
        raise BadRequest(f"filter {name!r} is {shown(value)}: it equals nothing. Send a number.")
    return found
