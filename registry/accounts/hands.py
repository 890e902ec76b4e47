"""Whose hand an account is: who set its password, and on whose word its rights rest.

Two approvals need two people, and one person may have two accounts: by a password they set, by an
account they made, by a role they gave. Not for which role carries which right (``access``) or for
how many have to agree (``approval``); for whose own word a decision is, ``voices``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.db.models import F, Q

from lib.errors import Forbidden
from registry.accounts.passwords import words_of_others
from registry.choices import Right
from registry.models import Account, Membership, PasswordChange
from registry.roles import ROLES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from registry.models import FeatureViewVersion, Project

    #: People by key: a list for each who agreed, of them and those they have their say from.
    Hands = Sequence[Sequence[int]]

#: What takes two people to give, and what giving it takes.
DECIDING = (
    Right.APPROVE_FEATUREVIEW,
    Right.RELEASE_FEATUREVIEW,
    Right.MANAGE_MEMBERS,
    Right.GIVE_READGRANT,
)
#: The roles that carry some of it.
DECIDING_ROLES = [role for role, rights in ROLES.items() if not rights.isdisjoint(DECIDING)]
_AGREE = (
    "Have another owner of {project}, or a superuser, agree to {user}'s role on the project's page;"
    " or ask another steward."
)


class HandMayNotDecide(Forbidden):
    code = "hand_may_not_decide"


# --- Whose word rights rest on -------------------------------------------------------------------


def hands_of(project: Project | None, user: User, *agreed: User) -> list[list[int]]:
    """Return the people behind rights that these people give ``user``: a list for each of them.

    Who gave them theirs is among them, so that nobody acts through somebody they let in.
    """
    return [_chain(project, each, of_itself=each.pk == user.pk) for each in agreed]


def _chain(project: Project | None, person: User, *, of_itself: bool) -> list[int]:
    """Return on whose word what this person says rests: the least of what their rights come from.

    A project's first owner made themselves one, and has that from being a superuser or the shell.
    """
    known = _raised_by(person) if of_itself else [*_raised_by(person), *_given(project, person)]
    behind = min(known, key=len, default=[])
    return sorted({*behind, *([] if of_itself else [person.pk])})


def _raised_by(person: User) -> list[list[int]]:
    """Return the people behind a superuser's rights.

    Whoever runs the server makes the first of an installation, which is marked as that; another one
    made at the shell may be anybody's, and has nobody's word.
    """
    if not person.is_superuser:
        return []
    marked = Account.objects.filter(user=person).values_list("raised_by", flat=True).first()
    return list(marked or [])


def _given(project: Project | None, person: User) -> list[list[int]]:
    roles = Membership.objects.filter(project=project, user=person, role__in=DECIDING_ROLES)
    return [hands for membership in roles for hands in membership.hands]


def require_independent(
    user: User, version: FeatureViewVersion, people: Collection[int], *, whose: str
) -> None:
    """Return if the account is nobody's hand among these people, of whom words say ``whose``.

    :raises HandMayNotDecide: one of them set its password and nobody else has given their word on
        it since, or its right to approve rests on their word alone. Says which, and the next step.
    """
    require_apart(user, version.feature_view.project, people, whose=whose)


def require_apart(user: User, project: Project, people: Collection[int], *, whose: str) -> None:
    """Return as ``require_independent``, of whatever is decided in a project.

    :raises HandMayNotDecide: as it does.
    """
    roles = roles_with(Right.APPROVE_FEATUREVIEW, project, user)
    if setter := foreign_setter(user, roles, people):
        raise HandMayNotDecide(
            f"{setter} set {user}'s password once, and {whose}; changing it afterwards proves"
            f" nothing. {_AGREE.format(user=user, project=project)}",
            project=project.name,
        )
    if is_independent(user, project, people, Right.APPROVE_FEATUREVIEW):
        return
    known = [*_raised_by(user), *(hands for role in roles for hands in role.hands)]
    first = sorted({pk for hands in known for pk in hands} & set(people))[0:1]
    if not first:
        raise HandMayNotDecide(
            f"{user} may approve by what was stored at the shell of the server, and so by nobody's"
            " word: have the role taken and given anew in the admin, or a superuser made one there"
            " by another superuser.",
            project=project.name,
        )
    who = User.objects.get(pk=first[0]).get_username()
    raise HandMayNotDecide(
        f"{user} may approve by the word of {who} alone, and {whose}."
        f" {_AGREE.format(user=user, project=project)}",
        project=project.name,
    )


def foreign_setter(user: User, roles: Sequence[Membership], people: Collection[int]) -> User | None:
    """Return who of these people set the account's password, nobody else having agreed since.

    Whoever set one can log in and change it as if they were its owner, and proves nothing.
    """
    changes = PasswordChange.objects.filter(user=user, set_by__in=people).exclude(set_by=user)
    changes = changes.filter(Q(accepted_by=None) | Q(accepted_by__in=people))
    if vouched := max(words_of_others(roles, people), default=None):
        changes = changes.filter(set_at__gte=vouched)
    found = changes.select_related("set_by").first()
    return found.set_by if found else None


def linked_by_password(user: User) -> set[int]:
    """Return whose password somebody ever set, and who set theirs: one may be behind both."""
    changes = PasswordChange.objects.exclude(set_by=F("user"))
    of_others = changes.filter(set_by=user).values_list("user", flat=True)
    return {*of_others, *changes.filter(user=user).values_list("set_by", flat=True)}


def set_since_agreed(user: User, membership: Membership) -> bool:
    """Return whether somebody else set the account's password after two agreed to its role."""
    changes = PasswordChange.objects.filter(user=user).exclude(set_by=user)
    return changes.filter(set_at__gte=membership.agreed_at or membership.granted_at).exists()


def was_admitted(user: User, version: FeatureViewVersion, people: Collection[int]) -> bool:
    """Return whether two people, none of these, agreed to one of the rights to approve."""
    roles = roles_with(Right.APPROVE_FEATUREVIEW, version.feature_view.project, user)
    agreed = [_raised_by(user), *(role.hands for role in roles)]
    return any(
        len(hands) > 1 and all(set(people).isdisjoint(each) for each in hands) for hands in agreed
    )


def is_independent(
    user: User, project: Project | None, people: Collection[int], right: Right
) -> bool:
    """Return whether the user holds a right by the word of somebody who is none of these people."""
    roles = roles_with(right, project, user)
    known = [*_raised_by(user), *(hands for role in roles for hands in role.hands)]
    return any(set(people).isdisjoint(hands) for hands in known)


def roles_with(right: Right, project: Project | None, user: User) -> list[Membership]:
    """Return the roles by which somebody holds a right."""
    roles = [role for role, rights in ROLES.items() if right in rights]
    return list(Membership.objects.filter(project=project, user=user, role__in=roles))


def behind(user: User, project: Project, right: Right) -> list[list[int]]:
    """Return whose word each of the ways rests on by which the user holds a right now.

    Whoever ever set a password of theirs, or had theirs set by them, is behind all of them.
    """
    linked = linked_by_password(user)
    roles = roles_with(right, project, user)
    known = [*_raised_by(user), *(hands for role in roles for hands in role.hands)]
    return [sorted({*hands, *linked}) for hands in known]
