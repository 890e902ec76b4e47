"""The evidence of a version that reads rows of an HTTP server."""

from __future__ import annotations

import pytest

from materialization.edges.looks import look_at_sources
from registry.operations.lifecycle import submissions
from tests.factories import apply
from tests.materialization.run_world import AT, HOUR, committed
from tests.materialization.runner.test_assaying import assayed
from tests.materialization.runner.test_http_runs import IN_PAGES, WHOLE, Trips
from tests.materialization.runner.test_http_runs import trips as trips  # noqa: PLC0414 - a fixture
from tests.materialization.test_arrival import definitions
from tests.sites import TOKEN, Said

pytestmark = pytest.mark.django_db


def submitted(cast, text):
    with committed():
        (draft,) = (each.draft for each in apply(text, cast, look=look_at_sources) if each.draft)
        return submissions.submit_version(
            version=draft, actor=cast.author, at=AT, look=look_at_sources
        )


@pytest.mark.parametrize("text", [WHOLE, IN_PAGES])
def test_a_reviewer_sees_what_the_rows_are(trips: Trips, cast, text):
    trips.add(*((1 + n % 2, AT - (5 - n) * HOUR, n) for n in range(5)))
    version = submitted(cast, definitions(text))

    evidence = assayed(version)

    states = {name: part["state"] for name, part in evidence.parts.items()}
    assert states.pop("comparison") in ("computed", "not_applicable", "skipped"), states
    facts = evidence.parts["cost"]["facts"]
    assert (facts["rows_read"], facts["online_keys"]) == (5, 2)


def test_a_server_that_is_gone_by_then_is_said(trips: Trips, cast):
    trips.add((1, AT - HOUR, 1))
    version = submitted(cast, definitions(WHOLE))
    trips.site.put("/v1/trips", Said({"token": TOKEN}, status=404))

    evidence = assayed(version)

    said = str(evidence.parts)
    assert "the server has nothing there (404)" in said
    assert TOKEN not in said
