"""Values of sensitive features are shown by a grant beside the role, at every door that shows runs.

One matrix: door × what the reader was given, walked over one run of each kind: a door is soon
asked, a run takes a hundred times as long. Of what is not sensitive nothing changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from django.urls import reverse

from materialization.edges.looks import look_at_sources
from materialization.models import Quarantine
from registry.choices import State
from registry.grants import WITHHELD
from registry.models import Feature
from registry.operations.lifecycle import submissions
from registry.operations.people import grants
from registry.operations.registration.apply import apply_definitions
from registry.reading.parsing import InvalidDefinitions, parse_files
from tests import factories
from tests.materialization.run_world import ROWS, SCHEMA, committed, materialize, write_rows
from tests.materialization.runner.test_assaying import assayed
from tests.undoing import undone

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

#: Values that stand nowhere else: of a restricted feature, and of one that is not sensitive.
SECRET, OPEN = "Xq7-Ada-Lovelace", "0.15625"
TEXTS = SCHEMA.set(5, pa.field("avg_daily_trips", pa.string()))
RESTRICTED = "type: string, sensitivity: restricted"
VERSION = "feature-views/driver_hourly/versions/1.0.0"


def make(cast, sources, *, checks: str = ""):
    """Return an approved version with evidence, whose source has the values."""
    write_rows(sources, [(*row[:3], float(OPEN), SECRET) for row in ROWS], TEXTS)
    text = factories.DEFINITIONS.replace(
        "type: int32, sensitivity: internal", f"{RESTRICTED}{checks}"
    )
    with committed():
        version = factories.make_version(cast, state=State.IN_REVIEW, text=text)
        assayed(version)
        factories.approve(version, cast.steward)
        version.refresh_from_db()
        factories.approve(version, cast.second_steward)
    version.refresh_from_db()
    return version


@pytest.fixture
def stored(cast, sources):
    """A run that succeeded: its profile has the values."""
    run = materialize(make(cast, sources))
    assert run.status == "succeeded", run.error
    return run


@pytest.fixture
def failed(cast, sources):
    """A run whose rows a check refused: example and quarantine have the value."""
    run = materialize(make(cast, sources, checks=", checks: {allowed: [a]}"))
    assert run.error_code == "checks_failed"
    return run


def admin(name: str, obj) -> str:
    return reverse(f"admin:{name}", args=[obj.pk])


def feature_page(run) -> str:
    return admin("registry_feature_change", Feature.objects.get(name="avg_daily_trips"))


def version_page_of(version) -> str:
    return admin("registry_featureviewversion_change", version)


def version_page(run) -> str:
    return version_page_of(run.version)


def api(path: str) -> Callable[..., str]:
    return lambda run: f"/api/v1/projects/rides/{path.format(run=run)}"


#: Door → which run it is about, and its address. All of them answer whoever has the role.
DOORS: dict[str, tuple[str, Callable[..., str]]] = {
    "runs": ("stored", api("runs")),
    "a run": ("stored", api("runs/{run.pk}")),
    "a failed run": ("failed", api("runs/{run.pk}")),
    "profile": ("stored", api(f"{VERSION}/profile")),
    "profile of one": ("stored", api(f"{VERSION}/profile?feature=avg_daily_trips")),
    "review": ("stored", api(f"{VERSION}/review")),
    "quarantine": ("failed", api("runs/{run.pk}/quarantine")),
    "page of a run": ("stored", lambda r: admin("materialization_materializationrun_change", r)),
    "page of a failed run": (
        "failed",
        lambda r: admin("materialization_materializationrun_change", r),
    ),
    "page of a feature": ("stored", feature_page),
    "page of a version": (
        "stored",
        lambda r: admin("registry_featureviewversion_change", r.version),
    ),
    "page of a quarantine": (
        "failed",
        lambda r: admin("materialization_quarantine_change", Quarantine.objects.get(run=r)),
    ),
}
ROWS_PAGE = "rows of a quarantine"


def revoked(cast):
    grant = factories.give_grant(cast, cast.consumer, view="driver_hourly")
    grants.revoke_grant(grant=grant, by=grants.Hand(cast.steward), at=factories.AT)


GIVEN: dict[str, tuple[Callable[..., object], bool]] = {
    "nothing": (lambda cast: None, False),
    "the view": (
        lambda cast: factories.give_grant(cast, cast.consumer, view="driver_hourly"),
        True,
    ),
    "too low a level": (
        lambda cast: factories.give_grant(cast, cast.consumer, level="confidential"),
        False,
    ),
    "until yesterday": (
        lambda cast: factories.give_grant(
            cast, cast.consumer, level="restricted", at=factories.AT, days=1
        ),
        False,
    ),
    "and taken back": (revoked, False),
}


def walked(client, cast, run, of: str, given: str) -> dict[str, str]:
    """Return what the consumer is told at each door of such a run, when given that."""
    with undone():
        GIVEN[given][0](cast)
        client.force_login(cast.consumer)
        return {
            door: client.get(address(run)).content.decode()
            for door, (which, address) in DOORS.items()
            if which == of
        }


@pytest.mark.parametrize("of", ["stored", "failed"])
def test_who_sees_values_of_a_restricted_feature(request, client, cast, of):
    run, wrong = request.getfixturevalue(of), []
    for given, (_, may) in GIVEN.items():
        for door, said in walked(client, cast, run, of, given).items():
            seen = SECRET in said, "ithheld" in said.replace('"withheld":[]', "")
            if seen != (may, not may):
                wrong.append((door, given, seen))

    assert wrong == []


def test_who_sees_the_rows_that_a_check_refused(client, cast, failed):
    page, wrong = admin("materialization_quarantine_rows", Quarantine.objects.get(run=failed)), []
    for given, (give, may) in GIVEN.items():
        with undone():
            give(cast)
            client.force_login(cast.consumer)
            response = client.get(page)
        said = response.content.decode()
        seen = response.status_code, SECRET in said, may or "avg_daily_trips" in said
        if seen != (200 if may else 403, may, True):
            wrong.append((given, seen))

    assert wrong == []


@pytest.mark.parametrize("of", ["stored", "failed"])
def test_no_role_stands_for_a_grant(request, client, cast, of):
    run, told = request.getfixturevalue(of), []
    for who in ("superuser", "owner", "author", "steward"):
        client.force_login(getattr(cast, who))
        for door, (which, address) in DOORS.items():
            if which == of and SECRET in client.get(address(run)).content.decode():
                told.append((door, who))

    assert told == []


def test_what_is_not_sensitive_is_shown_as_ever(client, cast, stored):
    client.force_login(cast.consumer)

    columns = client.get(f"/api/v1/projects/rides/runs/{stored.pk}").json()["profile"]["columns"]

    by_name = {column["name"]: column for column in columns}
    assert by_name["conv_rate"]["max"] == float(OPEN)
    assert by_name["avg_daily_trips"]["withheld"] == WITHHELD
    hidden = {"min", "max", "mean", "std", "quantiles", "edges", "marks", "top"}
    assert not hidden & by_name["avg_daily_trips"].keys()
    assert by_name["avg_daily_trips"]["rows"] == 4


def test_alerts_have_no_values(client, cast, failed):
    client.force_login(cast.consumer)

    alerts = client.get("/api/v1/projects/rides/alerts").json()

    assert alerts["count"] == 1
    assert SECRET not in str(alerts)


def test_a_reviewer_with_a_grant_sees_values_of_what_waits(client, cast, sources):
    factories.make_version(cast)
    write_rows(sources, [(*row[:3], float(OPEN), SECRET) for row in ROWS], TEXTS)
    text = factories.DEFINITIONS.replace("type: int32, sensitivity: internal", RESTRICTED)
    version = factories.make_version(cast, state=State.IN_REVIEW, text=text)
    assayed(version)
    client.force_login(cast.owner)
    page = admin("registry_featureviewversion_change", version)
    assert SECRET not in client.get(page).content.decode()

    factories.give_grant(cast, cast.owner, view="driver_hourly")

    assert SECRET in client.get(page).content.decode()


#: What somebody defines anew over the same column, with less.
AGAIN = factories.DEFINITIONS.replace("name: driver_hourly", "name: driver_daily").replace(
    "type: int32, sensitivity: internal", "type: string, sensitivity: public"
)


def test_nobody_lowers_the_sensitivity_to_see_values_before_anybody_agreed(
    client, cast, sources, stored
):
    version = factories.make_version(cast, state=State.IN_REVIEW, text=AGAIN)
    assayed(version)
    client.force_login(cast.owner)
    page = admin("registry_featureviewversion_change", version)
    said = client.get(page).content.decode()
    assert SECRET not in said
    assert "Withheld" in said

    factories.give_grant(cast, cast.owner, level="restricted")

    assert SECRET in client.get(page).content.decode()


def test_a_plan_and_a_submission_quote_no_value_of_a_restricted_column(cast, sources, stored):
    numbers = AGAIN.replace("type: string", "type: int32")

    def told():
        with pytest.raises(InvalidDefinitions) as caught:
            apply_definitions(
                parse_files([("f.yaml", numbers)]), project=cast.project, actor=cast.author,
                at=factories.AT, look=look_at_sources, dry_run=True,
            )  # fmt: skip
        return str(caught.value.data)

    assert SECRET not in told()
    factories.give_grant(cast, cast.author, level="restricted", at=factories.AT)
    assert SECRET in told()


#: A view whose SQL asks a question about a value that takes a grant: by which rows there are, by
#: which values do not fit their type, by which are null.
ASKING = """\
kind: FeatureView
name: asking
entities: [driver]
source: driver_stats
sql: {sql}
features: [{{name: told, type: {type}, sensitivity: public}}]
"""
COLUMNS = "SELECT driver_id, event_timestamp, created"
QUESTIONS = {
    "rows": (f"{COLUMNS}, conv_rate AS told FROM driver_stats WHERE {{}}", "float32"),
    "casts": (
        f"{COLUMNS}, CASE WHEN {{}} THEN 'x' ELSE '1' END AS told FROM driver_stats",
        "int32",
    ),
    "failures": (
        f"{COLUMNS}, CAST(CASE WHEN {{}} THEN 'x' ELSE '1' END AS integer) AS told"
        " FROM driver_stats",
        "int32",
    ),
    "nulls": (f"{COLUMNS}, CASE WHEN {{}} THEN 1 END AS told FROM driver_stats", "int32"),
}
IS_SO, IS_NOT = f"avg_daily_trips = '{SECRET}'", "avg_daily_trips = 'another'"


def asking(kind: str, condition: str) -> str:
    sql, declared = QUESTIONS[kind]
    return ASKING.format(sql=f'"{sql.format(condition)}"', type=declared)


def planned(cast, text: str) -> str:
    try:
        applied = factories.apply(text, cast, look=look_at_sources, dry_run=True)
    except InvalidDefinitions as exc:
        return str(exc.data)
    return str([each.warnings for each in applied])


@pytest.mark.parametrize("kind", QUESTIONS)
def test_a_plan_answers_no_question_about_what_takes_a_grant(cast, stored, kind):
    both = [planned(cast, asking(kind, condition)) for condition in (IS_SO, IS_NOT)]

    assert both[0] == both[1]
    assert "no row of source 'driver_stats' was looked at" in both[0]


#: The same by a condition on rows, which fails on those it should not tell of.
CHOOSING = """\
kind: FeatureView
name: choosing
entities: [driver]
source: driver_stats
{keys}
features: [{{name: told, type: float32, sensitivity: public, column: {column}}}]
"""
CHOICES = {
    "view": ("where: {}", "conv_rate"),
    "aggregation": (
        "aggregations: [{{column: conv_rate, functions: [max], windows: [1d], where: {}}}]\n"
        "schedule: {{every: 1h}}",
        "conv_rate_max_1d",
    ),
}


@pytest.mark.parametrize("kind", CHOICES)
def test_a_choice_of_rows_is_no_question_either(cast, stored, kind):
    keys, column = CHOICES[kind]

    def chosen(condition: str) -> str:
        fails = f"CASE WHEN {condition} THEN CAST('x' AS boolean) ELSE true END"
        return planned(cast, CHOOSING.format(keys=keys.format(f'"{fails}"'), column=column))

    assert chosen(IS_SO) == chosen(IS_NOT)
    assert "was looked at" in chosen(IS_SO)
    factories.give_grant(cast, cast.author, level="restricted", at=factories.AT)
    assert chosen(IS_SO) != chosen(IS_NOT)


@pytest.mark.parametrize("kind", ["rows", "casts", "failures"])
def test_whoever_has_a_grant_is_told_what_their_expression_finds(cast, stored, kind):
    factories.give_grant(cast, cast.author, level="restricted", at=factories.AT)

    both = {planned(cast, asking(kind, condition)) for condition in (IS_SO, IS_NOT)}

    assert len(both) == 2
    assert "was looked at" not in str(both)


def test_a_submission_is_taken_without_a_look_at_rows(cast, stored):
    found = {}
    for condition in (IS_SO, IS_NOT):
        (applied,) = factories.apply(asking("rows", condition), cast, look=look_at_sources)
        submissions.submit_version(
            version=applied.draft, actor=cast.author, at=factories.AT, look=look_at_sources
        )
        found[condition] = applied.draft.packet["source"]
        assert applied.draft.spec.schema is not None
        submissions.withdraw_version(version=applied.draft, actor=cast.author, at=factories.AT)

    assert found[IS_SO]["rows"] is None
    assert found[IS_SO] == found[IS_NOT]


def test_what_an_expression_counts_is_for_those_who_decide(client, cast, stored):
    (applied,) = factories.apply(asking("nulls", IS_SO), cast, look=look_at_sources)
    with committed():
        version = submissions.submit_version(
            version=applied.draft, actor=cast.author, at=factories.AT, look=look_at_sources
        )
        assayed(version)
    address = "/api/v1/projects/rides/feature-views/asking/versions/1.0.0/review"

    def parts(who):
        client.force_login(who)
        return client.get(address).json()["evidence"]["parts"]

    for who in (cast.author, cast.consumer):
        assert {part["state"] for part in parts(who).values()} <= {"withheld", "not_applicable"}
        page = client.get(version_page_of(version)).content.decode()
        assert "computes with what takes a grant" in page
    assert parts(cast.steward)["profile"]["state"] == "computed"
    factories.give_grant(cast, cast.author, level="restricted")
    assert parts(cast.author)["profile"]["facts"]["after"]["columns"][0]["nulls"] == 0
