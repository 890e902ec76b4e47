"""What apps above add to what the catalogue says of versions, as how fresh their data is.

The catalogue knows nothing of those apps: each registers its own when it starts. Not for pages of
the admin: ``admin.panels`` has those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import timedelta

    from registry.models import FeatureViewVersion

    #: By the versions' keys; versions that it has nothing to say of are left out.
    Facts = Callable[[Sequence[FeatureViewVersion]], Mapping[int, Mapping[str, Any]]]

    #: By the keys of versions in these projects: how they keep what each promises.
    Keeping = Callable[[Collection[int], Mapping[int, timedelta]], Mapping[int, str]]

_facts: list[Facts] = []
_keeping: list[Keeping] = []


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


def register_keeping(keeping: Keeping) -> None:
    """Add what says of very many versions, in few questions, whether they keep their promise."""
    if keeping not in _keeping:
        _keeping.append(keeping)


def kept_promises(projects: Collection[int], promises: Mapping[int, timedelta]) -> dict[int, str]:
    """Return a word of each served version that promises something of its data, by its key."""
    found: dict[int, str] = {}
    for keeping in _keeping if promises else ():
        found |= keeping(projects, promises)
    return found
