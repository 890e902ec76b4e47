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
from assay import FeatureStore, transport

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
    many = transport.MOST_IDLE_CONNECTIONS // 16
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
    store = FeatureStore(url=echo, token="s3cret-t0ken", project="rides", timeout=7)
    read_many(store, 0)

    again = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own

    assert read_many(again, 100) == 0
    assert again._transport.timeout_seconds == 7
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

    assert (len(peer.requests), caught.value.retry_after) == (transport.READ_ATTEMPTS, 0)


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


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_timeout_is_a_number_of_seconds(timeout):
    with pytest.raises(assay.NotConfigured, match="timeout is"):
        FeatureStore(url="http://localhost", timeout=timeout)
