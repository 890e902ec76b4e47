"""Feast in an environment of its own, for tests that hold us to its unmodified client.

Not for installing it: ``make test`` does (``scripts/ensure_feast``).
"""

from __future__ import annotations

import os

import pytest

from tests import servers

#: Where ``scripts/ensure_feast`` puts it.
PLACE = servers.ROOT / ".venv" / "feast" / "bin" / "python"


def interpreter() -> str:
    """Return the interpreter that has Feast: the one FEAST_PYTHON names, else ours; or skip."""
    if named := os.environ.get("FEAST_PYTHON"):
        return named
    if not PLACE.exists():
        pytest.skip("Feast is not installed here: scripts/ensure_feast does it, as make test does")
    return str(PLACE)
