"""Encodings from a definition to readers: fitted once at submit, the same for ever after."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from materialization.edges import look_at_sources
from registry.choices import EvidencePart, State
from registry.evidence import NotFitted, shown_parts, sight_of
from registry.fittings import fitted_of
from registry.models import Fitting
from registry.operations.lifecycle import reviews
from registry.reading.parsing import InvalidDefinitions
from registry.spec.lineage import origins_of
from tests import factories
from tests.materialization.run_world import (
    AT,
    DRIVERS,
    HOUR,
    ROWS,
    committed,
    materialize,
    offline,
    online,
    write_rows,
)
from tests.materialization.runner.test_assaying import assayed
from tests.materialization.test_grants import TEXTS

pytestmark = pytest.mark.django_db

DAY = f"{AT:%Y-%m-%d}"
FIT = f"fit: {{from: 2020-01-01, to: {AT.isoformat()}}}"
TRIPS = "{name: avg_daily_trips, type: int32, sensitivity: internal}"
SCALED = (
    "{name: trips, column: avg_daily_trips, type: float64, sensitivity: internal,"
    f" encode: {{steps: [standard], {FIT}}}}}"
)
VIEW = factories.DEFINITIONS.replace(TRIPS, SCALED)


def submit(cast, text=VIEW):
    with committed():
        return factories.make_version(cast, state=State.IN_REVIEW, text=text)


def approve(cast, version):
    with committed():
        assayed(version)
        factories.approve(version, cast.steward)
    version.refresh_from_db()
    return version


@pytest.fixture
def source(sources):
    write_rows(sources, ROWS)
    return sources


def fit_part(version):
    return version.evidence.get(packet_hash=version.packet_hash).parts[EvidencePart.FIT]


def test_from_a_definition_to_readers(cast, source):
    version = approve(cast, submit(cast))
    run = materialize(version)
    assert run.status == "succeeded", run.error

    scaler = StandardScaler().fit([[10], [11], [20], [30]])
    wanted = [*scaler.transform([[11], [20], [30]])[:, 0], None]
    for found in (online(version, DRIVERS, at=AT), offline(version, DRIVERS, at=AT)):
        assert found["trips"] == pytest.approx(wanted)


def test_categories_from_a_definition_to_readers(cast, sources):
    rows = [(*row[:4], word) for row, word in zip(ROWS, ["a", "b", "b", None], strict=True)]
    write_rows(sources, rows, TEXTS)
    text = VIEW.replace("type: float64", "type: list<float32>").replace("standard", "one_hot")
    version = approve(cast, submit(cast, text))
    assert materialize(version).status == "succeeded"

    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit([["a"], ["b"]])
    (b,) = encoder.transform([["b"]]).tolist()
    for found in (online(version, DRIVERS, at=AT), offline(version, DRIVERS, at=AT)):
        assert found["trips"] == [b, b, None, None]


def test_nothing_is_approved_before_it_is_fitted(cast, source):
    version = submit(cast)

    with pytest.raises(NotFitted, match="encodings of trips are fitted by a worker"):
        factories.approve(version, cast.steward)


def test_what_cannot_be_fitted_is_said_and_not_approved(cast, source):
    version = submit(cast, VIEW.replace(AT.isoformat(), "2020-02-01"))
    assayed(version)

    why = fit_part(version)["why"]
    assert "trips: the source has no row from 2020-01-01 to 2020-02-01" in why
    with pytest.raises(NotFitted, match="could not be fitted, .* no row from .* submit it again"):
        factories.approve(version, cast.steward)


def test_a_reviewer_sees_the_parameters_and_decides_on_them(cast, source):
    version = submit(cast)
    assayed(version)

    found = fit_part(version)

    assert found["facts"]["features"]["trips"]["rows"] == 4
    (parameters,) = found["values"]["trips"]
    assert parameters["mean"] == 17.75
    assert fitted_of(version.spec) == {"trips": (parameters,)}


def test_whoever_may_not_read_the_values_sees_no_parameters(cast, source):
    text = VIEW.replace("sensitivity: internal", "sensitivity: restricted")
    version = submit(cast, text)
    evidence = assayed(version)

    seen = shown_parts(evidence, sight_of(cast.consumer, version, at=AT))[EvidencePart.FIT]

    assert (seen["values"], seen["withheld"]) == ({}, ["trips"])


def test_a_word_more_fits_nothing_anew(cast, source):
    first = approve(cast, submit(cast))
    write_rows(source, [*ROWS, (1003, AT - 3 * HOUR, AT - 3 * HOUR, 0.5, 1000)])

    second = submit(cast, VIEW.replace("Conversion rate", "Rate of conversion"))

    assert second.number == "1.0.1"
    assert second.spec.fittings == first.spec.fittings
    assert second.table == first.table
    assayed(second)
    assert fit_part(second)["values"] == fit_part(first)["values"]


def test_a_feature_more_fits_nothing_anew(cast, source):
    first = approve(cast, submit(cast))

    second = submit(cast, VIEW.replace(SCALED, f"{SCALED}\n  - {TRIPS}"))

    assert (second.number, second.spec.fittings) == ("1.1.0", first.spec.fittings)


@pytest.mark.parametrize(
    "change",
    [("standard", "robust"), ("from: 2020-01-01", "from: 2020-01-02"), ("00}", "00, edition: 2}")],
)
def test_another_encoding_is_another_version(cast, source, change):
    first = approve(cast, submit(cast))

    second = submit(cast, VIEW.replace(*change))

    assert second.number == "2.0.0"
    assert second.spec.fittings != first.spec.fittings
    assert second.packet["reasons"][0].startswith("feature trips: encoding standard")


def test_what_is_submitted_again_is_fitted_again(cast, source):
    version = submit(cast)
    assayed(version)
    before = version.spec.fittings
    reviews.withdraw_version(version=version, actor=cast.author, at=AT)
    write_rows(source, [(*row[:4], row[4] * 2) for row in ROWS])

    reviews.submit_version(version=version, actor=cast.author, at=AT + HOUR, look=look_at_sources)
    assayed(version)

    assert version.spec.fittings != before
    assert fit_part(version)["values"]["trips"][0]["mean"] == 35.5


@pytest.mark.parametrize("change", [{"parameters": "[]"}, {"rows": 1}, {"content": "x"}])
def test_parameters_never_change(cast, source, change):
    assayed(submit(cast))

    with pytest.raises(DatabaseError, match="was fitted to"), transaction.atomic():
        Fitting.objects.update(**change)


def test_parameters_are_never_removed(cast, source):
    submit(cast)

    with pytest.raises(DatabaseError, match="was fitted to stays"), transaction.atomic():
        Fitting.objects.all()._raw_delete("default")


def test_the_same_as_registered_is_unchanged(cast, source):
    approve(cast, submit(cast))

    applied = factories.apply(VIEW, cast)

    assert {each.change for each in applied} == {"unchanged"}


TARGET = VIEW.replace("standard", "{step: target, label: conv_rate}")


def test_a_label_is_what_a_feature_is_made_of_too(cast, source):
    version = submit(cast, TARGET)

    assert origins_of(version.spec)["trips"].columns == {"avg_daily_trips", "conv_rate"}
    assert "conv_rate" in version.spec.columns_read


def test_a_label_that_is_not_there_is_said(cast, source):
    with pytest.raises(InvalidDefinitions, match="no column 'churn'"):
        factories.apply(
            TARGET.replace("label: conv_rate", "label: churn"), cast, look=look_at_sources
        )


def test_only_rows_of_the_view_are_fitted(cast, source):
    text = VIEW.replace("source: driver_stats", "source: driver_stats\nwhere: avg_daily_trips < 30")
    version = submit(cast, text)
    assayed(version)

    assert fit_part(version)["facts"]["features"]["trips"]["rows"] == 3


def test_rows_that_are_chosen_otherwise_are_fitted_anew(cast, source):
    first = approve(cast, submit(cast))

    second = submit(
        cast, VIEW.replace("source: driver_stats", "source: driver_stats\nwhere: conv_rate > 0.3")
    )

    assert second.spec.fittings != first.spec.fittings
    assert second.number == "2.0.0"
