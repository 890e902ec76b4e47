"""What tests of usage share: a version that is read, and reads that are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from materialization.edges.stores import usage_stream
from serving.online.watching import WATCH
from serving.usage.draining import drain
from serving.usage.edges import stored_usage
from tests import factories
from tests.serving.online_world import committed, loaded_view

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def version(cast, now) -> Any:
    rows = [{"driver_id": 1001, "event": now, "avg_daily_trips": 7, "conv_rate": 0.5}]
    return loaded_view(cast, factories.DEFINITIONS, rows, at=now)


@pytest.fixture
def stored() -> Callable[[], int]:
    """A function that stores what was read so far; returns how many entries."""

    def store() -> int:
        WATCH.flush()
        with committed():
            return drain(usage_stream(), stored_usage())

    return store


@pytest.fixture
def usage(client, cast) -> Callable[..., Any]:
    """A function that asks for usage as one of the people."""

    def ask(who: str = "owner", **parameters: Any) -> Any:
        token = factories.token_for(getattr(cast, who))
        return client.get(
            "/api/v1/projects/rides/usage", parameters, headers={"Authorization": f"Bearer {token}"}
        )

    return ask
