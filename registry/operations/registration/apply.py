"""Registering definitions: plan what a set of them changes, and store it as drafts.

Not for what submitting or reviewing a draft does (``operations.lifecycle``). Everything a request
brings is stored in one transaction, or nothing is. A plan takes no lock and writes nothing.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import transaction

from lib.acts import act
from lib.errors import Conflict
from registry import access, epoch, lifecycle
from registry.choices import Action, Kind, Right, State
from registry.looking import under_rights
from registry.mask_keys import require_key, wants_key
from registry.operations.lifecycle.submissions import check_submission, looked_at, submit_version
from registry.operations.registration.applied import Application, Applied
from registry.operations.registration.catalog_objects import decide_data_source, decide_entity
from registry.operations.registration.consequences import tell_consequences
from registry.operations.registration.drafts_only import require_only_drafts
from registry.operations.registration.feature_services import decide_feature_service
from registry.operations.registration.following import dependent_views
from registry.operations.registration.looking_ahead import look_ahead
from registry.operations.registration.on_demand import decide_on_demand_view
from registry.operations.registration.origins import note_origins, record_commit
from registry.operations.registration.reading_order import in_reading_order
from registry.operations.registration.standing import Standing
from registry.operations.registration.storing import store
from registry.operations.registration.view_drafts import decide_feature_view
from registry.operations.registration.written_views import with_written
from registry.reading.parsing import InvalidDefinitions
from registry.spec.model import FeatureViewSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.looking import Look, Looking
    from registry.models import FeatureViewVersion, Project
    from registry.operations.registration.following import Moved
    from registry.operations.registration.origins import Commit
    from registry.reading.parsing import Definition
    from registry.spec.version_spec import VersionSpec
    from registry.spec.versions import Version

DECIDE: dict[Kind, Callable[[Application, Definition], Applied | None]] = {
    Kind.ENTITY: decide_entity,
    Kind.DATA_SOURCE: decide_data_source,
    Kind.FEATURE_VIEW: decide_feature_view,
    Kind.ON_DEMAND_FEATURE_VIEW: decide_on_demand_view,
    Kind.FEATURE_SERVICE: decide_feature_service,
}
#: What versions carry a copy of: changing one makes drafts of the views that use it.
EMBEDDED = (Kind.ENTITY, Kind.DATA_SOURCE)


class RegisteredMeanwhile(Conflict):
    code = "registered_meanwhile"


def apply_definitions(
    definitions: list[Definition],
    *,
    project: Project,
    actor: User,
    at: datetime,
    look: Looking,
    editor_ids: frozenset[int] = frozenset(),
    dry_run: bool = False,
    submit: bool = False,
    look_all: bool = False,
    detailed: bool = False,
    drafts_only: bool = False,
    commit: Commit | None = None,
) -> list[Applied]:
    """Store ``definitions`` (or, with ``dry_run``, say what storing them would change).

    What changes is decided by reading alone; only storing it waits for others, and others for it.
    ``editor_ids`` count as editors beside the actor: whoever made the token they came with.
    ``look_all``: look at the sources also of views that are registered as they are sent.
    ``commit``: what the definitions are of, noted with each. ``drafts_only``: see that module.
    ``detailed``: tell the consequences of each change too. Who may only plan is told what somebody
    would be who may do it.
    :raises ActionNotPermitted: the actor may not register definitions here.
    :raises InvalidDefinitions: listing every problem with its place; nothing is stored.
    :raises NotOnlyDrafts: with ``drafts_only``, something else would change.
    :raises RegisteredMeanwhile: somebody else's change needs a source to be looked at anew.
    """
    only_plans = _require(definitions, project, actor, dry_run=dry_run, at=at)
    definitions = with_written(definitions, project)
    seeing = _Seeing(under_rights(look, actor, at=at))
    remembering = look_ahead(
        definitions, project=project, look=seeing, submit=submit, look_all=look_all
    )

    def decide() -> Application:
        return _decide(definitions, submit, Application(
            project=project, actor=actor, editor_ids=editor_ids | {actor.pk}, at=at,
            look=remembering, standing=Standing(project), detailed=detailed,
            drafts_only=drafts_only,
            may_change_all=only_plans or access.can(actor, Right.CHANGE_FEATUREVIEW, project),
        ))  # fmt: skip

    decided = decide()
    if dry_run:
        return _said(decided, submit)
    return _stored(decided, decide, seeing, submit=submit, commit=commit).applied


def _stored(
    decided: Application,
    decide: Callable[[], Application],
    seeing: _Seeing,
    *,
    submit: bool,
    commit: Commit | None,
) -> Application:
    """Store what was decided; decide anew if the project was changed meanwhile.

    One registration a project at a time: the epoch's lock keeps what is decided true until then.
    """
    project = decided.project
    with act(), _held(project) as before:
        access.require_still(decided.actor, Right.ADD_FEATUREVIEW, project)
        seeing.closed = True
        if decided.standing.epochs != before:
            decided = decide()
        _store(decided, submit, commit)
    return decided


def _require(
    definitions: list[Definition], project: Project, actor: User, *, dry_run: bool, at: datetime
) -> bool:
    """Return whether the actor may do no more than plan."""
    needed = Right.PLAN_FEATUREVIEW if dry_run else Right.ADD_FEATUREVIEW
    access.require_still(actor, needed, project)
    if not dry_run and any(map(_wants_key, definitions)):
        require_key(project, actor, at)
    return not access.can(actor, Right.ADD_FEATUREVIEW, project)


def _store(decided: Application, submit: bool, commit: Commit | None) -> None:
    drafts = _drafts(decided) if submit else []
    if commit is not None:
        note_origins(decided, commit)
    store(decided.changes, actor=decided.actor, at=decided.at, submitting=drafts)
    if submit:
        _submit(decided)
    if commit is not None:
        record_commit(decided, commit)


def _wants_key(definition: Definition) -> bool:
    return isinstance(definition.spec, FeatureViewSpec) and wants_key(definition.spec)


class _Seeing:
    """A look that is closed while others wait: files take their time."""

    def __init__(self, look: Looking) -> None:
        self._look, self.closed = look, False

    def __call__(
        self, *, specs: Sequence[VersionSpec], project: Project, unseen: Collection[int] = ()
    ) -> Sequence[Look]:
        if self.closed:
            raise RegisteredMeanwhile(
                f"{specs[0].view.name}: what it embeds was changed while its source was looked at."
                " Look at the plan again, then repeat."
            )
        return self._look(specs=specs, project=project, unseen=unseen)


@contextmanager
def _held(project: Project) -> Iterator[epoch.Registered]:
    """Change the project; gives the epochs it had until now."""
    with transaction.atomic():
        epoch.hold(project.pk)
        before = epoch.registered(project.pk)
        with epoch.change(project.pk):
            yield before


def _decide(definitions: list[Definition], submit: bool, application: Application) -> Application:
    application.applied = _apply(application, definitions)
    if application.problems:
        raise InvalidDefinitions(application.problems)
    if application.drafts_only:
        require_only_drafts(application)
    if submit:
        drafts = _drafts(application)
        # All at once: also those that follow what was sent.
        wanted = [looked_at(each) for each in drafts if each.spec.transform.is_stored]
        application.look(specs=wanted, project=application.project)
        for applied in application.applied:
            if applied.draft is not None and not applied.waits_for:
                applied.submitted = _number_at_submission(application, applied.draft)
    if application.detailed:
        tell_consequences(application)
    return application


def _drafts(application: Application) -> list[FeatureViewVersion]:
    """Return those that are submitted together; others wait for what they read."""
    return [each.draft for each in application.applied if each.draft and not each.waits_for]


def _number_at_submission(application: Application, draft: FeatureViewVersion) -> Version:
    """Return it, or raise what the submission would."""
    standing = application.standing
    if not application.may_change_all:
        view = draft.feature_view
        access.require(
            application.actor,
            lifecycle.PERMISSION[Action.SUBMIT],
            application.project if view.pk is None else view,
        )
    return check_submission(
        draft,
        base=standing.base_of(draft.spec),
        taken=standing.taken_numbers(draft),
        look=application.look,
        actor=application.actor,
        at=application.at,
    )


def _said(application: Application, submit: bool) -> list[Applied]:
    """Return what a plan says: with ``submit`` the drafts are told as under review."""
    for applied in application.applied:
        if applied.submitted is not None:
            applied.version, applied.state = str(applied.submitted), State.IN_REVIEW
    return application.applied


def _apply(application: Application, definitions: list[Definition]) -> list[Applied]:
    changes: list[Applied] = []
    moved: Moved = {}
    for definition in in_reading_order(application, definitions):
        applied = DECIDE[definition.kind](application, definition)
        if applied is None:
            continue
        applied.definition = definition
        changes.append(applied)
        if definition.kind in EMBEDDED and applied.change == "updated":
            moved[definition.kind, definition.spec.name] = definition
    named = {each.spec.name for each in definitions if each.kind is Kind.FEATURE_VIEW}
    return changes + dependent_views(application, moved, already=named)


def _submit(application: Application) -> None:
    for applied in application.applied:
        if applied.draft is None or applied.waits_for:
            continue
        version = submit_version(
            version=applied.draft,
            actor=application.actor,
            at=application.at,
            look=application.look,
            editor_ids=application.editor_ids,
        )
        applied.version, applied.state = version.number, version.state
