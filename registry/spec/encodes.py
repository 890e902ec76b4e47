"""Encodings: steps that make of a feature's values the numbers that models take. [pure]

Not for the steps (``encode_steps``), for what is well written (``reading.encode_rules``), nor for
fitting or applying any (``materialization.transforms.encoding``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from lib.errors import Invalid
from lib.instants import parse_instant
from registry.spec.base import Spec
from registry.spec.encode_steps import (
    STEPS,
    Hashed,
    Impute,
    Kind,
    Step,
    StepSpec,
    Target,
    written,
)
from registry.spec.value_types import ValueType, parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from registry.spec.model import FeatureSpec

#: What a column is read as for a first step.
INPUTS = {Kind.NUMBER: "float64", Kind.CATEGORY: "string", Kind.TEXT: "string"}
#: The types that hold what a last step gives.
TYPES: dict[Kind, tuple[str, ...]] = {
    Kind.NUMBER: ("float64", "float32"),
    Kind.INTEGER: ("int64", "int32"),
    Kind.CATEGORY: ("string",),
    Kind.LIST: ("list<float64>", "list<float32>"),
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
    def label(self) -> str | None:
        """The column that a step is fitted to beside the feature's own; None: there is none."""
        return next((step.label for step in self.all_steps if isinstance(step, Target)), None)

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


def decides(encode: EncodeSpec) -> dict[str, Any]:
    """Return what it means, however its steps are written."""
    said: dict[str, Any] = {"steps": [{"step": s.name, **written(s)} for s in encode.all_steps]}
    if encode.fit is not None:
        start, to = encode.fit.window
        said["fit"] = [start.isoformat(), to.isoformat(), encode.fit.edition]
    return said


def not_over(features: Sequence[FeatureSpec], at: datetime) -> Iterator[tuple[int, str]]:
    """Yield the place of each feature whose range goes beyond an instant, and what is wrong."""
    for place, feature in enumerate(features):
        fit = feature.encode.fit if feature.encode is not None else None
        if fit is not None and fit.window[1] > at:
            message = (
                f"{feature.name}: its range ends at {fit.to}, which is yet to come: a fit takes the"
                " rows that are there, and the same range would have others later. Let it end by"
                f" now, {at:%Y-%m-%dT%H:%M:%SZ}."
            )
            yield place, message


def bound_of(written: str) -> datetime:
    """Return a day's midnight, or an instant; UTC where it has no zone.

    :raises BadFitRange: it is neither.
    """
    try:
        return parse_instant(written)
    except ValueError as exc:
        known = "write a day or an instant, as in 2026-01-31"
        raise BadFitRange(f"{written[:100]!r} is no day or instant; {known}.") from exc


def input_type(encode: EncodeSpec) -> ValueType:
    """Return the type that the column is read as."""
    return parse_type(INPUTS[encode.takes])


def types_of(encode: EncodeSpec) -> tuple[str, ...]:
    """Return the types of features that hold what the last step gives."""
    last = encode.all_steps[-1]
    vector = (f"vector<{last.width}>",) if isinstance(last, Hashed) else ()
    return (*TYPES.get(encode.gives, ()), *vector)


def holds(declared: ValueType, encode: EncodeSpec) -> bool:
    return str(declared) in types_of(encode)
