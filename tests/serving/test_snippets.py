"""What can be copied to read a feature runs: Python that is Python, and curl whose body is JSON."""

from __future__ import annotations

import ast
import json
import shlex

import pytest
import yaml

from registry.catalogue.snippets import Wanted, snippets

KEYS = {"driver_id": "int64", "o'brien": "string", "day": "date"}
WANTED = Wanted("rides", "https://assay.example", KEYS, reference="hourly:conv_rate")


def test_every_way_can_be_run_as_it_is():
    found = {each.title: each.text for each in snippets(WANTED)}

    assert list(found) == ["Python", "curl", "Python, training set", "YAML"]
    for title in ("Python", "Python, training set"):
        ast.parse(found[title])
        assert "'hourly:conv_rate'" in found[title]
    words = shlex.split(found["curl"].replace("\\\n", " "))
    assert json.loads(words[words.index("-d") + 1]) == {
        "entities": {"driver_id": [1001], "o'brien": ["a"], "day": ["2026-01-31"]},
        "features": ["hourly:conv_rate"],
    }
    assert words[-1] == "https://assay.example/api/v1/projects/rides/get-online-features"
    assert yaml.safe_load(found["YAML"])["features"] == ["hourly:conv_rate"]


@pytest.mark.parametrize(
    ("changes", "titles"),
    [
        ({"is_online": False}, ["Python, training set", "YAML"]),
        ({"is_read": False}, ["YAML"]),
        ({"reference": "", "service": "eta"}, ["Python", "curl", "Python, training set"]),
    ],
)
def test_only_ways_that_answer_are_shown(changes, titles):
    assert [each.title for each in snippets(WANTED._replace(**changes))] == titles
