"""What accounts are called: in the trail by a pseudonym, and every name that was ever one's."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models

if TYPE_CHECKING:
    from collections.abc import Collection

    from django.contrib.auth.models import User

#: Random, so that nothing of whom it stands for is in it.
PSEUDONYM = re.compile(r"person-[a-f0-9]{16}")


def new_pseudonym() -> str:
    return f"person-{secrets.token_hex(8)}"


class Pseudonym(models.Model):
    """How the trail calls an account; whose it is goes when the account goes, or is forgotten."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="pseudonym"
    )
    name = models.CharField(max_length=24, unique=True, default=new_pseudonym)

    def __str__(self) -> str:
        return self.name


class UsedName(models.Model):
    """A name that an account has or had, as it looks: it stays that account's for ever."""

    #: The SHA-256 of the name's ``accounts.names.skeleton``: it can be compared, and not be read.
    digest = models.CharField(max_length=64, unique=True)
    #: Null once the account is gone or forgotten: then it is nobody's any more.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    def __str__(self) -> str:
        return self.digest[:12]


def pseudonym_of(user: User) -> str:
    """Return how the trail calls an account; the account keeps it for as long as it is one."""
    if (known := getattr(user, "pseudonym", None)) is None:
        known, _ = Pseudonym.objects.get_or_create(user=user)
    return str(known.name)


def names_of(pseudonyms: Collection[str]) -> dict[str, str]:
    """Return what each pseudonym is to be shown as: a present name, or that nobody is known."""
    rows = Pseudonym.objects.filter(name__in=pseudonyms).values_list("name", "user__username")
    known = {pseudonym: name for pseudonym, name in rows if name != pseudonym}
    return {each: known.get(each) or removed(each) for each in pseudonyms}


def removed(pseudonym: str) -> str:
    return f"somebody who was removed ({pseudonym})"
