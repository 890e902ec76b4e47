"""Answers that are sent from the disk: whole in every form, gone afterwards, and bounded."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from django.http import FileResponse
from pyarrow import ipc

from materialization.compute.scratch import own_folder
from tests.serving.historical_world import ask, stored_view

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TEXT = "2026-03-01T12:00:00Z"
ROWS = 100_000
READ = {
    "application/json": lambda body: msgspec.json.decode(body)["results"][2]["values"],
    "text/csv": lambda body: pyarrow.csv.read_csv(io.BytesIO(body))["conv_rate"].to_pylist(),
    "application/vnd.apache.arrow.stream": lambda body: (
        ipc.open_stream(body).read_all()["conv_rate"].to_pylist()
    ),
    "application/vnd.apache.parquet": lambda body: pq.read_table(io.BytesIO(body))[
        "conv_rate"
    ].to_pylist(),
}


@pytest.fixture
def drivers(cast):
    rows = [
        {"driver_id": n, "event": NOON - timedelta(hours=1), "conv_rate": n / 8} for n in range(999)
    ]
    return stored_view(cast, rows, at=NOON)


def sent():
    ids = [n % 1000 for n in range(ROWS)]
    entities = {"driver_id": ids, "event_timestamp": [TEXT] * ROWS}
    return {"features": ["driver_hourly:conv_rate"], "entities": entities}


def left_behind():
    return list(Path(own_folder()).iterdir())


@pytest.mark.parametrize("form", READ)
def test_a_large_answer_is_the_file_it_lies_in_and_leaves_nothing(client, token, drivers, form):
    response = ask(client, token, sent(), accept=form)

    assert isinstance(response, FileResponse) or form.endswith("parquet")  # the small one
    body = b"".join(response) if response.streaming else response.content
    response.close()
    expected = [None if n % 1000 == 999 else (n % 1000) / 8 for n in range(ROWS)]
    assert READ[form](body) == expected
    assert response["Content-Type"] == form
    assert int(response["Content-Length"]) == len(body)
    assert "Content-Disposition" not in response
    assert left_behind() == []


def test_an_answer_over_the_limit_says_so_and_leaves_nothing(client, token, drivers, settings):
    settings.HISTORICAL_MAX_ANSWER_MB = 1

    response = ask(client, token, sent(), accept="text/csv")

    assert (response.status_code, response.json()["code"]) == (413, "answer_too_large")
    assert "more than 1 MB; ask for Parquet" in response.json()["detail"]
    assert left_behind() == []
