"""Processes that serve or load values do not start on a Redis that drops them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import redis

from featurestore_project import processes
from tests import servers

CELERY = [sys.executable, "-m", "celery", "--app", "featurestore_project", "worker"]
COMMANDS = {
    "worker": [*CELERY, "--queues", "runs", "--concurrency", "1"],
    "sweep": [*CELERY, "--queues", "sweep", "--pool", "solo"],
    "web": [sys.executable, "-m", "featurestore_project.web", "--port"],
}


@pytest.mark.parametrize("part", COMMANDS)
def test_a_part_does_not_start_on_a_redis_that_evicts(part, tmp_path):
    command = COMMANDS[part]
    if part == "web":
        command = [*command, str(servers.free_port())]
    with servers.redis_server(tmp_path / "r") as url:
        redis.Redis.from_url(url).config_set("maxmemory-policy", "allkeys-lru")
        env = servers.server_env(tmp_path / "state", REDIS_URL=url)
        ended = subprocess.run(
            command, env=env, cwd=servers.ROOT, capture_output=True, text=True, timeout=240
        )

    assert ended.returncode == processes.REFUSED
    assert "maxmemory-policy is allkeys-lru" in ended.stdout + ended.stderr
    assert "set noeviction" in ended.stdout + ended.stderr


@pytest.mark.parametrize("command", [["verify_audit"], ["create_project", "shop", "--owner", "a"]])
def test_a_command_before_the_first_migration_says_which_command_is_lacking(command, tmp_path):
    ended = subprocess.run(
        [sys.executable, "manage.py", *command],
        env=servers.server_env(tmp_path / "state"),
        cwd=servers.ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert ended.returncode == 1
    assert "run manage.py migrate first." in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", [["serve"], ["care_for_tables"]])
@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("FILES_KEPT_HOURS", "0", "FILES_KEPT_HOURS=0 is too small. Valid: 1 or more."),
        ("DEBUG", "perhaps", "is not a yes or no."),
        ("SECRET_KEY", "short", "SECRET_KEY is too weak"),
    ],
)
def test_a_setting_that_cannot_be_used_is_said_in_one_line(command, setting, value, said, tmp_path):
    ended = subprocess.run(
        [sys.executable, "manage.py", *command],
        env=servers.server_env(tmp_path / "state", **{setting: value}),
        cwd=servers.ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert ended.returncode != 0
    assert said in ended.stderr + ended.stdout
    assert len(ended.stderr.strip().splitlines()) <= 2
    assert "Traceback" not in ended.stderr
