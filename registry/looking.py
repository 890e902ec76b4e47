"""What an operation may ask about the files behind a definition, without knowing who answers.

Not for reading files: ``settings.SOURCE_LOOK`` names the function that does (the engine's, which
works in a child process). The registry stays below materialization this way.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from django.conf import settings
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from registry.models import Project
    from registry.reading.yaml_documents import Path
    from registry.spec.model import VersionSpec
    from registry.spec.sources import SourceSchema


class Look(Protocol):
    """What the source holds now: its extent, and problems by path (in the view, or ``source``).

    ``examples``: the value a problem is about, by its message; for those who may read values.
    ``schema`` is what a version takes of it at submit; None where nothing could be seen.
    """

    @property
    def problems(self) -> Sequence[tuple[Path, str]]: ...
    @property
    def examples(self) -> Mapping[str, str]: ...
    @property
    def warnings(self) -> Sequence[str]: ...
    @property
    def rows(self) -> int | None: ...
    @property
    def first_event(self) -> datetime | None: ...
    @property
    def last_event(self) -> datetime | None: ...
    @property
    def schema(self) -> SourceSchema | None: ...
    @property
    def files(self) -> Mapping[str, str]: ...


class NothingSeen(NamedTuple):
    """The report where there is nothing to look at, or another look says it all."""

    problems: tuple[tuple[Path, str], ...] = ()
    examples: Mapping[str, str] = MappingProxyType({})
    warnings: tuple[str, ...] = ()
    rows: int | None = None
    first_event: datetime | None = None
    last_event: datetime | None = None
    schema: SourceSchema | None = None
    files: Mapping[str, str] = MappingProxyType({})


class AsRegistered(NothingSeen):
    """The report of a version that is registered so: nobody looked, its schema is kept."""


class Looking(Protocol):
    """Looks at all ``specs`` of a project at once: what a source costs, it costs once.

    Reports come in the order of ``specs``.
    """

    def __call__(self, *, specs: Sequence[VersionSpec], project: Project) -> Sequence[Look]: ...


class Filing(Protocol):
    """Says which state each file of a version's source is in now, without opening any."""

    def __call__(self, *, spec: VersionSpec, project: Project) -> Mapping[str, str]: ...


def get_filing() -> Filing:
    return cast("Filing", import_string(settings.SOURCE_FILES))


def get_looking() -> Looking:
    return cast("Looking", import_string(settings.SOURCE_LOOK))
