"""A type that is written otherwise elsewhere is told what it is called here."""

from __future__ import annotations

import pytest

from registry.spec.value_types import UnknownType, parse_type


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("double", "'float64'"),
        ("VARCHAR", "'string'"),
        ("embedding", "'vector<N>'"),
        ("int46", "'int64'"),
    ],
)
def test_a_type_of_another_tool_is_told_its_name_here(text, meant):
    with pytest.raises(UnknownType, match=f"Did you mean {meant}"):
        parse_type(text)
