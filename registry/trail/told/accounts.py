"""What entries of the trail say of accounts, roles and tokens, and where the rows say otherwise.

An entry has of an account what it was when the entry was written: rights as they are, a password by
the digest that is kept anyhow, names under a seal that takes the server's key, so that nothing of
them can be read. Whoever changes the rows past the trail has no such entry. Not for loading all of
them: ``verifying_rights`` does, and ``approval`` for who decides.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeAlias

from django.conf import settings
from django.contrib.auth.models import User

from registry import audit
from registry.models import Account, ApiToken, AuditEntry, Membership, PasswordChange
from registry.models.names import pseudonym_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

FLAGS = ("is_active", "is_staff", "is_superuser")
NAMES = ("username", "email")
MARKS = ("kind", "raised_by")
#: What an entry may say of an account; groups and single rights of Django's none of ours gives.
ALL = (*FLAGS, *NAMES, "password", *MARKS, "groups")
#: By what somebody decides.
DECIDING = ("is_active", "is_superuser", "password", *MARKS)
KEY = "account"
#: Who agreed beside the actor, by key.
SECOND = "second"
GRANTED, AGREED, REVOKED = "membership.granted", "membership.agreed", "membership.revoked"
MADE = ("user.created", "service_account.created")
ROLES = (GRANTED, AGREED, REVOKED)
RENEWED, FORGOTTEN, DELETED = "user.password_renewed", "user.forgotten", "user.deleted"
#: How each fact is called where it is another than the trail says.
WORDS = {
    "is_active": "it is let in or shut out",
    "is_staff": "it may use the admin or not",
    "is_superuser": "it is a superuser's or not",
    "username": "it has another name",
    "email": "it has another e-mail address",
    "password": "it has another password",
    "kind": "it is a person's or a program's",
    "raised_by": "its rights as a superuser rest on another's word",
    "groups": "it has groups, or rights of Django's own",
}
GIVEN_BY_DJANGO = (
    (User.groups.through, "group"),
    (User.user_permissions.through, "permission"),
)
AS_BORN: dict[str, Any] = {"kind": None, "raised_by": None, "groups": [], "email": ""}

#: Whose it is, and what is wrong with it.
Found: TypeAlias = "Iterator[tuple[User, str]]"


def told(user: User, *names: str) -> dict[str, Any]:
    """Return what an entry says of the account as it is stored now: the facts that it is about.

    No others, or it would say of what came past the trail that it is as it should be.
    """
    facts = facts_of([user.pk], settings.AUDIT_KEYS[0])[user.pk]
    return {KEY: {name: facts[name] for name in names}} if names else {}


def facts_of(keys: Collection[int], key: str) -> dict[int, dict[str, Any]]:
    """Return what these accounts are, as an entry says it; names under a seal of ``key``."""
    marks = {each.user_id: each for each in Account.objects.filter(user__in=keys)}
    groups = defaultdict(list)
    for rows, column in GIVEN_BY_DJANGO:
        given = rows._default_manager.filter(user__in=keys)
        for user, other in given.values_list("user_id", column):
            groups[user].append(f"{column} {other}")
    found = {}
    for user in User.objects.filter(pk__in=keys):
        found[user.pk] = {
            **{name: getattr(user, name) for name in FLAGS},
            **{name: _sealed(user.pk, getattr(user, name), key) for name in NAMES},
            "password": password_digest(user) if user.has_usable_password() else "",
            **{name: getattr(marks.get(user.pk), name, None) for name in MARKS},
            "groups": sorted(groups[user.pk]),
        }
    return found


def _sealed(pk: int, value: str, key: str) -> str:
    text = f"{pk}:{value}".encode()
    return hmac.new(key.encode(), text, hashlib.sha256).hexdigest()[:32] if value else ""


def password_digest(user: User) -> str:
    """Return what is kept of the password that is stored for the account."""
    return hashlib.sha256(user.password.encode()).hexdigest()


# --- Accounts ------------------------------------------------------------------------------------


def findings_of_accounts(users: Sequence[User], names: Collection[str] = ALL) -> Found:
    """Say of each of these accounts what is another than its entries say."""
    keys = [user.pk for user in users]
    entries = _entries("user", keys)
    now = [facts_of(keys, key) for key in settings.AUDIT_KEYS]
    passwords = defaultdict(list)
    for row in PasswordChange.objects.filter(user__in=keys).order_by("pk"):
        passwords[row.user_id].append(row)
    for user in users:
        about = [e for e in entries[str(user.pk)] if isinstance(e.data.get(KEY), dict)]
        said = dict(AS_BORN)
        for entry in about:
            said |= entry.data[KEY]
        if not about:
            yield user, "the trail has nobody who made it"
            continue
        for name in names:
            if all(said.get(name) != facts[user.pk][name] for facts in now if user.pk in facts):
                yield user, f"{WORDS[name]}, and the trail has nobody who did that"
        if "password" in names:
            yield from ((user, each) for each in _passwords(passwords[user.pk], about))


def _passwords(rows: Iterable[PasswordChange], entries: Sequence[AuditEntry]) -> Iterator[str]:
    """Who set each password is who the trail says set it."""
    wanted: dict[str, tuple[Any, ...]] = {}
    for entry in entries:
        if not (digest := entry.data[KEY].get("password")):
            continue
        if entry.verb == RENEWED:
            wanted[digest] = wanted.get(str(entry.data.get("renewed")), ())
        elif entry.actor_id is not None:
            wanted[digest] = entry.actor_id, entry.at, entry.data.get(SECOND)
    for row in rows:
        if wanted.get(row.digest) != (row.set_by_id, row.set_at, row.accepted_by_id):
            yield f"who set its password on {row.set_at:%Y-%m-%d} is nobody whom the trail has"


def last_password(user: User) -> str | None:
    """Return the digest of the password that the trail last said the account has."""
    said = None
    for entry in _entries("user", [user.pk])[str(user.pk)]:
        facts = entry.data.get(KEY)
        if isinstance(facts, dict):
            said = facts.get("password", said)
    return said


def removed_past(made: Sequence[AuditEntry]) -> list[str]:
    """Return the accounts, of those that these entries made, that are gone without an entry."""
    keys = {entry.subject_id for entry in made}
    known = User.objects.filter(pk__in=[int(key) for key in keys]).values_list("pk", flat=True)
    removed = AuditEntry.objects.filter(subject_type="user", subject_id__in=keys, verb=DELETED)
    told = removed.values_list("subject_id", flat=True)
    return sorted(keys - {str(pk) for pk in known} - set(told), key=int)


# --- Roles ---------------------------------------------------------------------------------------


def findings_of_roles(memberships: Iterable[Membership], entries: Iterable[AuditEntry]) -> Found:
    """Say of these roles of one project which nobody gave, and which rest on another word.

    ``entries`` are the project's about roles, in order.
    """
    said: dict[tuple[str, str], tuple[Any, ...]] = {}
    for entry in filter(audit.is_ours, entries):
        about = (entry.before if entry.verb == REVOKED else entry.after) or {}
        pair = str(about.get("user")), str(about.get("role"))
        if entry.verb == GRANTED:
            said[pair] = _given(entry)
        elif entry.verb == AGREED and pair in said:
            word = (entry.actor_id, entry.at, entry.data.get("hands"))
            said[pair] = (*said[pair][:3], *word)
        elif entry.verb == REVOKED:
            said.pop(pair, None)
    for each in memberships:
        known = said.get((pseudonym_of(each.user), str(each.role)))
        if known is None:
            yield each.user, f"it is {each.role}, and the trail has nobody who made it that"
        elif not _is(each, known):
            yield each.user, f"on whose word it is {each.role} is not what the trail says"


def _given(entry: AuditEntry) -> tuple[Any, ...]:
    second = entry.data.get(SECOND)
    word = second, entry.at if second else None, entry.data.get("hands")
    return entry.data.get("group", ""), entry.actor_id, entry.at, *word


def _is(row: Membership, known: tuple[Any, ...]) -> bool:
    """Compare a role with its entry; who gave it is nobody any more once their account is gone."""
    group, by, at, second, agreed_at, hands = known
    return (
        (row.group, row.granted_at, row.agreed_at, row.hands) == (group, at, agreed_at, hands)
        and row.granted_by_id in (by, None)
        and row.accepted_by_id in (second, None)
    )


# --- Tokens --------------------------------------------------------------------------------------


def token_facts(token: ApiToken) -> dict[str, Any]:
    """Return what the trail keeps of a token beside what is said of it."""
    return {
        "user": token.user_id,
        "digest": token.digest,
        "may_decide": token.may_decide,
        "project": token.project_id,
        "limits": [token.views, token.rights, token.networks],
        "ends": token.expires_at.isoformat(),
    }


def findings_of_tokens(tokens: Sequence[ApiToken]) -> Found:
    """Say of each token what is another than its entry says."""
    entries = _entries("apitoken", [token.pk for token in tokens])
    for token in tokens:
        said: dict[str, Any] | None = None
        is_revoked = False
        for entry in entries[str(token.pk)]:
            if entry.verb == "api_token.issued" and entry.actor_id == token.created_by_id:
                said = entry.data.get("token")
            elif entry.verb == "api_token.rotated" and said is not None:
                said = said | {"ends": (entry.after or {}).get("until")}
            is_revoked = is_revoked or entry.verb == "api_token.revoked"
        if said is None:
            yield token.user, f"its token {token} was issued by nobody whom the trail has"
        elif said != audit.plain(token_facts(token)):
            yield token.user, f"its token {token} is not what it was issued as"
        elif is_revoked != (token.revoked_at is not None):
            yield token.user, f"its token {token} was ended or not, unlike the trail says"


def _entries(kind: str, keys: Collection[int]) -> dict[str, list[AuditEntry]]:
    """Return what the trail has of these, in order, without entries that the key did not write."""
    found: dict[str, list[AuditEntry]] = defaultdict(list)
    rows = AuditEntry.objects.filter(subject_type=kind, subject_id__in=[str(pk) for pk in keys])
    for entry in rows.order_by("pk"):
        if audit.is_ours(entry):
            found[entry.subject_id].append(entry)
    return found
