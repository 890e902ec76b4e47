"""A matrix walked in one transaction: each case is by itself, and those that fail are all named."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection

from tests.databases import SQLITE
from tests.undoing import undone, walk

pytestmark = pytest.mark.django_db


def test_what_is_done_inside_is_undone():
    with undone():
        User.objects.create(username="ana")

    assert not User.objects.exists()


@walk("who", ["ana", "ben"])
def test_each_case_finds_what_the_first_did(who, cast):
    assert not User.objects.filter(username__in=["ana", "ben"]).exists()
    User.objects.create(username=who)


@pytest.mark.database(SQLITE)
def test_the_cases_that_fail_are_named_and_the_others_are_asked():
    asked = []

    @walk("who", ["ana", "ben", "cleo", "dan"])
    def refused(who):
        asked.append(who)
        if who == "cleo":
            pytest.fail("no error was raised")
        assert who == "ana"

    with pytest.raises(BaseExceptionGroup, match="3 of 4 cases") as caught:
        refused()

    assert asked == ["ana", "ben", "cleo", "dan"]
    notes = [error.__notes__ for error in caught.value.exceptions]
    assert notes == [["who: ben"], ["who: cleo"], ["who: dan"]]


@pytest.mark.database("postgresql")
def test_postgresql_asks_as_the_first_alone():
    asked = []
    walk("who", ["ana", "ben"])(lambda who: asked.append(who))()

    assert (connection.vendor, asked) == ("postgresql", ["ana"])
