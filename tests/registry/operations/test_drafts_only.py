"""``drafts_only``: what counts at once, or is somebody else's, is refused, and all with it."""

from __future__ import annotations

import pytest

from registry.models import AuditEntry, DataSource, FeatureView, FeatureViewVersion
from registry.operations.lifecycle import reviews
from registry.operations.registration.drafts_only import NotOnlyDrafts
from tests import factories
from tests.factories import DEFINITIONS, ENTITY, SOURCE, VIEW

pytestmark = pytest.mark.django_db

SERVICE = "kind: FeatureService\nname: mine\nfeatures: [driver_hourly:conv_rate]\n"
OTHER = VIEW.replace("name: driver_hourly", "name: another")


def test_what_is_new_is_registered_and_so_is_another_draft_of_ones_own(cast):
    factories.apply(DEFINITIONS, cast, drafts_only=True)
    (changed,) = factories.apply(described(VIEW), cast, drafts_only=True)
    (same,) = factories.apply(described(VIEW), cast, drafts_only=True)

    assert (changed.change, same.change) == ("updated", "unchanged")
    assert "again" in FeatureViewVersion.objects.get().spec_json


def described(text: str) -> str:
    return f"{text.rstrip()}\ndescription: again\n"


@pytest.mark.parametrize("text", [described(ENTITY), described(SOURCE), SERVICE])
def test_what_counts_at_once_is_refused_and_all_with_it(cast, text):
    factories.apply(DEFINITIONS, cast)
    before = AuditEntry.objects.count()

    for dry_run in (True, False):
        with pytest.raises(NotOnlyDrafts, match="at once"):
            factories.apply(f"{OTHER}---\n{text}", cast, drafts_only=True, dry_run=dry_run)

    assert AuditEntry.objects.count() == before
    assert not FeatureView.objects.filter(name="another").exists()
    assert DataSource.objects.get().description == ""


def test_a_draft_that_somebody_else_began_is_left(cast):
    factories.apply(DEFINITIONS, cast, actor=cast.owner)

    with pytest.raises(NotOnlyDrafts, match="driver_hourly is, in part or whole, somebody else's"):
        factories.apply(described(VIEW), cast, drafts_only=True)

    assert "again" not in FeatureViewVersion.objects.get().spec_json


def test_a_draft_that_somebody_else_went_on_with_is_left(cast):
    factories.apply(DEFINITIONS, cast)
    factories.apply(described(VIEW), cast, actor=cast.owner)

    with pytest.raises(NotOnlyDrafts):
        factories.apply(VIEW, cast, drafts_only=True)

    factories.apply(VIEW, cast, actor=cast.owner)


def test_an_approved_view_of_others_gets_a_draft(cast):
    (*_, applied) = factories.apply(DEFINITIONS, cast, actor=cast.author, submit=True)
    reviews.approve_version(
        version=applied.draft,
        packet_hash=factories.seen(applied.draft),
        actor=cast.steward,
        at=factories.AT,
    )
    (made,) = factories.apply(described(VIEW), cast, actor=cast.owner, drafts_only=True)

    assert (made.change, made.state) == ("updated", "draft")
