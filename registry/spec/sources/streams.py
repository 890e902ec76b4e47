"""Sources whose rows are records of a stream that we read: of Kafka, and of Redis. [pure]"""

from __future__ import annotations

from typing import Literal

from registry.spec.base import Name  # noqa: TC001 - msgspec reads the annotations
from registry.spec.sources.arriving import ArrivingSource


class StreamSource(ArrivingSource, frozen=True, kw_only=True):
    """Records of a stream, which a consumer reads in order, each once.

    Read is from the oldest record that there is. The connection is of the kind that ``link_kind``
    says.
    """

    called = "stream"
    arrives = "read of a stream"

    connection: Name

    @property
    def link(self) -> str:
        return self.connection

    @property
    def stream(self) -> str:
        """What the stream is called where the connection leads."""
        raise NotImplementedError

    def where(self) -> str:
        return f"{self.connection}: {self.stream}"

    def path_within(self) -> str:
        return self.stream


class KafkaSource(StreamSource, frozen=True, kw_only=True, tag="kafka"):
    """Records of a topic, each an object of JSON, or a record of Avro, whose fields are columns.

    A column of ``headers`` has the value of the header of that name, ``key`` names the column that
    has a record's key, and ``record_time`` the one that has the time it carries itself.
    """

    example = {
        "connection": "events",
        "topic": "purchases",
        "schema": {"customer_id": "int64", "paid_at": "timestamp"},
    }

    topic: str
    #: Avro as schema registries have it written: a zero, four bytes of the schema's id, the value.
    format: Literal["json", "avro"] = "json"
    key: str = ""
    #: Of a key that is an object or a record, the field of the column's name is read.
    key_format: Literal["text", "json", "avro"] = "text"
    #: Column → name of a header.
    headers: dict[str, str] = {}
    record_time: str = ""

    @property
    def stream(self) -> str:
        return self.topic

    @property
    def has_avro(self) -> bool:
        return "avro" in (self.format, self.key_format)


class RedisStreamSource(StreamSource, frozen=True, kw_only=True, tag="redis_stream"):
    """Entries of a stream that a Redis keeps under ``stream_key``.

    Their fields are columns, as text, or one field has an object of JSON. ``record_time`` names the
    column that has the time of an entry's id.
    """

    example = {
        "connection": "events",
        "stream_key": "purchases",
        "schema": {"customer_id": "int64", "paid_at": "timestamp"},
    }

    stream_key: str
    json_field: str = ""
    record_time: str = ""

    @property
    def link_kind(self) -> str:
        return "redis"

    @property
    def stream(self) -> str:
        return self.stream_key
