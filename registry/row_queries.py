"""A SELECT over one registered source, by itself: what it reads, and who may see its rows.

Not for running it: an engine does, confined as it is for a view's own SQL. What it gives is stored
under no name and approved by nobody, so what its columns were approved as elsewhere counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.errors import Invalid, NotFound, did_you_mean
from registry import access
from registry.choices import Right, Sensitivity
from registry.grants import GrantNeeded, Grants
from registry.models import DataSource
from registry.remembered import lowered
from registry.source_places import Places
from registry.spec.fingerprints import canonical_json
from registry.spec.model import FeatureSpec, FeatureViewSpec
from registry.spec.row_sql import BadSql, check_row_sql, columns_read, names_given
from registry.spec.sources.arriving import ArrivingSource
from registry.spec.version_spec import VersionSpec, load_version_spec
from registry.trail.told.definitions import DefinitionNotAsTold, not_as_told

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User

    from registry.models import Project

#: What the query is called where views are: no view can be called so.
CALLED = "entity query"


class DataSourceNotFound(NotFound):
    code = "data_source_not_found"


class QueryRefused(Invalid):
    code = "invalid_sql"


def require_may_query(actor: User | AnonymousUser, project: Project) -> None:
    """Return if somebody may read rows of the project's sources at all.

    It takes what sees rows of sources before anything is stored of them (a plan), and what reads
    stored ones.

    :raises ActionNotPermitted: naming the right that is missing.
    """
    access.require(actor, Right.READ_OFFLINE, project)
    access.require(actor, Right.PLAN_FEATUREVIEW, project)


def query_spec(project: Project, source: str, sql: str) -> VersionSpec:
    """Return a query as what an engine reads: a view's SQL over the source as it is registered.

    :raises DataSourceNotFound: the project has none of that name.
    :raises DefinitionNotAsTold: its definition was changed past the trail.
    :raises QueryRefused: the SQL is more than projection, filter and scalar functions.
    """
    registered = DataSource.objects.filter(project=project)
    found = registered.filter(name=source).first() if "\x00" not in source else None
    if found is None:
        known = registered.values_list("name", flat=True)
        raise DataSourceNotFound(
            f"{project} has no data source {source!r}.{did_you_mean(source, known[:1000])}"
        )
    for row in not_as_told([found]):
        raise DefinitionNotAsTold(
            f"data source {row.name} is not what somebody last wrote: it was changed past the"
            " trail. Apply its definition as it should be, then repeat."
        )
    if isinstance(found.spec, ArrivingSource):
        raise QueryRefused(
            f"data source {source!r} has rows that are {found.spec.arrives}, which are read of"
            " the views that store them: send a frame, or ask for all entities of such a view."
        )
    try:
        checked = check_row_sql(sql, source=source)
        names = () if columns_read(checked) is None else sorted(names_given(checked))
    except BadSql as exc:
        raise QueryRefused(f"sql: {exc.message}") from exc
    placed = Places(project).of(found.spec)
    features = tuple(
        FeatureSpec(name=name, type="string", sensitivity=Sensitivity.PUBLIC) for name in names
    )
    view = FeatureViewSpec(name=CALLED, entities=(), source=source, sql=checked, features=features)
    return VersionSpec(view=view, source=placed.source, root_identity=placed.identity)


def told_of(spec: VersionSpec) -> dict[str, Any]:
    """Return what everybody is told of a query: its source, and the columns that it names.

    Not the SQL itself, whose constants may be values.
    """
    columns = columns_read(str(spec.view.sql))
    return {
        "source": spec.view.source,
        "columns": ["*"] if columns is None else sorted(set(columns)),
    }


def kept(spec: VersionSpec) -> str:
    """Return a query as it is kept beside its rows, for who may read those is asked again."""
    return canonical_json(spec)


def read_kept(text: str) -> VersionSpec:
    return load_version_spec(text)


def is_shown(
    actor: User | AnonymousUser, project: Project, spec: VersionSpec, *, at: datetime
) -> bool:
    """Return as ``require_shown``."""
    return Grants(actor, at=at).shows(project, spec)


def require_shown(
    actor: User | AnonymousUser,
    project: Project,
    spec: VersionSpec,
    *,
    at: datetime,
    came_as_own: bool = False,
) -> None:
    """Return if what a query reads is not sensitive, or the actor has a grant for all of it.

    A query of all columns (``*``) takes a grant for the most sensitive that is made of the source.
    ``came_as_own`` is as of ``Grants``.

    :raises GrantNeeded: naming the columns, and what they were approved as.
    """
    if Grants(actor, at=at, came_as_own=came_as_own).shows(project, spec):
        return
    told = "; ".join(str(each) for each in lowered(project, spec)[:20]) or (
        "it names all columns (*), and some are sensitive: name those you need"
    )
    raise GrantNeeded(
        f"the query reads what takes a grant: {told}. Ask for one of that level"
        " (POST grants), or leave the columns out, of conditions too."
    )
