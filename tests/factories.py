"""Plain functions that make registered things with sane defaults, through the real operations."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from registry import audit, epoch
from registry.accounts.hands import DECIDING_ROLES
from registry.accounts.passwords import note_password
from registry.choices import AccountKind, Role, State
from registry.evidence import decided_on, evidence_of
from registry.models import (
    Account,
    AuditEntry,
    FeatureTable,
    FeatureView,
    FeatureViewVersion,
    Project,
    ReadGrant,
)
from registry.operations.lifecycle import releases, reviews, submissions
from registry.operations.people import grants, members, projects, tokens, users
from registry.operations.registration.apply import apply_definitions
from registry.operations.registration.roots import assign_root
from registry.reading.parsing import parse_files
from registry.trail.told.accounts import ALL as ALL_FACTS
from registry.trail.told.accounts import told
from tests import tapes
from tests.remembering import remembered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import Model

    from registry.looking import Looking
    from registry.operations.registration.applied import Applied
    from registry.spec.python_code import PythonCode
    from registry.spec.sources.base import SourceSchema
    from registry.spec.version_spec import VersionSpec

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)

ENTITY = """
kind: Entity
name: driver
join_keys: [{name: driver_id, type: int64}]
"""
SOURCE = """
kind: DataSource
name: driver_stats
type: file
path: driver_stats.parquet
event_timestamp: event_timestamp
created_timestamp: created
"""
VIEW = """
kind: FeatureView
name: driver_hourly
entities: [driver]
source: driver_stats
features:
  - {name: conv_rate, type: float32, description: Conversion rate}
  - {name: acc_rate, type: float32}
  - {name: avg_daily_trips, type: int32, sensitivity: internal}
ttl: 2d
schedule: {every: 1h}
owner: rides
"""
DEFINITIONS = "\n---\n".join((ENTITY, SOURCE, VIEW))


@dataclass
class Report:
    """What a look would have seen; the registry's own rules are tested without files."""

    problems: list[tuple[tuple[str | int, ...], str]] = field(default_factory=list)
    examples: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    rows: int | None = 12
    first_event: datetime | None = AT
    last_event: datetime | None = AT
    schema: SourceSchema | None = None
    code: PythonCode | None = None
    files: dict[str, str] = field(default_factory=dict)
    joined: tuple[SourceSchema, ...] = ()


def look(*, specs: Sequence[VersionSpec], project: Project, unseen=()) -> list[Report]:
    return [Report() for _ in specs]


_look = look


@dataclass
class Cast:
    """The people of every test.

    The owner made the project; the author writes; the steward and the second steward approve; the
    operator runs; the consumer reads; the auditor looks; the outsider has no role at all.
    """

    project: Project
    owner: User
    author: User
    steward: User
    second_steward: User
    operator: User
    consumer: User
    auditor: User
    outsider: User
    superuser: User


def make_user(name: str, **columns: Any) -> User:
    """Return somebody who has set their own password."""
    user = User.objects.create_user(name, password="pw", **columns)
    if user.is_superuser:  # as the first of an installation is one: by nobody's word
        about = {"kind": AccountKind.PERSON, "set_by": user, "set_at": AT, "raised_by": [[]]}
        Account.objects.update_or_create(user=user, defaults=about)
    with transaction.atomic():
        audit.record(
            actor=user, verb="user.created", subject=user, data=told(user, *ALL_FACTS), at=AT
        )
    note_password(user=user, set_by=user, at=AT)
    return user


def make_project(name: str, owner: User, *, root: str | None = None) -> Project:
    project = projects.create_project(name=name, actor=owner, at=AT)
    if root is not None:
        assign_root(project=project, path=root, actor=None, at=AT)
    return project


def make_cast(*, root: str | None = None) -> Cast:
    """Make the people and their project; with ``root``, a directory that it may read."""
    with tapes.step("cast"):
        cast = remembered("cast", _make_cast)
        with epoch.change(cast.project.pk):
            pass  # readers are told of a new project
    if root is not None:
        assign_root(project=cast.project, path=root, actor=None, at=AT)
    return cast


def _make_cast() -> Cast:
    owner = make_user("owner", is_staff=True)
    project = make_project("rides", owner)
    roles = {
        "author": Role.AUTHOR,
        "steward": Role.STEWARD,
        "second_steward": Role.STEWARD,
        "operator": Role.OPERATOR,
        "consumer": Role.CONSUMER,
        "auditor": Role.AUDITOR,
    }
    people = {name: make_user(name, is_staff=True) for name in roles}
    superuser = make_user("superuser", is_staff=True, is_superuser=True)
    for name, role in roles.items():
        give_role(project, people[name], role, owner, accepted_by=superuser)
    outsider = make_user("outsider", is_staff=True)
    return Cast(project=project, owner=owner, outsider=outsider, superuser=superuser, **people)


def give_role(
    project: Project,
    user: User,
    role: Role,
    actor: User,
    *,
    accepted_by: User | None = None,
    at: datetime = AT,
) -> None:
    """Give somebody a role, by the word of two people if there are two."""
    with members.managing(project, actor):
        members.grant(project, user, role, actor, at, accepted_by=accepted_by)


def want_approvals(cast: Cast, approvals: int) -> None:
    """Have the project want so many, by the owner's word."""
    project = Project.objects.get(pk=cast.project.pk)
    with members.managing(project, cast.owner):
        projects.store_columns(project, {"approvals_required": approvals}, cast.owner, AT)


def token_for(user: User, *, days: int = 30) -> str:
    """Return the text of a live token."""
    about: dict[str, Any] = {"name": "test", "days": days, "is_logged_in": True}
    return tokens.issue_token(user=user, actor=user, at=timezone.now(), **about)[1]


def apply(
    text: str,
    cast: Cast,
    *,
    actor: User | None = None,
    look: Looking = look,
    **options: object,
) -> list[Applied]:
    return apply_definitions(
        parse_files([("features.yaml", text)]),
        project=cast.project,
        actor=actor or cast.author,
        at=AT,
        look=look,
        **options,  # type: ignore[arg-type]
    )


def make_version(
    cast: Cast, *, state: State = State.APPROVED, text: str = DEFINITIONS, look: Looking = look
) -> FeatureViewVersion:
    """Return the newest version after applying ``text``: a draft, in review or approved."""
    if look is _look:
        people = (cast.project.pk, cast.author.pk, cast.steward.pk)
        make = partial(_make_version, cast, state, text, look)
        key = tapes.again((text, state, *people), make, _tell_of_version)
    else:
        key = _make_version(cast, state, text, look)
    return FeatureViewVersion.objects.select_related("feature_view__project", "table").get(pk=key)


def _make_version(cast: Cast, state: State, text: str, look: Looking) -> int:
    applied = apply(text, cast, look=look)
    draft = next(a.draft for a in applied if a.draft is not None)
    if state is not State.DRAFT:
        submissions.submit_version(version=draft, actor=cast.author, at=AT, look=look)
    if state is State.APPROVED:
        approve(draft, cast.steward)
    return draft.pk


def _tell_of_version(key: int) -> None:
    """Have readers make their plans anew, as each step of its life did."""
    view = FeatureViewVersion.objects.select_related("feature_view").get(pk=key).feature_view
    with epoch.change(view.project_id):
        pass
    with epoch.change_view(view):
        pass


def seen(version: FeatureViewVersion) -> str:
    """Return the hash that the version's review shows now."""
    return decided_on(version, evidence_of(version))


def approve(version: FeatureViewVersion, actor: User, **options: Any) -> FeatureViewVersion:
    """Approve what stands now, as somebody who has just looked at it."""
    asked: dict[str, Any] = {"packet_hash": seen(version), "at": AT} | options
    return reviews.approve_version(version=version, actor=actor, **asked)


def view_of(cast: Cast, name: str = "driver_hourly") -> FeatureView:
    return FeatureView.objects.get(project=cast.project, name=name)


def give_grant(
    cast: Cast,
    user: User,
    *,
    view: str = "",
    level: str = "",
    days: float = 30,
    at: datetime | None = None,
) -> ReadGrant:
    """Give an account leave to read a view, or a level, that the author asked for."""
    at = at or timezone.now()
    scope = grants.Scope(view_of(cast, view) if view else None, level)
    asked: dict[str, Any] = {"purpose": "to test", "ends_at": at + timedelta(days=days)}
    grant = grants.ask_for_grant(
        project=cast.project, user=user, scope=scope, by=grants.Hand(cast.author), at=at, **asked
    )
    return grants.give_grant(grant=grant, by=grants.Hand(cast.steward), at=at)


def make_service_account(name: str, cast: Cast, role: Role = Role.AUTHOR) -> User:
    """Return a program's account, made by a superuser as one; nobody can log in with it.

    One with a role that decides was a person's when it was given that, and became a program's with
    it, as accounts could once.
    """
    if role in DECIDING_ROLES:
        account = make_user(name)
        give_role(cast.project, account, role, cast.owner, accepted_by=cast.superuser)
        marks = {"kind": AccountKind.SERVICE, "set_by": cast.superuser, "set_at": AT}
        Account.objects.update_or_create(user=account, defaults=marks)
        audit.record(
            actor=cast.superuser, verb="user.changed", subject=account, at=AT,
            before={"kind": "person"}, after={"kind": "service_account"},
            data=told(account, "kind"),
        )  # fmt: skip
        return account
    account = users.add_user(
        user=User(username=name), kind=AccountKind.SERVICE, actor=cast.superuser, at=AT
    )
    give_role(cast.project, account, role, cast.owner)
    return account


def make_ready(version: FeatureViewVersion, *, at: datetime = AT) -> FeatureViewVersion:
    """Note what the first successful run of an approved version notes, and return it anew."""
    table = FeatureTable.objects.get(versions=version)
    releases.mark_table_ready(table=table, at=at, kept_for=None)
    return FeatureViewVersion.objects.get(pk=version.pk)


def verbs_of(obj: Model) -> list[str]:
    """Return what the trail says happened to an object, in order, without its namespace."""
    kind = obj._meta.model_name
    entries = AuditEntry.objects.filter(subject_type=kind, subject_id=str(obj.pk)).order_by("id")
    return [entry.verb.rpartition(".")[2] for entry in entries]
