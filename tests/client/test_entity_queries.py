"""Training sets whose frame is a query, through the client and the command."""

from __future__ import annotations

import pytest

from assay import EntityQuery, Invalid
from assay.cli.app import main

SQL = "SELECT user_id, at AS event_timestamp\nFROM orders\nWHERE paid"
QUERY = {"source": "orders", "sql": SQL}
ANSWER = {"metadata": {"feature_names": ["user_id"]}, "results": [{"values": [1]}]}
JOB = {"id": 7, "status": "queued", "progress": "waits for a worker", "warnings": [], "explain": []}


def test_a_query_stands_in_the_place_of_a_frame(peer, store):
    peer.answers_with("POST get-historical-features", ANSWER)
    peer.answers_with("POST historical-jobs", JOB, 202)
    peer.answers_with("POST datasets", {"name": "churn", "version": 1, "status": "queued"}, 202)

    answer = store.get_historical_features(SQL, ["v:trips"])
    store.get_historical_features(EntityQuery("orders", SQL), ["v:trips"], as_job=True)
    store.request_dataset("churn", SQL, ["v:trips"])

    assert answer.to_dict() == {"user_id": [1]}
    assert [each.json()["entity_query"] for each in peer.requests] == [QUERY] * 3
    assert all("entities" not in each.json() for each in peer.requests)


def test_the_source_is_the_one_it_names():
    assert EntityQuery.of('select 1 from "my_orders" as o').source == "my_orders"
    with pytest.raises(Invalid, match="names no data source"):
        EntityQuery.of("orders.parquet")


def test_the_command_takes_one(peer, monkeypatch, tmp_path, capsys):
    for name, value in {"URL": peer.url, "TOKEN": "t", "PROJECT": "rides"}.items():
        monkeypatch.setenv(f"ASSAY_{name}", value)
    peer.answers_with("POST get-historical-features", b"a\n1\n", Content_Type="text/csv")
    out = tmp_path / "out.csv"
    asked = ["get-historical-features", "-f", "v:trips", "-o", str(out)]

    assert main([*asked, "--query", SQL]) == 0
    assert peer.requests[0].json()["entity_query"] == QUERY
    assert out.read_text() == "a\n1\n"
    assert main([*asked, "--query", SQL, "--at", "2026-01-01"]) == 1
    assert "--query" in capsys.readouterr().err
