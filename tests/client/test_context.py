"""Features told in words through the client and the command: what is sent, what comes back."""

from __future__ import annotations

import json
import math

import pytest

from assay import Invalid
from assay.cli.app import main

RESULT = {
    "entity": {"user_id": 1},
    "text": "segment=power_user",
    "tokens": 5,
    "features": ["segment"],
    "dropped": ["last_genre"],
    "missing": {},
}
ANSWER = {"metadata": {"told_by": "template", "bytes_per_token": 4}, "results": [RESULT]}


def test_one_entitys_text(peer, store):
    peer.answers_with("POST get-feature-context", ANSWER, Assay_Warnings='["it is overdue"]')

    answer = store.get_feature_context("recommender", {"user_id": [1]}, max_tokens=5)

    assert peer.requests[-1].json() == {
        "feature_service": "recommender",
        "entities": {"user_id": [1]},
        "max_tokens": 5,
    }
    assert answer.text == str(answer[0]) == "segment=power_user"
    assert (answer[0].dropped, answer.warnings) == (["last_genre"], ["it is overdue"])


def test_nan_is_a_request_value_like_others(peer, store):
    peer.answers_with("POST get-feature-context", ANSWER)

    store.get_feature_context("recommender", {"user_id": [1], "amount": [math.nan]})

    assert peer.requests[-1].json()["entities"] == {"user_id": [1], "amount": ["NaN"]}


def test_of_several_entities_each_has_its_own(peer, store):
    peer.answers_with("POST get-feature-context", ANSWER | {"results": [RESULT, RESULT]})

    answer = store.get_feature_context(["a:b"], [{"user_id": 1}, {"user_id": 2}])

    assert "max_tokens" not in peer.requests[-1].json()
    assert [each.tokens for each in answer] == [5, 5]
    with pytest.raises(Invalid, match="2 entities"):
        answer.text  # noqa: B018


def test_the_command_says_the_text_and_what_had_no_room(peer, monkeypatch, capsys):
    peer.answers_with("POST get-feature-context", ANSWER)
    for name, value in (("URL", peer.url), ("TOKEN", "assay_x"), ("PROJECT", "rides")):
        monkeypatch.setenv(f"ASSAY_{name}", value)
    asked = ["get-feature-context", "-s", "recommender", "-e", "user_id=1", "--max-tokens", "5"]

    assert main(asked) == 0
    said = capsys.readouterr()
    assert main(["--json", *asked]) == 0

    assert said.out == "segment=power_user\n"
    assert "last_genre" in said.err
    assert json.loads(capsys.readouterr().out) == [RESULT]
