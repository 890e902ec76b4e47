"""Which version a change is based on and which number it gets; a number is never given twice.

Not for the class of a change: ``change`` says that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.errors import Conflict
from registry.choices import SERVED_STATES, SUBMITTED_STATES, ChangeClass, State
from registry.models import FeatureView, FeatureViewVersion, VersionNumber
from registry.queries import latest_submitted
from registry.spec.versions import FIRST, Version, parse_version

if TYPE_CHECKING:
    from registry.spec.change import Change
    from registry.spec.model import VersionSpec


class VersionTaken(Conflict):
    code = "version_taken"


class VersionTooLow(Conflict):
    code = "version_too_low"


def base_version(feature_view: FeatureView, spec: VersionSpec) -> FeatureViewVersion | None:
    """Return the version this one is based on: the one it names, else the highest submitted."""
    if spec.view.based_on is None:
        return latest_submitted(feature_view)
    wanted = parse_version(spec.view.based_on)
    submitted = feature_view.versions.filter(state__in=SUBMITTED_STATES)
    return submitted.exclude(state=State.RETIRED).filter(**wanted._asdict()).first()


def relatives(
    feature_view: FeatureView, base: FeatureViewVersion | None, number: Version | None
) -> list[FeatureViewVersion]:
    """Return the versions whose readers a version of this number would get.

    Its base; the default; and the highest one served below it, which ``view@vN`` means now.
    Comparing with the base alone would let somebody base a change on what came before a protection.
    """
    served = feature_view.versions.filter(state__in=SERVED_STATES)
    below = [each for each in served if each.version and number and each.version < number]
    followed = max(below, key=lambda each: each.version or FIRST, default=None)
    known = {each.pk: each for each in (base, feature_view.default_version, followed) if each}
    return list(known.values())


def least_number(base: FeatureViewVersion | None, classification: ChangeClass) -> Version:
    """Return the lowest number a change of this class may have."""
    return base.version.after(classification) if base and base.version else FIRST


def taken_numbers(*, by_others_than: FeatureViewVersion) -> set[Version]:
    """Return the numbers other versions of the view have, or had in an earlier submission."""
    given = VersionNumber.objects.filter(feature_view=by_others_than.feature_view_id)
    return {each.number for each in given.exclude(version=by_others_than)}


def assign_number(
    version: FeatureViewVersion, base: FeatureViewVersion | None, change: Change
) -> Version:
    """Return the number a submission gets: the one it asks for, its earlier one, else the next.

    :raises VersionTaken, VersionTooLow: what it asks for cannot be had; says what can.
    """
    classification = change.classification or ChangeClass.PATCH
    taken = taken_numbers(by_others_than=version)
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
