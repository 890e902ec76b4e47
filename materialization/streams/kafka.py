"""Reading topics of Kafka by librdkafka: assigned partitions, from places that we say.

Kafka's groups are not used: places are kept with the rows, and who reads what is our own table's.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from lib.errors import did_you_mean
from materialization.streams.reader import (
    Bounds,
    Fault,
    Record,
    StreamGone,
    StreamUnavailable,
    Waiting,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from confluent_kafka import Message

    from materialization.finding.links import Link
    from registry.spec.connections import KafkaConnection

log = logging.getLogger(__name__)
#: How long a broker may take to answer a question.
ANSWER_SECONDS = 3.0
#: What is fetched ahead of what is taken, of each topic and table.
QUEUED_KB = 16 * 1024
#: What is not mended by waiting: what was to be read is gone, or was never there.
_FINAL = {
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError._LOG_TRUNCATION,
}
_OF_THE_TOPIC = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC,
                 KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_ID}  # fmt: skip

#: What a question says that had no answer.
_SILENT = {KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN}
#: What brokers and we do not agree about, which such a question does not say; the first counts.
_REFUSED = {
    KafkaError._SSL: (
        "their certificate is not one that the connection trusts, or has another name, or they"
        " speak no TLS; whoever runs the server corrects `brokers`, or names in `ca_file` who"
        " signed it"
    ),
    KafkaError._AUTHENTICATION: (
        "they do not let its user in; whoever runs the server corrects `user`, `mechanism` or the"
        " secret"
    ),
    KafkaError._RESOLVE: "no machine has the name; whoever runs the server corrects `brokers`",
    KafkaError._TRANSPORT: (
        "none answers at its address, or not as it is spoken to; see whether `brokers` are right,"
        " and whether they speak TLS and ask who one is, as the connection says"
    ),
}


class KafkaReader:
    """Reads one topic by one connection."""

    def __init__(self, topic: str, link: Link) -> None:
        self._topic, self._name = topic, link.name
        self._link = link
        #: What clients said of their lines to brokers, of late.
        self._said: deque[KafkaError] = deque(maxlen=20)
        self._is_assigned = False
        self._consumer = self._connect()

    def _connect(self) -> Consumer:
        try:
            settings = settings_of(self._link) | {"error_cb": self._said.append}
            return Consumer(settings, logger=log)  # the secret as it is by now
        except KafkaException as exc:
            raise self._away(exc) from exc

    def list_topics(self) -> dict[str, Any]:
        """Return all topics: a broker may make the one that is asked for by name."""
        try:
            found: dict[str, Any] = self._consumer.list_topics(timeout=ANSWER_SECONDS).topics
        except KafkaException as exc:
            if not self._is_assigned:  # nothing but what clients say can come of it
                self._consumer.poll(0)
            raise self._away(exc) from exc
        return found

    def identity(self) -> str:
        """Return the cluster's id and the topic's, which another topic of its name has not."""
        settings = access_of(self._link) | {"error_cb": self._said.append}
        client = AdminClient(settings, logger=log)
        asked = TopicCollection([self._topic])
        try:
            cluster = client.cluster_id(timeout=ANSWER_SECONDS)
            described = client.describe_topics(asked, request_timeout=ANSWER_SECONDS)
            topic = described[self._topic].result(2 * ANSWER_SECONDS)
        except KafkaException as exc:
            if exc.args[0].code() in _OF_THE_TOPIC:
                raise self._no_topic(self.list_topics()) from exc
            client.poll(0)
            raise self._away(exc) from exc
        return f"{cluster}/{topic.topic_id}"[:200]

    def partitions(self) -> list[int]:
        found = self.list_topics()
        topic = found.get(self._topic)
        if topic is None or topic.error is not None:
            raise self._no_topic(found)
        return sorted(topic.partitions)

    def bounds(self, partition: int) -> Bounds:
        place = TopicPartition(self._topic, partition)
        try:
            begin, end = self._consumer.get_watermark_offsets(place, timeout=ANSWER_SECONDS)
        except KafkaException as exc:
            if exc.args[0].code() in _OF_THE_TOPIC:
                raise StreamUnavailable(self._no_partition(partition)) from exc
            raise self._away(exc) from exc
        return Bounds(begin, end)

    def newest(self, partition: int) -> int | None:
        place = TopicPartition(self._topic, partition)
        known = self._consumer.get_watermark_offsets(place, cached=True)
        return int(known[1]) if known and known[1] >= 0 else None

    def waiting(self, partition: int, place: int) -> Waiting | None:
        newest = self.newest(partition)
        return None if newest is None else Waiting(max(0, newest - place))

    def assign(self, places: Mapping[int, int]) -> None:
        # Another consumer: nothing that the earlier has fetched can come in between.
        self._consumer.close()
        self._consumer = self._connect()
        wanted = [TopicPartition(self._topic, each, place) for each, place in places.items()]
        self._is_assigned = bool(wanted)
        if wanted:
            self._consumer.assign(wanted)

    def read(self, most: int) -> list[Record | Fault]:
        try:
            found = self._consumer.consume(num_messages=most, timeout=0)
        except KafkaException as exc:
            raise self._away(exc) from exc
        return [each for message in found if (each := self._read(message)) is not None]

    def fetch(self, partition: int, place: int) -> Record | None:
        begin, end = self.bounds(partition)
        if not begin <= place < end:
            return None
        consumer = self._connect()
        try:
            consumer.assign([TopicPartition(self._topic, partition, place)])
            message = consumer.poll(ANSWER_SECONDS)
        except KafkaException as exc:
            raise self._away(exc) from exc
        finally:
            consumer.close()
        found = self._read(message) if message is not None else None
        if message is None or isinstance(found, Fault):
            raise self._away(found.words if isinstance(found, Fault) else "no record came")
        # Of a compacted topic the one behind it comes.
        return found if found is not None and found.place == place else None

    def _read(self, message: Message) -> Record | Fault | None:
        error = message.error()
        if error is not None:
            return self._fault(message, error)
        kind, time_ms = message.timestamp()
        return Record(
            partition=message.partition() or 0,
            place=message.offset() or 0,
            value=message.value(),
            key=message.key(),
            headers=tuple(_headers(message.headers())),
            time_ms=None if kind == TIMESTAMP_NOT_AVAILABLE else time_ms,
        )

    def _fault(self, message: Message, error: KafkaError) -> Fault | None:
        """Return what stands in the way of a partition, or of all (-1); most passes by itself."""
        code, partition = error.code(), message.partition()
        if code == KafkaError._PARTITION_EOF:
            return None
        if partition is None or partition < 0:
            return Fault(-1, f"the brokers say: {error.str()}", is_final=False)
        if code in _FINAL:
            words = "the records that come next are not there any more"
            return Fault(partition, words, is_final=True)
        if code in _OF_THE_TOPIC:
            return Fault(partition, self._no_partition(partition), is_final=False)
        return Fault(partition, f"the brokers say: {error.str()}", is_final=False)

    def _no_topic(self, found: Mapping[str, Any]) -> StreamGone:
        known = [name for name in sorted(found) if not name.startswith("__")]
        return StreamGone(
            f"connection {self._name!r} leads to no topic {self._topic!r}."
            f"{did_you_mean(self._topic, known)} Nothing is read until there is one."
        )

    def _no_partition(self, partition: int) -> str:
        return (
            f"connection {self._name!r} leads to no partition {partition} of a topic"
            f" {self._topic!r}; nothing is read until there is one."
        )

    def _away(self, exc: object) -> StreamUnavailable:
        error = exc.args[0] if isinstance(exc, KafkaException) else exc
        words = error.str() if isinstance(error, KafkaError) else str(error)
        if isinstance(error, KafkaError) and error.code() in _SILENT:
            # Whoever has a reason says it once, and then that nobody answers.
            told = {each.code() for each in self._said} | {error.code()}
            words = next((_REFUSED[code] for code in _REFUSED if code in told), words)
        self._said.clear()
        return StreamUnavailable(
            f"the brokers of connection {self._name!r} do not do what is asked of them: {words}."
            " Nothing is lost; it is tried again."
        )

    def close(self) -> None:
        self._consumer.close()


def ask_brokers(link: Link) -> None:
    """:raises StreamUnavailable: none answers, or not us."""
    reader = KafkaReader("", link)
    try:
        reader.list_topics()
    finally:
        reader.close()


def settings_of(link: Link) -> dict[str, Any]:
    """Return librdkafka's settings for a connection."""
    return access_of(link) | {
        # It has to have one; it joins none, and commits nothing.
        "group.id": "assay",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # Never jumped: who reads on elsewhere has been told to.
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "allow.auto.create.topics": False,
        "queued.max.messages.kbytes": QUEUED_KB,
        "fetch.wait.max.ms": 100,
    }


def access_of(link: Link) -> dict[str, Any]:
    """Return those of them that any client of a connection has."""
    connection: KafkaConnection = link.connection  # type: ignore[assignment]
    protocol = "plaintext" if connection.plaintext else "ssl"
    if connection.user:
        protocol = f"sasl_{protocol}"
    settings: dict[str, Any] = {
        "bootstrap.servers": ",".join(connection.brokers),
        "security.protocol": protocol,
        "client.id": "assay",
    }
    if connection.user:
        settings |= {
            "sasl.mechanism": connection.mechanism,
            "sasl.username": connection.user,
            "sasl.password": link.secret(),
        }
    files = {
        "ssl.ca.location": connection.ca_file,
        "ssl.certificate.location": connection.certificate_file,
        "ssl.key.location": connection.key_file,
    }
    return settings | {name: file for name, file in files.items() if file}


def _headers(found: Any) -> list[tuple[str, bytes | None]]:
    return [(name, value) for name, value in found or ()]
