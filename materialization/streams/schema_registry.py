"""Schemas of Avro from a registry: those that records name by id, and the newest of a topic.

Of an id the schema never changes, so each is asked for once; as many are kept as topics have in
use. Not for what a schema says (``avro``).
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlsplit

import msgspec

from lib.decoding import json_reader
from lib.errors import AssayError
from materialization.finding.http.asking import Asking
from materialization.streams.avro import MAX_SCHEMA_BYTES, AvroSchema, SchemaUnusable
from materialization.streams.reader import StreamUnavailable, StreamUnreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from materialization.finding.links import Link
    from registry.spec.connections import HttpConnection

#: How long the registry may take for an answer, and the most of one that is read: JSON in JSON.
ANSWER_SECONDS, MAX_ANSWER = 3.0, 2 * MAX_SCHEMA_BYTES + (4 << 10)
#: How long one may take for all schemas that a step of reading asks for: others wait meanwhile.
SCHEMA_SECONDS = 6.0
#: How long one that did not answer is not asked again.
REST_SECONDS = 5.0
#: How long the newest schema of a topic stands for what it is.
NEWEST_SECONDS = 60.0
#: Schemas that are kept, and those that one schema may refer to.
MAX_SCHEMAS, MAX_REFERENCES = 50, 20
#: Texts of those that are kept: who runs out of time goes on from there.
_MAX_KEPT = 2 * MAX_REFERENCES
#: How long an id that the registry does not know is not asked for again.
UNKNOWN_SECONDS = 30.0
#: What registries say of a schema, a subject and a version that they have not.
_NOT_THERE = (40401, 40402, 40403)


class _Reference(msgspec.Struct):
    subject: str
    version: int


class _Said(msgspec.Struct, rename="camel"):
    schema: str
    schema_type: str = "AVRO"
    references: list[_Reference] = []


class _Refused(msgspec.Struct):
    error_code: int = 0


_read_said = json_reader(_Said)
_read_refused = json_reader(_Refused)


class Patience:
    """How long one registry is waited for, by all who read by it together.

    One that did not answer is not asked before it has rested, counted from then: each topic, and
    each part of one, would wait for it anew, and everybody else with them. One that refuses takes
    no time, and may refuse one topic only.
    """

    def __init__(self, *, until: float = inf, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._seconds, self._until = inf, until
        self._rests_until, self._words = -inf, ""

    def give(self, seconds: float, *, until: float = inf) -> None:
        """Wait so many seconds from now on for all that is asked, and not after ``until``."""
        self._seconds, self._until = seconds, until

    @contextmanager
    def asking(self, link: Link) -> Iterator[float]:
        """Yield how long the registry may take for an answer.

        :raises StreamUnavailable: there is no time left, or it rests.
        """
        began = self.clock()
        if began < self._rests_until:
            raise StreamUnavailable(self._words)
        if (seconds := min(ANSWER_SECONDS, self._seconds, self._until - began)) <= 0:
            raise _away(link, "the registry took too long")
        try:
            yield seconds
        except StreamUnavailable as exc:
            self._rests_until, self._words = self.clock() + REST_SECONDS, exc.message
            raise
        finally:
            self._seconds -= self.clock() - began


class SchemaRegistry:
    """The registry of a connection, asked by whoever reads one topic.

    Whoever runs out of time goes on from there: what was heard by then is kept.
    """

    def __init__(self, link: Link, patience: Patience | None = None) -> None:
        self._link, self._patience = link, patience or Patience()
        self._clock = self._patience.clock
        self._path = urlsplit(cast("HttpConnection", link.connection).url).path.rstrip("/")
        #: By id: the schema, or why it is none, and until when that is so.
        self._known: OrderedDict[int, tuple[AvroSchema | SchemaUnusable, float]] = OrderedDict()
        #: By subject and version; of those, too, none ever changes.
        self._referred: OrderedDict[tuple[str, int], _Said] = OrderedDict()
        #: By topic: the newest schema as it was heard of last, and until when that stands.
        self._newest: dict[str, tuple[AvroSchema | SchemaUnusable | None, float]] = {}

    @classmethod
    def of(cls, link: Link, patience: Patience | None = None) -> SchemaRegistry:
        """:raises StreamUnreadable: the brokers' connection leads to no registry."""
        if link.schemas is None:
            raise StreamUnreadable(
                f"records are in Avro, and connection {link.name!r} leads to no registry of their"
                " schemas; whoever runs the server adds a `schema_registry` to it."
            )
        return cls(link.schemas, patience)

    def schema(self, number: int) -> AvroSchema:
        """Return the schema of an id.

        :raises SchemaUnusable: there is none, or it is none that records are read by.
        :raises StreamUnavailable: the registry does not say.
        """
        if not self.knows(number):
            self._known[number] = self._ask(number)
            while len(self._known) > MAX_SCHEMAS:
                self._known.popitem(last=False)
        self._known.move_to_end(number)
        found, _ = self._known[number]
        if isinstance(found, SchemaUnusable):
            raise found
        return found

    def knows(self, number: int) -> bool:
        """Return whether nobody has to be asked for an id; it is the last that is forgotten."""
        if number not in self._known:
            return False
        self._known.move_to_end(number)
        return self._known[number][1] > self._clock()

    def newest(self, topic: str) -> AvroSchema | None:
        """Return the newest schema of a topic's values; None: it has none.

        :raises SchemaUnusable, StreamUnavailable: as ``schema``.
        """
        said = self._said(f"/subjects/{quote(f'{topic}-value', safe='')}/versions/latest")
        return None if said is None else self._made(said)

    def newest_of_late(self, topic: str) -> AvroSchema | None:
        """Return what ``newest`` does, as it was heard within ``NEWEST_SECONDS``."""
        if not self.knows_newest(topic):
            try:
                newest: AvroSchema | SchemaUnusable | None = self.newest(topic)
            except SchemaUnusable as exc:
                newest = exc
            self._newest[topic] = (newest, self._clock() + NEWEST_SECONDS)
        found, _ = self._newest[topic]
        if isinstance(found, SchemaUnusable):
            raise found
        return found

    def knows_newest(self, topic: str) -> bool:
        return self._newest.get(topic, (None, -inf))[1] > self._clock()

    def try_out(self) -> None:
        """:raises StreamUnavailable: it does not answer, or not us."""
        self._get("/subjects")

    def _ask(self, number: int) -> tuple[AvroSchema | SchemaUnusable, float]:
        try:
            said = self._said(f"/schemas/ids/{number}")
            if said is None:
                return SchemaUnusable("is not in the registry"), self._clock() + UNKNOWN_SECONDS
            return self._made(said), inf
        except SchemaUnusable as exc:
            return exc, inf

    def _made(self, said: _Said) -> AvroSchema:
        if said.schema_type != "AVRO":
            raise SchemaUnusable(f"is of type {said.schema_type[:100]!r}, and no schema of Avro")
        beside: dict[tuple[str, int], str] = {}
        self._collect(said, beside, 0)
        return AvroSchema(said.schema, list(beside.values()))

    def _collect(self, said: _Said, into: dict[tuple[str, int], str], depth: int) -> None:
        """Collect what a schema refers to, each behind what it refers to itself."""
        for each in said.references:
            if depth > MAX_REFERENCES or len(into) >= MAX_REFERENCES:
                raise SchemaUnusable(f"refers to more than {MAX_REFERENCES} others")
            if (key := (each.subject, each.version)) in into:
                continue
            found = self._refers_to(key)
            self._collect(found, into, depth + 1)
            into[key] = found.schema

    def _refers_to(self, key: tuple[str, int]) -> _Said:
        if (found := self._referred.get(key)) is None:
            path = f"/subjects/{quote(key[0], safe='')}/versions/{key[1]}"
            if (found := self._said(path)) is None:
                raise SchemaUnusable("refers to one that is not in the registry")
            self._referred[key] = found
            while len(self._referred) > _MAX_KEPT:
                self._referred.popitem(last=False)
        return found

    def _said(self, path: str) -> _Said | None:
        """:raises SchemaUnusable, StreamUnavailable: nothing that can be read is said."""
        status, body = self._get(path)
        if status == 404:
            return None
        if len(body) >= MAX_ANSWER:
            raise SchemaUnusable(f"has more than {MAX_SCHEMA_BYTES:,} characters")
        try:
            return _read_said(body)
        except (msgspec.DecodeError, RecursionError):
            raise _away(self._link, "what it answers is no schema") from None

    def _get(self, path: str) -> tuple[int, bytes]:
        """Return a 200, or a 404 of what the registry says that it has not."""
        with self._patience.asking(self._link) as seconds:
            status, body = self._answer(path, seconds)
        if status == 200 or (status == 404 and _code(body) in _NOT_THERE):
            return status, body
        steps = {
            401: "; whoever runs Assay gives its schema_registry another secret",
            403: "; ask whoever runs the registry for the right to read",
            404: "; whoever runs Assay corrects the url of its schema_registry",
        }
        raise _away(self._link, f"the registry answers {status}{steps.get(status, '')}")

    def _answer(self, path: str, seconds: float) -> tuple[int, bytes]:
        try:
            words = f"connection {self._link.name}"
            asking = Asking(self._link, words, tries=1, patience_s=seconds)
            # One that drips is ended all the same.
            ending = threading.Timer(seconds, asking.stop)
            ending.start()
            try:
                return asking.answer(f"{self._path}{path}", most_bytes=MAX_ANSWER)
            finally:
                ending.cancel()
                asking.close()
        except AssayError as exc:
            raise StreamUnavailable(exc.message) from exc


def _away(link: Link, why: str) -> StreamUnavailable:
    return StreamUnavailable(f"connection {link.name}: {why}. Nothing is lost; it is tried again.")


def _code(body: bytes) -> Any:
    try:
        return _read_refused(body).error_code
    except (msgspec.DecodeError, RecursionError):
        return 0
