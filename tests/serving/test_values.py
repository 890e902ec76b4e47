"""JSON values out and join keys in, by table."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pytest

from registry.spec.value_types import parse_type
from serving.values import (
    BadKeyValue,
    json_ready,
    json_text_ready,
    micros_text,
    parse_key,
    parse_keys,
)

MICROSECOND_BEFORE = datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "ready"),
    [
        (None, None),
        (True, True),
        (2**63 - 1, 2**63 - 1),
        ("NaN", "NaN"),
        (1.5, 1.5),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (b"\x00\xff", "AP8="),
        (MICROSECOND_BEFORE, "1969-12-31T23:59:59.999999Z"),
        (datetime(2026, 1, 1), "2026-01-01T00:00:00.000000Z"),  # noqa: DTZ001 - naive is UTC
        (datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1))), "2025-12-31T23:00:00.000000Z"),
        (date(1, 2, 3), "0001-02-03"),
        (Decimal("1.10"), "1.10"),
        ([1.0, math.nan, None], [1.0, "NaN", None]),
        ([Decimal("1.5")], ["1.5"]),
        ([[b"a"], []], [["YQ=="], []]),
        ({"a": math.inf}, {"a": "Infinity"}),
        pytest.param(np.float64("nan"), "NaN", id="numpy"),
    ],
)
def test_values_become_what_json_can_hold(value, ready):
    assert json_ready(value) == ready


def test_micros_before_1970_are_exact():
    assert micros_text(-1) == "1969-12-31T23:59:59.999999Z"


@pytest.mark.parametrize(
    ("text", "value"),
    [('{"a": [1]}', {"a": [1]}), ("null", None), ("not json", "not json"), (None, None)],
)
def test_json_features_are_what_their_text_means(text, value):
    assert json_text_ready(text) == value


@pytest.mark.parametrize(("levels", "is_text"), [(200, False), (201, True), (5000, True)])
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
def test_json_too_deep_to_be_written_anew_stays_text(levels, is_text, opens, closes):
    text = opens * levels + "null" * (opens != "[") + closes * levels

    assert (json_text_ready(text) == text) is is_text


@pytest.mark.parametrize(
    ("declared", "sent", "key"),
    [
        ("int64", 1, 1),
        ("int64", 1.0, 1),
        ("int64", -(2**63), -(2**63)),
        ("int32", None, None),
        ("bool", False, False),
        ("string", "1", "1"),
        ("bytes", "AP8=", b"\x00\xff"),
        ("date", "2026-01-31", date(2026, 1, 31)),
        ("timestamp", "1969-12-31T23:59:59.999999", MICROSECOND_BEFORE),
        ("timestamp", "1970-01-01T00:59:59.999999+01:00", MICROSECOND_BEFORE),
    ],
)
def test_keys_are_typed(declared, sent, key):
    found = parse_key(sent, parse_type(declared), name="k")

    assert (type(found), found) == (type(key), key)
    assert parse_keys([sent, None], parse_type(declared), name="k") == [key, None]


@pytest.mark.parametrize(
    ("declared", "sent"),
    [
        ("int64", "1"),
        ("int64", True),
        ("int64", 1.5),
        ("int64", 2**63),
        ("int64", 2.0**53),
        ("int64", math.nan),
        ("int32", 2**31),
        ("bool", 1),
        ("string", 1),
        ("bytes", "A"),
        ("bytes", "é"),
        ("date", "2026-01-31T00:00:00"),
        ("timestamp", 0),
        ("timestamp", "soon"),
        ("int64", [1]),
    ],
)
def test_other_values_are_refused_by_column_and_value(declared, sent):
    with pytest.raises(BadKeyValue, match=f"'k' is {declared}: .* is not"):
        parse_keys([sent], parse_type(declared), name="k")
