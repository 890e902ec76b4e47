"""How a text sounds, from -1 (bad) to 1 (good); two ways to tell, to be served side by side."""

from __future__ import annotations

import pyarrow as pa

from articles.texts import each_text
from articles.words import BAD, GOOD, NEGATIONS, STRESSED, words_of

#: A negation reaches so many words ahead.
_REACH = 3


def by_words(batch: pa.RecordBatch) -> pa.Table:
    """Take the share of good words among good and bad ones."""
    return pa.table({"sentiment": each_text(batch, counted, pa.float64())})


def by_phrases(batch: pa.RecordBatch) -> pa.Table:
    """Take what stands before a word into account too: ``not good``, ``very good``."""
    return pa.table({"sentiment": each_text(batch, weighed, pa.float64())})


def counted(text: str) -> float:
    words = words_of(text)
    good, bad = sum(word in GOOD for word in words), sum(word in BAD for word in words)
    return (good - bad) / (good + bad) if good + bad else 0.0


def weighed(text: str) -> float:
    words, total, weight = words_of(text), 0.0, 0.0
    for place, word in enumerate(words):
        if word in GOOD or word in BAD:
            before = words[max(0, place - _REACH) : place]
            stress = STRESSED.get(before[-1], 1.0) if before else 1.0
            sign = 1 if (word in GOOD) != any(each in NEGATIONS for each in before) else -1
            total, weight = total + sign * stress, weight + stress
    return total / weight if weight else 0.0
