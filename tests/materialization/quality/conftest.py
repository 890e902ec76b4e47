"""What tests of quality measure with."""

from __future__ import annotations

import tempfile

import pytest

from materialization.compute.limits import EngineLimits
from materialization.compute.session import open_session


@pytest.fixture(scope="module")
def connection():
    """A connection as the sandbox has one."""
    with tempfile.TemporaryDirectory() as directory:
        limits = EngineLimits(memory_limit_mb=256, threads=2)
        with open_session(limits, directory=directory) as opened:
            yield opened
