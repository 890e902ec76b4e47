"""What a load balancer and a monitor ask: alive, ready. What is counted: ``metrics``.

Not for people: the admin shows runs and their errors.
"""

from __future__ import annotations

import os
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import Error as DatabaseFailed
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse

from featurestore_project import startup
from featurestore_project.deep_checks import DEEP_CHECKS, OK
from featurestore_project.problem import RETRY_AFTER_SECONDS
from lib.clock import database_now, measure_skew
from lib.connections import RedisUnavailable
from lib.pools import Pool, answered_in
from materialization.clocks import skew_in_words
from materialization.edges.stores import offline_store
from materialization.queries import recorded_tables, table_at
from materialization.requests.turns import last_turn
from materialization.stores.offline_protocol import OfflineStoreUnavailable
from materialization.stores.online import KEEPING_POLICIES

if TYPE_CHECKING:
    from collections.abc import Callable

#: Below this, the next file that is written may be cut short.
LEAST_FREE_BYTES = 256 * 1024 * 1024
#: Each is some milliseconds; what is wrong with a whole store shows in any table.
TABLES_LOOKED_AT = 5


def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 as long as the process answers at all; asks no other part."""
    return JsonResponse({"status": "ok"})


@answered_in(Pool.WATCH)
def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200 when every part answers, else 503; ``checks`` says what each one said.

    What does not keep this process from answering is ``ok, but …``: taking it away from its readers
    would not help them. With ``?deep=1`` there are checks of the other processes too, and the
    status is ``degraded`` where any check has something to say.
    """
    deep = request.GET.get("deep") == "1"
    checks = {name: check() for name, check in (CHECKS | (DEEP_CHECKS if deep else {})).items()}
    ready = all(word.startswith(OK) for word in checks.values())
    fine = ready and (not deep or set(checks.values()) == {OK})
    status = OK if fine else "degraded" if ready else "unavailable"
    words = {"status": status, "checks": checks}
    if ready:
        return JsonResponse(words)
    again = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return JsonResponse(words, status=503, headers=again)


def check_database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseFailed as error:
        return f"does not answer: {type(error).__name__}"
    return OK


def check_migrations() -> str:
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseFailed as error:
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


def check_disk() -> str:
    """Say where there is no room left: runs wait for it, reads go on."""
    folders = {str(settings.OFFLINE_STORE), str(settings.STATE_DIR), tempfile.gettempdir()}
    problems = [problem for folder in sorted(folders) if (problem := disk_problem(Path(folder)))]
    return f"{OK}, but {'; '.join(problems)}" if problems else OK


def disk_problem(folder: Path) -> str:
    """Return why nothing can be written in a folder, or where it would be made; empty: it can."""
    there = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    try:
        disk = os.statvfs(there)
    except OSError as error:
        return f"{folder}: {error.strerror}"
    if disk.f_flag & os.ST_RDONLY:
        return f"{folder} is on a read-only file system"
    free = disk.f_bavail * disk.f_frsize
    return f"{folder} has {free >> 20} MB left" if free < LEAST_FREE_BYTES else ""


def check_sweep() -> str:
    """Say when the sweep is late: nothing due is started then, and nothing that died taken up."""
    try:
        last, now = last_turn(), database_now()
    except DatabaseFailed as error:
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
    except DatabaseFailed as error:
        return f"unknown: {type(error).__name__}"
    return f"{OK}, but {words}" if words else OK


def check_offline_store() -> str:
    """Say when it has less than the database has recorded, by the tables that were loaded last."""
    try:
        for table in recorded_tables()[:TABLES_LOOKED_AT]:
            offline_store().snapshot(table_at(table))
    except DatabaseFailed as error:
        return f"unknown: {type(error).__name__}"
    except OfflineStoreUnavailable as error:
        return error.message
    return OK


CHECKS: dict[str, Callable[[], str]] = {
    "database": check_database,
    "migrations": check_migrations,
    "offline_store": check_offline_store,
    "redis": check_redis,
    "sweep": check_sweep,
    "clocks": check_clocks,
    "disk": check_disk,
}
