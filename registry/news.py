"""Telling people of what happened: who hears which verb of the trail, and noting that they do.

Every app registers the verbs of its own, or tells of what is in no trail. Nobody is told what they
may not see, or what they did themselves. Not for sending mails (``spreading``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Q
from django.urls import reverse

from registry import access
from registry.models import Membership, NewsChoice, Notification

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest

    from registry.choices import NewsKind
    from registry.models import AuditEntry, Project

    Hearers = Callable[[AuditEntry, Model], Iterable[int | None]]


class News(NamedTuple):
    """How one verb of the trail is told, and to whom: keys of accounts, None among them is nobody.

    ``model`` is what such an entry is about; ``words`` read as in ``models.news``. With ``said``,
    which follows the subject and names nobody, it goes to the project's channels as well. A call
    is for something that waits: it is told as long as that does.
    """

    kind: NewsKind
    model: type[Model]
    words: str
    hearers: Hearers
    said: str = ""
    is_call: bool = False


class Event(NamedTuple):
    """What happened: ``key`` is its own for ever, ``actor_id`` None nobody's doing."""

    key: str
    kind: NewsKind
    project: Project | None
    subject: Model
    label: str
    words: str
    at: datetime
    actor_id: int | None = None
    said: str = ""


_news: dict[str, News] = {}
_channels: list[Callable[[Event], None]] = []
#: ``app.model`` → the address of what has no page of its own, by its key.
_pages: dict[str, Callable[[str], str]] = {}


def register(table: Mapping[str, News]) -> None:
    """Add the verbs of an app, when it starts."""
    _news.update(table)


def find(verb: str) -> News | None:
    return _news.get(verb)


def verbs() -> list[str]:
    return list(_news)


def channel(function: Callable[[Event], None]) -> Callable[[Event], None]:
    """Have the function called of each event that is ``said``, in the transaction of telling it."""
    _channels.append(function)
    return function


def announce(event: Event) -> None:
    """Tell the project's channels of what may leave the house."""
    for tell_channel in _channels if event.said else ():
        tell_channel(event)


def tell(event: Event, recipients: Iterable[int | None]) -> None:
    """Note an event for each of these accounts who may hear of it, wants to, and did not do it."""
    wanted = {pk for pk in recipients if pk is not None} - {event.actor_id}
    people = may_hear(event.project).filter(pk__in=wanted).order_by("pk")
    choices = {each.user_id: each for each in NewsChoice.objects.filter(user__in=wanted)}
    Notification.objects.bulk_create(
        [
            _notification(event, person, choices.get(person.pk) or NewsChoice())
            for person in people
            if event.kind not in (choices[person.pk].muted if person.pk in choices else ())
        ],
        ignore_conflicts=True,
    )


def _notification(event: Event, person: User, choice: NewsChoice) -> Notification:
    by_mail = bool(settings.EMAIL_HOST and choice.by_mail and person.email)
    return Notification(
        recipient=person,
        project=event.project,
        kind=event.kind,
        event=event.key,
        actor_id=event.actor_id,
        words=event.words,
        label=event.label[:200],
        subject_type=event.subject._meta.label_lower,
        subject_id=str(event.subject.pk),
        at=event.at,
        mail_due_at=event.at if by_mail else None,
    )


def may_hear(project: Project | None) -> QuerySet[User]:
    """Return the people who see a project, None: the installation; nobody else hears of it."""
    sees = Q(is_superuser=True)
    if project is not None:
        sees |= Q(Exists(Membership.objects.filter(project=project, user=OuterRef("pk"))))
    return User.objects.filter(access.PERSON, sees, is_active=True)


def heard_by(user: User | AnonymousUser) -> QuerySet[Notification]:
    """Return what somebody was told of and may still see, newest first."""
    sees = Q(project__in=access.visible_projects(user))
    if user.is_superuser:
        sees |= Q(project=None)
    rows = Notification.objects.filter(sees, recipient=user.pk)
    return rows.select_related("actor", "project").order_by("-id")


def unread_of(request: HttpRequest) -> int:
    """Return how many notifications the asking person has not read; asked once a request."""
    known: dict[str, int] = request.__dict__.setdefault("_assay_unread", {})
    if "count" not in known:
        known["count"] = heard_by(request.user).filter(read_at=None).order_by().count()
    return known["count"]


def page_for(subject_type: str) -> Callable[[Callable[[str], str]], Callable[[str], str]]:
    """Have the function say where what has no page of its own is shown."""

    def noted(function: Callable[[str], str]) -> Callable[[str], str]:
        _pages[subject_type] = function
        return function

    return noted


def page_of(subject_type: str, subject_id: str) -> str:
    """Return the page of the admin about ``app.model`` with this key."""
    if (elsewhere := _pages.get(subject_type)) is not None:
        return elsewhere(subject_id)
    return reverse(f"admin:{subject_type.replace('.', '_')}_change", args=[subject_id])


def public_address(path: str) -> str:
    """Return a path of ours as an address for messages; empty while ``PUBLIC_URL`` is not set."""
    return f"{settings.PUBLIC_URL}{path}" if settings.PUBLIC_URL else ""
