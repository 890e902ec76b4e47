"""Searches against the obviously right loop, and as of now, whatever the index says."""

from __future__ import annotations

import math
import random
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from django.conf import settings
from django.db.models import F

from materialization.edges.stores import online_store
from materialization.models import VectorIndex
from materialization.runner import indexing
from materialization.standing import figures
from registry.models import FeatureTable
from serving.online.read import NotLoaded
from serving.search.indexes import NotIndexed
from tests import oracle
from tests.materialization.run_world import AT, HOUR, table_of
from tests.serving import online_world
from tests.serving.search_world import LENGTH, ask, ids, load, loaded, row, write

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def random_rows(random, count):
    """Vectors of few values, zeros and nulls among them, and scalars with nulls."""
    choose, rows = random.choice, []
    for number in range(count):
        vector = [float(choose([-1, 0, 0.5, 2, random.uniform(-3, 3)])) for _ in range(LENGTH)]
        vector = choose([vector] * 8 + [None, [0.0] * LENGTH, [math.nan, *vector[1:]]])
        rows.append(
            row(
                number,
                vector and in_32_bits(vector),
                event_timestamp=AT - choose([HOUR, 9 * DAY, 10 * DAY, 11 * DAY]),
                state=choose(["open", "closed", "", None]),
                pages=choose([None, -1, 0, 7, 500]),
                price=choose([None, 0.5, 2.5, math.inf, math.nan]),
                is_open=choose([True, False, None]),
                written=choose([None, AT - DAY, datetime(1960, 1, 1, tzinfo=UTC)]),
                day=choose([None, date(2026, 1, 31), date(1960, 2, 29)]),
                mark=choose([None, b"", b"\x00\xff"]),
            )
        )
    return rows


def in_32_bits(vector: list[float]) -> list[float]:
    return [float(np.float32(value)) for value in vector]


def there(name, test):
    """Return what holds of rows whose value is not null and passes a test."""
    return lambda row: row[name] is not None and test(row[name])


def is_any(name, *values):
    return lambda row: row[name] in values


OLD = datetime(2026, 2, 1, tzinfo=UTC)
#: What a request says → what a row has to be.
FILTERS = [
    ({}, lambda row: True),
    ({"state": "open"}, is_any("state", "open")),
    ({"state": None}, is_any("state", None)),
    ({"state": ["", None]}, is_any("state", "", None)),
    ({"pages": {"gte": 0, "lt": 500}}, there("pages", lambda value: 0 <= value < 500)),
    ({"pages": [7, -1]}, is_any("pages", 7, -1)),
    ({"price": {"gt": 0.5}}, there("price", lambda value: value > 0.5)),
    ({"price": "Infinity"}, is_any("price", math.inf)),
    ({"is_open": True}, is_any("is_open", True)),
    ({"written": {"lte": "2026-02-01T00:00:00Z"}}, there("written", lambda value: value <= OLD)),
    ({"day": {"gt": "1960-02-28"}}, there("day", lambda value: value > date(1960, 2, 28))),
    ({"mark": "AP8="}, is_any("mark", b"\x00\xff")),
    (
        {"is_open": [False, None], "state": "open"},
        lambda row: not row["is_open"] and row["state"] == "open",
    ),
]  # fmt: skip


def test_each_search_is_what_the_loop_says(cast, token, sources):
    dice = random.Random(8)
    rows = random_rows(dice, 150)
    loaded(cast, sources, rows)
    met = 0

    for _ in range(120):
        metric = dice.choice(["cosine", "l2", "dot"])
        k = dice.choice([1, 3, 10, 200])
        sent, counts = dice.choice(FILTERS)
        query = in_32_bits([dice.choice([0.0, 1.0, dice.uniform(-3, 3)]) for _ in range(LENGTH)])
        query[0] = query[0] or 1.0
        at = AT + dice.choice([timedelta(0), 8 * DAY])
        expected = oracle.nearest(
            rows, "embedding", query,
            metric=metric, k=k, at=at, ttl=10 * DAY, counts=counts,
        )  # fmt: skip

        answer = ask(token, vector=query, metric=metric, k=k, filter=sent, at=at)

        distances = [hit.distance for hit in answer.hits]
        assert distances == pytest.approx([far for far, _ in expected], abs=1e-12)
        by_id = {each["document_id"]: each for each in rows}
        for document_id, distance in zip(ids(answer), distances, strict=True):  # ties may swap
            own = [by_id[document_id]]
            again = oracle.nearest(
                own, "embedding", query, metric=metric, k=1, at=at, ttl=10 * DAY, counts=counts
            )
            assert distance == pytest.approx(again[0][0], abs=1e-12)
        assert len(set(ids(answer))) == len(answer.hits)
        assert (answer.is_complete, answer.is_behind) == (True, False)
        met += len(expected)
    assert met > 500


def test_a_search_by_cells_answers_rows_of_now_and_as_many_as_all_would(
    cast, token, sources, settings
):
    settings.SEARCH_CELLS_FROM = 200
    dice = random.Random(8)
    centres = [[dice.uniform(-9, 9) for _ in range(LENGTH)] for _ in range(30)]
    rows = [
        row(
            number,
            in_32_bits([part + dice.gauss(0, 0.2) for part in centres[number % 30]]),
            event_timestamp=AT - dice.choice([HOUR, HOUR, 9 * DAY, 11 * DAY]),
            pages=number % 7,
        )
        for number in range(900)
    ]
    version = loaded(cast, sources, rows)
    gone = {"document_id": 0, "event": AT - HOUR / 2, "embedding": None}
    online_world.write(version, [gone], at=AT, sequence=2)
    rows[0]["embedding"] = None
    found = right = by_cells = 0

    for _ in range(40):
        metric, k = dice.choice(["cosine", "l2", "dot"]), dice.choice([1, 10, 50])
        pages, at = dice.choice([None, [1, 2, 3]]), AT + dice.choice([0, 8]) * DAY
        told = {
            "vector": in_32_bits([part + dice.gauss(0, 0.2) for part in dice.choice(centres)]),
            "metric": metric, "k": k, "filter": {} if pages is None else {"pages": pages}, "at": at,
        }  # fmt: skip
        expected = oracle.nearest(
            rows, "embedding", told["vector"], metric=metric, k=k, at=at, ttl=10 * DAY,
            counts=lambda row: pages is None or row["pages"] in pages,  # noqa: B023
        )  # fmt: skip
        some, all_ = ask(token, **told), ask(token, exact=True, **told)

        distances = [far for far, _ in expected]
        assert [hit.distance for hit in all_.hits] == pytest.approx(distances, abs=1e-9)
        assert (all_.recall, len(some.hits)) == (None, len(expected))
        assert 0 not in ids(some)
        found += len({*ids(some)} & {*ids(all_)})
        right += len(expected)
        by_cells += some.recall is not None and some.recall > 0.9
    assert found / right > 0.9
    assert by_cells > 20
    cells = VectorIndex.objects.get().cells["embedding"]
    assert cells["cells"] == 60
    least = min(each["recall"] for metric in cells["reaches"].values() for each in metric)
    assert 0.9 < least < 1
    assert [each.value for each in figures(at=AT) if each.name == "assay_search_recall"] == [least]


@pytest.fixture
def documents(cast, sources):
    """1 to 5 on a line: the number is how far each is from nothing, and says its pages."""
    rows = [row(n, [float(n), 0, 0, 0], pages=n, state="open") for n in range(1, 6)]
    return loaded(cast, sources, rows)


ORIGIN = {"vector": [0, 0, 0, 0], "metric": "l2"}


def test_an_entitys_own_vector_finds_its_neighbours_and_not_itself(token, documents):
    answer = ask(token, entity={"document_id": 3}, metric="l2", k=3)

    assert sorted(ids(answer)[:2]) == [2, 4]
    assert [hit.distance for hit in answer.hits] == [1.0, 1.0, 2.0]
    assert 3 not in ids(answer)


def test_a_row_that_changed_since_is_as_far_as_it_is_now(token, documents):
    moved = {"document_id": 1, "event": AT - HOUR / 2, "embedding": [9.0, 0, 0, 0]}
    online_world.write(documents, [moved], at=AT, sequence=2)

    answer = ask(token, k=3, **ORIGIN)

    assert ids(answer) == [2, 3, 4]
    assert [hit.distance for hit in answer.hits] == [2.0, 3.0, 4.0]
    assert [hit.distance for hit in ask(token, k=5, **ORIGIN).hits] == [2.0, 3.0, 4.0, 5.0, 9.0]


def test_what_no_longer_is_what_was_asked_for_is_no_hit(token, documents):
    changed = {
        "document_id": 1, "event": AT - HOUR / 2, "embedding": [1.0, 0, 0, 0], "state": "closed",
    }  # fmt: skip
    null = {"document_id": 2, "event": AT - HOUR / 2, "embedding": None, "state": "open"}
    online_world.write(documents, [changed, null], at=AT, sequence=2)

    answer = ask(token, k=2, filter={"state": "open"}, features=["documents:state"], **ORIGIN)

    assert ids(answer) == [3, 4]
    assert list(answer.columns["state"].values) == ["open", "open"]


def test_a_later_load_is_in_the_next_search(token, documents, sources):
    ask(token, **ORIGIN)
    old = VectorIndex.objects.get()
    write(sources, [row(9, [0.5, 0, 0, 0], event_timestamp=AT)])

    load(documents, end=AT + HOUR)

    answer = ask(token, k=1, at=AT + HOUR, **ORIGIN)
    assert (ids(answer), answer.searched, answer.is_behind) == ([9], 6, False)
    new = VectorIndex.objects.get()
    assert new.file != old.file
    assert [path.name for path in files()] == [new.file.rpartition("/")[2]]


def test_an_index_that_lags_says_so(token, documents):
    FeatureTable.objects.update(stored_version=F("stored_version") + 1)

    assert ask(token, **ORIGIN).is_behind


def test_expired_rows_are_no_hits(token, documents):
    assert ask(token, at=AT + 11 * DAY, **ORIGIN).hits == []


def test_what_is_not_loaded_is_said(token, documents):
    online_store().drop(table_of(documents).uid)

    with pytest.raises(NotLoaded, match="documents@1.0.0 is not loaded"):
        ask(token, **ORIGIN)


def test_what_is_not_indexed_is_said_and_the_next_turn_makes_up_for_it(token, documents):
    VectorIndex.objects.all().delete()

    with pytest.raises(NotIndexed, match="Ask again"):
        ask(token, **ORIGIN)

    assert indexing.index_tables(clock=lambda: AT) == 1
    assert ids(ask(token, k=1, **ORIGIN)) == [1]
    assert indexing.index_tables(clock=lambda: AT) == 0


def test_an_index_that_would_be_too_large_is_refused_in_words(token, documents, settings):
    settings.SEARCH_INDEX_MAX_MB = 0
    VectorIndex.objects.all().delete()

    indexing.index_tables(clock=lambda: AT)

    with pytest.raises(NotIndexed, match="SEARCH_INDEX_MAX_MB"):
        ask(token, **ORIGIN)
    assert indexing.index_tables(clock=lambda: AT) == 0


def test_files_of_versions_that_nobody_may_read_are_removed(documents):
    type(documents).objects.update(state="retired")

    indexing.forget_indexes(at=AT)

    assert files() == []
    assert not VectorIndex.objects.exists()


def files():
    return sorted((settings.OFFLINE_STORE / "_vectors").rglob("*.*"))
