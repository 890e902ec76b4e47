"""What on-demand features cost an online read: the part that computes them, by processor time.

Not for what it reads (``online``): rows are here as Redis gave them, so that nothing else is in it.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from typing import Any

from registry.spec.scalar.compiling import compiled
from registry.spec.value_types import parse_type
from serving.on_demand.feature import OnDemandFeature
from serving.on_demand.rows import (
    ComputedColumn,
    computable_of,
    computed,
    request_values,
    result_to_json,
    result_to_stored,
)
from serving.online.rows import TableRows
from serving.values import KeyColumn, parse_keys

NOW = 1_770_000_000_000_000
STORED = {"amount_sum_30d": "float64", "trips": "int64", "home": "string"}
REQUEST = {"basket_total": "float64", "at": "timestamp", "city": "string"}
#: Three features of each kind: name → SQL and type.
FEATURES = {
    "arithmetic": [
        ("basket_total / nullif(amount_sum_30d, 0)", "float64"),
        ("coalesce(basket_total, 0) * 2 - amount_sum_30d", "float64"),
        ("CASE WHEN trips > 10 THEN basket_total / trips ELSE 0.0 END", "float64"),
    ],
    "times and texts": [
        ("date_diff('minute', at, now)", "int64"),
        ("extract(isodow FROM now - INTERVAL 1 MONTH)", "int64"),
        ("lower(trim(city)) = lower(home) AND city NOT ILIKE 'test%'", "bool"),
    ],
    "regular expressions": [
        ("regexp_extract(city, '([a-z]+)', 1, 'i')", "string"),
        ("regexp_matches(home, '^(ber|ham)')", "bool"),
        ("regexp_replace(city, '[^a-zA-Z]+', '', 'g')", "string"),
    ],
    "a distance by angles": [
        (
            "6371 * 2 * asin(sqrt(pow(sin(radians(amount_sum_30d - basket_total) / 2), 2) +"
            " cos(radians(amount_sum_30d)) * cos(radians(basket_total)) *"
            " pow(sin(radians(basket_total - 13.4) / 2), 2)))",
            "float64",
        )
    ]
    * 3,
}


def columns(features: list[tuple[str, str]]) -> list[ComputedColumn]:
    """Return features as a plan keeps them, each over all inputs."""
    keys = tuple(KeyColumn(name, parse_type(kind), "risk") for name, kind in REQUEST.items())
    stored = tuple(
        (0, place, computable_of(parse_type(kind)))
        for place, kind in enumerate(STORED.values(), start=1)
    )
    return [
        ComputedColumn(
            OnDemandFeature(
                "risk@1.0.0",
                f"f{place}",
                kind,
                compiled(sql, inputs=STORED | REQUEST, declared=kind),
                (),
                keys,
            ),
            stored,
            tuple(range(len(REQUEST))),
            result_to_stored(parse_type(kind)),
            result_to_json(parse_type(kind)),
        )
        for place, (sql, kind) in enumerate(features)
    ]


def read_of(features: list[ComputedColumn], rows: int) -> Any:
    """Return a function that computes them from a request's JSON values and stored rows."""
    sent: list[list[Any]] = [[42.5] * rows, ["2026-01-31T12:00:00Z"] * rows, [" Berlin"] * rows]
    found = [[NOW - 1_000_000, 52.52, 12, "berlin"] for _ in range(rows)]
    kinds = {name: parse_type(kind) for name, kind in REQUEST.items()}
    table = TableRows(found, width=4, oldest_micros=None)

    def read() -> None:
        typed = zip(sent, kinds.items(), strict=True)
        given = [
            request_values(parse_keys(values, kind, name=name), kind)
            for values, (name, kind) in typed
        ]
        for each in features:
            computed(each, [table], given, rows=rows, now=NOW)

    return read


def processor_ms(read: Any, *, calls: int, rounds: int) -> list[float]:
    """Return the milliseconds of processor that a call took, of each round."""
    read()
    found = []
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(calls):
            read()
        found.append((time.process_time() - started) * 1_000 / calls)
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--calls", type=int, default=2_000)
    arguments.add_argument("--rounds", type=int, default=7)
    given = arguments.parse_args()
    gc.disable()
    print("| three features | 1 entity: ms | 100 entities: ms |\n|---|---|---|")  # noqa: T201
    for name, features in FEATURES.items():
        made = columns(features)
        one, many = (
            statistics.median(
                processor_ms(read_of(made, rows), calls=given.calls // rows, rounds=given.rounds)
            )
            for rows in (1, 100)
        )
        print(f"| {name} | {one:.4f} | {many:.3f} |")  # noqa: T201


if __name__ == "__main__":
    main()
