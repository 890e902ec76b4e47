"""Two people at the same moment: whoever comes second is told, and nothing is lost or stuck."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, transaction

from lib.errors import Conflict
from registry import audit, epoch, spreading
from registry.choices import Role, State
from registry.models import (
    AuditEntry,
    BrokenGlass,
    FeatureViewVersion,
    NewsCursor,
    Notification,
    Project,
    ReviewComment,
)
from registry.operations.lifecycle import after_glass, glass, releases, reviews, submissions
from registry.operations.lifecycle.commenting import add_comment, resolve_thread
from registry.operations.people import members
from registry.reviewers import asked_now
from registry.spec.fingerprints import content_fingerprint
from registry.trail import verifying
from tests.factories import (
    AT,
    DEFINITIONS,
    SOURCE,
    VIEW,
    apply,
    look,
    make_ready,
    make_user,
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
        barrier.wait(60)
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


def test_of_two_who_confirm_or_object_at_once_one_settles_it(committed_cast):
    cast = committed_cast
    version = make_version(cast, state=State.IN_REVIEW)
    say = {"at": AT, "packet_hash": seen(version), "comment": "The scorer is down."}
    glass.break_glass(version=fresh(version), actor=cast.owner, **say)

    results = together(
        lambda: after_glass.confirm_glass(version=fresh(version), actor=cast.steward, **say),
        lambda: after_glass.object_to_glass(
            version=fresh(version), actor=cast.second_steward, **say
        ),
        lambda: after_glass.end_glasses(at=AT + timedelta(days=1)),
    )

    assert conflicts(results) == 1
    confirmed = version.reviews.exists()
    assert fresh(version).glass.verdict == ("confirmed" if confirmed else "objected")
    assert list(verifying.findings()) == []


def test_of_two_glasses_of_a_view_broken_at_once_one_is(committed_cast):
    cast = committed_cast
    make_version(cast)
    versions = [
        make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("ttl: 2d", f"ttl: {days}d"))
        for days in (3, 4)
    ]
    say = {"at": AT, "comment": "The scorer is down."}

    results = together(
        *(
            lambda each=each: glass.break_glass(
                version=fresh(each), actor=cast.owner, packet_hash=seen(each), **say
            )
            for each in versions
        )
    )

    assert conflicts(results) == 1
    assert BrokenGlass.objects.count() == 1


def test_one_of_two_submissions_gets_the_number(committed_cast):
    cast = committed_cast
    version = make_version(cast, state=State.DRAFT)

    results = together(
        *[
            lambda: submissions.submit_version(
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
        lambda: submissions.submit_version(
            version=fresh(version), actor=cast.author, at=AT, look=look
        ),
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


def test_ten_authors_submit_versions_of_one_view_at_once(committed_cast):
    """Each gets a number of its own, a packet, and the entry of its author; nobody's is lost."""
    cast = committed_cast
    make_version(cast)
    authors = [make_user(f"author_{number}") for number in range(10)]
    for author in authors:
        members.grant_role(
            project=cast.project, user=author, role=Role.AUTHOR, actor=cast.owner, at=AT
        )
    texts = [
        VIEW.replace("ttl: 2d", f"ttl: {number + 3}d").replace("owner: rides", f"owner: {author}")
        for number, author in enumerate(authors)
    ]

    results = together(
        *(
            partial(apply, text, cast, actor=author, submit=True)
            for author, text in zip(authors, texts, strict=True)
        )
    )

    waiting = list(FeatureViewVersion.objects.filter(state=State.IN_REVIEW))
    assert len(waiting) == 10 - conflicts(results)
    assert len(waiting) > 0
    assert len({each.number for each in waiting}) == len(waiting)
    for each in waiting:
        assert each.packet["content"] == content_fingerprint(each.spec)
        assert each.spec.view.owner == each.submitted_by.get_username()
        assert not asked_now().filter(version=each.pk).exists()  # no author may decide
    submitted = AuditEntry.objects.filter(verb="feature_view_version.submitted")
    assert submitted.count() == len(waiting) + 1
    assert audit.verify() is None


def test_of_two_sweeps_at_once_one_tells_of_the_trail(committed_cast):
    make_version(committed_cast, state=State.IN_REVIEW)
    NewsCursor.objects.create(pk=1)

    together(*[partial(spreading.spread_news, at=AT)] * 4)

    assert Notification.objects.count() == 3
    assert NewsCursor.objects.get().entry_id == AuditEntry.objects.latest("id").pk


def test_a_thread_is_resolved_once_by_two_at_once(committed_cast):
    cast = committed_cast
    version = make_version(cast, state=State.IN_REVIEW)
    thread = add_comment(version=version, body="Why?", actor=cast.steward, at=AT)

    def settle(actor: Any) -> Any:
        return resolve_thread(thread=ReviewComment.objects.get(pk=thread.pk), actor=actor, at=AT)

    results = together(partial(settle, cast.steward), partial(settle, cast.second_steward))

    assert conflicts(results) == 1
    assert AuditEntry.objects.filter(verb="review_comment.resolved").count() == 1
