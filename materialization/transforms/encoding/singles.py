"""Steps of an encoding over one value at a time, in Python: the other form of their SQL. [pure]

For windows that are made at each online read. ``tests/contracts/test_encodings.py`` holds the two
forms together on every value that it looks at. Not for steps of which a value alone does not
decide, nor for what is nowhere but in SQL (``registry.spec.encode_steps.NOT_AT_READS``).
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from materialization.transforms.encoding.step import scale
from registry.spec.encode_steps import (
    Bucketize,
    Clip,
    Hashed,
    Impute,
    Log,
    MinMax,
    OneHot,
    Ordinal,
    Robust,
    Standard,
    Step,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from materialization.transforms.encoding.step import Parameters
    from registry.spec.encodes import EncodeSpec

    #: Takes a number (NaN too) or a text, and gives what the step makes of it.
    Single: TypeAlias = Callable[[Any], Any]


def single_of(encode: EncodeSpec, fitted: Sequence[Parameters]) -> Single:
    """Return what makes of one value, None too, what the steps make of it in SQL."""
    steps = [_of_step(step, own) for step, own in zip(encode.all_steps, fitted, strict=True)]

    def run(value: Any) -> Any:
        for step in steps:
            value = step(value)
        return value

    return run


def _of_step(step: Step, fitted: Parameters) -> Single:
    made = SINGLES[type(step)](cast("Any", step), fitted)
    if isinstance(step, Impute):
        return made
    return lambda value: None if value is None else made(value)


def _standard(step: Standard, fitted: Parameters) -> Single:
    mean, width = float(fitted["mean"]), float(fitted["scale"])
    return lambda v: (v - mean) / width


def _min_max(step: MinMax, fitted: Parameters) -> Single:
    low, width = float(fitted["min"]), float(scale(fitted["width"]))
    times, plus = float(step.high - step.low), float(step.low)
    return lambda v: (v - low) / width * times + plus


def _robust(step: Robust, fitted: Parameters) -> Single:
    middle, width = float(fitted["median"]), float(scale(fitted["high"] - fitted["low"]))
    return lambda v: (v - middle) / width


def _log(step: Log, fitted: Parameters) -> Single:
    def log(v: float) -> float:
        more = v + step.plus
        if more == 0:
            return -math.inf
        return math.nan if more < 0 else math.log(more)

    return log


def _clip(step: Clip, fitted: Parameters) -> Single:
    low = None if step.min is None else float(step.min)
    high = None if step.max is None else float(step.max)

    def clip(v: float) -> float:
        if low is not None and v < low:
            return low
        return high if high is not None and v > high else v

    return clip


def _bucketize(step: Bucketize, fitted: Parameters) -> Single:
    edges = [float(edge) for edge in (fitted["edges"] if step.edges is None else step.edges)]
    return lambda v: -1 if math.isnan(v) else bisect_right(edges, v)


def _impute(step: Impute, fitted: Parameters) -> Single:
    value = fitted["value"] if step.value is None else step.value
    if isinstance(value, str):
        return lambda v: value if v is None else v
    number = float(value)
    return lambda v: number if v is None or math.isnan(v) else v


def _ordinal(step: Ordinal | OneHot, fitted: Parameters) -> Single:
    places = {category: place for place, category in enumerate(fitted["categories"])}
    return lambda v: places.get(v, -1)


def _one_hot(step: OneHot, fitted: Parameters) -> Single:
    place, width = _ordinal(step, fitted), len(fitted["categories"])
    return lambda v: _places(place(v), 1.0, width)


def _hashed(step: Hashed, fitted: Parameters) -> Single:
    def hashed(v: str) -> list[float]:
        digest = hashlib.md5(v.encode(), usedforsecurity=False).digest()
        place = int.from_bytes(digest[8:], "little") % step.width
        return _places(place, -1.0 if digest[0] & 1 else 1.0, step.width)

    return hashed


def _places(place: int, mark: float, width: int) -> list[float]:
    listed = [0.0] * width
    if place >= 0:
        listed[place] = mark
    return listed


#: What makes each step's; the step, then what it was fitted to.
SINGLES: dict[type[Step], Callable[[Any, Parameters], Single]] = {
    Standard: _standard,
    MinMax: _min_max,
    Robust: _robust,
    Log: _log,
    Clip: _clip,
    Bucketize: _bucketize,
    Impute: _impute,
    Ordinal: _ordinal,
    OneHot: _one_hot,
    Hashed: _hashed,
}
