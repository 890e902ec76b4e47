"""The class of a change is a pure function of old and new."""

from __future__ import annotations

import msgspec
import pytest

from registry.choices import ChangeClass
from registry.spec.change import classify
from registry.spec.fingerprints import (
    content_fingerprint,
    data_fingerprint,
    metadata_fingerprint,
)
from registry.spec.model import EntitySpec, VersionSpec

BASE = msgspec.convert(
    {
        "entities": [{"name": "user", "join_keys": [{"name": "user_id", "type": "int64"}]}],
        "source": {
            "name": "s",
            "type": "file",
            "path": "p.csv",
            "event_timestamp": {"column": "ts"},
        },
        "view": {
            "name": "v",
            "entities": ["user"],
            "source": "s",
            "ttl": "30d",
            "features": [
                {
                    "name": "a",
                    "type": "float64",
                    "sensitivity": "confidential",
                    "checks": {"not_null": 0.9, "min": 0},
                },
                {"name": "b", "type": "string"},
            ],
        },
    },
    VersionSpec,
)


def edited(path, value):
    """Return BASE with one value replaced, None removing it."""
    content = msgspec.to_builtins(BASE)
    target = content
    for step in path[:-1]:
        target = target[step]
    if value is None:
        target.pop(path[-1], None)
    else:
        target[path[-1]] = value
    return msgspec.convert(content, VersionSpec)


FEATURES = msgspec.to_builtins(BASE)["view"]["features"]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("view", "features"), FEATURES[:1], ChangeClass.MAJOR),
        (("view", "features", 0, "type"), "float32", ChangeClass.MAJOR),
        (("view", "features", 0, "column"), "aa", ChangeClass.MAJOR),
        (("view", "sql"), "SELECT * FROM s", ChangeClass.MAJOR),
        (("source", "path"), "q.csv", ChangeClass.MAJOR),
        (("source", "event_timestamp", "column"), "t2", ChangeClass.MAJOR),
        (("entities", 0, "join_keys", 0, "type"), "string", ChangeClass.MAJOR),
        (("view", "entities"), ["rider"], ChangeClass.MAJOR),
        (("view", "features", 0, "type"), "decimal(10,2)", ChangeClass.MAJOR),
        (("view", "ttl"), "10d", ChangeClass.MAJOR),
        (("view", "ttl"), "60d", ChangeClass.MINOR),
        (("view", "ttl"), None, ChangeClass.MINOR),
        (("view", "online"), False, ChangeClass.MINOR),
        (("view", "features"), [*FEATURES, {"name": "c", "type": "bool"}], ChangeClass.MINOR),
        (("view", "features", 0, "sensitivity"), "internal", ChangeClass.GUARD),
        (("view", "features", 0, "checks", "min"), -1, ChangeClass.GUARD),
        (("view", "features", 0, "checks", "not_null"), None, ChangeClass.GUARD),
        (("view", "features", 0, "checks", "min"), 1, ChangeClass.PATCH),
        (("view", "description"), "words", ChangeClass.PATCH),
        (("view", "schedule"), {"every": "1h"}, ChangeClass.PATCH),
        (("view", "features"), FEATURES[::-1], ChangeClass.PATCH),
        (("source", "description"), "words", ChangeClass.PATCH),
    ],
)
def test_the_class_of_one_change(path, value, expected):
    change = classify(BASE, edited(path, value))

    assert change.classification is expected
    assert change.reasons


def test_nothing_changed_is_no_change():
    assert classify(BASE, BASE).classification is None


def test_a_lowered_sensitivity_stays_visible_beside_a_stronger_change():
    content = msgspec.to_builtins(BASE)
    content["view"]["features"][0].update(sensitivity="public", type="float32")

    change = classify(BASE, msgspec.convert(content, VersionSpec))

    assert change.classification is ChangeClass.MAJOR
    assert change.is_guard


def test_words_do_not_touch_the_data_fingerprint():
    words = edited(("view", "description"), "words")

    assert data_fingerprint(words) == data_fingerprint(BASE)
    assert metadata_fingerprint(words) != metadata_fingerprint(BASE)
    assert content_fingerprint(words) != content_fingerprint(BASE)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("2h", "3h", ChangeClass.GUARD),
        ("2h", None, ChangeClass.GUARD),
        ("2h", "1h", ChangeClass.PATCH),
        (None, "2h", ChangeClass.PATCH),
        ("120m", "2h", ChangeClass.PATCH),
    ],
)
def test_a_promise_of_freshness_that_is_loosened_weakens_a_protection(before, after, expected):
    old, new = (edited(("view", "freshness"), value) for value in (before, after))

    change = classify(old, new)

    assert (change.classification, change.is_guard) == (expected, expected is ChangeClass.GUARD)
    assert data_fingerprint(old) == data_fingerprint(new)


def test_the_number_asked_for_is_not_content():
    assert content_fingerprint(edited(("view", "version"), "3.0.0")) == content_fingerprint(BASE)


def test_the_order_of_entities_matters_to_the_keys():
    two = msgspec.structs.replace(
        BASE, entities=(*BASE.entities, EntitySpec(name="e", join_keys=()))
    )

    assert content_fingerprint(two) != content_fingerprint(BASE)


def test_one_type_written_in_two_ways_is_no_change_of_data():
    spaced = edited(("view", "features", 0, "type"), "decimal( 10 , 2 )")
    plain = edited(("view", "features", 0, "type"), "decimal(10,2)")

    assert data_fingerprint(spaced) == data_fingerprint(plain)
    assert classify(plain, spaced).classification is ChangeClass.PATCH


@pytest.mark.parametrize(
    ("path", "value", "which"),
    [
        (("view", "description"), "words", {"metadata"}),
        (("view", "schedule"), {"every": "1h"}, {"metadata"}),
        (("view", "ttl"), "60d", {"metadata"}),
        (("view", "features", 0, "checks", "min"), 1, {"data"}),
        (("source", "owner"), "somebody", {"metadata"}),
        (("source", "path"), "q.csv", {"data"}),
        (("view", "sql"), "SELECT * FROM s", {"data"}),
        (("view", "features", 0, "type"), "float32", {"data"}),
        (("entities", 0, "join_keys", 0, "type"), "string", {"data"}),
    ],
)
def test_each_change_moves_the_fingerprint_it_belongs_to(path, value, which):
    new = edited(path, value)
    fingerprints = {"data": data_fingerprint, "metadata": metadata_fingerprint}

    assert {name for name, of in fingerprints.items() if of(new) != of(BASE)} == which
