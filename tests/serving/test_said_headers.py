"""Headers beside answers: every warning, or how many there are."""

from __future__ import annotations

import json

import pytest

from registry.deprecation import Deprecation
from serving.said_headers import MOST_BYTES, WARNINGS_HEADER, said_headers


@pytest.mark.parametrize(
    ("warnings", "kept"),
    [
        (["one"], 1),
        (["ü" * 80] * 5, 5),
        (["v@1.0.0:a had no result in 1 of 5 rows." + "." * 160] * 2_000, 14),
        (["x" * 100_000, "two"], 2),
        (["x" * 100_000] * 20, 7),
        (["日" * 100_000] * 20, 1),
    ],
)
def test_warnings_stay_within_what_headers_may_have_and_none_is_left_out_uncounted(warnings, kept):
    ((name, value),) = said_headers(warnings, Deprecation((), ()))

    assert name == WARNINGS_HEADER
    assert len(value.encode("ascii")) <= MOST_BYTES
    said = json.loads(value)
    shown = [each for each in said if each.rstrip("…") and not each.endswith("to be told each.")]
    assert len(shown) == kept
    if kept < len(warnings):
        assert said[-1].startswith(f"{len(warnings) - kept} more: ")
