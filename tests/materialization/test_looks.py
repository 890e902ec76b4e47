"""What looking at sources says to who plans, and how long all of it may take."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from materialization.edges.looks import look_at_sources
from registry.choices import State
from registry.operations.lifecycle.submissions import SourceProblems, submit_version
from tests.factories import AT, make_version
from tests.materialization.run_world import ROWS, write_rows

pytestmark = pytest.mark.django_db


def test_the_sources_of_what_is_sent_together_have_so_much_time(cast, sources, settings):
    write_rows(sources, ROWS)
    draft = make_version(cast, state=State.DRAFT)
    (seen,) = look_at_sources(specs=[draft.spec], project=cast.project)
    assert seen.problems == []

    settings.LOOKS_MAX_SECONDS = 0

    (late,) = look_at_sources(specs=[draft.spec], project=cast.project)
    [(path, said)] = late.problems
    assert path == ("source", "path")
    assert said.startswith("driver_stats was not looked at")
    assert "LOOKS_MAX_SECONDS" in said
    with pytest.raises(SourceProblems, match="Send fewer views at once"):
        submit_version(version=draft, actor=cast.author, at=AT, look=look_at_sources)


def test_a_plan_says_which_rows_lie_ahead(cast, sources):
    driver, _, _, *values = ROWS[0]
    ahead = timezone.now() + timedelta(days=1)
    write_rows(sources, [*ROWS, (driver, ahead, ahead, *values)])
    draft = make_version(cast, state=State.DRAFT)

    (seen,) = look_at_sources(specs=[draft.spec], project=cast.project)

    said = [each for each in seen.warnings if "lies ahead" in each]
    assert [each.partition(" that ")[0] for each in said] == [
        "1 of 5 rows have a time in 'event_timestamp'",
        "1 of 5 rows have a time in 'created'",
    ]
