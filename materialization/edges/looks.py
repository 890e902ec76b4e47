"""What the registry is told of sources, before a version is submitted and after.

Not for reading rows of them: ``materialization.compute.look`` does, in a sandbox.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import msgspec
from django.conf import settings
from django.utils import timezone

from lib.errors import Invalid
from materialization.arrived import Keepers, is_fitted_on_arrived, not_there
from materialization.compute.look import Look, files_in, look, place_key
from materialization.compute.questions import Trial
from materialization.edges.engines import engine
from materialization.edges.sources import whereabouts
from materialization.finding.kinds import find_rows
from materialization.upstream import is_stored
from registry.spec.fingerprints import canonical_json

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from registry.models import Project
    from registry.spec.sources.kinds import Source
    from registry.spec.version_spec import VersionSpec

log = logging.getLogger(__name__)

#: How long somebody who plans or submits definitions waits for a look at the files, a definition.
LOOK_SECONDS = 60.0


def look_at_sources(
    *, specs: Sequence[VersionSpec], project: Project, unseen: Collection[int] = ()
) -> list[Look]:
    """Look at the files that versions would read; ``settings.SOURCE_LOOK`` names this function.

    Versions of one source share a child process and a walk over its files. What is not looked at
    within ``LOOKS_MAX_SECONDS`` says so: somebody waits for all of it, and others for that thread.
    """
    until = time.monotonic() + settings.LOOKS_MAX_SECONDS
    shared: dict[str, list[int]] = {}
    for place, spec in enumerate(specs):
        shared.setdefault(_source_key(spec), []).append(place)
    seen: dict[int, Look] = {}
    for places in shared.values():
        hidden = {index for index, place in enumerate(places) if place in unseen}
        looks = _look_at([specs[place] for place in places], project, hidden, until)
        seen.update(zip(places, looks, strict=True))
    return [seen[place] for place in range(len(specs))]


def try_expressions(trials: Sequence[tuple[str, tuple[str, ...]]]) -> list[str | None]:
    """Say what the engine has against expressions; ``settings.EXPRESSION_TRIAL`` names this."""
    return engine(timeout_s=LOOK_SECONDS).refused([Trial(*each) for each in trials])


def source_files(*, spec: VersionSpec, project: Project) -> dict[str, str]:
    """Say which state each file of a version's source is in; ``settings.SOURCE_FILES`` names it.

    :raises Invalid: nothing can be read there now, or not by this version; says why.
    """
    where = whereabouts(spec, project)
    return files_in(find_rows(spec, where), where, spec)


def _source_key(spec: VersionSpec) -> str:
    sides = [(side.rows_from, side.root_identity) for side in spec.sides]
    return canonical_json([(spec.rows_from, spec.root_identity), *sides])


def _look_at(
    specs: Sequence[VersionSpec], project: Project, unseen: Collection[int], until: float
) -> list[Look]:
    source, began = specs[0].rows_from, time.monotonic()
    if began >= until:
        return [_too_late(source)] * len(specs)
    try:
        where = whereabouts(specs[0], project)
    except Invalid as exc:
        key = "connection" if source.link else "root"
        path = tuple(exc.data.get("in_definition", ("source", key)))
        return [Look(problems=[(path, exc.message)])] * len(specs)
    until = min(began + LOOK_SECONDS * len(specs), until)
    limited = engine(timeout_s=until - began)
    seen = look(specs, where=where, engine=limited, unseen=unseen, at=timezone.now(), until=until)
    took = time.monotonic() - began
    words = "looked at source %s of %s for %d definitions in %.1f s"
    log.info(words, source.name, project, len(specs), took)
    looks = [_with_warnings(each, spec) for each, spec in zip(seen, specs, strict=True)]
    if not any(map(is_fitted_on_arrived, specs)):
        return looks
    keepers = Keepers(source, project)
    return [_with_fits(each, spec, keepers) for each, spec in zip(looks, specs, strict=True)]


def _with_fits(seen: Look, spec: VersionSpec, keepers: Keepers) -> Look:
    """Return a look with what has no rows to be fitted on: they come without runs."""
    lacking = not_there(spec, keepers)
    return msgspec.structs.replace(seen, problems=[*seen.problems, *lacking]) if lacking else seen


def _too_late(source: Source) -> Look:
    said = (
        f"{source.name} was not looked at: the sources of all that was sent together took longer"
        f" than {settings.LOOKS_MAX_SECONDS:,} s (LOOKS_MAX_SECONDS). Send fewer views at once, or"
        " see why others of those sources are slow."
    )
    return Look(problems=[(("source", place_key(source)), said)])


def _with_warnings(seen: Look, spec: VersionSpec) -> Look:
    """Return a look with what no row tells: what is not stored yet, and what each run reads."""
    lacking = [
        f"{read} is not stored yet: until it is, evidence shows nulls in its place."
        for read in spec.reads
        if not is_stored(read)
    ]
    lacking += [
        f"the SQL gives {name} as something else than the source's {name}, so nothing tells which"
        f" rows of {spec.rows_from.name} a run's times are of: each run reads all of them. Give"
        f" {name} itself, cast to a timestamp or AT TIME ZONE at most, or make the other time"
        " where the rows come from."
        for name in spec.times_lost
    ]
    return msgspec.structs.replace(seen, warnings=[*seen.warnings, *lacking]) if lacking else seen
