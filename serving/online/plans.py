"""Read plans: who may ask, which tables answer, where each feature lies. Made from the registry.

Not for keeping plans (``plan_cache``) or for answering with them (``read``): a plan is data.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from lib.errors import Invalid
from materialization.stores.layout import EntityKey, TableLayout, layout_of
from registry import access, queries
from registry.authentication import TokenUnknown, find_token
from registry.choices import SENSITIVE, Right
from registry.glass import cautions
from registry.grants import Grants
from registry.scopes import networks_of, require_from
from serving.names import (
    FeatureNameCollision,
    answer_names,
    asked_references,
    check_feature,
    check_stored,
)
from serving.online.sensitive_reads import MOST_NAMES, SensitiveRead
from serving.online.stored_values import stored_to_json
from serving.values import KeyColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from registry.models import ApiToken, FeatureViewVersion, Project
    from registry.scopes import Networks
    from registry.spec.references import Reference
    from registry.spec.value_types import ValueType
    from serving.limits import ReadLimits


class NotServedOnline(Invalid):
    code = "not_served_online"


class Question(NamedTuple):
    """What of a request decides its plan: who, in which project, which features or service."""

    project: str
    token_digest: str
    features: tuple[str, ...]
    feature_service: str | None
    full_feature_names: bool
    limits: ReadLimits


class EntityRead(NamedTuple):
    """One entity and where among the plan's keys its columns are, in the order of its names."""

    entity: EntityKey
    columns: tuple[int, ...]


class TableRead(NamedTuple):
    """One FeatureTable as one version serves it; ``entity`` is the index of its entity.

    ``generation`` is the load that the registry knows of: an older one is not all there is.
    """

    version: str
    layout: TableLayout
    entity: int
    ttl_micros: int | None
    generation: int
    #: How old it promises to be at most, and in the definition's words; None: no promise.
    promise: timedelta | None
    promise_text: str


class FeatureColumn(NamedTuple):
    """One column of the answer: where in which table; ``to_json`` is None for plain values."""

    table: int
    position: int
    to_json: Callable[[Any], Any] | None
    type: str


class ReadPlan(NamedTuple):
    """Everything an answer needs but the values and the time."""

    project_id: int
    project: str
    #: Of the token: noted as used, and where it may be used from.
    token_id: int
    networks: Networks
    #: The views whose facts it holds.
    views: tuple[str, ...]
    expires_at: datetime
    #: Until when the grants of its reader reach that it needs.
    granted_until: datetime
    keys: tuple[KeyColumn, ...]
    entities: tuple[EntityRead, ...]
    tables: tuple[TableRead, ...]
    columns: tuple[FeatureColumn, ...]
    names: tuple[str, ...]
    #: The declared type of each name, as in ``decimal(10,2)``.
    types: tuple[str, ...]
    #: Of each table, in their order.
    feature_views: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...]
    limits: ReadLimits
    #: What of it is sensitive, a version each: whoever reads that is in the trail.
    sensitive: tuple[SensitiveRead, ...] = ()


class Asker(NamedTuple):
    """Who asks, by which token, and the project they may see."""

    token: ApiToken
    project: Project
    rights: access.Rights
    grants: Grants


def make_plan(question: Question, asker: Asker, *, views: Sequence[str]) -> ReadPlan:
    """Resolve the question of somebody who was authorised; ``views`` are ``asked_views``.

    :raises Forbidden: its user lacks ``read_online`` on a view, or a grant to read a feature.
    :raises NotFound, Unavailable, Gone: what it names is not there, not ready or retired.
    """
    builder = _Builder(asker.project, asker.rights)
    references = asked_references(
        project=asker.project,
        features=question.features,
        feature_service=question.feature_service,
        limits=question.limits,
    )
    for reference in references:  # rights first: a collision names what may be hidden
        builder.version(reference)
    granted = asker.grants.require((builder.version(each), each.feature) for each in references)
    for name, reference in answer_names(references, full=question.full_feature_names).items():
        builder.add(name, reference)
    plan = builder.plan(views, token=asker.token, granted_until=granted, limits=question.limits)
    return plan._replace(sensitive=tuple(builder.sensitive(asker)))


def authorise(question: Question, *, token: str, at: datetime, environ: Mapping[str, Any]) -> Asker:
    """Return who asks and the project they may see; its views have rights of their own.

    :raises Unauthenticated: the token is not a live one of this project, or not for this network.
    :raises NotFound: there is no such project, or not for them.
    """
    found = find_token(token, at=at)
    require_from(networks_of(found.networks), environ)
    if found.project is not None and found.project.name != question.project:
        raise TokenUnknown(f"the token is limited to project {found.project}.")
    rights = access.Rights(found.user)
    project = access.load_project(rights, question.project)
    return Asker(found, project, rights, Grants(found.user, at=at))


class _Builder:
    """Collects a plan's parts; each view version and entity enters once."""

    def __init__(self, project: Project, rights: access.Rights) -> None:
        self._project, self._rights = project, rights
        self._versions: dict[tuple[str, str | None], FeatureViewVersion] = {}
        self._tables: dict[str, TableRead] = {}
        self._entities: list[EntityKey] = []
        self._keys: dict[tuple[str, ValueType], KeyColumn] = {}
        self._columns: dict[str, tuple[Reference, FeatureColumn]] = {}

    def add(self, name: str, reference: Reference) -> None:
        """Add a column of the answer: what it is called and the feature it has."""
        version = self.version(reference)
        table = self._table(version)
        layout = self._tables[str(version)].layout
        check_feature(reference, version, layout.features)
        kind = layout.types[layout.features.index(reference.feature)]
        position = layout.position(reference.feature)
        column = FeatureColumn(table, position, stored_to_json(kind), str(kind))
        self._columns[name] = (reference, column)

    def plan(
        self,
        views: Sequence[str],
        *,
        token: ApiToken,
        granted_until: datetime,
        limits: ReadLimits,
    ) -> ReadPlan:
        self._refuse_key_names()
        by_name = {str(version): version for version in self._versions.values()}
        versions = by_name.values()
        return ReadPlan(
            project_id=self._project.pk,
            project=self._project.name,
            token_id=token.pk,
            networks=networks_of(token.networks),
            views=tuple(views),
            expires_at=token.expires_at,
            granted_until=granted_until,
            keys=tuple(self._keys.values()),
            entities=tuple(self._entity_read(entity) for entity in self._entities),
            tables=tuple(self._tables.values()),
            columns=tuple(column for _, column in self._columns.values()),
            names=tuple(self._columns),
            types=tuple(column.type for _, column in self._columns.values()),
            feature_views=tuple(_metadata(by_name[table]) for table in self._tables),
            warnings=tuple(cautions(versions)),
            limits=limits,
        )

    def sensitive(self, asker: Asker) -> Iterator[SensitiveRead]:
        """Give what of the plan's columns only those with a grant may read."""
        names: dict[str, list[str]] = {}
        for reference, _ in self._columns.values():
            version = self.version(reference)
            if asker.grants.level(version, reference.feature) in SENSITIVE:
                names.setdefault(str(version), []).append(reference.feature)
        for version_name, features in names.items():
            listed = " ".join(sorted(features))[:MOST_NAMES]
            project = asker.project.name
            yield SensitiveRead(asker.token.user_id, project, version_name, listed)

    def _entity_read(self, entity: EntityKey) -> EntityRead:
        keys = list(self._keys)
        columns = zip(entity.names, entity.types, strict=True)
        return EntityRead(entity, tuple(keys.index(column) for column in columns))

    def version(self, reference: Reference) -> FeatureViewVersion:
        """Return the version a reference reads; its reader may."""
        asked = (reference.view, reference.pin)
        if asked not in self._versions:
            version = queries.served_version(
                project=self._project, view=reference.view, pin=reference.pin
            )
            self._rights.require(Right.READ_ONLINE, version.feature_view)
            check_stored(version)
            if not version.spec.view.online:
                raise NotServedOnline(
                    f"{version} has `online: false`: it is not in the online store. Read it by"
                    " get-historical-features, or register a version with `online: true`.",
                    version=str(version),
                )
            self._versions[asked] = version
        return self._versions[asked]

    def _table(self, version: FeatureViewVersion) -> int:
        """Return the index of the version's table; enters it, its entity and its keys at first."""
        name = str(version)
        if name not in self._tables and version.table is not None:
            layout = layout_of(version.spec, uid=version.table.uid)
            if layout.entity not in self._entities:
                self._entities.append(layout.entity)
            ttl = version.spec.ttl
            self._tables[name] = TableRead(
                version=name,
                layout=layout,
                entity=self._entities.index(layout.entity),
                ttl_micros=None if ttl is None else ttl // timedelta(microseconds=1),
                generation=version.table.generation,
                promise=version.spec.view.promised_age,
                promise_text=version.spec.view.freshness or "",
            )
            for key in version.spec.join_keys:
                self._keys.setdefault(
                    (key.name, key.value_type),
                    KeyColumn(key.name, key.value_type, version.feature_view.name),
                )
        return list(self._tables).index(name)

    def _refuse_key_names(self) -> None:
        for key in self._keys.values():
            if key.name in self._columns:
                reference = self._columns[key.name][0]
                raise FeatureNameCollision(
                    f"{reference} has the name of a join key of {key.view}."
                    ' Send "full_feature_names": true.',
                    features=[str(reference), f"{key.view}: join key {key.name}"],
                )


def _metadata(version: FeatureViewVersion) -> dict[str, Any]:
    """Return the version as Feast shows it (an int: the major), with the full one beside it."""
    return {
        "name": version.feature_view.name,
        "version": version.major,
        "full_version": version.number,
    }
