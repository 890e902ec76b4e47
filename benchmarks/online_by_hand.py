"""What a team writes without a feature store: the same rows by redis-py, the same answer as JSON.

A bare granian handler as ``online_limit`` is, and as it without token, rights, epochs, TTL or
anything that is noted. But it reads as programs do, through redis-py with hiredis as its parser,
and each column has what Feast's JSON has: values, their statuses, the instants of their events.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PREFIX = os.environ["KEY_PREFIX"].encode()
#: A stored row begins with its event, its lag and its sequence.
HEADER = 3
MICROS = 1_000_000

_client = redis.Redis.from_url(os.environ["REDIS_URL"], protocol=2)
_decode = msgspec.json.Decoder().decode
_decode_row = msgspec.msgpack.Decoder(list[Any]).decode
_encode = msgspec.json.Encoder().encode


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    asked = _decode(environ["wsgi.input"].read())
    drivers = asked["entities"]["driver_id"]
    stored = _client.mget([b"%b%d}" % (PREFIX, driver) for driver in drivers])
    columns = list(zip(*(_decode_row(row) for row in stored), strict=True))
    times = [datetime.fromtimestamp(at / MICROS, UTC) for at in columns[0]]
    keys = {"values": drivers, "statuses": ["PRESENT"] * len(drivers), "event_timestamps": times}
    features = [
        {
            "values": values,
            "statuses": ["NULL_VALUE" if value is None else "PRESENT" for value in values],
            "event_timestamps": times,
        }
        for values in columns[HEADER:]
    ]
    names = {"feature_names": ["driver_id", *asked["features"]]}
    answer = _encode({"metadata": names, "results": [keys, *features]})
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))]
    start_response("200 OK", headers)
    return [answer]
