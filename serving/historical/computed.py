"""On-demand features of a training set: computed by the engine from what was joined to the frame.

Not for what they mean: one definition gives both the SQL here and what online reads run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from materialization.compute.questions import Expression
from registry.spec.scalar.kinds import DIGITS
from registry.spec.value_types import parse_type
from serving.historical.entity_frame import EVENT_TIMESTAMP
from serving.on_demand.feature import lacking_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.compute.engine import Engine
    from materialization.compute.questions import JoinAnswer
    from serving.historical.entity_frame import EntityFrame
    from serving.historical.features import ComputedFeature


class ComputedValues(NamedTuple):
    values: pa.ChunkedArray
    warnings: tuple[str, ...]


def compute_features(
    asked: Sequence[ComputedFeature],
    frame: EntityFrame,
    joined: Sequence[JoinAnswer],
    *,
    engine: Engine,
) -> dict[str, ComputedValues]:
    """Return each column by its name; ``now`` is the time that a row asks about."""
    inputs: dict[Any, pa.ChunkedArray] = {}
    expressions = []
    for each in asked:
        given: list[tuple[Any, pa.ChunkedArray]] = [
            ((part, name), joined[part].rows[name]) for part, name in each.stored
        ]
        given += [
            ((key.name, key.type), frame.keys[key.name, key.type]) for key in each.feature.request
        ]
        given.append((EVENT_TIMESTAMP, frame.table[EVENT_TIMESTAMP]))
        for key, values in given:
            inputs.setdefault(key, values)
        places = list(inputs)
        columns = tuple(f"c{places.index(key)}" for key, _ in given)
        expressions.append(Expression(each.feature.scalar.sql, columns))
    rows = pa.table({f"c{n}": _widened(column) for n, column in enumerate(inputs.values())})
    found = engine.evaluate(rows, expressions)
    return {
        each.name: ComputedValues(
            one.values.cast(parse_type(each.type).arrow), (_words(each),) if one.is_lacking else ()
        )
        for each, one in zip(asked, found, strict=True)
    }


def _widened(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return values as expressions compute with them: in 64 bits, decimals with 38 digits."""
    if pa.types.is_decimal(values.type):
        return values.cast(pa.decimal128(DIGITS, values.type.scale))
    wider = {pa.int32(): pa.int64(), pa.float32(): pa.float64()}.get(values.type)
    return values if wider is None else values.cast(wider)


def _words(column: ComputedFeature) -> str:
    feature = column.feature
    return lacking_words(f"{feature.version}:{feature.name}", "in at least one row")
