"""Two people at the same moment: whoever comes second is told, and nothing is lost or stuck."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, transaction

from lib.errors import Conflict
from registry import audit, epoch
from registry.choices import State
from registry.models import AuditEntry, FeatureViewVersion, Project
from registry.operations.lifecycle import releases, reviews
from tests.factories import (
    AT,
    DEFINITIONS,
    SOURCE,
    VIEW,
    apply,
    look,
    make_ready,
    make_version,
    seen,
    view_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(
    "connection.vendor == 'sqlite'", reason="SQLite runs one writing transaction at a time"
)


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Run the calls at once, each with a connection of its own; a Conflict is a result too."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait(10)
        try:
            return call()
        except Conflict as exc:
            return exc
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def fresh(version: FeatureViewVersion) -> FeatureViewVersion:
    return FeatureViewVersion.objects.select_related("feature_view__project").get(pk=version.pk)


def conflicts(results: list[Any]) -> int:
    return sum(isinstance(result, Conflict) for result in results)


def test_the_first_entries_of_a_trail_form_one_chain(transactional_db):
    def note() -> None:
        with transaction.atomic():
            audit.record(actor=None, verb="project.changed", subject=None, at=AT)

    together(*[note] * 8)

    assert AuditEntry.objects.count() == 8
    assert audit.verify() is None


def test_two_approvals_at_once_are_two(committed_cast):
    cast = committed_cast
    text = DEFINITIONS.replace("sensitivity: internal", "sensitivity: restricted")
    version = make_version(cast, state=State.IN_REVIEW, text=text)

    together(
        *(
            lambda steward=steward: reviews.approve_version(
                version=fresh(version), packet_hash=seen(version), actor=steward, at=AT
            )
            for steward in (cast.steward, cast.second_steward)
        )
    )

    assert fresh(version).state == State.APPROVED
    assert audit.verify() is None


def test_one_of_two_submissions_gets_the_number(committed_cast):
    cast = committed_cast
    version = make_version(cast, state=State.DRAFT)

    results = together(
        *[
            lambda: reviews.submit_version(
                version=fresh(version), actor=cast.author, at=AT, look=look
            )
        ]
        * 2
    )

    assert conflicts(results) == 1
    assert (fresh(version).state, fresh(version).number) == (State.IN_REVIEW, "1.0.0")


def test_an_edit_never_lands_in_what_was_submitted(committed_cast):
    cast = committed_cast
    version = make_version(cast, state=State.DRAFT)
    edited = VIEW.replace("Conversion rate", "Share")

    together(
        lambda: reviews.submit_version(version=fresh(version), actor=cast.author, at=AT, look=look),
        lambda: apply(edited, cast, actor=cast.owner),
    )

    for each in FeatureViewVersion.objects.exclude(state=State.DRAFT):
        packet = {row["path"]: row["after"] for row in each.packet["diff"]}
        told = packet["view"]["features"][0]["description"] if "view" in packet else None
        assert told in (None, each.spec.features[0].description)
        owner_edited = each.spec.features[0].description == "Share"
        assert each.has_edited(cast.owner.pk) or not owner_edited


def test_a_retired_version_never_becomes_the_default(committed_cast):
    cast = committed_cast
    make_ready(make_version(cast))
    second = make_ready(make_version(cast, text=VIEW.replace("acc_rate", "accept_rate")))

    together(
        lambda: releases.promote_version(version=fresh(second), actor=cast.steward, at=AT),
        lambda: releases.retire_version(version=fresh(second), actor=cast.second_steward, at=AT),
    )

    assert view_of(cast).default_version.state == State.APPROVED


def test_registrations_of_one_project_wait_for_each_other(committed_cast):
    cast = committed_cast
    views = [VIEW.replace("acc_rate", f"rate_{n}") for n in range(4)]
    apply(DEFINITIONS, cast)

    together(*(lambda text=text: apply(text, cast) for text in views))

    (draft,) = FeatureViewVersion.objects.all()
    edits = AuditEntry.objects.filter(verb="feature_view_version.edited").order_by("id")
    assert len(edits) == 4
    assert [entry.before for entry in edits[1:]] == [entry.after for entry in edits[:3]]
    assert draft.spec_json == edits[3].after


def test_changes_of_one_project_wait_for_each_other(committed_cast):
    project = committed_cast.project

    def add() -> None:
        with epoch.change(project.pk):
            title = Project.objects.get(pk=project.pk).title
            Project.objects.filter(pk=project.pk).update(title=title + "!")

    together(*[add] * 6)

    assert Project.objects.get(pk=project.pk).title == "rides!!!!!!"


def test_plans_and_registrations_do_not_wait_for_each_other_for_ever(committed_cast):
    cast = committed_cast
    apply(DEFINITIONS, cast)
    edits = [DEFINITIONS.replace("Conversion rate", f"Share {n}") for n in range(3)]

    together(
        *(lambda text=text: apply(text, cast, dry_run=True, submit=True) for text in edits),
        *(lambda text=text: apply(text, cast) for text in edits),
    )

    assert audit.verify() is None
    assert AuditEntry.objects.filter(verb="feature_view_version.edited").count() == 3


def test_an_approval_and_a_registration_at_once(committed_cast):
    cast = committed_cast
    version = make_version(cast, state=State.IN_REVIEW)

    together(
        lambda: reviews.approve_version(
            version=fresh(version), packet_hash=seen(fresh(version)), actor=cast.steward, at=AT
        ),
        lambda: apply(VIEW.replace("Conversion rate", "Share"), cast),
        lambda: apply(SOURCE.replace("driver_stats.parquet", "other.parquet"), cast),
    )

    assert fresh(version).state == State.APPROVED
    assert audit.verify() is None
