"""How far what reads of a feature answered lies from the baseline of its version.

By the measures that runs are compared by (``materialization.quality.drift``), of what samples say.
Not for taking samples (``sampling``) nor for who may see them (``sampled``). Samples are of reads:
an entity that is asked for often is among them often, and the baseline has each stored row once.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from lib.instants import EPOCH
from materialization.quality.comparing import current_baseline
from materialization.quality.distributions import marks_of
from materialization.quality.drift import drift_between
from materialization.quality.drift_checks import kept_measures
from materialization.quality.profiles import ColumnProfile, Profile, most_frequent
from materialization.quality.shown_values import named
from registry.spec.drift import MIN_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from materialization.models import Baseline
    from registry.models import Feature
    from registry.spec.model import FeatureSpec
    from registry.spec.value_types import ValueType

#: Samples that are compared, the newest.
MOST_COMPARED = 20_000
#: Of a value as it was answered the double that its type's marks are of (see ``profiling``).
_NUMBERS: dict[str, Callable[[Any], float]] = {
    "int32": float,
    "int64": float,
    "float32": lambda value: float(np.float32(float(value))),
    "float64": float,
    "decimal": float,
    "timestamp": lambda text: (_instant(text) - EPOCH) / timedelta(microseconds=1) / 1_000_000,
    "date": lambda text: float((date.fromisoformat(text) - EPOCH.date()).days),
}
_NAMES: dict[str, Callable[[Any], str]] = {
    "bool": lambda value: str(value).lower(),
    "string": named,
}


class Served(NamedTuple):
    """What was answered of one version; ``base``: the same feature in its baseline.

    ``since``: the minute of the oldest sample. ``drift`` has what could be measured, an infinity as
    a word; ``why_not`` says why there is no more, and is empty where nothing lacks.
    """

    version: str
    since: datetime
    statuses: dict[str, int]
    now: ColumnProfile
    baseline: Baseline | None
    base: ColumnProfile | None
    drift: dict[str, float | str]
    why_not: str

    @property
    def samples(self) -> int:
        """How many samples it rests on."""
        return sum(self.statuses.values())


def compared(samples: Iterable[Mapping[str, Any]], features: Iterable[Feature]) -> list[Served]:
    """Compare samples, the newest first, with the baseline of the version that each is of.

    ``features``: the feature that was sampled, as each version has it.
    """
    own = {each.version.number: each for each in features}
    by_version: dict[str, list[Mapping[str, Any]]] = {}
    for sample in samples:
        by_version.setdefault(sample["version"], []).append(sample)
    return [_compared(own[number], some) for number, some in by_version.items() if number in own]


def _compared(feature: Feature, samples: Sequence[Mapping[str, Any]]) -> Served:
    version = feature.version
    spec = next(each for each in version.spec.features if each.name == feature.name)
    now = profile_of(feature.name, spec.value_type, samples)
    baseline = current_baseline(version)
    base = _column(baseline, spec) if baseline else None
    drift: dict[str, float | str] = {}
    least = spec.checks.drift.min_rows if spec.checks.drift else MIN_ROWS
    if base is not None:
        sides = (Profile(each.rows, (each,)) for each in (base, now))
        drift = kept_measures(drift_between(*sides, min_rows=least)[feature.name])
    return Served(
        version=str(version.number),
        since=samples[-1]["at"],
        statuses=dict(Counter(sample["status"] for sample in samples)),
        now=now,
        baseline=baseline,
        base=base,
        drift=drift,
        why_not="" if "psi" in drift else _why_not(feature, spec, now, base, least),
    )


def _column(baseline: Baseline, spec: FeatureSpec) -> ColumnProfile | None:
    said = (each for each in baseline.profile["columns"] if each["name"] == spec.name)
    return next((ColumnProfile.from_json(each, spec.value_type) for each in said), None)


def profile_of(name: str, kind: ValueType, samples: Sequence[Mapping[str, Any]]) -> ColumnProfile:
    """Return what a run's profile would say of the values that were found, as far as drift asks.

    Entities without a row, or with one that was too old, are no rows of it. Texts are not counted
    where one was too long to be kept: it may be what is most frequent.
    """
    found = [each for each in samples if each["status"] in ("PRESENT", "NULL_VALUE")]
    texts = [each["value"] for each in found if each["status"] == "PRESENT"]
    column = ColumnProfile(name, rows=len(found), nulls=len(found) - len(texts))
    values = [msgspec.json.decode(text) for text in texts if text is not None]
    if (number := _NUMBERS.get(kind.kind)) is not None:
        return _of_numbers(column, np.array([number(each) for each in values], np.float64))
    if (name_of := _NAMES.get(kind.kind)) is None or None in texts:
        return column
    times = Counter(map(name_of, values))
    top = most_frequent((each, count) for each, count in times.items() if count > 1)
    return msgspec.structs.replace(column, seen=len(values), distinct=len(times), top=top)


def _of_numbers(column: ColumnProfile, numbers: Any) -> ColumnProfile:
    ordered = np.sort(numbers[~np.isnan(numbers)])
    mean = float(ordered.mean()) if len(ordered) and np.isfinite(ordered).all() else None
    nans = len(numbers) - len(ordered)
    marks = marks_of(ordered)
    return msgspec.structs.replace(column, nans=nans, mean=mean, marks=marks, seen=len(ordered))


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _why_not(
    feature: Feature,
    spec: FeatureSpec,
    now: ColumnProfile,
    base: ColumnProfile | None,
    least: int,
) -> str:
    """Say what lacks to compare the distribution of the values."""
    if not feature.version.spec.transform.is_stored:
        return "it is computed at the request, and only what runs store has a baseline."
    if base is None:
        return f"{feature.version} has no baseline yet: the first data after its approval are it."
    if min(now.values, base.values) < least:
        return (
            f"too few to say: it takes {least:,} values on both sides, and {now.values:,} of the"
            f" samples are one, of the baseline's rows {base.values:,}."
        )
    if spec.value_type.kind not in {*_NUMBERS, *_NAMES}:
        return f"of {spec.value_type} the share of nulls alone is compared."
    if not now.seen:
        return "some values were too long to be kept, and may be what is most frequent."
    return "no value of the baseline occurs twice, so that there are no shares to compare."
