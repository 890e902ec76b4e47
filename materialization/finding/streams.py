"""Streams as the parent sees them: nothing is found, for a consumer reads them; and their brokers.

Not for reading records: ``materialization.streams`` does.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from materialization.errors import SourceUnreadable
from materialization.sources.arriving import ArrivingKind
from materialization.streams.redis_streams import ask_redis
from materialization.streams.schema_registry import SchemaRegistry
from registry.spec.sources.streams import KafkaSource

if TYPE_CHECKING:
    from materialization.finding.links import Link
    from materialization.sources.inputs import SourceFiles
    from registry.spec.sources.streams import StreamSource


class KafkaFinder(ArrivingKind):
    """A topic: its library has to be there, and a connection that the project may use."""

    def find(self, source: StreamSource, where: Link) -> SourceFiles:  # type: ignore[override]
        _require_library()
        if isinstance(source, KafkaSource) and source.has_avro:
            SchemaRegistry.of(where)
        return super().find(source, where)

    def try_link(self, link: Link) -> None:
        """:raises AssayError: no broker answers, or no registry of schemas; says why."""
        _require_library()
        if link.schemas is not None:
            SchemaRegistry(link.schemas).try_out()
        # Of all processes those alone load the library that speak to brokers.
        from materialization.streams.kafka import ask_brokers

        ask_brokers(link)


class RedisFinder(ArrivingKind):
    """A stream of a Redis, by a connection that the project may use."""

    def try_link(self, link: Link) -> None:
        """:raises AssayError: it does not answer; says why."""
        ask_redis(link)


def _require_library() -> None:
    if find_spec("confluent_kafka") is None:
        raise SourceUnreadable(
            "this server cannot read Kafka: whoever runs it installs confluent-kafka, which is"
            " among the server's requirements."
        )
