"""What readers of deprecated versions are told beside words: headers, and a part of metadata.

``Deprecation`` is as of RFC 9745, ``Sunset`` as of RFC 8594. Not for the words: ``glass.cautions``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils.http import http_date

from lib.instants import timestamp
from registry.choices import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.models import FeatureViewVersion


class Deprecation(NamedTuple):
    """Of all deprecated versions of an answer: its headers, and a line of metadata for each."""

    headers: tuple[tuple[str, str], ...] = ()
    versions: tuple[dict[str, Any], ...] = ()


def deprecation_of(versions: Iterable[FeatureViewVersion]) -> Deprecation:
    """Return what there is to tell; a header has one instant, which is the first of theirs."""
    found = [version for version in versions if version.state == State.DEPRECATED]
    since = [version.deprecated_at for version in found if version.deprecated_at]
    until = [version.sunset_at for version in found if version.sunset_at]
    headers = [("Deprecation", f"@{int(min(since).timestamp())}")] if since else []
    headers += [("Sunset", http_date(min(until).timestamp()))] if until else []
    return Deprecation(
        tuple(headers),
        tuple(
            {
                "name": version.feature_view.name,
                "version": version.number,
                "deprecated_at": timestamp(version.deprecated_at),
                "sunset_at": timestamp(version.sunset_at),
            }
            for version in found
        ),
    )
