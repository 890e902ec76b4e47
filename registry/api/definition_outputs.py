"""How definitions look on the wire as they are registered, exported and compared with commits.

Not for the objects of the catalogue: ``serializers`` has those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.instants import timestamp
from registry.api.serializers import change_output
from registry.reading.writing import document_of, written

if TYPE_CHECKING:
    from registry.models import Origin
    from registry.operations.registration.applied import Applied
    from registry.operations.registration.consequences import Consequences
    from registry.operations.registration.exported import Exported
    from registry.operations.registration.registered import Registered


def applied_output(applied: Applied) -> dict[str, Any]:
    told = applied.consequences
    details = {} if told is None else _consequences_output(told, applied)
    return details | {
        "kind": applied.kind,
        "name": applied.name,
        "change": applied.change,
        "class": applied.classification,
        "version": applied.version,
        "state": applied.state,
        "reasons": applied.reasons,
        "warnings": applied.warnings,
    }


def _consequences_output(told: Consequences, applied: Applied) -> dict[str, Any]:
    sent = applied.definition
    return {
        "file": sent.file if sent else None,
        "line": sent.document.lines[()] if sent else None,
        "because_of": applied.because_of,
        "differences": [change_output(each) for each in told.differences],
        "breaks": [each._asdict() for each in told.breaks],
        "following": told.following,
        "pinned": told.pinned,
    }


def exported_output(exported: Exported) -> dict[str, Any]:
    return {
        "kind": exported.kind,
        "name": exported.spec.name,
        "version": exported.version,
        "state": exported.state,
        "definition": written(exported.kind, exported.spec),
        "document": document_of(exported.kind, exported.spec),
    }


def registered_output(registered: Registered) -> dict[str, Any]:
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


def _origin_output(origin: Origin) -> dict[str, str | None]:
    return {
        "repository": origin.repository,
        "ref": origin.ref,
        "commit": origin.commit,
        "path": origin.path,
        "applied_at": timestamp(origin.applied_at),
        "applied_by": origin.applied_by.get_username(),
    }
