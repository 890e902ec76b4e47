"""Values of sensitive features are shown by a grant beside the role, at every door that shows runs.

One matrix: door × what the reader was given. Of what is not sensitive nothing changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from django.urls import reverse

from materialization.edges import look_at_sources
from materialization.models import Quarantine
from registry.choices import State
from registry.grants import WITHHELD
from registry.models import Feature
from registry.operations.people import grants
from registry.operations.registration.apply import apply_definitions
from registry.reading.parsing import InvalidDefinitions, parse_files
from tests import factories
from tests.materialization.run_world import ROWS, SCHEMA, committed, materialize, write_rows
from tests.materialization.runner.test_assaying import assayed

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


def version_page(run) -> str:
    return admin("registry_featureviewversion_change", run.version)


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


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("door", DOORS)
def test_who_sees_values_of_a_restricted_feature(request, client, cast, door, given):
    which, address = DOORS[door]
    give, may = GIVEN[given]
    run = request.getfixturevalue(which)
    give(cast)
    client.force_login(cast.consumer)

    said = client.get(address(run)).content.decode().replace('"withheld":[]', "")

    assert (SECRET in said) is may, door
    assert ("ithheld" in said) is (not may), door


@pytest.mark.parametrize("given", GIVEN)
def test_who_sees_the_rows_that_a_check_refused(client, cast, failed, given):
    give, may = GIVEN[given]
    give(cast)
    client.force_login(cast.consumer)
    page = admin("materialization_quarantine_rows", Quarantine.objects.get(run=failed))

    response = client.get(page)

    assert response.status_code == (200 if may else 403)
    assert (SECRET in response.content.decode()) is may
    assert may or "avg_daily_trips" in response.content.decode()


@pytest.mark.parametrize("who", ["superuser", "owner", "author", "steward"])
@pytest.mark.parametrize("door", DOORS)
def test_no_role_stands_for_a_grant(request, client, cast, door, who):
    which, address = DOORS[door]
    run = request.getfixturevalue(which)
    client.force_login(getattr(cast, who))

    assert SECRET not in client.get(address(run)).content.decode()


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
