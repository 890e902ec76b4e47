"""What follows a transaction: it fails alone, and is told of."""

from __future__ import annotations

from functools import partial

import pytest
from kombu.exceptions import OperationalError

from lib.commits import once_committed

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("error", [OperationalError("the broker is full"), ValueError("a mistake")])
def test_what_fails_holds_up_nothing_that_follows(
    caplog, django_capture_on_commit_callbacks, error
):
    done = []

    def fail() -> None:
        raise error

    with django_capture_on_commit_callbacks(execute=True):
        once_committed("waking a worker", partial(fail))
        once_committed("counting", lambda number: done.append(number), number=1)

    assert done == [1]
    (told,) = caplog.records
    assert told.getMessage().startswith("waking a worker failed")
    assert (told.exc_info is None) == isinstance(error, OperationalError)
