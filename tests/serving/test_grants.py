"""Sensitive values are read by a grant beside the role, at every door of this app.

Expiry and revocation count from the very next request; the process and its plans stay as they are.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from registry.choices import State
from registry.grants import GrantNeeded
from registry.models import AuditEntry
from registry.operations.people import grants, passwords
from registry.operations.people.tokens import issue_token
from serving.edges import online_limits
from serving.online.read import get_online_features
from serving.online.request import OnlineRequest
from tests import factories
from tests.serving import historical_world, online_world
from tests.serving.online_world import committed

pytestmark = pytest.mark.django_db

TEXT = factories.DEFINITIONS.replace("sensitivity: internal", "sensitivity: confidential").replace(
    "description: Conversion rate", "sensitivity: restricted"
)
CONFIDENTIAL, RESTRICTED = "driver_hourly:avg_daily_trips", "driver_hourly:conv_rate"
OPEN = "driver_hourly:acc_rate"
SERVICE = """
kind: FeatureService
name: everything
features: ["driver_hourly:*"]
"""


@pytest.fixture
def version(cast, now):
    """A ready version with one row in both stores; its approval takes two stewards."""
    row = {"driver_id": 1001, "event": now, "avg_daily_trips": 7, "conv_rate": 0.5, "acc_rate": 1.0}
    with committed():
        version = factories.make_version(cast, text=TEXT)
        factories.approve(version, cast.second_steward)
        version.refresh_from_db()
    historical_world.commit(version, [row])
    online_world.load(version, [row], at=now)
    return version


def online(client, token, features):
    entities = {"driver_id": [1001]}
    return online_world.ask(client, token, {"features": features, "entities": entities})


def historical(client, token, features):
    entities = {"driver_id": [1001], "event_timestamp": ["2026-03-01T12:00:00Z"]}
    return historical_world.ask(client, token, {"features": features, "entities": entities})


def files(client, token, features):
    """Every file holds all features of a version, so which are meant makes no difference."""
    return client.get(
        "/api/v1/projects/rides/offline-files",
        {"feature_view": "driver_hourly"},
        headers={"Authorization": f"Bearer {token}"},
    )


DOORS = {"online": online, "historical": historical, "files": files}


def by_view(cast, user, **more):
    return factories.give_grant(cast, user, view="driver_hourly", **more)


def revoked(cast, user):
    grant = by_view(cast, user)
    with committed():
        grants.revoke_grant(grant=grant, by=grants.Hand(cast.steward), at=factories.AT)


#: What the reader was given → whether the confidential, and the restricted feature can be read.
GIVEN = {
    "nothing": (lambda cast, user: None, False, False),
    "the view": (by_view, True, True),
    "up to confidential": (
        lambda cast, user: factories.give_grant(cast, user, level="confidential"),
        True,
        False,
    ),
    "up to restricted": (
        lambda cast, user: factories.give_grant(cast, user, level="restricted"),
        True,
        True,
    ),
    "to somebody else": (lambda cast, user: by_view(cast, cast.operator), False, False),
    "until yesterday": (
        lambda cast, user: by_view(cast, user, at=factories.AT, days=1),
        False,
        False,
    ),
    "and taken back": (revoked, False, False),
}


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("door", DOORS)
def test_who_may_read_sensitive_values(client, cast, version, token, door, given):
    give, confidential, restricted = GIVEN[given]
    give(cast, cast.consumer)

    for features, may in (
        ([CONFIDENTIAL, OPEN], restricted if door == "files" else confidential),
        ([RESTRICTED, OPEN], restricted),
    ):
        for _ in ("cold", "warm"):
            response = DOORS[door](client, token, features)
            assert response.status_code == (200 if may else 403), response.content
            assert may or response.json()["code"] == "grant_needed"


@pytest.mark.parametrize("door", ["online", "historical"])
def test_what_is_not_sensitive_needs_none(client, cast, version, token, door):
    assert DOORS[door](client, token, [OPEN]).status_code == 200


@pytest.mark.parametrize("who", ["superuser", "owner", "author"])
@pytest.mark.parametrize("door", DOORS)
def test_no_role_stands_for_a_grant(client, cast, version, door, who):
    token = factories.token_for(getattr(cast, who))

    assert DOORS[door](client, token, [CONFIDENTIAL]).json()["code"] == "grant_needed"


@pytest.mark.parametrize("door", ["online", "historical"])
def test_a_refusal_names_every_feature_that_lacks_a_grant_and_no_other(
    client, cast, version, token, door
):
    with committed():
        factories.apply(SERVICE, cast)
    factories.give_grant(cast, cast.consumer, level="confidential")
    ask = {"online": online_world.ask, "historical": historical_world.ask}[door]
    entities = {"driver_id": [1001], "event_timestamp": ["2026-03-01T12:00:00Z"]}
    entities = entities if door == "historical" else {"driver_id": [1001]}

    response = ask(client, token, {"feature_service": "everything", "entities": entities})

    assert response.status_code == 403
    assert response.json()["features"] == [
        {"feature": "driver_hourly@1.0.0:conv_rate", "sensitivity": "restricted"}
    ]
    assert response.json()["level"] == "restricted"
    assert "assay grants ask --view driver_hourly" in response.json()["detail"]
    denied = AuditEntry.objects.get(verb="access.denied")
    assert (denied.actor_name, denied.data["code"]) == ("consumer", "grant_needed")


def read(token, at, feature=CONFIDENTIAL):
    return get_online_features(
        project="rides",
        token=token,
        request=OnlineRequest(entities={"driver_id": [1001]}, features=[feature]),
        at=at,
        limits=online_limits(),
    )


def test_a_kept_plan_stops_at_the_grants_end_and_goes_on_with_the_next(
    cast, version, token, now, settings, django_assert_num_queries
):
    settings.PLAN_CONFIRM_SECONDS = 600
    by_view(cast, cast.consumer, at=now, days=1)
    end = now + timedelta(days=1)
    read(token, now)

    with django_assert_num_queries(0):
        last = read(token, now)
    with pytest.raises(GrantNeeded):
        read(token, end)
    by_view(cast, cast.consumer, at=now, days=2)

    assert last.columns[1].values == (7,)
    assert read(token, end - timedelta(microseconds=1)).columns[1].values == (7,)
    assert read(token, end).columns[1].values == (7,)


def test_a_kept_plan_holds_until_the_first_of_its_grants_ends(cast, version, token, now):
    by_view(cast, cast.consumer, at=now, days=1)
    both = OnlineRequest(entities={"driver_id": [1001]}, features=[CONFIDENTIAL, OPEN])
    ask = {"project": "rides", "token": token, "request": both, "limits": online_limits()}
    get_online_features(**ask, at=now)

    with pytest.raises(GrantNeeded):
        get_online_features(**ask, at=now + timedelta(days=1))


def test_a_grant_that_is_taken_back_is_refused_on_the_very_next_request(
    client, cast, version, token, now
):
    grant = by_view(cast, cast.consumer)
    assert online(client, token, [CONFIDENTIAL]).status_code == 200

    with committed():
        grants.revoke_grant(grant=grant, by=grants.Hand(cast.owner), at=now)

    assert online(client, token, [CONFIDENTIAL]).status_code == 403


def test_a_service_account_reads_by_its_own_grant(client, cast, version, now):
    with committed():
        account = factories.make_service_account("churn", cast)
    text = issue_token(user=account, name="churn", actor=cast.superuser, at=now, days=30)[1]
    assert online(client, text, [CONFIDENTIAL]).json()["code"] == "grant_needed"

    by_view(cast, account)

    assert online(client, text, [CONFIDENTIAL]).status_code == 200


@pytest.mark.parametrize("door", DOORS)
def test_a_persons_grant_is_not_for_whoever_made_a_token_of_theirs_at_the_shell(
    client, cast, version, now, door
):
    by_view(cast, cast.consumer)
    person = {"user": cast.consumer, "actor": cast.consumer}
    _, text = issue_token(**person, name="theirs", at=now, days=30)

    answer = DOORS[door](client, text, [CONFIDENTIAL]).json()

    assert answer["code"] == "grant_needed"
    assert "counts for consumer alone" in answer["detail"]
    own = factories.token_for(cast.consumer)
    assert DOORS[door](client, own, [CONFIDENTIAL]).status_code == 200


def test_a_persons_grant_is_not_for_whoever_set_their_password(client, cast, version):
    by_view(cast, cast.consumer)
    client.force_login(cast.consumer)
    url = "/api/v1/projects/rides/offline-files?feature_view=driver_hourly"
    assert client.get(url).status_code == 200

    passwords.note_password_changed(user=cast.consumer, actor=cast.superuser, at=factories.AT)

    assert client.get(url).json()["code"] == "grant_needed"
    assert "counts for consumer alone" in client.get(url).json()["detail"]


# --- What turned out to be more sensitive --------------------------------------------------------


def make_next(cast, text):
    """Approve a next version of the view, by as many as it takes."""
    with committed():
        version = factories.make_version(cast, text=text)
        if version.state != State.APPROVED:
            factories.approve(version, cast.second_steward)
    version.refresh_from_db()
    assert version.state == State.APPROVED
    return version


@pytest.mark.parametrize("door", ["online", "historical"])
def test_a_sensitivity_that_was_raised_gates_older_versions_and_lowering_does_not_open_them(
    client, cast, version, token, door
):
    """One that others keep reading by its number is no way past what was agreed to since."""
    pinned = [f"driver_hourly@{version.number}:acc_rate"]
    assert DOORS[door](client, token, pinned).status_code == 200

    raised = TEXT.replace("name: acc_rate,", "name: acc_rate, sensitivity: confidential,")
    assert raised != TEXT
    make_next(cast, raised)
    refused = DOORS[door](client, token, pinned)
    assert (refused.status_code, refused.json()["code"]) == (403, "grant_needed")

    make_next(cast, TEXT)
    assert DOORS[door](client, token, pinned).status_code == 403
    by_view(cast, cast.consumer)
    assert DOORS[door](client, token, pinned).status_code == 200
