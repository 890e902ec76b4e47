"""Forgetting a person: nothing here says any more who an account was; what it did stays.

Not for shutting somebody out, who may come back: ``users.set_active``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import User

from lib.errors import Conflict
from registry import access, audit, epoch, locks
from registry.models import ApiToken, Membership, Project, UsedName
from registry.models.names import pseudonym_of
from registry.operations.people.users import LastSuperuser, owned_alone
from registry.roles import sync_permissions
from registry.trail.told.accounts import ALL, told

if TYPE_CHECKING:
    from datetime import datetime


class StillActive(Conflict):
    code = "still_active"


def forget_person(*, user: User, actor: User, at: datetime) -> User:
    """Take name, address, roles and tokens from an account that is shut out, for ever.

    Its pseudonym takes the place of its name, so what it did, wrote and approved stays, and reads
    as the doing of somebody who was removed. Its name stays taken.
    :raises ActionNotPermitted: the actor is no superuser.
    :raises StillActive: somebody may still log in with it, or it is the actor's own.
    :raises LastSuperuser: nobody would be left who can manage accounts.
    """
    access.require_superuser(actor)
    with epoch.change(*Project.objects.values_list("pk", flat=True)):
        access.require_superuser(actor)
        stored = locks.hold(User.objects.filter(pk=user.pk))[0]
        if stored.is_active or stored.pk == actor.pk:
            raise StillActive(f"{stored} can still log in. Deactivate the account first.")
        if not User.objects.filter(is_superuser=True, is_active=True).exists():
            raise LastSuperuser("no active superuser would be left; make one first.")
        _erase(stored)
        abandoned = owned_alone(stored)
        audit.record(
            actor=actor,
            verb="user.forgotten",
            subject=stored,
            data={
                **({"without_active_owner": abandoned} if abandoned else {}),
                **told(stored, *ALL),
            },
            at=at,
        )
    user.refresh_from_db()
    return user


def _erase(user: User) -> None:
    for membership in Membership.objects.filter(user=user).select_related("project"):
        project = membership.project
        membership.delete()
        sync_permissions(project, user)
    ApiToken.objects.filter(user=user).delete()
    UsedName.objects.filter(user=user).update(user=None)
    user.set_unusable_password()
    User.objects.filter(pk=user.pk).update(
        username=pseudonym_of(user), first_name="", last_name="", email="", last_login=None,
        password=user.password, is_staff=False, is_superuser=False,
    )  # fmt: skip
