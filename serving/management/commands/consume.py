"""``manage.py consume``: read the streams that views are over, until it is told to end."""

from __future__ import annotations

import signal
from threading import Event
from typing import Any

from django.core.management.base import BaseCommand

from serving.edges import stream_limits
from serving.streams.consumer import Consumer


class Command(BaseCommand):
    help = (
        "Read the streams (of Kafka and Redis) that approved views are over: rows are online at"
        " once. Start as many as there is work for; partitions are shared by those that live."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        stopped = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        consumer = Consumer(limits=stream_limits())
        self.stdout.write(f"consumer {consumer.name} reads")
        self.stdout.flush()
        consumer.run(stopped)
