"""What apps above add to what the catalogue says of versions, as how fresh their data is.

The catalogue knows nothing of those apps: each registers its own when it starts. Not for pages of
the admin: ``admin.panels`` has those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from registry.models import FeatureViewVersion

    #: By the versions' keys; versions that it has nothing to say of are left out.
    Facts = Callable[[Sequence[FeatureViewVersion]], Mapping[int, Mapping[str, Any]]]

_facts: list[Facts] = []


def register(facts: Facts) -> None:
    """Add what ``facts`` says of many versions at once; the same function twice is one."""
    if facts not in _facts:
        _facts.append(facts)


def facts_of(versions: Sequence[FeatureViewVersion]) -> dict[int, dict[str, Any]]:
    """Return what all apps say of each of the versions, by its key."""
    found: dict[int, dict[str, Any]] = {version.pk: {} for version in versions}
    for facts in _facts:
        for key, said in facts(versions).items():
            found[key] |= said
    return found
