"""Uploaded frames over HTTP: odd names, odd types, and bytes that are no frame at all."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta

import pandas as pd
import pandas.core.arrays.arrow.extension_types  # noqa: F401 - makes its types known
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import ipc

from tests import factories
from tests.servers import ROOT
from tests.serving.historical.test_api import arrow, parquet
from tests.serving.historical_world import answer, ask, stored_view

pytestmark = pytest.mark.django_db

PARQUET = "application/vnd.apache.parquet"
ARROW = "application/vnd.apache.arrow.stream"
CSV = "text/csv"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
INSTANT = pa.timestamp("us", "UTC")
QUERY = "?features=driver_hourly:avg_daily_trips"
ROWS = [{"driver_id": 1001, "event": NOON - HOUR, "avg_daily_trips": 3}]


@pytest.fixture
def drivers(cast):
    return stored_view(cast, ROWS, at=NOON)


def upload(client, token, body, media_type=ARROW, *, accept=ARROW, query=QUERY):
    return ask(client, token, body, content_type=media_type, accept=accept, query=query)


def frame(**more):
    return pa.table({"driver_id": [1001], "event_timestamp": pa.array([NOON], INSTANT), **more})


NAMES = ["__row", "__event", "__found", "__time", "__sequence", "rowid", "filename", "found", "f",
         "", "Event_Timestamp", "EVENT_TIMESTAMP", "Driver_ID", "created_timestamp", '"', 'a"b',
         "a,b", "x" * 300, "\n", "é", "entity_rows", "Avg_Daily_Trips",
         "'; drop table x; --"]  # fmt: skip


@pytest.mark.parametrize(
    ("media_type", "write"), [(PARQUET, parquet), (ARROW, arrow)], ids=["parquet", "arrow"]
)
def test_other_columns_may_have_any_name(client, token, drivers, media_type, write):
    labels = {name: [f"label {place}"] for place, name in enumerate(NAMES)}

    response = upload(client, token, write(frame(**labels)), media_type)

    assert response.status_code == 200, response.content
    found = ipc.open_stream(response.content).read_all()
    assert found.column_names == ["driver_id", "event_timestamp", *NAMES, "avg_daily_trips"]
    assert {name: found[name].to_pylist() for name in NAMES} == labels
    assert found["avg_daily_trips"].to_pylist() == [3]


def test_a_type_that_only_its_writer_knows_is_refused_in_words(client, token, drivers):
    """Pandas, which a web process may have, fails over what these say of themselves."""
    names = "pandas.period", "pandas.interval", "no.such.type"
    for name, nested in [(name, nested) for name in names for nested in (False, True)]:
        told = {"ARROW:extension:name": name, "ARROW:extension:metadata": "{}"}
        field = pa.field("p", pa.int64(), metadata=told)
        field = pa.field("p", pa.struct([field])) if nested else field
        base = frame(p=pa.array([{"p": 1}] if nested else [1], field.type))
        odd = base.cast(pa.schema([*list(base.schema)[:-1], field]))
        for media_type, write in ((PARQUET, parquet), (ARROW, arrow)):
            response = upload(client, token, write(odd), media_type)

            assert response.status_code == 422, (name, nested, media_type, response.content)
            assert (
                f"column 'p' is of the Arrow extension type {name!r}" in (response.json()["detail"])
            )


@pytest.mark.parametrize("key", ["found", "entity_time", "file_name", "rowid"])
def test_a_join_key_may_have_any_name_of_the_registrys(client, token, cast, key):
    text = factories.DEFINITIONS.replace("driver_id", key)
    stored_view(cast, [{key: 1001, "event": NOON - HOUR, "avg_daily_trips": 3}], at=NOON, text=text)

    response = upload(client, token, arrow(frame().rename_columns([key, "event_timestamp"])))

    assert response.status_code == 200, response.content
    found = ipc.open_stream(response.content).read_all()
    assert found["avg_daily_trips"].to_pylist() == [3]


def test_a_folder_named_like_a_partition_replaces_no_feature(client, token, cast, settings):
    settings.OFFLINE_STORE = settings.OFFLINE_STORE / "avg_daily_trips=7"
    stored_view(cast, ROWS, at=NOON)

    response = upload(client, token, arrow(frame()), accept="application/json")

    assert answer(response)["avg_daily_trips"] == [3]


@pytest.mark.parametrize("zone", ["America/New_York", "Nowhere/Land", "+05:30"])
def test_nanoseconds_in_any_zone_are_the_instants_they_are(client, token, drivers, zone):
    repeated = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    times = pa.array([repeated], pa.timestamp("ns", "UTC")).cast(pa.timestamp("ns", zone))

    response = upload(client, token, arrow(pa.table({"driver_id": [1], "event_timestamp": times})))

    assert response.status_code == 200, response.content
    assert ipc.open_stream(response.content).read_all()["event_timestamp"].to_pylist() == [repeated]


def test_a_pandas_frame_of_the_hour_that_clocks_repeat_is_answered(client, token, drivers):
    times = pd.DatetimeIndex(["2026-11-01T05:30Z", "2026-11-01T06:30Z"]).as_unit("ns")
    sent = pd.DataFrame({"driver_id": 1, "event_timestamp": times.tz_convert("America/New_York")})

    response = upload(client, token, parquet(pa.Table.from_pandas(sent)), PARQUET, accept=PARQUET)

    assert response.status_code == 200, response.content
    found = pq.read_table(io.BytesIO(response.content))["event_timestamp"]
    assert found.to_pylist() == list(times.to_pydatetime())


def no_utf8() -> pa.Array:
    return pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xde"]).buffers())


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        (PARQUET, parquet(frame(note=no_utf8()))),
        (ARROW, arrow(frame(note=no_utf8()))),
        (ARROW, arrow(frame(notes=["a"])).replace(b"notes", b"not\xde\xde")),
        (ARROW, arrow(frame(note=pa.array([{"notes": 1}]))).replace(b"notes", b"not\xde\xde")),
        (
            ARROW,
            arrow(frame(note=pa.array([1], pa.timestamp("us", "Nowhere")))).replace(
                b"Nowhere", b"Now\xde\xdere"
            ),
        ),
        (CSV, b"driver_id,event_timestamp,note\n1001,2026-03-01,\xde\n"),
        (CSV, b"driver_id,event_timestamp,\xde\n1001,2026-03-01,a\n"),
    ],
)
def test_text_that_is_no_utf8_is_refused(client, token, drivers, media_type, body):
    response = upload(client, token, body, media_type, accept="application/json")

    assert (response.status_code, response.json()["code"]) == (422, "invalid_entity_frame")


def test_a_column_that_the_form_asked_for_cannot_carry_is_refused_by_name(client, token, drivers):
    far = pa.array([[2**31 - 1]], pa.list_(pa.date32()))

    response = upload(client, token, arrow(frame(far=far)), accept=CSV)

    assert response.status_code == 422
    body = response.json()
    assert (body["code"], body["column"], body["valid"]) == (
        "unwritable_column",
        "far",
        [PARQUET, ARROW],
    )


def test_explain_warns_only_of_timings_that_differ(client, token, drivers):
    response = upload(
        client, token, arrow(frame()), accept="application/json", query=f"{QUERY}&explain=true"
    )

    metadata = response.json()["metadata"]
    assert [part["timings_differ"] for part in metadata["explain"]] == [0]
    assert "warnings" not in metadata
    assert "Assay-Warnings" not in response


@pytest.mark.parametrize(("kind", "first"), [(pa.string_view(), "a"), (pa.binary_view(), b"a")])
def test_categories_as_polars_sends_them_come_back(client, token, drivers, kind, first):
    words = pa.array(["b", "a"]).cast(kind)
    column = pa.DictionaryArray.from_arrays(pa.array([1], pa.uint32()), words)

    response = upload(client, token, arrow(frame(category=column)))

    assert response.status_code == 200, response.content
    assert ipc.open_stream(response.content).read_all()["category"].to_pylist() == [first]


MANY = pa.table(
    {
        "driver_id": range(1000, 1040),
        "event_timestamp": pa.array([NOON] * 40, pa.timestamp("us", "Europe/Berlin")),
        "name": [f"name {n}" for n in range(40)],
        "code": pa.array(["a", "b"] * 20).dictionary_encode(),
        "list": [[n, None] for n in range(40)],
        "struct": [{"a": n, "b": b"\xff"} for n in range(40)],
    }
)
VIEWS = MANY.append_column(
    "view", pa.array(["long enough not to be inline"] * 40, pa.string_view())
)
LINES = "".join(f'{n},2026-03-01T12:00:00Z,{n / 4},"a,\nb{n}"\n' for n in range(1000, 1040))
BODIES = {
    PARQUET: parquet(MANY),
    ARROW: arrow(VIEWS),
    CSV: b"driver_id,event_timestamp,x,note\n" + LINES.encode(),
}
FORMS = ("application/json", PARQUET, ARROW, CSV)


def damaged(body: bytes, dice: random.Random) -> bytes:
    """Return the body cut off, with a few other bytes, or with a number made huge."""
    place = dice.randrange(len(body))
    kind = dice.randrange(3)
    if kind == 0:
        return body[:place]
    if kind == 1:
        huge = dice.choice([b"\xff" * 8, b"\x00" * 8, (2**31 - 1).to_bytes(8, "little")])
        return body[:place] + huge + body[place + 8 :]
    changed = bytearray(body)
    for _ in range(dice.randrange(1, 6)):
        changed[dice.randrange(len(body))] = dice.randrange(256)
    return bytes(changed)


@pytest.mark.parametrize("media_type", BODIES)
def test_damaged_uploads_are_answered_or_refused_and_never_fail(client, token, drivers, media_type):
    client.raise_request_exception = False
    dice = random.Random(20260301)

    statuses = Counter(
        upload(
            client, token, damaged(BODIES[media_type], dice), media_type, accept=FORMS[turn % 4]
        ).status_code
        for turn in range(16)
    )

    assert set(statuses) <= {200, 413, 422}
    assert statuses[422] > 3


DECODE_ALL = """
import io, json, sys
from collections import Counter
from pathlib import Path
from serving.historical import decode

limits = decode.Limits(rows=1000, columns=100, decoded_bytes=1 << 20)
decode.prepare(sys.argv[1], limits)
out, said = sys.stdout, Counter()
for path in sorted(Path(sys.argv[2]).iterdir()):
    sys.stdin = io.TextIOWrapper(io.BytesIO(path.read_bytes()))
    sys.stdout = io.TextIOWrapper(io.BytesIO())
    said.update(decode.main(sys.argv[1], limits).keys())
sys.stdout = out
print(json.dumps(said))
"""


@pytest.mark.parametrize("media_type", BODIES)
def test_whatever_is_damaged_decodes_within_its_limits_or_is_told(tmp_path, media_type):
    """Many of them one after the other, in one process that is confined as each upload's is."""
    dice = random.Random(20260302)
    for turn in range(300):
        (tmp_path / f"{turn:03}").write_bytes(damaged(BODIES[media_type], dice))

    command = [sys.executable, "-c", DECODE_ALL, media_type, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=120)

    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert said["rows"] + said.get("unreadable", 0) + said.get("limit", 0) == 300
    assert said["rows"] > 5
    assert said["unreadable"] > 10


def test_numbers_of_a_csv_that_stay_text_are_told_in_every_form(client, token, drivers):
    body = b"driver_id,event_timestamp,price\n1001,2026-03-01T12:00:00Z,1e-05\n"

    for form in FORMS:
        said = json.loads(upload(client, token, body, CSV, accept=form)["Assay-Warnings"])
        assert ["column 'price' of the CSV" in each for each in said] == [True]
