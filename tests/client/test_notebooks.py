"""What a notebook shows of an answer: its first rows and facts, and nobody's markup."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pyarrow as pa
import pytest

from assay import notebooks
from assay.online_arrow import ArrowResponse
from tests.client.test_frames import AT, answer_with

EVIL = "<script>alert('x')</script>&<b>"


class Seen(HTMLParser):
    """Collects tags and texts as a browser reads them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        assert not attrs
        self.tags.add(tag)

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def shown():
    def look(answer):
        found = Seen(answer._repr_html_())
        known = {"table", "thead", "tbody", "tr", "th", "td", "p", "pre", "i"}
        assert found.tags <= known
        return found.texts

    return look


def test_an_online_answer_shows_values_and_why_there_is_none(peer, store, shown):
    answer = {
        "metadata": {"feature_names": ["id", EVIL]},
        "results": [
            {"values": list(range(30)), "statuses": ["PRESENT"] * 30},
            {
                "values": [EVIL, None, *"x" * 28],
                "statuses": ["PRESENT", "NOT_FOUND", *["PRESENT"] * 28],
            },
        ],
    }
    peer.answers_with("POST get-online-features", answer)

    texts = shown(store.get_online_features("menu", {"id": list(range(30))}))

    assert texts[:6] == ["id", EVIL, "0", EVIL, "1", "NOT_FOUND"]
    assert texts[-1] == "20 more rows"


def test_an_online_answer_of_arrow_shows_the_same(shown):
    kind = {b"assay.value_type": b"int64"}
    fields = [
        pa.field("id", pa.int64(), metadata=kind),
        pa.field("f", pa.int64(), metadata={**kind, b"assay.status": b"f status"}),
        pa.field("f status", pa.string()),
    ]
    said = {b"assay": json.dumps({"feature_names": ["id", "f"]}).encode()}
    columns = {"id": [1, 2], "f": [7, None], "f status": ["PRESENT", "OUTSIDE_MAX_AGE"]}
    table = pa.table(columns, schema=pa.schema(fields, metadata=said))

    assert shown(ArrowResponse(table)) == ["id", "f", "1", "7", "2", "OUTSIDE_MAX_AGE"]


@pytest.mark.parametrize("rows", [3, 30])
def test_a_training_set_shows_its_first_rows(peer, store, shown, rows):
    table = pa.table({"id": list(range(rows)), "event_timestamp": [AT] * rows, EVIL: [EVIL] * rows})
    answer_with(peer, table)

    texts = shown(store.get_historical_features(table, ["v:f"]))

    assert texts.count(EVIL) == 1 + min(rows, notebooks.MOST_ROWS)
    assert (texts[-1] == "20 more rows") == (rows == 30)


def test_a_plan_and_a_review_are_dicts_that_show_themselves(peer, store, shown):
    change = {"kind": "FeatureView", "name": EVIL, "change": "new", "reasons": ["new", EVIL]}
    plan = {"changes": [change], "dry_run": True, "project": "rides"}
    peer.answers_with("POST definitions", plan)
    review = {
        "version": "1.2.0",
        "given": 1,
        "required": 2,
        "changes": [{"path": "sql", "lines": f"-a\n+{EVIL}"}],
        "approvals": [{"reviewer": "ana", "verdict": "approve", "comment": EVIL}],
    }
    peer.answers_with("GET feature-views/v/versions/1.2.0/review", review)
    planned, reviewed = store.plan([{"kind": "Entity"}]), store.review("v@1.2.0")

    assert (planned, reviewed) == (plan, review)
    assert json.loads(json.dumps(planned)) == plan
    assert shown(planned)[-1] == "1 of 1 objects would change in project rides."
    assert f"new; {EVIL}" in shown(planned)
    assert "1 of 2" in shown(reviewed) and f"-a\n+{EVIL}" in shown(reviewed)


def test_a_dataset_shows_its_facts_and_fetches_nothing(peer, store, shown):
    features = [{"name": EVIL, "reference": "v:f", "type": "int64"}]
    rows = {"content_hash": "0c", "sha256": "0s"}
    manifest = {"features": features, "warnings": [EVIL], "rows": rows}
    found = {"name": "churn", "version": 3, "status": "done", "rows": 5}
    peer.answers_with("GET datasets/churn/3", found)
    kept = {"manifest": manifest, "manifest_hash": "0m"}
    peer.answers_with("GET datasets/churn/3/manifest", kept)

    texts = shown(store.get_dataset("churn@3"))

    assert {"churn@3", "0m", EVIL, "v:f", "int64"} <= set(texts)
    assert len(peer.requests) == 2


def test_a_job_shows_how_far_it_is(peer, store, shown):
    job = {"id": 3, "status": "running", "progress": EVIL, "warnings": []}
    peer.answers_with("GET historical-jobs/3", job)

    assert shown(store.get_historical_job(3))[:4] == ["job", "3", "status", "running"]


def test_long_values_are_cut(shown):
    assert len(notebooks.cell("x" * 5000)) == notebooks.MOST_CHARACTERS


def test_usage_is_a_list_that_shows_what_its_rows_are_rows_of(peer, store, shown):
    rows = [{"reader": EVIL, "reads": count} for count in range(12)]
    about = {"sees": "own", "since": "A", "counted_until": "B", "kept_days": 90, "dropped": 1}
    peer.answers_with("GET usage", {"results": rows, "next": None, "count": 30, **about})

    texts = shown(store.usage(by=["reader"]))

    assert texts[:4] == ["reader", "reads", EVIL, "0"]
    assert texts[-2] == "20 more rows"
    said = "your own reads from A to B, kept for 90 days; 1 reads of the server had no room"
    assert texts[-1].startswith(said)
