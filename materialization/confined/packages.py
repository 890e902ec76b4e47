"""Which installed distribution has a module, what its files are, and that nothing else is imported.

Not for shutting the process in (``kernel``) nor for calling functions (``calling``). What decides
results is all of a distribution's files, its data too: they are hashed as they lie there, and each
of its modules is compiled from the bytes that were hashed. Compiled files beside them are left
alone, for nobody has reviewed those.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from materialization.confined.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType

#: Beside the files of a distribution: what the installer wrote for itself.
_OF_INSTALLER = re.compile(r"(^|/)[^/]+\.(dist|egg)-info/|\.pyc$|(^|/)__pycache__/")


class Code(NamedTuple):
    """What is installed: the distribution, its version, and the hash of its files."""

    distribution: str
    version: str
    sha256: str


class Installed(NamedTuple):
    """A distribution with its files: name beside the others → place and hash."""

    code: Code
    files: dict[str, tuple[str, str]]
    #: Where the distribution lies.
    folder: str

    def hash_at(self, place: str) -> str | None:
        """Return the hash of the file of it that lies there; None: there is none."""
        return next((digest for path, digest in self.files.values() if path == place), None)


def normal(name: str) -> str:
    """Return a distribution's name as all of its spellings are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_with(module: str, listed: Sequence[str], *, folder: str = "") -> Installed:
    """Return the listed distribution that has a module, with its files as they are now.

    It is looked for in ``folder`` and then where this process imports from.

    :raises Fault: none has it; one that has it is not whole.
    """
    if not listed:
        raise Fault(
            "refused",
            f"{module} is not run: no Python package is allowed here. An operator installs it and"
            " lists its distribution (PYTHON_DISTRIBUTIONS).",
        )
    wanted = module.replace(".", "/")
    for name in listed:
        for found in _distributions(name, folder):
            names = {str(each) for each in found.files or ()}
            if f"{wanted}.py" in names or f"{wanted}/__init__.py" in names:
                return _whole(found)
    there = ", ".join(_said(each, folder) for each in listed)
    raise Fault(
        "refused",
        f"no listed distribution has a module {module}: {there}. An operator installs its"
        " distribution, not as editable, and lists it (PYTHON_DISTRIBUTIONS).",
    )


def _distributions(name: str, folder: str) -> Iterator[importlib.metadata.Distribution]:
    places = [*([folder] if folder else []), *sys.path]
    for found in importlib.metadata.distributions(path=places):
        if normal(str(found.metadata["Name"])) == normal(name):
            yield found
            return


def _said(name: str, folder: str) -> str:
    found = next(_distributions(name, folder), None)
    return f"{name} (not installed)" if found is None else f"{name} {found.version}"


def _whole(found: importlib.metadata.Distribution) -> Installed:
    """:raises Fault: a file is not there, or is not the one that was installed."""
    name, files = str(found.metadata["Name"]), {}
    for each in found.files or ():
        if _OF_INSTALLER.search(str(each)) or ".." in each.parts:
            continue
        place = str(each.locate())
        try:
            data = Path(place).read_bytes()
        except OSError as exc:
            raise Fault(
                "changed",
                f"{each} of {name} {found.version} cannot be read ({exc.strerror}); install the"
                " distribution anew.",
            ) from exc
        if each.hash is not None and not _is_as_recorded(data, each.hash.mode, each.hash.value):
            raise Fault(
                "changed",
                f"{each} of {name} {found.version} is not the file that was installed; install the"
                " distribution anew, and give what was changed another version.",
            )
        files[str(each)] = (place, hashlib.sha256(data).hexdigest())
    lines = (f"{each}\0{files[each][1]}\n" for each in sorted(files))
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    return Installed(Code(name, found.version, digest), files, str(found.locate_file("")))


def _is_as_recorded(data: bytes, mode: str, value: str) -> bool:
    digest = hashlib.new(mode, data).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == value.rstrip("=")


def require_same(have: Code, wanted: Code) -> None:
    """:raises Fault: what is installed is not what a version was submitted with."""
    if have == wanted:
        return
    words = f"{wanted.distribution} {wanted.version}"
    if have[:2] == wanted[:2]:
        how = "has other files of the same version number"
    else:
        how = f"is {have.distribution} {have.version}"
    raise Fault(
        "changed",
        f"the version was submitted with {words} (files {wanted.sha256[:12]}), and what is"
        f" installed {how} (files {have.sha256[:12]}). Install {words} again as it was, or"
        " submit a new version of the view.",
    )


def load(module: str, function: str, installed: Installed) -> Callable[..., object]:
    """Import a module of a distribution and return its function.

    :raises Fault: there is no such module or function, or importing it fails.
    """
    sys.meta_path.insert(0, _Listed(installed))
    try:
        made: ModuleType = importlib.import_module(module)
    except Fault:
        raise
    except BaseException as exc:  # noqa: BLE001 - it is others' code
        said = f"{type(exc).__name__}: {exc}"[:300]
        raise Fault("refused", f"{module} cannot be imported: {said}") from exc
    found = getattr(made, function, None)
    if not callable(found):
        names = sorted(n for n in vars(made) if callable(getattr(made, n)) and n[0] != "_")[:20]
        raise Fault(
            "refused",
            f"{module} of {installed.code.distribution} {installed.code.version} has no function"
            f" {function!r}; it has {', '.join(names) or 'none'}.",
        )
    return found  # type: ignore[no-any-return]


class _Listed(importlib.abc.MetaPathFinder):
    """Finds modules of the distribution where it lies, and no other file between its own."""

    def __init__(self, installed: Installed) -> None:
        self._installed = installed
        self._tops = {re.split(r"[/.]", name)[0] for name in installed.files}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] not in self._tops:
            return None
        where = path or [self._installed.folder]
        spec = importlib.machinery.PathFinder.find_spec(fullname, where, target)
        if spec is None or spec.origin is None:
            return spec
        digest = self._installed.hash_at(spec.origin)
        if digest is None:
            raise ImportError(f"{spec.origin} is no file of {self._installed.code.distribution}")
        if isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Hashed(fullname, spec.origin, digest)
        return spec


class _Hashed(importlib.machinery.SourceFileLoader):
    """Compiles the bytes that were hashed, whatever compiled file lies beside."""

    def __init__(self, name: str, path: str, digest: str) -> None:
        super().__init__(name, path)
        self._digest = digest

    def get_code(self, fullname: str):  # type: ignore[no-untyped-def]  # noqa: ANN201 - a code object
        data = self.get_data(self.path)
        if hashlib.sha256(data).hexdigest() != self._digest:
            raise ImportError(f"{self.path} changed while it was read")
        return self.source_to_code(data, self.path)
