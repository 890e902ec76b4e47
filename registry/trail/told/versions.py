"""What the trail tells of one version or grant, compared with what its rows say.

Not for loading them or for the trail's own chain: ``verifying`` does both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lib.errors import Conflict
from registry import audit
from registry.choices import (
    SUBMITTED_STATES,
    Action,
    EvidencePart,
    EvidenceStatus,
    GrantState,
    State,
    Verdict,
)
from registry.fittings import fittings_of
from registry.lifecycle import VERB
from registry.models import AuditEntry
from registry.models.names import pseudonym_of
from registry.spec.fingerprints import content_fingerprint, fingerprint
from registry.trail.told.glass import findings_of_glass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registry.models import (
        BrokenGlass,
        Evidence,
        FeatureViewVersion,
        ReadGrant,
        Review,
    )

STATES = {*State}
DRAFTED = "feature_view_version.drafted"
WRITTEN = (DRAFTED, "feature_view_version.edited", VERB[Action.SUBMIT])
#: Of these, the entries that have the whole definition.
TYPED = WRITTEN[:2]
REVIEWED = {VERB[Action.APPROVE], VERB[Action.REJECT]}
GRANT_ASKED, GRANT_GIVEN = "read_grant.asked", "read_grant.given"
ASSAYED = "feature_view_version.assayed"
#: From here on a number is written whole by PostgreSQL, which Python wrote as a fraction.
WHOLE_FROM = 10**16


class DraftNotAsTold(Conflict):
    code = "draft_not_as_told"


@dataclass
class Told:
    """The entries about one version, in order, and the rows that belong to it."""

    entries: list[AuditEntry] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    editor_ids: set[int] = field(default_factory=set)
    evidence: list[Evidence] = field(default_factory=list)
    glass: BrokenGlass | None = None


def findings_of_version(version: FeatureViewVersion, told: Told) -> Iterator[str]:
    """Say each thing that is not as the trail has it."""
    yield from _states(version, told)
    yield from _content(version, told)
    yield from _reviews(told)
    yield from _approvals(version, told)
    yield from findings_of_glass(told.glass, told.entries, told.editor_ids)
    yield from _editors(told)
    if version.spec.transform.is_stored:
        yield from _evidence(told)
        yield from _fittings(version, told)


def _states(version: FeatureViewVersion, told: Told) -> Iterator[str]:
    """Replay the lifecycle; whatever moves a version says from where and to where."""
    state = None
    for entry in told.entries:
        if entry.verb == DRAFTED:
            state = State.DRAFT
        elif _moves(entry):
            if entry.before != state:
                yield f"entry {entry.pk} moves it from {entry.before}, and it was {state}"
            state = State(str(entry.after))
    if state != version.state:
        yield f"it is {version.state}, and the trail says {state or 'nothing of it'}"


def _moves(entry: AuditEntry) -> bool:
    return isinstance(entry.after, str) and entry.after in STATES and entry.before in STATES


def _content(version: FeatureViewVersion, told: Told) -> Iterator[str]:
    """The submission's entry names the packet, and the packet what the version says.

    Of a draft that was edited since, or never submitted, the last entry has what it says.
    """
    written = [e for e in told.entries if e.verb in WRITTEN]
    if not written:
        yield "the trail has nobody who wrote it"
        return
    if version.state not in SUBMITTED_STATES and written[-1].verb in TYPED:
        if written[-1].after != audit.plain(version.spec_json):
            yield f"its definition is not the one of entry {written[-1].pk}, the last that wrote it"
        return
    submitted = [e for e in told.entries if e.verb == VERB[Action.SUBMIT]]
    if submitted and submitted[-1].data.get("packet_hash") != version.packet_hash:
        yield f"its packet is not the one of entry {submitted[-1].pk}, which submitted it"
    if not _is_hash_of(version.packet_hash, version.packet):
        yield "its packet is not what its hash was made of"
    if version.packet.get("content") != content_fingerprint(version.spec):
        yield "its definition is not the one its packet was made of"


def _is_hash_of(known: str, value: object) -> bool:
    return known in (fingerprint(value), fingerprint(_with_fractions(value)))


def _with_fractions(value: object) -> object:
    if isinstance(value, dict):
        return {key: _with_fractions(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_fractions(one) for one in value]
    is_whole = isinstance(value, int) and abs(value) >= WHOLE_FROM
    return float(value) if is_whole else value  # type: ignore[arg-type]


def _reviews(told: Told) -> Iterator[str]:
    """Each review says what its entry says, and each entry of a decision has its review."""
    entries = {entry.pk: entry for entry in told.entries}
    for review in told.reviews:
        entry = entries.pop(review.audit_entry_id, None)
        if entry is None or _said(entry) != _meant(review):
            yield f"review {review.pk} is not what entry {review.audit_entry_id} says"
    for entry in entries.values():
        if entry.verb in REVIEWED:
            yield f"the review of entry {entry.pk} is gone"


def _said(entry: AuditEntry) -> tuple[object, ...]:
    packet_hash, comment = entry.data.get("packet_hash"), entry.data.get("comment")
    return entry.verb, entry.actor_id, entry.at, packet_hash, comment


def _meant(review: Review) -> tuple[object, ...]:
    verb = f"feature_view_version.{review.verdict}"
    return verb, review.reviewer_id, review.created_at, review.decided_on, review.comment


def _approvals(version: FeatureViewVersion, told: Told) -> Iterator[str]:
    """As many people approved it as its packet wants, or what made it approved has another name."""
    made = [e for e in told.entries if _moves(e) and e.after == State.APPROVED != e.before]
    first = next(iter(made), None)
    is_confirmed = told.glass is not None and told.glass.is_confirmed
    if first is None or not (first.verb == VERB[Action.APPROVE] or is_confirmed):
        return
    given = {
        review.reviewer_id
        for review in told.reviews
        if review.verdict == Verdict.APPROVED and review.packet_hash == version.packet_hash
    }
    count = len(given - told.editor_ids)
    if count < (wanted := max(version.packet.get("approvals_required") or 1, 1)):
        yield f"{count} of {wanted} approvals are there, and entry {first.pk} made it approved"


def _editors(told: Told) -> Iterator[str]:
    for entry in told.entries:
        is_known = entry.actor_id is None or entry.actor_id in told.editor_ids
        if entry.verb in WRITTEN and not is_known:
            yield f"whoever wrote entry {entry.pk} is not among its editors"


def _evidence(told: Told) -> Iterator[str]:
    """What was found out has the seal that the trail has; on-demand features have none to find."""
    seals = {e.data.get("packet_hash") for e in told.entries if e.verb == ASSAYED}
    for evidence in told.evidence:
        if evidence.status == EvidenceStatus.COMPUTED and evidence.hash not in seals:
            yield f"evidence {evidence.pk} is not what the trail has the seal of"


def _fittings(version: FeatureViewVersion, told: Told) -> Iterator[str]:
    """What its encodings are fitted to is what was sealed with the evidence, and decided on."""
    if not version.spec.fittings:
        return
    there = {name: list(each.parameters) for name, each in fittings_of(version.spec).items()}
    for evidence in told.evidence:
        if evidence.packet_hash != version.packet_hash:
            continue
        sealed = evidence.parts.get(EvidencePart.FIT, {}).get("values", {})
        for name in sorted(sealed):
            if sealed[name] != there.get(name):
                yield f"what {name} is fitted to is not what evidence {evidence.pk} has"


def require_draft_as_told(version: FeatureViewVersion) -> None:
    """Return if a draft says what those said who are known to have written it.

    :raises DraftNotAsTold: it was changed past the trail, by nobody who is among its editors.
    """
    entries = AuditEntry.objects.filter(
        subject_type="featureviewversion", subject_id=str(version.pk), verb__in=WRITTEN
    )
    for said in _content(version, Told(entries=list(entries.order_by("pk")))):
        raise DraftNotAsTold(
            f"{version} is not submitted: {said}. Apply the definition anew, so that it is known"
            " who wrote it; manage.py verify_audit says more."
        )


def findings_of_grant(grant: ReadGrant, entries: Sequence[AuditEntry]) -> Iterator[str]:
    """Say each thing of a grant that is not as the trail has it."""
    if not entries or entries[0].verb != GRANT_ASKED:
        yield "nobody asked for it: the trail has no entry of that"
        return
    asked = entries[0]
    then, now = (dict(entry.after or {}) for entry in (asked, entries[-1]))
    said = {
        "user": pseudonym_of(grant.user),
        "scope": grant.scope,
        "ends_at": grant.ends_at.isoformat(),
    }
    for name, value in said.items():
        if then.get(name) != value:
            yield f"its {name} is {value}, and {then.get(name)} was asked for"
    if asked.actor_id != grant.asked_by_id:
        yield f"account {grant.asked_by_id} asked for it, and {asked.actor_id} by the trail"
    if now.get("state") != grant.state:
        yield f"it is {grant.state}, and {now.get('state')} by the trail"
    given = next((entry for entry in entries if entry.verb == GRANT_GIVEN), None)
    if grant.state == GrantState.GIVEN and given and given.actor_id != grant.decided_by_id:
        yield f"account {grant.decided_by_id} gave it, and {given.actor_id} by the trail"
