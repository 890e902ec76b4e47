"""get-historical-features over HTTP: forms in and out, names, rights, refusals, the trail."""

from __future__ import annotations

import gzip
import io
import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.utils import timezone
from pyarrow import ipc

from materialization.runner.recording import note_stored
from materialization.windows import Window
from registry.models import AuditEntry
from tests import factories
from tests.materialization.histories import past_runs
from tests.serving.historical_world import URL, answer, ask, commit, stored_view
from tests.serving.online.test_answers import EVERYTHING

pytestmark = pytest.mark.django_db

PARQUET = "application/vnd.apache.parquet"
ARROW = "application/vnd.apache.arrow.stream"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TEXT = "2026-03-01T12:00:00.000000Z"
TRIPS = ["driver_hourly:avg_daily_trips"]
ROWS = [
    {"driver_id": 1001, "event": NOON - 3 * HOUR, "avg_daily_trips": 3, "conv_rate": 0.5},
    {"driver_id": 1001, "event": NOON - HOUR, "created": NOON + HOUR, "avg_daily_trips": 1},
    {"driver_id": 1002, "event": NOON - HOUR, "conv_rate": float("nan")},
]


@pytest.fixture
def drivers(cast):
    return stored_view(cast, ROWS, at=NOON)


def body(features=TRIPS, *, ids=(1001, 1002, 9), times=None, **more):
    entities = {"driver_id": list(ids), "event_timestamp": times or [TEXT] * len(ids)}
    return {"features": features, "entities": {**entities, **more.pop("labels", {})}, **more}


def test_json_answers_in_feasts_shape_with_three_statuses(client, token, drivers):
    response = ask(
        client, token, body(["driver_hourly:avg_daily_trips", "driver_hourly:conv_rate"])
    )

    assert response.status_code == 200
    then = "2026-03-01T09:00:00.000000Z"
    later = "2026-03-01T11:00:00.000000Z"
    never = "1970-01-01T00:00:00Z"
    assert response.json() == {
        "metadata": {
            "feature_names": ["driver_id", "event_timestamp", "avg_daily_trips", "conv_rate"],
            "value_types": ["int64", "timestamp", "int32", "float32"],
        },
        "results": [
            {
                "values": [1001, 1002, 9],
                "statuses": ["PRESENT"] * 3,
                "event_timestamps": [never] * 3,
            },
            {"values": [TEXT] * 3, "statuses": ["PRESENT"] * 3, "event_timestamps": [never] * 3},
            {
                "values": [3, None, None],
                "statuses": ["PRESENT", "NULL_VALUE", "NOT_FOUND"],
                "event_timestamps": [then, later, never],
            },
            {
                "values": [0.5, "NaN", None],
                "statuses": ["PRESENT", "PRESENT", "NOT_FOUND"],
                "event_timestamps": [then, later, never],
            },
        ],
    }


def test_timing_event_sees_what_arrived_later(client, token, drivers):
    assert answer(ask(client, token, body(ids=[1001])))["avg_daily_trips"] == [3]
    response = ask(client, token, body(ids=[1001], timing="event"))
    assert answer(response)["avg_daily_trips"] == [1]


def test_order_duplicates_and_other_columns_are_kept(client, token, drivers):
    labels = {"label": ["b", "a", None, "c"]}
    sent = body(ids=[9, 1001.0, None, 1001], times=["2026-03-01T13:00:00+01:00"] * 4, labels=labels)

    found = answer(ask(client, token, sent))

    assert found == {
        "driver_id": [9, 1001, None, 1001],
        "event_timestamp": [TEXT] * 4,
        "label": ["b", "a", None, "c"],
        "avg_daily_trips": [None, 3, None, 3],
    }


def test_int64_is_text_when_asked_both_ways(client, token, drivers):
    """The keys sent as text are those that numbers are, and come back as text."""
    plain = answer(ask(client, token, body()))
    exact = body(ids=("1001", 1002, "9"), int64_as_text=True)

    found = answer(ask(client, token, exact))

    assert found["driver_id"] == ["1001", "1002", "9"]
    assert found["avg_daily_trips"] == plain["avg_daily_trips"]  # int32 stays a number
    for sent, accept, words in (
        (exact | {"int64_as_text": False}, "application/json", "is int64"),
        (exact, ARROW, "int64_as_text is for application/json"),
        (exact | {"int64_as_text": "yes"}, "application/json", "int64_as_text"),
    ):
        refused = ask(client, token, sent, accept=accept)
        assert (refused.status_code, words in refused.json()["detail"]) == (422, True)
    frame = pa.table({"driver_id": [1001], "event_timestamp": [NOON]})
    uploaded = ask(
        client, token, arrow(frame), content_type=ARROW,
        query="?features=driver_hourly:avg_daily_trips&int64_as_text=true",
    )  # fmt: skip
    assert answer(uploaded)["driver_id"] == ["1001"]


def test_a_large_answer_is_gzip_where_that_is_taken(client, token, drivers, settings):
    sent = body(ids=[1001] * 3000, labels={"label": ["x" * 400] * 3000})

    def asked(**headers):
        return client.post(
            URL, data=json.dumps(sent), content_type="application/json",
            headers={"Authorization": f"Bearer {token}", **headers},
        )  # fmt: skip

    whole = asked()
    assert (whole.streaming, "Content-Encoding" in whole) == (True, False)
    found = asked(**{"Accept-Encoding": "gzip"})
    packed = b"".join(found)

    assert (found["Content-Encoding"], found["Vary"]) == ("gzip", "Accept-Encoding")
    assert int(found["Content-Length"]) == len(packed) < 100_000
    assert gzip.decompress(packed) == b"".join(whole)
    for headers in ({"Accept": PARQUET}, {"Accept-Encoding": "gzip;q=0"}):
        other = asked(**({"Accept-Encoding": "gzip"} | headers))
        assert "Content-Encoding" not in other
        other.close()
    settings.GZIP_FROM_BYTES = 0
    assert "Content-Encoding" not in (other := asked(**{"Accept-Encoding": "gzip"}))
    other.close()


def test_explain_counts_and_warnings_name_the_other_timing(client, token, drivers):
    response = ask(client, token, body(explain=True, ids=[1001, 9, 9]))

    metadata = response.json()["metadata"]
    assert metadata["explain"] == [
        {"feature_view": "driver_hourly@1.0.0", "rows": 3, "matched": 1, "timings_differ": 1}
    ]
    assert "gave nothing to 2 of 3 rows" in metadata["warnings"][0]
    assert '"event"' in metadata["warnings"][0]
    assert "differ on 1 of 3 rows" in metadata["warnings"][1]
    assert json.loads(response["Assay-Warnings"]) == metadata["warnings"]


def test_a_training_set_names_the_versions_that_are_older_than_they_promise(client, token, cast):
    names = {"late": "2h", "fresh": "2h", "unpromised": None}
    for name, promise in names.items():
        text = factories.DEFINITIONS.replace("driver_hourly", name)
        text = text.replace("ttl: 2d", f"ttl: 2d\nfreshness: {promise}") if promise else text
        version = stored_view(cast, ROWS, at=NOON, text=text)
        until = timezone.now() if name == "fresh" else NOON
        run = past_runs(version, 1, window_end=until)[0]
        note_stored(run.table, {run: [Window(None, until)]})

    response = ask(
        client, token, body([f"{name}:avg_daily_trips" for name in names], full_feature_names=True)
    )

    (said,) = json.loads(response["Assay-Warnings"])
    assert said.startswith("late@1.0.0 is overdue: it covers the time up to 2026-03-01T12:00:00Z")
    assert said.endswith("promises to be no older than 2h.")


FRAME = pa.table(
    {
        "driver_id": pa.array([1001, 1002], pa.int32()),
        "event_timestamp": pa.array([NOON.replace(tzinfo=None)] * 2, pa.timestamp("ns")),
        "label": pa.array(["a", None]).dictionary_encode(),
    }
)


def parquet(table):
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def arrow(table):
    sink = io.BytesIO()
    with ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize(("media_type", "write"), [(PARQUET, parquet), (ARROW, arrow)])
def test_uploads_come_back_in_the_form_asked_for(client, token, drivers, media_type, write):
    query = "?features=driver_hourly:avg_daily_trips&features=driver_hourly:acc_rate&timing=event"

    response = ask(
        client, token, write(FRAME), content_type=media_type, accept=media_type, query=query
    )

    assert response.status_code == 200, response.content
    assert response["Content-Type"] == media_type
    raw = io.BytesIO(response.content)
    table = pq.read_table(raw) if media_type == PARQUET else ipc.open_stream(raw).read_all()
    assert table.schema.field("avg_daily_trips").type == pa.int32()
    assert table.schema.field("driver_id").type == pa.int32()
    assert table.to_pydict() == {
        "driver_id": [1001, 1002],
        "event_timestamp": [NOON, NOON],
        "label": ["a", None],
        "avg_daily_trips": [1, None],
        "acc_rate": [None, None],
    }


def test_csv_in_and_out_keeps_codes_and_tells_null_from_empty(client, token, drivers, monkeypatch):
    sent = b'driver_id,event_timestamp,code,note\n1001,2026-03-01 12:00:00,007,""\n,2026-03-01,8,\n'
    form = {"content_type": "text/csv; charset=utf-8", "accept": "text/csv"}
    query = "?features=driver_hourly:avg_daily_trips&explain=true"

    response = ask(client, token, sent, query=query, **form)

    assert response.content.decode().splitlines() == [
        '"driver_id","event_timestamp","code","note","avg_daily_trips"',
        '1001,"2026-03-01T12:00:00.000000Z","007","",3',
        ',"2026-03-01T00:00:00.000000Z","8",,',
    ]
    assert "differ on 1 of 2 rows" in json.loads(response["Assay-Warnings"])[0]
    assert json.loads(response["Assay-Explain"])[0]["timings_differ"] == 1
    monkeypatch.setattr("serving.historical.api.MOST_BYTES", 40)
    response = ask(client, token, sent, query=query, **form)
    assert "Assay-Explain" not in response
    assert "counts of 1 views are longer" in json.loads(response["Assay-Warnings"])[0]


def test_names_are_full_when_asked_and_collisions_name_both(client, token, cast, drivers):
    both = ["driver_hourly:conv_rate", "driver_hourly@1.0.0:conv_rate"]

    refused = ask(client, token, body(both))
    found = answer(ask(client, token, body(both, full_feature_names=True)))

    assert refused.status_code == 422
    assert refused.json()["code"] == "feature_name_collision"
    assert refused.json()["features"] == both
    assert list(found)[2:] == ["driver_hourly__conv_rate", "driver_hourly@1.0.0__conv_rate"]


def test_a_column_of_the_frame_with_a_features_name_is_refused(client, token, drivers):
    response = ask(client, token, body(labels={"avg_daily_trips": [1, 2, 3]}))

    assert response.status_code == 422
    assert response.json()["features"] == [*TRIPS, "entity frame: avg_daily_trips"]


def test_a_service_and_a_star_give_all_they_name(client, token, cast, drivers):
    factories.apply("kind: FeatureService\nname: churn\nfeatures: ['driver_hourly:*']", cast)
    sent = {**body(), "feature_service": "churn"}
    del sent["features"]

    served = answer(ask(client, token, sent))

    assert served == answer(ask(client, token, body(["driver_hourly:*"])))
    assert list(served)[2:] == ["conv_rate", "acc_rate", "avg_daily_trips"]


def test_a_later_run_corrects_an_equal_row(client, token, drivers):
    commit(
        drivers, [{"driver_id": 1001, "event": NOON - 3 * HOUR, "avg_daily_trips": 8}], sequence=2
    )

    assert answer(ask(client, token, body(ids=[1001])))["avg_daily_trips"] == [8]


def test_a_ready_table_without_rows_answers_nulls(client, token, cast):
    stored_view(cast, [], at=NOON)

    found = answer(ask(client, token, body(["driver_hourly:*"])))

    assert found["conv_rate"] == [None] * 3


def test_an_empty_frame_gives_an_empty_answer(client, token, drivers):
    found = answer(ask(client, token, body(ids=[])))

    assert found == {"driver_id": [], "event_timestamp": [], "avg_daily_trips": []}


@pytest.mark.parametrize(
    ("who", "status"), [("outsider", 404), ("operator", 403), ("auditor", 403), ("consumer", 200)]
)
def test_only_who_may_read_offline_reads_and_each_read_leaves_a_trace(
    client, cast, drivers, who, status
):
    response = ask(client, factories.token_for(getattr(cast, who)), body())

    entries = AuditEntry.objects.filter(verb="training_set.read")
    assert response.status_code == status
    assert [(e.actor_name, e.data["rows"], e.data["matched"]) for e in entries] == (
        [("consumer", 3, {"driver_hourly@1.0.0": 2})] if status == 200 else []
    )


def test_the_weights_of_accept_are_obeyed(client, token, drivers):
    accept = f"text/csv;q=0.1, {ARROW};q=0.8, application/json;q=0.5"

    assert ask(client, token, body(), accept=accept)["Content-Type"] == ARROW
    assert (
        ask(client, token, body(), accept="*/*, text/csv;q=0")["Content-Type"] == "application/json"
    )
    assert ask(client, token, body(), accept="text/csv;q=0").status_code == 406


def test_without_a_token_nothing_is_said(client, drivers):
    assert ask(client, None, body()).status_code == 401


@pytest.mark.parametrize(
    ("sent", "status", "says"),
    [
        (b"{", 422, "not JSON"),
        (b'{"entities": {"k": ["\xff"]}}', 422, "not JSON: 'utf-8'"),
        (b"[" * 5000, 422, "nested too deeply"),
        (b'{"entities": {"k": [' + b"[" * 5000, 422, "nested too deeply"),
        (b'{"zz": "\\ud800"}', 422, "not JSON"),
        (b'{"entities": {"k": [1e400]}}', 422, "Number out of range"),
        (b'{"entities": {"k": [%s]}}' % (b"[" * 900 + b"]" * 900), 422, "'k' is nested deeper"),
        (body(labels={"a\0": [1]}), 422, "holds a NUL"),
        ({**body([]), "feature_service": "a\0"}, 422, "holds a NUL"),
        ({**body(), "entities": None}, 422, '"entities"'),
        ({"features": TRIPS}, 422, '"entities"'),
        ({**body(), "feature": []}, 422, "Did you mean 'features'?"),
        (
            {**body(), "timing": "evnt"},
            422,
            "timing: 'evnt' is not one of the timings, known and e",
        ),
        (body(["driver_hourly:conv_rate"] * 2), 422, "is asked for twice; name it once."),
        (
            body(["driver_hourly:conv_rate"] * 2, full_feature_names=True),
            422,
            "'driver_hourly:conv_rate' is asked for twice; name it once.",
        ),
        ({**body(), "features": []}, 422, "feature_service"),
        (body(["driver_hourly:nope"]), 404, "no feature 'nope'"),
        (body(["driver_hurly:conv_rate"]), 404, "driver_hourly"),
        (body(["driver_hourly@2.0.0:conv_rate"]), 404, "no version '2.0.0'"),
        (body(ids=["1001"]), 422, '"1001" is not'),
        (body(ids=[True]), 422, "true is not"),
        (body(ids=[1.5]), 422, "1.5 is not"),
        (body(ids=[1], times=["soon"]), 422, '"soon" is not an instant'),
        (body(ids=[1], times=[17]), 422, "is not a time"),
        (body(ids=[1], times=[None]), 422, "null in row 0"),
        (body(ids=[1], times=[TEXT, TEXT]), 422, "driver_id: 1, event_timestamp: 2"),
        (body(labels={"label": [1, "x", None]}), 422, "column 'label'"),
        ({"features": TRIPS, "entities": {}}, 422, "no columns"),
        ({"features": TRIPS, "entities": {"driver_id": [1]}}, 422, "no column 'event_timestamp'"),
        ({"features": TRIPS, "entities": {"event_timestamp": [TEXT]}}, 422, "a join key of"),
    ],
)
def test_refusals_name_the_value_and_what_is_valid(client, token, drivers, sent, status, says):
    response = ask(client, token, sent)

    assert (response.status_code, says in response.json()["detail"]) == (status, True), (
        response.content
    )


@pytest.mark.parametrize(
    ("raw", "content_type", "query", "says"),
    [
        (b"PAR1", PARQUET, "?features=driver_hourly:*", "is not a readable"),
        (b"x" * 40, ARROW, "?features=driver_hourly:*", "is not a readable"),
        (
            b"driver_id,event_timestamp\nx,2026-01-01\n",
            "text/csv",
            "?features=driver_hourly:*",
            '"x"',
        ),
        (b"\xff\xfe\n1\n", "text/csv", "?features=driver_hourly:*", "is not a readable"),
        (b"a\n", "text/csv", "?feature=driver_hourly:*", "Did you mean 'features'?"),
        (
            b"a\n",
            "text/csv",
            "?features=driver_hourly:*&timing=now",
            "'now' is not one of the timings, known and event.",
        ),
        (b"a\n", "text/csv", "", "feature_service"),
    ],
)
def test_bad_uploads_are_refused(client, token, drivers, raw, content_type, query, says):
    response = ask(client, token, raw, content_type=content_type, query=query)

    assert (response.status_code, says in response.json()["detail"]) == (422, True), (
        response.content
    )


def test_a_frame_of_another_media_type_is_a_415_that_names_what_is_read(client, token, drivers):
    response = ask(client, token, b"a", content_type="application/xml")

    said = response.json()
    assert (response.status_code, said["code"]) == (415, "unsupported_media_type")
    assert "application/xml" in said["detail"]
    assert "text/csv" in said["detail"]


@pytest.mark.parametrize(
    "kind", ["text/csv", PARQUET], ids=["header alone", "a type that says nothing"]
)
def test_a_frame_without_rows_is_answered_without_rows(client, token, drivers, kind):
    empty = pa.table(
        {name: pa.array([], pa.float64()) for name in ("driver_id", "event_timestamp")}
    )
    body = b"driver_id,event_timestamp,other\n" if kind == "text/csv" else parquet(empty)
    query = "?features=driver_hourly:*"

    response = ask(client, token, body, content_type=kind, query=query, accept="text/csv")

    assert response.status_code == 200, response.content
    assert len(response.content.splitlines()) == 1


def test_every_type_is_answered_as_json_has_it_and_csv_as_text(client, token, cast):
    row = {
        "day": date(2026, 1, 31), "thing_id": 1, "event": NOON, "a_bool": True, "a_float": math.inf,
        "an_int": 2**60, "a_text": "", "some_bytes": b"\x00\xff", "a_date": date(1969, 12, 31),
        "an_instant": datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        "a_decimal": Decimal("1.50"), "a_list": [1, None], "a_vector": [0.5, 2.0],
        "a_json": '{"a": [1]}',
    }  # fmt: skip
    stored_view(cast, [row], at=NOON, text=EVERYTHING)
    entities = {"day": ["2026-01-31"], "thing_id": [1], "event_timestamp": [TEXT]}
    sent = {"features": ["things:*"], "entities": entities}

    found = {name: values[0] for name, values in answer(ask(client, token, sent)).items()}
    csv = ask(client, token, sent, accept="text/csv").content.decode().splitlines()

    assert found == {
        "day": "2026-01-31", "thing_id": 1, "event_timestamp": TEXT, "a_bool": True,
        "a_float": "Infinity", "an_int": 2**60, "a_text": "", "some_bytes": "AP8=",
        "an_instant": "1969-12-31T23:59:59.999999Z", "a_date": "1969-12-31", "a_decimal": "1.50",
        "a_list": [1, None], "a_vector": [0.5, 2.0], "a_json": {"a": [1]},
    }  # fmt: skip
    assert csv[1] == (
        f'2026-01-31,1,"{TEXT}",true,inf,{2**60},"","AP8=","1969-12-31T23:59:59.999999Z",'
        '1969-12-31,1.50,"[1,null]","[0.5,2.0]","{""a"": [1]}"'
    )


def test_stored_files_that_are_gone_are_an_unavailable_store(client, token, drivers, settings):
    for file in settings.OFFLINE_STORE.rglob("*.parquet"):
        file.unlink()

    response = ask(client, token, body())

    assert (response.status_code, response.json()["code"]) == (503, "offline_store_behind")


def test_limits_name_themselves_and_their_setting(client, token, drivers, settings):
    settings.HISTORICAL_MAX_ROWS = 2
    too_many = ask(client, token, body())
    settings.HISTORICAL_MAX_JSON_BYTES = 10
    too_large = ask(client, token, body())

    assert (too_many.status_code, too_many.json()["limit"]) == (413, 2)
    assert "HISTORICAL_MAX_ROWS" in too_many.json()["detail"]
    assert (too_large.status_code, too_large.json()["limit"]) == (413, 10)
    assert too_large.json()["setting"] == "HISTORICAL_MAX_JSON_BYTES"


def test_uploads_have_a_limit_of_bytes_of_their_own(client, token, drivers, settings):
    settings.HISTORICAL_MAX_JSON_BYTES, settings.HISTORICAL_MAX_BYTES = 5, 10

    refused = ask(client, token, b"x" * 11, content_type="text/csv")
    read = ask(client, token, b"x" * 10, content_type="text/csv")

    assert (refused.status_code, refused.json()["setting"]) == (413, "HISTORICAL_MAX_BYTES")
    assert read.status_code == 422


def test_an_unknown_answer_form_is_refused(client, token, drivers):
    response = ask(client, token, body(), accept="text/html")

    assert response.status_code == 406
    assert "text/csv" in response.json()["detail"]


def test_the_schema_describes_it(client):
    schema = client.get("/api/schema", headers={"Accept": "application/json"}).json()

    path = URL.replace("rides", "{project}")
    assert schema["paths"][path]["post"]["operationId"] == "get_historical_features"
