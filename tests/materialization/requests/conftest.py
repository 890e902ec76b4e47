"""Here every transaction keeps to the order of locks."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _in_order(lock_order: None) -> None:
    pass
