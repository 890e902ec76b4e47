"""A run reads the place its version was approved for, and says so when it cannot."""

from __future__ import annotations

import pytest

from materialization.edges.looks import look_at_sources
from registry.choices import State
from registry.models import FeatureViewVersion, FileRoot
from registry.operations.lifecycle import reviews, submissions
from registry.operations.registration.roots import assign_root, move_root
from tests.factories import make_project, make_version, seen
from tests.materialization.run_world import (
    AT,
    DRIVERS,
    HOUR,
    ROWS,
    committed,
    materialize,
    online,
    write_rows,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def elsewhere(sources):
    """Other data in another place: what a root can be moved to; the first has new rows as well."""
    other = sources.parent / "other"
    other.mkdir()
    write_rows(sources, [*ROWS, (1001, AT, AT, 0.1, 12)])
    write_rows(other, [(1001, AT, AT, 0.9, 99)])
    return other


def test_an_approved_version_computes_nothing_from_a_place_it_was_not_approved_for(
    version, cast, settings, elsewhere
):
    settings.FILE_ROOTS = [str(elsewhere.parent)]
    with committed():
        materialize(version, end=AT - 2 * HOUR)
        move_root(root=FileRoot.objects.get(), path=str(elsewhere), actor=cast.superuser, at=AT)

    run = materialize(version, end=AT)

    assert (run.status, run.error_code, run.rows_read) == ("failed", "root_moved", 0)
    assert "root 'default' is in another place than when driver_hourly was written" in run.error
    assert online(version, DRIVERS, at=AT)["avg_daily_trips"] == [11, 20, 30, None]


def test_what_is_approved_for_the_new_place_reads_it(version, cast, settings, elsewhere):
    settings.FILE_ROOTS = [str(elsewhere.parent)]
    with committed():
        drafts = move_root(
            root=FileRoot.objects.get(), path=str(elsewhere), actor=cast.superuser, at=AT
        )
        draft = drafts[0].draft
        submissions.submit_version(version=draft, actor=cast.author, at=AT, look=look_at_sources)
        reviews.approve_version(version=draft, packet_hash=seen(draft), actor=cast.steward, at=AT)

        assert materialize(draft).status == "succeeded"
    second = FeatureViewVersion.objects.get(pk=draft.pk)
    assert second.number == "2.0.0"
    assert online(second, DRIVERS, at=AT)["avg_daily_trips"] == [99, None, None, None]


def test_a_draft_of_before_the_move_is_not_submitted_over_the_new_place(
    cast, sources, settings, elsewhere
):
    settings.FILE_ROOTS = [str(elsewhere.parent)]
    draft = make_version(cast, state=State.DRAFT)
    FileRoot.objects.update(path=str(elsewhere))

    with pytest.raises(submissions.SourceProblems, match="in another place"):
        submissions.submit_version(version=draft, actor=cast.author, at=AT, look=look_at_sources)


def test_two_projects_read_the_same_path_each_under_its_own_root(cast, settings, elsewhere):
    settings.FILE_ROOTS = [str(elsewhere.parent)]
    trips = make_project("trips", cast.owner)
    assign_root(project=trips, path=str(elsewhere), actor=None, at=AT)

    spec = make_version(cast).spec

    (mine,) = look_at_sources(specs=[spec], project=cast.project)
    (other,) = look_at_sources(specs=[spec], project=trips)
    assert mine.rows == 5
    assert "in another place" in other.problems[0][1]
