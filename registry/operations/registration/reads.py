"""What a view reads of other views: named by the numbers of approved versions, and embedded.

So it stays what it is; and a version never changes, so none reads itself, however far around. A
draft may read what is not approved yet: it is checked against that, and settled at submit.
Not for which version a reference means (``meant``), for joining rows (``materialization``), nor
for what readers of features get (``queries``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from lib.errors import Conflict, Invalid, did_you_mean
from registry.choices import SENSITIVE, SERVED_STATES, State
from registry.glass import in_words, mark_of
from registry.operations.registration.meant import stored_in, version_meant
from registry.spec.encode_steps import Target
from registry.spec.references import parse_reference
from registry.spec.view_reads import ReadKey, ReadVersion

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registry.models import FeatureViewVersion, Project
    from registry.operations.registration.meant import Known
    from registry.reading.findings import Found
    from registry.spec.model import FeatureViewSpec
    from registry.spec.references import Reference
    from registry.spec.version_spec import VersionSpec
    from registry.spec.view_reads import ViewRead


class Reads(NamedTuple):
    """A view with what it reads named by numbers, and that as it is embedded; or why not."""

    view: FeatureViewSpec
    versions: tuple[ReadVersion, ...]
    problems: list[Found]
    warnings: tuple[str, ...] = ()
    #: What nobody has approved yet, as ``view@1.0.0``: until then the view stays a draft.
    waits_for: tuple[str, ...] = ()


class WaitsForApproval(Conflict):
    code = "waits_for_approval"


class UnreadableView(Invalid):
    code = "unreadable_view"


def find_reads(view: FeatureViewSpec, project: Project, known: Known) -> Reads:
    """Find what a view reads; of what cannot be read say where it stands and why."""
    written: list[ViewRead] = []
    warnings: list[str] = []
    versions: list[ReadVersion] = []
    problems: list[Found] = []
    waits_for: list[str] = []
    for index, read in enumerate(view.views):
        references = [parse_reference(text) for text in read.features]
        found = version_meant(view, references, known)
        if isinstance(found, str):
            problems.append((("views", index, "features", 0), found))
            continue
        wrong = [*_unreadable(index, found, references), *_key_problems(index, found, read)]
        problems += wrong
        if wrong:
            continue
        is_settled = found.state in SERVED_STATES
        pin = found.number if is_settled else references[0].pin
        pinned = (str(each._replace(pin=pin)) for each in references)
        written.append(replace(read, features=tuple(pinned)))
        versions.append(_embedded(found, read, references, project))
        if not is_settled:
            warnings += _sensitive_there(found, references)
            waits_for.append(f"{found.feature_view.name}@{known.number_of(found) or 'draft'}")
        if found.state == State.DEPRECATED:
            warnings.append(f"reads {found}, which is deprecated")
        if (glass := mark_of(found)) is not None:
            warnings.append(f"reads {found}, which {in_words(glass)}")
    if problems:
        return Reads(view, (), problems)
    if waits_for:
        warnings.append(waits_in_words(waits_for))
    return Reads(
        replace(view, views=tuple(written)), tuple(versions), [], tuple(warnings), tuple(waits_for)
    )


def _sensitive_there(version: FeatureViewVersion, references: Sequence[Reference]) -> Iterator[str]:
    """Say what nobody agreed to yet, so that it counts when the reader is submitted."""
    levels = {each.name: each.sensitivity for each in version.spec.features}
    for each in references:
        if (level := levels[each.feature]) in SENSITIVE:
            yield (
                f"reads {each.view}:{each.feature}, which is {level} there: a feature made of it"
                " that is said to be less is a guard change when this is submitted"
            )


def waits_in_words(waits_for: Sequence[str]) -> str:
    return f"waits for {' and '.join(waits_for)} to be approved; then submit it"


def settled(version: FeatureViewVersion) -> VersionSpec:
    """Return what a draft says with all that it reads named by numbers, as it is submitted.

    :raises WaitsForApproval: some of that is not approved; names it.
    :raises UnreadableView: some of it is there no more, or does not carry what is read.
    """
    spec = version.spec
    if all(read.is_settled for read in spec.reads):
        return spec
    project = version.feature_view.project
    found = find_reads(spec.view, project, stored_in(project))
    if found.problems:
        raise UnreadableView(f"{version}: {'; '.join(said for _, said in found.problems)}")
    if found.waits_for:
        raise WaitsForApproval(
            f"{version} {waits_in_words(found.waits_for)}.", waits_for=list(found.waits_for)
        )
    return replace(spec, view=found.view, reads=found.versions)


def waits_for(version: FeatureViewVersion) -> tuple[str, ...]:
    """Return what of that a draft reads is not approved yet; nothing: it can be submitted.

    Of one that cannot be read any more, all that it reads and that is not named by its number yet.
    """
    return in_the_way(version)[0]


def in_the_way(version: FeatureViewVersion) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what a draft waits for, and why it cannot be submitted even when that is approved."""
    reads = version.spec.reads
    if version.state != State.DRAFT or all(read.is_settled for read in reads):
        return (), ()
    project = version.feature_view.project
    found = find_reads(version.spec.view, project, stored_in(project))
    if not found.problems:
        return found.waits_for, ()
    waiting = tuple(str(read) for read in reads if not read.is_settled)
    return waiting, tuple(said for _, said in found.problems)


def _unreadable(
    index: int, version: FeatureViewVersion, references: Sequence[Reference]
) -> Iterator[Found]:
    """Find what of an approved version cannot be read row by row."""
    spec = version.spec
    path = ("views", index, "features", 0)
    if not spec.transform.is_stored:
        yield path, f"{version} is computed at the request; read the features it is computed from."
        return
    if spec.is_pushed:
        message = (
            f"{version} has rows that are pushed, which come without runs: no run of a reader could"
            " tell up to when they are all there. Push what is read beside a row with it."
        )
        yield path, message
        return
    if spec.keeps_events:
        message = (
            f"{version} has accuracy temporal: what it is as of a row is in none of its stored"
            " rows. Read a version with accuracy snapshot."
        )
        yield path, message
        return
    features = {each.name: each for each in spec.features}
    for place, reference in enumerate(references):
        path = ("views", index, "features", place)
        feature = features.get(reference.feature)
        if feature is None:
            hint = did_you_mean(reference.feature, features)
            yield path, f"{version} has no feature {reference.feature!r}.{hint}"
        elif feature.encode and any(isinstance(s, Target) for s in feature.encode.all_steps):
            message = (
                f"{version}:{feature.name} is encoded by a label (`target`), and what it is for the"
                " rows that it was fitted to depends on who asks; read what it is made of."
            )
            yield path, message


def _key_problems(index: int, version: FeatureViewVersion, read: ViewRead) -> Iterator[Found]:
    keys = [key.name for key in version.spec.join_keys]
    for name in read.on:
        if name not in keys:
            hint = did_you_mean(name, keys)
            message = f"{name!r} is no join key of {version}; write {{theirs: ours}}.{hint}"
            yield ("views", index, "on"), message


def _embedded(
    version: FeatureViewVersion, read: ViewRead, references: Sequence[Reference], project: Project
) -> ReadVersion:
    spec, is_settled = version.spec, version.state in SERVED_STATES
    types = {each.name: each.type for each in spec.features}
    keys = (
        ReadKey(name=key.name, type=key.type, column=read.on.get(key.name, key.name))
        for key in spec.join_keys
    )
    return ReadVersion(
        name=read.name or spec.view.name,
        project=project.name,
        view=spec.view.name,
        version=str(version.number) if is_settled else references[0].pin or "",
        data=version.data_fingerprint if is_settled else "",
        keys=tuple(keys),
        features={each.feature: types[each.feature] for each in references},
        ttl=spec.view.ttl,
    )
