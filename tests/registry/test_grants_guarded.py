"""Grants as the database keeps them: by steps that the trail knows of; what passes it is found."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction

from registry.models import ReadGrant
from registry.operations.people import grants
from registry.trail import verifying
from registry.triggers import REMOVAL
from tests.factories import AT, give_grant, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(cast):
    view = make_version(cast).feature_view
    return grants.ask_for_grant(
        project=cast.project, user=cast.consumer, scope=grants.Scope(view), purpose="scores",
        ends_at=AT + timedelta(days=9), by=grants.Hand(cast.consumer), at=AT,
    )  # fmt: skip


def refused(match: str):
    return pytest.raises(DatabaseError, match=match)


def row(cast, **more):
    facts = {"project": cast.project, "user": cast.author, "level": "restricted", "purpose": "x"}
    facts |= {"ends_at": AT + timedelta(days=900), "asked_by": cast.consumer, "asked_at": AT}
    return ReadGrant(**facts | more)


def test_a_grant_is_not_made_given(cast):
    forged = row(cast, state="given", decided_by=cast.steward, decided_at=AT)

    with refused("begins by being asked for"), transaction.atomic():
        forged.save()
    with refused("begins by being asked for"), transaction.atomic():
        ReadGrant.objects.bulk_create([forged])


@pytest.mark.parametrize(
    "change",
    [
        {"ends_at": AT + timedelta(days=999)}, {"level": "restricted", "feature_view": None},
        {"purpose": "y"}, {"asked_at": AT + timedelta(1)},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_what_was_asked_for_stays(asked, change):
    with refused("asked for stays|no such step"), transaction.atomic():
        ReadGrant.objects.filter(pk=asked.pk).update(**change)


def test_whose_it_is_stays(cast, asked):
    for column in ("user", "asked_by"):
        with refused("asked for stays|no such step"), transaction.atomic():
            ReadGrant.objects.filter(pk=asked.pk).update(**{column: cast.author})


def test_it_is_given_by_nobody_of_whom_the_trail_does_not_know(cast, asked):
    given = {"state": "given", "decided_by": cast.steward, "decided_at": AT}

    with refused("needs its entries in the audit trail"), transaction.atomic():
        ReadGrant.objects.filter(pk=asked.pk).update(**given)


def test_what_was_taken_back_is_not_given_again(cast, asked):
    grants.give_grant(grant=asked, by=grants.Hand(cast.steward), at=AT)
    grants.revoke_grant(grant=asked, by=grants.Hand(cast.steward), at=AT)

    with refused("no such step"), transaction.atomic():
        ReadGrant.objects.filter(pk=asked.pk).update(state="given")


def test_who_gave_it_stays(cast, asked):
    grants.give_grant(grant=asked, by=grants.Hand(cast.steward), at=AT)

    with refused("on a grant stays|no such step|needs its entries"), transaction.atomic():
        ReadGrant.objects.filter(pk=asked.pk).update(decided_by=cast.owner)
    with refused("who decided on a grant stays"), transaction.atomic():
        ReadGrant.objects.filter(pk=asked.pk).update(state="revoked", decided_by=cast.owner)


def test_it_is_never_deleted(asked):
    with refused("never deleted"), transaction.atomic():
        ReadGrant.objects.filter(pk=asked.pk).delete()


def test_one_hand_gives_nothing_in_the_table_either(cast, asked):
    with refused("needs its entries|takes_two"), transaction.atomic():
        ReadGrant.objects.filter(pk=asked.pk).update(state="given", decided_by=cast.consumer)


def found(cast):
    with connection.cursor() as cursor:
        for statement in REMOVAL[connection.vendor]:
            cursor.execute(statement)
    return lambda: [each.said for each in verifying.findings() if each.what != "triggers"]


def test_nothing_is_wrong_with_a_whole_life(cast, asked):
    grants.give_grant(grant=asked, by=grants.Hand(cast.steward), at=AT)
    grants.revoke_grant(grant=asked, by=grants.Hand(cast.owner), at=AT)
    give_grant(cast, cast.consumer, level="restricted")

    assert list(verifying.findings()) == []


def test_what_was_changed_past_the_triggers_is_found(cast, asked):
    grants.give_grant(grant=asked, by=grants.Hand(cast.steward), at=AT)
    said = found(cast)
    rows = ReadGrant.objects.filter(pk=asked.pk)

    rows.update(ends_at=AT + timedelta(days=900), user=cast.author)
    assert any("was asked for" in each for each in said())
    rows.update(ends_at=asked.ends_at, user=cast.consumer)
    assert said() == []
    rows.update(decided_by=cast.owner)
    assert any("gave it, and" in each for each in said())


def test_a_grant_that_nobody_asked_for_is_found(cast, asked):
    said = found(cast)

    row(cast, state="given", decided_by=cast.steward, decided_at=AT).save()

    assert "nobody asked for it: the trail has no entry of that" in said()


def test_one_that_was_revoked_in_the_table_alone_is_found(cast, asked):
    grants.give_grant(grant=asked, by=grants.Hand(cast.steward), at=AT)
    said = found(cast)

    ReadGrant.objects.filter(pk=asked.pk).update(state="revoked")

    assert "it is revoked, and given by the trail" in said()
