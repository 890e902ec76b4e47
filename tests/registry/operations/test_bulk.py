"""Several approvals at once: of patches and public features only, each with its own record."""

from __future__ import annotations

import pytest

from registry.choices import State
from registry.models import AuditEntry, Review
from registry.models.feature_view_version import StateChanged
from registry.operations.lifecycle.bulk import NotInBulk, approve_in_bulk
from tests import factories
from tests.factories import AT, VIEW, make_version

pytestmark = pytest.mark.django_db
PUBLIC = VIEW
for _name in ("conv_rate, type: float32", "acc_rate, type: float32"):
    PUBLIC = PUBLIC.replace(_name, f"{_name}, sensitivity: public")
PUBLIC = PUBLIC.replace("sensitivity: internal", "sensitivity: public")


def approve(version, cast, **also):
    options = {"packet_hash": factories.seen(version), "at": AT} | also
    return approve_in_bulk(version=version, actor=cast.steward, **options)


def test_a_patch_is_approved_with_a_review_and_an_entry_of_its_own(cast):
    make_version(cast)
    patch = VIEW.replace("Conversion rate", "Share of calls won")
    version = make_version(cast, state=State.IN_REVIEW, text=patch)
    shown = factories.seen(version)

    assert approve(version, cast).state == State.APPROVED
    assert Review.objects.get(version=version).decided_on == shown
    entry = AuditEntry.objects.filter(verb="feature_view_version.approved").latest("id")
    assert (entry.subject_id, entry.data["packet_hash"]) == (str(version.pk), shown)


def test_what_has_public_features_only_is(cast):
    make_version(cast, state=State.DRAFT)

    assert approve(make_version(cast, state=State.IN_REVIEW, text=PUBLIC), cast).state == "approved"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("ttl: 2d", "ttl: 3d", "is a minor change with features that are not public"),
        ("sensitivity: internal", "sensitivity: public", "weakens a protection"),
        ("sensitivity: internal", "sensitivity: restricted", "has restricted features"),
    ],
)
def test_what_deserves_a_look_of_its_own_is_not(cast, old, new, why):
    make_version(cast)
    version = make_version(cast, state=State.IN_REVIEW, text=VIEW.replace(old, new))

    with pytest.raises(NotInBulk, match=why):
        approve(version, cast)
    assert not Review.objects.filter(version=version).exists()


def test_what_was_submitted_anew_is_not(cast):
    make_version(cast, state=State.DRAFT)
    version = make_version(cast, state=State.IN_REVIEW, text=PUBLIC)

    with pytest.raises(StateChanged):
        approve(version, cast, packet_hash="f" * 64)
