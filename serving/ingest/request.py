"""What calls that send rows may say: two in Feast's shapes, and ``POST compute``. [pure]"""

from __future__ import annotations

from typing import Any

import msgspec

from lib.decoding import converter
from lib.errors import Invalid, TooLarge
from serving.request_body import BadRequest, read_json

#: Where Feast would have rows go; ours go to both, which the answer says.
_ONLINE, _OFFLINE, BOTH = "online", "offline", "online_and_offline"
#: Characters of a key that makes a repeated call count once.
MAX_KEY = 200

Columns = dict[str, list[Any]]


class BadIdempotencyKey(Invalid):
    code = "invalid_idempotency_key"


class TooManyPushedRows(TooLarge):
    code = "too_many_pushed_rows"


class OfflineOnly(Invalid):
    code = "push_offline_only"


class RaggedColumns(Invalid):
    code = "ragged_columns"


class PushRequest(msgspec.Struct, forbid_unknown_fields=True):
    push_source_name: str
    df: Columns
    to: str = _ONLINE
    #: Feast's client sends it; our registry is never a cache.
    allow_registry_cache: bool = True
    transform_on_write: bool = True
    #: Take the good rows of a batch and list the others; else none is taken.
    partial: bool = False


class WriteRequest(msgspec.Struct, forbid_unknown_fields=True):
    feature_view_name: str
    df: Columns
    allow_registry_cache: bool = True
    transform_on_write: bool = True
    partial: bool = False


class ComputeRequest(msgspec.Struct, forbid_unknown_fields=True):
    feature_view: str
    df: Columns
    partial: bool = False


_read_push, _read_write = converter(PushRequest), converter(WriteRequest)
_read_compute = converter(ComputeRequest)
_VALID = 'Send rows as columns, as in {"df": {"driver_id": [1001], "fare": [12.5]}}.'


def parse_push(body: bytes) -> PushRequest:
    """:raises BadRequest, OfflineOnly: it is none, or asks for what is not done."""
    said = read_json(body, PushRequest, _read_push, what="push", valid=_VALID)
    if said.to == _OFFLINE:
        raise OfflineOnly(
            'rows are the same online and offline: what is pushed goes to both. Send "to":'
            f' "{BOTH}", or write files and let a run load them.'
        )
    if said.to not in (_ONLINE, BOTH):
        raise BadRequest(f'"to" is {said.to[:100]!r}; send "{BOTH}".')
    return said


def parse_write(body: bytes) -> WriteRequest:
    return read_json(body, WriteRequest, _read_write, what="write-to-online-store", valid=_VALID)


def parse_compute(body: bytes) -> ComputeRequest:
    return read_json(body, ComputeRequest, _read_compute, what="compute", valid=_VALID)


def idempotency_key(sent: str | None) -> str | None:
    """:raises BadIdempotencyKey: what is sent cannot be one."""
    if sent is not None and not (0 < len(sent) <= MAX_KEY and sent.isprintable()):
        raise BadIdempotencyKey(
            f"an Idempotency-Key has 1 to {MAX_KEY} characters that print; this one has"
            f" {len(sent)}."
        )
    return sent


def count_rows(df: Columns, *, most: int) -> int:
    """Return how many rows the columns have.

    :raises RaggedColumns: they differ in length.
    :raises TooManyPushedRows: there are more than one call takes.
    """
    lengths = {name: len(values) for name, values in df.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name[:100]!r} has {n}" for name, n in list(lengths.items())[:10])
        raise RaggedColumns(f"columns differ in length: {shown}. Send one value a row.")
    rows = max(lengths.values(), default=0)
    if rows > most:
        raise TooManyPushedRows(
            f"{rows} rows; one call takes {most} (PUSH_MAX_ROWS), all of them in one step. Send"
            " several.",
            rows=rows,
            limit=most,
        )
    return rows
