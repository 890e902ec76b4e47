"""Every enumeration of the registry, with its named groups of states. [pure]

Values are stored and sent: they never change once released.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    DRAFT = "draft"
    IN_REVIEW = "in_review"
    APPROVED = "approved"
    DEPRECATED = "deprecated"
    RETIRED = "retired"


#: The states whose versions answer reads and are materialized.
SERVED_STATES = (State.APPROVED, State.DEPRECATED)
#: The states in which the content can no longer change.
SUBMITTED_STATES = (State.IN_REVIEW, State.APPROVED, State.DEPRECATED, State.RETIRED)


class Action(StrEnum):
    SUBMIT = "submit"
    WITHDRAW = "withdraw"
    APPROVE = "approve"
    REJECT = "reject"
    #: Approves without the four eyes, for a while; then somebody else confirms it, or objects.
    BREAK_GLASS = "break-glass"
    CONFIRM = "confirm"
    OBJECT = "object"
    PROMOTE = "promote"
    DEPRECATE = "deprecate"
    RESTORE = "restore"
    RETIRE = "retire"


class ChangeClass(StrEnum):
    """How much a change asks of consumers, least first; ``guard`` weakens a protection.

    ``first``: there is nothing it changes.
    """

    PATCH = "patch"
    GUARD = "guard"
    MINOR = "minor"
    MAJOR = "major"
    FIRST = "first"


class Accuracy(StrEnum):
    #: Aggregations as of the ticks of the schedule.
    SNAPSHOT = "snapshot"
    #: In training sets as of each entity row's own time.
    TEMPORAL = "temporal"
    #: As that, and as of each online read: events are online in place of ticks.
    EXACT = "exact"


class Sensitivity(StrEnum):
    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"


#: Ordered from open to closed; lowering is moving left.
SENSITIVITY_ORDER = tuple(Sensitivity)
#: What more people have to agree to.
SENSITIVE = (Sensitivity.CONFIDENTIAL, Sensitivity.RESTRICTED)


class GrantState(StrEnum):
    """Where a grant to read sensitive values is; one that is given counts until its end."""

    ASKED = "asked"
    GIVEN = "given"
    REFUSED = "refused"
    #: Taken back, whether it had been given or was only asked for.
    REVOKED = "revoked"


class CheckSeverity(StrEnum):
    """What a check that fails does: the run stops and nothing is published, or somebody is told."""

    BLOCK = "block"
    WARN = "warn"


class Against(StrEnum):
    """What a run's values are compared with to see whether they drift."""

    BASELINE = "baseline"
    PREVIOUS = "previous"
    BOTH = "both"


class InStep(StrEnum):
    """How what is registered stands to the commit that said it last."""

    IN_STEP = "in_step"
    #: A draft or a submission says it: somebody still has to agree.
    WAITS = "waits"
    #: Something else is registered since, by another door.
    DRIFTED = "drifted"


class EvidenceStatus(StrEnum):
    """Where the evidence of a submission is."""

    WAITING = "waiting"
    COMPUTING = "computing"
    #: Every part says what was found, or why nothing could be.
    COMPUTED = "computed"


class EvidencePart(StrEnum):
    """What is found out about a submission; a project's policy may want any before an approval."""

    PROFILE = "profile"
    COMPARISON = "comparison"
    LEAKAGE = "leakage"
    COST = "cost"
    #: What its encodings are fitted to.
    FIT = "fit"


class PartState(StrEnum):
    COMPUTED = "computed"
    #: There is nothing to be computed, as of a first version there is no comparison.
    NOT_APPLICABLE = "not_applicable"
    NOT_COMPUTED = "not_computed"
    #: From whoever asks, who may not read what it answers; so it is never stored.
    WITHHELD = "withheld"


class Side(StrEnum):
    """Which of two texts a line is of: what was, or what is to be."""

    OLD = "old"
    NEW = "new"


class Fate(StrEnum):
    """What became of a line since something was said of it."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    GONE = "gone"


class NewsKind(StrEnum):
    """What people hear of; each may leave any of them out."""

    REVIEW = "review"
    COMMENT = "comment"
    DECISION = "decision"
    REMINDER = "reminder"
    GRANT = "grant"
    QUESTION = "question"
    BREAKAGE = "breakage"
    FAILURE = "failure"
    DRIFT = "drift"
    FRESHNESS = "freshness"


class Verdict(StrEnum):
    APPROVED = "approved"
    REJECTED = "rejected"


class Look(StrEnum):
    """What somebody said who looked at a broken glass afterwards."""

    CONFIRMED = "confirmed"
    OBJECTED = "objected"


class Role(StrEnum):
    """What a person or service is in one project; ``roles.ROLES`` says what each may do."""

    CONSUMER = "consumer"
    PLANNER = "planner"
    PRODUCER = "producer"
    AUTHOR = "author"
    STEWARD = "steward"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    OWNER = "owner"


class AccountKind(StrEnum):
    """Who stands behind an account: somebody who logs in, or a program with tokens."""

    PERSON = "person"
    SERVICE = "service_account"


class Right(StrEnum):
    """What somebody may do in a project or to one feature view; stored as a permission's name."""

    VIEW_PROJECT = "view_project"
    READ_ONLINE = "read_online"
    READ_OFFLINE = "read_offline"
    PUSH_FEATUREVIEW = "push_featureview"
    PLAN_FEATUREVIEW = "plan_featureview"
    ADD_FEATUREVIEW = "add_featureview"
    CHANGE_FEATUREVIEW = "change_featureview"
    APPROVE_FEATUREVIEW = "approve_featureview"
    BREAK_GLASS = "break_featureview_glass"
    RELEASE_FEATUREVIEW = "release_featureview"
    MATERIALIZE_FEATUREVIEW = "materialize_featureview"
    CHANGE_SCHEDULE = "change_schedule"
    VIEW_AUDITENTRY = "view_auditentry"
    MANAGE_MEMBERS = "manage_members"
    GIVE_READGRANT = "give_readgrant"
    TEST_CONNECTION = "test_connection"
    END_DATASET = "end_dataset"


class Kind(StrEnum):
    """The kinds of object a definitions file can hold, in the order in which they are applied."""

    ENTITY = "Entity"
    DATA_SOURCE = "DataSource"
    FEATURE_VIEW = "FeatureView"
    ON_DEMAND_FEATURE_VIEW = "OnDemandFeatureView"
    FEATURE_SERVICE = "FeatureService"


class Standing(StrEnum):
    """How fresh what a feature is read from is, against the promise of its definition."""

    IN_TIME = "in_time"
    OVERDUE = "overdue"
    NO_PROMISE = "no_promise"
    #: Nothing of it is stored: it is as fresh as what it is computed from.
    AT_REQUEST = "at_request"


class ProposalKind(StrEnum):
    """What takes two people, because it decides who decides."""

    ROLE = "role"
    POLICY = "policy"
    ROOT = "root"
    ACCOUNT = "account"
    PASSWORD = "password"  # noqa: S105 - the name of a kind


class ProposalState(StrEnum):
    """Where a proposal is; one that is open is over once its time is."""

    PROPOSED = "proposed"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
