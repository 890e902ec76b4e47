"""The sample workflow on a served registry: plan, comment, apply and drift, as its steps say.

Not for what each command writes: the client's tests have that. ``gh`` is GitHub's; what it is asked
is kept instead.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from assay import FeatureStore
from tests import servers
from tests.factories import DEFINITIONS, ENTITY, SOURCE, VIEW
from tests.journeys.test_golden_path import shell, token_of, until, write_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.journey, pytest.mark.database("sqlite", "postgresql")]

WORKFLOW = servers.ROOT / "examples" / "pull-requests" / "github.yml"
PEOPLE = """
from django.contrib.auth.models import User
from django.utils import timezone
from registry.choices import AccountKind, Role
from registry.operations.people import members, projects, tokens, users
from registry.operations.registration import roots
now = timezone.now()
owner = User.objects.create_user("owner", password="pw")
# Whoever makes a pipeline's token counts as an editor of what it registers.
operator = User.objects.create_superuser("operator")
project = projects.create_project(name="rides", actor=owner, at=now)
roots.assign_root(project=project, path={root!r}, actor=None, at=now)
for name, role in (("planner", Role.PLANNER), ("robot", Role.AUTHOR)):
    robot = User(username=name)
    user = users.add_user(user=robot, kind=AccountKind.SERVICE, actor=operator, at=now)
    members.grant_role(project=project, user=user, role=role, actor=owner, at=now)
    print(tokens.issue_token(user=user, name="journey", actor=operator, at=now, days=1)[1])
for name, role in (("mia", Role.AUTHOR), ("sam", Role.STEWARD)):
    user = User.objects.create_user(name, password="pw")
    with members.managing(project, owner):
        members.grant(project, user, role, owner, now, accepted_by=operator)
"""
GH = """#!/bin/bash
printf '%s\\n' "$*" >> gh.log
case "$*" in
  *--paginate*) cat comment.id 2>/dev/null || true ;;
  *POST*) echo 77 > comment.id ;;
esac
"""
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def server(tmp_path_factory: Any) -> Iterator[servers.Server]:
    folder = tmp_path_factory.mktemp("sources")
    write_source(folder, "driver_stats.parquet", 20)
    state = tmp_path_factory.mktemp("state")
    with servers.assay_server(state, FILE_ROOTS=str(folder)) as running:
        yield running


@pytest.fixture(scope="module")
def tokens(server: servers.Server) -> dict[str, str]:
    root = server.env["FILE_ROOTS"]
    robots = zip(("planner", "robot"), shell(server, PEOPLE.format(root=root)), strict=True)
    return {**dict(robots), **{name: token_of(server, name) for name in ("mia", "sam")}}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: Any) -> Path:
    """A checkout with the definitions, and the commands a runner of GitHub has."""
    made: Path = tmp_path_factory.mktemp("repository")
    (made / "features").mkdir()
    (made / "features" / "driver.yaml").write_text(DEFINITIONS)
    (made / "bin").mkdir()
    for name, text in (
        ("assay", f'#!/bin/bash\nexec {sys.executable} -m assay "$@"\n'),
        ("gh", GH),
    ):
        (made / "bin" / name).write_text(text)
        (made / "bin" / name).chmod(0o755)
    return made


@pytest.fixture
def step(
    server: servers.Server, tokens: dict[str, str], repository: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run one step of a job as the runner would, with the secrets it names."""

    def run(job: str, name: str) -> subprocess.CompletedProcess[str]:
        steps = yaml.safe_load(WORKFLOW.read_text())["jobs"][job]["steps"]
        (found,) = [each for each in steps if each.get("name") == name]
        secrets = {
            "${{ secrets.ASSAY_PLAN_TOKEN }}": tokens["planner"],
            "${{ secrets.ASSAY_APPLY_TOKEN }}": tokens["robot"],
            "${{ github.event.pull_request.number }}": "12",
            "${{ github.token }}": "unused",
        }
        github = {
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_REPOSITORY": "acme/rides",
            "GITHUB_SHA": COMMIT,
            "GITHUB_REF_NAME": "main",
            "GITHUB_STEP_SUMMARY": str(repository / "summary.md"),
        }
        env = {
            "PATH": f"{repository / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(servers.ROOT),
            "ASSAY_URL": server.url,
            "ASSAY_PROJECT": "rides",
            **github,
            **{key: secrets[value] for key, value in found["env"].items()},
        }
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", found["run"]]
        return subprocess.run(
            command, cwd=repository, env=env, capture_output=True, text=True, check=False
        )

    return run


def store(server: servers.Server, token: str) -> FeatureStore:
    return FeatureStore(url=server.url, token=token, project="rides")


def test_a_pull_request_is_planned_commented_applied_and_compared(
    server: servers.Server,
    tokens: dict[str, str],
    repository: Path,
    step: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    # A pull request: the plan is a comment, made once and then written anew.
    planned = step("plan", "Plan")
    assert planned.returncode == 0, planned.stderr
    assert "3 of 3 objects change" in (repository / "plan.md").read_text()
    for _ in range(2):
        commented = step("plan", "Comment")
        assert commented.returncode == 0, commented.stderr
    asked = (repository / "gh.log").read_text().splitlines()
    assert [line.partition("--method ")[2] for line in asked if "--method" in line] == [
        "POST repos/acme/rides/issues/12/comments --field body=@plan.md",
        "PATCH repos/acme/rides/issues/comments/77 --field body=@plan.md",
    ]
    assert "Assay plan" in (repository / "summary.md").read_text()
    assert store(server, tokens["mia"]).registered() == []

    # It is merged: everything is registered, with its commit, and the versions wait for review.
    applied = step("apply", "Apply")
    assert applied.returncode == 0, applied.stderr
    sam, mia = store(server, tokens["sam"]), store(server, tokens["mia"])
    registered = {each["name"]: each for each in sam.registered()}
    assert registered["driver_hourly"]["standing"] == "waits"
    assert registered["driver_hourly"]["origin"]["commit"] == COMMIT
    assert registered["driver_hourly"]["origin"]["path"] == "features/driver.yaml"
    review = until(lambda: _assayed(sam))
    sam.approve("driver_hourly", packet_hash=review["packet_hash"])
    assert step("drift", "Compare").returncode == 0

    # Somebody defines something at another door: the nightly comparison says so.
    mia.apply([yaml.safe_load(ENTITY) | {"owner": "mia"}])
    compared = step("drift", "Compare")
    assert compared.returncode == 4
    assert "differs: Entity driver (features/driver.yaml:2)" in compared.stdout
    assert f"commit {COMMIT[:12]} of https://github.example/acme/rides, changed since" in (
        compared.stdout
    )

    # What is registered comes back as files, and then nothing differs any more.
    (repository / "features" / "driver.yaml").unlink()
    for each in mia.export(unversioned=True):
        (repository / "features" / f"{each['name']}.yaml").write_text(each["definition"])
    assert step("drift", "Compare").returncode == 0


def test_a_change_that_breaks_fails_its_check_and_is_commented_all_the_same(
    server: servers.Server,
    tokens: dict[str, str],
    repository: Path,
    step: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    sam = store(server, tokens["sam"])
    if not sam.registered():  # it runs without the one above, too
        assert step("apply", "Apply").returncode == 0
        sam.approve("driver_hourly", packet_hash=until(lambda: _assayed(sam))["packet_hash"])
    service = 'kind: FeatureService\nname: eta\nfeatures: ["driver_hourly:conv_rate"]\n'
    for path in (repository / "features").iterdir():
        path.unlink()
    view = VIEW.replace("  - {name: conv_rate, type: float32, description: Conversion rate}\n", "")
    store(server, tokens["mia"]).apply([yaml.safe_load(service)])
    (repository / "features" / "all.yaml").write_text("\n---\n".join((ENTITY, SOURCE, view)))

    planned = step("plan", "Plan")

    assert planned.returncode == 5, planned.stdout
    assert "::error file=features/all.yaml" in planned.stderr
    assert "breaks FeatureService eta: no conv_rate" in planned.stderr
    assert step("plan", "Comment").returncode == 0
    assert "### Breaks" in (repository / "plan.md").read_text()


def _assayed(sam: FeatureStore) -> Any:
    review = sam.review("driver_hourly")
    return review if (review["evidence"] or {}).get("status") == "computed" else None
