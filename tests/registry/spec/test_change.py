"""The class of a change is a pure function of old and new."""

from __future__ import annotations

import msgspec
import pytest

from registry.choices import ChangeClass
from registry.spec.change import classify, with_guards
from registry.spec.fingerprints import (
    content_fingerprint,
    data_fingerprint,
    metadata_fingerprint,
)
from registry.spec.model import EntitySpec
from registry.spec.version_spec import VersionSpec

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
        (("view", "where"), "a > 0", ChangeClass.MAJOR),
        (("view", "features", 0, "sql"), "b + 1", ChangeClass.MAJOR),
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
        (("view", "features", 0, "unit"), "km/h", ChangeClass.PATCH),
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


@pytest.mark.parametrize(
    ("feature", "reason"),
    [
        ({"sensitivity": "restricted"}, "sensitivity raised from confidential to restricted"),
        ({"sensitivity": "public"}, "sensitivity lowered from confidential to public"),
        ({"checks": {"not_null": 0.9, "min": 1}}, "check min tightened"),
        ({"checks": {"not_null": 0.9, "min": 0, "max": 9}}, "check max added"),
        ({"checks": {"not_null": 0.9, "min": 0, "warn": {"min": 1}}}, "check warn.min added"),
        ({"checks": {"not_null": 0.9, "min": 0, "drift": {"psi": 0.2}}}, "check drift.psi added"),
        ({"checks": {"not_null": 0.9}}, "check min loosened"),
    ],
)
@pytest.mark.parametrize("also", [{}, {"type": "float32"}, {"description": "Words."}])
def test_a_change_of_sensitivity_or_checks_is_always_among_the_reasons(feature, reason, also):
    change = classify(
        BASE, edited(("view", "features"), [FEATURES[0] | feature | also, FEATURES[1]])
    )

    assert f"feature a: {reason}" in change.reasons


def test_words_beside_a_tightened_check_are_named_too():
    feature = FEATURES[0] | {"sensitivity": "restricted", "description": "Words."}

    change = classify(BASE, edited(("view", "features"), [feature, FEATURES[1]]))

    assert change.reasons == (
        "feature a: sensitivity raised from confidential to restricted",
        "words changed: view.features.a.description",
    )


@pytest.mark.parametrize(
    ("checks", "reason"),
    [
        ({"rows": {"min": 1}}, "check rows of the view added"),
        ({"warn": {"conditions": {"c": "a > 0"}}}, "check warn.conditions.c of the view added"),
    ],
)
def test_a_check_of_the_view_is_among_the_reasons(checks, reason):
    assert classify(BASE, edited(("view", "checks"), checks)).reasons == (reason,)


def test_a_new_feature_that_is_sensitive_is_called_that():
    features = [*FEATURES, {"name": "c", "type": "bool", "sensitivity": "restricted"}]

    reasons = classify(BASE, edited(("view", "features"), features)).reasons

    assert reasons == ("feature c added, restricted",)


def test_there_is_a_first_version():
    change = classify(None, BASE)

    assert (change.classification, change.reasons) == (ChangeClass.FIRST, ("first version",))


def test_words_do_not_touch_the_data_fingerprint():
    words = edited(("view", "description"), "words")

    assert data_fingerprint(words) == data_fingerprint(BASE)
    assert metadata_fingerprint(words) != metadata_fingerprint(BASE)
    assert content_fingerprint(words) != content_fingerprint(BASE)


def test_a_table_under_a_root_is_what_it_was_before_some_lay_in_buckets():
    source = msgspec.to_builtins(BASE.source) | {"type": "delta", "path": "lake/t"}
    under_a_root = edited(("source",), source)
    in_a_bucket = edited(("source",), source | {"connection": "lake"})

    assert "connection" not in under_a_root.source.decides()
    assert data_fingerprint(under_a_root) != data_fingerprint(in_a_bucket)


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
        (("view", "features", 0, "unit"), "km/h", {"metadata"}),
        (("view", "schedule"), {"every": "1h"}, {"metadata"}),
        (("view", "ttl"), "60d", {"metadata"}),
        (("view", "features", 0, "checks", "min"), 1, {"data"}),
        (("source", "owner"), "somebody", {"metadata"}),
        (("source", "path"), "q.csv", {"data"}),
        (("view", "sql"), "SELECT * FROM s", {"data"}),
        (("view", "where"), "a > 0", {"data"}),
        (("view", "features", 0, "type"), "float32", {"data"}),
        (("entities", 0, "join_keys", 0, "type"), "string", {"data"}),
    ],
)
def test_each_change_moves_the_fingerprint_it_belongs_to(path, value, which):
    new = edited(path, value)
    fingerprints = {"data": data_fingerprint, "metadata": metadata_fingerprint}

    assert {name for name, of in fingerprints.items() if of(new) != of(BASE)} == which


def with_checks(checks):
    """Return BASE with checks of its feature of texts."""
    return edited(("view", "features"), [FEATURES[0], FEATURES[1] | {"checks": checks}])


@pytest.mark.parametrize(
    ("old", "new", "weaker"),
    [
        ({"regex": "a+"}, {"regex": "a"}, ["regex"]),
        ({}, {"regex": "a"}, []),
        ({"length": {"min": 1, "max": 9}}, {"length": {"min": 2, "max": 8}}, []),
        ({"length": {"min": 1, "max": 9}}, {"length": {"min": 1}}, ["length"]),
        ({"length": {"max": 9}}, {"length": {"max": 10}}, ["length"]),
        ({"unique": True}, {}, ["unique"]),
        ({"not_null": 0.9}, {"warn": {"not_null": 0.9}}, ["not_null"]),
        ({"warn": {"not_null": 0.9}}, {"not_null": 0.9}, []),
        ({"warn": {"not_null": 0.9}}, {"not_null": 0.5}, ["warn.not_null"]),
        ({"warn": {"unique": True}}, {}, ["warn.unique"]),
        ({"allowed": ["a"]}, {"allowed": ["a"], "warn": {"unique": True}}, []),
        ({"drift": {"psi": 0.2}}, {"drift": {"psi": 0.1, "js": 0.2}}, []),
        ({"drift": {"psi": 0.2, "js": 0.1}}, {"drift": {"psi": 0.3}}, ["drift.psi", "drift.js"]),
        ({"drift": {"psi": 0.2}}, {}, ["drift.psi"]),
        ({"drift": {"psi": 1}}, {"drift": {"psi": 1, "min_rows": 9999}}, ["drift.min_rows"]),
        ({"drift": {"psi": 1}}, {"drift": {"psi": 1, "against": "previous"}}, ["drift.against"]),
        ({"drift": {"psi": 1}}, {"drift": {"psi": 1, "against": "both"}}, []),
        (
            {"drift": {"psi": 1, "severity": "block"}},
            {"drift": {"psi": 1}},
            ["drift.severity"],
        ),
    ],
)
def test_a_check_that_lets_more_pass_or_only_warns_is_a_guard(old, new, weaker):
    before, after = (with_checks(checks) for checks in (old, new))

    change = classify(before, after)

    assert change.is_guard == bool(weaker)
    assert [reason for reason in change.reasons if "loosened" in reason] == [
        f"feature b: check {name} loosened" for name in weaker
    ]


@pytest.mark.parametrize(
    ("old", "new", "weaker"),
    [
        ({"rows": {"min": 10}}, {"rows": {"min": 9}}, "rows"),
        ({"rows": {"min": 10}}, {"rows": {"min": 11, "max": 99}}, None),
        ({"newest": "2h"}, {"newest": "121m"}, "newest"),
        ({"newest": "2h"}, {"newest": "120m"}, None),
        ({"conditions": {"c": "a > 0"}}, {"conditions": {"c": "a > -1"}}, "conditions.c"),
        ({"conditions": {"c": "a > 0"}}, {"warn": {"conditions": {"c": "a > 0"}}}, "conditions.c"),
        ({"warn": {"rows": {"min": 1}}}, {}, "warn.rows"),
        ({}, {"rows": {"min": 1}}, None),
    ],
)
def test_so_is_one_of_the_view_also_against_versions_beside_the_base(old, new, weaker):
    before, after = (edited(("view", "checks"), checks) for checks in (old, new))

    change = classify(before, after)

    assert change.is_guard == (weaker is not None)
    assert with_guards(classify(BASE, after), {"2.0.0": before}, after).is_guard == (
        weaker is not None
    )
    if weaker:
        assert f"check {weaker} of the view loosened" in change.reasons


def test_only_what_blocks_decides_which_rows_are_published():
    blocks, warns = (
        with_checks(checks) for checks in ({"unique": True}, {"warn": {"unique": True}})
    )
    rows = {"rows": {"min": 1}}
    of_view, of_view_warns = (edited(("view", "checks"), c) for c in (rows, {"warn": rows}))

    told = with_checks({"drift": {"psi": 0.2}})
    stops = with_checks({"drift": {"psi": 0.2, "severity": "block"}})

    assert data_fingerprint(told) == data_fingerprint(BASE) != data_fingerprint(stops)
    assert metadata_fingerprint(stops) == metadata_fingerprint(BASE) != metadata_fingerprint(told)
    assert data_fingerprint(warns) == data_fingerprint(of_view_warns) == data_fingerprint(BASE)
    assert len({data_fingerprint(spec) for spec in (BASE, blocks, of_view)}) == 3
    assert metadata_fingerprint(blocks) == metadata_fingerprint(of_view)
    assert metadata_fingerprint(of_view) == metadata_fingerprint(BASE)
    assert len({metadata_fingerprint(spec) for spec in (BASE, warns, of_view_warns)}) == 3
