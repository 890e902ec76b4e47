"""Service accounts: made by a project's owners for its programs, each with a person to ask.

A superuser's accounts for programs are ``users``; tokens of both are ``tokens``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User

from lib.errors import SHOWN_LENGTH, Invalid, NotFound, did_you_mean
from registry import access, audit, epoch
from registry.accounts.hands import DECIDING_ROLES
from registry.choices import AccountKind, Right, Role
from registry.models import Account, Membership
from registry.operations.people.members import grant, managing
from registry.operations.people.token_limits import checked_calls
from registry.trail.told.accounts import ALL, told

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from registry.models import Project

#: Of Latin letters only: no account looks like another's. The project follows, so none is a person.
NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
MAX_DESCRIPTION = 500
#: Characters of the longest name that an account can have.
MAX_USERNAME = 150


class ServiceAccountNotFound(NotFound):
    code = "service_account_not_found"


class BadServiceAccount(Invalid):
    code = "invalid_service_account"


def make_service_account(
    *,
    project: Project,
    name: str,
    role: Role,
    actor: User,
    at: datetime,
    description: str = "",
    owner: User | None = None,
) -> Account:
    """Make an account for a program, with one role; it has no login, and no token yet.

    ``owner`` None is the actor: who is asked about it. It is called ``NAME@PROJECT``.
    :raises ActionNotPermitted: the actor lacks ``manage_members``.
    :raises BadServiceAccount: a name of other characters, a role that decides, or an owner who is
        not of the project.
    :raises NameTaken: the project has, or had, one of this name.
    """
    if not NAME.fullmatch(name):
        rule = "use a to z, digits and -, beginning with a letter, at most 40."
        raise BadServiceAccount(f"service account {name[:SHOWN_LENGTH]!r}: {rule}")
    if role in DECIDING_ROLES:
        others = ", ".join(each for each in Role if each not in DECIDING_ROLES)
        raise BadServiceAccount(f"a service account never decides, so it is no {role}: {others}.")
    words = _described(description)
    username = f"{name}@{project.name}"
    with managing(project, actor):
        asked = _owner(owner or actor, project, may_be_any=owner is None)
        user = User(username=username, date_joined=at)
        user.set_unusable_password()
        user.save()
        account = Account.objects.create(
            user=user, kind=AccountKind.SERVICE, set_by=actor, set_at=at,
            project=project, owner=asked, description=words,
        )  # fmt: skip
        grant(project, user, role, actor, at)
        audit.record(
            actor=actor,
            verb="service_account.created",
            subject=user,
            after=columns(account) | {"role": role},
            data=told(user, *ALL),
            project=project,
            at=at,
        )
    return account


def change_service_account(
    *,
    account: Account,
    actor: User,
    at: datetime,
    description: str | None = None,
    owner: User | None = None,
    active: bool | None = None,
    calls_per_minute: int | None = None,
) -> Account:
    """Change what is not None: what it is for, who is asked about it, whether it is let in.

    ``calls_per_minute`` is what each of its tokens may make; 0 is no limit.

    :raises ActionNotPermitted: the actor lacks ``manage_members`` on its project.
    :raises BadServiceAccount: an owner who is not of the project, a description too long, or no
        number of calls.
    """
    project, user = account.project, account.user
    if project is None:
        raise ServiceAccountNotFound(f"{user} is of no project: superusers manage it under Users.")
    access.require(actor, Right.MANAGE_MEMBERS, project)
    words = None if description is None else _described(description)
    calls = checked_calls(calls_per_minute, BadServiceAccount)
    with epoch.change(*_projects_of(user, project)):
        access.require_still(actor, Right.MANAGE_MEMBERS, project)
        before = columns(account)
        account.description = before["description"] if words is None else words
        if owner is not None:
            account.owner = _owner(owner, project)
        if active is not None:
            user.is_active = active
        if calls_per_minute is not None:
            account.calls_per_minute = calls
        Account.objects.filter(pk=account.pk).update(
            description=account.description,
            owner=account.owner,
            calls_per_minute=account.calls_per_minute,
        )
        User.objects.filter(pk=user.pk).update(is_active=user.is_active)
        if (after := columns(account)) != before:
            audit.record(
                actor=actor, verb="service_account.changed", subject=user,
                before=before, after=after, project=project, at=at,
                data={} if active is None else told(user, "is_active"),
            )  # fmt: skip
    return account


def find_service_account(project: Project, name: str) -> Account:
    """Return the project's service account of this name, with or without ``@PROJECT``.

    :raises ServiceAccountNotFound: names the nearest.
    """
    short = name.removesuffix(f"@{project.name}")[:SHOWN_LENGTH].replace("\x00", "")
    accounts = Account.objects.filter(project=project).select_related("user", "owner", "project")
    found = accounts.filter(user__username=f"{short}@{project.name}").first()
    if found is None:
        known = [short_name(each) for each in accounts]
        raise ServiceAccountNotFound(
            f"{project} has no service account {short!r}.{did_you_mean(short, known)}"
        )
    return found


def find_owner(project: Project, name: str) -> User:
    """Return the member of this name, who may be asked about a service account.

    :raises BadServiceAccount: nobody of the project is called that; names the nearest.
    """
    members = User.objects.filter(memberships__project=project).distinct()
    name = name[:MAX_USERNAME].replace("\x00", "")
    found = members.filter(username=name).first()
    if found is None:
        known = members.filter(access.PERSON).values_list("username", flat=True)
        hint = did_you_mean(name, known)
        raise BadServiceAccount(f"{project} has no member {name!r}.{hint}")
    return found


def short_name(account: Account) -> str:
    return account.user.get_username().rpartition("@")[0]


def columns(account: Account) -> dict[str, Any]:
    return {
        "owner": account.owner,
        "description": account.description,
        "is_active": account.user.is_active,
        "calls_per_minute": account.calls_per_minute,
    }


def _described(text: str) -> str:
    if len(text) > MAX_DESCRIPTION or "\x00" in text:
        raise BadServiceAccount(f"describe it in at most {MAX_DESCRIPTION} characters, no NUL.")
    return text.strip()


def _owner(owner: User, project: Project, *, may_be_any: bool = False) -> User:
    """Return who is asked about it: a person of the project; a superuser may be of none."""
    is_member = Membership.objects.filter(project=project, user=owner).exists()
    if not access.is_person(owner) or not (is_member or may_be_any):
        raise BadServiceAccount(f"{owner} is no person with a role in {project}.")
    return owner


def _projects_of(user: User, project: Project) -> Iterator[int]:
    yield project.pk
    others = Membership.objects.filter(user=user).exclude(project=project)
    yield from others.values_list("project", flat=True).distinct()
