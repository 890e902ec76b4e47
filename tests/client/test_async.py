"""The client on an event loop: every call of the other, waiting as tasks do."""

from __future__ import annotations

import asyncio
import hashlib
import io
import pickle
import socket
import subprocess
import sys
import threading

import pytest

import assay
from assay import AsyncFeatureStore, AsyncHistoricalJob
from assay.aio import sending
from tests.client.test_processes import ANSWER, LATER, Echo, echo  # noqa: F401 - a fixture
from tests.servers import ROOT

FILE = b"0123456789"


@pytest.fixture
def run(peer):
    """Run what is written for a store of the peer."""

    def run(body, **options):
        async def whole():
            async with AsyncFeatureStore(peer.url, "t0ken", "rides", **options) as store:
                return await body(store)

        return asyncio.run(whole())

    return run


def read(store):
    return store.get_online_features("menu", {"id": [1]})


def test_a_request_is_the_one_that_the_other_client_sends(peer, store, run):
    peer.answers_with("POST get-online-features", ANSWER)
    peer.answers_with("GET runs", {"results": [{"id": 1}], "next": None})
    read(store), store.runs(status="failed")

    async def both(store):
        await read(store)
        assert await store.runs(status="failed") == [{"id": 1}]

    run(both)

    for one, other in zip(peer.requests[:2], peer.requests[2:], strict=True):
        assert (one.method, one.path, one.query, one.body) == (
            other.method,
            other.path,
            other.query,
            other.body,
        )
        for name in ("Authorization", "Accept", "User-Agent", "Accept-Encoding", "Content-Type"):
            assert one.headers.get(name) == {k.title(): v for k, v in other.headers.items()}.get(
                name
            )
        assert "Cookie" not in other.headers


def test_a_name_cannot_leave_its_place_in_the_path(peer, run):
    with pytest.raises(assay.NotFound):
        run(lambda store: store.get_entity("../runs?x=1"))

    assert peer.requests[0].path == "/api/v1/projects/rides/entities/..%2Fruns%3Fx%3D1"


def test_many_tasks_share_a_store_and_no_answer_is_anothers(echo):  # noqa: F811
    async def whole():
        async with AsyncFeatureStore(echo, "t", "rides") as store:

            async def ask(key):
                found = await store.get_online_features("menu", {"id": [key]})
                return found.to_dict() == {"id": [key], "value": [f"of {key}"]}

            assert all(await asyncio.gather(*map(ask, range(500))))

    threads = threading.active_count()
    asyncio.run(whole())

    assert Echo.connections <= sending.MOST_CONNECTIONS
    assert threading.active_count() <= threads + Echo.connections  # the server's own alone


def test_one_task_after_another_uses_one_connection(echo):  # noqa: F811
    async def whole():
        async with AsyncFeatureStore(echo, "t", "rides") as store:
            for key in range(20):
                await store.get_online_features("menu", {"id": [key]})

    asyncio.run(whole())

    assert Echo.connections == 1


def test_a_store_goes_on_in_another_loop_and_in_a_pickle(echo):  # noqa: F811
    store = AsyncFeatureStore(echo, "s3cret", "rides", retries=1)

    async def ask(store):
        return len(await store.get_online_features("menu", {"id": [1, 2]}))

    assert [asyncio.run(ask(store)) for _ in range(2)] == [2, 2]
    again = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own
    assert asyncio.run(ask(again)) == 2
    assert "s3cret" not in repr(again)


@pytest.mark.parametrize("status", [429, 503])
def test_reads_are_asked_again_as_the_other_client_does(peer, run, status):
    peer.answers_with("POST get-online-features", LATER, status, Retry_After="0")
    peer.drops("POST get-online-features")
    peer.answers_with("POST get-online-features", ANSWER)

    assert len(run(read)) == 1
    assert len(peer.requests) == 3


def test_one_call_may_have_less_patience(peer, run):
    peer.answers_with("POST get-online-features", LATER, 503, Retry_After="0")

    with pytest.raises(assay.Unavailable):
        run(lambda store: read(store.with_options(retries=0)))

    assert len(peer.requests) == 1


def test_a_change_is_never_sent_twice(peer, run):
    peer.drops("POST runs/7/cancel")

    with pytest.raises(assay.ServerUnreachable, match="broke off the connection"):
        run(lambda store: store.cancel_run(7))

    assert len(peer.requests) == 1


def test_a_problem_becomes_the_exception_of_its_kind(peer, run):
    peer.answers_with("POST runs/7/cancel", {"code": "over", "detail": "it ended"}, 409)

    with pytest.raises(assay.Conflict, match="it ended"):
        run(lambda store: store.cancel_run(7))


def test_a_redirect_is_not_followed_with_the_token(peer, run):
    peer.answers_with("GET runs/1", {}, 302, Location="http://elsewhere.invalid/")

    with pytest.raises(assay.ServerError, match=r"redirects to http://elsewhere\.invalid/"):
        run(lambda store: store.get_run(1))


def test_an_address_where_nobody_listens_says_what_to_check():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        store = AsyncFeatureStore(url, "t", "rides", retries=0)

        with pytest.raises(assay.ServerUnreachable, match="cannot be reached.*is the server"):
            asyncio.run(store.get_run(1))


@pytest.fixture
def silent():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_an_answer_that_takes_longer_than_the_timeout_is_unreachable(silent):
    store = AsyncFeatureStore(silent, "t", "rides", timeout=0.05)

    with pytest.raises(assay.ServerUnreachable, match="did not answer in time"):
        asyncio.run(read(store))


def connections_of(store):
    client = store._inner._transport._sender._client
    return client._transport._pool.connections if client else []


def test_other_tasks_go_on_while_one_waits_and_it_can_be_cancelled(silent):
    async def whole():
        async with AsyncFeatureStore(silent, "t", "rides") as store:
            waiting = asyncio.create_task(read(store))
            while not connections_of(store):
                await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            return connections_of(store)

    assert asyncio.run(whole()) == []


def test_pauses_hold_up_nobody(peer, run):
    peer.answers_with("GET runs/7", {"id": 7, "status": "running"})

    async def body(store):
        waiting = asyncio.create_task(store.wait_for_run(7))
        turns = 0
        while len(peer.requests) < 3:
            turns += 1
            await asyncio.sleep(0.001)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return turns

    assert run(body) > 20


JOB = {
    "id": 3,
    "status": "queued",
    "progress": "waits",
    "warnings": [],
    "explain": [],
    "sha256": hashlib.sha256(FILE).hexdigest(),
}


def test_a_job_is_awaited_and_its_file_comes_piece_by_piece(peer, run, tmp_path):
    peer.answers_with("POST historical-jobs", JOB, 202)
    peer.answers_with("GET historical-jobs/3", {**JOB, "status": "done", "progress": "done"})
    for _ in range(2):
        peer.answers_with(
            "GET historical-jobs/3/download", FILE[:4], ETag='"a"', Content_Length="10"
        )
        peer.answers_with("GET historical-jobs/3/download", FILE[4:], 206, ETag='"a"')
    seen = []

    async def body(store):
        frame = {"id": [1], "event_timestamp": ["2026-01-01"]}
        job = await store.get_historical_features(frame, ["v:f"], as_job=True)
        assert type(job) is AsyncHistoricalJob
        assert (job.id, job.status) == (3, "queued")
        assert await job.wait(on_progress=lambda found: seen.append(found["status"])) is job
        assert job.status == "done"
        assert [piece async for piece in job.chunks()] == [b"0123", b"456789"]
        await job.write(tmp_path / "rows.parquet")

    run(body)

    assert seen == ["queued", "done"]
    assert (tmp_path / "rows.parquet").read_bytes() == FILE


def test_a_download_that_is_left_gives_its_connection_back(peer, run):
    whole = FILE * 1_000_000
    peer.answers_with("GET historical-jobs/3", {**JOB, "status": "done"})
    peer.answers_with("GET historical-jobs/3/download", whole, ETag='"a"')

    async def body(store):
        pieces = (await store.get_historical_job(3)).chunks()
        assert whole.startswith(await anext(pieces))
        await pieces.aclose()
        assert connections_of(store) == []

    run(body)


def test_a_file_that_is_not_whole_is_not_written(peer, run, tmp_path):
    peer.answers_with("GET historical-jobs/3", {**JOB, "status": "done", "sha256": "0"})
    peer.answers_with("GET historical-jobs/3/download", FILE, ETag='"a"')

    async def body(store):
        await (await store.get_historical_job(3)).write(tmp_path / "rows.parquet")

    with pytest.raises(assay.ServerError, match="is not the file"):
        run(body)

    assert list(tmp_path.iterdir()) == []


def test_what_is_written_comes_in_order(peer, run):
    peer.answers_with("GET audit/export", b"a\nb\n")
    into = io.BytesIO()

    run(lambda store: store.export_audit(into))

    assert into.getvalue() == b"a\nb\n"


def test_files_are_sent_and_written(peer, run, tmp_path):
    (tmp_path / "frame.csv").write_text("id,event_timestamp\n1,2026-01-01\n")
    peer.answers_with("POST get-historical-features", b"id\n1\n", Content_Type="text/csv")

    async def body(store):
        return await store.write_historical_features(
            tmp_path / "frame.csv", tmp_path / "rows.csv", ["v:f"]
        )

    assert run(body) == []
    assert (tmp_path / "rows.csv").read_bytes() == b"id\n1\n"
    assert peer.requests[0].body == (tmp_path / "frame.csv").read_bytes()
    assert "Transfer-Encoding" not in {name.title() for name in peer.requests[0].headers}


def python(code):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=ROOT)


@pytest.mark.parametrize("lacking", ["greenlet", "httpx2"])
def test_without_the_extra_it_says_what_to_install(lacking):
    code = f"""
import sys
sys.modules[{lacking!r}] = None
import asyncio, assay
try:
    asyncio.run(assay.AsyncFeatureStore("http://127.0.0.1:9", "t", "p").whoami())
except assay.MissingExtra as exc:
    print(exc)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=240, cwd=ROOT
    )

    assert "pip install 'assay[async]'" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("client", "others"),
    [("FeatureStore", {"greenlet", "httpx2", "asyncio"}), ("AsyncFeatureStore", {"urllib3"})],
)
def test_each_client_loads_none_of_the_others_libraries(client, others):
    code = f"""
import sys, assay
assay.{client}("http://127.0.0.1:9", "t", "p")
print({others} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=240, cwd=ROOT
    )

    assert done.stdout.strip() == "set()", done.stdout + done.stderr
