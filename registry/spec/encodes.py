"""Encodings: steps that make of a feature's values the numbers that models take. [pure]

Not for what is well written (``reading.encode_rules``), nor for fitting or applying a step
(``materialization.transforms.encoding``). A step without parameters of its own is its name alone,
one with parameters a mapping: ``{step: one_hot, most: 20}``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

import msgspec
from msgspec import Meta

from lib.errors import Invalid
from lib.instants import parse_instant
from registry.spec.base import Spec

if TYPE_CHECKING:
    from datetime import datetime

    from registry.spec.value_types import ValueType


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


#: The types that hold what a last step gives.
TYPES: dict[Kind, tuple[str, ...]] = {
    Kind.NUMBER: ("float64", "float32"),
    Kind.INTEGER: ("int64", "int32"),
    Kind.CATEGORY: ("string",),
    Kind.LIST: ("list<float64>", "list<float32>"),
}


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
    """The share of the range's values that are less, 0 to 1; by so many quantiles at most."""

    quantiles: Annotated[int, Meta(ge=2, le=2000)] = 1000


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
    | Impute
    | TfIdf
)
STEPS: dict[str, type[Step]] = {
    str(each.__struct_config__.tag): each
    for each in get_args(StepSpec)
    if isinstance(each, type) and issubclass(each, Step)
}


class BadFitRange(Invalid):
    code = "invalid_fit"


class FitRange(Spec, frozen=True):
    """The rows that fitted steps are fitted on: with events from ``from`` on and before ``to``.

    Days and instants. ``edition``: another one fits the same range anew, to rows it has by then.
    """

    start: str = msgspec.field(name="from")
    to: str
    edition: Annotated[int, Meta(ge=1, le=10_000)] = 1

    def __str__(self) -> str:
        edition = f" (edition {self.edition})" if self.edition > 1 else ""
        return f"{self.start} to {self.to}{edition}"

    @property
    def window(self) -> tuple[datetime, datetime]:
        """Its first instant, and the first after it.

        :raises BadFitRange: one of them is none.
        """
        return bound_of(self.start), bound_of(self.to)


class EncodeSpec(Spec, frozen=True):
    steps: tuple[StepSpec, ...]
    fit: FitRange | None = None

    @property
    def all_steps(self) -> tuple[Step, ...]:
        return tuple(STEPS[each]() if isinstance(each, str) else each for each in self.steps)

    @property
    def is_fitted(self) -> bool:
        return any(step.is_fitted for step in self.all_steps)

    @property
    def takes(self) -> Kind:
        return self.kinds[0][0]

    @property
    def gives(self) -> Kind:
        return self.kinds[-1][1]

    @property
    def kinds(self) -> list[tuple[Kind, Kind]]:
        """What each step takes and gives; that of an imputation is said by what is beside it."""
        steps = self.all_steps
        said = (
            kind
            for step in steps
            for kind in (step.is_of if isinstance(step, Impute) else step.takes,)
            if kind is not Kind.ANY
        )
        first = next(said, Kind.NUMBER)
        kinds: list[tuple[Kind, Kind]] = []
        for step in steps:
            flows = kinds[-1][1] if kinds else Kind.CATEGORY if first is Kind.TEXT else first
            kinds.append((flows, flows) if step.takes is Kind.ANY else (step.takes, step.gives))
        return kinds

    def __str__(self) -> str:
        said = ", ".join(map(str, self.all_steps))
        return f"{said}, fitted on {self.fit}" if self.fit is not None else said


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


def decides(encode: EncodeSpec) -> dict[str, Any]:
    """Return what it means, however its steps are written."""
    said: dict[str, Any] = {"steps": [{"step": s.name, **written(s)} for s in encode.all_steps]}
    if encode.fit is not None:
        start, to = encode.fit.window
        said["fit"] = [start.isoformat(), to.isoformat(), encode.fit.edition]
    return said


def bound_of(written: str) -> datetime:
    """Return a day's midnight, or an instant; UTC where it has no zone.

    :raises BadFitRange: it is neither.
    """
    try:
        return parse_instant(written)
    except ValueError as exc:
        known = "write a day or an instant, as in 2026-01-31"
        raise BadFitRange(f"{written[:100]!r} is no day or instant; {known}.") from exc


def types_of(encode: EncodeSpec) -> tuple[str, ...]:
    """Return the types of features that hold what the last step gives."""
    last = encode.all_steps[-1]
    vector = (f"vector<{last.width}>",) if isinstance(last, Hashed) else ()
    return (*TYPES.get(encode.gives, ()), *vector)


def holds(declared: ValueType, encode: EncodeSpec) -> bool:
    return str(declared) in types_of(encode)
