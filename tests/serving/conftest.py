"""What tests of reads share: people whose changes count at once, a token, a store of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from tests import factories
from tests.serving.online_world import committed

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path


@pytest.fixture(autouse=True)
def _stores(settings, tmp_path: Path) -> None:
    settings.OFFLINE_STORE = tmp_path / "offline"


@pytest.fixture
def cast(db: None) -> factories.Cast:
    with committed():
        return factories.make_cast()


@pytest.fixture
def token(cast: factories.Cast) -> str:
    """A token of somebody who may read and nothing else."""
    return factories.token_for(cast.consumer)


@pytest.fixture
def now() -> datetime:
    return timezone.now()
