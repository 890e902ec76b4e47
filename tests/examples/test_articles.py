"""The package of the articles example: what its functions make of small texts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pytest

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
    ]  # fmt: skip
    for call in calls:
        __import__(call.module)
        assert callable(getattr(sys.modules[call.module], call.name))
        assert call.columns == ("title", "body")
