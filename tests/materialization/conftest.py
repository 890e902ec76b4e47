"""What tests of runs share: a project with a folder to read, a store, and a version to run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.factories import Cast, make_cast, make_version
from tests.materialization.run_world import ROWS, committed, write_rows

if TYPE_CHECKING:
    from pathlib import Path

    from registry.models import FeatureViewVersion


@pytest.fixture
def cast(db: None, settings, sources: Path, tmp_path: Path) -> Cast:
    """The people of every test, with a folder to read and a store of their own."""
    settings.OFFLINE_STORE = tmp_path / "offline"
    return make_cast(root=str(sources))


@pytest.fixture
def version(cast: Cast, sources: Path) -> FeatureViewVersion:
    """An approved version over four rows, materialized every hour and never yet."""
    write_rows(sources, ROWS)
    with committed():
        return make_version(cast)
