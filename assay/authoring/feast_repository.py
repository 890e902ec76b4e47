"""The registry of a Feast repository as bytes: its file, or what its Python would register.
Not for what is in it; see feast_registry.

Python is run by Feast in an environment of its own: it is the repository's own code, and Feast
asks for other versions of libraries than most have.
"""

from __future__ import annotations

import shutil
import subprocess  # noqa: S404 - Feast and the repository's own code, as `feast apply` runs them
import tempfile
from pathlib import Path

from assay.errors import Invalid, why_unreadable

MAX_BYTES = 256 * 2**20
TIMEOUT_SECONDS = 300
#: Run by Feast's Python in the repository: what `feast apply` would register, to a file.
_PARSE = """
import sys
from pathlib import Path
from feast.repo_operations import parse_repo
sys.path.insert(0, ".")
contents = parse_repo(Path(".").resolve())
Path(sys.argv[1]).write_bytes(contents.to_registry_proto().SerializeToString())
"""


def registry_bytes(path: Path, python: str | None) -> bytes:
    """Give the registry of a repository's folder, or in a registry file.

    ``python``: the interpreter that has Feast; by default that of the ``feast`` command.

    :raises Invalid: there is none, it fails, or the file cannot be read.
    """
    if not path.exists():
        raise Invalid(f"{path}: there is no such file or folder", path=str(path))
    return _parsed(path, python or _python_of_feast()) if path.is_dir() else _read(path)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Invalid(f"{path} has more than {MAX_BYTES:,} bytes", path=str(path))
        return path.read_bytes()
    except OSError as exc:
        raise Invalid(f"{path} cannot be read: {why_unreadable(exc)}", path=str(path)) from exc


def _parsed(folder: Path, command: str) -> bytes:
    with tempfile.TemporaryDirectory() as made:
        out = Path(made) / "registry"
        try:
            done = subprocess.run(  # noqa: S603 - their interpreter, named by who runs this
                [command, "-c", _PARSE, str(out)],
                cwd=folder,
                capture_output=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise Invalid(f"{command} does not run: {exc}") from exc
        if done.returncode or not out.exists():
            said = done.stderr.decode(errors="replace").strip().splitlines()
            last = said[-1] if said else f"exit code {done.returncode}"
            raise Invalid(f"Feast does not read {folder}: {last}", path=str(folder))
        return out.read_bytes()


def _python_of_feast() -> str:
    """Give the interpreter that the ``feast`` command stands beside.

    :raises Invalid: there is no such command.
    """
    if found := shutil.which("feast"):
        beside = Path(found).resolve().parent / "python"
        if beside.exists():
            return str(beside)
    raise Invalid(
        "there is no feast command here to read the repository's Python with; name the interpreter"
        " of its environment (--python), or the registry file in place of the folder"
    )
