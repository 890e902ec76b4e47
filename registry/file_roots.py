"""The roots of a project: directories with a name, which its file sources are read from.

``settings.FILE_ROOTS`` is the outer bound. Not for assigning one
(``operations.registration.roots``) or for finding files under it
(``materialization.sources.files``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.db import connection

from lib.errors import Conflict, Invalid, did_you_mean
from lib.places import place_of
from registry.connections import files_named
from registry.models import FileRoot
from registry.spec.sources.base import RootedSource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry.models import Project
    from registry.spec.version_spec import VersionSpec

#: The root that a source without ``root`` is read from, where the project has several.
DEFAULT = "default"


class RootNotAllowed(Invalid):
    code = "root_not_allowed"


class RootUnknown(Invalid):
    code = "root_unknown"


class RootMoved(Invalid):
    """A version was approved for another place than its root has now; it is never read there."""

    code = "root_moved"


class RootsOverlap(Conflict):
    code = "roots_overlap"


def check_directory(path: str) -> str:
    """Return the real path of a directory that may become a root.

    :raises RootNotAllowed: it is none, is outside ``FILE_ROOTS``, or meets our own state.
    """
    real = str(Path(path).resolve())
    if not _inside(real):
        allowed = ", ".join(settings.FILE_ROOTS)
        raise RootNotAllowed(
            f"root {real!r} is outside FILE_ROOTS ({allowed}); name a directory inside, or"
            " set FILE_ROOTS on the server and restart it.",
            root=real,
        )
    if not Path(real).is_dir():
        raise RootNotAllowed(f"root {real!r} is not a directory on the server.", root=real)
    if own := own_state_at(real):
        raise RootNotAllowed(
            f"root {real!r} overlaps {own!r}, where Assay keeps its own state; name a directory"
            " that holds source data only.",
            root=real,
        )
    return real


def own_state_at(path: str) -> str:
    """Return what of our own is in or around a real path, by whatever mounts; empty: nothing."""
    place = place_of(path)
    return next((own for own in own_state() if place.overlaps(place_of(own))), "")


def own_state() -> list[str]:
    """Return the real paths of all that we keep: state, stores, database, sockets, secrets."""
    paths = [settings.STATE_DIR, settings.OFFLINE_STORE, settings.METRICS_DIR]
    paths += [*settings.SECRET_FILES, *map(Path, files_named())]
    if connection.vendor == "sqlite":
        paths.append(settings.DATABASES["default"]["NAME"])
    for url in (settings.REDIS_URL, settings.BROKER_URL):
        if urlsplit(url).scheme in {"unix", "redis+socket"}:
            paths.append(Path(unquote(urlsplit(url).path)).parent)
    if settings.DESK_SOCKET:
        paths.append(Path(settings.DESK_SOCKET).parent)
    return [str(Path(path).resolve()) for path in paths]


def check_apart(path: str, others: list[FileRoot]) -> None:
    """Return if no file can be under ``path`` and under one of ``others``, by whatever mounts.

    :raises RootsOverlap: naming the root it meets and whose it is.
    """
    place = place_of(path)
    for other in others:
        if place.overlaps(place_of(other.path)):
            raise RootsOverlap(
                f"{path!r} overlaps {other.path!r}, which is the root {other.name} of project"
                f" {other.project}; one directory belongs to one root. Name another, or"
                " release that one first.",
                project=other.project.name,
                root=other.name,
            )


def find_root(project: Project, name: str) -> FileRoot | None:
    """Return the root a source means: by name, else ``default``, else the only one there is."""
    return root_among({root.name: root for root in FileRoot.objects.filter(project=project)}, name)


def root_among(roots: Mapping[str, FileRoot], name: str) -> FileRoot | None:
    """Return what ``find_root`` does, of roots that were read before."""
    if name or len(roots) != 1:
        return roots.get(name or DEFAULT)
    return next(iter(roots.values()))


def root_of(spec: VersionSpec, project: Project) -> FileRoot:
    """Return the root a version's source is read from: the place it embeds, and no other.

    :raises RootUnknown: the project has no root of that name, or several and none is named.
    :raises RootMoved: it is in another place than when the version was written.
    :raises RootNotAllowed: it left ``FILE_ROOTS``, or a link took the directory's place.
    """
    source = spec.rows_from
    name = source.root if isinstance(source, RootedSource) else ""
    root = find_root(project, name)
    if root is None:
        raise _unknown(project, name)
    if root.identity != spec.root_identity:
        raise RootMoved(
            f"root {root.name!r} is in another place than when {spec.view.name} was written, and"
            " another place holds other data: nothing is read. Submit the view's new draft (or"
            " plan it again), or let whoever runs the server move the root back.",
            root=root.name,
        )
    if check_directory(root.path) != root.path:
        raise RootNotAllowed(
            f"root {root.name!r} is behind a symbolic link by now; whoever runs the server has to"
            " move the root to the directory itself.",
            root=root.name,
        )
    return root


def _unknown(project: Project, name: str) -> RootUnknown:
    known = list(FileRoot.objects.filter(project=project).values_list("name", flat=True))
    if not known:
        return RootUnknown(
            f"project {project} has no root to read files from; whoever runs the server assigns"
            f" one: manage.py assign_root {project} DIRECTORY.",
            known=[],
        )
    if not name:
        return RootUnknown(
            f"project {project} has several roots; say which: root: {known[0]}, or another of"
            f" {', '.join(known)}.",
            known=known,
        )
    return RootUnknown(
        f"project {project} has no root {name!r}.{did_you_mean(name, known)}", known=known
    )


def _inside(root: str) -> bool:
    return any(Path(root).is_relative_to(outer) for outer in settings.FILE_ROOTS)
