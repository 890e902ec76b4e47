"""The limit of online reads: a bare granian handler that reads the same rows, writes their columns.

Without Django: JSON in, one MGET packed and parsed by hiredis on a socket of its own, the rows
decoded as one msgpack array, then the names and, of each column, its values as JSON. No token,
rights, epochs, types, statuses, times or TTL, and nothing that is noted: what is left is what any
such answer costs at least. Names are told as the question has them, and all peers are asked alike.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import hiredis
import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PREFIX = os.environ["KEY_PREFIX"].encode()
#: A stored row begins with its event, its lag and its sequence.
HEADER = 3

_at = urlsplit(os.environ["REDIS_URL"])
_redis = socket.create_connection((str(_at.hostname), int(_at.port or 0)))
_redis.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
_reader, _buffer = hiredis.Reader(), bytearray(65_536)
_decode = msgspec.json.Decoder().decode
_decode_rows = msgspec.msgpack.Decoder(list[list[Any]]).decode
_encode = msgspec.json.Encoder().encode


def fetched(keys: list[bytes]) -> list[bytes]:
    _redis.sendall(hiredis.pack_command((b"MGET", *keys)))
    while (found := _reader.gets()) is False:
        _reader.feed(_buffer, 0, _redis.recv_into(_buffer))
    return found


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    asked = _decode(environ["wsgi.input"].read())
    drivers = asked["entities"]["driver_id"]
    rows = fetched([b"%b%d}" % (PREFIX, driver) for driver in drivers])
    decoded = _decode_rows(b"\xdd" + len(rows).to_bytes(4, "big") + b"".join(rows))
    columns = [drivers, *list(zip(*decoded, strict=True))[HEADER:]]
    names = {"feature_names": ["driver_id", *asked["features"]]}
    answer = _encode({"metadata": names, "results": [{"values": each} for each in columns]})
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))]
    start_response("200 OK", headers)
    return [answer]
