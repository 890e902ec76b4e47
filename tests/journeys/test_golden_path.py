"""The main job on a real server with its worker and beat, through the client; then what goes wrong.

Not for details: the layers' own tests have those. One server serves all the steps.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis

from assay import FeatureStore
from assay import errors as client_errors
from examples.first_login import first_login
from featurestore_project import embedded
from tests import servers
from tests.factories import DEFINITIONS, SOURCE, VIEW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.journey, pytest.mark.database("sqlite", "postgresql")]

NOW = datetime.now(UTC).replace(microsecond=0)
PEOPLE = """
from django.contrib.auth.models import User
from django.utils import timezone
from registry.choices import Role
from registry.operations.people import members, projects
from registry.operations.registration import roots
now = timezone.now()
owner = User.objects.create_user("owner", password="pw")
project = projects.create_project(name="rides", actor=owner, at=now)
roots.assign_root(project=project, path={root!r}, actor=None, at=now)
for name, role in (("ana", Role.AUTHOR), ("sam", Role.STEWARD)):
    user = User.objects.create_user(name, password="pw")
    members.grant_role(project=project, user=user, role=role, actor=owner, at=now)
"""
ANOTHER_TOKEN = """
from django.contrib.auth.models import User
from django.utils import timezone
from registry.operations.people import tokens
ana = User.objects.get(username="ana")
print(tokens.issue_token(user=ana, name="other", actor=ana, at=timezone.now(), days=1)[1])
"""
REVOKE = """
from django.utils import timezone
from registry.authentication import find_token
from registry.operations.people import tokens
token = find_token({token!r}, at=timezone.now())
tokens.revoke_token(token=token, actor=token.user, at=timezone.now())
"""


def shell(server: servers.Server, code: str) -> list[str]:
    """Run code in a second process of the same server; return the lines it printed."""
    command = [sys.executable, str(servers.ROOT / "manage.py"), "shell", "--no-imports", "-c", code]
    done = subprocess.run(command, env=server.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def settled(server: servers.Server, root: Path) -> list[str]:
    """Make the project and its people; return the tokens of the author and of the steward."""
    shell(server, PEOPLE.format(root=str(root)))
    return [token_of(server, "ana"), token_of(server, "sam")]


def token_of(server: servers.Server, name: str) -> str:
    """Have somebody log in for the first time, by the password that a script gave them."""
    return first_login(server.url, name, given="pw", own=f"the own word of {name}")


def write_source(folder: Path, name: str, rows: int) -> None:
    """Write rows of 1001 … whose events end a minute ago."""
    events = [NOW - timedelta(minutes=1 + number % 60) for number in range(rows)]
    table = pa.table(
        {
            "driver_id": pa.array([1001 + number for number in range(rows)], pa.int64()),
            "event_timestamp": pa.array(events, pa.timestamp("us", tz="UTC")),
            "created": pa.array(events, pa.timestamp("us", tz="UTC")),
            "conv_rate": pa.array([0.5] * rows, pa.float32()),
            "acc_rate": pa.array([0.25] * rows, pa.float32()),
            "avg_daily_trips": pa.array([number % 100 for number in range(rows)], pa.int32()),
        }
    )
    pq.write_table(table, folder / name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    made: Path = tmp_path_factory.mktemp("sources")
    write_source(made, "driver_stats.parquet", 20)
    write_source(made, "many.parquet", 500_000)
    return made


@pytest.fixture(scope="module")
def server(tmp_path_factory: Any, folder: Path) -> Iterator[servers.Server]:
    state = tmp_path_factory.mktemp("state")
    timing = {"RUN_LEASE_SECONDS": "5", "SWEEP_EVERY_SECONDS": "1"}
    with servers.assay_server(state, FILE_ROOTS=str(folder), **timing) as running:
        yield running


@pytest.fixture(scope="module")
def people(server: servers.Server, folder: Path) -> tuple[str, str]:
    """Return the tokens of the author and of the steward."""
    ana, sam = settled(server, folder)
    return ana, sam


@pytest.fixture(scope="module")
def ana(server: servers.Server, people: tuple[str, str]) -> FeatureStore:
    return FeatureStore(url=server.url, token=people[0], project="rides")


@pytest.fixture(scope="module")
def sam(server: servers.Server, people: tuple[str, str]) -> FeatureStore:
    return FeatureStore(url=server.url, token=people[1], project="rides")


def until(fact: Callable[[], Any], *, seconds: float = 120) -> Any:
    """Return what ``fact`` gives as soon as it is true; most of the time is for a busy machine."""
    deadline = time.monotonic() + seconds
    while not (found := fact()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)
    return found


def define(ana: FeatureStore, sam: FeatureStore, path: Path, text: str, view: str) -> None:
    """Define, wait for a worker's evidence, and approve what is shown then."""
    path.write_text(text)
    ana.apply(str(path), submit=True)
    review = until(lambda: assayed(sam, view))
    assert {part["state"] for name, part in review["evidence"]["parts"].items()} == {
        "computed",
        "not_applicable",  # a first version is compared with nothing
    }
    sam.approve(view, comment="looks right", packet_hash=review["packet_hash"])


def assayed(store: FeatureStore, view: str) -> Any:
    """Return the review of the version that waits once its evidence is in."""
    review = store.review(view)
    return review if review["evidence"]["status"] == "computed" else None


def trips(store: FeatureStore, driver: int = 1007) -> Any:
    answer = store.get_online_features(
        features=["driver_hourly:avg_daily_trips"], entity_rows=[{"driver_id": driver}]
    )
    return answer.to_dict()["avg_daily_trips"][0]


def trips_if_loaded(store: FeatureStore) -> Any:
    """Return them; None: the client asked again for as long as it does, and nothing was there."""
    with suppress(client_errors.Unavailable):
        return trips(store)


@pytest.fixture(scope="module")
def ready(ana: FeatureStore, sam: FeatureStore, tmp_path_factory: Any) -> None:
    """Define, approve, and wait for the sweep and the worker to do the rest."""
    path = tmp_path_factory.mktemp("definitions") / "features.yaml"
    define(ana, sam, path, DEFINITIONS, "driver_hourly")
    until(lambda: ana.get_feature_view("driver_hourly")["default_version"] == "1.0.0")


def test_from_a_definition_to_an_online_answer_and_a_training_set(ana, ready):
    (run,) = ana.runs(feature_view="driver_hourly")
    assert (run["status"], run["kind"], run["rows_offline"]) == ("succeeded", "backfill", 20)
    assert run["requested_by"] == "schedule"

    assert trips(ana) == 6

    frame = pa.table(
        {
            "driver_id": pa.array([1007, 4711, 1007], pa.int64()),
            "event_timestamp": pa.array(
                [NOW, NOW, NOW - timedelta(days=1)], pa.timestamp("us", tz="UTC")
            ),
        }
    )
    answer = ana.get_historical_features(frame, ["driver_hourly:avg_daily_trips"]).to_arrow()
    assert answer["avg_daily_trips"].to_pylist() == [6, None, None]

    kept = ana.create_dataset("trips", frame, ["driver_hourly:avg_daily_trips"])
    assert kept.to_df()["avg_daily_trips"].isna().tolist() == [False, True, True]
    assert kept.to_arrow().equals(answer)
    assert kept.verify()["verdict"] == "equal"


def test_a_token_revoked_by_another_process_is_refused_on_the_next_request(server, ana, ready):
    (token,) = shell(server, ANOTHER_TOKEN)
    other = FeatureStore(url=server.url, token=token, project="rides")
    assert trips(other) == 6

    shell(server, REVOKE.format(token=token))

    with pytest.raises(client_errors.Unauthenticated):
        trips(other)
    assert trips(ana) == 6


def test_an_emptied_redis_is_said_to_be_so_and_recovers_by_itself(server, people, ana, ready):
    with redis.Redis.from_url(embedded.redis_url(server.state_dir)) as client:
        client.flushall()

    # By hand: the client would ask again until it has recovered.
    asked = {"features": ["driver_hourly:avg_daily_trips"], "entities": {"driver_id": [1007]}}
    url = f"{server.url}/api/v1/projects/rides/get-online-features"
    headers = {"Authorization": f"Bearer {people[0]}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(asked).encode(), headers)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=20)
    assert (caught.value.code, json.load(caught.value)["code"]) == (503, "not_loaded")

    until(lambda: trips_if_loaded(ana) == 6)
    assert ana.runs(feature_view="driver_hourly")[0]["kind"] == "reload"


def sandboxes(server: servers.Server) -> list[psutil.Process]:
    family = psutil.Process(server.child.process.pid).children(recursive=True)
    return [process for process in family if is_sandbox(process)]


def is_sandbox(process: psutil.Process) -> bool:
    """Tell whether it is one at work, and not the template it is a fork of."""
    try:
        return process.name() == "assay-job"
    except psutil.NoSuchProcess:
        return False


def test_a_worker_killed_in_the_middle_leaves_nothing_half_published(
    server, ana, sam, ready, tmp_path
):
    text = "\n---\n".join(
        (
            SOURCE.replace("driver_stats", "many"),
            VIEW.replace("driver_stats", "many").replace("driver_hourly", "driver_many"),
        )
    )
    define(ana, sam, tmp_path / "many.yaml", text, "driver_many")
    sandbox = until(lambda: sandboxes(server))[0]
    sandbox.suspend()  # the run stands in the middle of its rows
    sandbox.parent().parent().kill()

    seen = set()

    def ended() -> Any:
        view = ana.get_feature_view("driver_many")
        (run,) = ana.runs(feature_view="driver_many")  # asked last: it is never behind the view
        seen.add((run["status"], view["versions"][0]["ready"]))
        return run if run["status"] not in ("queued", "running") else None

    run = until(ended)

    assert (run["status"], run["attempt"], run["rows_offline"]) == ("succeeded", 2, 500_000)
    assert ("running", True) not in seen
    assert not psutil.pid_exists(sandbox.pid)
