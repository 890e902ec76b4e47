"""Parts of files: which one a request asks for, and what it is told of it."""

from __future__ import annotations

import pytest

from lib.resumable import RangeNotSatisfiable, resumable

BYTES = b"0123456789"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "rows"
    path.write_bytes(BYTES)
    return path


def answer(path, **headers):
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return resumable(
        sent, path.open("rb"), mark="the bytes", name="rows.parquet", content_type="a/b"
    )


def tag(path):
    return answer(path)["ETag"]


@pytest.mark.parametrize(
    ("asked", "said", "body"),
    [
        ("bytes=0-3", "bytes 0-3/10", b"0123"),
        ("bytes=4-", "bytes 4-9/10", b"456789"),
        ("bytes=-3", "bytes 7-9/10", b"789"),
        ("bytes=-30", "bytes 0-9/10", BYTES),
        ("bytes=8-99999999999999999", "bytes 8-9/10", b"89"),
        ("Bytes = 9-9", "bytes 9-9/10", b"9"),
    ],
)
def test_a_part_is_given(path, asked, said, body):
    response = answer(path, Range=asked)

    assert response.status_code == 206
    assert response["Content-Range"] == said
    assert response["Content-Length"] == str(len(body))
    assert response.getvalue() == body


@pytest.mark.parametrize(
    "asked",
    ["", "bytes=", "bytes=-", "bytes=5-2", "rows=0-3", "bytes=0-1,4-5", "bytes=a-b", "bytes=٣-"],
)
def test_what_is_no_range_is_answered_whole(path, asked):
    response = answer(path, Range=asked)

    assert response.status_code == 200
    assert (response["Accept-Ranges"], response["Content-Length"]) == ("bytes", "10")
    assert response.getvalue() == BYTES


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_a_part_behind_the_end_is_refused(path, asked):
    with pytest.raises(RangeNotSatisfiable, match="has 10 bytes"):
        answer(path, Range=asked)


def test_a_part_is_of_the_file_that_the_others_were_of(path):
    same = answer(path, Range="bytes=4-", If_Range=tag(path))
    other = answer(path, Range="bytes=4-", If_Range='"another"')

    assert (same.status_code, same.getvalue()) == (206, b"456789")
    assert (other.status_code, other.getvalue()) == (200, BYTES)


def test_whoever_has_it_gets_nothing(path):
    assert answer(path, If_None_Match=f'"x", W/{tag(path)}').status_code == 304
    assert answer(path, If_None_Match="*").status_code == 304
    assert answer(path, If_None_Match='"x"').status_code == 200


def test_the_tag_does_not_say_what_names_the_bytes(path):
    assert "the bytes" not in tag(path)
