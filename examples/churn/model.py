"""The model as it is kept: a logistic regression's numbers, and what they were fitted to. [pure]

JSON and not a pickle, which would run whatever somebody put into it. Neither scikit-learn nor
Assay is needed to ask it; ``train`` writes it, ``service`` serves it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import AwareDatetime, BaseModel

#: The word that stands for none.
NONE = "none"


class Number(BaseModel):
    """A feature that is a number: what stands in where there is none, and its weight."""

    fill: float
    mean: float
    scale: float
    weight: float


class Prediction(NamedTuple):
    """How likely somebody is to leave, and of which inputs there was no value."""

    chance: float
    filled: list[str]


class Model(BaseModel):
    """``references`` are those of the dataset, each with its version; their columns are inputs.

    ``fingerprints`` has what each version computes, by ``view@version``.
    """

    trained_at: AwareDatetime
    dataset: str
    manifest_hash: str
    references: list[str]
    fingerprints: dict[str, str]
    numbers: dict[str, Number]
    words: dict[str, dict[str, float]]
    intercept: float
    #: The share of the training rows that left: the answer where no feature can be read.
    base_rate: float
    rows: int
    accuracy: float
    always_the_more_frequent: float

    def predict(self, row: Mapping[str, Any]) -> Prediction:
        """Say how likely somebody with these values is to leave; None is no value."""
        total, filled = self.intercept, []
        for name, number in self.numbers.items():
            value = row.get(name)
            if value is None or math.isnan(value):
                filled.append(name)
                value = number.fill
            total += number.weight * (value - number.mean) / number.scale
        for name, weights in self.words.items():
            word = row.get(name)
            if word is None:
                filled.append(name)
            # A word that no training row had says nothing, as in training.
            total += weights.get(NONE if word is None else word, 0.0)
        return Prediction(_logistic(total), filled)


def _logistic(value: float) -> float:
    """Return 1 / (1 + e^-value), of large negative numbers too."""
    if value >= 0:
        return 1 / (1 + math.exp(-value))
    return math.exp(value) / (1 + math.exp(value))
