"""What the database refuses of versions, whoever asks and however: the last of the doors."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction

from registry.choices import State, Verdict
from registry.models import FeatureViewVersion, Review, VersionEditor
from tests.factories import AT, make_ready, make_version

pytestmark = pytest.mark.django_db


def refused(match: str):
    return pytest.raises(DatabaseError, match=match)


def rows(version):
    return FeatureViewVersion.objects.filter(pk=version.pk)


@pytest.mark.parametrize("state", [State.IN_REVIEW, State.APPROVED])
@pytest.mark.parametrize(
    "change",
    [
        {"spec_json": "{}"}, {"data_fingerprint": "0" * 64}, {"metadata_fingerprint": "0" * 64},
        {"patch": 7}, {"packet": {}}, {"packet_hash": "0" * 64}, {"table": None},
        {"submitted_by": None}, {"change_class": "patch"},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_a_submitted_version_never_changes(cast, state, change):
    version = make_version(cast, state=state)

    with refused("a submitted version never changes"), transaction.atomic():
        rows(version).update(**change)


def test_a_draft_changes_freely(cast):
    version = make_version(cast, state=State.DRAFT)

    assert rows(version).update(spec_json=version.spec_json + " ") == 1


def test_a_submitted_version_is_never_deleted(cast):
    version = make_version(cast)
    version.editors.all().delete()
    version.features.all().delete()

    with refused("a submitted version is never deleted"), transaction.atomic():
        rows(version)._raw_delete("default")


def test_a_version_begins_as_a_draft(cast):
    version = make_version(cast, state=State.DRAFT)
    version.pk, version.state = None, State.RETIRED
    version.major = version.minor = version.patch = 1
    version.table = make_version(cast).table

    with refused("a version begins as a draft"), transaction.atomic():
        version.save(force_insert=True)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (State.DRAFT, State.APPROVED), (State.IN_REVIEW, State.RETIRED),
        (State.APPROVED, State.DRAFT), (State.APPROVED, State.IN_REVIEW),
    ],
)  # fmt: skip
def test_states_move_along_the_lifecycle_only(cast, before, after):
    version = make_version(cast, state=before)

    with refused("the lifecycle has no such step|submitted_is_numbered"), transaction.atomic():
        rows(version).update(state=after)


@pytest.mark.parametrize("reviewer", [None, "author"])
def test_nobody_approves_their_own(cast, reviewer):
    version = make_version(cast, state=State.IN_REVIEW)
    if reviewer:
        review(version, getattr(cast, reviewer))

    with refused("approval of somebody who did not edit it"), transaction.atomic():
        rows(version).update(state=State.APPROVED)


def test_an_approval_of_another_submission_does_not_count(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    review(version, cast.steward, packet_hash="0" * 64)

    with refused("approval of somebody who did not edit it"), transaction.atomic():
        rows(version).update(state=State.APPROVED)


def test_what_somebody_else_approved_may_become_approved(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    review(version, cast.steward)
    assert VersionEditor.objects.filter(version=version, user=cast.author).exists()

    assert rows(version).update(state=State.APPROVED) == 1
    make_ready(version)


def review(version, reviewer, *, packet_hash: str = "") -> None:
    Review.objects.create(
        version=version, reviewer=reviewer, verdict=Verdict.APPROVED, created_at=AT,
        packet_hash=packet_hash or version.packet_hash, decided_on=version.packet_hash,
    )  # fmt: skip
