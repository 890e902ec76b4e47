"""Rows of an HTTP server, from their definition to an online answer, on a real server.

And afterwards nothing that the server keeps, wherever it keeps it, has the connection's token.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import assay
from assay import FeatureStore
from tests import servers
from tests.factories import DEFINITIONS, SOURCE
from tests.journeys.test_golden_path import NOW, define, settled, trips, until
from tests.sites import TOKEN, Asked, Said, Site

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.journey, pytest.mark.database("sqlite", "postgresql")]

STATS = """
kind: DataSource
name: driver_stats
type: http
connection: shop
path: stats
parameters: {since: "{since}"}
asks_by: created_timestamp
rows: data
paging: {by: link, next: links.next}
schema: {driver_id: int64, at: timestamp, made: timestamp, conv_rate: float32, acc_rate: float32,
         avg_daily_trips: int64}
event_timestamp: at
created_timestamp: made
"""
TEXT = DEFINITIONS.replace(SOURCE, STATS)


class Stats:
    """One row a page, of those that were made since what is asked about; only with the token."""

    def __init__(self, site: Site) -> None:
        self.rows: list[dict[str, Any]] = []
        site.put("/v1/stats", self.answer)
        site.put("/v1/", Said(status=404))

    def add(self, driver: int, at: datetime, count: int) -> None:
        rates = {"conv_rate": 0.5, "acc_rate": "0.25", "not_declared": [1]}
        times = {"at": at.isoformat(), "made": at.isoformat()}
        self.rows.append({"driver_id": driver, "avg_daily_trips": count, **times, **rates})

    def answer(self, asked: Asked) -> Said:
        if asked.headers.get("Authorization") != f"Bearer {TOKEN}":
            return Said({"error": "who?"}, 401)
        since = asked.query["since"]
        rows = [row for row in self.rows if row["made"] > since]
        place = int(asked.query.get("page", 0))
        more = f"?since={since}&page={place + 1}" if place + 1 < len(rows) else None
        return Said({"links": {"next": more}, "data": rows[place : place + 1]})


def test_from_pages_to_an_online_answer_and_nothing_kept_has_the_token(
    tmp_path: Path, site: Site, tmp_path_factory: Any
) -> None:
    stats = Stats(site)
    stats.add(1007, NOW - timedelta(hours=2), 6)
    stats.add(1008, NOW - timedelta(minutes=5), 9)
    connections = tmp_path / "connections.toml"
    connections.write_text(site.toml.replace(f'token = "{TOKEN}"', 'token_env = "SHOP_TOKEN"'))
    connections.chmod(0o600)
    root, state = tmp_path / "sources", tmp_path_factory.mktemp("state")
    root.mkdir()

    with servers.assay_server(
        state, FILE_ROOTS=str(root), CONNECTIONS_FILE=str(connections), SHOP_TOKEN=TOKEN
    ) as server:
        ana, sam = (
            FeatureStore(url=server.url, token=token, project="rides")
            for token in settled(server, root)
        )
        assert sam.test_connection("shop")["ok"]

        define(ana, sam, tmp_path / "features.yaml", TEXT, "driver_hourly")
        until(lambda: ana.get_feature_view("driver_hourly")["default_version"] == "1.0.0")

        assert (trips(ana, 1007), trips(ana, 1008)) == (6, 9)
        at = pa.array([NOW, NOW - timedelta(hours=1)], pa.timestamp("us", tz="UTC"))
        frame = pa.table({"driver_id": pa.array([1008, 1007], pa.int64()), "event_timestamp": at})
        answer = ana.get_historical_features(frame, ["driver_hourly:avg_daily_trips"]).to_arrow()
        assert answer["avg_daily_trips"].to_pylist() == [9, 6]

        stats.add(1007, NOW - timedelta(minutes=1), 7)
        sam.materialize_incremental(datetime.now(UTC))
        until(lambda: trips(ana, 1007) == 7)
        found = ana.get_definitions()
        (source,) = (each for each in found if isinstance(each, assay.DataSource))
        assert (source.type, source.paging) == ("http", {"by": "link", "next": "links.next"})
        assert [each["change"] for each in ana.plan([source])["changes"]] == ["unchanged"]

    assert {each.headers["Authorization"] for each in site.asked} == {f"Bearer {TOKEN}"}
    kept = [path for path in state.rglob("*") if path.is_file()]
    assert len(kept) > 10
    assert [path for path in kept if TOKEN.encode() in path.read_bytes()] == []
