"""Installed distributions for tests, as an installer leaves them: modules and their records.

Not for building wheels: what Python asks of an installed package is in two files beside it.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path


def install(folder, name="texts", version="1.0", **modules):
    """Put modules (name → source) into a folder as distribution; return the folder as text.

    A module's name may have ``__`` for a dot, and a file of another kind its whole name.
    """
    folder = Path(folder)
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{info.name}/METADATA,,", f"{info.name}/RECORD,,"]
    for module, source in modules.items():
        path = Path(module.replace("__", "/")).with_suffix(".py")
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(source)
        digest = hashlib.sha256(source.encode()).digest()
        words = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        lines.append(f"{path},sha256={words},{len(source)}")
    (info / "RECORD").write_text("\n".join(lines) + "\n")
    return str(folder)


def uninstall(folder, name="texts", version="1.0"):
    """Take a distribution's record away, so that another can take its place."""
    for file in (Path(folder) / f"{name}-{version}.dist-info").iterdir():
        file.unlink()
    (Path(folder) / f"{name}-{version}.dist-info").rmdir()
