"""How the bytes of a record are read, and which are not."""

from __future__ import annotations

import pytest

from materialization.streams.reader import MAX_RECORD_BYTES, Record
from registry.spec.sources.streams import RedisStreamSource
from serving.streams.forms import JsonForm, Unreadable
from serving.streams.records import read_rows


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


def test_a_field_that_is_json_is_kept_as_it_is_written():
    source = RedisStreamSource(
        name="trips",
        connection="events",
        stream_key="trips",
        schema={"at": "timestamp", "about": "json"},
        event_timestamp="at",
    )
    fields = [b'{"rate": 1.10}', b'"a word"', b"a word", b'"\xff"']
    records = [
        Record(0, place, None, headers=[("at", b"2026-01-31T12:00:00Z"), ("about", text)])
        for place, text in enumerate(fields)
    ]

    rows, reasons = read_rows(records, source, None)

    assert rows["about"].to_pylist()[:2] == ['{"rate": 1.10}', '"a word"']
    assert {row: reason.column for row, reason in reasons.by_row.items()} == {
        2: "about",
        3: "about",
    }
