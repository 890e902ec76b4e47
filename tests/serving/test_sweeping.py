"""How often stores are looked through, and that a look that failed was none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from serving.sweeping import EVERY, look_through

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_a_store_is_looked_through_once_an_hour_and_again_at_once_after_a_failure():
    done: list[datetime] = []

    def looked(at: datetime, *, fails: bool = False, what: str = "files") -> int:
        def look() -> None:
            done.append(at)
            if fails:
                raise OSError("the bucket is away")

        try:
            look_through(what, look, at=at)
        except OSError:
            assert fails
        return len(done)

    assert looked(NOON, fails=True) == 1
    assert looked(NOON + SECOND) == 2
    assert looked(NOON + EVERY) == 2
    assert looked(NOON + EVERY, what="others") == 3
    assert looked(NOON + SECOND + EVERY) == 4
    assert looked(NOON) == 5  # by a clock that was set back
