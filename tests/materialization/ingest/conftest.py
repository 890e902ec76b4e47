"""Pushes are sent as they come to the server: by its door, and by Django behind it."""

from __future__ import annotations

import pytest

from tests.materialization.ingest.door_client import DoorClient


@pytest.fixture
def client() -> DoorClient:
    return DoorClient()
