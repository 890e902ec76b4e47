"""Accounts that are stored past the operations, by a command of Django's or in a shell.

The first superuser of an installation is marked as that, once and for ever: every other one made so
has nobody's word. What a shell does to accounts is in the trail, and so is a password that Django
stored another way at a log-in. Not for rows that are changed without being saved: ``triggers`` tell
readers of those, and ``trail.told.accounts`` finds them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.signals import m2m_changed, post_save, pre_delete, pre_save
from django.utils import timezone

from lib.shells import shell_actor
from registry import audit, locks
from registry.choices import AccountKind
from registry.models import Account, PasswordChange
from registry.trail.told.accounts import (
    ALL,
    DELETED,
    FLAGS,
    GIVEN_BY_DJANGO,
    RENEWED,
    last_password,
    password_digest,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

#: What of an account is worth an entry; of words only that they changed.
WATCHED = ("username", "email", "password", *FLAGS)


def _before(instance: User, update_fields: Collection[str] | None = None, **_: Any) -> None:
    is_watched = bool(shell_actor()) or _is_renewed(instance, update_fields)
    stored = User.objects.filter(pk=instance.pk).first() if is_watched else None
    instance._stored_before = stored  # type: ignore[attr-defined]


def _after(
    instance: User, created: bool, update_fields: Collection[str] | None = None, **_: Any
) -> None:
    at = timezone.now()
    with transaction.atomic():
        if instance.is_superuser:
            _mark_first(instance, at)
        before = getattr(instance, "_stored_before", None)
        if before and _is_renewed(instance, update_fields):
            _renew(before, instance, at)
        elif shell_actor():
            _record(before, instance, at)


def _is_renewed(user: User, update_fields: Collection[str] | None) -> bool:
    """Return whether Django stores the same password by a newer hasher, as it does at a log-in.

    Where another one is set, it has the text of that until it is stored.
    """
    is_new = getattr(user, "_password", None) is not None
    return not is_new and set(update_fields or ()) == {"password"}


def _renew(before: User, user: User, at: datetime) -> None:
    """Have it stay whose the password was; of one that came past the trail nothing is said."""
    digest = password_digest(before)
    if last_password(user) != digest:
        return
    audit.record(
        actor=None, verb=RENEWED, subject=user, data={"renewed": digest, **told(user, "password")},
        at=at,
    )  # fmt: skip
    last = PasswordChange.objects.filter(user=user).order_by("-pk").first()
    if last is not None and last.digest == digest:
        last.pk, last.digest = None, password_digest(user)
        last.save(force_insert=True)


def _mark_first(user: User, at: datetime) -> None:
    others = User.objects.filter(is_superuser=True).exclude(pk=user.pk)
    if others.exists() or Account.objects.filter(raised_by=[[]]).exists():
        return
    about = {"kind": AccountKind.PERSON, "set_by": user, "set_at": at, "raised_by": [[]]}
    Account.objects.update_or_create(user=user, defaults=about)


def _record(before: User | None, user: User, at: datetime) -> None:
    changed = [each for each in WATCHED if before and getattr(before, each) != getattr(user, each)]
    if before and not changed:
        return
    audit.record(
        actor=None,
        verb="user.changed" if before else "user.created",
        subject=user,
        before={name: getattr(before, name) for name in FLAGS} if before else None,
        after={name: getattr(user, name) for name in FLAGS},
        data={**({"changed": changed} if changed else {}), **told(user, *(changed or ALL))},
        at=at,
    )


def _removed(instance: User, **_: Any) -> None:
    """Every door: nothing of ours removes an account, and its entries outlive it."""
    locks.hold(User.objects.filter(pk=instance.pk))  # people are locked before the trail
    audit.record(actor=None, verb=DELETED, subject=instance, at=timezone.now())


def _grouped(instance: Any, action: str, reverse: bool, pk_set: set[int], **_: Any) -> None:
    if not (shell_actor() and action in ("post_add", "post_remove", "post_clear")):
        return
    with transaction.atomic():
        for user in User.objects.filter(pk__in=pk_set or ()) if reverse else [instance]:
            data = {"changed": ["groups"], **told(user, "groups")}
            audit.record(
                actor=None, verb="user.changed", subject=user, data=data, at=timezone.now()
            )


def connect() -> None:
    """Hear of every account that is saved from now on; a second call changes nothing."""
    pre_save.connect(_before, sender=User, dispatch_uid="past_us.before")
    post_save.connect(_after, sender=User, dispatch_uid="past_us.after")
    pre_delete.connect(_removed, sender=User, dispatch_uid="past_us.removed")
    for rows, column in GIVEN_BY_DJANGO:
        m2m_changed.connect(_grouped, sender=rows, dispatch_uid=f"past_us.{column}")
