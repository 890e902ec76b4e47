"""What the database itself refuses, table by table; ``triggers`` put these rules there. [pure]

The trail is append-only. A version is what was agreed to: its content stays from submit on, its
state moves along the lifecycle's table, and as many people made it approved as its packet wants,
each with an entry in the trail and none of them an editor. What they decided on, who edited it and
which numbers were given stays. Code keeps these rules and explains them; these catch a shell, a
script, a fixture or a mistake of ours.
"""

from __future__ import annotations

from typing import NamedTuple

from registry.choices import SUBMITTED_STATES, EvidenceStatus, State, Verdict
from registry.guards.deciding import (
    GRANT_RULES,
    GRANTS,
    MASK_KEY_RULES,
    MEMBERSHIP_RULES,
    PASSWORD_RULES,
    POLICY_RULES,
    PROPOSAL_RULES,
    TOKEN_RULES,
)
from registry.guards.glass import GLASSES, UNLOOKED, approves, glass_rules
from registry.guards.words import ALWAYS, LAST, TRAIL, Rules, kept
from registry.lifecycle import TRANSITIONS


class Guard(NamedTuple):
    """The rules of one table, and what of it ``INSERT OR REPLACE`` must not take the place of.

    ``keys`` are the columns beside ``id`` that no two rows share, ``replaceable`` the condition on
    a row ``x`` that still may be. Where a key is inserted again to be ignored, it is left out: a
    row with the same columns takes nothing away.
    """

    rules: Rules
    keys: tuple[tuple[str, ...], ...] = ()
    replaceable: str = "1 = 0"


# --- The audit trail -----------------------------------------------------------------------------

APPEND_ONLY = "audit entries are append-only"
NEWEST = f"SELECT hash FROM {TRAIL} ORDER BY id DESC LIMIT 1"  # noqa: S608 - a constant name
TRAIL_RULES: Rules = kept(APPEND_ONLY) | {
    # On SQLite an id that is not given is -1 here.
    ("INSERT", APPEND_ONLY): f"NEW.id > 0 AND NEW.id <= ({LAST})",
    ("INSERT", "an audit entry follows the newest one"): (
        f"NEW.previous_hash <> coalesce(({NEWEST}), '{'0' * 64}')"
    ),
}
HEAD_RULES: Rules = {
    ("DELETE", "the head of the trail stays"): ALWAYS,
    ("UPDATE", "the head of the trail moves on, to its newest entry"): (
        f"NEW.count <= OLD.count OR NEW.hash <> coalesce(({NEWEST}), '')"
    ),
}

# --- Versions ------------------------------------------------------------------------------------

VERSIONS = "registry_featureviewversion"
#: What stays from submit on.
FROZEN = (
    "id", "feature_view_id", "major", "minor", "patch", "spec_json", "data_fingerprint",
    "metadata_fingerprint", "table_id", "based_on_id", "change_class", "packet", "packet_hash",
    "created_by_id", "created_at", "submitted_by_id", "submitted_at",
)  # fmt: skip
CHANGED = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in FROZEN)
STEPS = ", ".join(sorted({f"'{state}>{way.target}'" for (state, _), way in TRANSITIONS.items()}))
#: A review ``r`` of a version says what its entry ``e`` of the trail says, and has one of its own.
SAYS_THE_SAME = """e.id = {r}.audit_entry_id AND e.actor_id = {r}.reviewer_id
    AND e.verb = 'feature_view_version.' || {r}.verdict AND e.subject_type = 'featureviewversion'
    AND e.subject_id = CAST({r}.version_id AS text)
    AND JSON_TEXT(e.data, packet_hash) = {r}.decided_on"""
#: What is decided on: the packet, and its evidence once that is in.
DECIDED_ON = f"""coalesce((SELECT i.hash FROM registry_evidence i WHERE i.version_id = OLD.id
    AND i.packet_hash = OLD.packet_hash AND i.status = '{EvidenceStatus.COMPUTED}'),
    OLD.packet_hash)"""  # noqa: S608 - our own words
APPROVALS = f"""(SELECT count(DISTINCT r.reviewer_id) FROM registry_review r
    JOIN {TRAIL} e ON {SAYS_THE_SAME.format(r="r")}
    WHERE r.version_id = OLD.id AND r.verdict = '{Verdict.APPROVED}'
    AND r.packet_hash = OLD.packet_hash AND r.decided_on = {DECIDED_ON}
    AND r.reviewer_id NOT IN
        (SELECT d.user_id FROM registry_versioneditor d WHERE d.version_id = OLD.id))"""  # noqa: S608
POLICY = """(SELECT p.approvals_required FROM registry_project p
    JOIN registry_featureview f ON f.project_id = p.id WHERE f.id = OLD.feature_view_id)"""
AT_SUBMIT = "CAST(JSON_TEXT(OLD.packet, approvals_required) AS integer)"
#: Fewer people approved it than are wanted.
LACKING = f"{APPROVALS} < 1 OR {APPROVALS} < coalesce({AT_SUBMIT}, 1) OR {APPROVALS} < {POLICY}"
BORN = " OR ".join(
    f"NEW.{name} IS DISTINCT FROM OLD.{name}"
    for name in ("id", "feature_view_id", "created_at", "created_by_id")
)
VERSION_RULES: Rules = {
    ("INSERT", "a version begins as a draft"): f"NEW.state <> '{State.DRAFT}'",
    ("DELETE", "a submitted version is never deleted"): f"OLD.state <> '{State.DRAFT}'",
    ("UPDATE", "a submitted version never changes"): (
        f"OLD.state <> '{State.DRAFT}' AND ({CHANGED})"
    ),
    ("UPDATE", "a version keeps its id, its view and its beginning"): BORN,
    ("UPDATE", "when a version was approved stays"): (
        "OLD.approved_at IS NOT NULL AND NEW.approved_at IS DISTINCT FROM OLD.approved_at"
    ),
    ("UPDATE", "the lifecycle has no such step"): (
        f"NEW.state <> OLD.state AND OLD.state || '>' || NEW.state NOT IN ({STEPS})"
    ),
    ("UPDATE", "a version needs the approvals that are wanted, of people who did not edit it"): (
        f"OLD.state = '{State.IN_REVIEW}' AND NEW.state = '{State.APPROVED}' AND ({LACKING})"
        f" AND NOT {approves(TRAIL, DECIDED_ON)}"
    ),
}
_IS_FIXED = f"""NOT EXISTS (SELECT 1 FROM {VERSIONS} v
    WHERE v.id = {{row}}.version_id AND v.state = '{State.DRAFT}')"""  # noqa: S608 - our own words
SEARCHED = "the features of a submitted version stay"
FEATURE_RULES: Rules = {
    ("INSERT", SEARCHED): _IS_FIXED.format(row="NEW"),
    ("UPDATE", SEARCHED): _IS_FIXED.format(row="OLD"),
    ("DELETE", SEARCHED): _IS_FIXED.format(row="OLD"),
}

# --- Reviews and evidence ------------------------------------------------------------------------

REVIEW_RULES: Rules = kept("a review stays as it was given") | {
    ("INSERT", "a review is of what waits for one"): f"""NOT EXISTS (SELECT 1 FROM {VERSIONS} v
        WHERE v.id = NEW.version_id AND v.packet_hash = NEW.packet_hash
        AND (v.state = '{State.IN_REVIEW}' OR {UNLOOKED}))""",  # noqa: S608 - our own words
    ("INSERT", "a review needs its entry in the audit trail"): f"""NOT EXISTS (
        SELECT 1 FROM {TRAIL} e WHERE {SAYS_THE_SAME.format(r="NEW")})""",  # noqa: S608
}
EVIDENCE_REFUSAL = "evidence that is in never changes"
IS_IN = f"OLD.status = '{EvidenceStatus.COMPUTED}'"
FITTED = ("id", "version_id", "identity", "content", "made_at")
EVIDENCE_RULES: Rules = {
    ("UPDATE", EVIDENCE_REFUSAL): f"{IS_IN} OR NEW.id <> OLD.id",
    ("DELETE", EVIDENCE_REFUSAL): IS_IN,
}

#: A submitted version has it: the one it was made for, or another of the view, which names it.
FITTING_STANDS = f"""EXISTS (SELECT 1 FROM {VERSIONS} made, {VERSIONS} stands
    WHERE made.id = OLD.version_id AND stands.feature_view_id = made.feature_view_id
    AND stands.state IN ({", ".join(f"'{each}'" for each in SUBMITTED_STATES)})
    AND (stands.id = made.id
        OR replace(stands.spec_json, OLD.identity, '') <> stands.spec_json))"""  # noqa: S608

#: A worker finds parameters out once; they are data of the versions that name them.
FITTING_RULES: Rules = {
    ("UPDATE", "what an encoding was fitted to never changes"): " OR ".join(
        [f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in FITTED] + ["OLD.parameters <> ''"]
    ),
    ("DELETE", "what an encoding was fitted to stays"): FITTING_STANDS,
}

# --- What reviewers say --------------------------------------------------------------------------

COMMENTS = "registry_reviewcomment"
SAID = (
    "id", "version_id", "thread_id", "author_id", "body", "packet_hash", "path", "side", "line",
    "passage_id", "created_at",
)  # fmt: skip
#: All but that a thread is resolved, once.
COMMENT_RULES: Rules = {
    ("UPDATE", "what was said stays as it was said"): " OR ".join(
        [f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in SAID]
        + ["OLD.resolved_at IS NOT NULL"]
    ),
    ("DELETE", "what was said is not removed"): ALWAYS,
}

# --- All of them ---------------------------------------------------------------------------------

POLICIES = "what a policy wanted stays known"

EDITORS = "who edited something stays known"
#: What a table's rules are: the trail first, which the others ask.
GUARDS: dict[str, Guard] = {
    TRAIL: Guard(TRAIL_RULES, keys=(("hash",),)),
    "registry_audithead": Guard(HEAD_RULES),
    VERSIONS: Guard(
        VERSION_RULES,
        keys=(("feature_view_id", "major", "minor", "patch"),),
    ),
    "registry_versionnumber": Guard(
        kept("a number that was given stays given"),
        keys=(("feature_view_id", "major", "minor", "patch"),),
    ),
    "registry_versioneditor": Guard(kept(EDITORS)),
    "registry_pseudonym": Guard(
        {("UPDATE", "a pseudonym stays whose it is"): ALWAYS}, keys=(("user_id",), ("name",))
    ),
    "registry_usedname": Guard(
        {
            (
                "UPDATE",
                "a name that was used stays so",
            ): "NEW.digest <> OLD.digest OR NEW.id <> OLD.id",
            ("DELETE", "a name that was used stays so"): ALWAYS,
        },
        keys=(("digest",),),
    ),
    "registry_membership": Guard(MEMBERSHIP_RULES, keys=(("project_id", "user_id", "role"),)),
    "registry_maskkey": Guard(MASK_KEY_RULES, keys=(("identity",), ("project_id", "number"))),
    "registry_proposal": Guard(PROPOSAL_RULES),
    "registry_passwordchange": Guard(PASSWORD_RULES),
    "registry_policychange": Guard(kept(POLICIES)),
    "registry_project": Guard(POLICY_RULES),
    "registry_apitoken": Guard(TOKEN_RULES),
    "registry_entity_editors": Guard(kept(EDITORS)),
    "registry_datasource_editors": Guard(kept(EDITORS)),
    "registry_feature": Guard(FEATURE_RULES, keys=(("version_id", "name"),)),
    "registry_review": Guard(
        REVIEW_RULES,
        keys=(("version_id", "reviewer_id", "decided_on"), ("audit_entry_id",)),
    ),
    GLASSES: Guard(
        glass_rules(TRAIL, VERSIONS, LACKING.replace("OLD.", "v.")),
        keys=(("version_id",), ("audit_entry_id",), ("look_entry_id",)),
    ),
    "registry_evidence": Guard(
        EVIDENCE_RULES,
        keys=(("version_id", "packet_hash"),),
        replaceable=f"x.status <> '{EvidenceStatus.COMPUTED}'",
    ),
    "registry_fitting": Guard(FITTING_RULES, keys=(("identity",),)),
    COMMENTS: Guard(COMMENT_RULES),
    "registry_reviewpassage": Guard(
        kept("what was said of a line stays beside it"), keys=(("version_id", "sha256"),)
    ),
    GRANTS: Guard(GRANT_RULES),
    "registry_featureserviceversion": Guard(
        kept("a version of a service never changes"),
        keys=(("feature_service_id", "version"),),
    ),
    "registry_featureservicemember": Guard(kept("a version of a service never changes")),
}
