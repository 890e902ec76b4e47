"""gzip undone up to a limit, and every other coding refused in words."""

from __future__ import annotations

import gzip

import pytest

from lib.content_codings import BadCompression, gunzipped, is_coded, refusal

BODY = b'{"features": []}' * 1000
PACKED = gzip.compress(BODY, mtime=0)  # the same in each process that names the tests


def test_gzip_is_undone():
    assert gunzipped(PACKED, limit=len(BODY)) == BODY
    assert gunzipped(gzip.compress(b""), limit=0) == b""


def test_no_more_is_made_than_tells_that_it_is_too_much():
    assert len(gunzipped(PACKED, limit=100)) == 101
    assert len(gunzipped(gzip.compress(bytes(50_000_000)), limit=1000)) == 1001


@pytest.mark.parametrize("cut", range(1, len(PACKED), 7))
def test_what_is_cut_off_is_no_shorter_body(cut):
    with pytest.raises(BadCompression):
        gunzipped(PACKED[:cut], limit=len(BODY))


@pytest.mark.parametrize(
    "body", [BODY, b"\x1f\x8b", PACKED[:-8] + bytes(8), PACKED + PACKED, PACKED + b"\0", b"x"]
)
def test_what_is_not_gzip_or_more_than_that_is_told(body):
    with pytest.raises(BadCompression):
        gunzipped(body, limit=10 * len(BODY))


@pytest.mark.parametrize("coding", ["", " identity ", "gzip", "GZIP", "x-gzip"])
def test_these_are_read(coding):
    assert refusal(coding) == ""
    assert is_coded(coding) == ("gzip" in coding.lower())


@pytest.mark.parametrize("coding", ["zstd", "br", "deflate", "gzip, gzip", "gzip;q=1", "x" * 999])
def test_others_are_refused_in_words(coding):
    assert f"'{coding[:100]}'" in refusal(coding)
    assert "gzip or uncompressed" in refusal(coding)
