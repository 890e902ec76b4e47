"""What an operation may ask about the files behind a definition, without knowing who answers.

Not for reading files: ``settings.SOURCE_LOOK`` names the function that does (the engine's, which
works in a child process). The registry stays below materialization this way. What somebody may not
read nobody looks up for them: ``under_rights``.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from django.conf import settings
from django.utils.module_loading import import_string

from registry.grants import Grants

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.models import Project
    from registry.reading.yaml_documents import Path
    from registry.spec.python_code import PythonCode
    from registry.spec.sources.base import SourceSchema
    from registry.spec.version_spec import VersionSpec


class Look(Protocol):
    """What the source holds now: its extent, and problems by path (in the view, or ``source``).

    ``examples``: the value a problem is about, by its message; for those who may read values.
    ``schema`` is what a version takes of it at submit, ``code`` what is installed of what it calls;
    None where nothing could be seen. ``joined`` are the schemas of the sources it joins, in order.
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
    def code(self) -> PythonCode | None: ...
    @property
    def files(self) -> Mapping[str, str]: ...
    @property
    def joined(self) -> Sequence[SourceSchema]: ...


class NothingSeen(NamedTuple):
    """The report where there is nothing to look at, or another look says it all."""

    problems: tuple[tuple[Path, str], ...] = ()
    examples: Mapping[str, str] = MappingProxyType({})
    warnings: tuple[str, ...] = ()
    rows: int | None = None
    first_event: datetime | None = None
    last_event: datetime | None = None
    schema: SourceSchema | None = None
    code: PythonCode | None = None
    files: Mapping[str, str] = MappingProxyType({})
    joined: tuple[SourceSchema, ...] = ()


class AsRegistered(NothingSeen):
    """The report of a version that is registered so: nobody looked, its schema is kept."""


class Looking(Protocol):
    """Looks at all ``specs`` of a project at once: what a source costs, it costs once.

    Reports come in the order of ``specs``. Of those at the places ``unseen`` no row is looked at.
    """

    def __call__(
        self, *, specs: Sequence[VersionSpec], project: Project, unseen: Collection[int] = ()
    ) -> Sequence[Look]: ...


class Filing(Protocol):
    """Says which state each file of a version's source is in now, without opening any."""

    def __call__(self, *, spec: VersionSpec, project: Project) -> Mapping[str, str]: ...


class Trying(Protocol):
    """Says what the engine has against expressions: their SQL, and the kinds that it reads.

    None: it computes it.
    """

    def __call__(self, trials: Sequence[tuple[str, tuple[str, ...]]]) -> Sequence[str | None]: ...


def under_rights(look: Looking, actor: User, *, at: datetime) -> Looking:
    """Return the look as it is for somebody.

    Whether an expression finds a row, or a value that does not fit, says something of what it
    reads: where that takes a grant which the actor has not, no row is looked at.
    """
    grants = Grants(actor, at=at)

    def seeing(
        *, specs: Sequence[VersionSpec], project: Project, unseen: Collection[int] = ()
    ) -> Sequence[Look]:
        asking = (place for place, spec in enumerate(specs) if spec.view.asks)
        hidden = {place for place in asking if not grants.shows(project, specs[place])}
        return look(specs=specs, project=project, unseen=hidden.union(unseen))

    return seeing


def get_filing() -> Filing:
    return cast("Filing", import_string(settings.SOURCE_FILES))


def get_trying() -> Trying:
    return cast("Trying", import_string(settings.EXPRESSION_TRIAL))


def get_looking() -> Looking:
    return cast("Looking", import_string(settings.SOURCE_LOOK))
