"""Certificates over HTTP: who may have the stores compared, who sees what was found, and whose."""

from __future__ import annotations

import pytest

from lib.connections import get_redis
from materialization.choices import CertificateStatus
from materialization.models import Certificate
from materialization.runner.certifying import certify
from registry.models import AuditEntry
from tests.factories import AT, make_version
from tests.materialization.api.test_runs import EVERYBODY, MAY, call, refusal
from tests.materialization.run_world import ROWS, committed, fresh, materialize, write_rows
from tests.undoing import walk

pytestmark = pytest.mark.django_db
__all__ = ["call"]
COMPARE = "feature-views/driver_hourly/versions/1.0.0/compare"
READERS = {"author", "consumer", "owner", "superuser"}


@pytest.fixture
def version(cast, sources):
    write_rows(sources, ROWS)
    with committed():
        version = make_version(cast)
        materialize(version)
    return fresh(version)


@pytest.fixture
def differing(version):
    """A certificate of two differences: a row nobody stored, and one changed."""
    uid = version.table.uid.encode()
    row = get_redis().get(b"r%s{1001}" % uid)
    get_redis().set(b"r%s{4711}" % uid, row)
    get_redis().set(b"r%s{1001}" % uid, row[:-1] + bytes([row[-1] ^ 1]))
    made = Certificate.objects.create(
        table=version.table, version=version, kind="online", requested_at=AT, enqueued_at=AT
    )
    with committed():
        certify(certificate_id=made.pk, worker="w", clock=lambda: AT)
    made.refresh_from_db()
    assert made.status == CertificateStatus.DIFFERENT
    return made


@walk("who", EVERYBODY)
def test_who_may_have_the_stores_compared_and_repaired(call, version, who):
    response = call(who, "post", COMPARE, {"repair": True})

    assert response.status_code == (202 if who in MAY else refusal(who))
    assert Certificate.objects.count() == (1 if who in MAY else 0)
    entries = AuditEntry.objects.filter(verb="certificate.requested")
    assert [entry.actor_name for entry in entries] == ([who] if who in MAY else [])
    if who in MAY:
        said = response.json()
        assert (said["status"], said["sample"], said["repair"]) == ("queued", None, True)
        assert said["requested_by"] == who
        assert entries[0].after == {
            "kind": "online",
            "sample": None,
            "since": None,
            "repair": True,
        }
        again = call(who, "post", COMPARE, {"sample": 5})
        assert (again.status_code, again.json()["id"]) == (202, said["id"])


@walk("who", EVERYBODY)
def test_who_sees_what_was_found_and_whose_rows_they_are(call, differing, who):
    listed, one = call(who, "get", "certificates"), call(who, "get", f"certificates/{differing.pk}")

    allowed = who not in ("anonymous", "outsider")
    assert listed.status_code == one.status_code == (200 if allowed else refusal(who))
    if not allowed:
        return
    said = one.json()
    assert listed.json()["results"] == [said]
    assert {k: said[k] for k in ("compared", "equal", "missing", "extra", "different")} == {
        "compared": 4, "equal": 2, "missing": 0, "extra": 1, "different": 1,
    }  # fmt: skip
    kinds = {each["kind"] for each in said["examples"]}
    assert kinds == {"extra", "different"}
    assert ("driver_id=4711" in one.text) == ("event_timestamp" in one.text) == (who in READERS)


@pytest.mark.parametrize(
    ("query", "count"),
    [("status=different", 1), ("status=equal", 0), ("feature_view=driver_hourly&kind=online", 1),
     ("feature_view=driver_hourly@1.0.0", 1), ("feature_view=other", 0)],
)  # fmt: skip
def test_they_are_found_by_view_and_status(call, differing, query, count):
    assert call("consumer", "get", f"certificates?{query}").json()["count"] == count


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"sample": 0}, "invalid_sample"),
        ({"sample": 10**9}, "invalid_sample"),
        ({"sample": "5"}, "invalid_body"),
        ({"sample": True}, "invalid_body"),
        ({"sample": 5, "full": True}, "invalid_body"),
        ({"repair": "yes"}, "invalid_body"),
        ({"samples": 5}, "invalid_body"),
    ],
)
def test_what_cannot_be_meant_is_refused(call, version, body, code):
    response = call("operator", "post", COMPARE, body)

    assert (response.status_code, response.json()["code"]) == (422, code)
    assert not Certificate.objects.exists()


def test_what_is_not_there_is_not_compared(call, version, cast):
    other = "feature-views/driver_hourly/versions/9.0.0/compare"
    assert call("operator", "post", other).json()["code"] == "version_not_found"
    assert call("operator", "get", "certificates/99").json()["code"] == "certificate_not_found"
    assert call("operator", "get", "certificates?status=fine").status_code == 422
