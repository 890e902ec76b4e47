"""What a source that is a stream must satisfy: its name, and what is read of a record. [pure]

Not for whether anybody answers: whoever reads the stream finds that out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lib.errors import did_you_mean
from registry.reading.arriving_rules import arriving_problems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.reading.findings import Found
    from registry.spec.sources.streams import KafkaSource, RedisStreamSource

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
MAX_HEADERS, MAX_HEADER, MAX_STREAM = 100, 200, 200
#: What bytes without a type of their own are read as.
BYTES_READ_AS = ("string", "bytes", "int32", "int64")


def kafka_problems(spec: KafkaSource) -> Iterator[Found]:
    yield from arriving_problems(spec)
    if not _TOPIC.fullmatch(spec.topic) or spec.topic in (".", ".."):
        shown = spec.topic[:100]
        yield ("topic",), f"{shown!r} is no topic; a name has letters, digits, dots, _ and -."
    if len(spec.headers) > MAX_HEADERS:
        yield ("headers",), f"{len(spec.headers)} columns; at most {MAX_HEADERS} are of headers."
    for column, header in spec.headers.items():
        if not header or len(header) > MAX_HEADER:
            yield ("headers", column), f"name a header, of at most {MAX_HEADER} characters."
        yield from _of_bytes(spec, ("headers", column), column)
    if spec.key and spec.key_format == "text":
        yield from _of_bytes(spec, ("key",), spec.key)
    elif spec.key and spec.key not in spec.schema:
        yield ("key",), _unknown(spec, spec.key)
    elif not spec.key and spec.key_format != "text":
        yield ("key_format",), "no column has a record's key: name it as `key`, or leave this out."
    if spec.record_time and spec.schema.get(spec.record_time) != "timestamp":
        yield ("record_time",), f"declare {spec.record_time[:100]!r} in the schema, as a timestamp."
    taken = [*spec.headers, *filter(None, (spec.key, spec.record_time))]
    for name in sorted({each for each in taken if taken.count(each) > 1}):
        yield ("headers",), f"{name[:100]!r} is read of one place of a record, not of two."


def redis_problems(spec: RedisStreamSource) -> Iterator[Found]:
    yield from arriving_problems(spec)
    for key, text in (("stream_key", spec.stream_key), ("json_field", spec.json_field)):
        if len(text) > MAX_STREAM or not text.isprintable() or (key == "stream_key" and not text):
            yield (key,), f"it is text of 1 to {MAX_STREAM} characters that print, as in purchases."
    if spec.record_time and spec.schema.get(spec.record_time) != "timestamp":
        yield ("record_time",), f"declare {spec.record_time[:100]!r} in the schema, as a timestamp."


def _of_bytes(spec: KafkaSource, path: tuple[str, ...], column: str) -> Iterator[Found]:
    kind = spec.schema.get(column)
    if kind is None:
        yield path, _unknown(spec, column)
    elif kind not in BYTES_READ_AS:
        yield path, f"{column[:100]!r} is {kind}; keys and headers are {', '.join(BYTES_READ_AS)}."


def _unknown(spec: KafkaSource, column: str) -> str:
    return f"the schema has no column {column[:100]!r}.{did_you_mean(column, sorted(spec.schema))}"
