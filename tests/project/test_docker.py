"""The image and the compose file, as far as they can be run without an engine.

What the Dockerfile copies is copied to a folder, and the commands of both files run there, with the
compose file's environment, against real servers. Not checked: that the base images build.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from featurestore_project import embedded, processes
from materialization.standing import MEANS
from tests import servers
from tests.environment import SECRET_KEY, without_ours

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCKERFILE = (servers.ROOT / "docker" / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((servers.ROOT / "docker" / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
CONTAINER_PORT = "8000"


def instructions(name: str) -> list[str]:
    """Return the arguments of the final stage's instructions of that name."""
    final = DOCKERFILE.rsplit("\nFROM ", 1)[1].replace("\\\n", " ")
    return [line.split(maxsplit=1)[1] for line in final.splitlines() if line.startswith(name)]


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    """A folder with what the image holds and nothing else."""
    folder: Path = tmp_path_factory.mktemp("image")
    for source, target in (line.split() for line in instructions("COPY") if "--" not in line):
        if (servers.ROOT / source).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(servers.ROOT / source, folder / target, ignore=ignored)
        else:
            shutil.copy(servers.ROOT / source, folder / target)
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Iterator[dict[str, str]]:
    """The image's environment under the compose file's, with servers of ours behind its names."""
    state = tmp_path_factory.mktemp("containers")
    image = dict(part.split("=", 1) for line in instructions("ENV") for part in line.split())
    compose = {name: str(value) for name, value in SERVICES["web"]["environment"].items()}
    with ExitStack() as stack:
        started = {
            name: stack.enter_context(servers.redis_server(state / name))
            for name in ("redis", "redis-broker")
        }
        database, sqlite = os.environ.get("DATABASE_URL"), f"sqlite:///{state}/db.sqlite3"
        ours = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "STATE_DIR": str(state / "state"),
            "DATABASE_URL": servers.new_database(database) if database else sqlite,
            "REDIS_URL": started["redis"],
            "BROKER_URL": embedded.broker_url(started["redis-broker"]),
            "FILE_ROOTS": str(state / "sources"),
            "SECRET_KEY": SECRET_KEY,
            "SWEEP_EVERY_SECONDS": "1",
        }
        yield without_ours() | image | compose | ours


def test_every_variable_of_the_example_is_read_by_something():
    example = (servers.ROOT / "docker" / ".env.example").read_text().splitlines()
    names = {line.split("=", 1)[0] for line in example if line and not line.startswith("#")}
    settings = (servers.ROOT / "featurestore_project" / "settings.py").read_text()
    compose = json.dumps(COMPOSE)

    assert {
        name for name in names if f'"{name}"' not in settings and f"${{{name}" not in compose
    } == set()


def test_every_service_waits_for_what_it_needs_and_is_watched():
    for name, service in SERVICES.items():
        assert "healthcheck" in service or "build" in service or service["image"] == "assay-server"
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or source.startswith(("$", ".", "/")), volume


def test_the_dashboard_and_the_rules_ask_for_what_there_is():
    """Every series that they name is one that some process counts or that ``/metrics`` asks for."""
    monitoring = servers.ROOT / "docker" / "monitoring"
    texts = [file.read_text() for file in monitoring.rglob("*") if file.is_file()]
    named = {name for text in texts for name in re.findall(r"assay_[a-z_]+", text)}
    sources = ("lib", "materialization", "serving", "featurestore_project")
    code = "".join(
        file.read_text() for part in sources for file in (servers.ROOT / part).rglob("*.py")
    )
    defined = set(re.findall(r'"(assay_[a-z_]+)"', code))

    assert len(named) > 10
    ending = re.compile("_(total|count|bucket|sum)$")
    assert {name for name in named if ending.sub("", name) not in defined} == set()
    # The other way round: what is asked for how things stand is shown, but what tables hold.
    assert MEANS.keys() - named == {"assay_table_rows", "assay_table_newest_event_seconds"}


def test_what_compose_mounts_for_monitoring_is_there_and_can_be_read():
    folder = servers.ROOT / "docker"
    for name in ("prometheus", "grafana"):
        for volume in SERVICES[name]["volumes"]:
            if volume.startswith("./"):
                assert (folder / volume.split(":")[0]).exists(), volume
    for file in (folder / "monitoring").rglob("*.yaml"):
        assert yaml.safe_load(file.read_text()), file
    dashboard = json.loads((folder / "monitoring/grafana/dashboards/assay.json").read_text())
    places = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
    assert len(set(places)) == len(dashboard["panels"]) > 10


@pytest.mark.journey
@pytest.mark.database("postgresql")  # as the compose file has it
def test_the_services_run_from_what_the_image_holds(image, environment, tmp_path):
    shell = [part.replace("$$", "$") for part in SERVICES["migrate"]["command"]]
    migrated = run(shell, image, environment)
    assert migrated.returncode == 0, migrated.stderr

    port = str(servers.free_port())
    state = environment["STATE_DIR"]
    commands = {
        name: [
            part.replace(CONTAINER_PORT, port).replace("/var/lib/assay", state)
            for part in SERVICES[name]["command"]
        ]
        for name in ("web", "desk", "worker", "reload", "sweep", "beat")
    }
    children = []
    try:
        for name, command in commands.items():
            log = tmp_path / f"{name}.log"
            children.append(processes.start(name, command, log=log, env=environment, folder=image))
        servers.await_ready(children[0], f"http://127.0.0.1:{port}/readyz")
        health = json.loads(instructions("HEALTHCHECK")[0].split("CMD", 1)[1])
        healthy = run([part.replace(CONTAINER_PORT, port) for part in health], image, environment)
        assert healthy.returncode == 0, healthy.stderr
        reached = [part.replace("/var/lib/assay", state) for part in desk_check()]
        assert run(reached, image, environment).returncode == 0
        for name in ("worker", "reload", "sweep"):  # each may still be starting
            assert any(ping(name, image, environment) == 0 for _ in range(6))
        assert all(child.process.poll() is None for child in children)
    finally:
        processes.stop(children)


def desk_check() -> list[str]:
    kind, *command = SERVICES["desk"]["healthcheck"]["test"]
    assert kind == "CMD"
    return command


def ping(name: str, image: Path, environment: dict[str, str]) -> int:
    """Run a worker's own health check; an engine gives a container its name as HOSTNAME."""
    (kind, command) = SERVICES[name]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    shell = ["sh", "-c", command.replace("$$", "$")]
    return run(shell, image, environment | {"HOSTNAME": socket.gethostname()}).returncode


def run(command: list[str], folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[Any]:
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)
