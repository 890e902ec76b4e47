"""A question, the articles that mean the nearest, and what is known of them: a prompt's context.

Run it beside a server with the example's views (``ASSAY_URL``, ``ASSAY_TOKEN``, ``ASSAY_PROJECT``):
``python -m examples.articles.answer "how did the trains do?"``. The question becomes a vector here,
by the code that the articles' vectors were computed with; what is told of them is read with the
hits, as of now and under the reader's own rights.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay import FeatureStore

if TYPE_CHECKING:
    from assay.vectors import Hit, SearchResponse

PACKAGE = Path(__file__).resolve().parent / "package"
FEATURES = [
    "article_subjects:keyword_density",
    "article_subjects:word_count",
    "article_sentiment:sentiment",
]


def find(store: FeatureStore, question: str, *, k: int) -> SearchResponse:
    """Return the articles that mean the nearest to a question, each with what is known of it."""
    sys.path.append(str(PACKAGE))
    from articles.minilm import embed  # noqa: PLC0415 - it is installed nowhere

    return store.search("article_embedding:embedding", embed(question), k=k, features=FEATURES)


def context(hits: SearchResponse) -> str:
    """Return one line an article, for a prompt."""
    lines = []
    for hit in hits:
        about = _told(hit, "keyword_density", lambda found: ", ".join(found) or "nothing much")
        words = _told(hit, "word_count", str)
        sounds = _told(hit, "sentiment", "{:+.2f}".format)
        lines.append(
            f"article {hit.entity['article_id']} ({1 - hit.distance:.2f}): about: {about};"
            f" words: {words}; sounds: {sounds}"
        )
    return "\n".join(lines)


def _told(hit: Hit, name: str, say: Callable[[Any], str]) -> str:
    """Return what a feature says; one without a value is unknown, and not none or neutral."""
    value = hit.features[name]
    if value is None:
        return f"unknown ({hit.statuses[name].lower().replace('_', ' ')})"
    return say(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("question")
    parser.add_argument("-k", type=int, default=3, help="articles, default 3")
    asked = parser.parse_args()
    print(context(find(FeatureStore(), asked.question, k=asked.k)))


if __name__ == "__main__":
    main()
