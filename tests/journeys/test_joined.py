"""A view of two sources, from its definition to both reads and back, on a real server.

What is read is held to a loop over the two files of the example.
"""

from __future__ import annotations

import csv
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from assay import FeatureStore
from tests import servers
from tests.journeys.test_golden_path import define, settled, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.journey, pytest.mark.database("sqlite", "postgresql")]
SHOP = servers.ROOT / "examples" / "shop"
NAMES = ["last_purchase:department", "last_purchase:net"]


def rows_of(name: str, time: str) -> list[dict[str, Any]]:
    with (SHOP / name).open() as file:
        return [row | {"at": datetime.fromisoformat(row[time])} for row in csv.DictReader(file)]


def last_known(customer: int, at: datetime) -> tuple[str, Any] | None:
    """Return the department and the price without tax of somebody's last purchase at a time."""
    bought = [
        row
        for row in rows_of("purchases.csv", "purchased_at")
        if int(row["customer_id"]) == customer and row["at"] <= at
    ]
    if not bought:
        return None
    last = max(bought, key=lambda row: row["at"])
    known = [
        row
        for row in rows_of("categories.csv", "since")
        if row["category"] == last["category"] and row["at"] <= last["at"]
    ]
    category = max(known, key=lambda row: row["at"])
    net = float(last["amount"]) / (1 + float(category["tax"]))
    return category["department"], pytest.approx(net, abs=0.006)


def test_from_two_sources_to_an_online_answer_a_training_set_and_an_export(
    tmp_path: Path, tmp_path_factory: Any
) -> None:
    root = tmp_path / "sources"
    shutil.copytree(SHOP, root)
    state = tmp_path_factory.mktemp("state")
    with servers.assay_server(state, FILE_ROOTS=str(root)) as server:
        ana, sam = (
            FeatureStore(url=server.url, token=token, project="rides")
            for token in settled(server, root)
        )
        text = (SHOP / "last_purchase.yaml").read_text()
        define(ana, sam, tmp_path / "features.yaml", text, "last_purchase")
        until(lambda: ana.get_feature_view("last_purchase")["default_version"] == "1.0.0")

        customers = [1, 2, 3, 4711]
        online = ana.get_online_features(
            features=NAMES, entity_rows=[{"customer_id": each} for each in customers]
        ).to_dict()
        # 30 September: tea was food until its end.
        instants = [datetime(2026, 9, 30, 23, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC)]
        asked = [(each, at) for each in customers for at in instants]
        frame = pa.table({
            "customer_id": pa.array([each for each, _ in asked], pa.int64()),
            "event_timestamp": pa.array([at for _, at in asked], pa.timestamp("us", tz="UTC")),
        })  # fmt: skip
        answer = ana.get_historical_features(frame, NAMES).to_arrow().to_pylist()
        view = ana.get_feature_view("last_purchase")
        exported = ana.get_definitions()
        changes = ana.plan(exported)["changes"]

    assert list(zip(online["department"], online["net"], strict=True)) == [
        last_known(each, datetime.now(UTC)) or (None, None) for each in customers
    ]
    assert [(row["department"], row["net"]) for row in answer] == [
        last_known(*each) or (None, None) for each in asked
    ]
    assert (view["source"], view["sources"]) == ("purchases", ["categories"])
    assert {each["change"] for each in changes} == {"unchanged"}
