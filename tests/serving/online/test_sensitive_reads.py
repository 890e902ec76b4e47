"""Who read which sensitive features online is in the trail, an entry for a period and no more."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.models import AuditEntry
from registry.trail.deeds import deed_of
from registry.trail.excess import record_excess
from serving.online.watching import WATCH
from tests import factories
from tests.serving import online_world
from tests.serving.online_world import committed

pytestmark = pytest.mark.django_db

TEXT = factories.DEFINITIONS.replace("sensitivity: internal", "sensitivity: confidential").replace(
    "description: Conversion rate", "sensitivity: restricted"
)
OPEN = "driver_hourly:acc_rate"
SECRET = ["driver_hourly:avg_daily_trips", "driver_hourly:conv_rate"]


@pytest.fixture
def reader(client, cast, now):
    """A function that reads these features as somebody with a grant."""
    row = {"driver_id": 1001, "event": now, "avg_daily_trips": 7, "conv_rate": 0.5, "acc_rate": 1.0}
    with committed():
        version = factories.make_version(cast, text=TEXT)
        factories.approve(version, cast.second_steward)
        version.refresh_from_db()
        factories.give_grant(cast, cast.consumer, view="driver_hourly")
    online_world.load(version, [row], at=now)
    token = factories.token_for(cast.consumer)

    def read(features, times=1):
        for _ in range(times):
            body = {"features": features, "entities": {"driver_id": [1001]}}
            assert online_world.ask(client, token, body).status_code == 200

    WATCH.flush()
    return read


def told():
    WATCH.flush()
    record_excess(at=timezone.now() + timedelta(hours=1))
    return AuditEntry.objects.named().filter(verb="sensitive_features.read").order_by("pk")


def test_reads_of_sensitive_features_are_one_entry_with_their_number(reader, cast):
    reader([OPEN, *SECRET], times=40)
    reader([SECRET[0]], times=2)

    entries = {each.after["more"]: each for each in told()}

    assert sorted(entries) == [2, 40]
    entry = entries[40]
    assert (entry.actor_name, entry.project_name) == ("consumer", "rides")
    assert f"{deed_of(entry)} {entry.subject_label}" == (
        "read 40 times online of driver_hourly@1.0.0"
    )
    assert entry.data == {"features": ["avg_daily_trips", "conv_rate"], "door": "online"}
    assert entries[2].data["features"] == ["avg_daily_trips"]


def test_reads_of_others_leave_none(reader):
    reader([OPEN], times=3)

    assert not told().exists()


def test_a_read_of_something_sensitive_asks_the_database_for_nothing(
    reader, settings, django_assert_num_queries
):
    settings.PLAN_CONFIRM_SECONDS = 3600  # what a plan knows is asked again from time to time
    reader(SECRET)

    with django_assert_num_queries(0):
        reader(SECRET)
