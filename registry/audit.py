"""The only writer of the audit trail, and its verification.

Not for reading it: ``queries`` and the admin do. Entries form a hash chain whose head is one
locked row, so neither a change nor a removal in the middle goes unseen.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple, NotRequired, TypedDict, Unpack

import msgspec
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection

from lib.acts import current_act
from lib.batches import in_key_order
from lib.shells import shell_actor
from lib.tracing import caller
from registry import locks, verbs
from registry.models import AuditEntry, AuditHead, Project
from registry.models.names import pseudonym_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
    from django.db.models import Model


GENESIS = "0" * 64
#: Entries of which a walk holds so many at a time.
AT_ONCE = 2000
AN_E_MAIL = "(an e-mail address)"
#: Each run of letters is looked at once, for a text may be long and a transaction waits. A version
#: (``view@1.2.0``) has no letters at its end.
E_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]++@(?:[\w-]++\.)+[A-Za-z]{2,}")
WORD = re.compile(r"[\w.@+-]+")
#: Words of a refusal that are looked up as names.
MOST_WORDS = 500
_decoder = msgspec.json.Decoder(float_hook=str)


class BrokenLink(NamedTuple):
    """The first entry whose hash does not follow from its content and its predecessor."""

    entry_id: int
    expected: str
    found: str


class Fact(TypedDict):
    """What an entry says; without an actor the system did it.

    People are in it as accounts, never by name: where one is a value, a pseudonym is kept. What
    erasing somebody would have to remove does not get in, for nothing is ever removed.
    """

    actor: AbstractBaseUser | AnonymousUser | None
    verb: str
    subject: Model | None
    at: datetime
    before: NotRequired[Any]
    after: NotRequired[Any]
    data: NotRequired[dict[str, Any] | None]
    project: NotRequired[Project | None]
    label: NotRequired[str]


def record(**fact: Unpack[Fact]) -> AuditEntry:
    """Append one entry in the caller's transaction.

    :raises RuntimeError: outside a transaction, where a change could stay without its entry.
    :raises ValueError: a verb that no app registered, which no page could put into words.
    """
    entry = make_entry(**fact)
    append([entry])
    return entry


def make_entry(**fact: Unpack[Fact]) -> AuditEntry:
    """Return an entry that is not in the trail yet: ``append`` takes many at once.

    :raises ValueError: a verb that no app registered, which no page could put into words.
    """
    verbs.require(fact["verb"])
    actor, subject = fact["actor"], fact["subject"]
    project = fact.get("project") or _project_of(subject)
    about = (actor, subject, getattr(subject, "user", None))
    people = [each for each in about if isinstance(each, User)]
    label = _without_names(fact.get("label") or str(subject or ""), people)
    return AuditEntry(
        act_id=current_act() or uuid.uuid4(),
        at=fact["at"],
        project_name=project.name if project else "",
        actor_id=getattr(actor, "pk", None),
        actor_pseudonym=_called(actor),
        verb=fact["verb"],
        subject_type=str(subject._meta.model_name) if subject else "",
        subject_id=str(subject.pk) if subject else "",
        subject_label=_without_addresses(label)[:200],
        before=plain(fact.get("before")),
        after=plain(fact.get("after")),
        data=plain(_refusal(fact.get("data") or {}) | _shell() | _program()),
    )


def _shell() -> dict[str, str]:
    """Name who does it at the shell of the server, whoever's account they do it as."""
    who = shell_actor()
    return {"shell": who} if who else {}


def _program() -> dict[str, str]:
    """Name the program that somebody says they ask through, an agent's host: told, not proven."""
    through = caller().get("asked_through")
    return {"asked_through": through} if through else {}


def _called(actor: AbstractBaseUser | AnonymousUser | None) -> str:
    if isinstance(actor, User):
        return pseudonym_of(actor)
    return "system" if actor is None else "anonymous"


def _without_names(text: str, people: Sequence[User]) -> str:
    """Return the text with pseudonyms in place of the names of those it is about."""
    for user in people:
        name = rf"(?<![\w.@+-]){re.escape(user.get_username())}(?![\w@+-])"
        text = re.sub(name, pseudonym_of(user), text)
    return text


def _refusal(data: dict[str, Any]) -> dict[str, Any]:
    """Return the data, in whose refusal nobody is named: its words name people, as next steps."""
    if not isinstance(said := data.get("detail"), str):
        return data
    words = {word for each in WORD.findall(said) for word in (each, each.strip(".-+"))}
    people = User.objects.filter(username__in=list(words)[:MOST_WORDS])
    return data | {"detail": _without_names(said, list(people.select_related("pseudonym")))}


def append(entries: Sequence[AuditEntry]) -> None:
    """Append entries in the caller's transaction, in this order; the trail is held from here on.

    :raises RuntimeError: outside a transaction, where a change could stay without its entry.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("an audit entry is written in the transaction of its change")
    if not entries:
        return
    head = _held_head()
    previous = head.hash
    for entry in entries:
        entry.previous_hash = previous
        previous = entry.hash = entry_hash(entry)
    AuditEntry.objects.bulk_create(entries)
    AuditHead.objects.filter(pk=1).update(hash=previous, count=head.count + len(entries))


def _held_head() -> AuditHead:
    row = AuditHead.objects.filter(pk=1)
    if not (held := locks.hold(row)):
        AuditHead.objects.get_or_create(pk=1, defaults={"hash": GENESIS})
        held = locks.hold(row)
    return held[0]


def entry_hash(entry: AuditEntry) -> str:
    """Return the hash of an entry's content and its predecessor's, which takes the server's key.

    So whoever has the database alone cannot append, or write again, what looks like ours.
    """
    return _entry_hashes(entry, settings.AUDIT_KEYS[:1])[0]


def _entry_hashes(entry: AuditEntry, keys: Sequence[str]) -> list[str]:
    content = [
        entry.previous_hash, str(entry.act_id), entry.at.timestamp(), entry.project_name,
        entry.actor_id, entry.actor_pseudonym, entry.verb, entry.subject_type, entry.subject_id,
        entry.subject_label, entry.before, entry.after, entry.data,
    ]  # fmt: skip
    text = msgspec.json.encode(content, order="sorted")
    return [hmac.new(key.encode(), text, hashlib.sha256).hexdigest() for key in keys]


def verify() -> BrokenLink | None:
    """Walk the chain from its beginning; return the first broken link, None when it is whole.

    Entries may be appended meanwhile: the head read before has to be among those walked, and the
    head read after has to count them all.
    """
    before = _head()
    previous = at_head = GENESIS
    count = 0
    for batch in in_key_order(AuditEntry.objects.all(), AT_ONCE):
        for count, entry in enumerate(batch, count + 1):  # noqa: B020 - goes on counting
            if (broken := _broken(previous, entry)) is not None:
                return broken
            previous = entry.hash
            if count == before.count:
                at_head = previous
    if before.hash != at_head or count > _head().count:
        return BrokenLink(0, before.hash, previous)
    return None


def verify_newest(most: int) -> BrokenLink | None:
    """Walk the latest entries, at most so many, up to the head: in a time that does not grow."""
    before = _head()
    entries = list(AuditEntry.objects.order_by("-pk")[: most + 1])[::-1]
    previous = entries.pop(0).hash if len(entries) > most else GENESIS
    seen = {previous}
    for entry in entries:
        if (broken := _broken(previous, entry)) is not None:
            return broken
        previous = entry.hash
        seen.add(previous)
    is_last = previous == before.hash or _head().count > before.count
    return None if before.hash in seen and is_last else BrokenLink(0, before.hash, previous)


def is_ours(entry: AuditEntry) -> bool:
    """Return whether the server's key, or a former one, wrote the entry as it is."""
    return entry.hash in _entry_hashes(entry, settings.AUDIT_KEYS)


def _broken(previous: str, entry: AuditEntry) -> BrokenLink | None:
    if entry.previous_hash == previous and is_ours(entry):
        return None
    return BrokenLink(entry.pk, previous, entry.previous_hash)


def _head() -> AuditHead:
    return AuditHead.objects.filter(pk=1).first() or AuditHead(hash=GENESIS, count=0)


def plain(value: Any) -> Any:
    """Return ``value`` as the database gives it back, so that the hash is the same then.

    Fractions become text: PostgreSQL writes numbers its own way (``1e22`` as a whole number).
    """
    text = msgspec.json.encode(value, enc_hook=_in_place_of).decode()
    return _decoder.decode(_without_addresses(text))


def _without_addresses(text: str) -> str:
    return E_MAIL.sub(AN_E_MAIL, text) if "@" in text else text


def _in_place_of(value: object) -> str:
    if isinstance(value, User):
        return pseudonym_of(value)
    raise NotImplementedError(f"{type(value).__name__} is no value of an entry")


def _project_of(subject: Model | None) -> Project | None:
    """Follow the subject to its project along the few foreign keys our models have."""
    for _ in range(3):
        if subject is None or isinstance(subject, Project):
            return subject
        owner = getattr(subject, "project", None)
        if isinstance(owner, Project):
            return owner
        owners = ("feature_view", "version", "feature_service")
        subject = next((found for name in owners if (found := getattr(subject, name, None))), None)
    return None
