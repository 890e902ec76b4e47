"""One store in many hands: forked processes, threads, pickles; and what waits for a busy server."""

from __future__ import annotations

import json
import os
import pickle
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import assay
from assay import FeatureStore, pooled, transport
from assay.transport import Patience

READS, CHILDREN, THREADS = 60, 3, 4


class Echo(BaseHTTPRequestHandler):
    """Answers a read with a value that is made of its key; counts connections."""

    protocol_version = "HTTP/1.1"
    connections = 0

    def setup(self) -> None:
        type(self).connections += 1
        super().setup()

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        keys = asked["entities"]["id"]
        answer = {
            "metadata": {"feature_names": ["id", "value"], "value_types": ["int64", "string"]},
            "results": [{"values": keys}, {"values": [f"of {key}" for key in keys]}],
        }
        body = json.dumps(answer).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def echo():
    Echo.connections = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def read_many(store: FeatureStore, first: int) -> int:
    """Read keys one by one; return how many values were another key's."""
    wrong = 0
    for key in range(first, first + READS):
        values = store.get_online_features("menu", {"id": [key]}).to_dict()
        wrong += values != {"id": [key], "value": [f"of {key}"]}
    return wrong


def forked(store: FeatureStore, first: int) -> int:
    """Read in a forked process; return its id."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(1 if read_many(store, first) else 0)
        except BaseException:  # noqa: BLE001 - nothing of the test may go on in the child
            os._exit(2)
    return child


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_reads_its_own_values_while_the_parent_reads_on(echo):
    with FeatureStore(url=echo, token="t", project="rides") as store:
        together = threading.Barrier(8)
        with ThreadPoolExecutor(8) as threads:  # leaves idle connections for a child to inherit
            list(threads.map(lambda n: (together.wait(), read_many(store, n)), range(8)))
        with ThreadPoolExecutor(2) as parents:
            reading = [parents.submit(read_many, store, 10_000 * n) for n in (1, 2)]
            children = [forked(store, 1_000_000 * n) for n in range(1, CHILDREN + 1)]
            ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert [each.result() for each in reading] == [0, 0]
    assert ended == [0] * CHILDREN


def test_threads_share_a_store_and_keep_a_connection_each(echo):
    many = pooled.MOST_IDLE_CONNECTIONS // 16
    with FeatureStore(url=echo, token="t", project="rides") as store:
        together = threading.Barrier(many)

        def read(first: int) -> int:
            together.wait()
            return read_many(store, first)

        with ThreadPoolExecutor(many) as threads:
            wrong = list(threads.map(read, range(0, many * READS, READS)))

    assert wrong == [0] * many
    assert Echo.connections <= many


def test_a_store_travels_in_a_pickle_and_hides_its_token_in_words(echo):
    store = FeatureStore(url=echo, token="s3cret-t0ken", project="rides", timeout=7, retries=2)
    read_many(store, 0)

    again = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own

    assert read_many(again, 100) == 0
    assert again._transport.patience == Patience(7, 2)
    assert "s3cret" not in repr(store) + repr(again) + repr(vars(again)) + str(again)


def read(store: FeatureStore) -> object:
    return store.get_online_features("menu", {"id": [1]})


ANSWER = {"metadata": {"feature_names": ["id"]}, "results": [{"values": [1]}]}
LATER = {"code": "not_loaded", "detail": "later"}


@pytest.mark.parametrize("status", [429, 503])
def test_a_read_is_asked_again_when_the_server_says_when(peer, store, status):
    peer.answers_with("POST get-online-features", LATER, status, Retry_After="0")
    peer.answers_with("POST get-online-features", ANSWER)

    assert len(read(store)) == 1
    assert len(peer.requests) == 2


def test_a_server_that_stays_busy_is_not_asked_for_ever(peer, store):
    peer.answers_with("POST get-online-features", LATER, 503, Retry_After="0")

    with pytest.raises(assay.Unavailable, match="later") as caught:
        read(store)

    assert (len(peer.requests), caught.value.retry_after) == (1 + transport.RETRIES, 0)


@pytest.mark.parametrize("wait", ["3600", "Wed, 21 Oct 2026 07:28:00 GMT", "-1"])
def test_a_wait_that_is_too_long_or_no_number_is_left_to_the_caller(peer, store, wait):
    peer.answers_with("POST get-online-features", LATER, 503, Retry_After=wait)

    with pytest.raises(assay.Unavailable):
        read(store)

    assert len(peer.requests) == 1


def test_a_change_is_never_asked_again(peer, store):
    peer.answers_with("POST runs/7/cancel", LATER, 503, Retry_After="0")

    with pytest.raises(assay.Unavailable):
        store.cancel_run(7)

    assert len(peer.requests) == 1


def test_a_read_is_asked_again_when_the_connection_breaks(peer, store):
    peer.drops("POST get-online-features")
    peer.answers_with("POST get-online-features", ANSWER)

    assert len(read(store)) == 1


def test_an_answer_that_takes_longer_than_the_timeout_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        store = FeatureStore(url=url, token="t", project="rides", timeout=0.05)

        with pytest.raises(assay.ServerUnreachable, match="did not answer in time"):
            store.get_historical_features({"id": [1], "event_timestamp": ["2026-01-01"]}, ["v:f"])


@pytest.fixture
def slow():
    """Serve nothing before ``slow.answers`` is set; gives its address, and that."""
    answers = threading.Event()

    class Slow(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def do_GET(self) -> None:
            answers.wait(20)
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", answers
    answers.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "looks",
    [
        lambda store: store.plan([{"kind": "Entity", "name": "rider"}]),
        lambda store: store.apply([{"kind": "Entity", "name": "rider"}]),
        lambda store: store.submit("rides@1.0.0"),
    ],
    ids=["plan", "apply", "submit"],
)
def test_what_looks_at_sources_is_waited_for_longer_than_other_calls(slow, monkeypatch, looks):
    url, answers = slow
    monkeypatch.setattr(transport, "READ_TIMEOUT_SECONDS", 0.2)
    store = FeatureStore(url=url, token="t", project="rides")

    with ThreadPoolExecutor(1) as other:
        looking = other.submit(looks, store)
        with pytest.raises(assay.ServerUnreachable, match="did not answer in time"):
            store.cancel_run(7)
        with pytest.raises(assay.ServerUnreachable, match="did not answer in time"):
            store.cancel_run(7)
        answers.set()

        assert looking.result() == {}


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "5", True])
def test_a_timeout_is_a_number_of_seconds(timeout):
    with pytest.raises(assay.NotConfigured, match="timeout is"):
        FeatureStore(url="http://localhost", timeout=timeout)
    with pytest.raises(assay.NotConfigured, match="timeout is"):
        FeatureStore(url="http://localhost").with_options(timeout=timeout)


@pytest.mark.parametrize("retries", [-1, 1.5, "3", True])
def test_retries_are_a_whole_number(retries):
    with pytest.raises(assay.NotConfigured, match="retries is"):
        FeatureStore(url="http://localhost", retries=retries)


def busy_store(peer, **options):
    peer.answers_with("POST get-online-features", LATER, 503, Retry_After="0")
    return FeatureStore(url=peer.url, token="t", project="rides", **options)


@pytest.mark.parametrize("retries", [0, 1, 5])
def test_a_store_says_how_often_reads_are_asked_again(peer, retries):
    with busy_store(peer, retries=retries) as store, pytest.raises(assay.Unavailable):
        read(store)

    assert len(peer.requests) == 1 + retries


def test_one_call_may_have_less_patience_than_its_store(peer):
    with busy_store(peer, retries=2) as store:
        for each, asked in ((store.with_options(retries=0), 1), (store, 4)):
            with pytest.raises(assay.Unavailable):
                read(each)

            assert len(peer.requests) == asked


def test_what_a_call_says_nothing_of_stays_as_its_store_has_it(peer):
    with busy_store(peer, timeout=9, retries=2) as store:
        other = store.with_options(timeout=0.5)

        assert other._transport.patience == Patience(0.5, 2)
        assert other.with_options(retries=0)._transport.patience == Patience(0.5, 0)
        assert store._transport.patience == Patience(9, 2)


def test_options_of_a_call_open_no_other_connections(echo):
    with FeatureStore(url=echo, token="t", project="rides") as store:
        for turn in range(5):
            assert read_many(store.with_options(timeout=5 + turn), turn) == 0

    assert Echo.connections == 1


def test_broken_connections_and_busy_servers_share_one_bound(peer):
    for _ in range(2):
        peer.drops("POST get-online-features")
    with busy_store(peer, retries=3) as store, pytest.raises(assay.Unavailable):
        read(store)

    assert len(peer.requests) == 4


def test_a_body_that_broke_off_is_asked_for_again(peer, store):
    peer.answers_with("GET entities/driver", {"name": "driver"}, Content_Length="999")
    peer.answers_with("GET entities/driver", {"name": "driver"})

    assert store.get_entity("driver") == {"name": "driver"}
