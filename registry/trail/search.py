"""Searching the audit trail: by whom, what, about what, when, of which request, and words.

Not for who may read which part: each door scopes the entries that it hands in.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.db.models import Q

from lib.errors import SHOWN_LENGTH
from lib.instants import sent_instant
from lib.parameters import BadFilter, stored_text
from registry.models.names import PSEUDONYM

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from registry.models.audit import Entries

#: Filter → what it says, in the order of the documentation.
FILTERS: dict[str, str] = {
    "verb": "as in feature_view_version.approved, or how it begins, as in user.",
    "subject": "how the subject's name begins; of an account its name",
    "actor": "user name, or the pseudonym of somebody who was removed",
    "since": "from this instant on, as in 2026-11-27T00:00:00Z",
    "until": "before this instant",
    "request_id": "what one request left: the X-Request-Id of its answer",
    "q": "words in the subject, a comment, a reason or a refusal",
}
#: Characters of a filter.
MOST_LENGTH = 300
#: What people and the system say in words.
SAID = ("comment", "reason", "detail", "attempt", "error")


def search(entries: Entries, parameters: Mapping[str, str]) -> Entries:
    """Return the entries that fit every filter given.

    :raises BadFilter: what no entry can have, as a day for an instant.
    """
    for name, fits in _FITS.items():
        value = stored_text(parameters, name)
        if len(value) > MOST_LENGTH:
            raise BadFilter(f"{name} has {len(value)} characters; write at most {MOST_LENGTH}.")
        if value:
            entries = entries.filter(fits(name, value))
    return entries


def about_people(text: str, lookup: str = "exact") -> Q:
    """Return the entries about accounts whose present name is or has this."""
    found = User.objects.filter(**{f"username__{lookup}": text}).values_list("pk", flat=True)
    return Q(subject_type="user", subject_id__in=[str(pk) for pk in found[:100]])


def _of_actor(_: str, value: str) -> Q:
    if PSEUDONYM.fullmatch(value) or value in ("system", "anonymous"):
        return Q(actor_pseudonym=value)
    return Q(actor__username=value)


def _about(_: str, value: str) -> Q:
    return Q(subject_label__startswith=value) | about_people(value)


def _instant(name: str, value: str) -> Q:
    instant = sent_instant(name, value, BadFilter)
    return Q(at__gte=instant) if name == "since" else Q(at__lt=instant)


def of_request(value: str, name: str = "request_id") -> Q:
    """Return what one request left.

    :raises BadFilter: it is no id of a request.
    """
    try:
        return Q(act_id=uuid.UUID(value))
    except ValueError as exc:
        said = f"{name}={value[:SHOWN_LENGTH]!r}: take it from the header X-Request-Id."
        raise BadFilter(said) from exc


def says(value: str) -> Q:
    """Return the entries in whose words, or about an account in whose name, this is."""
    said: Q = Q(subject_label__icontains=value) | about_people(value, "icontains")
    for key in SAID:
        said |= Q(**{f"data__{key}__icontains": value})
    return said


_FITS: dict[str, Callable[[str, str], Q]] = {
    "verb": lambda _, value: Q(verb__startswith=value),
    "subject": _about,
    "actor": _of_actor,
    "since": _instant,
    "until": _instant,
    "request_id": lambda name, value: of_request(value, name),
    "q": lambda _, value: says(value),
}


def asked(parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the filters that were given, for the entry of an export; of words only that some were.

    An entry names nobody, and both a subject and words may.
    """
    given: dict[str, Any] = {name: parameters[name] for name in FILTERS if parameters.get(name)}
    if "actor" in given and (actor := User.objects.filter(username=given["actor"]).first()):
        given["actor"] = actor
    elif "actor" in given and not PSEUDONYM.fullmatch(given["actor"]):
        given["actor"] = True
    return given | {name: True for name in ("subject", "q") if name in given}
