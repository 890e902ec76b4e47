"""Rows of other systems written into files before the job that reads them begins.

The parent fetches, with credentials, what the job reads and hardly more; the sandbox gets a job
that reads those files and nothing else. Not for fetching (``finding``).
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from lib.errors import AssayError
from materialization.compute.jobs import (
    ComputeJob,
    FitJob,
    LookJob,
    QueryJob,
    SplitJob,
    SurveyJob,
)
from materialization.compute.wanted import specs_of, wanted_beside, wanted_of
from materialization.errors import STAGED_PREFIX
from materialization.finding.fetching import Fetched
from materialization.sources.inputs import (
    JoinedRows,
    LinkedRows,
    SourceFiles,
    beside_of,
    own_of,
)
from materialization.sources.where import of_joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from materialization.compute.jobs import Reading
    from materialization.compute.limits import EngineLimits
    from materialization.compute.reports import Counters
    from materialization.finding.fetching import Fetch
    from materialization.sources.inputs import DeltaFiles, OneSource, SourceInput

_Reading = TypeVar("_Reading", ComputeJob, LookJob, SurveyJob, SplitJob, FitJob, QueryJob)


@dataclass(frozen=True)
class _Here:
    """What was fetched of each source that is not here, by what stands for it."""

    own: Fetched | None
    beside: tuple[Fetched | None, ...] = ()

    def all(self) -> list[Fetched]:
        return [each for each in (self.own, *self.beside) if each is not None]

    def told(self, message: str) -> str:
        """Return a message with each file as it is called where it comes from."""
        for fetched in self.all():
            for name, path in fetched.files.items():
                message = message.replace(path, fetched.told.get(name, name))
        return message

    def of(self, found: SourceInput) -> SourceInput:
        """Return a source with files in the place of what they hold."""
        if not isinstance(found, JoinedRows):
            return found if self.own is None else _files(found, self.own)
        own = found.own if self.own is None else _files(found.own, self.own)
        pairs = zip(found.beside, self.beside, strict=True)
        beside = (each if fetched is None else _files(each, fetched) for each, fetched in pairs)
        return JoinedRows(own, tuple(beside))


@dataclass(frozen=True)
class Staged(Generic[_Reading]):
    """A job over files that are here, and what was fetched of the view's own source.

    None: it read files anyway.
    """

    job: _Reading
    fetched: Fetched | None = None
    #: The joined sources of which there are more rows than were fetched.
    in_part: tuple[str, ...] = ()
    #: Says a message with what was fetched as it is called where it comes from.
    told: Callable[[str], str] = str

    def counted(self, counters: Counters) -> Counters:
        """Return what was counted with the parts as they are called where they come from."""
        if self.fetched is None or not counters.has_later:
            return counters
        names = {path: name for name, path in self.fetched.files.items()}
        later = tuple(names.get(path, path) for path in counters.has_later)
        return msgspec.structs.replace(counters, has_later=later)


@contextmanager
def staged(
    job: _Reading, limits: EngineLimits, fetch: Fetch, watch: Callable[[], None]
) -> Iterator[Staged[_Reading]]:
    """Give the job with what it reads of another system in files, gone at the end of the block.

    Errors name what was read as it is called there. What ``watch`` raises ends the fetching.
    """
    links = [own_of(job.source), *beside_of(job.source)]
    if not any(isinstance(each, LinkedRows) for each in links) or _is_prepared(job):
        yield Staged(job)
        return
    with tempfile.TemporaryDirectory(prefix=STAGED_PREFIX, dir=limits.temp_root) as folder:
        here = _fetched(job, folder, fetch, watch)
        try:
            yield Staged(_over(job, here), here.own, _in_part(job, here), here.told)
        except AssayError as exc:
            exc.reword(here.told)
            raise


def _fetched(job: _Reading, folder: str, fetch: Fetch, watch: Callable[[], None]) -> _Here:
    """Fetch what the job reads of each source that is not here, each into a folder of its own."""
    found: list[Fetched | None] = []
    for place, source in enumerate([own_of(job.source), *beside_of(job.source)]):
        if not isinstance(source, LinkedRows):
            found.append(None)
            continue
        own = Path(folder) / str(place)
        own.mkdir()
        if place:
            with of_joined(specs_of(job)[0], place - 1):
                found.append(fetch(source, wanted_beside(job, place - 1), str(own), watch))
        else:
            found.append(fetch(source, wanted_of(job), str(own), watch))
    return _Here(found[0], tuple(found[1:]))


def _in_part(job: _Reading, here: _Here) -> tuple[str, ...]:
    pairs = zip(specs_of(job)[0].view.sources, here.beside, strict=True)
    return tuple(join.name for join, fetched in pairs if fetched is not None and fetched.is_part)


def _is_prepared(job: object) -> bool:
    return isinstance(job, ComputeJob) and job.prepared is not None


def _over(job: _Reading, here: _Here) -> _Reading:
    """Return the job with files in the place of what they hold."""
    staged = msgspec.structs.replace(job, source=here.of(job.source))
    if isinstance(staged, ComputeJob) and staged.readings:
        readings = tuple(_reading_over(each, here) for each in staged.readings)
        return msgspec.structs.replace(staged, readings=readings)
    return staged


def _reading_over(reading: Reading, here: _Here) -> Reading:
    others = reading.others
    return msgspec.structs.replace(
        reading,
        source=here.of(reading.source),
        others=None if others is None else here.of(others),
    )


def _files(source: OneSource, fetched: Fetched) -> SourceFiles | DeltaFiles:
    if isinstance(source, LinkedRows) and source.table is not None:
        kept = {part.name for part in source.parts()}
        return source.table.moved({n: path for n, path in fetched.files.items() if n in kept})
    names = [part.name for part in source.parts() if part.name in fetched.files]
    names.sort(key=fetched.files.__getitem__)
    said = tuple(fetched.partitions.get(name, ()) for name in names)
    paths = tuple(fetched.files[name] for name in names)
    return SourceFiles(paths, fetched.format, said if any(said) else ())
