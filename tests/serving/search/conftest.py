"""People of a project that has a folder to read: what is searched was loaded by real runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import factories
from tests.serving.online_world import committed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cast(db: None, sources: Path) -> factories.Cast:
    with committed():
        return factories.make_cast(root=str(sources))
