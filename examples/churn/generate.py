"""Write the language school's data: who subscribes, who took lessons, who left after an offer.

``offers.parquet`` has the labels, which are no source of features. The same seed, number of
customers and instant give the same rows.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Sequence

DATA = Path(__file__).resolve().parent / "data"
CUSTOMERS, SEED, FIRST_ID = 2_000, 7, 1001
#: How long the school is watched, and how long after an offer somebody may leave because of it.
DAYS, PATIENCE_DAYS = 120, 30
PRICES = {"basic": 9.0, "plus": 15.0, "family": 25.0}
DISCOUNTS = (0.0, 0.0, 2.0, 5.0)
INSTANT = pa.timestamp("us", tz="UTC")
SCHEMAS = {
    "subscriptions": pa.schema(
        {
            "customer_id": pa.int64(),
            "plan": pa.string(),
            "monthly_price": pa.float64(),
            "joined_at": INSTANT,
            "changed_at": INSTANT,
            "loaded_at": INSTANT,
        }
    ),
    "lessons": pa.schema(
        {
            "customer_id": pa.int64(),
            "minutes": pa.float64(),
            "taken_at": INSTANT,
            "loaded_at": INSTANT,
        }
    ),
    "offers": pa.schema(
        {
            "customer_id": pa.int64(),
            "event_timestamp": INSTANT,
            "discount": pa.float64(),
            "has_left": pa.bool_(),
        }
    ),
}

Rows = dict[str, list[dict[str, Any]]]


class Customer(NamedTuple):
    """One customer's way: lessons a day at first and later, what they pay, and since when."""

    customer_id: int
    joined: datetime
    plan: str
    a_day: float
    later: float
    fades: datetime


def generate(data: Path, *, at: datetime, customers: int = CUSTOMERS, seed: int = SEED) -> None:
    """Write what was loaded by ``at``: three Parquet files in the folder ``data``."""
    rows: Rows = {name: [] for name in SCHEMAS}
    for number in range(customers):
        way = random.Random(f"{seed}/{number}")
        _live(rows, _customer(way, FIRST_ID + number, at), way, at)
    data.mkdir(parents=True, exist_ok=True)
    for name, schema in SCHEMAS.items():
        there = [row for row in rows[name] if row.get("loaded_at", at) <= at]
        pq.write_table(pa.Table.from_pylist(there, schema), data / f"{name}.parquet")


def _customer(way: random.Random, customer_id: int, at: datetime) -> Customer:
    joined = at - timedelta(days=way.uniform(1, DAYS))
    a_day = way.lognormvariate(-1.2, 0.7)
    return Customer(
        customer_id,
        joined,
        way.choice(list(PRICES)),
        a_day,
        a_day * way.choice((1.0, 1.0, 0.15)),
        joined + timedelta(days=way.uniform(10, 60)),
    )


def _live(rows: Rows, customer: Customer, way: random.Random, at: datetime) -> None:
    """Add what one customer does until ``at``, or until they leave."""
    until = at
    offered = at - timedelta(days=way.uniform(PATIENCE_DAYS, DAYS))
    if offered > customer.joined + timedelta(days=7):
        discount = way.choice(DISCOUNTS)
        has_left = way.random() < _chance(customer, offered, discount)
        if has_left:
            until = offered + timedelta(days=way.uniform(1, PATIENCE_DAYS))
        offer = {"event_timestamp": offered, "discount": discount, "has_left": has_left}
        rows["offers"].append({"customer_id": customer.customer_id, **offer})
    rows["subscriptions"] += _subscriptions(customer, way, until)
    rows["lessons"] += _lessons(customer, way, until)


def _chance(customer: Customer, offered: datetime, discount: float) -> float:
    """Return how likely it is that they leave: few lessons, a high price and no discount."""
    a_day = customer.a_day if offered < customer.fades else customer.later
    price = PRICES[customer.plan] - discount
    return 1 / (1 + math.exp(-(0.5 - 6.0 * a_day + 0.08 * price)))


def _subscriptions(
    customer: Customer, way: random.Random, until: datetime
) -> Iterator[dict[str, Any]]:
    plans = [(customer.joined, customer.plan)]
    changed = customer.joined + timedelta(days=way.uniform(30, 300))
    if changed < until:
        plans.append((changed, way.choice(list(PRICES))))
    for when, plan in plans:
        yield {
            "customer_id": customer.customer_id,
            "plan": plan,
            "monthly_price": PRICES[plan],
            "joined_at": customer.joined,
            "changed_at": when,
            "loaded_at": when + timedelta(minutes=5),
        }


def _lessons(customer: Customer, way: random.Random, until: datetime) -> Iterator[dict[str, Any]]:
    """Yield lessons, one in a hundred of which is loaded hours or days late."""
    taken = customer.joined
    while True:
        a_day = customer.a_day if taken < customer.fades else customer.later
        taken += timedelta(days=way.expovariate(a_day))
        if taken > until:
            return
        is_late = way.random() < 0.01
        late = timedelta(hours=way.uniform(2, 48)) if is_late else timedelta(minutes=10)
        yield {
            "customer_id": customer.customer_id,
            "minutes": float(way.choice((15, 30, 30, 45, 60))),
            "taken_at": taken,
            "loaded_at": taken + late,
        }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", type=Path, default=DATA)
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--at", type=datetime.fromisoformat, help="default: now")
    options = parser.parse_args(argv)
    at = (options.at or datetime.now(UTC)).astimezone(UTC)
    generate(options.data_dir, at=at, customers=options.customers, seed=options.seed)
    print(f"{options.data_dir}: {options.customers} customers up to {at:%Y-%m-%d %H:%M} UTC")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
