"""Ten thousand features in the catalogue: few questions, whatever there is of them."""

from __future__ import annotations

import msgspec
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry.catalogue import entries
from registry.catalogue.search import find_features
from registry.choices import State
from registry.lineage import graph_of
from registry.lineage_graph import Key, NodeKind
from registry.models import FeatureView, FeatureViewVersion
from registry.spec.fingerprints import canonical_json, data_fingerprint, metadata_fingerprint
from tests.factories import AT, make_ready, make_version

pytestmark = pytest.mark.django_db

WORDS = ("spend", "visits", "rating", "balance", "refund", "latency")


@pytest.fixture
def many(cast):
    """Five hundred views of twenty features each, as they would be registered."""
    made = make_ready(make_version(cast))
    spec, feature = made.spec, made.spec.features[0]
    views, versions = [], []
    for place in range(500):
        name = f"{WORDS[place % 6]}_{place}"
        features = tuple(
            msgspec.structs.replace(
                feature, name=f"{WORDS[each % 6]}_{each}d", column=f"c{each}", description="Told"
            )
            for each in range(20)
        )
        view = msgspec.structs.replace(
            spec.view, name=name, features=features, owner=WORDS[place % 5], freshness="1h"
        )
        said = msgspec.structs.replace(spec, view=view)
        views.append(FeatureView(project=cast.project, name=name, created_at=AT))
        versions.append(
            FeatureViewVersion(
                feature_view=views[-1], spec_json=canonical_json(said), table=made.table,
                data_fingerprint=data_fingerprint(said), created_at=AT, created_by=cast.author,
                metadata_fingerprint=metadata_fingerprint(said), state=State.DRAFT,
            )
        )  # fmt: skip
    FeatureView.objects.bulk_create(views)
    FeatureViewVersion.objects.bulk_create(versions)
    for view, version in zip(views, versions, strict=True):
        view.default_version = version
    FeatureView.objects.bulk_update(views, ["default_version"])
    return cast.project


def test_ten_thousand_features_are_searched_by_a_few_questions(many):
    with CaptureQueriesContext(connection) as cold:
        assert len(find_features({many.pk}).found) == 10_003
    with CaptureQueriesContext(connection) as warm:
        found = find_features({many.pk}, q="refnud 4d", chosen={"owner": "spend"})

    assert {each.entry.feature.name for each in found.found[:100]} == {"refund_4d"}
    assert found.guessed == {"refnud": ["refund"]}
    assert len(cold) <= len(warm) + 2  # versions are read five hundred at once
    assert len(warm) <= 6  # PostgreSQL is asked what time it is


def test_lineage_of_ten_thousand_features_is_found_by_a_few_questions(many):
    with CaptureQueriesContext(connection) as found:
        graph = graph_of(many)

    below = graph.around([Key(NodeKind.SOURCE, "driver_stats")], up=10, down=10)
    assert len(below) == 1 + 23 + 10_003
    assert len(found) <= 9  # of a process that has asked nothing before


def test_versions_that_are_gone_are_left_out(cast, monkeypatch):
    kept = entries._Kept()

    assert kept.of([(10**6, "data", "words")]) == {}
