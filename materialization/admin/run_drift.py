"""How far the values of one run lie from those it was compared with, on the run's page.

Not for courses over many runs: each feature's page has those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from materialization.admin.shares import Shares, column_of, shares_of
from materialization.quality.comparing import others_of
from materialization.quality.profiles import Profile
from registry.choices import Against
from registry.spec.drift import MEASURES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from materialization.disclosure import Disclosure
    from materialization.models import MaterializationRun

#: Features that are shown, those furthest away first.
SHOWN = 10
#: The measures, short; in full they are ``registry.spec.drift.MEASURES``.
SHORT = {"psi": "PSI", "ks": "KS", "js": "JS", "null_share": "Nulls", "mean": "Mean"}


class FeatureDrift(NamedTuple):
    """Lines of what it was compared with and each measure; charts, and what each is against."""

    name: str
    lines: list[tuple[str, list[str]]]
    charts: list[tuple[str, Shares]]


class RunDrift(NamedTuple):
    #: Each measure, short and in full.
    measures: list[tuple[str, str]]
    features: list[FeatureDrift]
    #: How many features were compared, of which those are some.
    compared: int


def drift_of_run(run: MaterializationRun, shown: Disclosure) -> RunDrift | None:
    """Return the drift of a run that was compared; charts as long as it has its profile, of those
    features whose values are shown.

    None: nothing was, as of a run of few rows.
    """
    compared = {name for features in (run.drift or {}).values() for name in features}
    names = sorted(compared, key=lambda name: (-_furthest(run, name), name))
    if not names:
        return None
    drawn = [name for name in names[:SHOWN] if shown.shows(run.version, name)]
    charts = _charts(run, drawn) if drawn and run.has_profile else {}
    features = [
        FeatureDrift(name, list(_lines(run, name)), charts.get(name, [])) for name in names[:SHOWN]
    ]
    return RunDrift(
        [(SHORT[name], words) for name, words in MEASURES.items()], features, len(names)
    )


def _furthest(run: MaterializationRun, name: str) -> float:
    """Return how far the feature's distribution lies from any that it was compared with, 0 to 1."""
    found = (features.get(name, {}) for features in (run.drift or {}).values())
    return max(float(each.get("js") or each.get("null_share") or 0) for each in found)


def _lines(run: MaterializationRun, name: str) -> Iterator[tuple[str, list[str]]]:
    for side, features in (run.drift or {}).items():
        found: dict[str, Any] = features.get(name, {})
        yield side, [_shown(found.get(measure)) for measure in MEASURES]


def _shown(value: float | str | None) -> str:
    return "–" if value is None else f"{float(value):,.4g}"


def _charts(run: MaterializationRun, names: list[str]) -> dict[str, list[tuple[str, Shares]]]:
    now = Profile.from_json(run.profile, run.version.spec.features)
    others = others_of(run.version, run)
    return {
        name: [
            (other.words, shares)
            for side, other in others.items()
            if side in (run.drift or {})
            if (shares := _shares(other.profile, now, name, side))
        ]
        for name in names
    }


def _shares(before: Profile, now: Profile, name: str, side: Against) -> Shares | None:
    which = f"in this run and {'at the baseline' if side == 'baseline' else 'in the run before'}"
    return shares_of(column_of(before, name), column_of(now, name), which)
