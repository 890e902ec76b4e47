"""Searching vectors through the client and the command: what is sent, what comes back."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import numpy as np
import pytest

from assay.cli.app import main

HIT = {
    "entity": {"document_id": 7},
    "distance": 0.25,
    "event_timestamp": "2026-01-31T10:00:00.000000Z",
    "features": {"title": "Refunds", "day": "2026-01-31"},
    "statuses": {"title": "PRESENT", "day": "PRESENT"},
}
ANSWER = {
    "metadata": {
        "feature": "documents@1.0.0:embedding",
        "value_types": {"document_id": "int64", "title": "string", "day": "date"},
        "is_behind": True,
    },
    "hits": [HIT, HIT | {"entity": {"document_id": 8}, "distance": 0.5}],
}


@pytest.mark.parametrize("vector", [[0.5, 1.0], (0.5, 1), np.array([0.5, 1], np.float32)])
def test_what_is_asked_and_what_comes_back(peer, store, vector):
    peer.answers_with("POST search", ANSWER, Assay_Warnings='["it is overdue"]')

    answer = store.search(
        "documents:embedding",
        vector,
        k=2,
        metric="l2",
        filter={"state": ["open", None], "written": {"lt": datetime(2026, 1, 1, tzinfo=UTC)}},
        features=["documents:title", "documents:day"],
    )

    assert peer.requests[-1].json() == {
        "feature": "documents:embedding",
        "vector": [0.5, 1.0],
        "k": 2,
        "metric": "l2",
        "filter": {"state": ["open", None], "written": {"lt": "2026-01-01T00:00:00Z"}},
        "features": ["documents:title", "documents:day"],
    }
    assert answer.entities == {"document_id": [7, 8]}
    assert answer.to_rows()[0] == {
        "document_id": 7, "distance": 0.25, "title": "Refunds", "day": date(2026, 1, 31),
    }  # fmt: skip
    assert answer[0].event_timestamp == datetime(2026, 1, 31, 10, tzinfo=UTC)
    assert (len(answer), answer.warnings) == (2, ["it is overdue"])


def test_an_entity_stands_for_its_vector(peer, store):
    peer.answers_with("POST search", ANSWER | {"hits": []})

    answer = store.search("documents:embedding", entity={"document_id": 7})

    assert peer.requests[-1].json() == {
        "feature": "documents:embedding",
        "entity": {"document_id": 7},
        "k": 10,
        "metric": "cosine",
    }
    assert (answer.entities, answer.to_rows()) == ({}, [])


def test_the_command_shows_hits_and_says_that_the_index_lags(peer, monkeypatch, capsys):
    peer.answers_with("POST search", ANSWER)
    for name, value in (("URL", peer.url), ("TOKEN", "assay_x"), ("PROJECT", "rides")):
        monkeypatch.setenv(f"ASSAY_{name}", value)
    asked = ["search-vectors", "documents:embedding", "--vector", "[0.5, 1]"]

    assert (
        main([*asked, "--exact", "--filter", '{"state": "open"}', "--feature", "documents:title"])
        == 0
    )
    said = capsys.readouterr()
    assert main(["--json", "search-vectors", "documents:embedding", "-e", "document_id=7"]) == 0

    assert peer.requests[0].json()["filter"] == {"state": "open"}
    assert peer.requests[0].json()["exact"] is True
    assert peer.requests[1].json()["entity"] == {"document_id": 7}
    assert "Refunds" in said.out
    assert "may lack" in said.err
    assert json.loads(capsys.readouterr().out)["hits"][0]["distance"] == 0.25


def test_a_vector_that_is_no_json_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["search-vectors", "documents:embedding", "--vector", "0.5 1"])
    assert "not JSON" in capsys.readouterr().err
