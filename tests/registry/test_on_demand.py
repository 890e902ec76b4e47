"""Views without a source or a table: defined, reviewed, released; never stored, not read yet."""

from __future__ import annotations

import pytest

from materialization.requests.runs import NotMaterializable, request_run
from materialization.requests.sweep import sweep
from registry import queries
from registry.access import ActionNotPermitted
from registry.models import FeatureTable, FeatureView, FeatureViewVersion
from registry.operations.lifecycle import releases, reviews, submissions
from registry.reading.parsing import InvalidDefinitions
from tests.factories import AT, DEFINITIONS, ENTITY, VIEW, apply, make_ready, make_version, seen

pytestmark = pytest.mark.django_db

RISK = """
kind: OnDemandFeatureView
name: ride_risk
inputs:
  features: ["driver_hourly:conv_rate"]
  request: {fare: float64}
features:
  - {name: expected_fare, type: float64, sql: "fare * coalesce(conv_rate, 0)", description: "USD"}
"""


def refused(text, cast):
    with pytest.raises(InvalidDefinitions) as caught:
        apply(f"{DEFINITIONS}\n---\n{text}", cast)
    return [(problem.key, problem.message) for problem in caught.value.problems]


@pytest.fixture
def approved(cast) -> FeatureViewVersion:
    """The on-demand view's first version, approved."""
    make_version(cast)
    (applied,) = apply(RISK, cast, submit=True)
    assert applied.draft is not None
    return reviews.approve_version(
        version=applied.draft, packet_hash=seen(applied.draft), actor=cast.steward, at=AT
    )


def test_it_is_planned_as_what_it_is(cast):
    *_, applied = apply(f"{DEFINITIONS}\n---\n{RISK}", cast)

    said = applied.kind, applied.change, applied.classification, applied.version
    assert said == ("OnDemandFeatureView", "created", "first", "1.0.0")
    *_, again = apply(f"{DEFINITIONS}\n---\n{RISK}", cast)
    assert (again.kind, again.change) == ("OnDemandFeatureView", "unchanged")


def test_approved_it_is_ready_and_default_without_a_table(cast, approved):
    view = FeatureView.objects.get(name="ride_risk")

    assert (approved.state, approved.is_ready, approved.table) == ("approved", True, None)
    assert view.default_version == approved
    assert not FeatureTable.objects.filter(feature_view=view).exists()


def test_a_further_version_is_classified_and_waits_to_be_promoted(cast, approved):
    changed = RISK.replace("coalesce(conv_rate, 0)", "coalesce(conv_rate, 0.5)")
    (applied,) = apply(changed, cast, submit=True)
    second = reviews.approve_version(
        version=applied.draft, packet_hash=seen(applied.draft), actor=cast.steward, at=AT
    )

    reasons = ["feature expected_fare: expression changed"]
    assert (second.number, applied.reasons) == ("2.0.0", reasons)
    assert second.feature_view.default_version == approved
    releases.promote_version(version=second, actor=cast.steward, at=AT)
    assert FeatureView.objects.get(name="ride_risk").default_version == second


def test_words_are_a_patch_and_retiring_is_as_ever(cast, approved):
    (applied,) = apply(RISK.replace("USD", "Expected fare, USD"), cast, submit=True)

    assert (applied.classification, applied.version) == ("patch", "1.0.1")
    with pytest.raises(releases.VersionInUse):
        releases.retire_version(version=approved, actor=cast.steward, at=AT)


def test_nothing_is_materialized_of_it(cast, approved):
    with pytest.raises(NotMaterializable, match="computed at the request"):
        request_run(version=approved, window_end=AT, at=AT, actor=cast.operator)

    sweep(at=AT)
    assert approved not in queries.served_versions()
    assert not approved.runs.exists()


@pytest.mark.parametrize(
    ("change", "key", "says"),
    [
        (("fare *", "fares *"), "features[0].sql", "Did you mean 'fare'?"),
        (("fare *", "sum(fare) *"), "features[0].sql", "looks at several rows"),
        (("conv_rate, 0)", "conv_rate, 0), 1"), "features[0].sql", "one scalar expression"),
        (("conv_rate, 0)", "conv_rate, 0) AS x, (1"), "features[0].sql", "cannot be parsed"),
        (("conv_rate, 0)", "conv_rate, 0) FROM inputs__ --"), "features[0].sql", "be parsed"),
        (("fare *", "(SELECT 1) *"), "features[0].sql", "not allowed"),
        (("fare *", "gamma(fare) *"), "features[0].sql", "cannot be computed alike"),
        (("fare *", "length(fare) *"), "features[0].sql", "is no string"),
        (("fare *", "length(repeat('a', 9)) *"), "features[0].sql", "cannot be computed alike"),
        (("type: float64, sql", "type: int64, sql"), "features[0].sql", "gives float64"),
        (("fare *", "CAST(1 AS DECIMAL(p,s)) *"), "features[0].sql", "as in DECIMAL(18,2)"),
        (("fare *", "CAST(1 AS DECIMAL(18.5)) *"), "features[0].sql", "as in DECIMAL(18,2)"),
        (("fare *", "CAST(1 AS DECIMAL(³)) *"), "features[0].sql", "as in DECIMAL(18,2)"),
        (("fare *", "CAST(1 AS DECIMAL(3,4)) *"), "features[0].sql", "as in DECIMAL(18,2)"),
        (("fare *", "round(fare, 2, true) *"), "features[0].sql", "has 3 arguments"),
        (("fare: float64", "fare: json"), "features[0].sql", "input 'fare' is json"),
        (("fare: float64", "fare: flot64"), "inputs.request.fare", "unknown type"),
        (("driver_hourly:", "driver_hourl:"), "inputs.features[0]", "Did you mean"),
        (("hourly:conv_rate", "hourly:conv_rat"), "features[0].sql", "not among the inputs"),
        (("hourly:conv_rate", "hourly:*"), "inputs.features[0]", "name each feature"),
        (("name: ride_risk", "name: driver_hourly"), "name", "a FeatureView already"),
        (("inputs:", "input:"), "input", "Did you mean 'inputs'?"),
    ],
)
def test_a_mistake_is_named_where_it_stands(cast, change, key, says):
    problems = refused(RISK.replace(*change), cast)

    # What hangs on the mistake may be named too, where it stands.
    assert says in dict(problems)[key]


def test_a_view_computed_at_the_request_is_no_input_of_another(cast, approved):
    text = RISK.replace("ride_risk", "other").replace("driver_hourly:conv", "ride_risk:conv")

    text = text.replace("ride_risk:conv_rate", "ride_risk:expected_fare")
    problems = refused(text.replace("coalesce(conv_rate", "coalesce(expected_fare"), cast)
    assert any("computed at the request itself" in message for _, message in problems)


def test_what_only_it_may_say_is_refused_of_a_feature_view(cast):
    text = DEFINITIONS + "inputs: {request: {fare: float64}}\n"

    with pytest.raises(InvalidDefinitions) as caught:
        apply(text, cast)
    assert "OnDemandFeatureView" in caught.value.problems[0].message


def test_it_is_told_to_who_decides_on_what_it_is_computed_with(cast, approved):
    less = VIEW.replace("{name: conv_rate", "{name: rate, column: conv_rate")

    second = make_version(cast, text=less)

    assert second.packet["derived"] == ["ride_risk@1.0.0: driver_hourly:conv_rate"]
    assert second.packet["breaks"] == ["ride_risk@1.0.0 (no conv_rate)"]
    make_ready(second)
    with pytest.raises(releases.ServicesBroken, match="ride_risk@1.0.0 \\(no conv_rate\\)"):
        releases.promote_version(version=second, actor=cast.steward, at=AT)


def test_a_plan_tells_what_is_computed_with_what_goes(cast, approved):
    less = VIEW.replace("{name: conv_rate", "{name: rate, column: conv_rate")

    (applied,) = apply(less, cast)

    assert applied.warnings[-1] == "as the default it breaks ride_risk@1.0.0 (no conv_rate)"


def test_it_is_listed_and_shown(api, cast, approved):
    path = "/api/v1/projects/rides/feature-views/ride_risk"

    described = api(cast.consumer).get(path).json()
    assert (described["source"], described["default_version"]) == (None, "1.0.0")
    version = api(cast.consumer).get(f"{path}/versions/1.0.0").json()
    assert version["spec"]["view"]["inputs"]["features"] == ["driver_hourly:conv_rate"]


def test_the_review_desk_shows_what_it_is_computed_from(as_, cast, approved):
    page = as_("steward").get(f"/admin/registry/featureviewversion/{approved.pk}/change/")

    assert page.status_code == 200
    text = page.content.decode()
    assert "driver_hourly:conv_rate" in text
    assert "fare * COALESCE(conv_rate, 0)" in text
    view = as_("steward").get(f"/admin/registry/featureview/{approved.feature_view_id}/change/")
    assert "computed at the request" in view.content.decode()


def test_the_look_at_files_is_not_asked_for_it(cast, approved):
    (applied,) = apply(RISK.replace("USD", "Fare, USD"), cast)

    def never(**_):
        raise AssertionError("there are no files to look at")

    version = submissions.submit_version(
        version=applied.draft, actor=cast.author, at=AT, look=never
    )
    assert version.packet["source"]["rows"] is None


def test_what_it_is_computed_with_is_not_retired_unawares(cast, approved):
    first = FeatureView.objects.get(name="driver_hourly").versions.get()
    pinned = RISK.replace("driver_hourly:", "driver_hourly@1.0.0:").replace("ride_risk", "pinned")
    (applied,) = apply(pinned, cast, submit=True)
    assert applied.draft is not None
    reviews.approve_version(
        version=applied.draft, packet_hash=seen(applied.draft), actor=cast.steward, at=AT
    )
    make_ready(first)
    releases.promote_version(
        version=make_ready(make_version(cast, text=VIEW.replace("ttl: 2d", "ttl: 3d"))),
        actor=cast.steward,
        at=AT,
    )

    with pytest.raises(releases.VersionInUse, match=r"used by on-demand view pinned@1\.0\.0\."):
        releases.retire_version(version=first, actor=cast.steward, at=AT)


def test_an_expression_that_the_engine_would_repeat_is_refused(cast):
    sql = "fare"
    for _ in range(20):
        sql = f"nullif({sql}, conv_rate)"

    problems = refused(RISK.replace("fare * coalesce(conv_rate, 0)", sql), cast)

    assert "nested in each other too deeply" in dict(problems)["features[0].sql"]


def refusing(trials):
    return [f"no {kinds}" if "*" in sql else None for sql, kinds in trials]


def test_what_the_engine_cannot_run_is_not_registered(cast, settings):
    settings.EXPRESSION_TRIAL = "tests.registry.test_on_demand.refusing"
    second = '  - {name: half, type: float64, sql: "fare / 2"}\n'

    problems = refused(RISK + second, cast)

    assert problems == [
        (
            "features[0].sql",
            "the engine that computes training sets cannot run it: no ('float64', 'float64',"
            " 'timestamp')",
        )
    ]


LABEL = RISK.replace("fare: float64", "s: string, u: string").replace(
    "type: float64", "type: string"
)


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        (" || ".join(["s"] * 33), "over 32 times as long"),
        ("concat_ws(u, " + ", ".join(["s"] * 17) + ")", "over 32 times as long"),
        ("replace(s, 'a', '" + "b" * 33 + "')", "over 32 times as long"),
        ("replace(replace(s, 'a', 'bbbbbb'), 'b', 'cccccc')", "over 32 times as long"),
        ("replace(s, 'a', u)", "write out what takes the text's place"),
        ("CASE WHEN s LIKE u THEN s END", "a pattern that is written out"),
        (f"CASE WHEN s ILIKE '{'a' * 201}' THEN s END", "of at most 200 characters"),
        ("CASE WHEN s LIKE 'a' ESCAPE 'b' THEN s END", "cannot be computed alike"),
        ("CASE WHEN regexp_matches(s, u) THEN s END", "a pattern that is written out"),
        (f"regexp_extract(s, '{'a' * 201}')", "of at most 200 characters"),
        ("regexp_extract(s, 'a{999}b{99}')", "becomes 1,1"),
        ("regexp_extract(s, '(a')", "no regular expression of RE2: missing )"),
        (r"regexp_extract(s, '\\p{Lu}')", "list the letters"),
        ("regexp_extract(s, '(a)', 2)", "'(a)' has 1"),
        ("regexp_extract(s, 'a', 0, 'm')", "c, i, s, written out"),
        ("regexp_replace(s, 'a', u)", "puts in written out"),
        (r"regexp_replace(s, 'a', '\\1')", "for what was found"),
        (r"regexp_replace(s, '(a)', '" + r"\\1" * 32 + "')", "over 32 times as long"),
        ("regexp_replace(s, '', '" + "b" * 32 + "', 'g')", "over 32 times as long"),
        ("regexp_replace(s, 'a*b|a', '', 'g')", "the square of a text"),
        ("CASE WHEN hash(s) > 0 THEN s END", "write md5(…) or sha256(…)"),
        ("CASE WHEN now < now - INTERVAL 120001 MONTH THEN s END", "longer than any time"),
        ("CASE WHEN now < now - INTERVAL 1 CENTURY THEN s END", "year, quarter, month, week"),
        ("CASE WHEN log(3, 1.0) > 0 THEN s END", "log2(a), log10(a)"),
    ],
)
def test_what_a_row_could_make_too_large_is_refused(cast, sql, says):
    text = LABEL.replace("fare * coalesce(conv_rate, 0)", sql)

    assert says in dict(refused(text, cast))["features[0].sql"]


def test_the_most_that_a_text_may_grow_is_taken(cast):
    slashes = "regexp_replace(s, '(a)', '" + r"\\\\1" * 32 + "')"  # names no group
    *_, applied = apply(
        f"{DEFINITIONS}\n---\n"
        + LABEL.replace("fare * coalesce(conv_rate, 0)", " || ".join(["s"] * 32))
        + f'  - {{name: slashes, type: string, sql: "{slashes}"}}\n',
        cast,
    )

    assert applied.change == "created"


TRIPS = """
kind: DataSource
name: trips
type: push
schema: {driver_id: int64, at: timestamp, known: timestamp, fare: float64, seats: int32}
event_timestamp: at
created_timestamp: known
"""
WRITTEN = """
kind: OnDemandFeatureView
name: seat_price
inputs: {request: {fare: float64, seats: int32}}
features:
  - {name: per_seat, type: float64, sql: "fare / nullif(seats, 0)", unit: USD}
write: {source: trips, entities: [driver], ttl: 2d}
"""
BY_HAND = """
kind: FeatureView
name: seat_price
entities: [driver]
source: trips
sql: >-
  SELECT "driver_id", "at", "known", ("fare" / CAST(NULLIF(CAST("seats" AS BIGINT),
  CAST(0 AS BIGINT)) AS DOUBLE)) AS "per_seat" FROM "trips"
features: [{name: per_seat, type: float64, unit: USD}]
ttl: 2d
"""


def test_what_is_written_is_the_feature_view_of_its_rows(cast):
    apply("\n---\n".join((ENTITY, TRIPS, BY_HAND)), cast)

    *_, planned = apply(WRITTEN, cast)
    *_, altered = apply(WRITTEN.replace("2d}", "3d}"), cast)

    assert (planned.kind, planned.change) == ("FeatureView", "unchanged")
    assert (altered.kind, altered.change) == ("FeatureView", "updated")


@pytest.mark.parametrize(
    ("change", "key", "says"),
    [
        (("source: trips", "source: trip"), "write.source", "Did you mean 'trips'?"),
        (("source: trips", "source: driver_stats"), "write.source", "are read by runs"),
        (("[driver]", "[drivers]"), "write.entities[0]", "Did you mean 'driver'?"),
        (("[driver]", "[]"), "write.entities", "at least one entity"),
        (("ttl: 2d", "ttl: 2x"), "write.ttl", "2x"),
        (
            ("{fare: float64", "{fee: float64, fare: float64"),
            "inputs.request.fee",
            "no column 'fee'",
        ),
        (("seats: int32", "seats: int64"), "inputs.request.seats", "say int32"),
        (("{request:", "{features: ['a:b'], request:"), "inputs.features", "leave `write` out"),
        (("fare / nullif", "epoch(now) / nullif"), "features[0].sql", "the instant of a request"),
        (("fare / nullif", "floor(fare, 1) / nullif"), "features[0].sql", "has 2 arguments"),
        (("fare / nullif", "CAST(1 AS DECIMAL(p,s)) / nullif"), "features[0].sql", "DECIMAL(18,2)"),
        (("fare / nullif", "gamma(fare) / nullif"), "features[0].sql", "cannot be computed alike"),
        (("type: float64", "type: int64"), "features[0].sql", "gives float64"),
        (("name: seat_price", "name: driver_hourly"), "name", "is sent, too"),
        (("entities: [driver]", "entity: driver"), "write.entity", "Did you mean 'entities'?"),
    ],
)
def test_what_cannot_be_written_is_named_where_it_stands(cast, change, key, says):
    problems = refused(f"{TRIPS}\n---\n{WRITTEN.replace(*change)}", cast)

    assert says in dict(problems)[key]


@pytest.mark.parametrize("depth", [7, 12])
def test_times_in_each_other_are_refused_before_they_are_written_out(cast, depth):
    sql = "at"
    for _ in range(depth):
        sql = f"({sql} + INTERVAL 1 MONTH)"
    text = WRITTEN.replace("seats: int32", "at: timestamp").replace(
        "float64, sql", "timestamp, sql"
    )

    problems = refused(f"{TRIPS}\n---\n{text.replace('fare / nullif(seats, 0)', sql)}", cast)

    assert "nested too deeply" in dict(problems)["features[0].sql"]


@pytest.mark.parametrize(("terms", "is_taken"), [(100, True), (110, False)])
def test_a_long_sum_is_written_or_refused_in_words(cast, terms, is_taken):
    text = WRITTEN.replace("fare / nullif(seats, 0)", " + ".join(["seats * 2"] * terms))
    given = f"{DEFINITIONS}\n---\n{TRIPS}\n---\n{text}"

    if is_taken:
        *_, applied = apply(given, cast)
        assert applied.change == "created"
        return
    with pytest.raises(InvalidDefinitions) as caught:
        apply(given, cast)
    assert "nested too deeply" in caught.value.problems[0].message


def test_what_is_written_is_bounded_and_its_right_asked_for_before_it_is_made(cast):
    long = "  - {name: f%d, type: string, sql: \"'" + "a" * 2_000 + "'\"}\n"
    many = "".join(long % place for place in range(10))
    text = WRITTEN.replace("write:", many + '  - {name: z, type: int64, sql: "gamma(1)"}\nwrite:')

    assert refused(f"{TRIPS}\n---\n{text}", cast) == [
        ("features", "all `sql`, casts included, has more than 20,000 characters; split it.")
    ]
    for sent in (text, WRITTEN):
        with pytest.raises(ActionNotPermitted):
            apply(f"{DEFINITIONS}\n---\n{TRIPS}\n---\n{sent}", cast, actor=cast.consumer)


def test_a_name_stays_what_it_is(cast, approved):
    with pytest.raises(InvalidDefinitions) as caught:
        apply("\n---\n".join((TRIPS, WRITTEN.replace("seat_price", "ride_risk"))), cast)

    assert "is computed at the request; take another name" in caught.value.problems[0].message
