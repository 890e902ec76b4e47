"""Who reads each kind of stream: a new kind is a module of its own here, and a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.streams.kafka import KafkaReader
from materialization.streams.redis_streams import RedisReader
from registry.spec.sources.streams import KafkaSource, RedisStreamSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from materialization.finding.links import Link
    from materialization.streams.reader import StreamReader
    from registry.spec.sources.streams import StreamSource

READERS: dict[type[StreamSource], Callable[[str, Link], StreamReader]] = {
    KafkaSource: KafkaReader,
    RedisStreamSource: RedisReader,
}
