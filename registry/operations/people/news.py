"""Having read what one was told, and choosing what to hear: each person of their own only.

Not for telling (``registry.news``). Not in the trail: it is nobody else's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.errors import SHOWN_LENGTH, Invalid, did_you_mean
from registry.choices import NewsKind
from registry.models import NewsChoice
from registry.news import heard_by

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from django.contrib.auth.models import User


class BadNewsKind(Invalid):
    code = "invalid_news_kind"


def mark_read(*, user: User, at: datetime, ids: Collection[int] | None = None) -> int:
    """Note that somebody has read these, None: all they were told; return how many were unread."""
    unread = heard_by(user).filter(read_at=None).order_by()
    if ids is not None:
        unread = unread.filter(pk__in=ids)
    return unread.update(read_at=at)


def choose_news(*, user: User, muted: Collection[str], by_mail: bool) -> NewsChoice:
    """Say what one wants to hear from now on, and whether by mail too.

    :raises BadNewsKind: there is no such kind; names the nearest.
    """
    if unknown := sorted(set(muted) - {*NewsKind}):
        shown = unknown[0][:SHOWN_LENGTH]
        raise BadNewsKind(f"no news are of the kind {shown!r}.{did_you_mean(shown, NewsKind)}")
    kept = [kind.value for kind in NewsKind if kind in muted]
    chosen = {"muted": kept, "by_mail": by_mail}
    return NewsChoice.objects.update_or_create(user=user, defaults=chosen)[0]


def choice_of(user: User) -> NewsChoice:
    return NewsChoice.objects.filter(user=user).first() or NewsChoice(user=user)
