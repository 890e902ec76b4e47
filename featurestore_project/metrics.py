"""``/metrics``: what all processes counted, and how things stand now, as Prometheus text.

Closed unless one knows ``METRICS_TOKEN`` or is logged in as a superuser: names of projects, views
and services are in it. Not for what is counted: each app says that in its ``metrics``.
"""

from __future__ import annotations

import logging
import os
import resource
import time
from hmac import compare_digest
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import Error as DatabaseFailed
from django.http import HttpResponse
from kombu.exceptions import OperationalError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import GaugeMetricFamily
from redis.exceptions import RedisError

from featurestore_project.celery import app
from featurestore_project.problem import respond
from lib.clock import database_now
from lib.errors import AssayError, Forbidden, Unauthenticated
from lib.metrics import counted
from lib.pools import Pool, answered_in
from materialization.edges.stores import usage_stream
from materialization.stalls import QUEUES
from materialization.standing import MEANS, figures
from registry.authentication import bearer_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest

log = logging.getLogger(__name__)
STARTED = time.time()
#: Seconds for which the broker is waited for.
BROKER_SECONDS = 2


class MetricsClosed(Forbidden):
    code = "metrics_closed"


class MetricsTokenWrong(Unauthenticated):
    code = "metrics_token_wrong"


@answered_in(Pool.WATCH)
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer a monitor that may know; nobody else learns what there is."""
    try:
        require_monitor(request)
    except AssayError as exc:
        return respond(exc)
    registry = counted()
    registry.register(Now())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def require_monitor(request: HttpRequest) -> None:
    """:raises MetricsTokenWrong, MetricsClosed: the request comes from no monitor of ours."""
    sent = bearer_token(request.META.get("HTTP_AUTHORIZATION", ""))
    if sent is None and request.user.is_active and request.user.is_superuser:
        return
    if not settings.METRICS_TOKEN:
        raise MetricsClosed("set METRICS_TOKEN and send it, or log in to the admin as a superuser.")
    if not compare_digest((sent or "").encode(), settings.METRICS_TOKEN.encode()):
        raise MetricsTokenWrong("send METRICS_TOKEN as `Authorization: Bearer …`.")


class Now:
    """Collects how things stand when it is asked; a part that does not answer has no figures."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from _process()
        yield from _queues()
        yield from _usage()
        families: dict[str, GaugeMetricFamily] = {}
        try:
            for name, labels, value in figures(at=database_now()):
                if name not in families:
                    families[name] = GaugeMetricFamily(name, MEANS[name], labels=list(labels))
                families[name].add_metric(list(labels.values()), value)
        except (DatabaseFailed, AssayError) as exc:
            log.warning("/metrics lacks figures: %s", type(exc).__name__)
        yield from families.values()


def _process() -> Iterator[GaugeMetricFamily]:
    """Yield what the process that answers is doing; of several each answers for itself."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    said = {
        "assay_process_start_time_seconds": STARTED,
        "assay_process_cpu_seconds": usage.ru_utime + usage.ru_stime,
        "assay_process_memory_bytes": usage.ru_maxrss * 1024,
    }
    for name, value in said.items():
        family = GaugeMetricFamily(name, "Of the process that answered.", labels=["pid"])
        family.add_metric([str(os.getpid())], value)
        yield family


def _usage() -> Iterator[GaugeMetricFamily]:
    """Yield how the noting of reads stands; nothing when Redis does not answer."""
    try:
        stream = usage_stream()
        said = {
            "assay_usage_waiting": (stream.waiting(), "Batches of noted reads, not stored yet."),
            "assay_usage_dropped": (stream.dropped(), "Reads whose notes had no room."),
        }
    except AssayError as exc:
        log.warning("/metrics lacks usage: %s", type(exc).__name__)
        return
    for name, (value, means) in said.items():
        family = GaugeMetricFamily(name, means)
        family.add_metric([], value)
        yield family


def _queues() -> Iterator[GaugeMetricFamily]:
    """Yield how many messages wait in each queue; none when the broker does not answer."""
    family = GaugeMetricFamily("assay_queue_length", "Messages that wait.", labels=["queue"])
    try:
        options = {"socket_timeout": BROKER_SECONDS, "socket_connect_timeout": BROKER_SECONDS}
        with app.connection_for_read(transport_options=options) as connection:
            client = connection.default_channel.client
            for queue in QUEUES:
                family.add_metric([queue], client.llen(queue))
    except (RedisError, OSError, OperationalError) as exc:
        log.warning("/metrics lacks the queues: %s", type(exc).__name__)
    yield family
