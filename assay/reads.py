"""Calls that read feature values: the latest ones, those known at past instants, whole files.
Not for how answers are used; see online and historical.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from assay.all_entities import AllEntities
from assay.answers import Answer
from assay.calls import Calls
from assay.encoding import instant
from assay.errors import Invalid
from assay.extras import has_arrow, require
from assay.frames import entity_frame, key_columns
from assay.historical import ARROW_STREAM, WARNINGS_HEADER, RetrievalJob, read_header
from assay.offline import OfflinePaths
from assay.online import OnlineResponse
from assay.shapes import JSON, Columns, EntityFrame, Features, NamedViews, Timing

# A training set is computed while the client waits; an online read never takes this long.
HISTORICAL_TIMEOUT_SECONDS = 600.0


class ReadCalls(Calls):
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
        whatever gives Arrow (polars, a RecordBatch) of join keys; NaN, NaT and NA are nulls.

        :raises Invalid: rows have unequal keys, or what is asked for does not exist.
        :raises Unavailable: a version is not loaded, or the online store is down.
        """
        keys = key_columns(entity_rows)
        body = {
            **selection(features, feature_service),
            "entities": keys,
            "full_feature_names": full_feature_names,
        }
        path = self._transport.project_path("get-online-features")
        answer = self._transport.request("POST", path, json=body, is_read=True)
        warnings = read_header(answer.headers, WARNINGS_HEADER)
        response = OnlineResponse(answer.json(), warnings=warnings)
        response.check_keys(keys)
        return response

    def get_historical_features(
        self,
        entity_df: EntityFrame | AllEntities,
        features: Features = None,
        full_feature_names: bool = False,
        *,
        feature_service: str | None = None,
        timing: Timing = "known",
        explain: bool = False,
        views: NamedViews = None,
    ) -> RetrievalJob:
        """Join features to each entity row as they were at its ``event_timestamp``.

        ``entity_df`` has the join keys and ``event_timestamp`` (naive times are UTC): a pandas
        frame, whatever gives Arrow (polars, a Table, a RecordBatch), a dict of lists or a list of
        dicts; or ``AllEntities`` where there is none. ``timing="known"`` uses only what had
        arrived by then, ``"event"`` also what arrived later.

        A key under another name, and a view under two, are said in ``views``:
        ``{"buyer": {"view": "customer", "join_keys": {"customer_id": "buyer_id"}}}`` gives
        ``buyer:rating``, and the column ``buyer__rating`` with ``full_feature_names``.
        """
        options: JSON = {
            **selection(features, feature_service),
            "full_feature_names": full_feature_names,
            "timing": timing,
            "explain": explain,
        }
        path = self._transport.project_path("get-historical-features")
        if isinstance(entity_df, AllEntities):
            asked = whole_body(options, views, entity_df)
            return RetrievalJob(self._ask(path, asked, as_arrow=has_arrow()), frame=None)
        frame = entity_frame(entity_df)
        if frame.table is not None:
            query = {**options, **as_parameters(views)}
            return RetrievalJob(self._upload(path, query, frame.table), frame=frame)
        answer = self._ask(path, whole_body(options, views, frame.columns))
        return RetrievalJob(answer, frame=frame)

    def offline_files(
        self,
        feature_view: str,
        *,
        version: str | None = None,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
    ) -> JSON:
        """List the Parquet files of a view's rows, to read them in bulk by oneself.

        ``version`` is ``1.2.0`` or ``v2``, without it the default. With ``start`` or ``end`` only
        files that may hold rows with an event time in ``[start, end]``; naive times are UTC. Gives
        ``{"version", "delta_version", "rows", "columns", "files": [{"uri", "rows", …}], …}``.

        :raises Unavailable: the version is not ready, or the offline store is down.
        """
        query = {
            "feature_view": feature_view,
            "version": version,
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


def arrow_bytes(table: Any) -> bytes:
    ipc = require("pyarrow.ipc", "sending a frame")
    sink = io.BytesIO()
    with ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def whole_body(options: JSON, views: NamedViews, about: Columns | AllEntities) -> JSON:
    """Give a request that says all in its body: whom it is about too."""
    whom: JSON = {"entities": about}
    if isinstance(about, AllEntities):
        whom = {"all_entities": about.sent()}
    return {**options, **({"views": views} if views else {}), **whom}


def as_parameters(views: NamedViews) -> JSON:
    """Give ``views`` as it goes into a query: JSON text."""
    return {"views": json.dumps(views)} if views else {}


def selection(features: Features, feature_service: str | None) -> JSON:
    """Give ``{"features": […]}`` or ``{"feature_service": name}``, whichever was asked for.

    :raises Invalid: neither or both were given.
    """
    if isinstance(features, Mapping):  # what get_feature_service answers
        features = str(features["name"])
    if isinstance(features, str):
        # A reference always has a colon, the name of a service never.
        by_name = {"features": [features]} if ":" in features else {"feature_service": features}
    else:
        by_name = {"features": list(features)} if features else {}
    if bool(by_name) == bool(feature_service):
        raise Invalid(
            "give either features (like ['view:feature']) or a feature service, "
            + ("not both" if by_name else "neither was given"),
        )
    return by_name or {"feature_service": feature_service}
