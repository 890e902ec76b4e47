"""Whose hand an account is: who set its password, and on whose word its rights rest.

Two approvals need two people, and one person may have two accounts: by a password they set, by an
account they made, by a role they gave. Not for which role carries which right (``access``) or for
how many have to agree (``approval``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.db.models import F, Q

from lib.errors import Forbidden
from lib.shells import shell_actor
from registry.access import ServiceAccountMayNotDecide, is_person
from registry.choices import Right
from registry.models import Account, Membership, PasswordChange
from registry.roles import ROLES
from registry.scopes import scope_of
from registry.told_accounts import password_digest
from registry.voices import require_no_shell

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser

    from registry.models import ApiToken, FeatureViewVersion, Project

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
PASSWORD_PAGE = "/admin/password_change/"  # noqa: S105 - where it is changed


class TokenMayNotDecide(Forbidden):
    code = "token_may_not_decide"


class PasswordNotYourOwn(Forbidden):
    code = "password_not_your_own"


class HandMayNotDecide(Forbidden):
    code = "hand_may_not_decide"


def require_own_voice(actor: User, token: ApiToken | None, *, project: str) -> None:
    """Return if a decision is a person's own: by their login, or by a token they made themselves.

    ``token`` is the API token that the actor came with, None for somebody logged in.
    :raises ShellMayNotDecide: nobody came with either: it is said at the shell of the server.
    :raises ServiceAccountMayNotDecide: no person stands behind the actor, or another one does.
    :raises TokenMayNotDecide: it was made where nobody was logged in by a password of their own.
    :raises PasswordNotYourOwn: somebody else set the password by which the actor logs in.
    """
    require_no_shell(actor, project=project)
    if not is_person(actor):
        raise ServiceAccountMayNotDecide(
            f"{actor} is a service account; a person with a login has to decide.", project=project
        )
    if token is not None and token.created_by_id != actor.pk:
        raise ServiceAccountMayNotDecide(
            f"the token is {actor}'s but {token.created_by} made it; decide with a token of your"
            " own.",
            project=project,
        )
    if token is not None and not token.may_decide:
        raise TokenMayNotDecide(
            f"the token {token.prefix}… was made at the shell of the server, or while {actor}'s"
            " password was not their own, so anybody may have it. Make one under API tokens in the"
            " admin and decide with that.",
            project=project,
        )
    if token is not None and _is_older_than_a_word(token):
        raise TokenMayNotDecide(
            f"the token {token.prefix}… was made after somebody else set {actor}'s password, and"
            f" before others gave their word on {actor} anew: whoever set it may have it. Revoke"
            " it, and make one under API tokens in the admin.",
            project=project,
        )
    require_own_password(User.objects.get(pk=actor.pk), project=project)


def last_foreign_password(user: User, *, by: datetime | None = None) -> PasswordChange | None:
    """Return when somebody else set the account's password last; at ``by`` or before it."""
    changes = PasswordChange.objects.filter(user=user).exclude(set_by=user)
    if by is not None:
        changes = changes.filter(set_at__lte=by)
    return changes.order_by("-set_at", "-id").first()


def _is_older_than_a_word(token: ApiToken) -> bool:
    """Return whether people vouched for an account since a token that another may have made."""
    foreign = last_foreign_password(token.user, by=token.created_at)
    return foreign is not None and any(at > token.created_at for at in _words_since(foreign))


def _words_since(foreign: PasswordChange) -> Iterator[datetime]:
    """Yield when others than who set a password gave their word on its account, since they did."""
    for role in Membership.objects.filter(user=foreign.user):
        times = (role.granted_at, role.agreed_at)
        for hands, at in zip(role.hands, times, strict=False):
            if at is not None and at > foreign.set_at and foreign.set_by_id not in hands:
                yield at


def require_vouched(user: User) -> None:
    """Return unless somebody else set the account's password and nobody gave their word since.

    :raises PasswordNotYourOwn: whoever did could act as its owner still; says who.
    """
    foreign = last_foreign_password(user)
    if foreign is None or foreign.accepted_by_id or any(_words_since(foreign)):
        return
    raise PasswordNotYourOwn(
        f"{foreign.set_by} set {user}'s password once, and could be who asks for this. Have"
        f" somebody else give their word on {user}: a role given, or agreed to, by another owner.",
        project="",
    )


def note_password(
    *, user: User, set_by: User, at: datetime, accepted_by: User | None = None
) -> None:
    """Remember who gave the account the password that is stored for it now.

    Whoever says at the shell of the server that they are its owner may be anybody.
    """
    if user.has_usable_password() and not (set_by.pk == user.pk and shell_actor()):
        PasswordChange.objects.create(
            user=user,
            set_by=set_by,
            set_at=at,
            accepted_by=accepted_by,
            digest=password_digest(user),
        )


def has_own_password(user: User) -> bool:
    """Return whether nobody but its owner set the account's password, or nobody logs in by one."""
    if not user.has_usable_password():
        return True
    last = _last_password(user)
    return last is not None and last.set_by_id == user.pk


def has_anothers_password(user: User) -> bool:
    """Return whether it is known who else set the account's present password."""
    last = _last_password(user) if user.has_usable_password() else None
    return last is not None and last.set_by_id != user.pk


def _last_password(user: User) -> PasswordChange | None:
    """Return who set the present password; None: it came past us, as by a shell."""
    last = PasswordChange.objects.filter(user=user).order_by("-id").first()
    return last if last is not None and last.digest == password_digest(user) else None


def reads_as_own(user: User | AnonymousUser) -> bool:
    """Return whether nobody else can be behind an account where it reads what it has grants for.

    A program's tokens are made by those who manage it. A person's are theirs where they made them
    when logged in, by a password of their own; and so is their log-in.
    """
    if not user.is_authenticated:
        return False
    scope = scope_of(user)
    if scope is not None:
        return scope.is_own or not is_person(user)
    return has_own_password(user)


def require_own_password(user: User, *, project: str) -> None:
    """Return if the account's password is its owner's own.

    :raises PasswordNotYourOwn: naming who set it, and where the owner sets one.
    """
    if has_own_password(user):
        return
    last = _last_password(user)
    who = last.set_by.get_username() if last else "somebody at the shell of the server"
    raise PasswordNotYourOwn(
        f"{user}'s password was set by {who}, who could log in as {user}; only {user} decides. Set"
        f" one of your own under {PASSWORD_PAGE}, then decide.",
        project=project,
    )


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
    if vouched := max(_words_at(roles, people), default=None):
        changes = changes.filter(set_at__gte=vouched)
    found = changes.select_related("set_by").first()
    return found.set_by if found else None


def _words_at(roles: Sequence[Membership], people: Collection[int]) -> Iterator[datetime]:
    """Yield when somebody who is none of these people, nor their hand, gave their word."""
    for role in roles:
        times = (role.granted_at, role.agreed_at)
        for hands, at in zip(role.hands, times, strict=False):
            if at is not None and set(people).isdisjoint(hands):
                yield at


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
