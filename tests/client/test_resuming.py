"""Downloads that break off: the rest is asked for, and no byte of another file is taken for it."""

from __future__ import annotations

import pytest

from assay import ServerError, ServerUnreachable, resuming, transport
from assay.resuming import resumed

PATH = "/api/v1/projects/rides/file"
FILE = b"0123456789"


@pytest.fixture(autouse=True)
def _small_pieces_and_no_pauses(monkeypatch):
    monkeypatch.setattr(resuming, "FIRST_PAUSE_SECONDS", 0)
    monkeypatch.setattr(transport, "CHUNK_BYTES", 2)


def fetched(store):
    return b"".join(resumed(store._transport, PATH))


def test_a_download_goes_on_where_it_was_cut(peer, store):
    peer.answers_with("GET file", FILE[:4], ETag='"a"', Content_Length="10")
    peer.answers_with("GET file", FILE[4:6], 206, ETag='"a"', Content_Length="6")
    peer.drops("GET file")
    peer.answers_with("GET file", FILE[6:], 206, ETag='"a"')

    assert fetched(store) == FILE
    asked = [(each.headers.get("Range"), each.headers.get("If-Range")) for each in peer.requests]
    assert asked == [
        (None, None), ("bytes=4-", '"a"'), ("bytes=6-", '"a"'), ("bytes=6-", '"a"'),
    ]  # fmt: skip


def test_a_server_that_is_started_anew_is_waited_for(peer, store):
    peer.answers_with("GET file", FILE[:4], ETag='"a"', Content_Length="10")
    peer.answers_with("GET file", {"code": "desk_away", "detail": "away"}, 503)
    peer.answers_with("GET file", FILE[4:], 206, ETag='"a"')

    assert fetched(store) == FILE


def test_another_file_is_not_gone_on_with(peer, store):
    peer.answers_with("GET file", FILE[:4], ETag='"a"', Content_Length="10")
    peer.answers_with("GET file", b"another one", ETag='"b"')

    with pytest.raises(ServerError, match="became another"):
        fetched(store)


def test_what_never_comes_is_given_up(peer, store):
    peer.answers_with("GET file", FILE[:4], ETag='"a"', Content_Length="10")
    peer.answers_with("GET file", b"", 206, ETag='"a"', Content_Length="6")

    with pytest.raises(ServerUnreachable):
        fetched(store)
    assert len(peer.requests) == 1 + resuming.MOST_CUTS - 1
