"""``assay import``: another store's definitions as ours, and a report of what is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.authoring import autofs, feast
from assay.authoring.carried import CHANGED, FILL, LOST, Carried
from assay.authoring.feast_registry import read_registry
from assay.authoring.feast_sources import carry_source
from assay.cli import main
from assay.errors import Invalid
from registry.reading.parsing import parse_files

SHOP = Path(__file__).parent / "feast_shop"
FEATURES = """\
feature_name: user_avg_spend_7d
version: v2
data_type: float
entity_key: user_id
source_data: {service: payments-service, field: amount}
transformation_logic_ref: transforms.spend:avg7
online_ttl_seconds: 86400
tags: [payments, core]
owner: growth@example.com
---
feature_name: userEmbedding
version: "1.0.0"
data_type: embedding[128]
entity_key: user_id
source_data: {service: payments-service, field: emb}
online_ttl_seconds: 3600
owner: ml
colour: red
"""
VERSIONS = """\
- {feature_name: sentiment, version: 1, data_type: weird, entity_key: article_id,
   source_data: {service: nlp, field: sentiment}, tags: {team: nlp}, owner: a}
- {feature_name: sentiment, version: 2, data_type: "list<double>", entity_key: article_id,
   source_data: {service: nlp, field: second}, owner: b}
- {feature_name: words, version: 1, data_type: int, entity_key: article_id,
   source_data: {service: nlp}, owner: a}
- {feature_name: words, version: 1, data_type: int, entity_key: article_id,
   source_data: {service: nlp}, owner: a}
"""


def filled(text):
    """Return the specs once what stands open is filled in, by name; as the server reads them."""
    text = text.replace("column: TODO", "column: Amt_mean_1d").replace("type: TODO", "type: int64")
    text = text.replace("TODO", "x").replace("[todo]", "[e]")
    return {each.spec.name: each.spec for each in parse_files([("imported.yaml", text)])}


def said(carried, part):
    return [f"{what}: {sentence}" for what, sentence in carried.said[part]]


@pytest.fixture
def shop():
    return feast.carry(SHOP / "registry.bin")


def test_feasts_entities_sources_views_and_services_are_ours(shop):
    found = filled(shop.definitions())

    assert [(key.name, key.type) for key in found["customer"].join_keys] == [
        ("customer_id", "int64")
    ]
    assert (found["customer"].owner, found["customer"].tags) == ("growth", {"domain": "sales"})
    assert found["purchases"].event_timestamp.column == "purchased_at"
    assert found["purchases"].created_timestamp.column == "loaded_at"
    spend = found["customer_spend"]
    assert (spend.ttl, spend.online, spend.description) == ("30d", True, "What a customer spent")
    assert {each.name: (each.type, each.source_column) for each in spend.features} == {
        "amount": ("float64", "Amt"),
        "visits": ("int32", "visits"),
        "embedding": ("vector<8>", "embedding"),
        "labels": ("list<string>", "labels"),
        "seen_at": ("timestamp", "seen_at"),
        "is_vip": ("bool", "isVip"),
    }
    assert (found["pairs"].entities, found["pairs"].online) == (("customer", "merchant"), False)
    assert found["fresh"].ttl is None
    assert list(found["rolling"].aggregate_outputs()) == ["Amt_mean_1d"]
    assert found["churn"].features == (
        "customer_spend:amount",
        "customer_spend:is_vip",
        "pairs:score",
    )


def test_feasts_delta_tables_and_databases_are_sources_of_their_kinds():
    """As Feast's registry has them; its PostgreSQL source is a class of a driver's package."""
    carried = Carried("a registry")
    sources = [
        {
            "name": "lake",
            "timestamp_field": "ts",
            "file": {"uri": "lake/a", "format": {"delta": b""}},
        },
        {
            "name": "db",
            "timestamp_field": "ts",
            "class_type": "feast.infra.contrib.postgres_source.PostgreSQLSource",
            "custom": {"configuration": '{"name": "db", "query": "", "table": "sales.a"}'},
        },
        {"name": "folder", "timestamp_field": "ts", "file": {"uri": "s3://bucket/a/b/"}},
        {"name": "gone", "timestamp_field": "ts", "file": {"uri": "gs://bucket/a.parquet"}},
        {
            "name": "far",
            "timestamp_field": "ts",
            "file": {"uri": "s3a://bucket/lake/b/", "format": {"delta": b""}},
        },
    ]

    for source in sources:
        carry_source(carried, {"batch_source": source}, "view v")

    lake, database, folder, gone, far = (each.to_dict() for each in carried.objects)
    assert (lake["type"], lake["path"]) == ("delta", "lake/a")
    assert (database["type"], database["table"]) == ("postgres", "sales.a")
    assert "query" not in database
    where = ("type", "connection", "path")
    assert [folder[key] for key in where] == ["s3", "TODO", "a/b/*.parquet"]
    assert [far[key] for key in where] == ["delta", "TODO", "lake/b"]
    assert gone["path"] == "TODO/bucket/a.parquet"
    assert said(carried, FILL) == [
        "source db: needs the name of the `connection` to its database",
        "source folder: needs the name of the `connection` to the bucket bucket",
        "source gone: reads gs://bucket/a.parquet; name the root and the path below it",
        "source far: needs the name of the `connection` to the bucket bucket",
    ]


def test_two_of_theirs_are_never_one_of_ours():
    """Names that only become alike here: each keeps its own file, and that is said."""
    carried = Carried("a registry")
    for given in ("DriverStats", "driver_stats", "DriverStats"):
        source = {"name": given, "timestamp_field": "ts", "file": {"uri": f"{given}.parquet"}}
        carry_source(carried, {"batch_source": source}, "view v")

    assert {each.name: each.path for each in carried.objects} == {
        "driver_stats": "DriverStats.parquet",
        "driver_stats_2": "driver_stats.parquet",
    }
    assert any("`driver_stats_2` here" in line for line in said(carried, CHANGED))


def test_what_feast_says_and_we_do_not_is_in_the_report(shop):
    lost, fill, changed = (said(shop, part) for part in (LOST, FILL, CHANGED))

    for sentence in (
        "on-demand view basket_share: computes share by a function (pandas)",
        "service churn: reads `basket_share`, which is not carried",
        "service churn: reads `pairs` under another name or key",
        "service only_demand: reads nothing that is carried",
        "view fresh: has a push source",
        "view rolling: has a Kafka source",
        'view customer_spend: amount: has tags of its own: {"pii": "no"}',
    ):
        assert any(line.startswith(sentence) for line in lost), sentence
    assert "entity Merchant: does not say the type of its key `merchant_code`" in fill
    assert any("is of BigQuery and reads p.d.merchants" in line for line in fill)
    assert any("view clicks: has no entity" in line for line in fill)
    assert any("`connection` to the bucket bucket" in line for line in fill)
    assert any("isVip: is called `is_vip` here" in line for line in changed)
    report = shop.report()
    assert "| feature views | 4 |" in report
    assert report.index("## To fill in") < report.index("## Does not carry over")


def test_a_repositorys_python_says_what_its_registry_says(shop, monkeypatch, feast_python):
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)

    assert feast.carry(SHOP, feast_python).definitions() == shop.definitions()


def test_a_folder_without_feast_is_refused_in_words(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(Invalid, match="no feast command here"):
        feast.carry(SHOP)
    with pytest.raises(Invalid, match="does not run"):
        feast.carry(SHOP, str(tmp_path / "python"))


def test_no_registry_however_it_is_cut_or_changed_is_more_than_refused():
    whole = (SHOP / "registry.bin").read_bytes()

    for at in range(0, len(whole), 7):
        for data in (whole[:at], whole[:at] + b"\xff" + whole[at + 1 :], whole[at:]):
            try:
                read_registry(data)
            except Invalid as exc:
                assert "no registry of Feast" in exc.message


def test_features_of_one_entity_place_and_life_are_one_view(tmp_path):
    (tmp_path / "a.yaml").write_text(FEATURES)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.yml").write_text(VERSIONS)

    carried = autofs.carry(tmp_path)

    found = filled(carried.definitions())
    assert {name: spec.ttl for name, spec in found.items() if hasattr(spec, "ttl")} == {
        "user_payments_service_1d": "1d",
        "user_payments_service_1h": "1h",
        "article_nlp": None,
    }
    spend = found["user_payments_service_1d"]
    (feature,) = spend.features
    assert (feature.name, feature.type, feature.column) == (
        "user_avg_spend_7d",
        "float64",
        "amount",
    )
    assert (spend.owner, spend.tags) == ("growth@example.com", {"payments": "", "core": ""})
    assert [(each.name, each.type, each.column) for each in found["article_nlp"].features] == [
        ("sentiment_v1", "int64", "sentiment"),
        ("sentiment_v2", "list<float64>", "second"),
        ("words", "int64", None),
    ]


def test_keys_of_several_columns_and_tags_that_differ_are_not_lost(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "- {feature_name: a, data_type: int, entity_key: [user_id, shop_id],"
        " source_data: {service: s}, tags: {pii: 'yes'}}\n"
        "- {feature_name: b, data_type: int, entity_key: [user_id, shop_id],"
        " source_data: {service: s}, tags: {pii: 'no'}}\n"
        "- {feature_name: c, data_type: int, entity_key: user_shop, source_data: {service: s}}\n"
        "- {feature_name: C, data_type: int, entity_key: user_shop, source_data: {service: s}}\n"
    )

    carried = autofs.carry(tmp_path)

    found = filled(carried.definitions())
    keys = {
        name: [key.name for key in spec.join_keys]
        for name, spec in found.items()
        if hasattr(spec, "join_keys")
    }
    assert keys == {"user_shop": ["user_id", "shop_id"], "user_shop_2": ["user_shop"]}
    assert [each.name for each in found["user_shop_2_s"].features] == ["c", "c_2"]
    assert found["user_shop_s"].tags == {"pii": "yes"}
    assert "b: has the tag pii: no; the view's is yes" in said(carried, LOST)


def test_what_is_null_or_not_said_is_to_be_filled_in_and_no_word(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "feature_name: a\ndata_type: int\nentity_key: ~\nsource_data: {service: s, field: null}\n"
        "transformation_logic_ref: null\nonline_ttl_seconds:\nowner: null\n"
        "---\n{feature_name: b, data_type: int, source_data: {service: s}}\n"
        "---\n{feature_name: null, data_type: int}\n"
    )

    carried = autofs.carry(tmp_path)

    text = carried.definitions()
    assert "null" not in text
    assert "None" not in text
    assert "join_keys: [{name: TODO, type: TODO}]" in text
    assert "a, b: does not say its `entity_key`" in said(carried, FILL)
    assert said(carried, LOST) == ["a.yaml: has a document without `feature_name`"]


def test_what_autofs_says_and_we_do_not_is_in_the_report(tmp_path):
    (tmp_path / "a.yaml").write_text(FEATURES)
    (tmp_path / "b.yaml").write_text(VERSIONS)

    carried = autofs.carry(tmp_path)

    lost, fill, changed = (said(carried, part) for part in (LOST, FILL, CHANGED))
    assert any("user_avg_spend_7d: is computed by `transforms.spend:avg7`" in x for x in lost)
    assert "userEmbedding: has `colour`, which is not known" in lost
    assert any("words: is said twice, again in b.yaml" in line for line in lost)
    assert any("view article_nlp: belongs to a; some of its features to b" in x for x in lost)
    assert "sentiment: has the type 'weird', which is not known" in fill
    assert "entity user: does not say the type of its key `user_id`" in fill
    assert any("source nlp: needs the `path` of its files" in line for line in fill)
    assert "sentiment: has several versions there; 2 is `sentiment_v2`" in changed
    assert "user_avg_spend_7d: is version v2 there; here views are numbered" in changed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is no YAML"),
        ("a: 1", "has no YAML document with a feature_name"),
        ("", "has no YAML document with a feature_name"),
        ("[" * 5000, "is no YAML"),
    ],
)
def test_a_folder_that_says_no_feature_is_refused(tmp_path, text, said, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.yaml").write_text(text)

    assert main(["import", "autofs", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 1

    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_both_files_are_written_and_never_over_others(tmp_path, capsys):
    command = ["import", "feast", str(SHOP / "registry.bin"), "--out", str(tmp_path / "out")]

    assert main(command) == 0
    assert {each.name for each in (tmp_path / "out").iterdir()} == {"imported.yaml", "report.md"}
    assert "To fill in: 6" in capsys.readouterr().out

    (tmp_path / "out" / "imported.yaml").unlink()
    assert main(command) == 1
    assert "report.md is there already" in capsys.readouterr().err.replace("\n", "")
    assert not (tmp_path / "out" / "imported.yaml").exists()
