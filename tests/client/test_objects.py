"""Definitions as objects of Python: the same documents as in YAML, key for key, both ways."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import typing
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest

import assay
from assay import objects, parts
from assay.definitions import body_of
from registry.choices import Sensitivity
from registry.reading.parsing import parse_objects
from registry.reading.writing import document_of
from registry.spec import aggregations, joins, model, on_demand, python_code
from registry.spec.sources.base import TimeColumn
from registry.spec.sources.kinds import SOURCE_KINDS

#: Our class → the server's, whose keys it has to have.
TWINS = {
    objects.Entity: [model.EntitySpec],
    objects.DataSource: list(SOURCE_KINDS.values()),
    objects.FeatureView: [model.FeatureViewSpec],
    objects.OnDemandFeatureView: [on_demand.OnDemandViewSpec],
    objects.FeatureService: [model.FeatureServiceSpec],
    parts.Feature: [model.FeatureSpec, on_demand.OnDemandFeature],
    parts.Inputs: [on_demand.OnDemandInputs],
    parts.Write: [on_demand.OnDemandWrite],
    parts.JoinKey: [model.JoinKey],
    parts.TimeColumn: [TimeColumn],
    parts.Schedule: [model.ScheduleSpec],
    parts.Python: [python_code.PythonCall],
    parts.SourceJoin: [joins.SourceJoin],
    parts.Aggregation: [aggregations.AggregationSpec],
}
VIEW = assay.FeatureView(
    "customer_spend",
    entities=["customer"],
    source="purchases",
    aggregations=[
        assay.Aggregation(
            "amount",
            functions=["sum", {"function": "last_k", "k": 10}],
            windows=[timedelta(days=3), "30d"],
        )
    ],
    features=[
        assay.Feature(
            "amount_sum_30d",
            "float64",
            description="Spend in 30 days",
            sensitivity="confidential",
            checks={"not_null": 0.99, "warn": {"min": 0}},
        ),
        assay.Feature("spent", "float64", column="amount_sum_3d"),
    ],
    start=date(2026, 1, 1),
    ttl=timedelta(days=30),
    schedule=assay.Schedule(every="1h"),
    online=False,
    tags={"domain": "payments"},
)
EVERYTHING = [
    assay.Entity("customer", join_keys=[assay.JoinKey("customer_id", "int64")], owner="growth"),
    assay.DataSource(
        "purchases",
        path="purchases/*.parquet",
        event_timestamp="purchased_at",
        created_timestamp=assay.TimeColumn("loaded_ms", "ms"),
        lookback=timedelta(hours=36),
    ),
    VIEW,
    assay.FeatureView(
        "profile",
        entities=["customer"],
        source="purchases",
        sql="select customer_id, purchased_at, loaded_ms, lower(mail) as mail from purchases",
        features=[
            assay.Feature("mail", "string", mask="hash"),
            assay.Feature(
                "mail_places",
                "list<float32>",
                column="mail",
                encode={"steps": ["one_hot"], "fit": {"from": "2026-01-01", "to": "2026-07-01"}},
            ),
        ],
        checks={"rows": {"min": 1}},
    ),
    assay.FeatureView(
        "tone",
        entities=["customer"],
        source="purchases",
        python=assay.Python("notes.tone:by_words", columns=["note"]),
        features=[assay.Feature("tone", "float64")],
    ),
    assay.OnDemandFeatureView(
        "risk",
        inputs=assay.Inputs(features=["customer_spend:spent"], request={"basket": "float64"}),
        features=[assay.Feature("share", "float64", sql="basket / nullif(spent, 0)")],
    ),
    assay.OnDemandFeatureView(
        "paid",
        inputs=assay.Inputs(request={"amount": "float64"}),
        features=[assay.Feature("with_tax", "float64", sql="amount * 1.2")],
        write=assay.Write("payments", ["customer"], timedelta(days=3)),
    ),
    assay.FeatureService("churn", features=["customer_spend:*"]),
]


@pytest.mark.parametrize("ours", TWINS, ids=lambda each: each.__name__)
def test_an_object_has_every_key_that_a_definition_can_have(ours):
    wanted = {field.name for twin in TWINS[ours] for field in msgspec.structs.fields(twin)}
    wanted |= {"type"} if ours is objects.DataSource else set()
    # How versions keep an on-demand view, which has a class of its own here as in YAML.
    wanted -= {"inputs"} if ours is objects.FeatureView else set()

    assert {field.name for field in dataclasses.fields(ours)} == wanted


def test_sensitivities_are_those_of_the_server():
    assert set(typing.get_args(parts.Sensitivity)) == set(Sensitivity)


def test_the_server_reads_of_objects_what_they_say():
    parsed = parse_objects([each.to_dict() for each in EVERYTHING])
    read = {each.kind: each.spec for each in reversed(parsed)}

    view = read["FeatureView"]
    assert view.ttl == "30d"
    assert view.start == datetime(2026, 1, 1, tzinfo=UTC)
    assert list(view.aggregate_outputs())[:2] == ["amount_sum_3d", "amount_sum_30d"]
    assert (view.online, view.schedule.every) == (False, "1h")
    assert read["DataSource"].lookback == "36h"
    assert read["DataSource"].created_timestamp == TimeColumn(column="loaded_ms", unit="ms")
    assert read["OnDemandFeatureView"].write is None
    assert read["OnDemandFeatureView"].features[0].sql == "basket / nullif(spent, 0)"


def test_what_the_server_writes_is_read_back_as_objects_that_say_it():
    for definition in parse_objects([each.to_dict() for each in EVERYTHING]):
        document = json.loads(json.dumps(document_of(definition.kind, definition.spec)))

        said = assay.definition_of(document)

        (again,) = parse_objects([said.to_dict()])
        assert again.spec == definition.spec
        assert assay.definition_of(said.to_dict()) == said


def test_defaults_are_the_servers():
    """What is not said is not sent, so that a default of the server is one in one place."""
    view = assay.FeatureView(
        "v", entities=["e"], source="s", features=[assay.Feature("f", "int64")]
    )

    assert view.to_dict() == {
        "kind": "FeatureView",
        "name": "v",
        "entities": ["e"],
        "source": "s",
        "features": [{"name": "f", "type": "int64"}],
    }


def test_objects_and_dicts_go_together_into_one_body():
    body = body_of([EVERYTHING[0], {"kind": "FeatureService", "name": "s", "features": []}])

    assert [each["kind"] for each in body["definitions"]] == ["Entity", "FeatureService"]
    with pytest.raises(assay.Invalid, match="either files or objects"):
        body_of([EVERYTHING[0], "definitions.yaml"])


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"kind": "Entities"}, "'Entities' is no kind"),
        ({"name": "x"}, "None is no kind"),
        ({"kind": "Entity", "name": "e"}, "join_keys"),
        ({"kind": "Entity", "name": "e", "join_keys": [{"nam": "k"}]}, "JoinKey has no key 'nam'"),
        (
            {"kind": "Entity", "name": "e", "join_keys": ["k_id"]},
            r"'k_id' is no JoinKey; write JoinK",
        ),
        (
            {
                "kind": "FeatureView",
                "name": "v",
                "entities": ["e"],
                "source": "s",
                "features": [],
                "schedule": "1h",
            },
            "'1h' is no Schedule; .* with every, cron",
        ),
        ({"kind": "FeatureService", "name": "s", "feature": []}, "it has name, features"),
    ],
)
def test_what_is_no_document_is_refused_in_words(document, said):
    with pytest.raises(assay.Invalid, match=said):
        assay.definition_of(document)


def test_the_package_gives_each_of_its_names_and_no_others():
    assert {name for name in assay.__all__ if hasattr(assay, name)} == set(assay.__all__)
    assert set(assay.__all__) < set(dir(assay))
    code = "import assay; assert assay.errors.NotFound is assay.NotFound; assay.aio"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert not hasattr(assay, "Calls")
