"""What features are made of: columns of sources, traced through SQL, windows and expressions."""

from __future__ import annotations

from typing import Any

import duckdb
import msgspec
import pytest

from registry.reading.parsing import parse_files
from registry.spec.lineage import Origin, origins_of, source_fields
from registry.spec.model import FeatureSpec
from registry.spec.on_demand_views import stored_view
from registry.spec.references import parse_reference
from registry.spec.sources.base import SourceColumn, SourceSchema
from registry.spec.sql_lineage import EVERY, SourceField, lineage_of_select
from registry.spec.version_spec import VersionSpec

KNOWN = ("id", "amount", "Country", "bonus", "card")


def traced(sql: str, known=KNOWN) -> dict[str, set[str | SourceField]]:
    return {name: set(made_of) for name, made_of in lineage_of_select(sql, known).given.items()}


@pytest.mark.parametrize(
    ("sql", "made_of"),
    [
        ("SELECT amount FROM s", {"amount": {"amount"}}),
        ("SELECT AMOUNT AS a FROM s", {"a": {"amount"}}),
        ("SELECT amount + coalesce(bonus, 0) AS total FROM s", {"total": {"amount", "bonus"}}),
        ("SELECT s.country AS c FROM s", {"c": {"Country"}}),
        ("SELECT t.amount FROM s AS t", {"amount": {"amount"}}),
        ("SELECT card.number AS n FROM s", {"n": {"card"}}),
        ("SELECT s.card.number AS n FROM s", {"n": {"card"}}),
        ("SELECT 1 AS one FROM s", {"one": set()}),
        (
            "SELECT CASE WHEN country = 'x' THEN amount END AS a FROM s",
            {"a": {"Country", "amount"}},
        ),
        # A name given before stands for what it was made of, unless the source has such a column.
        ("SELECT amount * 2 AS d, d + 1 AS e FROM s", {"d": {"amount"}, "e": {"amount"}}),
        (
            "SELECT amount * 2 AS bonus, bonus + 1 AS e FROM s",
            {"bonus": {"amount"}, "e": {"bonus"}},
        ),
        ("SELECT * REPLACE (bonus + 1 AS amount) FROM s", {"amount": {"bonus"}}),
        ("SELECT * RENAME (amount AS paid) FROM s", {"paid": {"amount"}}),
        ("SELECT struct_insert(card, a := amount) AS x FROM s", {"x": {"card", "amount"}}),
    ],
)
def test_select_is_traced_to_the_columns_of_its_source(sql, made_of):
    assert traced(sql) == made_of


def test_names_mean_what_the_engine_takes_them_for():
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE s AS SELECT 1 AS amount, 50 AS bonus")
        sql = "SELECT amount * 2 AS bonus, bonus + 1 AS e FROM s"
        assert connection.execute(sql).fetchall() == [(2, 51)]
        assert traced(sql)["e"] == {"bonus"}


def test_star_passes_columns_on_but_not_those_it_leaves_out():
    select = lineage_of_select("SELECT * EXCLUDE (card) RENAME (amount AS paid) FROM s", KNOWN)

    assert select.of("BONUS", KNOWN) == {"bonus"}
    assert select.of("paid", KNOWN) == {"amount"}
    assert select.of("card", KNOWN) == select.of("amount", KNOWN) == frozenset()
    assert select.of("nothing", KNOWN) == frozenset()


def test_column_beside_a_star_of_its_name_may_be_either():
    select = lineage_of_select("SELECT *, bonus AS amount FROM s", KNOWN)

    assert select.of("amount", KNOWN) == {"amount", "bonus"}


def test_condition_is_told_apart_from_values():
    select = lineage_of_select("SELECT amount AS a FROM s WHERE country = 'x' AND a > 1", KNOWN)

    assert select.of("a") == {"amount"}
    assert select.chosen_by == {"Country", "amount"}


def test_source_that_was_not_looked_at_is_traced_by_the_names_written():
    select = lineage_of_select("SELECT amount * 2 AS d, d + fee AS e, row(*) AS r FROM s")

    assert select.of("e") == {"amount", "fee"}
    assert select.of("r") == {EVERY}
    assert lineage_of_select("SELECT * FROM s").of("card") == {"card"}


DEFINITIONS = """
kind: Entity
name: customer
join_keys: [{name: customer_id, type: int64}]
---
kind: DataSource
name: purchases
type: file
path: p.parquet
event_timestamp: at
---
kind: FeatureView
name: plain
entities: [customer]
source: purchases
features: [{name: amount, type: float64}, {name: land, type: string, column: country}]
---
kind: FeatureView
name: written
entities: [customer]
source: purchases
sql: SELECT customer_id, at, amount * rate AS paid, country FROM purchases WHERE status = 'paid'
features: [{name: paid, type: float64}, {name: country, type: string}]
---
kind: FeatureView
name: spend
entities: [customer]
source: purchases
aggregations: [{column: amount, functions: [sum, count], windows: [3d]}]
schedule: {every: 1h}
features: [{name: amount_sum_3d, type: float64}, {name: n, type: int64, column: amount_count_3d}]
---
kind: OnDemandFeatureView
name: risk
inputs: {features: ["spend:amount_sum_3d", "written@1.0.0:paid"], request: {basket: float64}}
features:
  - {name: share, type: float64, sql: "basket / nullif(amount_sum_3d, 0)"}
  - {name: both, type: float64, sql: "paid + amount_sum_3d"}
"""


@pytest.fixture(scope="module")
def specs() -> dict[str, VersionSpec]:
    found: dict[str, VersionSpec] = {}
    definitions: dict[str, Any] = {
        each.spec.name: each.spec for each in parse_files([("d.yaml", DEFINITIONS)])
    }
    for name in ("plain", "written", "spend"):
        found[name] = VersionSpec(definitions[name], source=definitions["purchases"])
    found["risk"] = VersionSpec(stored_view(definitions["risk"]))
    return found


def test_features_of_each_kind_of_view_are_traced(specs):
    assert origins_of(specs["plain"]) == {
        "amount": Origin(frozenset({"amount"})),
        "land": Origin(frozenset({"country"})),
    }
    assert origins_of(specs["written"]) == {
        "paid": Origin(frozenset({"amount", "rate"}), frozenset({"status"})),
        "country": Origin(frozenset({"country"}), frozenset({"status"})),
    }
    assert origins_of(specs["spend"]) == {
        "amount_sum_3d": Origin(frozenset({"amount"})),
        "n": Origin(frozenset({"amount"})),
    }


def test_a_derived_feature_is_made_of_what_its_aggregates_are(specs):
    view, source = specs["spend"].view, specs["spend"].source
    more = msgspec.structs.replace(view.aggregations[0], column="rate", functions=("max",))
    rate = FeatureSpec(name="rate_max_3d", type="float64")
    both = FeatureSpec(name="both", type="float64", sql="rate_max_3d * n")
    view = msgspec.structs.replace(
        view, aggregations=(*view.aggregations, more), features=(both, *view.features, rate)
    )

    origins = origins_of(VersionSpec(view, source))
    assert list(origins) == ["both", "amount_sum_3d", "n", "rate_max_3d"]
    assert origins["both"] == Origin(frozenset({"rate", "amount"}))
    assert view.asks


def test_what_chooses_rows_is_told_beside_them_or_enters_the_aggregate(specs):
    paid, view = "STATUS = 'paid'", specs["spend"].view
    aggregations = (msgspec.structs.replace(view.aggregations[0], where="card.kind = 'gold'"),)
    view = msgspec.structs.replace(view, where=paid, aggregations=aggregations)
    plain = msgspec.structs.replace(specs["plain"].view, where=paid)
    schema = SourceSchema("parquet", columns=(SourceColumn("status", "VARCHAR"),))

    (spent, _) = origins_of(VersionSpec(view, specs["spend"].source, schema=schema)).values()
    assert spent == Origin(frozenset({"amount", "card"}), frozenset({"status"}))
    (amount, _) = origins_of(VersionSpec(plain, specs["plain"].source)).values()
    assert amount == Origin(frozenset({"amount"}), frozenset({"STATUS"}))
    assert {"card", "STATUS"} < VersionSpec(view, specs["spend"].source).columns_read
    assert view.asks and plain.asks and not specs["spend"].view.asks


def test_computed_feature_is_traced_through_what_it_is_computed_from(specs):
    origins = origins_of(specs["risk"])
    fields = source_fields(specs["risk"], lambda reference: specs[reference.view])

    assert origins["share"] == Origin(
        features=(parse_reference("spend:amount_sum_3d"),), request=("basket",)
    )
    assert fields["share"] == {SourceField("purchases", "amount")}
    assert fields["both"] == {
        SourceField("purchases", "amount"),
        SourceField("purchases", "rate"),
    }


def test_reference_that_cannot_be_had_any_more_gives_nothing(specs):
    fields = source_fields(specs["risk"], lambda _: None)

    assert fields == {"share": frozenset(), "both": frozenset()}


def test_schema_says_what_a_name_means(specs):
    sql = "SELECT customer_id, at, amount * 2 AS rate, rate + 1 AS paid, country FROM purchases"
    view = msgspec.structs.replace(specs["written"].view, sql=sql)
    spec = msgspec.structs.replace(specs["written"], view=view)
    columns = tuple(SourceColumn(name, "DOUBLE") for name in ("amount", "rate"))
    looked_at = msgspec.structs.replace(spec, schema=SourceSchema("parquet", columns=columns))

    assert origins_of(spec)["paid"].columns == {"amount"}
    assert origins_of(looked_at)["paid"].columns == {"rate"}
