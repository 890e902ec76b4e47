"""How the bytes of values and keys are read: as JSON, or as Avro by a registry's schemas.

Not for which of what they say is a column (``records``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lib.json_bodies import UNREADABLE, RepeatedKey, decode
from materialization.streams.avro import NotOfSchema, SchemaUnusable
from materialization.streams.avro_types import as_json
from materialization.streams.reader import MAX_RECORD_BYTES
from materialization.streams.schema_registry import MAX_SCHEMAS, SchemaRegistry
from registry.spec.sources.streams import KafkaSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.finding.links import Link
    from materialization.streams.reader import Record
    from materialization.streams.schema_registry import Patience
    from registry.spec.sources.streams import StreamSource
    from registry.spec.value_types import ValueType


#: What stands for a field that a record has not.
MISSING = object()


class Unreadable(ValueError):
    """A record is not what the source says that records are."""


class Form(Protocol):
    """How bytes are written."""

    def said(self, raw: bytes) -> Any:
        """Return what they say.

        :raises Unreadable: they are not so written.
        :raises StreamUnavailable: nobody tells now how they are to be read.
        """

    def default(self, name: str) -> Any:
        """Return what stands for a field that an object of it has not; ``MISSING``: nothing does.

        :raises Unreadable, StreamUnavailable: as ``said``.
        """

    def value(self, found: Any, kind: ValueType) -> Any:
        """Return a value of it as JSON would have it, for a column of a type.

        :raises Unreadable: the type takes none such.
        """


class JsonForm:
    """Text of JSON in UTF-8."""

    def said(self, raw: bytes) -> Any:
        if len(raw) > MAX_RECORD_BYTES:
            raise Unreadable(f"it has {len(raw):,} bytes, and {MAX_RECORD_BYTES:,} are read.")
        try:
            return decode(raw)
        except RepeatedKey as exc:
            raise Unreadable(f"{exc}.") from exc
        except UNREADABLE as exc:
            raise Unreadable("it is no JSON in UTF-8.") from exc

    def default(self, name: str) -> Any:  # noqa: ARG002 - no schema says any
        return MISSING

    def value(self, found: Any, kind: ValueType) -> Any:  # noqa: ARG002 - nothing is different
        return found


class AvroForm:
    """A zero, the id of a schema in four bytes, and a value by that schema."""

    def __init__(self, registry: SchemaRegistry, topic: str) -> None:
        self._registry, self._topic = registry, topic

    def knows(self, number: int) -> bool:
        return self._registry.knows(number)

    def knows_newest(self) -> bool:
        return self._registry.knows_newest(self._topic)

    def said(self, raw: bytes) -> Any:
        number = _schema_of(raw)
        if number is None:
            raise Unreadable(
                "it does not begin with a zero and four bytes of a schema's id, as records in Avro"
                " do that a schema registry's clients wrote."
            )
        try:
            return self._registry.schema(number).read(raw[5:])
        except SchemaUnusable as exc:
            raise Unreadable(f"its schema {number} {exc}.") from exc
        except NotOfSchema as exc:
            raise Unreadable(f"schema {number}: {exc}") from exc

    def default(self, name: str) -> Any:
        """As resolution has it: the newest schema is the reader's, and a record's its writer's."""
        try:
            newest = self._registry.newest_of_late(self._topic)
            found = newest.default(name) if newest is not None else []
        except SchemaUnusable as exc:
            raise Unreadable(
                f"its schema has no such field, and the newest of the topic, which says what is"
                f" read instead, {exc}."
            ) from exc
        return found[0] if found else MISSING

    def value(self, found: Any, kind: ValueType) -> Any:
        try:
            return as_json(found, kind)
        except NotOfSchema as exc:
            raise Unreadable(str(exc)) from exc


def _schema_of(raw: bytes) -> int | None:
    return int.from_bytes(raw[1:5], "big") if len(raw) >= 5 and raw[0] == 0 else None


_JSON = JsonForm()
#: Schemas that are asked for in one step: each takes its time, and other tables wait meanwhile.
MAX_ASKED = 5
#: Schemas that records of one step name: none of them is forgotten before its record comes.
MAX_NAMED = MAX_SCHEMAS // 2


class Forms(NamedTuple):
    """How values are written, and keys; None: keys are text."""

    value: Form = _JSON
    key: Form | None = None

    def reach(self, records: Sequence[Record]) -> int:
        """Return how many records, from the first on, are read without asking for too much."""
        named: set[int] = set()
        # A field that is lacking asks for the newest.
        asked = int(isinstance(self.value, AvroForm) and not self.value.knows_newest())
        for count, record in enumerate(records):
            for form, raw in ((self.value, record.value), (self.key, record.key)):
                number = _schema_of(raw) if isinstance(form, AvroForm) and raw else None
                if isinstance(form, AvroForm) and number is not None and number not in named:
                    named.add(number)
                    asked += not form.knows(number)
            if asked > MAX_ASKED or len(named) > MAX_NAMED:
                return count
        return len(records)


def forms_of(source: StreamSource, link: Link, patience: Patience | None = None) -> Forms:
    """Return the forms of a source's records; ``patience`` is with the link's registry.

    :raises StreamUnreadable: records are in Avro, and the connection leads to no registry.
    """
    if not isinstance(source, KafkaSource):
        return Forms()
    forms: dict[str, Form] = {"json": _JSON}
    if source.has_avro:
        forms["avro"] = AvroForm(SchemaRegistry.of(link, patience), source.topic)
    # Keys of text have none.
    return Forms(forms[source.format], forms.get(source.key_format))
