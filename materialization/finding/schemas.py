"""What the newest schemas of a topic say against versions over it, before they are sent in.

Not for records, which are read by the schemas that they name: a schema that changes later makes
dead letters of those that lack a column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from materialization.streams.avro import SchemaUnusable
from materialization.streams.avro_types import misfits
from materialization.streams.reader import StreamUnavailable
from materialization.streams.schema_registry import SchemaRegistry
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from collections.abc import Collection

    from materialization.finding.links import Link
    from registry.spec.sources.streams import KafkaSource


class Against(NamedTuple):
    """Problems, each with the key of the source that it is of, and warnings."""

    problems: list[tuple[tuple[str, ...], str]] = []  # noqa: RUF012 - read only
    warnings: list[str] = []  # noqa: RUF012 - read only


def schemas_against(
    source: KafkaSource, link: Link, columns_read: Collection[str] | None
) -> Against:
    """Compare what is read of values in Avro with the newest schema of ``<topic>-value``."""
    if source.format != "avro":
        return Against()
    subject = f"subject {source.topic}-value"
    try:
        schema = SchemaRegistry.of(link).newest(source.topic)
    except StreamUnavailable as exc:
        return Against([], [f"nothing was compared with the topic's schema: {exc.message}"])
    except SchemaUnusable as exc:
        return Against([(("source", "topic"), f"the newest schema of {subject} {exc}.")], [])
    if schema is None:
        return Against([], [f"{subject} has no schema yet: nothing says what records will have."])
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
