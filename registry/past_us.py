"""Accounts that are stored past the operations, by a command of Django's or in a shell.

The first superuser of an installation is marked as that, once and for ever: every other one made so
has nobody's word. What a shell does to accounts is in the trail. Not for rows that are changed
without being saved: ``triggers`` tell readers of those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.signals import post_save, pre_save
from django.utils import timezone

from lib.shells import shell_actor
from registry import audit
from registry.choices import AccountKind
from registry.models import Account

if TYPE_CHECKING:
    from datetime import datetime

#: What of an account is worth an entry; of words only that they changed.
WATCHED = ("username", "email", "password", "is_active", "is_staff", "is_superuser")
RIGHTS = ("is_active", "is_staff", "is_superuser")


def _before(instance: User, **_: Any) -> None:
    stored = User.objects.filter(pk=instance.pk).values(*WATCHED).first() if shell_actor() else None
    instance._stored_before = stored  # type: ignore[attr-defined]


def _after(instance: User, created: bool, **_: Any) -> None:
    at = timezone.now()
    with transaction.atomic():
        if instance.is_superuser:
            _mark_first(instance, at)
        if shell_actor():
            _record(instance, created=created, at=at)


def _mark_first(user: User, at: datetime) -> None:
    others = User.objects.filter(is_superuser=True).exclude(pk=user.pk)
    if others.exists() or Account.objects.filter(raised_by=[[]]).exists():
        return
    about = {"kind": AccountKind.PERSON, "set_by": user, "set_at": at, "raised_by": [[]]}
    Account.objects.update_or_create(user=user, defaults=about)


def _record(user: User, *, created: bool, at: datetime) -> None:
    before = getattr(user, "_stored_before", None) or {}
    changed = [name for name in WATCHED if not created and before.get(name) != getattr(user, name)]
    if not (created or changed):
        return
    audit.record(
        actor=None,
        verb="user.created" if created else "user.changed",
        subject=user,
        before={name: before[name] for name in RIGHTS} if before else None,
        after={name: getattr(user, name) for name in RIGHTS},
        data={"changed": changed} if changed else {},
        at=at,
    )


def connect() -> None:
    """Hear of every account that is saved from now on; a second call changes nothing."""
    pre_save.connect(_before, sender=User, dispatch_uid="past_us.before")
    post_save.connect(_after, sender=User, dispatch_uid="past_us.after")
