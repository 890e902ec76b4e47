"""Columns of JSON as typed ones: what Feast's clients send where an instant is asked for."""

from __future__ import annotations

import pytest

from materialization.ingest.refusals import Refusals
from registry.spec.value_types import parse_type
from serving.ingest.values import typed_column, with_instants


@pytest.mark.parametrize(
    ("kind", "sent", "read"),
    [
        (
            "timestamp",
            [1795773600, None, -1],
            ["2026-11-27T10:00:00Z", None, "1969-12-31T23:59:59Z"],
        ),
        ("timestamp", [-(2**63)], [None]),
        ("timestamp", ["2026-11-27T10:00:00.5"], ["2026-11-27T10:00:00.5Z"]),
        ("list<timestamp>", [[0, None]], [["1970-01-01T00:00:00Z", None]]),
        ("int64", [1795773600], [1795773600]),
    ],
)
def test_seconds_that_feasts_clients_send_are_instants_where_those_are_asked_for(kind, sent, read):
    of = parse_type(kind)

    refusals = Refusals()
    typed = typed_column(with_instants(sent, of), of, refusals, name="x")
    expected = typed_column(read, of, refusals, name="x")

    assert (typed.to_pylist(), refusals.to_json()) == (expected.to_pylist(), [])


@pytest.mark.parametrize(
    ("sent", "shown"),
    [(10**30, "1000"), (True, "true"), (1.5, "1.5"), ("1795773600", "1795773600")],
)
def test_what_is_no_instant_in_seconds_is_refused_as_it_was_sent(sent, shown):
    of, refusals = parse_type("timestamp"), Refusals()

    typed_column(with_instants([sent], of), of, refusals, name="x")

    (refused,) = refusals.to_json()
    assert shown in refused["value"]
