"""The list of views: how old what is read of each is, what it promises, and which are overdue."""

from __future__ import annotations

import pytest
from django.urls import reverse

from tests.factories import DEFINITIONS, make_version
from tests.materialization.run_world import ROWS, committed, materialize, write_rows

pytestmark = pytest.mark.django_db
LIST = reverse("admin:registry_featureview_changelist")


@pytest.mark.parametrize(("promise", "is_late"), [("2h", True), ("10000d", False)])
def test_the_list_says_how_old_views_are_and_finds_those_overdue(
    as_, cast, sources, promise, is_late
):
    write_rows(sources, ROWS)
    text = DEFINITIONS.replace("schedule:", f"freshness: {promise}\nschedule:")
    assert text != DEFINITIONS
    with committed():
        materialize(make_version(cast, text=text))

    page = as_("consumer").get(LIST).text
    late = as_("consumer").get(LIST, {"freshness": "overdue"}).text

    assert f"promised {promise}" in page
    assert (">overdue</span>" in page) == is_late
    assert ("driver_hourly" in late) == is_late
