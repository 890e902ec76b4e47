"""An alert opens once, collects while open, closes when its cause is gone, and opens anew."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from materialization.choices import AlertKind
from materialization.models import Alert
from materialization.quality.alerts.causes import SEVERITY
from materialization.quality.alerts.opening import (
    About,
    Trouble,
    close_alert,
    raise_alert,
    settle,
)
from tests.factories import AT

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
FULL = AlertKind.STORE_NEARLY_FULL


def raised(about: About, words: str = "so it is", *, at=AT) -> Alert:
    return raise_alert(FULL, about, Trouble(words, "code"), at=at)


def test_every_kind_has_a_severity():
    assert set(SEVERITY) == set(AlertKind)


@pytest.mark.parametrize("of_project", [True, False])
def test_it_opens_once_and_collects(cast, of_project):
    about = About("store", cast.project if of_project else None)

    first, second = raised(about, "once"), raised(about, "twice", at=AT + MINUTE)

    assert first.pk == second.pk
    assert (second.count, second.opened_at, second.last_seen_at) == (2, AT, AT + MINUTE)
    assert (second.words, second.severity, second.state) == ("twice", "critical", "open")


@pytest.mark.parametrize("of_project", [True, False])
def test_the_database_keeps_a_second_one_from_opening(cast, of_project):
    alert = raised(About("store", cast.project if of_project else None))
    alert.pk = None

    with pytest.raises(IntegrityError), transaction.atomic():
        alert.save(force_insert=True)


def test_it_closes_once_and_opens_anew(cast):
    about = About("store", cast.project)
    first = raised(about)

    assert [close_alert(FULL, about, at=AT + MINUTE) for _ in range(2)] == [True, False]

    first.refresh_from_db()
    assert (first.state, first.closed_at) == ("closed", AT + MINUTE)
    assert raised(about, at=AT + 2 * MINUTE).pk != first.pk


def test_subjects_kinds_and_projects_are_told_apart(cast):
    raised(About("a", cast.project))
    raised(About("b", cast.project))
    raised(About("a"))
    raise_alert(AlertKind.DRIFTED, About("a", cast.project), Trouble("x"), at=AT)

    assert Alert.objects.open().count() == 4
    close_alert(FULL, About("a", cast.project), at=AT)
    left = Alert.objects.open().values_list("kind", "subject", "project")
    assert ("store_nearly_full", "a", None) in left
    assert len(left) == 3


def test_settling_opens_what_is_found_and_closes_what_is_not(cast):
    settle(FULL, {About("a"): Trouble("full"), About("b"): Trouble("full")}, at=AT)
    settle(FULL, {About("b"): Trouble("fuller"), About("c"): Trouble("full")}, at=AT + MINUTE)

    assert sorted(Alert.objects.open().values_list("subject", "count", "words")) == [
        ("b", 1, "full"),  # noted a moment ago
        ("c", 1, "full"),
    ]
    settle(FULL, {About("b"): Trouble("fuller")}, at=AT + 6 * MINUTE)
    assert list(Alert.objects.open().values_list("subject", "count", "words")) == [
        ("b", 2, "fuller")
    ]


def test_a_clock_that_went_back_does_not_silence_it(cast):
    settle(FULL, {About("a"): Trouble("full")}, at=AT)
    settle(FULL, {About("a"): Trouble("fuller")}, at=AT - 60 * MINUTE)

    assert Alert.objects.get().words == "fuller"


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_of_many_at_once_one_opens_it(committed_cast):
    start = threading.Barrier(4)

    def meet() -> None:
        start.wait()
        try:
            raised(About("store", committed_cast.project))
        finally:
            connection.close()

    threads = [threading.Thread(target=meet) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert list(Alert.objects.values_list("count", flat=True)) == [4]
