"""How the bytes of a record are read, and which are not."""

from __future__ import annotations

import pytest

from materialization.streams.reader import MAX_RECORD_BYTES
from serving.streams.forms import JsonForm, Unreadable


def test_a_record_says_each_thing_once_and_has_a_bound():
    read = JsonForm().said
    full = b'"' + b"x" * (MAX_RECORD_BYTES - 2) + b'"'

    assert read(full) == "x" * (MAX_RECORD_BYTES - 2)
    for raw, words in (
        (full + b" ", "it has 1,048,577 bytes, and 1,048,576 are read."),
        (b'{"fare": 1, "fare": 2}', "an object has the key 'fare' twice; send it once."),
        (b'{"a": [{"b": 1, "b": 1}]}', "an object has the key 'b' twice; send it once."),
        (b"no JSON", "it is no JSON in UTF-8."),
        (b'"\xff"', "it is no JSON in UTF-8."),
        (b"[" * 100_000, "it is no JSON in UTF-8."),
    ):
        with pytest.raises(Unreadable) as found:
            read(raw)
        assert str(found.value) == words
