"""Calls that send rows: readable online when they return, in training sets within a minute.
Not for files that runs load; a data source says where those are.
"""

from __future__ import annotations

import uuid
from os import fspath
from typing import Any

from assay import shapes
from assay.calls import Calls
from assay.errors import AssayError, Invalid
from assay.frames import sent_columns, sent_pieces
from assay.online import OnlineResponse
from assay.progress import looking
from assay.row_files import Pieces, rows_in
from assay.shapes import JSON, EntityFrame, SentRows
from assay.waiting import OnProgress

#: Rows of one request: the server takes each in one step.
BATCH_ROWS = 1_000
#: Refused rows that an answer lists before it only counts them.
LISTED = 100


class PushCalls(Calls):
    """Rows for push sources, and feature values for views over them."""

    def push(
        self,
        push_source_name: str,
        df: SentRows,
        *,
        partial: bool = False,
        idempotency_key: str | None = None,
        batch_rows: int = BATCH_ROWS,
    ) -> JSON:
        """Send rows with the columns of a push source, ``batch_rows`` in a request.

        ``df`` is a dict of lists, a list of dicts, a pandas frame or whatever gives Arrow; a
        ``RecordBatchReader`` is read as its rows are sent, and never held whole. Of a
        request all rows are taken or none; with ``partial`` the others are, and ``refused`` of the
        answer lists ``{"row", "column", "value", "valid"}`` of the first 100 that were not. What
        breaks off is sent again, and counts once; with an ``idempotency_key`` of yours a whole call
        that is repeated within a day does, too.

        :raises QualityRejected: rows cannot be taken. ``data`` lists them as ``refused``, and says
            how many rows of earlier requests were ``taken``.
        """
        pieces = sent_pieces(df, _checked(batch_rows))
        return self._sent("push", _about(push_source_name), pieces, partial, idempotency_key)

    def push_file(
        self,
        push_source_name: str,
        path: shapes.Path,
        *,
        partial: bool = False,
        idempotency_key: str | None = None,
        batch_rows: int = BATCH_ROWS,
        on_progress: OnProgress | None = None,
    ) -> JSON:
        """Send the rows of a file as :meth:`push` does, reading some at a time.

        Parquet, Arrow (``.arrow``), CSV, or JSON lines (``.jsonl``; ``-`` is standard input). A CSV
        file has values as the source's schema declares them, and null where there is nothing
        between two commas. ``on_progress`` gets what was sent so far after each request.

        :raises Invalid: the file cannot be read, which can be after rows of it were sent: then
            ``data`` says how many were ``taken``.
        """
        pieces = rows_in(fspath(path), _checked(batch_rows), lambda: self._types(push_source_name))
        about, text = _about(push_source_name), f"rows of {fspath(path)}"
        with looking(on_progress, text, lambda sent: f"{sent['rows']:,} sent") as tell:
            return self._sent("push", about, pieces, partial, idempotency_key, tell)

    def write_to_online_store(
        self,
        feature_view_name: str,
        df: SentRows,
        *,
        partial: bool = False,
        idempotency_key: str | None = None,
        batch_rows: int = BATCH_ROWS,
    ) -> JSON:
        """Send join keys, features and ``event_timestamp`` of a view; else like :meth:`push`.

        ``feature_view_name`` is ``view`` for every served version, ``view@v1`` for those of a
        major, or ``view@1.2.0``.
        """
        about, pieces = (
            {"feature_view_name": feature_view_name},
            sent_pieces(df, _checked(batch_rows)),
        )
        return self._sent("write-to-online-store", about, pieces, partial, idempotency_key)

    def _types(self, name: str) -> dict[str, str]:
        found: dict[str, str] = self._get("data-sources", name).get("schema") or {}
        return found

    def compute(
        self, feature_view: str, df: EntityFrame, *, partial: bool = False
    ) -> OnlineResponse:
        """Give what a view makes of rows with its source's columns; nothing is stored.

        ``feature_view`` is ``view`` for the default version, or ``view@1.2.0``. The answer is as of
        a read, a value a row in their order: NOT_FOUND where the view's conditions leave a row out,
        and with ``partial`` where one cannot be made; else such a row refuses all.

        :raises QualityRejected: rows cannot be made; ``data`` lists them as ``refused``.
        """
        body = {"feature_view": feature_view, "df": sent_columns(df), "partial": partial}
        where = self._transport.project_path("compute")
        answer = self._transport.request("POST", where, json=body, is_read=True).json()
        return OnlineResponse(answer, warnings=answer["metadata"]["warnings"])

    def _sent(
        self,
        path: str,
        about: JSON,
        pieces: Pieces,
        partial: bool,  # noqa: FBT001 - as the calls have it
        key: str | None,
        on_progress: OnProgress | None = None,
    ) -> JSON:
        key, start = key or uuid.uuid4().hex, 0
        total: JSON = {"rows": 0, "taken": 0, "refused_count": 0, "refused": []}
        try:
            for part in pieces:
                body = {**about, "df": part, "partial": partial}
                _add(total, self._pushed(path, body, f"{key}/{start}"), start)
                start += len(next(iter(part.values()), []))
                if on_progress is not None:
                    on_progress({**total, "refused": list(total["refused"])})
        except AssayError as exc:
            exc.data["taken"] = total["taken"]
            exc.data["refused"] = _moved(exc.data.get("refused", []), start)
            raise
        return total

    def _pushed(self, path: str, body: JSON, key: str) -> Any:
        """With its key a request that is sent again counts once, so it may be."""
        where = self._transport.project_path(path)
        headers = {"Idempotency-Key": key}
        return self._transport.request(
            "POST", where, json=body, headers=headers, is_read=True
        ).json()


def _about(push_source_name: str) -> JSON:
    return {"push_source_name": push_source_name, "to": "online_and_offline"}


def _checked(batch_rows: int) -> int:
    if batch_rows < 1:
        raise Invalid(f"batch_rows is {batch_rows}; send at least one row in a request")
    return batch_rows


def _add(total: JSON, answer: JSON, start: int) -> None:
    for name in ("rows", "taken", "refused_count"):
        total[name] += answer[name]
    room = LISTED - len(total["refused"])
    total["refused"] += _moved(answer["refused"], start)[:room]
    for name in ("feature_views", "received_at"):
        total[name] = answer[name]


def _moved(refused: list[JSON], start: int) -> list[JSON]:
    """Count rows from the first of the call, not of the request."""
    return [{**each, "row": each["row"] + start} for each in refused]
