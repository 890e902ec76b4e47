"""The steps an encoding may have, and the parameters each of them takes. [pure]

Not for fitting or applying one: ``materialization.transforms.encoding`` has the table of the same
classes; ``tests/contracts/test_encodings.py`` holds the two together. A step without parameters of
its own is its name alone, one with parameters a mapping: ``{step: one_hot, most: 20}``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, get_args

import msgspec
from msgspec import Meta

from registry.spec.base import Spec

#: Places that a list has at most, and categories that a fit may have: all are in every query.
MOST_PLACES, MOST_CATEGORIES = 1000, 10_000


#: Of an encoding in words.
SHOWN_EDGES = 8


class Kind(StrEnum):
    """What a step takes or gives: numbers are float64, categories texts."""

    NUMBER = "numbers"
    INTEGER = "whole numbers"
    CATEGORY = "categories"
    TEXT = "texts"
    LIST = "a list"
    #: Numbers or categories: what the steps beside it say.
    ANY = "numbers or categories"


class Step(Spec, frozen=True, tag_field="step"):
    """Base of all steps: the tag is the name, fields are the parameters."""

    takes: ClassVar[Kind] = Kind.NUMBER
    gives: ClassVar[Kind] = Kind.NUMBER
    #: Whether it has to be fitted, whatever its parameters are.
    fits: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return str(self.__struct_config__.tag)

    @property
    def is_fitted(self) -> bool:
        """Whether it needs parameters that the rows of a range give."""
        return self.fits

    def __str__(self) -> str:
        said = ", ".join(f"{key} {_brief(value)}" for key, value in written(self).items())
        return f"{self.name} ({said})" if said else self.name


class Standard(Step, frozen=True, tag="standard"):
    """Less the mean, by the standard deviation of all rows; by 1 where that is zero."""


class MinMax(Step, frozen=True, tag="min_max"):
    """The least value becomes ``low`` and the greatest ``high``; others may lie beyond."""

    low: float = 0.0
    high: float = 1.0


class Robust(Step, frozen=True, tag="robust"):
    """Less the median, by what lies between the quarters; by 1 where that is zero."""


class Log(Step, frozen=True, tag="log"):
    """The natural logarithm, of ``plus`` more."""

    fits = False
    plus: float = 0.0


class Clip(Step, frozen=True, tag="clip"):
    """What is below ``min`` becomes ``min``, and what is above ``max`` becomes ``max``."""

    fits = False
    min: float | None = None
    max: float | None = None


class OneHot(Step, frozen=True, tag="one_hot"):
    """A list with a 1 at the place of the category and 0 elsewhere.

    With ``most`` only so many of the commonest have a place.
    """

    takes, gives = Kind.CATEGORY, Kind.LIST
    most: Annotated[int, Meta(ge=1, le=MOST_PLACES)] | None = None


class Ordinal(Step, frozen=True, tag="ordinal"):
    """The place of the category, from 0; -1 of one that the fit did not see, or has no place."""

    takes, gives = Kind.CATEGORY, Kind.INTEGER
    most: Annotated[int, Meta(ge=1, le=MOST_CATEGORIES)] | None = None


class Hashed(Step, frozen=True, tag="hashed"):
    """A list with 1 or -1 at a place that the category's hash says; nothing is fitted."""

    takes, gives = Kind.CATEGORY, Kind.LIST
    fits = False
    example = "{step: hashed, width: 16}"
    width: Annotated[int, Meta(ge=1, le=MOST_PLACES)]


class Quantile(Step, frozen=True, tag="quantile"):
    """The share of the range's values that are less, 0 to 1; by so many quantiles at most.

    ``output: normal``: the number that has this share of a normal distribution below it.
    """

    quantiles: Annotated[int, Meta(ge=2, le=2000)] = 1000
    output: Literal["uniform", "normal"] = "uniform"


class Bucketize(Step, frozen=True, tag="bucketize"):
    """The number of the stretch between edges that a value is in, from 0; of NaN -1.

    Each begins with its lower edge. ``edges`` are given, or ``bins`` are fitted: of as many values
    each, or ``by: width`` as wide as each other.
    """

    gives = Kind.INTEGER
    example = "{step: bucketize, edges: [18, 30, 65]}"
    edges: tuple[float, ...] | None = None
    bins: Annotated[int, Meta(ge=2, le=1000)] | None = None
    by: Literal["quantile", "width"] = "quantile"

    @property
    def is_fitted(self) -> bool:
        return self.bins is not None


class Impute(Step, frozen=True, tag="impute"):
    """What stands where there is no value, or NaN: a ``value``, or one the range says."""

    takes, gives = Kind.ANY, Kind.ANY
    example = "{step: impute, by: median}"
    by: Literal["mean", "median", "most_frequent"] | None = None
    value: float | str | None = None

    @property
    def is_fitted(self) -> bool:
        return self.by is not None

    @property
    def is_of(self) -> Kind:
        """What it takes, where that is not any."""
        if self.by in ("mean", "median") or isinstance(self.value, float):
            return Kind.NUMBER
        return Kind.CATEGORY if isinstance(self.value, str) else Kind.ANY


class Target(Step, frozen=True, tag="target"):
    """The mean of a label over the rows of the category, drawn to that of all rows.

    ``smooth``: by so many rows of the mean of all, or as much as the spread of both says. Rows of
    the range have the mean of rows that are not in their fold: an entity is in one of ``folds``.
    """

    takes, gives = Kind.CATEGORY, Kind.NUMBER
    example = "{step: target, label: churned}"
    label: str
    smooth: Annotated[float, Meta(ge=0, le=1e9)] | Literal["auto"] = "auto"
    folds: Annotated[int, Meta(ge=2, le=100)] = 5


class TfIdf(Step, frozen=True, tag="tfidf"):
    """A list with a number a term: how often a text has it, the more the fewer texts have it.

    Terms are words of at least two letters, digits or underscores, in small letters.
    """

    takes, gives = Kind.TEXT, Kind.LIST
    terms: Annotated[int, Meta(ge=1, le=MOST_PLACES)] = MOST_PLACES
    #: In how many texts of the range a term has to be.
    at_least: Annotated[int, Meta(ge=1, le=1_000_000)] = 1


PlainStep = Literal[
    "standard", "min_max", "robust", "quantile", "log", "one_hot", "ordinal", "tfidf"
]
#: Those that mean something without a parameter are written by their names.
StepSpec = (
    PlainStep
    | Standard
    | MinMax
    | Robust
    | Quantile
    | Log
    | Clip
    | Bucketize
    | OneHot
    | Ordinal
    | Hashed
    | Target
    | Impute
    | TfIdf
)
STEPS: dict[str, type[Step]] = {
    str(each.__struct_config__.tag): each
    for each in get_args(StepSpec)
    if isinstance(each, type) and issubclass(each, Step)
}

#: Steps that are in SQL alone, or go by more than the value: windows that are made at each online
#: read have none of them.
NOT_AT_READS: tuple[type[Step], ...] = (Quantile, Target, TfIdf)


def written(step: Step) -> dict[str, Any]:
    """Return the parameters of a step that are given."""
    said: dict[str, Any] = msgspec.to_builtins(step)
    said.pop("step", None)
    return said


def _brief(value: Any) -> str:
    if not isinstance(value, list | tuple):
        return str(value)
    some = ", ".join(f"{each:g}" for each in value[:SHOWN_EDGES])
    return f"[{some}, …] ({len(value)})" if len(value) > SHOWN_EDGES else f"[{some}]"
