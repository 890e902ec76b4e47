"""What source columns and features were ever approved as: what later versions are held to.

Every version that was ever approved counts, retired ones too, of every view of the project. A new
view, another source over the same files or a new version does not shed it: what is less sensitive
than what it is made of was ever agreed to be weakens a protection. Not for reading (``grants``) or
for how many have to agree (``approval``).
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from registry.choices import SENSITIVE, SENSITIVITY_ORDER, Sensitivity
from registry.models import Feature, FeatureViewVersion
from registry.spec.change import with_reasons
from registry.spec.made_of import MadeOf, made_of, place_of, rank
from registry.spec.masks import shared_name, tells_more
from registry.spec.version_spec import load_version_spec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from registry.models import Project
    from registry.spec.change import Change
    from registry.spec.masks import Mask
    from registry.spec.version_spec import VersionSpec


#: When something was agreed to; the key orders what happened at one instant.
When = tuple[datetime, int]
#: When what a version says is agreed to that nobody agreed to yet.
_NOT_YET: When = (datetime.max.replace(tzinfo=UTC), 0)


class Agreed(NamedTuple):
    """One feature of one approved version; ``version`` is empty of the one that is asked about."""

    view: str
    version: str
    when: When
    made: MadeOf


class Held(NamedTuple):
    """What holds a feature to more: since when, which feature it is, or what of it, in words."""

    since: When
    what: str
    by: Agreed


class Lowered(NamedTuple):
    """A feature that is less sensitive than ``what`` it is made of was approved as.

    ``version``: which said so; empty: its own does, of another feature. ``mask``: what of that it
    tells only, in words; empty: all of it. ``alike``: a feature whose hashes its own can be
    compared with, which is as if it was made of what that hides.
    """

    feature: str
    now: Sensitivity
    was: Sensitivity
    what: str
    version: str
    mask: str = ""
    alike: str = ""

    def __str__(self) -> str:
        if self.alike:
            return (
                f"feature {self.feature}: its hashes are those of {self.alike} in {self.version};"
                " whoever reads both can compare them"
            )
        if self.mask:
            approved = f"approved as {self.was} in {self.version}" if self.version else self.was
            return f"feature {self.feature}: a masked form ({self.mask}) of {self.what}, {approved}"
        said = f"was approved as {self.was} in {self.version}" if self.version else f"is {self.was}"
        return f"feature {self.feature}: {self.now}, and {self.what} {said}"


class Memory:
    """What was agreed to in a project, read once: for as long as one question."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._known: dict[tuple[Sensitivity, ...], list[Agreed]] = {}

    def lowered(self, spec: VersionSpec) -> list[Lowered]:
        """Return the features of a version that weaken what was ever agreed to, each once.

        What a version of the same view lowered in the same way, and people agreed to since, is
        settled.
        """
        view, made = spec.view.name, list(made_of(spec))
        if not made:
            return []
        # What the version itself says of its other features is as good as agreed to.
        said = [Agreed(view, "", _NOT_YET, each) for each in made]
        agreed = [*self._above(min((each.sensitivity for each in made), key=rank)), *said]
        found = {each.name: _weaker_than(each, view, agreed) for each in made}
        named = [each for each in made if shared_name(each.mask)]
        if not named and not any(found.values()):
            return []
        own = list(_agreed(self._project, SENSITIVITY_ORDER, view=view))
        worst = (_worst(each, found[each.name], _settled_at(each, own)) for each in made)
        everything = list(_agreed(self._project, SENSITIVITY_ORDER)) if named else []
        alike = (_hashed_alike(each, view, everything, own) for each in named)
        return [each for each in (*worst, *alike) if each is not None]

    def _above(self, lowest: Sensitivity) -> list[Agreed]:
        levels = SENSITIVITY_ORDER[rank(lowest) + 1 :]
        if levels not in self._known:
            self._known[levels] = list(_agreed(self._project, levels)) if levels else []
        return self._known[levels]


def lowered(project: Project, spec: VersionSpec) -> list[Lowered]:
    """Return as ``Memory.lowered``, of one version."""
    return Memory(project).lowered(spec)


def held_to(change: Change, weaker: Sequence[Lowered]) -> Change:
    """Return a change with what it weakens of all that was agreed to, told once.

    Of a masked form it is told in any case: it says what of the values it is.
    """
    told = {each.feature for each in weaker if change.tells_lowered(each.feature)}
    untold = (each for each in weaker if each.mask or each.alike or each.feature not in told)
    return with_reasons(change, [str(each) for each in untold])


def sensitivities(project: Project, spec: VersionSpec) -> dict[str, Sensitivity]:
    """Return how sensitive each feature is before anybody agreed to the version.

    As it says, and not less than what it is made of was approved as.
    """
    held = {each.feature: each.was for each in lowered(project, spec)}
    return {each.name: held.get(each.name, each.sensitivity) for each in spec.features}


def sensitivities_now(version: FeatureViewVersion) -> dict[str, Sensitivity]:
    """Return how sensitive each feature of an approved version is held to be now.

    As was agreed, and as any later version of the view was approved as: what turned out to be more
    sensitive is so in older versions too. Lowering it afterwards is of the version that did. What
    tells more of the values under the same name says nothing of the masked form before it.
    """
    masks = {each.name: each.mask for each in version.spec.features if each.mask is not None}
    found = {each.name: each.sensitivity for each in version.spec.features}
    later = FeatureViewVersion.objects.filter(
        feature_view=version.feature_view_id, approved_at__gte=version.approved_at
    ).exclude(approved_at=version.approved_at, pk__lte=version.pk)
    raised = Feature.objects.filter(version__in=later, name__in=found, sensitivity__in=SENSITIVE)
    for name, level, pk in raised.order_by().values_list("name", "sensitivity", "version"):
        if name not in masks or not tells_more(masks[name], _mask_in(pk, name)):
            found[name] = max(found[name], Sensitivity(level), key=rank)
    return found


def _mask_in(version: int, name: str) -> Mask | None:
    text = FeatureViewVersion.objects.values_list("spec_json", flat=True).get(pk=version)
    return next(each.mask for each in load_version_spec(text).features if each.name == name)


def highest_at(project: Project, spec: VersionSpec) -> Sensitivity:
    """Return the most that anything of the same source, or the same files, was approved as."""
    place = place_of(spec)
    held = (
        one.made.sensitivity
        for one in _agreed(project, SENSITIVE)
        if any(told.columns and told.place.is_that_of(place) for told in one.made.of)
    )
    return max(held, key=rank, default=Sensitivity.PUBLIC)


def _worst(made: MadeOf, found: Iterable[Held], settled: When | None) -> Lowered | None:
    """Return the most that was agreed to of a feature since it was settled, the latest of that."""
    unsettled = [each for each in found if settled is None or each.since > settled]
    if not unsettled:
        return None
    _, what, by = max(unsettled, key=lambda each: (rank(each.by.made.sensitivity), each.since))
    masked = made.mask_said() if made.masks_all_of(by.made) else ""
    return Lowered(made.name, made.sensitivity, by.made.sensitivity, what, by.version, masked)


def _hashed_alike(
    made: MadeOf, view: str, agreed: Iterable[Agreed], own: Iterable[Agreed]
) -> Lowered | None:
    """Return the latest other feature whose hashes are this one's, until people agreed to that.

    A hash hides what can be guessed only as long as nobody has guesses hashed alike.
    """
    if _settled_at(made, own) is not None:
        return None
    others = [
        one
        for one in agreed
        if made.hashes_as(one.made) and (one.view, one.made.name) != (view, made.name)
    ]
    if not others:
        return None
    by = max(others, key=lambda one: one.when)
    was = max(SENSITIVE, key=rank)
    return Lowered(
        made.name, made.sensitivity, was, "", by.version, alike=f"{by.view}:{by.made.name}"
    )


def _weaker_than(made: MadeOf, view: str, agreed: Iterable[Agreed]) -> list[Held]:
    """Return what says that the feature should be more sensitive.

    In other views since they first said so; in its own since they last did, for what was lowered in
    between was raised again.
    """
    found: dict[tuple[str, str, Sensitivity], Held] = {}
    for one in agreed:
        is_more = rank(one.made.sensitivity) > rank(made.sensitivity)
        if is_more and (what := _what(made, view, one)):
            key = (one.view, one.made.name, one.made.sensitivity)
            known = found.get(key)
            is_own = one.view == view
            if known is not None and not one.version:
                continue  # said before, and so it may be settled
            if known is None or (one.when > known.since if is_own else one.when < known.since):
                found[key] = Held(one.when, what, one)
    return list(found.values())


def _what(made: MadeOf, view: str, one: Agreed) -> str:
    """Say what of an approved feature a new one is, or is made of; empty: nothing."""
    if (one.view, one.made.name) == (view, made.name):
        return "it"
    if (one.view, one.made.name) in made.features:
        return f"{one.view}:{one.made.name}, of which it is computed,"
    shared = made.shared(one.made)
    as_well = "" if one.version else f", of which {one.made.name} is made,"
    return f"the column {shared}{as_well}" if shared else ""


def _settled_at(made: MadeOf, own: Iterable[Agreed]) -> When | None:
    """Return when people last agreed to as little of the same in the same view."""
    same = (
        one.when
        for one in own
        if one.made.name == made.name
        and rank(one.made.sensitivity) <= rank(made.sensitivity)
        and one.made.has_all_of(made)
    )
    return max(same, default=None)


def _agreed(
    project: Project, levels: Collection[Sensitivity], *, view: str | None = None
) -> Iterator[Agreed]:
    """Yield the features of every approved version that were said to be so sensitive."""
    features = Feature.objects.filter(sensitivity__in=levels)
    versions = FeatureViewVersion.objects.filter(
        feature_view__project=project, approved_at__isnull=False, pk__in=features.values("version")
    )
    if view is not None:
        versions = versions.filter(feature_view__name=view)
    columns = "pk", "feature_view__name", "major", "minor", "patch", "approved_at", "spec_json"
    for pk, name, major, minor, patch, at, text in versions.order_by().values_list(*columns):
        for made in _made_of_text(text):
            if made.sensitivity in levels and at is not None:
                yield Agreed(name, f"{name}@{major}.{minor}.{patch}", (at, pk), made)


@lru_cache(maxsize=4096)
def _made_of_text(text: str) -> tuple[MadeOf, ...]:
    return tuple(made_of(load_version_spec(text)))
