"""Records of usage as rows of the table that keeps them. [pure]

Not for what is noted (``noting``) or asked (``queries``).
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from msgspec.structs import asdict

from serving.usage.noting import BOUNDS, STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from serving.usage.noting import UsageRecord

_INSTANT = pa.timestamp("us", tz="UTC")
#: Of each status its column, in the order of ``STATUSES``.
STATUS_COLUMNS = tuple(status.lower() for status in STATUSES)
#: These of one feature after the other, in the order of ``features``.
OF_FEATURES = "statuses"
#: Of each bound its column, as in ``within_500us``; the last has what took longer.
WITHIN_COLUMNS = (*(f"within_{round(bound * 1_000_000)}us" for bound in BOUNDS), "beyond")
#: One value that was answered, as JSON.
SAMPLE = pa.struct(
    [("at", _INSTANT), ("feature", pa.string()), ("status", pa.string()), ("value", pa.string())]
)
SCHEMA = pa.schema(
    [
        ("project", pa.string()),
        ("day", pa.date32()),
        ("at", _INSTANT),
        ("until", _INSTANT),
        ("door", pa.string()),
        ("reader", pa.string()),
        ("service", pa.string()),
        ("feature_view", pa.string()),
        ("version", pa.string()),
        ("through", pa.string()),
        ("features", pa.list_(pa.string())),
        ("first", pa.int8()),
        ("reads", pa.int64()),
        ("rows", pa.int64()),
        *((name, pa.int64()) for name in STATUS_COLUMNS),
        (OF_FEATURES, pa.list_(pa.int64())),
        ("seconds", pa.float64()),
        ("slowest", pa.float64()),
        *((name, pa.int64()) for name in WITHIN_COLUMNS),
        ("samples", pa.list_(SAMPLE)),
        ("unkept", pa.int64()),
    ]
)


def rows_of(records: Iterable[UsageRecord]) -> pa.Table:
    return pa.Table.from_pylist([_row(record) for record in records], SCHEMA)


def _row(record: UsageRecord) -> dict[str, Any]:
    view, _, number = record.version.partition("@")
    # As they came, values of one row would stand together; sorted, the first would be the least.
    shuffled = random.sample(record.samples, len(record.samples))
    return {
        "project": record.project,
        "day": record.at.date(),
        "at": record.at,
        "until": record.until,
        "door": str(record.door),
        "reader": record.reader,
        "service": record.service,
        "feature_view": view,
        "version": number,
        "through": record.through,
        "features": list(record.features),
        "first": int(record.first),
        "reads": record.reads,
        "rows": record.rows,
        "seconds": record.seconds,
        "slowest": record.slowest,
        "samples": [asdict(each) for each in shuffled],
        "unkept": record.unkept,
        **{
            name: sum(record.statuses[place :: len(STATUSES)])
            for place, name in enumerate(STATUS_COLUMNS)
        },
        OF_FEATURES: record.statuses,
        **dict(zip(WITHIN_COLUMNS, record.within, strict=True)),
    }
