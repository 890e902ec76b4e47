"""Bodies in chunks over a raw socket, to granian as this server runs it: read whole, or refused."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from assay import FeatureStore
from tests import servers
from tests.factories import ENTITY

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.journey

PEOPLE = """
from django.contrib.auth.models import User
from django.utils import timezone
from registry.choices import Role
from registry.operations.people import members, projects, tokens
now = timezone.now()
owner = User.objects.create_user("owner", password="pw")
project = projects.create_project(name="rides", actor=owner, at=now)
user = User.objects.create_user("ana", password="pw")
for role in (Role.AUTHOR, Role.CONSUMER):
    members.grant_role(project=project, user=user, role=role, actor=owner, at=now)
print(tokens.issue_token(user=user, name="journey", actor=user, at=now, days=1)[1])
"""
PROJECT = "/api/v1/projects/rides"
LIMIT = 300_000
YAML, CSV = "application/yaml", "text/csv"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureStore]:
    state = tmp_path_factory.mktemp("chunks") / "state"
    with servers.assay_server(state, DEFINITIONS_MAX_BYTES=str(LIMIT)) as server:
        command = [sys.executable, str(servers.ROOT / "manage.py"), "shell", "-v0", "-c", PEOPLE]
        token = subprocess.check_output(command, env=server.env, text=True).split()[-1]
        yield FeatureStore(url=server.url, token=token, project="rides")


def post(
    store: FeatureStore, call: str, *pieces: bytes, kind: str = "application/json"
) -> tuple[int, dict[str, Any]]:
    """POST pieces, each a chunk and a packet of its own; return (status, answer)."""
    config = store._transport.config
    head = (
        f"POST {PROJECT}/{call} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Authorization: Bearer {config.token}\r\nContent-Type: {kind}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    address = urlsplit(config.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.sendall(head.encode())
        for piece in (*pieces, b""):
            peer.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        said = b"".join(iter(lambda: peer.recv(65536), b""))
    status, _, body = said.partition(b"\r\n\r\n")
    return int(status.split()[1]), json.loads(body)


def test_definitions_in_chunks_are_all_of_them(store):
    text = json.dumps({"files": [{"path": "a.yaml", "text": ENTITY + "#" * 100_000}]}).encode()

    status, answer = post(store, "definitions?dry_run=true", text[:7], text[7:9000], text[9000:])

    assert status == 200, answer
    assert [change["name"] for change in answer["changes"]] == ["driver"]


def test_what_a_step_is_told_in_chunks_reaches_it(store):
    status, answer = post(store, "materialize", b'{"end_ts": "2026-01-01", "start', b'": 1}')

    assert (status, answer["key"]) == (422, "start")


@pytest.mark.parametrize("call", ["get-online-features", "get-historical-features"])
def test_a_question_in_chunks_is_read_whole(store, call):
    asked = json.dumps({"features": ["nothing:here"], "entities": {"driver_id": [1]}}).encode()

    status, answer = post(store, call, *(asked[i : i + 10] for i in range(0, len(asked), 10)))

    assert (status, answer["code"]) == (404, "reference_not_found")


def test_a_body_in_chunks_over_the_limit_is_413(store):
    status, answer = post(store, "definitions", b'{"files": [', *[b" " * 100_000] * 3)

    assert (status, answer["code"], answer["limit"]) == (413, "body_too_large", LIMIT)


@pytest.mark.parametrize(
    ("call", "kind"), [("definitions", YAML), ("get-historical-features?features=a:b", CSV)]
)
def test_what_does_not_say_its_end_needs_a_length(store, call, kind):
    status, answer = post(store, call, ENTITY.encode(), kind=kind)

    assert (status, answer["code"]) == (411, "length_required")
