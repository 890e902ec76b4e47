"""A version whole, as it is stored and sent to engines: nothing it means is said elsewhere. [pure]

Not for what a definition says (``model``) nor for what decides its rows (``fingerprints``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from lib.decoding import json_reader
from registry.choices import Accuracy
from registry.spec.base import Spec
from registry.spec.joined_sql import joined_columns
from registry.spec.joins import JoinedSource, SourceJoin  # noqa: TC001 - msgspec reads the annotations
from registry.spec.masks import is_hash
from registry.spec.model import EntitySpec, FeatureSpec, FeatureViewSpec, JoinKey
from registry.spec.python_code import PythonCode  # noqa: TC001 - as above
from registry.spec.row_sql import columns_under
from registry.spec.sources.arriving import ArrivingSource
from registry.spec.sources.base import RootedSource, SourceSchema
from registry.spec.sources.kinds import Source
from registry.spec.sql_times import days_moved
from registry.spec.transforms import Transform, transform_of
from registry.spec.view_reads import ReadVersion  # noqa: TC001 - as above

if TYPE_CHECKING:
    from collections.abc import Sequence


class VersionSpec(Spec, frozen=True):
    """One version whole: its source and entities are embedded, so that nothing moves behind it."""

    view: FeatureViewSpec
    #: None where nothing is stored: an on-demand view is computed at the request.
    source: Source | None = None
    entities: tuple[EntitySpec, ...] = ()
    #: Which place the source's root was when the version was written; see ``FileRoot.identity``.
    root_identity: str = ""
    #: Which of the project's keys hashes are made with; empty where there are none.
    mask_key: str = ""
    #: What the source was at submit; None before, and where nothing is stored.
    schema: SourceSchema | None = None
    #: What was installed at submit of what a Python transform calls; None where there is none.
    code: PythonCode | None = None
    #: The versions of other views that it reads, in the order of ``view.views``.
    reads: tuple[ReadVersion, ...] = ()
    #: The sources it joins, in the order of the view's ``sources``.
    joined: tuple[JoinedSource, ...] = ()
    #: By feature: the identity of what its encoding was fitted to; see ``registry.fittings``.
    fittings: dict[str, str] = {}
    #: By feature, what each step was fitted to. An engine's process alone has it, no stored text.
    fitted: dict[str, tuple[dict[str, Any], ...]] = {}
    #: By what is read of another view, its stored files. An engine's process alone has it, too.
    read_files: dict[str, tuple[str, ...]] = {}

    @property
    def rows_from(self) -> Source:
        """The source of a view that is stored.

        :raises LookupError: nothing of it is; ask ``transform.is_stored`` first.
        """
        if self.source is None:
            raise LookupError(f"{self.view.name} has no source: it is computed at the request")
        return self.source

    @property
    def is_pushed(self) -> bool:
        """Whether its rows are sent to us, or come by a stream, and no run has any."""
        return isinstance(self.source, ArrivingSource)

    @property
    def all_sources(self) -> tuple[Source, ...]:
        """Every source that is read for it, its own first."""
        own = () if self.source is None else (self.source,)
        return (*own, *(side.source for side in self.joined))

    @property
    def has_beside(self) -> bool:
        """Whether rows of other sources, or of other views, stand beside those of its own."""
        return bool(self.joined or self.reads)

    @property
    def times_moved(self) -> dict[str, int | None]:
        """By time column that its SQL gives as anything but the source's: by how many days at most.

        None: by any.
        """
        if self.view.sql is None:
            return {}
        moved: dict[str, int | None] = {}
        for time in (self.rows_from.event_timestamp, self.rows_from.created_timestamp):
            if time is not None and (days := days_moved(self.view.sql, time.column)) != 0:
                # A number is cast to another count of what its unit says, or to nothing.
                moved[time.column] = days if time.unit == "timestamp" else None
        return moved

    @property
    def times_lost(self) -> list[str]:
        """The times by which its rows could be asked for, had its SQL not made others of them.

        Each run reads all rows of such a source.
        """
        if self.source is None or not self.source.is_windowed or self.transform.makes_ticks:
            return []
        return [name for name, days in self.times_moved.items() if days is None]

    @property
    def takes_since(self) -> datetime | None:
        """The instant of the source before which no row's event counts; None: any may."""
        moved = self.times_moved.values()
        if self.view.start is None or self.view.is_unbounded or None in moved:
            return None
        back = timedelta(days=max((days or 0 for days in moved), default=0))
        back += self.view.longest_window
        first = datetime.min.replace(tzinfo=UTC)
        return self.view.start - back if self.view.start - first > back else None

    @property
    def joins(self) -> list[tuple[SourceJoin, JoinedSource]]:
        """The sources it joins, as its view says and as it embeds them."""
        return list(zip(self.view.sources, self.joined, strict=True))

    @property
    def roots(self) -> frozenset[str]:
        """The names of the roots that its sources are read from."""
        return frozenset(each.root for each in self.all_sources if isinstance(each, RootedSource))

    @property
    def join_keys(self) -> tuple[JoinKey, ...]:
        """The join keys of all entities, in the view's order; names are unique."""
        return tuple(key for entity in self.entities for key in entity.join_keys)

    @property
    def columns_read(self) -> frozenset[str] | None:
        """The columns it reads of its source, keys and times too, by exact name; None: all."""
        read = self.transform.source_columns(self.view)
        if read is not None and self.reads:
            names = {each.name for each in self.reads}
            found_by = (column for each in self.reads for column in each.columns)
            read = (*(column for column in read if column not in names), *found_by)
        if read is not None and self.view.where is not None:
            read = (*read, *columns_under(self.view.where))
        if read is None:
            return None
        times = (self.rows_from.event_timestamp, self.rows_from.created_timestamp)
        if self.has_beside or self.transform.reads_keys:
            read = (*read, *(time.column for time in times if time))
        keys = (key.name for key in self.join_keys) if self.transform.reads_keys else ()
        told = () if self.event_id is None else (self.event_id,)
        return frozenset({*read, *keys, *told})

    @property
    def features(self) -> tuple[FeatureSpec, ...]:
        return self.view.features

    def side(self, place: int) -> VersionSpec:
        """Return a version of nothing but one joined source: the columns that are read of it."""
        join, joined = self.view.sources[place], self.joined[place]
        names = dict.fromkeys((*join.theirs, *self.columns_joined[place]))
        features = tuple(FeatureSpec(name=name, type="string") for name in names)
        view = FeatureViewSpec(name=join.name, entities=(), source=join.name, features=features)
        return VersionSpec(
            view=view,
            source=joined.source,
            root_identity=joined.root_identity,
            schema=joined.schema,
        )

    @property
    def sides(self) -> tuple[VersionSpec, ...]:
        """Every joined source as a version of its own."""
        return tuple(self.side(place) for place, _ in enumerate(self.joined))

    @property
    def columns_joined(self) -> tuple[tuple[str, ...], ...]:
        """The columns that the SQL names of each joined source.

        :raises BadSql: it names one in a way that is none.
        """
        named = joined_columns(self.view.sql or "", [join.name for join in self.view.sources])
        return tuple(named[join.name] for join in self.view.sources)

    def taken(
        self,
        *,
        schema: SourceSchema | None,
        code: PythonCode | None,
        joined: Sequence[SourceSchema] = (),
    ) -> VersionSpec:
        """Return it as it is submitted: with what its sources and its function are then.

        What its encodings are fitted to is named after that; until then nothing is.
        """
        schemas: Sequence[SourceSchema | None] = joined or [None] * len(self.joined)
        sides = (
            msgspec.structs.replace(side, schema=taken)
            for side, taken in zip(self.joined, schemas, strict=True)
        )
        return msgspec.structs.replace(
            self, schema=schema, code=code, joined=tuple(sides), fittings={}
        )

    @property
    def untaken(self) -> VersionSpec:
        """What people wrote, without what was taken of it at submit."""
        return self.taken(schema=None, code=None)

    @property
    def makers(self) -> dict[str, str]:
        """What makes the values of its features of the source's columns, by the view's keys."""
        transform = self.transform
        found = {str(transform.key): transform.maker, "where": self.view.where or ""}
        return {key: said for key, said in found.items() if said}

    @property
    def made_by(self) -> str:
        """All of that, with what is installed of it; empty: they are the columns."""
        code = [self.code.sha256] if self.code is not None else []
        return "\n".join([*self.makers.values(), *code])

    @property
    def makes_rows(self) -> bool:
        """Whether its rows are other than the source's columns, each as it is.

        Of windows that are computed at each read the columns are what is stored, unless conditions
        say which rows count.
        """
        if self.stores_events_only:
            return any(each.where is not None for each in self.view.aggregations)
        return bool(self.makers) or self.has_masks or self.has_encodings

    @property
    def keeps_events(self) -> bool:
        """Whether the rows that are aggregated are stored, beside the ticks made of them if any."""
        return bool(self.view.aggregations) and self.view.accuracy is not Accuracy.SNAPSHOT

    @property
    def event_id(self) -> str | None:
        """The column that tells the events of its windows apart; None: keys and time do."""
        if not self.stores_events_only or not isinstance(self.source, ArrivingSource):
            return None
        return self.source.event_id

    @property
    def stores_events_only(self) -> bool:
        """Whether events are all that is stored: no ticks are made of them."""
        return self.keeps_events and not self.transform.makes_ticks

    @property
    def has_windows_online(self) -> bool:
        """Whether online reads make its windows of events, whatever is stored offline."""
        return self.transform.has_windows_online

    @property
    def has_masks(self) -> bool:
        return any(feature.mask is not None for feature in self.features)

    @property
    def has_hashes(self) -> bool:
        return any(is_hash(feature.mask) for feature in self.features)

    @property
    def has_encodings(self) -> bool:
        return any(feature.encode is not None for feature in self.features)

    @property
    def fitted_features(self) -> tuple[FeatureSpec, ...]:
        """The features whose encodings have steps that are fitted."""
        return tuple(feature for feature in self.features if feature.is_fitted)

    @property
    def ttl(self) -> timedelta | None:
        return self.view.ttl_duration

    @property
    def transform(self) -> Transform:
        return transform_of(self.view)


_read_version_spec = json_reader(VersionSpec)


@lru_cache(maxsize=1024)
def load_version_spec(text: str) -> VersionSpec:
    """Read back what ``canonical_json`` of a VersionSpec wrote; equal texts give one value."""
    return _read_version_spec(text)
