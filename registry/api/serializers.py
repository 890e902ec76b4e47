"""How the registry's objects look on the wire; plain functions, one an object.

Not for parsing definitions: ``reading.parsing`` does, with lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from django.contrib.auth.models import User

from lib.instants import timestamp
from registry.api.answers import (
    AskedAnswer,
    AuditEntryAnswer,
    ChangeAnswer,
    CommentAnswer,
    DataSourceAnswer,
    EntityAnswer,
    EvidenceAnswer,
    FeatureLine,
    FeatureServiceAnswer,
    FeatureViewAnswer,
    ReviewAnswer,
    VersionAnswer,
    VersionLine,
    WaitingAnswer,
    Words,
)
from registry.approval import agreed, approvals_required, standing
from registry.breakage import service_problems
from registry.evidence import decided_on, evidence_of, shown_parts
from registry.glass import mark_output
from registry.operations.registration.reads import waits_for
from registry.reviewers import could_decide, due_at, names_asked
from registry.spec.differences import Difference
from registry.spec.line_changes import unified

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from registry.evidence import Sight
    from registry.models import (
        AuditEntry,
        DataSource,
        Entity,
        Evidence,
        FeatureService,
        FeatureView,
        FeatureViewVersion,
        ReviewComment,
    )
    from registry.newest import Shown
    from registry.passages import Fates


#: People that could review, of whom an answer names so many.
MOST_SUGGESTED = 100


def entity_output(entity: Entity) -> EntityAnswer:
    return {
        "name": entity.name,
        "join_keys": [{"name": key.name, "type": key.type} for key in entity.spec.join_keys],
        **_words(entity),
    }


def data_source_output(source: DataSource) -> dict[str, Any]:
    spec = source.spec
    said: DataSourceAnswer = {
        "name": source.name,
        "event_timestamp": spec.event_timestamp.column,
        "created_timestamp": spec.created_timestamp.column if spec.created_timestamp else None,
        **_words(source),
    }
    return {**spec.decides(), **said}


def _words(thing: Entity | DataSource) -> Words:
    return {"description": thing.description, "owner": thing.owner, "tags": thing.tags}


def feature_view_brief(
    feature_view: FeatureView, shown: FeatureViewVersion, states: Collection[str]
) -> dict[str, Any]:
    """Describe a view as far as it is searched by."""
    view = shown.spec.view
    return {
        "name": feature_view.name,
        "description": view.description,
        "owner": view.owner,
        "tags": view.tags,
        "entities": list(view.entities),
        "versions": [{"state": state} for state in states],
        "features": _features(shown),
    }


def _features(version: FeatureViewVersion) -> list[FeatureLine]:
    return [
        {
            "name": feature.name,
            "type": feature.type,
            "sensitivity": feature.sensitivity,
            "description": feature.description,
            "unit": feature.unit,
        }
        for feature in version.spec.features
    ]


def feature_view_output(feature_view: FeatureView, shown: Shown) -> FeatureViewAnswer:
    """Describe a view by its default version, else by its newest; every view has at least one."""
    default = feature_view.default_version
    view = shown.version.spec.view
    return {
        "name": feature_view.name,
        "description": view.description,
        "owner": view.owner,
        "tags": view.tags,
        "entities": list(view.entities),
        "source": view.source or None,
        "sources": [join.name for join in view.sources],
        "online": view.online,
        "ttl": view.ttl,
        "schedule": str(view.schedule) if view.schedule else None,
        "freshness": view.freshness,
        "accuracy": view.accuracy if view.aggregations else None,
        "default_version": default.number if default else None,
        "version_count": shown.total,
        "versions": [version_line(version, feature_view) for version in shown.newest],
        "features": _features(shown.version),
    }


def version_line(version: FeatureViewVersion, feature_view: FeatureView) -> VersionLine:
    return {
        "version": version.number,
        "state": version.state,
        "ready": version.is_ready,
        "default": feature_view.default_version_id == version.pk,
        "class": version.change_class or None,
        "break_glass": mark_output(version),
    }


def version_output(version: FeatureViewVersion) -> VersionAnswer:
    return {
        "name": version.feature_view.name,
        **version_line(version, version.feature_view),
        "reasons": version.packet.get("reasons", []),
        "waits_for": list(waits_for(version)),
        "spec": msgspec.to_builtins(version.spec),
        "data_fingerprint": version.data_fingerprint,
        "metadata_fingerprint": version.metadata_fingerprint,
        "created_by": version.created_by.get_username(),
        "created_at": timestamp(version.created_at),
        "submitted_at": timestamp(version.submitted_at),
        "approved_at": timestamp(version.approved_at),
        "deprecated_at": timestamp(version.deprecated_at),
        "sunset_at": timestamp(version.sunset_at),
    }


def review_output(
    version: FeatureViewVersion, sight: Sight, *, readers: list[dict[str, Any]] | None
) -> ReviewAnswer:
    """Describe what there is to decide on; values of the data for those who may read them.

    ``readers``: who read the view lately; None where that is not told, and not how many did.
    """
    packet = {key: value for key, value in version.packet.items() if key != "read_by"}
    evidence = evidence_of(version)
    now, current = decided_on(version, evidence), standing(version)
    why_not = {review.pk: why for review, why in current}
    return {
        "version": version.number,
        "state": version.state,
        "break_glass": mark_output(version),
        # The packet, which is hashed, names people by pseudonyms.
        "submitted_by": version.submitted_by.get_username() if version.submitted_by else None,
        "packet": packet if readers is None else version.packet,
        "read_by": readers or [],
        "packet_hash": now,
        "evidence": _evidence_output(evidence, sight) if evidence else None,
        "changes": [change_output(Difference(**each)) for each in version.packet.get("diff", ())],
        "approvals": [
            {
                "reviewer": review.reviewer.get_username(),
                "verdict": review.verdict,
                "comment": review.comment,
                "current": review.decided_on == now and not why_not.get(review.pk),
                "why_not": why_not.get(review.pk) or None,
                "created_at": timestamp(review.created_at),
            }
            for review in version.reviews.select_related("reviewer")
        ],
        "given": sum(not why for why in why_not.values()),
        "required": approvals_required(version),
    }


def waiting_output(
    version: FeatureViewVersion, *, at: datetime, reviewers: list[str]
) -> WaitingAnswer:
    """Describe a version that waits in one line: what changed, what it touches, who is asked.

    Approvals as wanted at submit; its review asks the policy of now too.
    """
    packet, due = version.packet, due_at(version)
    return {
        "view": version.feature_view.name,
        "version": version.number,
        "state": version.state,
        "break_glass": mark_output(version),
        "class": version.change_class,
        "guard": bool(packet.get("guard")),
        "reasons": packet.get("reasons", []),
        "breaks": packet.get("breaks", []),
        "impact": packet.get("impact", []),
        "sensitivity": version.sensitivity,
        "owner": version.spec.view.owner,
        "submitted_by": version.submitted_by.get_username() if version.submitted_by else None,
        "submitted_at": timestamp(version.submitted_at),
        "due_at": timestamp(due),
        "overdue": due is not None and due < at,
        "reviewers": reviewers,
        "given": agreed(version),
        "required": packet.get("approvals_required", 1),
    }


def comment_output(
    comment: ReviewComment, *, version: FeatureViewVersion, fates: Fates
) -> CommentAnswer:
    """Describe a remark, and what is now where the line stood that it is on."""
    now = fates.of(comment)
    return {
        "id": comment.pk,
        "thread": comment.thread_id,
        "author": comment.author.get_username(),
        "body": comment.body,
        "created_at": timestamp(comment.created_at),
        "current": comment.packet_hash == version.packet_hash,
        "path": comment.path or None,
        "side": comment.side or None,
        "line": comment.line,
        "line_text": comment.line_text or None,
        "became": now.fate if now else None,
        "line_now": now.line if now else None,
        "resolved_by": comment.resolved_by.get_username() if comment.resolved_by else None,
        "resolved_at": timestamp(comment.resolved_at),
    }


def asked_output(version: FeatureViewVersion, *, may_ask: bool) -> AskedAnswer:
    """Describe who is asked to decide, none: all who could; these for whom may ask them."""
    could = could_decide(version) if may_ask else User.objects.none()
    return {
        "version": version.number,
        "state": version.state,
        "reviewers": names_asked([version]).get(version.pk, []),
        "could": list(could.values_list("username", flat=True)[:MOST_SUGGESTED]),
    }


def _evidence_output(evidence: Evidence, sight: Sight) -> EvidenceAnswer:
    return {
        "status": evidence.status,
        "computed_at": timestamp(evidence.computed_at),
        "parts": shown_parts(evidence, sight),
    }


def change_output(difference: Difference) -> ChangeAnswer:
    """Write one value that differs as lines, those that went and came behind their marks."""
    return {"path": difference.path, "lines": unified(*difference.texts())}


def feature_service_output(service: FeatureService) -> FeatureServiceAnswer:
    current = service.current
    members = current.members.all() if current else []
    return {
        "name": service.name,
        "version": current.version if current else None,
        "features": [str(member) for member in members],
        "problems": service_problems(members),
        "context": current.spec.context if current else None,
        "description": current.description if current else "",
        "owner": current.owner if current else "",
        "tags": current.tags if current else {},
    }


def audit_output(entry: AuditEntry) -> AuditEntryAnswer:
    return {
        "id": entry.pk,
        "at": timestamp(entry.at),
        "actor": entry.actor_name,
        "actor_id": entry.actor_id,
        "actor_pseudonym": entry.actor_pseudonym,
        "project": entry.project_name,
        "verb": entry.verb,
        "subject": entry.subject_label,
        "subject_type": entry.subject_type,
        "subject_id": entry.subject_id,
        "before": entry.before,
        "after": entry.after,
        "data": entry.data,
        "request_id": str(entry.act_id),
        "previous_hash": entry.previous_hash,
        "hash": entry.hash,
    }
