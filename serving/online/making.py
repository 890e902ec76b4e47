"""Read plans made from the registry: references to versions, tables, keys and columns.

Not for what a plan is (``plans``), for keeping plans (``plan_cache``) or for answering (``read``).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lib.errors import Invalid
from materialization.stores.layout import EntityKey, layout_of
from registry import access, queries
from registry.authentication import TokenUnknown, find_token
from registry.choices import SENSITIVE, Right
from registry.deprecation import deprecation_of
from registry.glass import cautions
from registry.grants import Grants
from registry.models.names import pseudonym_of
from registry.scopes import networks_of, require_from
from registry.spec.value_types import parse_type
from serving.names import (
    FeatureNameCollision,
    answer_names,
    asked_references,
    check_feature,
)
from serving.on_demand.features import inputs_of, on_demand_feature
from serving.on_demand.rows import (
    ComputedColumn,
    computable_of,
    result_to_json,
    result_to_stored,
)
from serving.online.plans import (
    EntityRead,
    FeatureColumn,
    ProjectChanging,
    Question,
    ReadPlan,
    TableRead,
    runs_of,
    stretches_of,
)
from serving.online.sensitive_reads import MOST_NAMES, SensitiveRead
from serving.online.stored_values import stored_to_json
from serving.online.windows import read_windows
from serving.usage.noting import Reading, reads_of
from serving.usage.sampling import MOST_OF_READ, Sampling
from serving.values import KeyColumn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from registry.models import ApiToken, FeatureViewVersion, Project
    from registry.spec.references import Reference
    from registry.spec.value_types import ValueType
    from serving.limits import ReadLimits


class NotServedOnline(Invalid):
    code = "not_served_online"


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
        if reference.view == question.tells_keys_of:
            view = builder.version(reference).feature_view
            asker.rights.require(Right.READ_OFFLINE, view)
    read = [*references, *builder.inputs(references)]
    granted = asker.grants.require((builder.version(each), each.feature) for each in read)
    if unknown := {each.view for each in read} - {*views}:
        raise ProjectChanging(
            f"{min(unknown)} is read since a moment ago. Ask again.", project=question.project
        )
    for name, reference in answer_names(references, full=question.full_feature_names).items():
        builder.add(name, reference)
    reading = builder.reading(references, asker, question.feature_service or "")
    plan = builder.plan(
        views, reading, token=asker.token, granted_until=granted, limits=question.limits
    )
    context = None
    if question.feature_service is not None:
        context = queries.service_context(project=asker.project, name=question.feature_service)
    return plan._replace(
        sensitive=tuple(builder.sensitive(asker)),
        sampling=builder.sampling(asker),
        context=context,
    )


class InProject(Protocol):
    """A question of any kind, as far as who may ask it goes."""

    @property
    def project(self) -> str: ...


def authorise(
    question: InProject, *, token: str, at: datetime, environ: Mapping[str, Any]
) -> Asker:
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
        self._request: dict[tuple[str, ValueType], KeyColumn] = {}
        self._columns: dict[str, tuple[Reference, FeatureColumn | ComputedColumn]] = {}

    def add(self, name: str, reference: Reference) -> None:
        """Add a column of the answer: what it is called and the feature it has."""
        stored = self.version(reference).spec.transform.is_stored
        column = self._stored(reference) if stored else self._computed(reference)
        self._columns[name] = (reference, column)

    def inputs(self, references: Sequence[Reference]) -> list[Reference]:
        """Return what the computed ones among these are computed from; its reader may read that."""
        found: list[Reference] = []
        for reference in references:
            version = self.version(reference)
            if not version.spec.transform.is_stored:
                found += inputs_of(version, reference.feature)
        for each in found:
            self.version(each)
        return found

    def _computed(self, reference: Reference) -> ComputedColumn:
        version = self.version(reference)
        read = {each: self._stored(each) for each in inputs_of(version, reference.feature)}
        types = {each: column.type for each, column in read.items()}
        feature = on_demand_feature(version, reference.feature, types)
        for key in feature.request:
            self._request.setdefault((key.name, key.type), key)
        places = list(self._request)
        kind = parse_type(feature.type)
        return ComputedColumn(
            feature,
            tuple(
                (column.table, column.position, computable_of(parse_type(column.type)))
                for column in read.values()
            ),
            tuple(places.index((key.name, key.type)) for key in feature.request),
            result_to_stored(kind),
            result_to_json(kind),
        )

    def _stored(self, reference: Reference) -> FeatureColumn:
        version = self.version(reference)
        table = self._table(version)
        layout = self._tables[str(version)].layout
        check_feature(reference, version, layout.features)
        kind = layout.types[layout.features.index(reference.feature)]
        position = layout.position(reference.feature)
        return FeatureColumn(table, position, stored_to_json(kind), str(kind), str(version))

    def plan(
        self,
        views: Sequence[str],
        reading: Reading,
        *,
        token: ApiToken,
        granted_until: datetime,
        limits: ReadLimits,
    ) -> ReadPlan:
        self._refuse_key_names()
        by_name = {str(version): version for version in self._versions.values()}
        versions = by_name.values()
        keys, request = self._keys.values(), self._request.values()
        return ReadPlan(
            project_id=self._project.pk,
            project=self._project.name,
            token_id=token.pk,
            networks=networks_of(token.networks),
            views=tuple(views),
            expires_at=token.expires_at,
            granted_until=granted_until,
            keys=tuple(keys),
            request=tuple(request),
            # A name that is both is the join key's type.
            entity_columns={e.name: str(e.type) for e in (*keys, *request, *keys)},
            entities=tuple(self._entity_read(entity) for entity in self._entities),
            tables=tuple(self._tables.values()),
            columns=tuple(column for _, column in self._columns.values()),
            runs=runs_of(column for _, column in self._columns.values()),
            stretches=stretches_of(column for _, column in self._columns.values()),
            names=tuple(self._columns),
            references=tuple(reference for reference, _ in self._columns.values()),
            units=tuple(self._unit(reference) for reference, _ in self._columns.values()),
            types=tuple(column.type for _, column in self._columns.values()),
            feature_views=tuple(_metadata(by_name[table]) for table in self._tables),
            computed_views=tuple(
                _metadata(each) for each in versions if not each.spec.transform.is_stored
            ),
            warnings=tuple(cautions(versions)),
            limits=limits,
            deprecation=deprecation_of(versions),
            reading=reading,
        )

    def reading(self, references: Sequence[Reference], asker: Asker, service: str) -> Reading:
        """Return who reads what, and what that is computed from."""
        asked = [(self.version(each), each.feature, "") for each in references]
        for each in references:
            of = str(self.version(each))
            asked += [(self.version(i), i.feature, of) for i in self.inputs([each])]
        reader = pseudonym_of(asker.token.user)
        return Reading(self._project.name, reader, service, reads_of(asked))

    def _unit(self, reference: Reference) -> str:
        features = self.version(reference).spec.features
        return next((each.unit for each in features if each.name == reference.feature), "")

    def sensitive(self, asker: Asker) -> Iterator[SensitiveRead]:
        """Give what of the plan's columns only those with a grant may read."""
        names: dict[str, list[str]] = {}
        asked = [reference for reference, _ in self._columns.values()]
        read = dict.fromkeys([*asked, *self.inputs(asked)])
        for reference in self._sensitive(read, asker):
            names.setdefault(str(self.version(reference)), []).append(reference.feature)
        for version_name, features in names.items():
            listed = " ".join(sorted(features))[:MOST_NAMES]
            project = asker.project.name
            yield SensitiveRead(asker.token.user_id, project, version_name, listed)

    def sampling(self, asker: Asker) -> Sampling | None:
        """Return whose values are kept of one read in so many: what nothing sensitive is in."""
        if not (one_in := self._project.usage_sampled_one_in):
            return None
        places = [
            place
            for place, (reference, _) in enumerate(self._columns.values())
            if not any(self._sensitive([reference, *self.inputs([reference])], asker))
        ]
        return Sampling(one_in, tuple(places[:MOST_OF_READ])) if places else None

    def _sensitive(self, references: Iterable[Reference], asker: Asker) -> Iterator[Reference]:
        for each in references:
            if asker.grants.level(self.version(each), each.feature) in SENSITIVE:
                yield each

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
            if version.spec.transform.is_stored and not version.spec.view.online:
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
                is_pushed=version.spec.is_pushed,
                windows=read_windows(version.spec, uid=version.table.uid),
            )
            for key in version.spec.join_keys:
                self._keys.setdefault(
                    (key.name, key.value_type),
                    KeyColumn(key.name, key.value_type, version.feature_view.name),
                )
        return list(self._tables).index(name)

    def _refuse_key_names(self) -> None:
        for key in (*self._keys.values(), *self._request.values()):
            if key.name in self._columns:
                reference = self._columns[key.name][0]
                raise FeatureNameCollision(
                    f"{reference} has the name of a {key.what} of {key.view}."
                    ' Send "full_feature_names": true.',
                    features=[str(reference), f"{key.view}: {key.what} {key.name}"],
                )


def _metadata(version: FeatureViewVersion) -> dict[str, Any]:
    """Return the version as Feast shows it (an int: the major), with the full one beside it."""
    return {
        "name": version.feature_view.name,
        "version": version.major,
        "full_version": version.number,
    }
