"""One search under one plan: its candidates, their rows of now, and what is told of them.

Not for who asks (``read``), nor for what counts as a hit (``hits``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lib.errors import Invalid, TooLarge, did_you_mean
from lib.instants import to_us
from materialization.edges.stores import online_store
from materialization.stores.online_protocol import OnlineRows, StoredRows
from materialization.vectors.index_file import vector_features
from materialization.vectors.scan import scans
from registry.queries import ReferenceNotFound
from registry.spec.references import parse_reference
from registry.spec.value_types import parse_type
from serving.online.entities import require_entities, typed
from serving.online.plans import FeatureColumn
from serving.online.read import (
    feature_columns,
    overdue,
    require_current,
    require_loaded,
)
from serving.online.request import OnlineRequest
from serving.request_body import BadRequest
from serving.search.filters import conditions
from serving.search.hits import MOST_NUMBERS, Finder, Hit, Hits, Looked, keys_of
from serving.search.indexes import INDEXES
from serving.search.request import as_number, read_vector, require_direction

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    import numpy as np

    from materialization.vectors.index_file import IndexFile
    from registry.deprecation import Deprecation
    from serving.online.plan_cache import KeptPlan
    from serving.online.plans import TableRead
    from serving.online.rows import AnswerColumn
    from serving.search.request import SearchRequest


class TooManyNumbers(TooLarge):
    code = "too_many_numbers"


class NoVector(Invalid):
    code = "no_vector"


class SearchAnswer(NamedTuple):
    """Hits, the nearest first, and how they were found.

    ``columns`` are of the features asked for, by their names, one item a hit.
    """

    version: str
    hits: list[Hit]
    #: The join keys of each, ready for JSON.
    entities: list[dict[str, Any]]
    columns: dict[str, AnswerColumn]
    #: The declared type of each key and of each of these.
    types: dict[str, str]
    #: How many vectors were searched, and of when they are.
    searched: int
    indexed_at: datetime
    is_behind: bool
    is_complete: bool
    #: The measured share of the nearest that a look at some cells finds; None: all were looked at.
    recall: float | None
    warnings: tuple[str, ...]
    deprecation: Deprecation


class Search:
    """One question under one plan."""

    def __init__(
        self, kept: KeptPlan, request: SearchRequest, at: datetime, *, fresh: bool
    ) -> None:
        self._kept, self._fresh = kept, fresh
        self._plan, self._request, self._at = kept.read, request, at

    def answer(self) -> tuple[SearchAnswer, list[AnswerColumn]]:
        """Return the answer, and the columns of all that the plan read of its hits."""
        plan = self._plan
        place, column = self._searched()
        table, feature = plan.tables[column.table], plan.references[place].feature
        width = self._width()
        own = self._own_tag()
        found = self._rows(table, [] if own is None else [own])
        looked = self._looked(found, column, own)
        index = INDEXES.open(table.layout.uid, version=table.version, is_pushed=table.is_pushed)
        hits, recall = self._hits(looked, index.file, table, feature, width)
        read = self._whole(found, column.table, hits.found)
        columns = feature_columns(plan, read, [], self._at, rows=len(hits.found), stored=False)
        late = overdue(plan, self._covered(read), self._at)
        answer = SearchAnswer(
            version=table.version,
            hits=hits.found,
            entities=[keys_of(table.layout.entity, hit.tag) for hit in hits.found],
            columns=(asked := self._asked(columns.columns)),
            types=self._types(asked),
            searched=index.vectors.get(feature, 0),
            indexed_at=index.built_at,
            is_behind=index.is_behind,
            is_complete=hits.is_complete,
            recall=recall,
            warnings=(*plan.warnings, *late, *columns.warnings),
            deprecation=plan.deprecation,
        )
        return answer, columns.columns

    def _looked(self, found: StoredRows, column: FeatureColumn, own: bytes | None) -> Looked:
        """Return what is looked for.

        :raises Invalid: the vector, or what it is narrowed by, cannot be searched with.
        """
        request, table = self._request, self._plan.tables[column.table]
        return Looked(
            table.layout,
            column.position,
            request.metric,
            self._query(found, column, table),
            conditions(request.filter, table.layout, of=table.version),
            self._oldest(table),
            own,
        )

    def _hits(
        self, looked: Looked, file: IndexFile, table: TableRead, feature: str, width: int
    ) -> tuple[Hits, float | None]:
        """Return the hits and their recall: of some cells, and of all where those have too few."""
        k, exact = self._request.k, self._request.exact
        eligible = file.eligible(looked.conditions, oldest_micros=looked.oldest_micros)
        looks = scans(
            file,
            feature=feature,
            metric=looked.metric,
            query=looked.query,
            eligible=eligible,
            k=k,
            exact=exact,
        )

        finder = Finder(looked, file, lambda tags: self._rows(table, tags).rows, k=k, width=width)
        nearest, recall = next(looks)
        hits = finder.look(nearest)
        while len(hits.found) < k and recall is not None and hits.is_complete:
            nearest, recall = next(looks)
            hits = finder.look(nearest)
        return hits, recall

    def _covered(self, read: OnlineRows) -> list[datetime]:
        """Return until when each table that was read is covered."""
        return [
            self._at if each.is_pushed else its.as_of
            for each, its in zip(self._plan.tables, read.tables, strict=True)
            if its is not None
        ]

    def _width(self) -> int:
        """Return how many numbers the rows that are read have in vectors.

        :raises TooLarge: the hits that are asked for have too many, or too many values.
        """
        plan, k = self._plan, self._request.k
        width = sum(sum(vector_features(each.layout).values()) for each in plan.tables)
        if k * width > MOST_NUMBERS:
            raise TooManyNumbers(
                f"{k} hits, whose rows have {width} numbers in vectors each, are {k * width:,}; a"
                f" search reads at most {MOST_NUMBERS:,}. Ask for {MOST_NUMBERS // width} at most."
            )
        plan.limits.check_values(k, len(plan.columns))
        return width

    def _searched(self) -> tuple[int, FeatureColumn]:
        """Return which column of the plan is searched.

        :raises ReferenceNotFound: the version has none of that name.
        :raises BadRequest: it is no vector, or something else that is asked for is of others.
        """
        plan, reference = self._plan, self._request.reference
        if reference not in plan.references:  # among all of the version, which were asked for
            known = [each.feature for each in plan.references]
            raise ReferenceNotFound(
                f"{reference._replace(feature='*')} has no feature {reference.feature!r}."
                f"{did_you_mean(reference.feature, known)}",
                name=reference.feature,
                missing="feature",
            )
        place = plan.references.index(reference)
        column = plan.columns[place]
        if not isinstance(column, FeatureColumn) or parse_type(column.type).kind != "vector":
            raise BadRequest(
                f"{reference} is {column.type} of {column.version}: only features of vector<N>"
                " that are stored can be searched."
            )
        if plan.tables[column.table].windows is not None:
            raise BadRequest(
                f"{reference} is computed at each read, of the events of its windows: only features"
                " that are stored can be searched."
            )
        if plan.request:
            needed = ", ".join(repr(key.name) for key in plan.request)
            raise BadRequest(
                f"on-demand view {plan.request[0].view} computes with {needed} of the request, and"
                " a search brings none. Ask get-online-features for it, with the keys of the hits."
            )
        if len(plan.entities) > 1:
            views = ", ".join(sorted({key.view for key in plan.keys}))
            raise BadRequest(
                f"the features are of other join keys than {column.version} has ({views}): a search"
                " tells of its hits. Ask get-online-features for the others."
            )
        return place, column

    def _own_tag(self) -> bytes | None:
        """Return whose vector is asked for; None: one was sent.

        :raises Invalid: the keys are not those of the version, or null.
        """
        if self._request.entity is None:
            return None
        plan = self._plan
        asked = OnlineRequest({name: [value] for name, value in self._request.entity.items()})
        require_entities(plan, asked.entities)
        keys = typed(plan.keys, asked)
        entity, columns = plan.entities[0]
        tag = entity.tags([keys[column] for column in columns])[0]
        if tag is None:
            raise BadRequest("a join key of entity is null: nobody has it.")
        return tag

    def _rows(self, table: TableRead, tags: Sequence[bytes]) -> StoredRows:
        """Read rows of one table, and whether the plan still holds."""
        return self._read([(table, tags)]).tables[0]  # type: ignore[return-value]

    def _read(self, asked: Sequence[tuple[TableRead, Sequence[bytes]]]) -> OnlineRows:
        plan = self._plan
        layouts = [(table.read_layout, tags) for table, tags in asked]
        found = online_store().read(plan.project_id, plan.views, layouts, now=to_us(self._at))
        require_current(self._kept, found, fresh=self._fresh)
        for (table, _), its in zip(asked, found.tables, strict=True):
            require_loaded(table, its)
        return found

    def _query(self, found: StoredRows, column: FeatureColumn, table: TableRead) -> np.ndarray:
        """Return the vector that was sent, or the entity's own.

        :raises BadRequest: it cannot be searched with, or the entity has none now.
        """
        reference, metric = self._request.reference, self._request.metric
        length = parse_type(column.type).length
        if self._request.vector is not None:
            sent = read_vector(self._request.vector, length=length, of=str(reference))
            require_direction(sent, metric)
            return sent
        row, oldest = found.rows[0], self._oldest(table)
        said = ""
        if row[0] is None:
            said = "has no row"
        elif oldest is not None and row[0] < oldest:
            said = "has a row that is older than its TTL"
        elif row[column.position] is None:
            said = "has null"
        if said:
            raise NoVector(
                f"the entity {said} in {table.version}: there is no vector of it to search with."
                " Send another, or a vector."
            )
        own = read_vector(
            list(map(as_number, row[column.position])), length=length, of=str(reference)
        )
        require_direction(own, metric)
        return own

    def _oldest(self, table: TableRead) -> int | None:
        return None if table.ttl_micros is None else to_us(self._at) - table.ttl_micros

    def _whole(self, found: StoredRows, place: int, hits: list[Hit]) -> OnlineRows:
        """Return the rows of the hits in all tables; those of the vectors are as they were seen."""
        tags = [hit.tag for hit in hits]
        tables = self._plan.tables
        others = [(table, tags) for at, table in enumerate(tables) if at != place]
        read = self._read(others) if others else OnlineRows((), "", [])
        rows = iter(read.tables)
        own = found._replace(rows=[hit.row for hit in hits])
        whole = [own if at == place else next(rows) for at in range(len(tables))]
        return read._replace(tables=whole)

    def _asked(self, columns: Sequence[AnswerColumn]) -> dict[str, AnswerColumn]:
        """Return the columns that were asked for by name: the plan has others, to look at."""
        asked = {parse_reference(each) for each in self._request.features}
        every = {each._replace(feature="*") for each in asked if each.feature == "*"}
        return {
            name: column
            for name, reference, column in zip(
                self._plan.names, self._plan.references, columns, strict=True
            )
            if reference in asked or reference._replace(feature="*") in every
        }

    def _types(self, asked: Iterable[str]) -> dict[str, str]:
        plan = self._plan
        features = dict(zip(plan.names, plan.types, strict=True))
        return {key.name: str(key.type) for key in plan.keys} | {
            name: features[name] for name in asked
        }
