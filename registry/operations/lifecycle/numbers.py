"""Which number a submission gets; a number is never given twice.

Not for the class of a change (``spec.change``) or the version it is based on (``queries``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.errors import Conflict
from registry.choices import ChangeClass
from registry.models import FeatureViewVersion, VersionNumber
from registry.spec.versions import FIRST, Version, parse_version

if TYPE_CHECKING:
    from registry.spec.change import Change


class VersionTaken(Conflict):
    code = "version_taken"


class VersionTooLow(Conflict):
    code = "version_too_low"


def least_number(base: FeatureViewVersion | None, classification: ChangeClass) -> Version:
    """Return the lowest number a change of this class may have."""
    return base.version.after(classification) if base and base.version else FIRST


def taken_numbers(*, by_others_than: FeatureViewVersion) -> set[Version]:
    """Return the numbers other versions of the view have, or had in an earlier submission."""
    given = VersionNumber.objects.filter(feature_view=by_others_than.feature_view_id)
    return {each.number for each in given.exclude(version=by_others_than)}


def assign_number(
    version: FeatureViewVersion,
    base: FeatureViewVersion | None,
    change: Change,
    *,
    taken: set[Version],
) -> Version:
    """Return the number a submission gets: the one it asks for, its earlier one, else the next.

    ``taken`` are the numbers it cannot have: ``taken_numbers``.

    :raises VersionTaken, VersionTooLow: what it asks for cannot be had; says what can.
    """
    classification = change.classification or ChangeClass.PATCH
    least = least_number(base, classification)
    free = max(version.version or least, least)
    while free in taken:
        free = free.after(classification)
    requested = version.spec.view.version
    if requested is None:
        return free
    wanted = parse_version(requested)
    if wanted in taken:
        raise VersionTaken(
            f"{version.feature_view}@{wanted} was given already; use {free} or leave it out."
        )
    if base is not None and wanted < least:
        raise VersionTooLow(
            f"{wanted} is too low for a {classification} change of {base}"
            f" ({'; '.join(change.reasons)}); use {free} or leave it out."
        )
    return wanted


def give_number(version: FeatureViewVersion, number: Version) -> None:
    """Note that the number is this version's for ever; it may have been before.

    :raises VersionTaken: another version was given it since it was found free.
    """
    given, _ = VersionNumber.objects.get_or_create(
        feature_view=version.feature_view, **number._asdict(), defaults={"version": version}
    )
    if given.version_id != version.pk:
        raise VersionTaken(f"{number} was taken a moment ago; submit again to get the next number.")
