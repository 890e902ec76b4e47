"""What the database refuses of broken glasses, in words that ``tables`` puts together. [pure]

Not for the rules of other tables: ``tables`` has them.
"""

from __future__ import annotations

from registry.choices import Look, State

GLASSES = "registry_brokenglass"
BREAKING = "feature_view_version.glass_broken"
#: A glass ``g`` says what its entry ``e`` of the trail says, and has one of its own.
SAYS_THE_SAME = f"""e.id = {{g}}.audit_entry_id AND e.actor_id = {{g}}.broken_by_id
    AND e.verb = '{BREAKING}' AND e.subject_type = 'featureviewversion'
    AND e.subject_id = CAST({{g}}.version_id AS text)
    AND JSON_TEXT(e.data, packet_hash) = {{g}}.decided_on"""
#: Of a version ``v``: somebody broke its glass, and nobody has settled that.
UNLOOKED = f"""EXISTS (SELECT 1 FROM {GLASSES} g
    WHERE g.version_id = v.id AND g.verdict = '')"""  # noqa: S608 - our own words
#: What stays from the breaking on.
BROKEN = (
    "id", "version_id", "packet_hash", "decided_on", "broken_by_id", "reason", "broken_at",
    "ends_at", "hands", "audit_entry_id",
)  # fmt: skip
LOOKS = ", ".join(f"'{each}'" for each in Look)


def approves(trail: str, decided_on: str) -> str:
    """Return the condition under which a glass makes the version OLD approved."""
    return f"""EXISTS (SELECT 1 FROM {GLASSES} g
        JOIN {trail} e ON {SAYS_THE_SAME.format(g="g")}
        WHERE g.version_id = OLD.id AND g.packet_hash = OLD.packet_hash
        AND g.decided_on = {decided_on} AND g.verdict = '')"""  # noqa: S608 - our own words


def glass_rules(trail: str, versions: str, lacking: str) -> dict[tuple[str, str], str]:
    """Return the rules of the table; ``lacking`` says of a version ``v`` that approvals lack."""
    return {
        ("INSERT", "a glass is broken of what waits for review"): f"""NOT EXISTS (
            SELECT 1 FROM {versions} v WHERE v.id = NEW.version_id
            AND v.state = '{State.IN_REVIEW}' AND v.packet_hash = NEW.packet_hash)
            OR NEW.verdict <> '' OR NEW.looked_by_id IS NOT NULL""",  # noqa: S608 - our own words
        ("INSERT", "a broken glass needs its entry in the audit trail"): f"""NOT EXISTS (
            SELECT 1 FROM {trail} e WHERE {SAYS_THE_SAME.format(g="NEW")})""",  # noqa: S608
        ("INSERT", "a glass never weakens a protection"): f"""EXISTS (
            SELECT 1 FROM {versions} v WHERE v.id = NEW.version_id
            AND CAST(JSON_TEXT(v.packet, guard) AS text) IN ('1', 'true'))""",  # noqa: S608
        ("INSERT", "one broken glass of a view at a time"): f"""EXISTS (
            SELECT 1 FROM {versions} w JOIN {versions} v ON v.feature_view_id = w.feature_view_id
            WHERE w.id = NEW.version_id AND {UNLOOKED})""",  # noqa: S608 - our own words
        ("UPDATE", "a broken glass stays as it was broken"): " OR ".join(
            [f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in BROKEN]
            + ["OLD.verdict <> ''", f"NEW.verdict NOT IN ({LOOKS})"]
        ),
        ("UPDATE", "a look at a broken glass needs its entry in the audit trail"): f"""
            NEW.verdict IN ({LOOKS}) AND OLD.verdict = '' AND NOT EXISTS (
            SELECT 1 FROM {trail} e WHERE e.id = NEW.look_entry_id
            AND e.actor_id = NEW.looked_by_id AND e.subject_type = 'featureviewversion'
            AND e.verb = 'feature_view_version.glass_' || NEW.verdict
            AND e.subject_id = CAST(NEW.version_id AS text))""",  # noqa: S608 - our own words
        ("UPDATE", "somebody else looks at a broken glass"): """NEW.looked_by_id = OLD.broken_by_id
            OR NEW.looked_by_id IN (SELECT d.user_id FROM registry_versioneditor d
            WHERE d.version_id = OLD.version_id)""",
        ("UPDATE", "a confirmed glass needs the approvals that are wanted"): f"""
            NEW.verdict = '{Look.CONFIRMED}' AND EXISTS (
            SELECT 1 FROM {versions} v WHERE v.id = OLD.version_id
            AND ({lacking}))""",  # noqa: S608 - our own words
        ("DELETE", "a broken glass stays known"): "1 = 1",
    }
