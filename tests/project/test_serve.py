"""``manage.py serve`` as a person runs it: ready, one at a time, and nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psutil
import pytest
from celery import Celery

from featurestore_project import embedded
from tests import servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[Callable[[], servers.Server]]:
    """Give the one server of these tests, or another one after a test that ended it."""
    started: list[servers.Server] = []
    with ExitStack() as stack:

        def get() -> servers.Server:
            if not started or started[-1].child.process.poll() is not None:
                state = tmp_path_factory.mktemp("serve") / "state"
                started.append(stack.enter_context(servers.assay_server(state)))
            return started[-1]

        yield get


@pytest.fixture
def server(running) -> servers.Server:
    """A server that is ready; what a test does to it the next ones can put up with."""
    found: servers.Server = running()
    servers.await_ready(found.child, f"{found.url}/readyz")
    return found


def said_since(server: servers.Server, before: int) -> str:
    """Return what the server said beyond the length ``before`` of its log."""
    return server.child.log.read_text()[before:]


def length_said(server: servers.Server) -> int:
    return len(server.child.log.read_text())


def family(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def still_running(processes: list[psutil.Process], *, seconds: float = 60) -> list[psutil.Process]:
    """Return those that have not ended within the time."""
    return psutil.wait_procs(processes, timeout=seconds)[1]


def swept_within(server: servers.Server, seconds: float) -> bool:
    """Tell whether a sweep is said to have run a moment ago, now or soon."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{server.url}/readyz", timeout=10) as answer:
            if json.load(answer)["checks"]["sweep"] == "ok":
                return True
        time.sleep(0.2)
    return False


def test_every_process_says_that_it_lives(server):
    assert swept_within(server, 120)
    deadline, said = time.monotonic() + 120, {}
    while said.get("status") != "ok" and time.monotonic() < deadline:
        with urllib.request.urlopen(f"{server.url}/readyz?deep=1", timeout=10) as answer:
            said = json.load(answer)
        time.sleep(0.2)

    assert set(said["checks"].values()) == {"ok"}, said


def test_a_queue_that_the_workers_do_not_take_from_is_said(server):
    with Celery(broker=embedded.broker_url(embedded.redis_url(server.state_dir))) as workers:
        told = {"reply": True, "timeout": 20, "limit": 1}
        workers.control.cancel_consumer("alerts", pattern="reload@*", matcher="glob", **told)
        left = "no pushed row or note of a read is stored, no message or mail sent"
        deadline, said = time.monotonic() + 30, "ok"
        while said == "ok" and time.monotonic() < deadline:
            with urllib.request.urlopen(f"{server.url}/readyz?deep=1", timeout=10) as answer:
                said = json.load(answer)["checks"]["queues"]
            time.sleep(0.2)
        workers.control.add_consumer("alerts", pattern="reload@*", matcher="glob", **told)

    assert said == f"ok, but no process takes from the queue alerts: {left}"


def part(server: servers.Server, word: str) -> psutil.Process:
    """Return the running process of one part, the one that ``serve`` itself started."""
    parts = psutil.Process(server.child.process.pid).children()
    return next(each for each in parts if word in words_of(each))


def words_of(process: psutil.Process) -> str:
    """Return the command line of a process; of one that has just ended none."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def restarted(server: servers.Server, word: str, dead: psutil.Process) -> psutil.Process:
    """Return the process that took the place of one that died; wait until there is one."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with contextlib.suppress(StopIteration, psutil.Error):
            found = part(server, word)
            if found != dead and found.is_running():
                return found
        time.sleep(0.1)
    raise AssertionError(f"no other {word}:\n{server.child.tail(lines=40)}")


def test_workers_that_do_not_get_on_hold_up_no_sweep(server):
    before, worker = length_said(server), part(server, "worker@")
    stopped = [worker, *worker.children(recursive=True)]
    for each in stopped:
        each.suspend()

    assert swept_within(server, 120)
    assert "ended by itself" not in said_since(server, before)
    for each in stopped:
        each.resume()


def test_a_process_that_answers_is_replaced_when_it_dies(server):
    before = length_said(server)
    for word in ("--as-desk", "--desk"):
        web = part(server, word)
        web.children()[0].kill()
        servers.await_ready(server.child, f"{server.url}/readyz")
        assert web.is_running()
    assert "ended by itself" not in said_since(server, before)


def test_the_web_server_does_not_answer_on_without_its_main_process(server):
    main = part(server, "featurestore_project.web")
    started = main.children()
    assert started
    server.child.process.send_signal(signal.SIGSTOP)  # it would end them all
    main.kill()

    assert not still_running(started)
    server.child.process.send_signal(signal.SIGCONT)


def test_each_part_that_dies_is_started_again_and_said(server):
    for word in ("beat", "consume", "worker@", "reload@", "sweep@", "--as-desk", "--desk"):
        dead = part(server, word)
        dead.kill()
        restarted(server, word, dead)
    servers.await_ready(server.child, f"{server.url}/readyz")

    said = server.child.tail(lines=40)
    for name in ("beat", "streams", "worker", "reload", "sweep", "desk", "web"):
        assert f"{name} ended by itself (killed by SIGKILL); it is started again" in said


def test_redis_that_dies_comes_back_with_what_it_had_saved(server):
    redis = next(p for p in family(server.child.process.pid) if p.name() == "redis-server")
    redis.kill()

    assert not still_running([redis])
    servers.await_ready(server.child, f"{server.url}/readyz")


def slots_of(worker: psutil.Process) -> list[psutil.Process]:
    """Return the processes in which a worker performs its tasks; wait until it has started them."""
    deadline = time.monotonic() + 120
    while not (found := worker.children()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found
    return list(found)


#: Puts a task for a run that does not exist into the workers' queue.
SEND = """
from featurestore_project.celery import app
app.send_task("materialization.run", kwargs={"run_id": 987654}, queue="runs")
"""


def test_a_broker_that_restarts_under_a_task_ends_nothing(server):
    worker = part(server, "worker@")
    for each in slots_of(worker):
        each.suspend()  # so that the task is taken and not acknowledged
    subprocess.run([sys.executable, "-c", SEND], env=server.env, cwd=servers.ROOT, check=True)
    log = server.state_dir / "logs" / "worker.log"
    deadline = time.monotonic() + 120
    while "materialization.run[" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    redis = next(p for p in family(server.child.process.pid) if p.name() == "redis-server")
    redis.kill()

    assert not still_running([redis])
    servers.await_ready(server.child, f"{server.url}/readyz")
    time.sleep(3)  # the worker meets the new connection
    for each in worker.children() if worker.is_running() else []:
        each.resume()
    assert server.child.process.poll() is None
    assert swept_within(server, 120)
    assert restarted(server, "worker@", psutil.Process()).is_running()


def kill_redis(server: servers.Server) -> None:
    redis = restarted(server, "redis-server", psutil.Process())
    redis.kill()
    assert not still_running([redis])


def test_a_broker_that_restarts_again_and_again_ends_nothing(server):
    """More often in a row than any part may die before the server is ready."""
    for _ in range(5):
        kill_redis(server)
        time.sleep(1)

    servers.await_ready(server.child, f"{server.url}/readyz")
    assert swept_within(server, 120)
    for word in ("worker@", "reload@", "sweep@", "beat"):
        assert restarted(server, word, psutil.Process()).is_running()


def test_a_second_one_on_the_same_state_is_refused(server):
    outcome = serve(server.env, "--port", str(servers.free_port()))

    assert outcome.returncode == 1
    assert f"a server (process {server.child.process.pid}) already runs on" in outcome.stderr


def test_it_starts_every_part_and_ends_them_all(server):
    parts = family(server.child.process.pid)
    names = " ".join(map(words_of, parts))
    assert all(
        word in names for word in ("redis-server", "worker", "beat", "featurestore_project.web")
    )
    with urllib.request.urlopen(f"{server.url}/admin/login/") as page:
        assert page.status == 200
    server.child.process.send_signal(signal.SIGINT)
    assert server.child.process.wait(60) == 0

    assert not still_running(parts)


def test_nothing_outlives_it_when_it_is_killed_outright(server):
    parts = family(server.child.process.pid)
    server.child.process.kill()

    assert not still_running(parts)


def test_a_broker_of_its_own_may_be_away_for_long(tmp_path):
    broker = tmp_path / "broker"
    with ExitStack() as stack:
        url = stack.enter_context(servers.redis_server(broker))
        env = {"BROKER_URL": embedded.broker_url(url)}
        with servers.assay_server(tmp_path / "state", **env) as server:
            assert swept_within(server, 120)
            stack.pop_all().close()
            time.sleep(8)
            assert server.child.process.poll() is None, server.child.tail(lines=60)
            servers.await_ready(server.child, f"{server.url}/readyz")

            with servers.redis_server(broker):
                assert swept_within(server, 120)


def test_a_part_that_refuses_to_start_ends_the_rest_and_shows_why(tmp_path):
    # A Redis that evicts, named in REDIS_URL: the web part refuses it.
    with servers.evicting_redis(tmp_path / "redis") as url:
        env = servers.server_env(tmp_path / "state", REDIS_URL=url, BROKER_URL=url)
        outcome = serve(env, "--port", str(servers.free_port()))

    assert outcome.returncode == 1
    assert "refuses to start" in outcome.stderr
    assert "maxmemory-policy is allkeys-lru" in outcome.stderr


#: How far it is when it is asked to end: by its start, by what it has made, by what it says.
STAGES: dict[str, Callable[[Path, float], bool]] = {
    "at once": lambda state, seconds: True,
    "a moment later": lambda state, seconds: seconds > 0.05,
    "as it takes its folder": lambda state, seconds: state.exists(),
    "with Redis": lambda state, seconds: (state / "redis" / "redis.sock").exists(),
    "in the migrations": lambda state, seconds: (state / "db.sqlite3").exists(),
    "at its first part": lambda state, seconds: (state / "logs" / "worker.log").exists(),
    "at its last part": lambda state, seconds: (state / "logs" / "web.log").exists(),
}


@pytest.mark.parametrize("stage", STAGES)
def test_being_asked_to_end_while_it_starts_is_never_lost(tmp_path, stage):
    command = [sys.executable, str(servers.ROOT / "manage.py"), "serve"]
    command += ["--port", str(servers.free_port())]
    env, began = servers.server_env(tmp_path / "state"), time.monotonic()
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, cwd=os.sep) as process:
        while not STAGES[stage](tmp_path / "state", time.monotonic() - began):
            assert time.monotonic() - began < 120, "it did not get there"
            time.sleep(0.01)
        started = family(process.pid)
        process.send_signal(signal.SIGTERM)

        # Before it has handlers the signal ends it outright; nothing has been started by then.
        assert process.wait(60) in {0, -signal.SIGTERM}
        assert not still_running(started)


def test_a_busy_port_is_said_before_anything_starts(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        outcome = serve(servers.server_env(tmp_path / "state"), "--port", str(port))

    assert outcome.returncode == 1
    assert f"port {port} on 127.0.0.1 cannot be used: Address already in use" in outcome.stderr
    assert not (tmp_path / "state" / "redis").exists()


def test_a_folder_of_sources_that_is_not_there_is_said(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as busy:  # which ends it soon
        env = servers.server_env(tmp_path / "state", FILE_ROOTS=f"{tmp_path}:/data,{tmp_path}")
        outcome = serve(env, "--port", str(busy.getsockname()[1]))

    assert outcome.stdout.splitlines() == [
        f"assay: FILE_ROOTS has {tmp_path}:/data, where no folder is; it takes commas"
    ]


def serve(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(servers.ROOT / "manage.py"), "serve", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=240, cwd=os.sep)
