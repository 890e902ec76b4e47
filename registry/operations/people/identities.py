"""Whose account an identity at the provider is, and the roles that its groups give.

An account is found by issuer and subject, never by a name or an address: those of somebody else
can be had there. Not for the protocol: ``accounts.openid``.
"""

from __future__ import annotations

import hashlib
import logging
import re
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from lib.errors import SHOWN_LENGTH, Unauthenticated
from registry import access, audit, epoch
from registry.accounts.names import NameTaken, UnclearName
from registry.accounts.openid import groups_of, said_at
from registry.accounts.passwords import require_own_password, require_vouched
from registry.choices import AccountKind, Role
from registry.models import Account, Identity, Membership, Project
from registry.roles import sync_permissions
from registry.trail.told.accounts import ALL, told

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

logger = logging.getLogger(__name__)
#: Names that are taken over as they are; letters of one alphabet, so none looks like another.
#: What follows an @ has a dot: without one it is how service accounts are called.
PLAIN_NAME = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9._+-]{0,98}[A-Za-z0-9])?(@[A-Za-z0-9-]{1,60}(\.[A-Za-z0-9-]{1,20}){1,3})?"
)
#: Names that are taken for more than a person's.
OFFICES = {"root", "admin", "administrator", "superuser", "operator", "assay", "support"}
MOST_SUBJECT = 255
#: Where somebody who is logged in links who they are at the provider.
LINK_PAGE = "/admin/openid/link"


class IdentityUnknown(Unauthenticated):
    code = "identity_unknown"


class IdentityRefused(Unauthenticated):
    """Nobody is let in: the account is shut out, or its name is another's."""

    code = "identity_refused"


def log_in(claims: Mapping[str, Any], *, address: str, at: datetime) -> User:
    """Return the account of somebody the provider vouches for, made at their first time.

    Roles that their groups give are set to what the provider says now.
    :raises IdentityRefused: the account is shut out or no person's, or a new one would have the
        name of an account that is there, which is somebody else's until a superuser links it.
    """
    identity = _find(claims) or _make(claims, at)
    user = _let_in(identity)
    sync_roles(identity, groups_of(claims), said=said_at(claims), at=at)
    with transaction.atomic():
        audit.record(
            actor=user,
            verb="user.logged_in",
            subject=None,
            label=address,
            data={"by": identity.issuer},
            at=at,
        )
    return user


def find_by_token(claims: Mapping[str, Any], *, at: datetime) -> User:
    """Return the account that a token of the provider speaks for.

    Of its groups it takes those away that are gone, where nothing newer is known. It gives none:
    that is for a log-in, or an older token would give back what was taken.
    :raises IdentityUnknown: they never logged in here.
    :raises IdentityRefused: the account is shut out, or no person's.
    """
    identity = _find(claims)
    if identity is None:
        raise IdentityUnknown("the provider's token is of somebody who never logged in here.")
    user = _let_in(identity)
    groups, said = groups_of(claims), said_at(claims)
    is_news = said is not None and (identity.said_at is None or said > identity.said_at)
    if is_news and groups is not None and not set(identity.groups) <= set(groups):
        left = [group for group in identity.groups if group in groups]
        sync_roles(identity, left, said=said, at=at)
    return user


@transaction.atomic
def link_identity(claims: Mapping[str, Any], *, user: User, at: datetime) -> Identity:
    """Let somebody who is logged in by a password of their own log in by the provider as well.

    Nobody does it for another: whoever is linked to an account is its owner.
    :raises PasswordNotYourOwn: somebody else set the password they came by, or one before it and
        nobody gave their word since.
    :raises IdentityRefused: the identity is another account's, or the account no person's.
    """
    require_own_password(user, project="")
    require_vouched(user)
    known = _find(claims)
    if known is None:
        known = Identity.objects.create(
            user=user, issuer=settings.OIDC_ISSUER, subject=_subject(claims), linked_at=at
        )
        audit.record(actor=user, verb="user.identity_linked", subject=user, at=at)
    elif known.user_id != user.pk:
        raise IdentityRefused("who you are at the provider has an account here already.")
    _let_in(known)
    return known


def unlink_identity(
    *, identity: Identity, user: User, at: datetime, actor: User | None = None
) -> None:
    """End that somebody logs in to their account by the provider; ``actor`` None is themselves."""
    with transaction.atomic():
        if Identity.objects.filter(pk=identity.pk, user=user).delete()[0]:
            audit.record(actor=actor or user, verb="user.identity_unlinked", subject=user, at=at)


def sync_roles(
    identity: Identity, groups: list[str] | None, *, said: datetime | None, at: datetime
) -> None:
    """Give the roles of these groups and take those of others; given by hand they stay.

    Groups that nothing is said of, None, are none; ``said`` is when the provider spoke of them.
    """
    groups = groups or []
    wanted = _wanted(groups)
    user = identity.user
    given = Membership.objects.filter(user=user).exclude(group="").select_related("project")
    meant = {project.pk for project, _ in wanted} | {row.project_id for row in given}
    if meant and _differs(user, wanted):
        with epoch.change(*sorted(meant)):
            _take(user, wanted, at)
            _give(user, wanted, at)
    Identity.objects.filter(pk=identity.pk).update(groups=groups, said_at=said)


def _wanted(groups: list[str]) -> dict[tuple[Project, Role], str]:
    """Return each role in a project that the groups give, with the group."""
    lines = [line for line in settings.OIDC_ROLES if line[0] in groups]
    projects = {p.name: p for p in Project.objects.filter(name__in=[line[1] for line in lines])}
    for group, name, _ in lines:
        if name not in projects:
            logger.warning("OIDC_ROLES gives %s roles in %s: there is no such project", group, name)
    return {(projects[name], Role(role)): group for group, name, role in lines if name in projects}


def _differs(user: User, wanted: Mapping[tuple[Project, Role], str]) -> bool:
    rows = list(Membership.objects.filter(user=user))
    held = {(row.project_id, row.role) for row in rows}
    by_group = {(row.project_id, row.role) for row in rows if row.group}
    asked = {(project.pk, str(role)) for project, role in wanted}
    return bool(asked - held or by_group - asked)


def _take(user: User, wanted: Mapping[tuple[Project, Role], str], at: datetime) -> None:
    given = Membership.objects.filter(user=user).exclude(group="").select_related("project")
    for row in given:
        if (row.project, Role(row.role)) in wanted:
            continue
        row.delete()
        sync_permissions(row.project, user)
        audit.record(
            actor=None,
            verb="membership.revoked",
            subject=row.project,
            before={"user": user, "role": row.role},
            data={"group": row.group},
            at=at,
        )


def _give(user: User, wanted: Mapping[tuple[Project, Role], str], at: datetime) -> None:
    for (project, role), group in wanted.items():
        if Membership.objects.filter(project=project, user=user, role=role).exists():
            continue
        # The entry first: without it the database takes no role.
        audit.record(
            actor=None,
            verb="membership.granted",
            subject=project,
            after={"user": user, "role": role},
            data={"group": group, "hands": [[]]},
            at=at,
        )
        # Nobody's word here: whoever runs the server says which group has which role.
        Membership.objects.create(
            project=project, user=user, role=role, group=group, granted_at=at, hands=[[]]
        )
        sync_permissions(project, user)


def _find(claims: Mapping[str, Any]) -> Identity | None:
    rows = Identity.objects.filter(issuer=settings.OIDC_ISSUER, subject=_subject(claims))
    return rows.select_related("user").first()


def _subject(claims: Mapping[str, Any]) -> str:
    """:raises IdentityRefused: it cannot be kept."""
    subject = str(claims["sub"])
    if not 1 <= len(subject) <= MOST_SUBJECT or "\x00" in subject:
        raise IdentityRefused(f"the provider's subject is none: {subject[:SHOWN_LENGTH]!r}.")
    return subject


def _let_in(identity: Identity) -> User:
    """:raises IdentityRefused: the account is shut out, or no person's."""
    user = identity.user
    if not user.is_active:
        raise IdentityRefused(f"the account {user} is shut out; ask a superuser.")
    if not access.is_person(user):
        raise IdentityRefused(f"{user} is a service account; only persons log in.")
    return user


@transaction.atomic
def _make(claims: Mapping[str, Any], at: datetime) -> Identity:
    """Make the account of somebody new: a person without a password, and without a role yet."""
    subject = _subject(claims)
    name = _name(claims, subject)
    user = User(
        username=name,
        email=_text(claims, "email", 254) if claims.get("email_verified") is True else "",
        first_name=_text(claims, "given_name", 150),
        last_name=_text(claims, "family_name", 150),
        is_staff=True,
        date_joined=at,
    )
    user.set_unusable_password()
    try:
        user.save()
    except (NameTaken, UnclearName) as exc:
        raise IdentityRefused(
            f"a new account cannot be called {name!r}: one of that name is, or was, somebody's. If"
            f" it is yours, log in with its password and open {LINK_PAGE}."
        ) from exc
    Account.objects.create(user=user, kind=AccountKind.PERSON, set_by=user, set_at=at)
    identity = Identity.objects.create(
        user=user, issuer=settings.OIDC_ISSUER, subject=subject, linked_at=at
    )
    audit.record(
        actor=None,
        verb="user.created",
        subject=user,
        after={"kind": AccountKind.PERSON, "login": False, "provider": settings.OIDC_ISSUER},
        data=told(user, *ALL),
        at=at,
    )
    return identity


def _name(claims: Mapping[str, Any], subject: str) -> str:
    """Return what a new account is called: as at the provider, where that is a plain name.

    An address names somebody only where the provider has seen that it is theirs.
    """
    said = [claims.get("preferred_username"), subject]
    if claims.get("email_verified") is True:
        said.insert(1, claims.get("email"))
    texts = (each for each in said if isinstance(each, str) and each.lower() not in OFFICES)
    plain = (each for each in texts if PLAIN_NAME.fullmatch(each))
    return next(plain, "person-" + hashlib.sha256(subject.encode()).hexdigest()[:12])


def _text(claims: Mapping[str, Any], name: str, most: int) -> str:
    said = claims.get(name)
    return said.replace("\x00", "")[:most] if isinstance(said, str) else ""
