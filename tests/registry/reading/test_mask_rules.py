"""What a mask must satisfy, rule by rule."""

from __future__ import annotations

import re

import pytest

from registry.choices import Kind
from registry.reading.parsing import parse_files
from registry.reading.writing import written
from registry.spec.masks import MaskSpec, labels
from tests.registry.reading.test_rules import ENTITY, KEY, SUM, feature, problems

MASK = "features[0].mask"


def bucketed(*edges, kind="string"):
    return feature(type=kind, mask={"bucket": list(edges)})


@pytest.mark.parametrize(
    "definition",
    [
        feature(type="string", mask="hash"),
        feature(type="string", mask={"hash": "email"}),
        bucketed(18, 30.5, 65),
        bucketed(0, kind="int32"),
        bucketed("2000-01-01", "2010-06-01T12:00:00Z"),
        bucketed(*range(100)),
    ],
)
def test_a_mask_that_is_well_written(definition):
    assert problems(definition) == []


@pytest.mark.parametrize(
    ("definition", "key", "words"),
    [
        (feature(mask="hash"), "features[0].type", "x: a hash is no int64; write string"),
        (bucketed(1, kind="int64"), "features[0].type", "write string .* or int32"),
        (feature(type="string", mask="hsah"), MASK, "Did you mean 'hash'"),
        (feature(type="string", mask=["hash"]), MASK, "not one of the words"),
        (feature(type="string", mask={"buckets": [1]}), f"{MASK}.buckets", "mean 'bucket'"),
        (feature(type="string", mask={"bucket": 18}), f"{MASK}.bucket", "expected a list"),
        (feature(type="string", mask={}), MASK, "write hash, {hash: email} or"),
        (feature(type="string", mask={"hash": "e", "bucket": [1]}), MASK, "write hash, {hash"),
        (feature(type="string", mask={"hash": "E-mail"}), f"{MASK}.hash", "name 'E-mail'"),
        (feature(mask={"hash": "email"}), "features[0].type", "a hash is no int64"),
        (bucketed(), f"{MASK}.bucket", "at least one edge"),
        (bucketed(*range(101)), f"{MASK}.bucket", "101 edges; at most 100"),
        (bucketed(30, 18), f"{MASK}.bucket[1]", "x: 18 comes after 30"),
        (bucketed(18, 18.0), f"{MASK}.bucket[1]", "become greater"),
        (bucketed(1, "2000-01-01"), f"{MASK}.bucket", "all numbers or all days"),
        (bucketed("old"), f"{MASK}.bucket[0]", "'old' is no edge"),
        (bucketed(float("nan")), f"{MASK}.bucket[0]", "bounds nothing"),
        (bucketed(1e300), f"{MASK}.bucket[0]", "too large"),
        (
            feature(type="string", column="a_sum_3d", mask="hash")
            | {"aggregations": SUM, "schedule": {"every": "1h"}},
            MASK,
            "x is an aggregate; a mask is of a column",
        ),
        (
            ENTITY | {"join_keys": [KEY | {"mask": "hash"}]},
            "join_keys[0].mask",
            "k: rows are found by a key as it is; write masked keys into the source",
        ),
        (
            {
                "kind": "OnDemandFeatureView",
                "name": "o",
                "inputs": {"request": {"a": "string"}},
                "features": [{"name": "y", "type": "string", "sql": "a", "mask": "hash"}],
            },
            MASK,
            "y: it is computed at the request; mask what it reads",
        ),
    ],
)
def test_what_is_wrong_with_a_mask_is_named(definition, key, words):
    found = problems(definition)

    assert [each for each, _ in found] == [key]
    assert re.search(words, found[0][1]), found


def test_a_mask_is_written_as_it_was_read():
    text = written(
        Kind.FEATURE_VIEW,
        parse_files(
            [
                (
                    "a.yaml",
                    "kind: FeatureView\nname: v\nentities: [e]\nsource: s\nfeatures:\n"
                    "  - {name: a, type: string, mask: hash}\n"
                    "  - {name: d, type: string, mask: {hash: email}}\n"
                    "  - {name: b, type: string, mask: {bucket: [18, 30.5]}}\n"
                    "  - {name: c, type: int32, mask: {bucket: ['2000-01-01']}}\n",
                )
            ]
        )[0].spec,
    )

    (again,) = parse_files([("b.yaml", text)])
    assert [each.mask for each in again.spec.features] == [
        "hash",
        MaskSpec(hash="email"),
        MaskSpec(bucket=(18, 30.5)),
        MaskSpec(bucket=("2000-01-01",)),
    ]


def test_labels_say_which_edge_belongs_to_them():
    assert labels((-5, 0.5, 18.0)) == ("<-5", "[-5, 0.5)", "[0.5, 18)", ">=18")
