"""A program on an event loop, on a real server with its worker: defined, approved, read, kept.

Not for single calls (``tests/client/test_async.py``).
"""

from __future__ import annotations

import asyncio

import polars as pl
import pytest

from assay import AsyncFeatureStore
from tests.factories import DEFINITIONS
from tests.journeys import test_golden_path as golden
from tests.journeys.test_golden_path import NOW, assayed, until

pytestmark = [pytest.mark.journey, pytest.mark.database("sqlite")]
folder, server, people = golden.folder, golden.server, golden.people
ana, sam = golden.ana, golden.sam
REFERENCE = "driver_hourly:avg_daily_trips"


def test_tasks_read_what_the_other_client_reads(ana, sam, tmp_path):
    (tmp_path / "views.yaml").write_text(DEFINITIONS)
    ana.apply(str(tmp_path), submit=True)
    review = until(lambda: assayed(sam, "driver_hourly"))
    sam.approve("driver_hourly", packet_hash=review["packet_hash"])
    until(lambda: ana.get_feature_view("driver_hourly")["default_version"] == "1.0.0")
    drivers = [1003, 1011, 4711]
    expected = ana.get_online_features([REFERENCE], {"driver_id": drivers}).to_dict()
    frame = pl.DataFrame({"driver_id": drivers, "event_timestamp": [NOW] * 3})
    trained = ana.get_historical_features(frame, [REFERENCE]).to_polars()

    async def read(store):
        online = await asyncio.gather(
            *(
                store.get_online_features([REFERENCE], [{"driver_id": each}])
                for each in drivers * 20
            )
        )
        history = await store.get_historical_features(frame, [REFERENCE])
        dataset = await store.create_dataset("trips", frame, [REFERENCE])
        job = await store.request_historical_features(frame, [REFERENCE])
        checked = await dataset.verify()
        pieces = [piece async for piece in dataset.chunks()]
        return online, history, dataset, await dataset.to_polars(), await job.to_polars(), (
            checked["verdict"], b"".join(pieces)[:4],
        )  # fmt: skip

    async def whole():
        config = ana._transport.config
        async with AsyncFeatureStore(config.url, config.token, config.project) as store:
            return await read(store)

    online, history, dataset, kept, made, proof = asyncio.run(whole())

    found = [answer.to_dict()["avg_daily_trips"][0] for answer in online]
    assert found == expected["avg_daily_trips"] * 20
    assert history.to_polars().equals(trained)
    assert kept.equals(trained) and made.equals(trained)
    assert (dataset.name, len(dataset), *proof) == ("trips", 3, "equal", b"PAR1")
