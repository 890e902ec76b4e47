"""What an encoding must satisfy, rule by rule."""

from __future__ import annotations

import re

import pytest

from registry.choices import Kind
from registry.reading.parsing import parse_files
from registry.reading.writing import written
from registry.spec.encode_steps import Standard
from tests.registry.reading.test_rules import ENTITY, KEY, feature, problems

ENCODE, STEPS, FIT = "features[0].encode", "features[0].encode.steps", "features[0].encode.fit"
TYPE = "features[0].type"
RANGE = {"from": "2026-01-01", "to": "2026-07-01"}


def encoded(*steps, kind="float64", fit=None, **more):
    encode = {"steps": list(steps)} | ({"fit": fit} if fit else {})
    return feature(type=kind, encode=encode, **more)


def target(**parameters):
    return encoded({"step": "target", **parameters}, fit=RANGE)


def bucketed(fit=None, **parameters):
    return encoded({"step": "bucketize", **parameters}, kind="int64", fit=fit)


def aggregated(*steps, fit=None, **more):
    functions = ["sum", "mean", {"function": "last_k", "k": 2}]
    aggregations = [{"column": "a", "functions": functions, "windows": ["3d"]}]
    view = {"aggregations": aggregations, "schedule": {"every": "1h"}}
    kind = more.pop("type", "float64")
    return encoded(*steps, kind=kind, fit=fit, **more) | view


@pytest.mark.parametrize(
    "definition",
    [
        encoded("standard", fit=RANGE),
        encoded({"step": "standard"}, fit=RANGE, kind="float32"),
        encoded({"step": "min_max", "low": -1, "high": 1}, fit=RANGE),
        encoded("log"),
        encoded({"step": "clip", "max": 5}, {"step": "log", "plus": 1}),
        encoded({"step": "clip", "min": 0}, "robust", fit=RANGE | {"edition": 2}),
        encoded("one_hot", kind="list<float32>", fit=RANGE | {"to": "2026-07-01T12:00:00+02:00"}),
        encoded({"step": "hashed", "width": 16}, kind="vector<16>"),
        encoded({"step": "bucketize", "edges": [1, 2.5]}, kind="int32"),
        encoded({"step": "bucketize", "bins": 4, "by": "width"}, kind="int64", fit=RANGE),
        encoded({"step": "impute", "by": "mean"}, "quantile", fit=RANGE),
        encoded({"step": "quantile", "output": "normal"}, fit=RANGE),
        encoded({"step": "impute", "value": "none"}, "ordinal", kind="int64", fit=RANGE),
        encoded({"step": "impute", "value": ""}, "tfidf", kind="list<float64>", fit=RANGE),
        encoded({"step": "impute", "value": "none"}, kind="string"),
        target(label="y"),
        target(label="y", smooth=10, folds=3),
        encoded({"step": "target", "label": "y", "smooth": "auto"}, "standard", fit=RANGE),
        encoded({"step": "impute", "by": "most_frequent"}, "ordinal", kind="int64", fit=RANGE),
        aggregated("log", column="a_sum_3d"),
        aggregated("standard", column="a_mean_3d", type="float32", fit=RANGE),
        aggregated({"step": "target", "label": "a_mean_3d"}, column="a_sum_3d", fit=RANGE),
    ],
)
def test_an_encoding_that_is_well_written(definition):
    assert problems(definition) == []


@pytest.mark.parametrize(
    ("definition", "key", "words"),
    [
        (encoded(fit=RANGE), STEPS, "x: encode: needs at least one step"),
        (encoded("standrad", fit=RANGE), f"{STEPS}[0]", "Did you mean 'standard'"),
        (encoded("clip"), f"{STEPS}[0]", "'clip' has parameters"),
        (encoded({"step": "clip"}), f"{STEPS}[0]", "clip needs min, max or both"),
        (encoded({"step": "clip", "min": 2, "max": 1}), f"{STEPS}[0]", "min 2.* is above max 1"),
        (encoded({"step": "clip", "mn": 2}), f"{STEPS}[0].mn", "mean 'min'"),
        (encoded({"step": "log", "plus": float("inf")}), f"{STEPS}[0].plus", "no number to comp"),
        (encoded({"step": "min_max", "low": 1}, fit=RANGE), f"{STEPS}[0]", "low 1.* is not below"),
        (encoded({"step": "min_max", "lo": 1}, fit=RANGE), f"{STEPS}[0].lo", "mean 'low'"),
        (encoded(*["log"] * 17), STEPS, "17 steps; at most 16"),
        (encoded("standard"), FIT, "standard is fitted; say on which rows"),
        (encoded("log", fit=RANGE), FIT, "none of its steps is fitted; leave fit out"),
        (encoded("standard", fit={"from": "2026-01-01"}), f"{FIT}.to", "required and missing"),
        (encoded("standard", fit=RANGE | {"since": 1}), f"{FIT}.since", "unknown key"),
        (encoded("standard", fit=RANGE | {"to": "July"}), f"{FIT}.to", "'July' is no day or inst"),
        (encoded("standard", fit=RANGE | {"to": "2026-01-01"}), FIT, "let `to` be after `from`"),
        (encoded("standard", fit=RANGE | {"edition": 0}), f"{FIT}.edition", "from 1 to 10000"),
        (encoded("one_hot", fit=RANGE), "features[0].type", "gives a list, which no float64 holds"),
        (encoded("standard", kind="int64", fit=RANGE), "features[0].type", "write float64 or flo"),
        (
            encoded("one_hot", "standard", kind="list<float32>", fit=RANGE),
            f"{STEPS}[1]",
            "standard takes numbers, and one_hot before it gives a list; it is the last step",
        ),
        (
            encoded("log", "one_hot", kind="list<float32>", fit=RANGE),
            f"{STEPS}[1]",
            "one_hot takes categories, and log before it gives numbers",
        ),
        (
            encoded({"step": "one_hot", "most": 1001}, kind="list<float32>", fit=RANGE),
            f"{STEPS}[0].most",
            "from 1 to 1000",
        ),
        (
            encoded({"step": "hashed", "width": 8}, kind="vector<9>"),
            TYPE,
            "list<float32> or vec.*8",
        ),
        (
            encoded({"step": "hashed"}, kind="vector<9>"),
            f"{STEPS}[0].width",
            "required and missing",
        ),
        (bucketed(), f"{STEPS}[0]", "bucketize needs edges or bins"),
        (bucketed(edges=[1], bins=2, fit=RANGE), f"{STEPS}[0]", "bucketize needs edges or bins"),
        (bucketed(edges=[]), f"{STEPS}[0].edges", "0 edges; write 1 to 1000"),
        (bucketed(edges=[2, 1]), f"{STEPS}[0].edges", "1.0 comes after 2.0"),
        (bucketed(edges=[1, float("nan")]), f"{STEPS}[0].edges", "numbers to compare with"),
        (bucketed(edges=[1], fit=RANGE), FIT, "none of its steps is fitted"),
        (bucketed(bins=3), FIT, "bucketize is fitted"),
        (encoded({"step": "impute"}), f"{STEPS}[0]", "impute needs by or value"),
        (
            encoded({"step": "impute", "by": "mean", "value": 1}, fit=RANGE),
            f"{STEPS}[0]",
            "impute needs by or value",
        ),
        (
            encoded({"step": "impute", "by": "mean"}, "ordinal", kind="int64", fit=RANGE),
            f"{STEPS}[1]",
            "ordinal takes categories, and impute before it gives numbers",
        ),
        (
            encoded("log", {"step": "impute", "value": "none"}),
            f"{STEPS}[1]",
            "'none' is none of numbers; write a number, mean or median",
        ),
        (target(label="x"), STEPS, "its label is its own column"),
        (target(), f"{STEPS}[0].label", "required and missing"),
        (target(label="y", folds=1), f"{STEPS}[0].folds", "from 2 to 100"),
        (encoded("target", fit=RANGE), f"{STEPS}[0]", "'target' has parameters"),
        (encoded("log", mask="hash"), ENCODE, "x has a mask"),
        (
            aggregated("log", column="a_last_k_2_3d"),
            ENCODE,
            "x: last_k gives a list, and steps take one value",
        ),
        (
            aggregated({"step": "target", "label": "a"}, column="a_sum_3d", fit=RANGE),
            STEPS,
            "its label 'a' is no output of the aggregations that is one value",
        ),
        (
            aggregated({"step": "target", "label": "a_last_k_2_3d"}, column="a_sum_3d", fit=RANGE),
            STEPS,
            "is one value",
        ),
        (aggregated("log", column="a_sum_3d", type="int64"), TYPE, "log gives numbers"),
        (ENTITY | {"join_keys": [{**KEY, "encode": {}}]}, "join_keys[0].encode", "unknown key"),
    ],
)
def test_an_encoding_that_is_refused(definition, key, words):
    found = problems(definition)

    assert any(where == key and re.search(words, message) for where, message in found), found


TEXT = """kind: FeatureView
name: v
entities: [e]
source: s
features:
  - name: x
    type: float64
    encode:
      steps: [{step: clip, min: 0.0}, standard]
      fit: {from: '2026-01-01', to: '2026-07-01'}
"""


def test_what_is_written_reads_back_as_the_same():
    (definition,) = parse_files([("a.yaml", TEXT)])

    text = written(Kind.FEATURE_VIEW, definition.spec)

    (again,) = parse_files([("a.yaml", text)])
    assert again.spec == definition.spec
    assert definition.spec.features[0].encode.all_steps[1] == Standard()
    assert definition.spec.features[0].encoded == (
        "clip (min 0.0), standard, fitted on 2026-01-01 to 2026-07-01"
    )
