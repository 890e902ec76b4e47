"""Who gets through which door of the API: every address and method, by each kind of person.

One line an address and method, one letter a person, in the order of ``PEOPLE``:
``.`` let in (whatever becomes of it: it may be a wrong body), ``u`` asked to log in, ``f`` refused,
``n`` told that there is nothing, ``!`` an error of ours. A new address fails here until somebody
has written its line; the failure says what was seen: look at it before you copy it.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from materialization.models import (
    Alert,
    Certificate,
    DeadLetter,
    MaterializationRun,
    Quarantine,
    StreamPart,
)
from registry.models import ApiToken
from registry.operations.people import grants, service_accounts, tokens, users
from serving.models import (
    Dataset,
    DatasetCheck,
    DatasetPart,
    HistoricalJob,
    HistoricalJobPart,
)
from tests import databases, factories
from tests.factories import AT
from tests.project.permissions import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

PEOPLE = (
    "nobody", "outsider", "consumer", "author", "steward", "operator", "auditor", "owner",
    "superuser", "expired", "revoked",
)  # fmt: skip
LETTERS = {401: "u", 403: "f", 404: "n"}
SERVICE = """
kind: FeatureService
name: menu
features: ["driver_hourly:conv_rate"]
"""
#: What is sent to addresses that end so, where an empty body is refused before its sender is.
BODIES = {
    "reviewers": {"reviewers": ["steward"]},
    "read-on": {"place": "oldest", "reason": "x"},
    "dismiss": {"reason": "x"},
    "comments": {"body": "Looks fine"},
    "baseline": {"run": 1, "reason": "x"},
    "materialize": {"end_ts": "2026-03-01T00:00:00Z"},
    "materialize-incremental": {"end_ts": "2026-03-01T00:00:00Z"},
    "bulk-approve": {"versions": []},
    "get-historical-features": {
        "features": ["driver_hourly:conv_rate"],
        "entities": {"driver_id": [1], "event_timestamp": ["2026-03-01T00:00:00Z"]},
    },
    "historical-jobs": {
        "features": ["driver_hourly:conv_rate"],
        "entities": {"driver_id": [1], "event_timestamp": ["2026-03-01T00:00:00Z"]},
    },
    "datasets": {
        "name": "leavers",
        "features": ["driver_hourly:conv_rate"],
        "entities": {"driver_id": [1], "event_timestamp": ["2026-03-01T00:00:00Z"]},
    },
    "get-online-features": {
        "features": ["driver_hourly:conv_rate"], "entities": {"driver_id": [1]},
    },
    "get-feature-context": {
        "features": ["driver_hourly:conv_rate"], "entities": {"driver_id": [1]},
    },
    "search": {"feature": "driver_hourly:conv_rate", "vector": [1]},
}  # fmt: skip


def patterns(of: Any = None, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every address of the API, as it is written in the URLs."""
    for each in of or get_resolver().url_patterns:
        address = before + str(each.pattern).removeprefix("^")
        if hasattr(each, "url_patterns"):
            yield from patterns(each.url_patterns, address)
        elif address.startswith("api/v1/"):
            yield address, each


def methods(pattern: Any) -> list[str]:
    known = ("get", "post", "put", "patch", "delete")
    return [name.upper() for name in known if hasattr(pattern.callback.view_class, name)]


def lines() -> list[tuple[str, str]]:
    return [(method, address) for address, p in patterns() for method in methods(p)]


@pytest.fixture
def world(db, settings):
    """Something of every kind, so that nothing is hidden by not being there."""
    settings.REFUSALS = 10**6
    cast = factories.make_cast()
    version = factories.make_ready(factories.make_version(cast))
    factories.apply(SERVICE, cast)
    table = version.table
    run = MaterializationRun.objects.create(
        version=version, table=table, requested_at=AT, enqueued_at=AT, window_end=AT,
        kind="backfill", status="failed", finished_at=AT,
    )  # fmt: skip
    project = cast.project
    alert = Alert.objects.create(
        kind="blocked", severity="critical", project=project, subject=str(version),
        version=version, run=run, words="x", opened_at=AT, last_seen_at=AT,
    )  # fmt: skip
    part = StreamPart.objects.create(table=table, stream="trips", partition=0)
    letter = DeadLetter.objects.create(part=part, generation=0, place=1, words="x", created_at=AT)
    certificate = Certificate.objects.create(
        table=table, version=version, kind="online", status="equal", requested_at=AT,
        enqueued_at=AT,
    )  # fmt: skip
    Quarantine.objects.create(
        run=run, table=table, window_end=AT, stored_as="x", rows=1, size_bytes=1, held_at=AT
    )
    account = service_accounts.make_service_account(
        project=project, name="churn", role=factories.Role.CONSUMER, actor=cast.owner, at=AT
    )
    token, _ = tokens.issue_token(
        user=account.user, name="t", actor=cast.owner, at=timezone.now(), project=project
    )
    grant = grants.ask_for_grant(
        project=project,
        user=cast.consumer,
        scope=grants.Scope(level="restricted"),
        purpose="x",
        ends_at=timezone.now() + timedelta(days=9),
        by=grants.Hand(cast.consumer),
        at=timezone.now(),
    )
    dataset = Dataset.objects.create(
        project=project, name="leavers", number=1, status="done", rows=1, uid="x",
        request={"features": [], "feature_service": None, "timing": "known", "split": None},
        columns=[], frame_sha256="", requested_by=cast.consumer, requested_at=AT, enqueued_at=AT,
    )  # fmt: skip
    DatasetPart.objects.create(
        dataset=dataset, position=0, version=version, label=str(version), features=["conv_rate"]
    )
    check = DatasetCheck.objects.create(
        dataset=dataset, status="done", requested_by=cast.consumer, requested_at=AT, enqueued_at=AT
    )
    asked = {"features": [], "feature_service": None, "timing": "known", "all_entities": None}
    job = HistoricalJob.objects.create(
        project=project, status="done", rows=1, uid="x", request={**asked, "explain": False},
        columns=[], requested_by=cast.consumer, requested_at=AT, enqueued_at=AT,
    )  # fmt: skip
    HistoricalJobPart.objects.create(
        job=job, position=0, version=version, label=str(version),
        key_columns={"driver_id": "driver_id"},
    )  # fmt: skip
    named = {
        "job_id": job.pk,
        "number": 1,
        "check_id": check.pk,
        "project": "rides",
        "name": "driver_hourly",
        "reference": "driver_hourly:conv_rate",
        "version": "1.0.0",
        "action": "retire",
        "kind": "feature_view",
        "token_id": token.pk,
        "run_id": run.pk,
        "alert_id": alert.pk,
        "part_id": part.pk,
        "letter_id": letter.pk,
        "certificate_id": certificate.pk,
        "grant_id": grant.pk,
        "version_id": version.pk,
        "comment_id": 1,
        "proposal_id": 1,
        "step": "accept",
    }
    return cast, named


def path_of(address: str, named: dict[str, Any]) -> str:
    """Return an address that leads to something: what it names is there."""
    here = dict(named)
    for plural, name in {
        "entities": "driver", "data-sources": "driver_stats", "feature-services": "menu",
        "service-accounts": "churn", "datasets": "leavers", "lineage": "driver_hourly",
    }.items():  # fmt: skip
        if f"/{plural}/" in address:
            here["name"] = name
    path = address.removesuffix("$")
    path = re.sub(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)", lambda m: str(here.get(m[1], 1)), path)
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda m: str(here.get(m[1], 1)), path)


class Asking:
    """The people, each with a token of their own."""

    def __init__(self, cast: factories.Cast) -> None:
        shut = factories.make_user("shut")
        self._headers: dict[str, dict[str, str]] = {"nobody": {}}
        for name in PEOPLE[1:]:
            known = {"expired": cast.owner, "revoked": shut}
            user = known.get(name) or getattr(cast, name)
            token, text = tokens.issue_token(
                user=user, name="t", actor=user, at=timezone.now(), is_logged_in=True
            )
            self._headers[name] = {"Authorization": f"Bearer {text}"}
            if name == "expired":
                ApiToken.objects.filter(pk=token.pk).update(expires_at=AT)
        users.set_active(user=shut, active=False, actor=cast.superuser, at=AT)

    def letter(self, name: str, method: str, path: str, body: str) -> str:
        """Ask, look what became of it, and leave no trace."""
        sent: dict[str, Any] = {"content_type": "application/json", "data": body}
        with transaction.atomic():
            answer = Client(raise_request_exception=False).generic(
                method, path, headers=self._headers[name], **(sent if method != "GET" else {})
            )
            transaction.set_rollback(True)
        return LETTERS.get(answer.status_code, "!" if answer.status_code == 500 else ".")


def test_every_door_lets_in_whom_it_should_and_nobody_else(world):
    cast, named = world
    asking, wrong = Asking(cast), []
    for method, address in lines():
        path = path_of(address, named)
        body = json.dumps(BODIES.get(address.rpartition("/")[2].rstrip("$"), {}))
        wanted = databases.asking(PEOPLE, TABLE.get(f"{method} {address}", "?" * len(PEOPLE)))
        seen = {name: asking.letter(name, method, path, body) for name in wanted}
        if seen != wanted or "!" in seen.values():
            said = "".join(seen.values()), "".join(wanted.values())
            wrong.append(f'    "{method} {address}": "{said[0]}",  # the table says: {said[1]}')
    gone = TABLE.keys() - {f"{method} {address}" for method, address in lines()}
    assert wrong == [], "\n" + "\n".join(wrong)
    assert gone == set()


def test_nobody_gets_through_without_a_token_that_works():
    """What the table may not say, whoever writes a line; by the one door a token is got."""
    for line, letters in TABLE.items():
        if line == "POST api/v1/login":
            continue
        assert (letters[0], letters[-2:]) == ("u", "uu"), line
