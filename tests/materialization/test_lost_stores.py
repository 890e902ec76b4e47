"""A store that is not what the database thinks: never a null, never a success, and a way back."""

from __future__ import annotations

import shutil

import pytest
import redis
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import TestCase

from lib.errors import Unavailable
from materialization.queries import coverage, table_at
from materialization.requests import sweep
from materialization.requests.losses import NothingLost, TableBusy, accept_loss
from materialization.stores.layout import marker_key, value_prefix
from materialization.stores.offline import DeltaOfflineStore
from materialization.stores.offline_protocol import OfflineStoreBehind
from materialization.tasks import expire_rows
from registry.access import ActionNotPermitted
from registry.models import AuditEntry, FeatureTable
from tests.factories import VIEW, make_version, token_for, verbs_of
from tests.materialization.run_world import (
    AT,
    DRIVERS,
    HOUR,
    ask,
    committed,
    fresh,
    marker,
    materialize,
    offline,
    online,
    perform,
    table_of,
)

pytestmark = pytest.mark.django_db

FRAME = {
    "features": ["driver_hourly:avg_daily_trips"],
    "entities": {"driver_id": [1001], "event_timestamp": [AT.isoformat()]},
}


def empty(store):
    shutil.rmtree(store)
    store.mkdir()


def not_mounted(store):
    store.rename(store.with_name("elsewhere"))


def older(store):
    shutil.rmtree(store)
    store.with_name("backup").rename(store)


@pytest.fixture
def stored(cast, version, settings):
    """A version with two runs, and a copy of its store from between them."""
    with committed():
        materialize(version, end=AT - 4 * HOUR)
        shutil.copytree(settings.OFFLINE_STORE, settings.OFFLINE_STORE.with_name("backup"))
        materialize(version, end=AT - HOUR)
    return fresh(version)


@pytest.fixture(params=[empty, not_mounted, older])
def lost(request, stored, settings):
    """The version, its store lost in one of several ways."""
    request.param(settings.OFFLINE_STORE)
    return stored


@pytest.fixture
def api(client, cast):
    def request(method, path, **options):
        headers = {"Authorization": f"Bearer {token_for(cast.owner)}"}
        url = f"/api/v1/projects/rides/{path}"
        return getattr(client, method)(
            url, headers=headers, content_type="application/json", **options
        )

    return request


def test_every_commit_is_recorded(version):
    materialize(version, end=AT - 4 * HOUR)
    first = table_at(fresh(version).table)
    materialize(version, end=AT - HOUR)
    second = table_at(fresh(version).table)

    assert first.identity == second.identity != ""
    assert second.version == first.version + 1


def test_no_door_answers_from_it(lost, api):
    history = api("post", "get-historical-features", data=FRAME)
    files = api("get", "offline-files?feature_view=driver_hourly")

    for response in (history, files):
        assert (response.status_code, response.json()["code"]) == (503, "offline_store_behind")
        assert response["Retry-After"]
        assert "mount or restore" in response.json()["detail"]


def test_the_page_of_stored_data_and_readiness_say_so(lost, as_, client):
    page = as_("superuser").get("/admin/registry/featuretable/")
    ready = client.get("/readyz")

    assert "missing" in page.content.decode()
    assert ready.status_code == 503
    assert "not the one this database belongs to" in ready.json()["checks"]["offline_store"]


def test_no_run_stores_into_it(lost, settings):
    before = coverage(table_of(lost))
    run = ask(lost)

    with pytest.raises(OfflineStoreBehind):
        perform(run)

    run.refresh_from_db()
    assert (run.status, run.error_code) == ("queued", "offline_store_behind")
    assert coverage(table_of(lost)) == before


def test_no_reload_marks_a_table_loaded_without_its_rows(lost, online_redis):
    online_redis.flushall()
    run = ask(lost, end=AT - HOUR)
    assert run.kind == "reload"

    with pytest.raises(OfflineStoreBehind):
        perform(run)

    assert marker(lost) is None
    with pytest.raises(Unavailable, match="not loaded"):
        online(lost, DRIVERS, at=AT)


def test_a_new_table_does_not_begin_in_a_store_that_is_not_ours(cast, stored, settings):
    settings.OFFLINE_STORE.rename(settings.OFFLINE_STORE.with_name("elsewhere"))
    with committed():
        other = make_version(cast, text=VIEW.replace("driver_hourly", "driver_daily"))

    with pytest.raises(OfflineStoreBehind):
        materialize(other)

    assert not settings.OFFLINE_STORE.exists()


def test_what_comes_back_is_read_again(stored, settings):
    expected = offline(stored, DRIVERS, at=AT)
    settings.OFFLINE_STORE.rename(settings.OFFLINE_STORE.with_name("elsewhere"))
    with pytest.raises(OfflineStoreBehind):
        perform(ask(stored))
    settings.OFFLINE_STORE.with_name("elsewhere").rename(settings.OFFLINE_STORE)

    assert offline(stored, DRIVERS, at=AT) == expected


# --- giving it up -------------------------------------------------------------------------------


def forget(cast, version, who="operator"):
    with committed():
        return accept_loss(
            table=fresh(version).table, actor=getattr(cast, who), reason="disk died", at=AT
        )


def test_what_was_given_up_is_computed_again_and_recorded(cast, lost, online_redis):
    expected, before = online(lost, DRIVERS, at=AT), fresh(lost).table

    after = forget(cast, lost)

    assert (after.uid != before.uid, after.ready_at, coverage(after)) == (True, None, [])
    assert online_redis.keys(b"*%s*" % before.uid.encode()) == []
    entry = AuditEntry.objects.get(verb="feature_table.loss_accepted")
    assert (entry.actor_name, entry.data["reason"]) == ("operator", "disk died")
    assert entry.before["uid"] == before.uid
    assert len(entry.data["windows"]) == 1
    with pytest.raises(Unavailable, match="not materialized yet"):
        online(lost, DRIVERS, at=AT)

    with committed():
        sweep.sweep(at=AT)
        (run,) = after.runs.filter(status="queued")
        assert perform(run).status == "succeeded"

    again = fresh(lost)
    assert online(again, DRIVERS, at=AT) == offline(again, DRIVERS, at=AT) == expected


@pytest.mark.parametrize("lost", [empty], indirect=True)
def test_rows_of_a_table_given_up_are_removed_later_where_removing_them_was_cut_short(
    cast, lost, online_redis, monkeypatch, caplog
):
    """It has another name by then, so that nothing but its rows tells of the old one."""
    old, rows = fresh(lost).table.uid, online_redis.keys(b"r*{*")
    other = make_version(cast, text=VIEW.replace("driver_hourly", "driver_daily"))
    kept = value_prefix(other.table.uid) + b"{1}"
    online_redis.set(kept, b"a row that is loaded just now")
    with TestCase.captureOnCommitCallbacks() as steps:
        accept_loss(table=fresh(lost).table, actor=cast.operator, reason="disk died", at=AT)

    monkeypatch.setattr(type(online_redis), "unlink", dying)  # with the marker gone already
    for step in steps:
        step()
    assert f"removing rows online of {old} failed: Redis does not answer" in caplog.text
    assert (online_redis.get(marker_key(old)), len(rows)) == (None, 3)
    assert sorted(online_redis.keys(b"r*{*")) == sorted([*rows, kept])
    monkeypatch.undo()

    expire_rows()
    assert online_redis.keys(b"r*{*") == [kept]
    assert "removed 3 rows online that no version in use has" in caplog.text


def dying(self, *keys):
    raise redis.ConnectionError("the server went away")


def test_what_is_not_lost_is_not_given_up(cast, stored):
    with pytest.raises(NothingLost):
        forget(cast, stored)

    assert "loss_accepted" not in verbs_of(stored.table)


def test_a_table_with_a_live_run_is_not_given_up(cast, lost):
    ask(lost)

    with pytest.raises(TableBusy, match="cancel it"):
        forget(cast, lost)


@pytest.fixture
def looks(monkeypatch):
    """Each look at the offline store, as in how many transactions it was; call to act in one."""
    depths, real, acts = [], DeltaOfflineStore.snapshot, []

    def snapshot(self, at, **options):
        depths.append(len(connection.atomic_blocks))
        for act in acts:
            act()
        return real(self, at, **options)

    monkeypatch.setattr(DeltaOfflineStore, "snapshot", snapshot)
    return depths, acts


def test_nobody_waits_while_the_store_is_looked_at(cast, lost, looks):
    """A mount that hangs would keep the whole project locked."""
    depths, _ = looks

    with committed():
        here = len(connection.atomic_blocks)
        accept_loss(table=fresh(lost).table, actor=cast.operator, reason="disk died", at=AT)

    assert depths == [here]


def test_what_was_stored_since_the_look_is_not_given_up(cast, lost, looks):
    _, acts = looks
    acts.append(lambda: FeatureTable.objects.filter(pk=lost.table_id).update(stored_version=9))

    with pytest.raises(TableBusy, match="meanwhile; ask again"):
        forget(cast, lost)
    assert len(coverage(fresh(lost).table)) == 1


@pytest.mark.parametrize("who", ["consumer", "auditor", "outsider"])
def test_who_may_not_materialize_gives_nothing_up(cast, lost, who):
    with pytest.raises(ActionNotPermitted):
        forget(cast, lost, who)


def test_the_command_gives_up_what_is_lost_and_nothing_else(cast, lost, capsys):
    with committed():
        call_command("forget_stored_data", "rides", by="operator", reason="disk died")

    assert "1 of 1 tables are computed again" in capsys.readouterr().out
    with pytest.raises(CommandError, match="nothing was ever stored"):
        call_command("forget_stored_data", "rides", by="operator", reason="again")
    for words, options in (
        ("no user", {"by": "nobody", "reason": "x"}),
        ("nothing was ever stored", {"by": "operator", "reason": "x"}),
    ):
        with pytest.raises(CommandError, match=words):
            call_command("forget_stored_data", "elsewhere", **options)


def test_the_command_wants_a_reason(cast, lost):
    with pytest.raises(CommandError, match="needs a reason"):
        call_command("forget_stored_data", "rides", by="operator", reason=" ")
