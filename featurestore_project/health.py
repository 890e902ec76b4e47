"""What a load balancer and a monitor ask: alive, ready, counted.

Not for people: the admin shows runs and their errors.
"""

from __future__ import annotations

import os
import resource
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, JsonResponse

from featurestore_project import startup
from lib.clock import database_now, measure_skew
from lib.connections import RedisUnavailable
from materialization.clocks import skew_in_words
from materialization.models import MaterializationRun
from materialization.requests.turns import last_turn
from materialization.stores.online import KEEPING_POLICIES

if TYPE_CHECKING:
    from collections.abc import Callable

STARTED = time.time()
OK = "ok"


def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 as long as the process answers at all; asks no other part."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200 when every part answers, else 503; ``checks`` says what each one said.

    What does not keep this process from answering is ``ok, but …``: taking it away from its readers
    would not help them.
    """
    checks = {name: check() for name, check in CHECKS.items()}
    ready = all(word.startswith(OK) for word in checks.values())
    return JsonResponse(
        {"status": "ok" if ready else "unavailable", "checks": checks}, status=200 if ready else 503
    )


def check_database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return f"does not answer: {type(error).__name__}"
    return OK


def check_migrations() -> str:
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        return f"unknown: {type(error).__name__}"
    return f"{len(missing)} not applied: run manage.py migrate" if missing else OK


def check_redis() -> str:
    try:
        policy = startup.eviction_policy()
        refused = startup.refuses_values()
    except RedisUnavailable as error:
        return error.message
    if policy not in KEEPING_POLICIES:
        return startup.advice(policy)
    return f"{OK}, but {refused}" if refused else OK


def check_sweep() -> str:
    """Say when the sweep is late: nothing due is started then, and nothing that died taken up."""
    try:
        last, now = last_turn(), database_now()
    except DatabaseError as error:
        return f"unknown: {type(error).__name__}"
    late = timedelta(seconds=max(6 * settings.SWEEP_EVERY_SECONDS, 60))
    if last is not None and last > now - late:
        return OK
    ago = "never ran" if last is None else f"last ran {(now - last).total_seconds():.0f} s ago"
    return f"{OK}, but the sweep {ago}: see to the beat and sweep processes"


def check_clocks() -> str:
    """Say when this process's clock, or that of Redis, is not the database's."""
    try:
        words = skew_in_words(measure_skew())
    except DatabaseError as error:
        return f"unknown: {type(error).__name__}"
    return f"{OK}, but {words}" if words else OK


CHECKS: dict[str, Callable[[], str]] = {
    "database": check_database,
    "migrations": check_migrations,
    "redis": check_redis,
    "sweep": check_sweep,
    "clocks": check_clocks,
}


def metrics(request: HttpRequest) -> HttpResponse:
    """Answer Prometheus text: the process, and runs by status."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu_seconds = usage.ru_utime + usage.ru_stime
    rows = MaterializationRun.objects.values("status").annotate(n=Count("pk")).order_by("status")
    lines = [
        "# TYPE assay_process_start_time_seconds gauge",
        f'assay_process_start_time_seconds{{pid="{os.getpid()}"}} {STARTED:.0f}',
        "# TYPE assay_process_cpu_seconds_total counter",
        f'assay_process_cpu_seconds_total{{pid="{os.getpid()}"}} {cpu_seconds:.3f}',
        "# TYPE assay_materialization_runs gauge",
        *(f'assay_materialization_runs{{status="{row["status"]}"}} {row["n"]}' for row in rows),
    ]
    return HttpResponse(
        "\n".join(lines) + "\n", content_type="text/plain; version=0.0.4; charset=utf-8"
    )
