"""Calls that read feature values: the latest ones, those known at past instants, whole files.
Not for how answers are used; see online and historical.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, overload

from assay.all_entities import AllEntities
from assay.answers import Answer
from assay.asking import arrow_bytes, as_parameters, selection, unframed, whole_body
from assay.encoding import instant
from assay.entity_query import EntityQuery
from assay.extras import has_arrow
from assay.frames import entity_frame, sent_columns
from assay.historical import ARROW_STREAM, WARNINGS_HEADER, RetrievalJob, read_header
from assay.historical_job import HistoricalJob
from assay.jobs import HistoricalJobCalls
from assay.offline import OfflinePaths
from assay.online import OnlineResponse
from assay.online_arrow import LEAST_ROWS, read_stream
from assay.references import view_of
from assay.shapes import JSON, EntityFrame, Features, NamedViews, Timing

# A training set is computed while the client waits; an online read never takes this long.
HISTORICAL_TIMEOUT_SECONDS = 600.0
PREFER_ARROW = {"Accept": f"{ARROW_STREAM}, application/json;q=0.5"}


class ReadCalls(HistoricalJobCalls):
    """Features are references like ``view:feature`` or ``view@1.2.0:feature``, or a service."""

    def get_online_features(
        self,
        features: Features = None,
        entity_rows: EntityFrame = (),
        full_feature_names: bool = False,
        *,
        feature_service: str | None = None,
    ) -> OnlineResponse:
        """Read the latest values for each entity row, in the rows' order.

        ``features`` is a list of references, or the name of a feature service;
        ``entity_rows`` is ``[{"user_id": 1}, …]``, ``{"user_id": [1, …]}``, a pandas frame or
        whatever gives Arrow (polars, a RecordBatch): join keys, and the request values of on-demand
        views. NaT and NA are nulls, and NaN in a pandas frame; elsewhere NaN is a number.

        :raises Invalid: rows have unequal keys, or what is asked for does not exist.
        :raises Unavailable: a version is not loaded, or the online store is down.
        """
        keys = sent_columns(entity_rows)
        body = {
            **selection(features, feature_service),
            "entities": keys,
            "full_feature_names": full_feature_names,
        }
        path = self._transport.project_path("get-online-features")
        is_large = has_arrow() and max(map(len, keys.values()), default=0) >= LEAST_ROWS
        answer = self._transport.request(
            "POST", path, json=body, is_read=True, headers=PREFER_ARROW if is_large else None
        )
        warnings = read_header(answer.headers, WARNINGS_HEADER)
        if answer.content_type == ARROW_STREAM:
            response = read_stream(answer, warnings=warnings)
        else:
            response = OnlineResponse(answer.json(), warnings=warnings)
        response.check_keys(keys)
        return response

    @overload
    def get_historical_features(
        self,
        entity_df: EntityFrame | AllEntities | EntityQuery | str,
        features: Features = None,
        full_feature_names: bool = False,
        *,
        feature_service: str | None = None,
        timing: Timing = "known",
        explain: bool = False,
        views: NamedViews = None,
        as_job: Literal[False] = False,
    ) -> RetrievalJob: ...

    @overload
    def get_historical_features(
        self,
        entity_df: EntityFrame | AllEntities | EntityQuery | str,
        features: Features = None,
        full_feature_names: bool = False,
        *,
        feature_service: str | None = None,
        timing: Timing = "known",
        explain: bool = False,
        views: NamedViews = None,
        as_job: Literal[True],
    ) -> HistoricalJob: ...

    def get_historical_features(
        self,
        entity_df: EntityFrame | AllEntities | EntityQuery | str,
        features: Features = None,
        full_feature_names: bool = False,
        *,
        feature_service: str | None = None,
        timing: Timing = "known",
        explain: bool = False,
        views: NamedViews = None,
        as_job: bool = False,
    ) -> RetrievalJob | HistoricalJob:
        """Join features to each entity row as they were at its ``event_timestamp``.

        ``entity_df`` has the join keys and ``event_timestamp`` (naive times are UTC): a pandas
        frame, whatever gives Arrow (polars, a Table, a RecordBatch), a dict of lists or a list of
        dicts; or, where there is none, ``AllEntities``, or a query on a data source of the server:
        ``"SELECT user_id, at AS event_timestamp FROM orders"``, an ``EntityQuery``.
        ``timing="known"`` uses only what had arrived by then, ``"event"`` also what arrived later.

        A key under another name, and a view under two, are said in ``views``:
        ``{"buyer": {"view": "customer", "join_keys": {"customer_id": "buyer_id"}}}`` gives
        ``buyer:rating``, and the column ``buyer__rating`` with ``full_feature_names``.

        ``as_job``: a worker of the server makes it, which takes more rows; ``to_df`` waits for it.
        """
        if as_job:
            return self.request_historical_features(
                entity_df,
                features,
                full_feature_names,
                feature_service=feature_service,
                timing=timing,
                explain=explain,
                views=views,
            )
        options: JSON = {
            **selection(features, feature_service),
            "full_feature_names": full_feature_names,
            "timing": timing,
            "explain": explain,
        }
        return self._historical(entity_df, options, views)

    def offline_files(
        self,
        feature_view: str,
        *,
        version: str | None = None,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
    ) -> JSON:
        """List the Parquet files of a view's rows, to read them in bulk by oneself.

        ``feature_view`` is ``view@1.2.0`` or ``view@v2``, or ``version`` says that; without it the
        default. With ``start`` or ``end`` only
        files that may hold rows with an event time in ``[start, end]``; naive times are UTC. Gives
        ``{"version", "delta_version", "rows", "columns", "files": [{"uri", "rows", …}], …}``.

        :raises Unavailable: the version is not ready, or the offline store is down.
        """
        view, named = view_of(feature_view, version)
        query = {
            "feature_view": view,
            "version": named,
            "start": None if start is None else instant(start),
            "end": None if end is None else instant(end),
        }
        found: JSON = self._get("offline-files", query=query)
        return found

    def offline_paths(
        self,
        feature_view: str,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        *,
        version: str | None = None,
    ) -> OfflinePaths:
        """Give the paths of a view's Parquet files: one snapshot, ready for pandas, polars, DuckDB.

        With ``start`` or ``end`` only files that may hold rows with an event time in
        ``[start, end]``; naive times are UTC. It takes ``read_offline`` and a way to the
        store's disk, and is in the trail.

        :raises Unavailable: the version is not ready, or the offline store is down.
        """
        return OfflinePaths(self.offline_files(feature_view, version=version, start=start, end=end))

    def _historical(self, entity_df: Any, options: JSON, views: NamedViews) -> RetrievalJob:
        """Send rows as Arrow where they are, else as JSON, and what stands in for rows as words."""
        path = self._transport.project_path("get-historical-features")
        if (about := unframed(entity_df)) is not None:
            asked = whole_body(options, views, about)
            return RetrievalJob(self._ask(path, asked, as_arrow=has_arrow()), frame=None)
        frame = entity_frame(entity_df)
        if frame.table is not None:
            query = {**options, **as_parameters(views)}
            return RetrievalJob(self._upload(path, query, frame.table), frame=frame)
        answer = self._ask(path, whole_body(options, views, frame.columns))
        return RetrievalJob(answer, frame=frame)

    def _ask(self, path: str, body: JSON, *, as_arrow: bool = False) -> Answer:
        return self._transport.request(
            "POST",
            path,
            json=body,
            headers={"Accept": ARROW_STREAM} if as_arrow else {},
            read_timeout_seconds=HISTORICAL_TIMEOUT_SECONDS,
            is_read=True,
        )

    def _upload(self, path: str, options: JSON, table: Any) -> Answer:
        headers = {"Content-Type": ARROW_STREAM, "Accept": ARROW_STREAM}
        return self._transport.request(
            "POST",
            path,
            query=options,
            body=arrow_bytes(table),
            headers=headers,
            read_timeout_seconds=HISTORICAL_TIMEOUT_SECONDS,
            is_read=True,
        )
