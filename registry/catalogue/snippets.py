"""How a feature is read, in words that can be copied: apps above say their ways, here is the YAML.

Not for reading it, nor for the page that shows them (``admin.feature_page``).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Ways = Callable[["Wanted"], Iterable["Snippet"]]


class Snippet(NamedTuple):
    """One way, what it gives, and what to copy."""

    title: str
    says: str
    text: str


class Wanted(NamedTuple):
    """What is read: a feature by its reference or all of a service, by which keys and from where.

    ``keys`` has their types by name, ``request`` those of the values that each request brings.
    """

    project: str
    base_url: str
    keys: Mapping[str, str]
    is_online: bool = True
    #: Whether anything that is read resolves to a version that answers.
    is_read: bool = True
    reference: str = ""
    service: str = ""
    request: Mapping[str, str] = MappingProxyType({})


_ways: list[Ways] = []


def register(ways: Ways) -> None:
    """Add the ways of an app when it starts; the same function twice is one."""
    if ways not in _ways:
        _ways.append(ways)


def snippets(wanted: Wanted) -> list[Snippet]:
    """Return every way to read a feature or a service, and how a service names the feature."""
    found = [each for ways in _ways for each in ways(wanted)]
    return [*found, _service(wanted.reference)] if wanted.reference else found


def _service(reference: str) -> Snippet:
    service = {"kind": "FeatureService", "name": "my_model", "features": [reference]}
    text = yaml.safe_dump(service, sort_keys=False, allow_unicode=True)
    return Snippet("YAML", "in a feature service: what one model reads", text)
