"""Encodings from a definition to readers: fitted once at submit, the same for ever after."""

from __future__ import annotations

import json

import msgspec
import pyarrow as pa
import pytest
from django.db import DatabaseError, connection, transaction
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from materialization.compute.duckdb_engine import DuckDBEngine
from materialization.edges.looks import look_at_sources
from registry.choices import EvidencePart, State
from registry.evidence import NotFitted, shown_parts, sight_of
from registry.fittings import fitted_of, kept_bytes
from registry.models import FeatureViewVersion, Fitting
from registry.operations.lifecycle import reviews, submissions
from registry.operations.lifecycle.glass import break_glass
from registry.operations.registration.apply import apply_definitions
from registry.reading.parsing import InvalidDefinitions, parse_files
from registry.spec.encodes import EncodeSpec
from registry.spec.lineage import origins_of
from registry.spec.python_code import PythonCall
from registry.trail import verifying
from registry.triggers import REMOVAL
from tests import factories
from tests.contracts.test_encodings import by_hash
from tests.distributions import install
from tests.materialization.engine_cases import compute_here, make_spec
from tests.materialization.run_world import (
    AT,
    DRIVERS,
    HOUR,
    ROWS,
    SCHEMA,
    committed,
    materialize,
    offline,
    online,
    write_rows,
)
from tests.materialization.runner.test_assaying import assayed
from tests.materialization.test_grants import TEXTS
from tests.materialization.transforms.python.test_functions import python_limits

pytestmark = pytest.mark.django_db

DAY = f"{AT:%Y-%m-%d}"
FIT = f"fit: {{from: 2020-01-01, to: {AT.isoformat()}}}"
TRIPS = "{name: avg_daily_trips, type: int32, sensitivity: internal}"
SCALED = (
    "{name: trips, column: avg_daily_trips, type: float64, sensitivity: internal,"
    f" encode: {{steps: [standard], {FIT}}}}}"
)
TRIPS_CLOSED = "type: int32, sensitivity: restricted"
VIEW = factories.DEFINITIONS.replace(TRIPS, SCALED)


def submit(cast, text=VIEW, **options):
    with committed():
        return factories.make_version(cast, state=State.IN_REVIEW, text=text, **options)


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


def test_no_emergency_is_a_reason_to_approve_what_is_not_fitted(cast, source):
    version = submit(cast)

    with pytest.raises(NotFitted, match="encodings of trips are fitted by a worker"):
        break_glass(
            version=version, actor=cast.owner, at=AT, packet_hash=factories.seen(version),
            comment="It cannot wait.",
        )  # fmt: skip


def test_an_encoded_feature_is_found_by_its_steps(client, cast, source):
    approve(cast, submit(cast))

    headers = {"Authorization": f"Bearer {factories.token_for(cast.consumer)}"}
    url = "/api/v1/projects/rides/features?q=standard"
    answer = client.get(url, headers=headers).json()

    assert [each["name"] for each in answer["results"]] == ["trips"]
    assert answer["results"][0]["encoding"].startswith("standard, fitted on 2020-01-01 to")


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


def test_what_is_fitted_already_counts_among_what_a_view_may_have(cast, source, monkeypatch):
    """By versions of one feature more each, a view grew past it."""
    scaled_rate = (
        "{name: rate, column: conv_rate, type: float64, sensitivity: internal,"
        f" encode: {{steps: [standard], {FIT}}}}}"
    )
    first = approve(cast, submit(cast))
    second = submit(cast, VIEW.replace(SCALED, f"{SCALED}\n  - {scaled_rate}"))
    jobs, fit = [], DuckDBEngine.fit

    def noted(self, job, **how):
        jobs.append(job)
        return fit(self, msgspec.structs.replace(job, kept_bytes=8_000_000), **how)

    monkeypatch.setattr(DuckDBEngine, "fit", noted)
    assayed(second)

    assert [job.features for job in jobs] == [("rate",)]
    assert jobs[0].kept_bytes == len(msgspec.json.encode(fitted_of(first.spec)["trips"]))
    assert "at most 8,000,000 of one view may be" in fit_part(second)["why"]


def test_what_is_fitted_counts_by_its_bytes_in_any_script(cast):
    parameters = '[{"categories":["Привет","東京"]}]'
    version = factories.make_version(cast, state=State.DRAFT)
    for text in (parameters, "", "[]"):
        Fitting.objects.create(version=version, content="one", parameters=text, made_at=AT)

    assert kept_bytes(cast.project) == len(parameters.encode()) + 2


def test_what_a_project_has_fitted_has_a_bound(cast, source, settings):
    first = submit(cast)
    assayed(first)
    size = kept_bytes(cast.project)
    settings.FITTINGS_MAX_MB = (size - 1) / 1_000_000

    version = submit(cast, VIEW.replace("driver_hourly", "driver_daily"))
    assayed(version)

    assert f"fitted to takes {size:,} bytes, and at most" in fit_part(version)["why"]
    with pytest.raises(NotFitted, match="raise FITTINGS_MAX_MB"):
        factories.approve(version, cast.steward)


def withdraw(cast, version):
    submissions.withdraw_version(version=version, actor=cast.author, at=AT)


def reject(cast, version):
    reviews.reject_version(
        version=version, actor=cast.steward, at=AT, comment="Not so.",
        packet_hash=factories.seen(version),
    )  # fmt: skip


@pytest.mark.parametrize("give_back", [withdraw, reject])
def test_who_submits_and_takes_back_fills_nobodys_room(cast, source, give_back):
    version = submit(cast)
    for round_ in range(3):
        assayed(version)
        assert kept_bytes(cast.project) > 0
        give_back(cast, version)
        assert (kept_bytes(cast.project), Fitting.objects.count()) == (0, 0)
        submissions.submit_version(
            version=version, actor=cast.author, at=AT + (round_ + 1) * HOUR, look=look_at_sources
        )

    assayed(version)
    assert fit_part(version)["state"] == "computed"


def test_what_another_version_took_over_stays_when_its_first_goes_back(cast, source):
    first = submit(cast)
    assayed(first)
    more = VIEW.replace(SCALED, f"{SCALED}\n  - {{name: rate, column: conv_rate, type: float64}}")
    second = submit(cast, more)
    assert second.spec.fittings == first.spec.fittings

    withdraw(cast, first)

    assert set(fitted_of(second.spec)) == {"trips"}
    with pytest.raises(DatabaseError, match="was fitted to stays"), transaction.atomic():
        Fitting.objects.all()._raw_delete("default")


def test_what_one_person_has_in_review_leaves_room_for_others(cast, source, settings):
    first = submit(cast)
    assayed(first)
    settings.FITTINGS_MAX_MB = (kept_bytes(cast.project) * 4 - 1) / 1_000_000
    other = VIEW.replace("driver_hourly", "driver_daily")
    second = submit(cast, other)

    assayed(second)

    assert "submissions of author that are in review" in fit_part(second)["why"]
    with committed():
        factories.approve(first, cast.steward)
    withdraw(cast, second)
    submissions.submit_version(
        version=second, actor=cast.author, at=AT + HOUR, look=look_at_sources
    )
    assayed(second)
    assert fit_part(second)["state"] == "computed"


def test_what_goes_back_while_it_is_fitted_is_fitted_for_nobody(cast, source, monkeypatch):
    version, fit = submit(cast), DuckDBEngine.fit

    def then_withdrawn(self, job, **how):
        made = fit(self, job, **how)
        withdraw(cast, FeatureViewVersion.objects.get(pk=version.pk))
        return made

    monkeypatch.setattr(DuckDBEngine, "fit", then_withdrawn)
    evidence = assayed(version)

    assert "it came back from review while" in evidence.parts[EvidencePart.FIT]["why"]
    assert Fitting.objects.count() == 0


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
    submissions.withdraw_version(version=version, actor=cast.author, at=AT)
    write_rows(source, [(*row[:4], row[4] * 2) for row in ROWS])

    submissions.submit_version(
        version=version, actor=cast.author, at=AT + HOUR, look=look_at_sources
    )
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


HALVES = (
    "sql: SELECT driver_id, event_timestamp, created, conv_rate, acc_rate,"
    " avg_daily_trips / 2 AS halves FROM driver_stats"
)
OF_OTHERS = {
    "sql": (HALVES, 5, VIEW.replace("column: avg_daily_trips", "column: halves")),
    "where": ("where: conv_rate / 2 > 0.1", 3, VIEW),
    "itself": ("", 5, VIEW),
}


@pytest.mark.parametrize("what", OF_OTHERS)
def test_columns_of_other_types_are_fitted_anew(cast, source, what):
    """What is made of a number hangs on what kind of number it is."""
    read, column, text = OF_OTHERS[what]
    text = text.replace("source: driver_stats\n", f"source: driver_stats\n{read}\n")
    first = approve(cast, submit(cast, text, look=look_at_sources))
    other = pa.field(SCHEMA.names[column], pa.float64())
    write_rows(source, ROWS, SCHEMA.set(column, other))

    second = submit(cast, text.replace("Conversion rate", "The rate"), look=look_at_sources)

    assert second.number == "2.0.0"
    assert second.spec.fittings != first.spec.fittings


def test_a_type_of_what_another_feature_reads_fits_nothing_anew(cast, source):
    first = approve(cast, submit(cast, look=look_at_sources))
    write_rows(source, ROWS, SCHEMA.set(3, pa.field("conv_rate", pa.float64())))

    second = submit(cast, VIEW.replace("Conversion rate", "The rate"), look=look_at_sources)

    assert second.number == "2.0.0"
    assert second.spec.fittings == first.spec.fittings


def test_a_range_that_is_not_over_is_refused(cast, source):
    ahead = VIEW.replace(f"to: {AT.isoformat()}", f"to: {(AT + HOUR).isoformat()}")
    with pytest.raises(InvalidDefinitions, match="trips: its range ends at .* yet to come"):
        factories.apply(ahead, cast, look=look_at_sources)

    apply_definitions(
        definitions=parse_files([("a.yaml", ahead)]), project=cast.project, actor=cast.author,
        at=AT + 2 * HOUR, look=look_at_sources,
    )  # fmt: skip
    draft = FeatureViewVersion.objects.get()
    with pytest.raises(submissions.FitAhead, match="Let it end by now"):
        submissions.submit_version(version=draft, actor=cast.author, at=AT, look=look_at_sources)


RESTRICTED = factories.DEFINITIONS.replace("type: int32, sensitivity: internal", TRIPS_CLOSED)


@pytest.mark.parametrize("steps", ["standard", "one_hot", "{step: target, label: avg_daily_trips}"])
def test_parameters_of_a_column_that_takes_a_grant_take_one(cast, source, steps):
    """Whatever its author says of the encoded form."""
    first = submit(cast, RESTRICTED)
    for steward in (cast.steward, cast.second_steward):
        first.refresh_from_db()
        factories.approve(first, steward)
    kind = "list<float32>" if steps == "one_hot" else "float64"
    column = "conv_rate" if "target" in steps else "avg_daily_trips"
    text = f"""
kind: FeatureView
name: encoded
entities: [driver]
source: driver_stats
features:
  - {{name: trips, column: {column}, type: {kind}, encode: {{steps: [{steps}], {FIT}}}}}
"""
    version = submit(cast, text)
    evidence = assayed(version)

    assert any("avg_daily_trips was approved as restricted" in r for r in version.packet["reasons"])
    assert version.packet["approvals_required"] == 2
    seen = shown_parts(evidence, sight_of(cast.consumer, version, at=AT))[EvidencePart.FIT]
    assert seen["withheld"] == ["trips"]
    assert not seen["values"]


def test_no_reason_answers_a_question_about_rows(cast, source):
    """Whether anything could be fitted says whether there are rows that the SQL chooses."""
    first = submit(cast, RESTRICTED)
    for steward in (cast.steward, cast.second_steward):
        first.refresh_from_db()
        factories.approve(first, steward)
    columns = "driver_id, event_timestamp, created, conv_rate, acc_rate, avg_daily_trips"
    sql = f"sql: SELECT {columns} FROM driver_stats WHERE avg_daily_trips = "
    told = []
    for trips in (11, 12):
        asking = VIEW.replace("driver_hourly", "asking").replace(
            "source: driver_stats", f"source: driver_stats\n{sql}{trips}"
        )
        evidence = assayed(submit(cast, asking))
        sight = sight_of(cast.author, evidence.version, at=AT)
        told.append(shown_parts(evidence, sight))
        submissions.withdraw_version(version=evidence.version, actor=cast.author, at=AT)

    assert told[0] == told[1]


def test_parameters_that_were_swapped_are_found(cast, source):
    version = approve(cast, submit(cast))
    assert not [each for each in verifying.findings() if "fitted" in str(each)]
    with connection.cursor() as cursor:
        for statement in REMOVAL[connection.vendor]:
            cursor.execute(statement)
    Fitting.objects.update(parameters='[{"mean": 0.0, "scale": 1.0}]')

    said = [str(each) for each in verifying.findings()]

    assert any("what trips is fitted to is not what evidence" in each for each in said), version


LINES = [
    '{"k": 1, "event": "2024-01-01", "n": 1, "s": "a"}',
    '{"k": 2, "event": "2024-01-02", "n": 2.5, "s": "1"}',
    '{"k": 3, "event": "2024-01-03", "n": null, "s": null}',
    '{"k": 4, "event": "2024-01-04", "n": 10, "s": "b"}',
]


def test_json_lines_and_text_files_are_read_as_what_steps_take(tmp_path):
    (tmp_path / "rows.jsonl").write_text("\n".join(LINES))
    rows = [json.loads(line) for line in LINES]
    (tmp_path / "rows.csv").write_text(
        "k,event,n,s\n"
        + "".join(f"{r['k']},{r['event']},{r['n'] or ''},{r['s'] or ''}\n" for r in rows)
    )
    for path in ("rows.jsonl", "rows.csv"):
        assert encoded_rows(path, tmp_path) == [
            (0.0, [0, 1, 0], 1.0), (1.5, [1, 0, 0], 2.5), (None, None, None), (9.0, [0, 0, 1], 10.0)
        ]  # fmt: skip


def encoded_rows(path, folder):
    fit = {"from": "2024-01-01", "to": "2024-02-01"}
    spec = make_spec(
        path, features=[("n1", "float64", "n"), ("s1", "list<float32>", "s"), ("n", "float64")]
    )
    encodes = [
        msgspec.convert({"steps": ["min_max", {"step": "clip", "min": 0}], "fit": fit}, EncodeSpec),
        msgspec.convert({"steps": ["one_hot"], "fit": fit}, EncodeSpec),
        None,
    ]
    fitted = {"n1": ({"min": 1.0, "max": 2.0, "width": 1.0}, {}), "s1": (PLACES,)}
    features = tuple(
        msgspec.structs.replace(each, encode=encode)
        for each, encode in zip(spec.features, encodes, strict=True)
    )
    view = msgspec.structs.replace(spec.view, features=features)
    table, _ = compute_here(msgspec.structs.replace(spec, view=view, fitted=fitted), folder)
    columns = table.sort_by("k").select(["n1", "s1", "n"]).to_pydict().values()
    return list(zip(*columns, strict=True))


PLACES = {"categories": ["1", "a", "b"]}


WORDS = """
import pyarrow as pa, pyarrow.compute as pc

def words(batch):
    text = batch["text"]
    return pa.table({"length": pc.utf8_length(text), "upper": pc.utf8_upper(text)})
"""


def test_what_a_function_makes_is_encoded(tmp_path):
    (tmp_path / "rows.csv").write_text("k,event,text\n1,2024-01-01,abc\n2,2024-01-02,\n")
    features = [("size", "int64", "length"), ("places", "vector<4>", "upper")]
    spec = make_spec("rows.csv", features=features, python=PythonCall(function="texts:words"))
    steps = [[{"step": "bucketize", "edges": [2, 9]}], [{"step": "hashed", "width": 4}]]
    made = tuple(
        msgspec.structs.replace(feature, encode=msgspec.convert({"steps": each}, EncodeSpec))
        for feature, each in zip(spec.features, steps, strict=True)
    )
    spec = msgspec.structs.replace(spec, view=msgspec.structs.replace(spec.view, features=made))
    limits = python_limits(install(tmp_path / "p", texts=WORDS))

    table, _ = compute_here(spec, tmp_path, limits=limits)

    assert table.sort_by("k").select(["size", "places"]).to_pylist() == [
        {"size": 1, "places": by_hash("ABC", 4)}, {"size": None, "places": None}
    ]  # fmt: skip
