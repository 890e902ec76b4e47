"""What the newest schemas of a topic say against versions over it, before they are sent in.

Not for records, which are read by the schemas that they name: a schema that changes later makes
dead letters of those that lack a column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from materialization.streams.avro import SchemaUnusable
from materialization.streams.avro_types import misfits
from materialization.streams.reader import StreamUnavailable
from materialization.streams.schema_registry import Patience, SchemaRegistry
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from materialization.finding.links import Link
    from materialization.streams.avro import AvroSchema
    from registry.spec.sources.streams import KafkaSource


class Against(NamedTuple):
    """Problems, each with the key of the source that it is of, and warnings."""

    problems: list[tuple[tuple[str, ...], str]] = []  # noqa: RUF012 - read only
    warnings: list[str] = []  # noqa: RUF012 - read only


def schemas_against(
    source: KafkaSource, link: Link, reading: Sequence[Collection[str] | None], *, until: float
) -> list[Against]:
    """Compare what each reads of values in Avro with the newest schema of ``<topic>-value``.

    The registry is asked once, and ``until`` then by the monotonic clock.
    """
    if source.format != "avro":
        return [Against()] * len(reading)
    subject = f"subject {source.topic}-value"
    try:
        schema = SchemaRegistry.of(link, Patience(until=until)).newest(source.topic)
    except StreamUnavailable as exc:
        said = Against([], [f"nothing was compared with the topic's schema: {exc.message}"])
    except SchemaUnusable as exc:
        said = Against([(("source", "topic"), f"the newest schema of {subject} {exc}.")], [])
    else:
        if schema is not None:
            return [_compared(source, schema, subject, columns) for columns in reading]
        words = f"{subject} has no schema yet: nothing says what records will have."
        said = Against([], [words])
    return [said] * len(reading)


def _compared(
    source: KafkaSource, schema: AvroSchema, subject: str, columns_read: Collection[str] | None
) -> Against:
    elsewhere = {source.key, source.record_time, *source.headers}
    columns = {
        name: parse_type(kind)
        for name, kind in source.schema.items()
        if name not in elsewhere and (columns_read is None or name in columns_read)
    }
    found = misfits(schema, columns, frozenset(source.optional))
    return Against(
        [
            (("source", "schema", name) if name else ("source", "topic"),
             f"the newest schema of {subject}: {words}")
            for name, words in found
        ],
        [],
    )  # fmt: skip
