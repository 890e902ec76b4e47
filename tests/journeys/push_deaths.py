"""Pushes and drains by one process after another, each killed outright at a step of its own.

A process of the same server forks them. A push is repeated by its key until one is answered; what a
dead drain left is the next one's. Not for what has to be true afterwards: ``test_pushing``.
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
import sys
import traceback
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow.parquet as pq
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections

from lib.connections import get_redis
from materialization.runner import draining
from materialization.stores import offline
from materialization.stores.push_log import RedisPushLog
from registry.models import FeatureTable
from serving.ingest.door import PushesFirst

if TYPE_CHECKING:
    from collections.abc import Callable

DRIVERS = range(1000, 1004)


class Step(NamedTuple):
    """A function of the code at whose call, or return, a process dies."""

    owner: Any
    name: str
    is_done: bool


#: Nothing is sent to Redis; it is, and is done; it is known to be, and nobody is told.
OF_PUSHES = [
    Step(RedisPushLog, "_sent", is_done=False),
    Step(RedisPushLog, "_sent", is_done=True),
    Step(RedisPushLog, "push", is_done=True),
]
#: The log is claimed, entries are taken, staged, in the table's folder, committed, noted, trimmed.
OF_DRAINS = [
    Step(draining, "_remove_left_behind", is_done=False),
    Step(RedisPushLog, "still_draining", is_done=True),
    Step(pq, "write_table", is_done=True),
    Step(offline, "_append", is_done=False),
    Step(offline, "_append", is_done=True),
    Step(draining, "note_commit", is_done=True),
    Step(draining, "_drain", is_done=True),
]


def main(token: str, *, seed: int) -> None:
    """Go through all steps in a random order; print what was pushed, as the answers say it."""
    chance = random.Random(seed)
    uid = FeatureTable.objects.get(feature_view__name="last_trip").uid
    connections.close_all()  # a fork opens its own
    steps = chance.sample(OF_DRAINS, len(OF_DRAINS))
    of_pushes = chance.sample([None, *OF_PUSHES], 4) * len(steps)
    known: list[dict[str, Any]] = []
    for step in steps:
        died = False
        while not died:
            # The server's own workers wait, as for one that has just died.
            get_redis().set(claim(uid), b"dead", ex=600)
            for _ in range(chance.randint(1, 2)):
                rows = rows_of(chance, len(known))
                known += pushed(token, rows, of_pushes.pop(), key=f"{len(known)}")
            died, _ = forked(step, lambda: drained(uid))
    print(json.dumps(known))


def rows_of(chance: random.Random, number: int) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    return [
        {
            "driver_id": chance.choice(DRIVERS),
            "at": (now - timedelta(seconds=chance.choice([1, 1, 60, 3600]))).isoformat(),
            "fare": float(number + place),
            "city": "Bern",
        }
        for place in range(chance.randint(1, 5))
    ]


def pushed(
    token: str, rows: list[dict[str, Any]], deadly: Step | None, *, key: str
) -> list[dict[str, Any]]:
    """Push rows, by a process that dies at a step and then by one that lives."""
    df = {name: [row[name] for row in rows] for name in rows[0]}
    body = json.dumps({"push_source_name": "trips", "df": df}).encode()
    died, _ = forked(deadly, lambda: call(token, key, body))
    assert died is (deadly is not None)
    _, answer = forked(None, lambda: call(token, key, body))
    said = json.loads(answer)
    assert said["taken"] == len(rows), said
    return [row | {"known": said["received_at"]} for row in rows]


def call(token: str, key: str, body: bytes) -> bytes:
    """Send rows through the door that the web process has."""
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/api/v1/projects/rides/push",
        "HTTP_HOST": "localhost",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        "HTTP_IDEMPOTENCY_KEY": key,
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
    }
    return b"".join(PushesFirst(WSGIHandler())(environ, lambda *_: lambda _: None))


def drained(uid: str) -> bytes:
    """Bring the log on; whoever died over it before has been waited for."""
    get_redis().delete(claim(uid))
    draining.drain_logs()
    return b""


def claim(uid: str) -> str:
    return f"a:draining:{uid}"


def forked(deadly: Step | None, act: Callable[[], bytes]) -> tuple[bool, bytes]:
    """Do something in a process of its own; return whether it was killed, and what it gave."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            if deadly is not None:
                _arm(deadly)
            os.write(theirs, act())
            code = 0
        except BaseException:  # noqa: BLE001 - it is the fork's last word
            traceback.print_exc()
        os._exit(code)
    os.close(theirs)
    with open(ours, "rb") as said:  # noqa: PTH123 - it is a pipe
        answer = said.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL), code
    return code != 0, answer


def _arm(step: Step) -> None:
    real = getattr(step.owner, step.name)

    def deadly(*args: Any, **options: Any) -> Any:
        if step.is_done:
            real(*args, **options)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("it is dead")

    is_plain = isinstance(vars(step.owner).get(step.name), staticmethod)
    setattr(step.owner, step.name, staticmethod(deadly) if is_plain else deadly)
