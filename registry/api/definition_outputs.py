"""How definitions look on the wire as they are registered, exported and compared with commits.

Not for the objects of the catalogue: ``serializers`` has those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NotRequired, TypedDict

from lib.answer_schemas import Document, Instant
from lib.instants import timestamp
from registry.api.answers import ChangeAnswer
from registry.api.serializers import change_output
from registry.reading.writing import document_of, written

if TYPE_CHECKING:
    from registry.models import Origin
    from registry.operations.registration.applied import Applied
    from registry.operations.registration.exported import Exported
    from registry.operations.registration.registered import Registered


class BreakAnswer(TypedDict):
    """Something that loses what it reads, and why."""

    kind: str
    name: str
    why: list[str]


_Class = TypedDict("_Class", {"class": str | None})


class AppliedAnswer(_Class):
    """What one definition changed, or would. What it means for others stands there if asked for."""

    kind: str
    name: str
    change: str
    version: str | None
    state: str | None
    reasons: list[str]
    warnings: list[str]
    waits_for: list[str]
    file: NotRequired[str | None]
    line: NotRequired[int | None]
    because_of: NotRequired[list[str]]
    differences: NotRequired[list[ChangeAnswer]]
    breaks: NotRequired[list[BreakAnswer]]
    following: NotRequired[list[str]]
    pinned: NotRequired[list[str]]


class DefinitionsAnswer(TypedDict):
    """What all definitions changed, or would; of how many the source was not looked at."""

    project: str
    dry_run: bool
    not_looked_at: int
    changes: list[AppliedAnswer]


class ExportedAnswer(TypedDict):
    """One object as the definition that says it: as text, and as a document."""

    kind: str
    name: str
    version: str | None
    state: str | None
    definition: str
    document: Document


class OriginAnswer(TypedDict):
    """The commit that said it last."""

    repository: str
    ref: str | None
    commit: str
    path: str
    applied_at: Instant
    applied_by: str


class RegisteredAnswer(TypedDict):
    """One object, which commit said it last, and whether it still is that."""

    kind: str
    name: str
    version: str | None
    state: str | None
    standing: str | None
    origin: OriginAnswer | None
    changed_at: Instant | None
    changed_by: str


def applied_output(applied: Applied) -> AppliedAnswer:
    said: AppliedAnswer = {
        "kind": applied.kind,
        "name": applied.name,
        "change": applied.change,
        "class": applied.classification,
        "version": applied.version,
        "state": applied.state,
        "reasons": applied.reasons,
        "warnings": applied.warnings,
        "waits_for": list(applied.waits_for),
    }
    if (told := applied.consequences) is not None:
        sent = applied.definition
        said["file"] = sent.file if sent else None
        said["line"] = sent.document.lines[()] if sent else None
        said["because_of"] = applied.because_of
        said["differences"] = [change_output(each) for each in told.differences]
        said["breaks"] = [
            {"kind": each.kind, "name": each.name, "why": each.why} for each in told.breaks
        ]
        said["following"], said["pinned"] = told.following, told.pinned
    return said


def exported_output(exported: Exported) -> ExportedAnswer:
    return {
        "kind": exported.kind,
        "name": exported.spec.name,
        "version": exported.version,
        "state": exported.state,
        "definition": written(exported.kind, exported.spec),
        "document": document_of(exported.kind, exported.spec),
    }


def registered_output(registered: Registered) -> RegisteredAnswer:
    origin = registered.origin
    return {
        "kind": registered.kind,
        "name": registered.name,
        "version": registered.version,
        "state": registered.state,
        "standing": registered.standing,
        "origin": _origin_output(origin) if origin else None,
        "changed_at": timestamp(registered.changed_at),
        "changed_by": registered.changed_by.get_username(),
    }


def _origin_output(origin: Origin) -> OriginAnswer:
    return {
        "repository": origin.repository,
        "ref": origin.ref,
        "commit": origin.commit,
        "path": origin.path,
        "applied_at": timestamp(origin.applied_at),
        "applied_by": origin.applied_by.get_username(),
    }
