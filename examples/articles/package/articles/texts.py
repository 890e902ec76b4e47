"""What a text is about and how hard it is to read; and how functions go through a batch."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa

from articles.words import COMMON, sentences_in, syllables_in, words_of

if TYPE_CHECKING:
    from collections.abc import Callable

#: Keywords of one article.
_MOST = 5


def each_text(batch: pa.RecordBatch, make: Callable[[str], object], kind: pa.DataType) -> pa.Array:
    """Return what ``make`` gives for each row's title and body; null where there is neither."""
    made = []
    for title, body in zip(batch["title"].to_pylist(), batch["body"].to_pylist(), strict=True):
        text = ". ".join(part for part in (title, body) if part)
        made.append(make(text) if text else None)
    return pa.array(made, kind)


def subjects(batch: pa.RecordBatch) -> pa.Table:
    return pa.table(
        {
            "keyword_density": each_text(batch, keyword_density, pa.string()),
            "readability": each_text(batch, readability, pa.float64()),
            "word_count": each_text(batch, lambda text: len(words_of(text)), pa.int64()),
        }
    )


def keyword_density(text: str) -> str:
    """Return the most frequent words that say something, each with its share of all words."""
    words = words_of(text)
    counted = Counter(word for word in words if word not in COMMON and len(word) > 2)
    most = sorted(counted.items(), key=lambda each: (-each[1], each[0]))[:_MOST]
    return json.dumps({word: round(count / len(words), 4) for word, count in most})


def readability(text: str) -> float:
    """Return the reading ease by Flesch: about 100 for a child's book, below 30 for a treatise."""
    words = words_of(text)
    if not words:
        return 0.0
    syllables = sum(map(syllables_in, words))
    ease: float = 206.835 - 1.015 * len(words) / sentences_in(text) - 84.6 * syllables / len(words)
    return round(ease, 2)
