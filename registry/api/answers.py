"""What the API answers about the registry's objects, as types: the schema is made of them.

Not for making them: ``serializers`` does, and is held to these. What single views alone answer is
typed beside them.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from lib.answer_schemas import Document, Instant, Tags
from registry.glass import BrokenGlassAnswer


class JoinKeyAnswer(TypedDict):
    name: str
    type: str


class Words(TypedDict):
    description: str
    owner: str
    tags: Tags


class EntityAnswer(Words):
    """An entity: what features are about, and by which keys it is known."""

    name: str
    join_keys: list[JoinKeyAnswer]


class DataSourceAnswer(Words):
    """A source. What says where its rows are stands beside this, and depends on its kind."""

    name: str
    event_timestamp: str
    created_timestamp: str | None


#: Words of Python's are keys of it.
_Class = TypedDict("_Class", {"class": str | None})


class VersionLine(_Class):
    """One version in a line."""

    version: str | None
    state: str
    ready: bool
    default: bool
    break_glass: BrokenGlassAnswer | None
    freshness: NotRequired[Document]
    checks: NotRequired[Document]
    reads: NotRequired[list[Document]]
    usage: NotRequired[Document]


class FeatureLine(TypedDict):
    name: str
    type: str
    sensitivity: str
    description: str
    unit: str


class FeatureViewAnswer(Words):
    """A feature view by its default version, else by its newest."""

    name: str
    entities: list[str]
    source: str | None
    sources: list[str]
    online: bool
    ttl: str | None
    schedule: str | None
    freshness: str | None
    accuracy: str | None
    default_version: str | None
    version_count: int
    versions: list[VersionLine]
    features: list[FeatureLine]


class VersionAnswer(VersionLine):
    """One version and all that it means."""

    name: str
    reasons: list[str]
    waits_for: list[str]
    spec: Document
    data_fingerprint: str
    metadata_fingerprint: str
    created_by: str
    created_at: Instant
    submitted_at: Instant | None
    approved_at: Instant | None
    deprecated_at: Instant | None
    sunset_at: Instant | None


class ChangeAnswer(TypedDict):
    """One value that differs, as text: lines that went and came behind their marks."""

    path: str
    lines: str


class ApprovalAnswer(TypedDict):
    """One decision, and whether it still counts."""

    reviewer: str
    verdict: str
    comment: str
    current: bool
    why_not: str | None
    created_at: Instant


class EvidenceAnswer(TypedDict):
    status: str
    computed_at: Instant | None
    parts: dict[str, Document]


class ReviewAnswer(TypedDict):
    """What there is to decide on, who decided so far, and how many have to agree."""

    version: str | None
    state: str
    break_glass: BrokenGlassAnswer | None
    submitted_by: str | None
    packet: Document
    read_by: list[Document]
    packet_hash: str
    evidence: EvidenceAnswer | None
    changes: list[ChangeAnswer]
    approvals: list[ApprovalAnswer]
    given: int
    required: int


class WaitingAnswer(_Class):
    """A version that waits for review, in a line."""

    view: str
    version: str | None
    state: str
    break_glass: BrokenGlassAnswer | None
    guard: bool
    reasons: list[str]
    breaks: list[str]
    impact: list[str]
    sensitivity: str
    owner: str
    submitted_by: str | None
    submitted_at: Instant | None
    due_at: Instant | None
    overdue: bool
    reviewers: list[str]
    given: int
    required: int


class ToDecide(WaitingAnswer):
    """The same, with the hash of what its review shows."""

    packet_hash: str


class CommentAnswer(TypedDict):
    """A remark, and what is now where the line stood that it is on."""

    id: int
    thread: int | None
    author: str
    body: str
    created_at: Instant
    current: bool
    path: str | None
    side: str | None
    line: int | None
    line_text: str | None
    became: str | None
    line_now: int | None
    resolved_by: str | None
    resolved_at: Instant | None


class AskedAnswer(TypedDict):
    """Who is asked to decide; none: all who could."""

    version: str | None
    state: str
    reviewers: list[str]
    could: list[str]


class FeatureServiceAnswer(Words):
    """The current version of a feature service."""

    name: str
    version: int | None
    features: list[str]
    problems: list[str]
    context: str | None


class MemberHealthAnswer(TypedDict):
    """How one of its features stands."""

    feature: str
    version: str | None
    health: str
    why: str


class OneFeatureService(FeatureServiceAnswer):
    """The same, with how each of its features stands."""

    health: list[MemberHealthAnswer]


class AuditEntryAnswer(TypedDict):
    """One entry of the trail."""

    id: int
    at: Instant
    actor: str
    actor_id: int | None
    actor_pseudonym: str
    project: str
    verb: str
    subject: str
    subject_type: str
    subject_id: str
    before: Any
    after: Any
    data: Document
    request_id: str
    previous_hash: str
    hash: str
