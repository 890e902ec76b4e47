"""``manage.py serve`` as a person runs it: ready, one at a time, and nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest

from tests import servers

pytestmark = pytest.mark.journey


def family(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def still_running(processes: list[psutil.Process], *, seconds: float = 15) -> list[psutil.Process]:
    """Return those that have not ended within the time."""
    return psutil.wait_procs(processes, timeout=seconds)[1]


def test_it_starts_every_part_and_ends_them_all(tmp_path):
    with servers.assay_server(tmp_path / "state") as server:
        parts = family(server.child.process.pid)
        names = " ".join(" ".join(part.cmdline()) for part in parts)
        assert all(
            word in names for word in ("redis-server", "worker", "beat", "featurestore_project.web")
        )
        with urllib.request.urlopen(f"{server.url}/admin/login/") as page:
            assert page.status == 200
        server.child.process.send_signal(signal.SIGINT)
        assert server.child.process.wait(30) == 0

    assert not still_running(parts)


def test_nothing_outlives_it_when_it_is_killed_outright(tmp_path):
    with servers.assay_server(tmp_path / "state") as server:
        parts = family(server.child.process.pid)
        server.child.process.kill()

        assert not still_running(parts)


def test_the_web_server_does_not_answer_on_without_its_main_process(tmp_path):
    with servers.assay_server(tmp_path / "state") as server:
        parts = family(server.child.process.pid)
        main = next(part for part in parts if "featurestore_project.web" in part.cmdline())
        started = main.children()
        assert started
        server.child.process.send_signal(signal.SIGSTOP)  # it would end them all
        main.kill()

        assert not still_running(started)
        server.child.process.send_signal(signal.SIGCONT)


def test_a_part_that_dies_ends_the_rest_and_shows_its_log(tmp_path):
    with servers.assay_server(tmp_path / "state") as server:
        parts = family(server.child.process.pid)
        next(part for part in parts if "beat" in part.cmdline()).kill()

        assert server.child.process.wait(30) == 1
        assert "beat ended by itself (exit -9). The end of" in server.child.tail(lines=40)
        assert not still_running(parts)


def test_a_second_one_on_the_same_state_is_refused(tmp_path):
    with servers.assay_server(tmp_path / "state") as server:
        outcome = serve(server.env, "--port", str(servers.free_port()))

        assert outcome.returncode == 1
        assert f"a server (process {server.child.process.pid}) already runs on" in outcome.stderr


def test_a_busy_port_is_said_before_anything_starts(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        begun = time.monotonic()
        outcome = serve(servers.server_env(tmp_path / "state"), "--port", str(port))

    assert outcome.returncode == 1
    assert f"port {port} on 127.0.0.1 cannot be used: Address already in use" in outcome.stderr
    assert time.monotonic() - begun < 20
    assert not (tmp_path / "state" / "redis").exists()


def serve(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(servers.ROOT / "manage.py"), "serve", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, cwd=os.sep)
