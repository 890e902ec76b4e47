"""The directories file sources may be read from: the project's, inside the installation's.

``settings.FILE_ROOTS`` is the outer bound, so that whoever manages a project cannot open the rest
of the machine. Not for resolving a source's path: ``materialization.sources.files`` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from lib.errors import Invalid

if TYPE_CHECKING:
    from registry.models import Project


class RootNotAllowed(Invalid):
    code = "root_not_allowed"


def check_roots(roots: list[str]) -> list[str]:
    """Return the roots resolved.

    :raises RootNotAllowed: one is not a directory, or outside the installation's ``FILE_ROOTS``.
    """
    resolved = [str(Path(root).resolve()) for root in roots]
    for root in resolved:
        if not _inside(root):
            allowed = ", ".join(settings.FILE_ROOTS)
            raise RootNotAllowed(
                f"root {root!r} is outside FILE_ROOTS ({allowed}); name a directory inside, or"
                " set FILE_ROOTS on the server and restart it.",
                root=root,
            )
        if not Path(root).is_dir():
            raise RootNotAllowed(f"root {root!r} is not a directory on the server.", root=root)
    return resolved


def allowed_roots(project: Project) -> list[str]:
    """Return the project's roots that are still inside the installation's."""
    return [root for root in project.roots if _inside(str(Path(root).resolve()))]


def _inside(root: str) -> bool:
    return any(Path(root).is_relative_to(outer) for outer in settings.FILE_ROOTS)
