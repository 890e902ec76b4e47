"""The front over HTTP: slow work and silent senders take nothing that others need."""

from __future__ import annotations

import json
import socket
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from featurestore_project import processes, rsgi
from tests import factories, servers

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

#: The status of an answer, its headers and its body.
Answer = tuple[int, dict[str, str], bytes]

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module", params=["one process", "handed on"])
def url(request, tmp_path_factory):
    """What holds of one process holds of two, of which one hands on to the other."""
    port, folder = servers.free_port(), tmp_path_factory.mktemp("front")
    with ExitStack() as stack:
        part = []
        if request.param == "handed on":
            socket_path = str(folder / "desk.sock")
            stack.callback(processes.stop, [start(folder, "0", "desk", socket_path)])
            part = ["door", socket_path]
        child = start(folder, str(port), *part)
        stack.callback(processes.stop, [child])
        servers.await_ready(child, f"http://127.0.0.1:{port}/desk")
        yield f"http://127.0.0.1:{port}"


def start(folder: Path, *arguments: str) -> processes.Child:
    command = [sys.executable, "-m", "tests.project.slow_application", *arguments]
    log = folder / f"{'-'.join(arguments[:2])}.log"
    return processes.start("front", command, log=log, folder=servers.ROOT)


def ask(url: str, body: bytes | None = None, **headers: str) -> Answer:
    request = urllib.request.Request(url, data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def raw(url: str, head: str) -> socket.socket:
    """Send the head of a request and nothing else."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=120)
    connection.sendall(f"{head}\r\nHost: {host}\r\n\r\n".encode())
    return connection


def half_sent(url: str, path: str, length: int, **headers: str) -> socket.socket:
    lines = [f"POST {path} HTTP/1.1", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return raw(url, "\r\n".join(lines))


class Gate:
    """What requests of ``slow_application`` wait at; opened when the block ends."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.query = f"until={file}"

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.touch()

    def log(self) -> str:
        """Return a ``+`` for each request that was begun, a ``-`` for each that ended, in order."""
        log = self._file.with_name(f"{self._file.name}.log")
        return log.read_text() if log.exists() else ""


@pytest.fixture
def gate(tmp_path):
    return Gate(tmp_path / "gate")


def until(fact: Callable[[], bool]) -> None:
    """Wait until it is so; the time is for a busy machine."""
    deadline = time.monotonic() + 120
    while not fact():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def answered(asked: list[Future[Answer]]) -> list[Answer]:
    return [each.result() for each in asked if each.done()]


def test_ten_slow_plans_and_ten_training_sets_leave_online_reads_their_threads(url, gate):
    with ThreadPoolExecutor(20) as people, gate:
        slow = [
            people.submit(ask, f"{url}/{pool}?{gate.query}", Authorization=f"Bearer {who}")
            for pool in ("plans", "training_sets")
            for _ in range(5)
            for who in ("ana", "ben")
        ]
        # Two threads and three places to wait, for each of the two; of plans two places a caller.
        until(lambda: len(answered(slow)) == 11 and len(gate.log()) == 4)
        for _ in range(50):
            assert ask(f"{url}/online", b"{}")[0] == 200
        refusals = answered(slow)

    assert [status for status, _, _ in refusals] == [503] * 11
    assert all(headers["retry-after"] == "1" for _, headers, _ in refusals)
    assert {json.loads(body)["code"] for _, _, body in refusals} == {"busy"}
    assert [each.result()[0] for each in slow].count(200) == 9


def test_one_callers_plans_leave_the_others_a_thread_and_places(url, gate):
    ana, ben = {"Authorization": "Bearer ana"}, {"Authorization": "Bearer ben"}
    with ThreadPoolExecutor(20) as people, gate:
        hers = [people.submit(ask, f"{url}/plans?{gate.query}", **ana) for _ in range(10)]
        # Of five places she may take two.
        until(lambda: len(answered(hers)) == 8)
        his = [people.submit(ask, f"{url}/plans?0.1", **ben) for _ in range(2)]
        assert [each.result()[0] for each in his] == [200, 200]
        refusals = answered(hers)

    assert [status for status, _, _ in refusals] == [503] * 8
    # On a busy machine some come while others of hers are still being read: those fill the places.
    assert any("2 of one caller" in json.loads(body)["detail"] for _, _, body in refusals)
    assert {headers["retry-after"] for _, headers, _ in refusals} == {"1"}
    assert [each.result()[0] for each in hers].count(200) == 2
    assert gate.log() == "+-+-"  # one after the other, though a thread was free
    assert ask(f"{url}/plans", **ana)[0] == 200


def test_strangers_share_one_turn(url, gate):
    with ThreadPoolExecutor(20) as people, gate:
        strangers = [people.submit(ask, f"{url}/plans?{gate.query}") for _ in range(10)]
        until(lambda: len(answered(strangers)) == 8)
        assert ask(f"{url}/plans", Authorization="Bearer ana")[0] == 200

    assert [each.result()[0] for each in strangers].count(200) == 2
    assert gate.log() == "+-+-"


def test_senders_that_fall_silent_harm_nobody_and_are_answered_in_the_end(url):
    silent = [half_sent(url, "/online", 1000) for _ in range(40)]
    silent += [half_sent(url, "/desk", 1000) for _ in range(40)]
    # What it sent fast buys no time: it holds memory that others are to have.
    silent.append(half_sent(url, "/desk", 300_000, Authorization="Bearer known"))
    silent[-1].sendall(b"x" * 290_000)

    begun = time.monotonic()
    assert ask(f"{url}/healthz")[0] == 200
    assert ask(f"{url}/online", b"{}")[2] == b"2"
    assert ask(f"{url}/desk", b"{}")[2] == b"2"
    assert time.monotonic() - begun < 5

    for sender in (silent[0], silent[-1]):
        answer = sender.recv(1000)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"body_too_slow"' in answer
        assert sender.recv(1) == b""  # the connection is closed
    for each in silent:
        each.close()


def test_a_sender_that_hangs_up_takes_no_thread(url):
    for _ in range(40):
        half_sent(url, "/desk", 1000).close()
    gone = half_sent(url, "/desk", 1000)
    gone.shutdown(socket.SHUT_WR)

    assert b'"code":"invalid_body"' in gone.recv(2000)
    assert ask(f"{url}/desk", b"{}")[2] == b"2"
    gone.close()


def test_a_header_with_an_underscore_is_not_taken_for_another(url):
    large, headers = b"x" * 200_000, {"authorization_": "x"}
    _, _, body = ask(f"{url}/desk", large, **headers)
    assert body == b"0"


def test_a_large_body_is_read_of_those_we_know(url):
    large = b"x" * 200_000

    assert ask(f"{url}/desk", large, Authorization="Bearer known")[2] == b"200000"


def test_nothing_of_a_large_body_is_read_of_others(url):
    stranger = half_sent(url, "/desk", 200_000)

    assert stranger.recv(1000).startswith(b"HTTP/1.1 200 ")  # at once, with nothing read
    stranger.close()


def test_what_may_turn_out_to_be_large_is_read_of_those_we_know(url):
    packed = {"Content-Encoding": "gzip"}

    assert ask(f"{url}/desk", b"x" * 100, **packed)[2] == b"0"
    assert ask(f"{url}/desk", b"x" * 100, Authorization="Bearer known", **packed)[2] == b"100"


def test_large_bodies_on_their_way_do_not_fill_the_memory(url):
    known = {"Authorization": "Bearer known"}
    with half_sent(url, "/desk", 300_000, **known) as first:
        first.sendall(b"x" * 290_000)
        until(lambda: ask(f"{url}/desk?held")[2] == b"290000")
        status, headers, body = ask(f"{url}/desk", b"x" * 200_000, Authorization="Bearer ana")
        assert (status, json.loads(body)["code"]) == (503, "busy")
        assert "retry-after" in headers
        assert ask(f"{url}/desk", b"x" * 100_000, Authorization="Bearer ana")[2] == b"100000"
        status, headers, body = ask(f"{url}/desk", b"x" * 100_000, **known)
    assert (status, json.loads(body)["code"]) == (503, "busy")
    assert b"bodies of yours" in body


def test_answers_that_nobody_reads_are_not_held_in_memory(url):
    def megabytes() -> int:
        return int(ask(f"{url}/memory")[2]) * 4096 >> 20

    assert len(ask(f"{url}/huge")[2]) == 12_000_000
    before = megabytes()
    with ExitStack() as asking:
        for _ in range(10):
            unread = asking.enter_context(raw(url, "GET /huge HTTP/1.1"))
            assert unread.recv(12) == b"HTTP/1.1 200"
        assert megabytes() - before < 50  # of 120


def test_a_body_in_chunks_is_read_to_its_end_and_not_beyond_the_limit(url):
    def chunked(count: int) -> bytes:
        sender = raw(
            url,
            "POST /desk HTTP/1.1\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer known",
        )
        for _ in range(count):
            sender.sendall(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
        sender.sendall(b"0\r\n\r\n")
        return sender.recv(1000)

    assert chunked(20).endswith(b"200000")
    assert b" 413 " in chunked(31).splitlines()[0]


def test_what_is_done_for_somebody_who_went_away_ends(url):
    """So that their next question need not wait for it; what waited itself is not begun."""
    asked = "GET /plans?stoppable HTTP/1.1\r\nAuthorization: Bearer ana"
    with raw(url, asked), raw(url, asked):
        time.sleep(0.5)
    begun = time.monotonic()

    while ask(f"{url}/plans?0", Authorization="Bearer ana")[0] != 200:
        time.sleep(0.1)  # both places of hers are taken until it is seen

    assert time.monotonic() - begun < 10


def test_a_large_answer_comes_whole(url):
    assert ask(f"{url}/large")[2] == b"x" * 3_000_000


def test_a_file_is_sent_from_where_it_lies(url):
    assert ask(f"{url}/file")[2] == b"y" * 3_000_000
    kept = Path(__file__).with_name("slow_application.py")
    assert ask(f"{url}/kept")[2] == kept.read_bytes()
    assert ask(f"{url}/part")[2] == kept.read_bytes()[10:300]


def test_a_head_request_has_no_body(url):
    with raw(url, "HEAD /large HTTP/1.1\r\nConnection: close") as connection:
        answer = b"".join(iter(lambda: connection.recv(10_000), b""))

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")


def test_a_request_arrives_as_it_was_sent(url):
    said = {"Cookie": "a=1; b=2", "X-Forwarded-For": "203.0.113.9", "X-Assay-Request-Id": "x"}

    _, headers, body = ask(f"{url}/who?a=%20&b=%C3%A9", **said)

    asked = json.loads(body)
    assert asked.pop("id") == headers["x-request-id"]
    assert asked == {
        "PATH_INFO": "/who",
        "QUERY_STRING": "a=%20&b=%C3%A9",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_X_FORWARDED_FOR": "203.0.113.9",
        "HTTP_COOKIE": "a=1; b=2",
    }


@pytest.mark.parametrize(
    ("request_line", "statuses"),
    [
        (b"GET /desk HTTP/1.0\r\n\r\n", {b"200"}),
        (b"GET /who?caf\xc3\xa9=1 HTTP/1.1\r\nHost: a\r\n\r\n", {b"200", b"400"}),
        (b"GET /desk HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", {b"200", b"400", b"422"}),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", {b"200", b"400", b"404", b"422"}),
    ],
)
def test_an_odd_request_is_never_an_error_of_ours(url, request_line, statuses):
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        connection.sendall(request_line)
        answer = connection.recv(2000)

    assert answer.split(b" ", 2)[1] in statuses, answer


def test_alive_is_said_while_every_thread_is_busy(url, gate):
    # Two threads of each; of plans, which strangers share, one. The desk's come last: they say who
    # asks for plans.
    kinds = [("online", "plans", "training_sets", "watch"), ("desk",)]
    with ThreadPoolExecutor(25) as people, gate:
        for pools, busy in zip(kinds, (7, 9), strict=True):
            for pool in pools * 5:
                people.submit(ask, f"{url}/{pool}?{gate.query}")
            until(lambda busy=busy: gate.log() == "+" * busy)
        assert ask(f"{url}/healthz")[2] == b'{"status": "ok"}'


def test_whatever_path_is_asked_there_is_an_answer(url):
    for path in ("/%ff", "/%00", "/a%2Fb", "//", "/%F0%9F%90%98?%ff=%fe"):
        with raw(url, f"GET {path} HTTP/1.1") as connection:
            assert connection.recv(100).startswith(b"HTTP/1.1 "), path


@pytest.mark.parametrize(
    ("path", "pool"),
    [
        ("/api/v1/projects/rides/definitions", "plans"),
        ("/api/v1/projects/rides/feature-views/a/versions/1.0.0/submit", "plans"),
        ("/admin/registry/featureviewversion/4/submit/", "plans"),
        ("/admin/registry/featureviewversion/4/act/", "desk"),
        ("/admin/registry/apitoken/4/revoke/", "desk"),
        ("/api/v1/projects/rides/get-historical-features", "training_sets"),
        ("/api/v1/projects/rides/get-online-features", "online"),
        ("/readyz", "watch"),
        ("/admin/login/", "desk"),
        ("/nothing", "desk"),
    ],
)
def test_each_request_has_threads_of_its_kind(path, pool):
    assert rsgi.pool_of("POST", path) == pool


@pytest.mark.django_db(transaction=True)  # it lets go of its connection, as every request does
def test_a_caller_is_the_same_by_token_and_by_log_in(client, committed_cast):
    cast = committed_cast
    client.force_login(cast.author)
    cookie = f"assay_session={client.cookies['assay_session'].value}"
    tokens = [factories.token_for(cast.author) for _ in range(2)]
    asked = [{"HTTP_AUTHORIZATION": f"Bearer {token}"} for token in tokens]

    who = {rsgi.known_as(each) for each in [*asked, {"HTTP_COOKIE": cookie}]}

    assert who == {str(cast.author.pk)}
    for stranger in ({}, {"HTTP_AUTHORIZATION": "Bearer x"}, {"HTTP_COOKIE": "assay_session=x"}):
        assert rsgi.known_as(stranger) is None
