"""What the database refuses of those who decide and those who may read. [pure]

Roles, passwords, policies, tokens, proposals, grants and keys of hashes; ``tables`` puts it
together. Not for the rules of other tables.
"""

from __future__ import annotations

from registry.choices import GrantState, ProposalState
from registry.guards.words import ALWAYS, LAST, TRAIL, Rules, changes, kept

# --- Grants --------------------------------------------------------------------------------------

GRANTS = "registry_readgrant"
#: What was asked for, and what stays once it was decided.
ASKED_FOR = (
    "id", "project_id", "user_id", "feature_view_id", "level", "purpose", "ends_at", "asked_by_id",
    "asked_at",
)  # fmt: skip
DECIDED = ("decided_by_id", "decided_at", "is_unseconded")
GRANT_STEPS = ", ".join(
    f"'{before}>{after}'"
    for before, after in (
        (GrantState.ASKED, GrantState.GIVEN),
        (GrantState.ASKED, GrantState.REFUSED),
        (GrantState.ASKED, GrantState.REVOKED),
        (GrantState.GIVEN, GrantState.REVOKED),
    )
)
#: The entry ``e`` of the trail that says a step of a grant was somebody's.
GRANT_ENTRY = f"""EXISTS (SELECT 1 FROM {TRAIL} e WHERE e.verb = 'read_grant.{{verb}}'
    AND e.subject_type = 'readgrant' AND e.subject_id = CAST(OLD.id AS text)
    AND e.actor_id = {{who}})"""  # noqa: S608 - our own words
GRANT_RULES: Rules = {
    ("INSERT", "a grant begins by being asked for"): (
        f"NEW.state <> '{GrantState.ASKED}' OR NEW.decided_by_id IS NOT NULL"
    ),
    ("UPDATE", "what a grant was asked for stays"): " OR ".join(
        f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in ASKED_FOR
    ),
    ("UPDATE", "a grant has no such step"): (
        f"OLD.state || '>' || NEW.state NOT IN ({GRANT_STEPS})"
    ),
    ("UPDATE", "who decided on a grant stays"): "OLD.decided_by_id IS NOT NULL AND ({})".format(
        " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in DECIDED)
    ),
    ("UPDATE", "a grant that is given needs its entries in the audit trail"): (
        f"NEW.state = '{GrantState.GIVEN}' AND NOT ("
        f"{GRANT_ENTRY.format(verb='given', who='NEW.decided_by_id')}"
        f" AND {GRANT_ENTRY.format(verb='asked', who='OLD.asked_by_id')})"
    ),
    ("DELETE", "a grant is never deleted"): ALWAYS,
}

# --- Who decides ---------------------------------------------------------------------------------

#: The entry that was written just before, in the transaction of the change.
LATEST = f"e.id = ({LAST})"
OF_PROJECT = "e.subject_type = 'project' AND e.subject_id = CAST({project} AS text)"
MEMBERSHIP_RULES: Rules = {
    ("INSERT", "a role needs its entry in the audit trail"): f"""NOT EXISTS (SELECT 1 FROM {TRAIL} e
        JOIN registry_pseudonym n ON n.name = JSON_TEXT(e.after, user)
        WHERE e.verb = 'membership.granted' AND {OF_PROJECT.format(project="NEW.project_id")}
        AND JSON_TEXT(e.after, role) = NEW.role AND n.user_id = NEW.user_id
        AND e.actor_id IS NOT DISTINCT FROM NEW.granted_by_id
        AND SAME_JSON(e.data, hands, NEW.hands) AND NOT EXISTS (SELECT 1 FROM {TRAIL} t
            WHERE t.id > e.id AND t.verb = 'membership.revoked'
            AND t.project_name = e.project_name AND JSON_TEXT(t.before, user) = n.name
            AND JSON_TEXT(t.before, role) = NEW.role))""",  # noqa: S608 - our own words
    ("UPDATE", "a role stays as it was given"): changes(
        "id", "project_id", "user_id", "role", "granted_by_id", "granted_at"
    ),
    ("UPDATE", "a word on a role needs its entry in the audit trail"): f"""
        ({changes("accepted_by_id", "agreed_at", "hands")})
        AND NOT EXISTS (SELECT 1 FROM {TRAIL} e WHERE {LATEST}
        AND e.verb = 'membership.agreed' AND {OF_PROJECT.format(project="NEW.project_id")}
        AND e.actor_id = NEW.accepted_by_id)""",  # noqa: S608 - our own words
}
#: What anybody keeps of a password stands in the entry of whoever set it, or stored it anew.
PASSWORD_RULES: Rules = kept("who set a password stays known") | {
    ("INSERT", "a password needs its entry in the audit trail"): f"""NOT EXISTS (
        SELECT 1 FROM {TRAIL} e WHERE e.subject_type = 'user'
        AND e.subject_id = CAST(NEW.user_id AS text)
        AND JSON_TEXT(e.data, account.password) = NEW.digest
        AND (e.actor_id = NEW.set_by_id OR e.verb = 'user.password_renewed'))""",  # noqa: S608
}
POLICY_RULES: Rules = {
    ("UPDATE", "a policy needs its entry in the audit trail"): f"""
        ({changes("approvals_required", "approvals_required_sensitive")})
        AND NOT EXISTS (SELECT 1 FROM {TRAIL} e WHERE {LATEST}
        AND e.verb = 'project.changed' AND {OF_PROJECT.format(project="NEW.id")})""",  # noqa: S608
}
MASK_KEY_RULES: Rules = kept("a key of hashes stays") | {
    ("INSERT", "a key of hashes needs its entry in the audit trail"): f"""NOT EXISTS (SELECT 1
        FROM {TRAIL} e WHERE e.verb = 'project.mask_key_made'
        AND {OF_PROJECT.format(project="NEW.project_id")}
        AND JSON_TEXT(e.after, key) = NEW.identity)""",  # noqa: S608 - our own words
}
TOKEN_RULES: Rules = {
    ("UPDATE", "a token stays what it was issued as"): changes(
        "id", "user_id", "digest", "created_by_id", "created_at", "may_decide"
    ),
}
PROPOSAL_RULES: Rules = {
    ("UPDATE", "what was proposed stays"): changes(
        "id", "kind", "project_id", "person_id", "proposed_by_id", "proposed_at"
    ),
    ("UPDATE", "what waits for a second person stays"): (
        f"NEW.state = '{ProposalState.PROPOSED}' AND ({changes('change')}"
        " OR (NEW.secret <> OLD.secret AND NEW.secret <> ''))"
    ),
    ("UPDATE", "what was decided stays so"): (
        f"OLD.state <> '{ProposalState.PROPOSED}' AND ({changes('state', 'decided_by_id')})"
    ),
    ("DELETE", "a proposal stays"): ALWAYS,
}
