"""Changes that waited for another one: they see what it left, not what was true before the wait."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from lib.seen import ChangedMeanwhile
from registry.access import ActionNotPermitted
from registry.choices import Role
from registry.models import ApiToken, AuditHead, Membership, Project
from registry.operations.people import members, projects, tokens, users
from tests.factories import AT, give_role, make_service_account, make_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry.models import Proposal

pytestmark = pytest.mark.skipif(
    "connection.vendor == 'sqlite'", reason="SQLite runs one writing transaction at a time"
)


@contextmanager
def holding() -> Iterator[Callable[..., list[Future[Any]]]]:
    """Run the block in a transaction; what it gives begins calls that wait for what is held."""

    def run(call: Callable[[], Any]) -> Any:
        try:
            return call()
        finally:
            connection.close()

    def begin(*calls: Callable[[], Any]) -> list[Future[Any]]:
        begun = [pool.submit(run, call) for call in calls]
        deadline = time.monotonic() + 60
        while _waiting() < len(calls):
            assert time.monotonic() < deadline, "nobody came to wait"
            time.sleep(0.01)
        return begun

    with ThreadPoolExecutor() as pool, transaction.atomic():
        yield begin


def _waiting() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
        return int(cursor.fetchone()[0])


DEEDS = {
    "grant": lambda cast: members.grant_role(
        project=cast.project, user=cast.outsider, role=Role.OWNER, actor=cast.owner, at=AT
    ),
    "revoke": lambda cast: members.revoke_role(
        project=cast.project, user=cast.author, role=Role.AUTHOR, actor=cast.owner, at=AT
    ),
    "change": lambda cast: change(cast, cast.project, 1),
    "issue": lambda cast: tokens.issue_token(
        user=User.objects.get(username="robot"),
        name="x",
        actor=cast.owner,
        at=AT,
        project=cast.project,
    ),
    "end a token": lambda cast: tokens.revoke_token(
        token=ApiToken.objects.get(), actor=cast.owner, at=AT
    ),
}


def change(cast, project: Project, approvals: int) -> Proposal | None:
    return projects.change_project(
        project=project,
        actor=cast.owner,
        at=AT,
        title="rides",
        approvals_required=approvals,
        approvals_required_sensitive=5,
    )


@pytest.mark.parametrize("deed", list(DEEDS))
def test_a_role_taken_away_during_the_wait_is_missed(committed_cast, deed):
    cast = committed_cast
    make_service_account("robot", cast)
    tokens.issue_token(user=cast.author, name="x", actor=cast.author, at=AT, project=cast.project)

    take = {"project": cast.project, "role": Role.OWNER, "actor": cast.superuser, "at": AT}

    with holding() as begin:
        give_role(cast.project, cast.steward, Role.OWNER, cast.superuser)
        (waits,) = begin(lambda: DEEDS[deed](cast))
        members.revoke_role(user=cast.owner, **take)

    with pytest.raises(ActionNotPermitted, match="owner lacks the right manage_members"):
        waits.result(60)
    assert Membership.objects.filter(user=cast.author, project=cast.project).exists()


def test_a_project_changed_during_the_wait_is_not_changed_back(committed_cast):
    cast = committed_cast
    theirs = Project.objects.get(pk=cast.project.pk)

    with holding() as begin:
        change(cast, cast.project, 4)
        (waits,) = begin(lambda: change(cast, theirs, 2))

    with pytest.raises(ChangedMeanwhile, match="approvals_required is 4 now, not 1"):
        waits.result(60)
    assert Project.objects.get(pk=cast.project.pk).approvals_required == 4


@pytest.mark.parametrize("column", ["is_superuser", "is_active"])
def test_of_two_superusers_who_leave_at_once_one_stays(committed_cast, column):
    second = make_user("second", is_staff=True, is_superuser=True)
    pks = [committed_cast.superuser.pk, second.pk]

    def leave(pk: int) -> Proposal | None:
        user = User.objects.get(pk=pk)
        setattr(user, column, False)
        return users.change_user(user=user, actor=User.objects.get(pk=pk), at=AT)

    with holding() as begin:
        # Whoever has passed every check waits here, to write that it is done.
        AuditHead.objects.select_for_update().get()
        waits = begin(*(lambda pk=pk: leave(pk) for pk in pks))

    refusals = [waiting.exception(10) for waiting in waits]
    assert [type(error) for error in refusals if error] == [users.LastSuperuser]
    assert User.objects.filter(pk__in=pks, is_superuser=True, is_active=True).count() == 1
