"""Accuracy in a definition: what it is for, what it decides, and that it comes back as written."""

from __future__ import annotations

import msgspec
import pytest

from registry.choices import ChangeClass
from registry.reading.parsing import parse_objects
from registry.spec.change import classify
from registry.spec.fingerprints import canonical_json, data_fingerprint, metadata_fingerprint
from registry.spec.version_spec import load_version_spec
from tests.materialization.aggregation_cases import make_view
from tests.materialization.temporal_cases import temporal
from tests.registry.reading.test_rules import SUM, VIEW, problems

SUMMING = VIEW | {
    "aggregations": SUM, "schedule": {"every": "1h"}, "accuracy": "temporal",
    "features": [{"name": "a_sum_3d", "type": "int64"}],
}  # fmt: skip


def test_it_is_one_of_three_words_and_of_aggregations():
    assert problems(SUMMING) == []
    assert problems(SUMMING | {"accuracy": "temporall"}) == [
        (
            "accuracy",
            "'temporall' is not one of the words. Did you mean 'temporal'?"
            " Valid: snapshot, temporal, exact.",
        )
    ]
    ((key, message),) = problems(VIEW | {"accuracy": "temporal"})
    assert key == "accuracy"
    assert "the view has none" in message


def test_another_accuracy_is_other_data():
    snapshot = msgspec.structs.replace(temporal(make_view()[0]), schema=None)
    snapshot = msgspec.structs.replace(
        snapshot, view=msgspec.structs.replace(snapshot.view, accuracy="snapshot")
    )
    exact = msgspec.structs.replace(temporal(make_view()[0]), schema=None)

    assert data_fingerprint(exact) != data_fingerprint(snapshot)
    assert metadata_fingerprint(exact) == metadata_fingerprint(snapshot)
    change = classify(snapshot, exact)
    assert change.classification is ChangeClass.MAJOR
    assert change.reasons == ("accuracy of the aggregations changed",)


@pytest.mark.parametrize("written", ["snapshot", "temporal", "exact"])
def test_it_comes_back_as_written(written):
    (definition,) = parse_objects([SUMMING | {"accuracy": written}])
    spec = definition.spec

    assert spec.accuracy == written
    whole = msgspec.structs.replace(temporal(make_view()[0]), view=spec)
    assert load_version_spec(canonical_json(whole)).view.accuracy == written
