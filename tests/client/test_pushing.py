"""Rows sent by the client and the command: in which batches, with which keys, what comes back."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.feather as pf
import pyarrow.parquet as pq
import pytest

from assay import Invalid, QualityRejected
from assay.cli.app import main

ROWS = {"driver_id": [1, 2, 3], "fare": [1.5, math.nan, None]}


def answer(rows, refused=()):
    return {
        "rows": rows,
        "taken": rows - len(refused),
        "refused_count": len(refused),
        "refused": list(refused),
        "feature_views": ["last_trip@1.0.0"],
        "received_at": "2026-03-01T12:00:00Z",
    }


def test_rows_go_in_batches_each_with_a_key_of_its_own(peer, store):
    bad = {"row": 0, "column": "fare", "value": "-1", "valid": "min 0"}
    peer.answers_with("POST push", answer(2))
    peer.answers_with("POST push", answer(1, [bad]))

    got = store.push("trips", ROWS, partial=True, idempotency_key="k", batch_rows=2)

    assert (got["rows"], got["taken"], got["refused"]) == (3, 2, [{**bad, "row": 2}])
    first, second = (sent.json() for sent in peer.requests)
    assert first == {
        "push_source_name": "trips",
        "to": "online_and_offline",
        "df": {"driver_id": [1, 2], "fare": [1.5, "NaN"]},
        "partial": True,
    }
    assert second["df"] == {"driver_id": [3], "fare": [None]}
    keys = [sent.headers["Idempotency-Key"] for sent in peer.requests]
    assert keys == ["k/0", "k/2"]


def test_a_reader_is_read_as_its_rows_are_sent(peer, store):
    given = []

    def batches():
        for start in range(0, 7, 3):
            given.append(len(peer.requests))
            if start == 6:
                raise pa.ArrowInvalid("the file ends")
            yield pa.record_batch({"driver_id": list(range(start, start + 3))})

    schema = pa.schema({"driver_id": pa.int64()})
    for _ in range(3):
        peer.answers_with("POST push", answer(2))
    reader = pa.RecordBatchReader.from_batches(schema, batches())

    with pytest.raises(Invalid, match="breaks off: Invalid: the file ends$") as caught:
        store.push("trips", reader, idempotency_key="k", batch_rows=2)

    sent = [each.json()["df"]["driver_id"] for each in peer.requests]
    assert sent == [[0, 1], [2, 3], [4, 5]]
    assert [each.headers["Idempotency-Key"] for each in peer.requests] == ["k/0", "k/2", "k/4"]
    assert given == [0, 1, 3]  # nothing is read before what was read is sent
    assert caught.value.data["taken"] == 6
    whole = pa.RecordBatchReader.from_batches(schema, [pa.record_batch({"driver_id": [1, 2, 3]})])
    store.push("trips", whole)
    assert peer.requests[-1].json()["df"] == {"driver_id": [1, 2, 3]}


def test_nan_of_a_pandas_frame_is_a_null_where_it_has_no_other(peer, store):
    peer.answers_with("POST write-to-online-store", answer(3))
    fares = pa.table({"fare": pa.array([1.5, math.nan, None])})

    store.write_to_online_store("last_trip", fares.to_pandas())
    store.write_to_online_store("last_trip", fares.to_pandas(types_mapper=pd.ArrowDtype))

    assert [sent.json()["df"]["fare"] for sent in peer.requests] == [
        [1.5, None, None],
        [1.5, "NaN", None],
    ]


def test_what_breaks_off_is_sent_again_with_its_key(peer, store):
    peer.drops("POST push")
    peer.answers_with("POST push", answer(3))

    assert store.push("trips", ROWS)["taken"] == 3
    first, second = (sent.headers["Idempotency-Key"] for sent in peer.requests)
    assert first == second


def test_refused_rows_are_counted_from_the_first_of_the_call(peer, store):
    refused = [{"row": 1, "column": "fare", "value": "-1", "valid": "min 0"}]
    problem = {"status": 422, "code": "rows_refused", "detail": "1 of 2", "refused": refused}
    peer.answers_with("POST push", answer(1))
    peer.answers_with("POST push", problem, status=422)

    with pytest.raises(QualityRejected) as caught:
        store.push("trips", {"fare": [1, 2, -1]}, batch_rows=1)

    assert caught.value.data["taken"] == 1
    assert caught.value.data["refused"][0]["row"] == 2


@pytest.fixture
def told(peer, monkeypatch):
    """The command knows whom to ask."""
    for name, value in (("URL", peer.url), ("TOKEN", "t"), ("PROJECT", "rides")):
        monkeypatch.setenv(f"ASSAY_{name}", value)


def test_the_command_sends_json_lines(peer, told, tmp_path, capsys):
    peer.answers_with("POST push", answer(2))
    lines = tmp_path / "rows.jsonl"
    lines.write_text(json.dumps({"driver_id": 1}) + "\n" + json.dumps({"driver_id": 2, "fare": 3}))

    assert main(["push", "trips", str(lines)]) == 0

    assert peer.requests[0].json()["df"] == {"driver_id": [1, 2], "fare": [None, 3]}
    assert "2 of 2 rows taken" in capsys.readouterr().out


def test_the_command_names_each_row_that_is_refused_and_what_is_taken(peer, told, tmp_path, capsys):
    refused = [{"row": n, "column": "fare", "value": "-1", "valid": "min 0"} for n in (0, 1)]
    problem = {"status": 422, "code": "rows_refused", "detail": "2 of 2", "refused": refused}
    peer.answers_with("POST push", answer(2))
    peer.answers_with("POST push", problem, status=422)
    lines = tmp_path / "rows.jsonl"
    lines.write_text('{"fare": 1}\n' * 2 + '{"fare": -1}\n' * 2)

    assert main(["push", "trips", str(lines), "--batch-rows", "2"]) != 0

    said = capsys.readouterr().err
    assert "row 2, fare -1: min 0\nrow 3, fare -1: min 0\n" in said
    assert "2 rows taken before these; --partial takes the others too" in said


def test_a_text_may_have_ends_of_lines_that_json_has_none_of(peer, told, tmp_path):
    peer.answers_with("POST push", answer(2))
    rows = [{"note": "a\u2028b\u0085c\u2029"}, {"note": "\x7f\x9c"}]
    lines = tmp_path / "rows.jsonl"
    text = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n"
    lines.write_text(text, encoding="utf-8", newline="")

    assert main(["push", "trips", str(lines)]) == 0

    assert peer.requests[0].json()["df"] == {"note": [row["note"] for row in rows]}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"fare": 1, "fare": 2}', "line 2 cannot be read as JSON: an object has the key 'fare'"),
        ('{"way": {"a": 1, "b": 2, "a": 1}}', "the key 'a' twice"),
        ('{"fare": 1', "line 2 cannot be read as JSON"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_nothing_is_sent(
    peer, told, tmp_path, capsys, line, says
):
    lines = tmp_path / "rows.jsonl"
    lines.write_text(f'{{"fare": 1}}\n{line}\n')

    assert main(["push", "trips", str(lines)]) != 0

    assert says in capsys.readouterr().err
    assert not peer.requests


TRIPS = pa.table({"driver_id": [1, 2, 3], "fare": [1.5, None, 3.0], "city": ["Bern", "", None]})
SENT = [
    {"driver_id": [1, 2], "fare": [1.5, None], "city": ["Bern", ""]},
    {"driver_id": [3], "fare": [3.0], "city": [None]},
]
SCHEMA = {
    "schema": {
        "driver_id": "int64", "fare": "float64", "city": "string", "ok": "bool",
        "paid": "list<float64>",
    }
}  # fmt: skip


def _stream(table, path):
    with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)


def _lines(table, path):
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))


WRITERS = {
    "rows.parquet": pq.write_table,
    "rows.arrow": _stream,
    "rows.feather": lambda table, path: pf.write_feather(table, path, chunksize=1),
    "rows.csv": pc.write_csv,
    "rows.jsonl": _lines,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_of_each_kind_is_sent_some_rows_at_a_time(peer, store, tmp_path, name):
    peer.answers_with("GET data-sources/trips", SCHEMA)
    peer.answers_with("POST push", answer(2))
    peer.answers_with("POST push", answer(1))
    WRITERS[name](TRIPS, str(tmp_path / name))
    seen = []

    got = store.push_file(
        "trips", tmp_path / name, batch_rows=2, idempotency_key="k", on_progress=seen.append
    )

    pushes = [sent for sent in peer.requests if sent.method == "POST"]
    assert [sent.json()["df"] for sent in pushes] == SENT
    assert [sent.headers["Idempotency-Key"] for sent in pushes] == ["k/0", "k/2"]
    assert (got["taken"], [total["rows"] for total in seen]) == (3, [2, 3])


def test_a_csv_file_has_values_of_the_declared_types(peer, store, tmp_path):
    kinds = {"n": "int32", "x": "float64", "ok": "bool", "zip": "string", "at": "timestamp"}
    kinds |= {"tags": "list<string>", "about": "json", "price": "decimal(6,2)"}
    peer.answers_with("GET data-sources/trips", {"schema": kinds})
    peer.answers_with("POST push", answer(4))
    (tmp_path / "rows.csv").write_text(
        "n,x,ok,zip,at,tags,about,price\n"
        '7,NaN,true,00700,2026-01-01T00:00:00Z,"[""a""]","{""b"": 1.10}",1.50\n'
        ',,,"",,,,\n'
        " 7.0,-0,False,,,,,\n"
        "1e3,9007199254740993,1,,,,,\n"
    )

    store.push_file("trips", tmp_path / "rows.csv")

    assert peer.requests[-1].json()["df"] == {
        "n": [7, None, 7, 1000],
        "x": ["NaN", None, 0.0, 9007199254740993],
        "ok": [True, None, False, True],
        "zip": ["00700", "", None, None],
        "at": ["2026-01-01T00:00:00Z", None, None, None],
        "tags": [["a"], None, None, None],
        "about": ['{"b": 1.10}', None, None, None],
        "price": ["1.50", None, None, None],
    }


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "a.csv",
            "driver_id,fare\n1,2\n1.5,2\n",
            "a.csv, row 1, column driver_id: '1.5' is no int",
        ),
        ("a.csv", "driver_id,fare\n1_0,2\n", "'1_0' is no int64; write a whole number"),
        ("a.csv", "driver_id,fare\n1e999999999,2\n", "'1e999999999' is no int64"),
        ("a.csv", f"driver_id,fare\n{'9' * 40}.5,2\n", "9.5' is no int64"),
        ("a.csv", "driver_id,fare\n1,1e400\n", "'1e400' is no float64; write a number, as in"),
        ("a.csv", "driver_id,fare\n1,-1e4000\n", "'-1e4000' is no float64"),
        ("a.csv", "driver_id,ok\n1,yes\n", "'yes' is no bool; write true, false, 1 or 0"),
        ("a.csv", 'driver_id,paid\n1,"[1e400]"\n', "no list<float64>; write an array of JSON"),
        ("a.jsonl", '{"fare": 1e400}\n', "line 1 cannot be read as JSON: 1e400 is beyond"),
        ("a.jsonl", '{"fare": [1e00400]}\n', "1e00400 is beyond"),
        ("a.csv", "driver_id,fare\n1,2,3\n", "a.csv cannot be read"),
        ("a.csv", "driver_id,fare\n", "a.csv has no rows"),
        ("a.parquet", "no parquet", "a.parquet cannot be read"),
        ("a.arrow", "no arrow", "a.arrow cannot be read"),
        ("a.jsonl", "", "a.jsonl has no rows"),
        ("a.jsonl", "[1]\n", "a.jsonl, line 1 is no JSON object"),
        ("a.xlsx", b"\xff\xfe", "rows are read from .parquet"),
        ("not there.jsonl", None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(peer, store, tmp_path, name, text, says):
    peer.answers_with("GET data-sources/trips", SCHEMA)
    if text is not None:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    with pytest.raises(Invalid, match=says):
        store.push_file("trips", name)

    assert not [sent for sent in peer.requests if sent.method == "POST"]


def test_what_was_sent_before_a_row_that_cannot_be_read_is_counted(peer, store, tmp_path):
    peer.answers_with("GET data-sources/trips", SCHEMA)
    peer.answers_with("POST push", answer(2))
    (tmp_path / "a.csv").write_text("driver_id\n1\n2\nthree\n")

    with pytest.raises(Invalid, match="row 2, column driver_id: 'three'") as caught:
        store.push_file("trips", "a.csv", batch_rows=2)

    assert caught.value.data["taken"] == 2


COMPUTED = {
    "metadata": {
        "feature_names": ["driver_id", "fare"],
        "value_types": ["int64", "float64"],
        "feature_view": "last_trip@1.0.0",
        "warnings": ["last_trip@1.0.0 is deprecated"],
    },
    "results": [
        {"values": [1, None], "statuses": ["PRESENT", "NOT_FOUND"], "event_timestamps": [None] * 2},
        {
            "values": ["NaN", None],
            "statuses": ["PRESENT", "NOT_FOUND"],
            "event_timestamps": [None] * 2,
        },
    ],
    "rows": 2,
    "left_out": 1,
    "refused_count": 0,
    "refused": [],
}


def test_what_a_view_makes_of_rows_is_answered_as_a_read_is(peer, store):
    peer.answers_with("POST compute", COMPUTED)

    got = store.compute("last_trip", {"driver_id": [1, 2], "fare": [math.nan, None]})

    assert peer.requests[0].json() == {
        "feature_view": "last_trip",
        "df": {"driver_id": [1, 2], "fare": ["NaN", None]},
        "partial": False,
    }
    assert got.warnings == ["last_trip@1.0.0 is deprecated"]
    assert got.statuses()["fare"] == ["PRESENT", "NOT_FOUND"]
    assert math.isnan(got.to_dict()["fare"][0])


def test_the_command_shows_what_a_view_makes_of_rows(peer, told, tmp_path, capsys):
    peer.answers_with("POST compute", COMPUTED)
    lines = tmp_path / "rows.jsonl"
    lines.write_text('{"driver_id": 1}\n{"driver_id": 2}')

    assert main(["--json", "compute", "last_trip", str(lines)]) == 0
    assert json.loads(capsys.readouterr().out)["values"]["driver_id"] == [1, None]
