"""Which place a source's rows are at now: what versions embed of its root or connection.

Not for reading there: ``file_roots`` and ``connections`` refuse what has moved since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from registry.connections import connections_of
from registry.file_roots import root_among
from registry.models import FileRoot
from registry.spec.sources.base import RootedSource

if TYPE_CHECKING:
    from registry.models import Project
    from registry.spec.sources.kinds import Source


class Placed(NamedTuple):
    """A source as versions embed it, and the identity of its place; empty: there is none now.

    Where there is none a look at the source says so.
    """

    source: Source
    identity: str = ""


class Places:
    """The places of one project, read once."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._roots = {each.name: each for each in FileRoot.objects.filter(project=project)}

    def of(self, source: Source) -> Placed:
        """Return the source with its root named, and which place that is.

        Of a source that is read by a connection: where that leads.
        """
        if source.link:
            connection = connections_of(self._project).get(source.link)
            return Placed(source, connection.identity if connection else "")
        if isinstance(source, RootedSource):
            root = root_among(self._roots, source.root)
            if root is not None:
                return Placed(msgspec.structs.replace(source, root=root.name), root.identity)
        return Placed(source)
