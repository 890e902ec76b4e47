"""Whether the trail is whole, guarded, and says of everything decided what the tables say.

Not for writing the trail (``audit``) or for what the database refuses (``guards``): this finds what
somebody did who had the database in their hands, and passed both by.
"""

from __future__ import annotations

from collections import defaultdict
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import F

from lib.batches import in_key_order
from registry import audit, triggers
from registry.accounts.voices import DECISIONS
from registry.models import (
    AuditEntry,
    BrokenGlass,
    Evidence,
    FeatureViewVersion,
    ReadGrant,
    Review,
    VersionEditor,
)
from registry.trail.told.versions import Told, findings_of_grant, findings_of_version
from registry.trail.verifying_rights import RIGHTS, Wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from django.db.models import QuerySet

#: Versions that are looked at together with their entries.
AT_ONCE = 200
KIND = "featureviewversion"


class Finding(NamedTuple):
    """What is wrong, where: ``triggers``, ``trail``, ``versions``, ``grants`` or ``rights``."""

    what: str
    where: str
    said: str

    def __str__(self) -> str:
        return f"{self.where}: {self.said}"


def findings() -> Iterator[Finding]:
    """Yield all that is wrong, the whole trail walked."""
    yield from trigger_findings()
    if (broken := audit.verify()) is not None:
        yield _broken(broken)
    yield from _actors()
    for stage in STAGES:
        for batch in in_key_order(stage.rows(), AT_ONCE):
            yield from stage.look(batch)


class Stage(NamedTuple):
    """One kind of rows, and the look at some of them."""

    rows: Callable[[], QuerySet[Any]]
    look: Callable[[Sequence[Any]], Iterator[Finding]]


class After(NamedTuple):
    """The stage at which a look goes on, and the row of it behind which."""

    stage: int
    key: int


START = After(0, 0)


def _actors() -> Iterator[Finding]:
    """An entry's account and its pseudonym are one person's: its name is shown by the latter."""
    other = AuditEntry.objects.exclude(actor_pseudonym=F("actor__pseudonym__name"))
    for entry in other.filter(actor__pseudonym__isnull=False).order_by("pk")[:AT_ONCE]:
        yield Finding("trail", f"entry {entry.pk}", "its account has another pseudonym by now")
    for user in User.objects.filter(pseudonym=None).order_by("pk")[:AT_ONCE]:
        yield Finding(
            "trail", f"account {user.pk}", "its pseudonym is gone; entries do not name it"
        )


def trigger_findings() -> Iterator[Finding]:
    for fault in triggers.faults(connection):
        yield Finding("triggers", "the database", fault)


def recent_findings(*, entries: int, seconds: float, after: After) -> tuple[list[Finding], After]:
    """Return what is wrong with the triggers, the newest entries, and as many rows as time has.

    ``after`` is where to go on; returned with where to go on next time, at the start once all have
    been looked at. For whoever asks often: each question takes a bounded time.
    """
    found = list(trigger_findings())
    if (broken := audit.verify_newest(entries)) is not None:
        found.append(_broken(broken))
    until = monotonic() + seconds
    for number, stage in list(enumerate(STAGES))[after.stage :]:
        behind = after.key if number == after.stage else 0
        for batch in in_key_order(stage.rows(), AT_ONCE, after=behind):
            found += stage.look(batch)
            if monotonic() > until:
                return found, After(number, batch[-1].pk)
    return found, START


def _broken(link: audit.BrokenLink) -> Finding:
    where = f"entry {link.entry_id}" if link.entry_id else "the head"
    said = f"the chain is broken: expected {link.expected}, found {link.found}"
    return Finding("trail", where, said)


def _versions() -> QuerySet[FeatureViewVersion]:
    return FeatureViewVersion.objects.select_related("feature_view__project")


def version_findings(versions: Sequence[FeatureViewVersion]) -> Iterator[Finding]:
    """Yield where the trail says something else of these versions than their rows do."""
    if not (doubtful := _doubtful(versions)):
        return
    # A step that was taken while rows were read looks as bad: what stays so is.
    for version, said in _doubtful(list(_versions().filter(pk__in=doubtful))).values():
        where = f"{version.feature_view.project}/{version} (row {version.pk})"
        for each in said:
            yield Finding("versions", where, each)


def _doubtful(
    versions: Sequence[FeatureViewVersion],
) -> dict[int, tuple[FeatureViewVersion, list[str]]]:
    told = _told(versions)
    found = {each.pk: (each, list(findings_of_version(each, told[each.pk]))) for each in versions}
    return {pk: pair for pk, pair in found.items() if pair[1]}


def _grants() -> QuerySet[ReadGrant]:
    return ReadGrant.objects.select_related("user__pseudonym", "project", "feature_view")


def grant_findings(grants: Sequence[ReadGrant]) -> Iterator[Finding]:
    """Yield where the trail says something else of these grants than their rows do."""
    keys = [str(grant.pk) for grant in grants]
    told: dict[str, list[AuditEntry]] = defaultdict(list)
    for entry in AuditEntry.objects.filter(subject_type="readgrant", subject_id__in=keys):
        told[entry.subject_id].append(entry)
    for grant in grants:
        for said in findings_of_grant(grant, sorted(told[str(grant.pk)], key=lambda e: e.pk)):
            yield Finding("grants", str(grant), said)


def _decisions() -> QuerySet[AuditEntry]:
    return AuditEntry.objects.filter(verb__in=DECISIONS)


def voice_findings(entries: Sequence[AuditEntry]) -> Iterator[Finding]:
    """Yield which of these decisions were made at a shell, where anybody may be anybody."""
    for entry in entries:
        if who := entry.data.get("shell"):
            said = f"{entry.verb} in the name of {entry.actor_pseudonym} at the shell, by {who}"
            yield Finding("trail", f"entry {entry.pk}", said)


def _told(versions: Sequence[FeatureViewVersion]) -> dict[int, Told]:
    told: dict[int, Told] = defaultdict(Told)
    keys = [version.pk for version in versions]
    entries = AuditEntry.objects.filter(subject_type=KIND, subject_id__in=[str(pk) for pk in keys])
    for entry in entries.order_by("pk"):
        told[int(entry.subject_id)].entries.append(entry)
    for review in Review.objects.filter(version__in=keys).order_by("pk"):
        told[review.version_id].reviews.append(review)
    for editor in VersionEditor.objects.filter(version__in=keys):
        told[editor.version_id].editor_ids.add(editor.user_id)
    for evidence in Evidence.objects.filter(version__in=keys).defer("parts"):
        told[evidence.version_id].evidence.append(evidence)
    for glass in BrokenGlass.objects.filter(version__in=keys):
        told[glass.version_id].glass = glass
    return told


def _of_rights(
    look: Callable[[Sequence[Any]], Iterator[Wrong]],
) -> Callable[..., Iterator[Finding]]:
    return lambda rows: (Finding("rights", where, said) for where, said in look(rows))


#: All that is compared with the trail, in turn: who decides first.
STAGES = (
    *(Stage(rows, _of_rights(look)) for rows, look in RIGHTS),
    Stage(_versions, version_findings),
    Stage(_grants, grant_findings),
    Stage(_decisions, voice_findings),
)
