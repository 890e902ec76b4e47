"""What the trail tells of a broken glass, compared with what its row says.

Not for the rest of a version: ``versions`` has that, and calls this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.audit import plain
from registry.choices import Action, Look, State
from registry.lifecycle import VERB

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from registry.models import AuditEntry, BrokenGlass

VERBS = {Look.CONFIRMED: VERB[Action.CONFIRM], Look.OBJECTED: VERB[Action.OBJECT]}


def findings_of_glass(
    glass: BrokenGlass | None, entries: Sequence[AuditEntry], editor_ids: Collection[int]
) -> Iterator[str]:
    """Say each thing of how a glass was broken and looked at that is not as the trail has it."""
    broken = [entry for entry in entries if entry.verb == VERB[Action.BREAK_GLASS]]
    looks = [entry for entry in entries if entry.verb in VERBS.values()]
    if glass is None:
        for entry in (*broken, *looks):
            yield f"the broken glass of entry {entry.pk} is gone"
        return
    if [_said(entry) for entry in broken] != [_meant(glass)]:
        yield f"its broken glass is not what entry {glass.audit_entry_id} says"
    if [_looked(entry) for entry in looks] != _meant_looks(glass):
        yield f"what was said of its broken glass is not what entry {glass.look_entry_id} says"
    if glass.looked_by_id is not None and glass.looked_by_id in {glass.broken_by_id, *editor_ids}:
        yield "whoever looked at its broken glass broke it, or edited it"


def _said(entry: AuditEntry) -> tuple[object, ...]:
    data = entry.data
    words = data.get("packet_hash"), data.get("comment"), data.get("until")
    hands = data.get("hands")
    return entry.pk, entry.actor_id, entry.at, entry.after, hands, *words


def _meant(glass: BrokenGlass) -> tuple[object, ...]:
    words = glass.decided_on, plain(glass.reason), glass.ends_at.isoformat()
    who = glass.audit_entry_id, glass.broken_by_id
    return *who, glass.broken_at, State.APPROVED, glass.hands, *words


def _looked(entry: AuditEntry) -> tuple[object, ...]:
    return entry.pk, entry.verb, entry.actor_id, entry.at, entry.data.get("comment")


def _meant_looks(glass: BrokenGlass) -> list[tuple[object, ...]]:
    if glass.is_unlooked:
        return []
    verb = VERBS[Look(glass.verdict)]
    words = plain(glass.comment)
    return [(glass.look_entry_id, verb, glass.looked_by_id, glass.looked_at, words)]
