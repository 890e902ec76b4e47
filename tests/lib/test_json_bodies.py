"""Duplicate keys in JSON: named wherever they lie, and never seen where there are none."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.json_bodies import UNREADABLE, RepeatedKey, decode, why_unreadable

TEXTS = st.text(st.sampled_from('ab:{}"\\ ,\n'), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "text",
    [
        '{"timing": "known", "timing": "event"}',
        '{"a": 1, "timing" : 2, "timing"\n:\t3}',
        '{"timing": 1, "t\\u0069ming": 2}',
        '{"entities": {"timing": [1], "timing": [2]}}',
        '{"entities": {"k": [{"timing": 1, "timing": 2}]}}',
        '[[{"timing": 1, "timing": 1}]]',
        '{"timing": ":", "x": {"timing": 1, "timing": 1}}',
        '{"x": "a\\":b", "timing": {}, "timing": {}}',
    ],
)
def test_a_key_that_is_there_twice_is_named(text):
    with pytest.raises(RepeatedKey, match="the key 'timing' twice"):
        decode(text.encode())


@given(VALUES)
def test_every_other_text_has_the_value_that_is_in_it(value):
    assert decode(json.dumps(value).encode()) == value
    assert decode(json.dumps(value, indent=1).encode()) == value


@given(st.lists(st.tuples(TEXTS, VALUES), max_size=4))
def test_a_text_is_refused_exactly_when_a_key_repeats(pairs):
    inside = ",".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in pairs)
    text = f"{{{inside}}}"
    repeats = len({key for key, _ in pairs}) < len(pairs)

    try:
        decode(text.encode())
    except RepeatedKey:
        assert repeats
    else:
        assert not repeats


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[NaN]", b"\xff", b"[" * 9999, b'{"a":1,"a":' + b"[" * 900 + b"]" * 900 + b"}"],
)
def test_whatever_cannot_be_read_is_one_of_the_few_errors_with_words(text):
    with pytest.raises(UNREADABLE) as caught:
        decode(text)

    assert why_unreadable(caught.value)


def test_a_number_that_python_would_not_read_is_still_no_repeated_key():
    text = b'{"x": [{"a": 1}], "n": %s}' % (b"9" * 200)

    assert decode(text) == msgspec.json.decode(text)
