"""Who may read sensitive values now: the second gate of every door that shows any, beside the role.

One function decides (``Grants.until``); the others say it of whole versions and refuse by name.
Not for roles (``access``) or for asking for and giving grants (``operations.people.grants``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from django.db.models import Q

from lib.errors import SHOWN, Forbidden
from registry import access
from registry.accounts.passwords import reads_as_own
from registry.choices import SENSITIVE, SENSITIVITY_ORDER, GrantState, Right, Sensitivity
from registry.models import ReadGrant
from registry.remembered import highest_at, sensitivities, sensitivities_now

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.contrib.auth.models import AnonymousUser, User
    from django.db.models import QuerySet

    from registry.models import FeatureViewVersion, Project
    from registry.spec.version_spec import VersionSpec

#: Until when what is not sensitive may be read.
NO_END = datetime.max.replace(tzinfo=UTC)
#: Why a grant does not count for whoever came with another's token or password.
NOT_OWN = (
    "There is one for {0}, which counts for {0} alone: logged in by a password that nobody else"
    " set, or by a token that {0} made so."
)
#: What stands in the place of values that are not shown.
WITHHELD = "withheld: needs a grant"


class GrantNeeded(Forbidden):
    code = "grant_needed"


class Lacking(NamedTuple):
    """A feature that may not be read."""

    version: FeatureViewVersion
    feature: str
    level: Sensitivity

    @property
    def reference(self) -> str:
        return f"{self.version}:{self.feature}"


class Grants:
    """The grants of one account at one instant; each project's are asked for once.

    For as long as one question. Superusers have none but those they were given. ``came_as_own`` is
    for what is done on somebody's behalf later: by what they came was looked at when they asked.
    """

    def __init__(
        self, user: User | AnonymousUser, *, at: datetime, came_as_own: bool = False
    ) -> None:
        self._user, self._at, self._came_as_own = user, at, came_as_own
        self._known: dict[int, list[ReadGrant]] = {}
        self._sensitivities: dict[int, dict[str, Sensitivity]] = {}
        self._withheld: dict[int, frozenset[str]] = {}
        #: Why what they were given does not count now.
        self._barred = ""

    def until(self, version: FeatureViewVersion, sensitivity: Sensitivity) -> datetime | None:
        """Return until when values of a version that are so sensitive may be read; None: not now.

        What a role has to allow as well is not looked at.
        """
        if sensitivity not in SENSITIVE:
            return NO_END
        view = version.feature_view
        return self._until(view.project_id, sensitivity, view.name)

    def _until(self, project_id: int, sensitivity: Sensitivity, view: str) -> datetime | None:
        mine = self._of(project_id)
        ends = [grant.ends_at for grant in mine if _covers(grant, view, sensitivity)]
        return max(ends, default=None)

    def level(self, version: FeatureViewVersion, feature: str) -> Sensitivity:
        """Return how sensitive a feature is held to be; one that is none is public."""
        return self._levels(version).get(feature, Sensitivity.PUBLIC)

    def withheld(self, version: FeatureViewVersion) -> frozenset[str]:
        """Return the names of the version's features whose values may not be shown."""
        if version.pk not in self._withheld:
            levels = self._levels(version).items()
            self._withheld[version.pk] = frozenset(
                name for name, level in levels if self.until(version, level) is None
            )
        return self._withheld[version.pk]

    def shows(self, project: Project, spec: VersionSpec) -> bool:
        """Return whether values that a definition reads may be shown before it is a version.

        Of a source by itself it is not known which columns they are of: any that is remembered.
        """
        levels = sensitivities(project, spec).values() or [highest_at(project, spec)]
        return all(
            level not in SENSITIVE or self._until(project.pk, level, spec.view.name) is not None
            for level in levels
        )

    def require(self, asked: Iterable[tuple[FeatureViewVersion, str]]) -> datetime:
        """Return until when all of these features may be read; names that are none are passed over.

        :raises GrantNeeded: naming those that may not be, and how to ask.
        """
        until, lacking = NO_END, []
        for version, name in asked:
            level = self.level(version, name)
            end = self.until(version, level)
            if end is None:
                lacking.append(Lacking(version, name, level))
            else:
                until = min(until, end)
        if lacking:
            raise self._needed(lacking)
        return until

    def require_all(self, version: FeatureViewVersion) -> datetime:
        """Return until when everything of a version may be read, as whole rows have it.

        :raises GrantNeeded: as ``require``.
        """
        return self.require((version, name) for name in self._levels(version))

    def _needed(self, lacking: Sequence[Lacking]) -> GrantNeeded:
        shown = ", ".join(f"{each.reference} ({each.level})" for each in lacking[:SHOWN])
        more = f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
        view = lacking[0].version.feature_view
        ask = self._barred or (
            f"Ask for one: assay grants ask --view {view} --purpose WHY --days N, POST grants, or"
            " Grants in the admin; a steward or owner gives it."
        )
        return GrantNeeded(
            f"{self._user.get_username() or 'anonymous'} has no grant to read {shown}{more}. {ask}",
            project=view.project.name,
            features=[
                {"feature": each.reference, "sensitivity": each.level.value} for each in lacking
            ],
            level=max((each.level for each in lacking), key=SENSITIVITY_ORDER.index).value,
        )

    def _levels(self, version: FeatureViewVersion) -> dict[str, Sensitivity]:
        """Return how sensitive each feature is: as was agreed, else as is remembered of it."""
        if version.pk not in self._sensitivities:
            self._sensitivities[version.pk] = (
                sensitivities_now(version)
                if version.approved_at is not None
                else sensitivities(version.feature_view.project, version.spec)
            )
        return self._sensitivities[version.pk]

    def _of(self, project_id: int) -> list[ReadGrant]:
        if project_id not in self._known:
            mine = ReadGrant.objects.filter(user_id=self._user.pk or 0, project_id=project_id)
            active = mine.filter(state=GrantState.GIVEN, ends_at__gt=self._at)
            found = list(active.select_related("feature_view"))
            is_own = not found or self._came_as_own or reads_as_own(self._user)
            self._barred = "" if is_own else NOT_OWN.format(self._user)
            self._known[project_id] = found if is_own else []
        return self._known[project_id]


def _covers(grant: ReadGrant, view: str, sensitivity: Sensitivity) -> bool:
    if grant.feature_view is not None:
        return grant.feature_view.name == view
    return SENSITIVITY_ORDER.index(sensitivity) <= SENSITIVITY_ORDER.index(Sensitivity(grant.level))


def visible_grants(user: User | AnonymousUser, project: Project) -> QuerySet[ReadGrant]:
    """Return the project's grants that somebody may see: all for those who give them or read the
    trail, else those they may read by or asked for.
    """
    rows = ReadGrant.objects.filter(project=project).select_related(
        "user", "feature_view", "asked_by", "decided_by", "revoked_by", "project"
    )
    rights = access.permissions(user, project)
    if rights & {Right.GIVE_READGRANT, Right.VIEW_AUDITENTRY}:
        return rows
    return rows.filter(Q(user=user.pk) | Q(asked_by=user.pk))


class Standing(StrEnum):
    """What a grant is at an instant, as people and lists say it."""

    ASKED = "asked"
    ACTIVE = "active"
    #: Active, and not for long.
    ENDING = "ending"
    #: Its end has come, whether it had been given or not.
    ENDED = "ended"
    REFUSED = "refused"
    REVOKED = "revoked"


#: How long before its end a grant is said to end soon.
SOON = timedelta(days=14)


def standing(grant: ReadGrant, *, at: datetime) -> Standing:
    if grant.state in (GrantState.REFUSED, GrantState.REVOKED):
        return Standing(grant.state)
    if at >= grant.ends_at:
        return Standing.ENDED
    if grant.state == GrantState.ASKED:
        return Standing.ASKED
    return Standing.ENDING if at >= grant.ends_at - SOON else Standing.ACTIVE


def with_standing(
    rows: QuerySet[ReadGrant], wanted: Standing, *, at: datetime
) -> QuerySet[ReadGrant]:
    """Return those of the rows that are so at an instant; active are also those that end soon."""
    over = Q(ends_at__lte=at)
    given = Q(state=GrantState.GIVEN)
    fits = {
        Standing.ASKED: Q(state=GrantState.ASKED) & ~over,
        Standing.ACTIVE: given & ~over,
        Standing.ENDING: given & ~over & Q(ends_at__lte=at + SOON),
        Standing.ENDED: Q(state__in=(GrantState.ASKED, GrantState.GIVEN)) & over,
        Standing.REFUSED: Q(state=GrantState.REFUSED),
        Standing.REVOKED: Q(state=GrantState.REVOKED),
    }
    return rows.filter(fits[wanted])
