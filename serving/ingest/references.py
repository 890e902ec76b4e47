"""Which versions of a view are meant by what a writer calls it. [pure]"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.spec.references import parse_reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import FeatureViewVersion


def meant_by(name: str) -> tuple[str, Callable[[FeatureViewVersion], bool]]:
    """Return the view that ``view``, ``view@v1`` or ``view@1.2.0`` names, and which versions.

    :raises BadReference: it is none of these.
    """
    view, at, _ = name.partition("@")
    reference = parse_reference(f"{name}:*") if at else None

    def is_meant(version: FeatureViewVersion) -> bool:
        if reference is None:
            return True
        if reference.major is not None:
            return version.major == reference.major
        return version.number == reference.pin

    return view, is_meant
