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


def test_the_cases_that_fail_are_named_and_the_others_are_asked():
    """On PostgreSQL the first alone is asked."""
    people, asked = ["cleo", "ana", "ben"], []

    @walk("who", people)
    def refused(who):
        asked.append(who)
        if who == "cleo":
            pytest.fail("no error was raised")
        assert who == "ana"

    with pytest.raises(BaseExceptionGroup) as caught:
        refused()

    everybody = connection.vendor == SQLITE
    notes = [error.__notes__ for error in caught.value.exceptions]
    assert asked == (people if everybody else ["cleo"])
    assert notes == ([["who: cleo"], ["who: ben"]] if everybody else [["who: cleo"]])
    assert caught.value.message == ("2 of 3 cases" if everybody else "1 of 1 cases")


@pytest.mark.django_db(transaction=True)
def test_what_commits_is_not_walked():
    with pytest.raises(RuntimeError, match="cannot be undone"):
        walk("who", ["ana", "ben"])(lambda who: None)()
