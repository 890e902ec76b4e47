"""Asking people to decide on a version: by name, else the view's owner, else nobody in particular.

Not for who that is now (``registry.reviewers``): rights go on changing after somebody was asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from lib.errors import SHOWN_LENGTH, Conflict, Forbidden, Invalid
from registry import access, audit, epoch
from registry.approval import require_reviewer
from registry.choices import Right, State
from registry.models import AskedReviewer
from registry.reviewers import could_decide

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser

    from registry.models import FeatureViewVersion

#: People that one version may be asked of, and those that a refusal names.
MOST_ASKED, MOST_NAMED = 20, 10


class CannotReview(Invalid):
    code = "cannot_review"


class NothingToAsk(Conflict):
    code = "nothing_to_ask"


def ask_reviewers(
    *, version: FeatureViewVersion, reviewers: Sequence[str], actor: User, at: datetime
) -> list[User]:
    """Ask exactly these people, by user name, to decide; nobody: it is asked of all who may.

    :raises ActionNotPermitted: the actor may neither edit nor approve the view.
    :raises CannotReview: no such person, or one who may not approve it; names those who could.
    :raises NothingToAsk: the version is neither a draft nor in review.
    """
    require_hand(actor, version)
    with transaction.atomic():
        epoch.hold(version.feature_view.project_id)
        version.hold()
        require_hand(actor, version)
        if version.state not in (State.DRAFT, State.IN_REVIEW):
            raise NothingToAsk(f"{version} is {version.state}: there is nothing to decide on.")
        return ask(version, reviewers, actor, at)


def may_ask(user: User | AnonymousUser, version: FeatureViewVersion) -> bool:
    rights = access.permissions(user, version.feature_view)
    return not rights.isdisjoint({Right.CHANGE_FEATUREVIEW, Right.APPROVE_FEATUREVIEW})


def require_hand(actor: User, version: FeatureViewVersion) -> None:
    """:raises ActionNotPermitted: the actor may neither edit nor approve the view, as of now."""
    if not may_ask(access.reloaded(actor), version):
        access.require_still(actor, Right.CHANGE_FEATUREVIEW, version.feature_view)


def ask(
    version: FeatureViewVersion, reviewers: Sequence[str], actor: User, at: datetime
) -> list[User]:
    """Do as ``ask_reviewers``, inside a change the caller has authorised."""
    before = set(version.asked.values_list("reviewer", flat=True))
    found = _people(version, reviewers)
    _store(version, found, actor, at)
    if before != {person.pk for person in found}:
        audit.record(
            actor=actor,
            verb="feature_view_version.asked",
            subject=version,
            before={"reviewers": sorted(before)},
            after={"reviewers": sorted(person.pk for person in found)},
            at=at,
        )
    return found


def ask_owner(version: FeatureViewVersion, at: datetime) -> None:
    """Ask whom the definition names as owner, where that is somebody who may and nobody is asked.

    Owners are often teams: then it is asked of all who may.
    """
    version.asked.filter(asked_by=None).delete()
    owner = version.spec.view.owner
    if owner and not version.asked.exists():
        is_owner = Q(username=owner) | Q(email__iexact=owner)
        _store(version, list(could_decide(version).filter(is_owner)[:MOST_ASKED]), None, at)


def _people(version: FeatureViewVersion, names: Sequence[str]) -> list[User]:
    if len(set(names)) > MOST_ASKED:
        raise CannotReview(f"{len(set(names))} reviewers; ask at most {MOST_ASKED}.")
    known = {person.get_username(): person for person in could_decide(version)}
    if unknown := [name for name in names if name not in known]:
        some = [*known][:MOST_NAMED]
        could = ", ".join(some) + (", …" if len(known) > len(some) else "")
        raise CannotReview(
            f"{unknown[0][:SHOWN_LENGTH]!r} cannot review {version}: who may approve it and wrote"
            f" nothing of it can; that is {could or 'nobody'}.",
        )
    people = [known[name] for name in dict.fromkeys(names)]
    for person in people if version.state == State.IN_REVIEW else ():
        try:
            require_reviewer(version, person)
        except Forbidden as error:
            raise CannotReview(error.message) from error
    return people


def _store(
    version: FeatureViewVersion, people: Sequence[User], actor: User | None, at: datetime
) -> None:
    version.asked.exclude(reviewer__in=people).delete()
    AskedReviewer.objects.bulk_create(
        [
            AskedReviewer(version=version, reviewer=person, asked_by=actor, asked_at=at)
            for person in people
        ],
        ignore_conflicts=True,
    )
