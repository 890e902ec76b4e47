"""The evidence of a submission on its version's page: what it found, drawn and in words.

Not for what is found out (``quality.evidence``) or for deciding (the registry's page).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from django.template.loader import render_to_string
from django.utils import timezone

from materialization.admin.shares import Shares, column_of, shares_of
from materialization.quality.profiles import Profile
from registry.admin.panels import panel
from registry.approval import evidence_wanted
from registry.choices import EvidencePart, PartState
from registry.evidence import evidence_of, shown_parts, sight_of
from registry.models import FeatureViewVersion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest

    Part = dict[str, Any]

#: What is shown of a profile, and what it is called.
FIGURES = {
    "nulls": "Nulls",
    "nans": "NaN",
    "distinct": "Distinct",
    "mean": "Mean",
    "std": "Deviation",
}
#: Of a parameter that is a list, and of a text in it.
SHOWN_ITEMS, SHOWN_LENGTH = 8, 40


class FeatureLine(NamedTuple):
    """One feature: its figures, what a comparison found, its distributions.

    Of each figure there is what it is, and what it was if that is something else.
    """

    name: str
    figures: list[tuple[str, str]]
    was_there: bool
    compared: Part | None
    share: str
    chart: Shares | None
    examples: list[Part]


class FitLine(NamedTuple):
    """One encoding, how many rows it was fitted on, and to what, step by step.

    ``rows_of``: the version that had stored them, from ``stored_since`` on; empty: they are the
    source's own. ``lacks``: the range begins before.
    """

    name: str
    encoding: str
    rows: int
    rows_of: str
    stored_since: datetime | None
    lacks: bool
    parameters: list[str]


@panel(FeatureViewVersion, is_wide=True)
def evidence_panel(request: HttpRequest, version: FeatureViewVersion) -> str:
    """Show what was found out about the last submission, or that a worker is at it."""
    evidence = evidence_of(version) if version.packet_hash else None
    if evidence is None:
        return ""
    sight = sight_of(request.user, version, at=timezone.now())
    parts = shown_parts(evidence, sight)
    lines = list(feature_lines(version, parts)) if evidence.is_computed else []
    context = {
        "evidence": evidence,
        "may_read": sight.values,
        "withheld": sorted(sight.withheld),
        "lines": sorted(lines, key=_change, reverse=True),
        "figures": FIGURES.values(),
        "fits": list(fit_lines(version, parts.get(EvidencePart.FIT, {}))),
        "required": evidence_wanted(version),
        **{str(part): parts.get(part, {}) for part in EvidencePart},
    }
    return render_to_string("materialization/admin/evidence.html", context, request=request)


def feature_lines(version: FeatureViewVersion, parts: dict[str, Part]) -> Iterator[FeatureLine]:
    profile, comparison = parts[EvidencePart.PROFILE], parts[EvidencePart.COMPARISON]
    if profile["state"] != PartState.COMPUTED:
        return
    facts, values = profile["facts"], profile.get("values", {})
    after, before = _columns(facts.get("after")), _columns(facts.get("before"))
    compared = comparison.get("facts", {}).get("features", {})
    rows = comparison.get("facts", {}).get("rows", 0)
    drawn = {} if "after" not in values else _profiles(version, values)
    for name in after:
        found = compared.get(name)
        yield FeatureLine(
            name,
            _figures(after[name], before.get(name)),
            name in before,
            found,
            f"{found['equal'] * 1000 // rows / 10}%" if found and rows else "",
            _chart(drawn, name),
            comparison.get("values", {}).get(name, []),
        )


def fit_lines(version: FeatureViewVersion, part: Part) -> Iterator[FitLine]:
    """Yield what each encoding is fitted to; of those withheld only how it is fitted."""
    values = part.get("values", {})
    for name, facts in part.get("facts", {}).get("features", {}).items():
        encode = next((each.encode for each in version.spec.features if each.name == name), None)
        steps = encode.all_steps if encode is not None else ()
        said = [
            f"{step.name}: {', '.join(f'{key} {_briefly(value)}' for key, value in own.items())}"
            for step, own in zip(steps, values.get(name, ()), strict=False)
            if own
        ]
        since = facts.get("stored_since")
        yield FitLine(
            name,
            facts["encoding"],
            facts["rows"],
            facts.get("rows_of", ""),
            datetime.fromisoformat(since) if since else None,
            "lacks_before" in facts,
            said,
        )


def _briefly(value: Any) -> str:
    """Write a parameter: of a long list how it begins, and how many there are."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        value = [f"{key} {_briefly(item)}" for key, item in value.items()]
    if not isinstance(value, list):
        return str(value)[:SHOWN_LENGTH]
    some = " · ".join(_briefly(each) for each in value[:SHOWN_ITEMS])
    return f"{some} … ({len(value):,})" if len(value) > SHOWN_ITEMS else some


def _change(line: FeatureLine) -> float:
    """Say how far a feature is from what it was: what is new, or was not compared, comes last."""
    if not line.compared:
        return -1.0
    return float(line.compared["ks"] or line.compared["psi"] or line.share != "100.0%")


def _columns(profile: Any) -> dict[str, Part]:
    """Return the columns of a profile by name; where there is none, it says why instead."""
    return {each["name"]: each for each in profile["columns"]} if isinstance(profile, dict) else {}


def _figures(now: Part, before: Part | None) -> list[tuple[str, str]]:
    figures = []
    for name in FIGURES:
        shown, was = _shown(now.get(name)), _shown(before.get(name)) if before else ""
        figures.append((shown, "" if was == shown else was))
    return figures


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{float(value):,.4g}"


def _profiles(version: FeatureViewVersion, values: dict[str, Any]) -> dict[str, Profile]:
    """Read the profiles back: the base's with its own types, which may be others."""
    found = {"after": Profile.from_json(values["after"], version.spec.features)}
    if "before" in values and version.based_on is not None:
        features = version.based_on.spec.features
        found["before"] = Profile.from_json(values["before"], features)
    return found


def _chart(profiles: dict[str, Profile], name: str) -> Shares | None:
    now = column_of(profiles.get("after"), name)
    if now is None:
        return None
    before = column_of(profiles.get("before"), name)
    which = "in the version before and in this one" if before else "in this version"
    return shares_of(before or now, now, which)
