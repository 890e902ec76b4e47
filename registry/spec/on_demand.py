"""On-demand views as values: features computed at the request from others and from its data. [pure]

Not for computing them. They are stored as versions of a feature view without a source or a table,
so that they are reviewed, numbered and released like any other.
"""

from __future__ import annotations

from typing import ClassVar

from registry.choices import Sensitivity
from registry.spec.base import Described, Name, Spec


class OnDemandInputs(Spec, frozen=True):
    """What is computed with: features by reference, and values of the request by name and type.

    In an expression a feature goes by its name alone, without its view.
    """

    features: tuple[str, ...] = ()
    request: dict[str, str] = {}


class OnDemandFeature(Spec, frozen=True, kw_only=True):
    """One feature: ``sql`` is a scalar expression over the inputs."""

    #: Keys that belong elsewhere, and what to do in their place.
    misplaced: ClassVar[dict[str, str]] = {
        "mask": "it is computed at the request; mask what it reads, in the view that stores that."
    }
    name: Name
    type: str
    sql: str
    description: str = ""
    unit: str = ""
    sensitivity: Sensitivity = Sensitivity.INTERNAL


class OnDemandWrite(Spec, frozen=True):
    """Where its features are written as rows arrive, and by which keys: it is stored then."""

    source: Name
    entities: tuple[Name, ...]
    ttl: str | None = None


class OnDemandViewSpec(Described, frozen=True, kw_only=True):
    version: str | None = None
    based_on: str | None = None
    inputs: OnDemandInputs
    features: tuple[OnDemandFeature, ...]
    #: None: nothing is stored, and each read computes.
    write: OnDemandWrite | None = None
