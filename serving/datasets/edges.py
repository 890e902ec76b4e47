"""What datasets are made with on this server, from its settings. Everything below takes it."""

from __future__ import annotations

from materialization.edges.engines import engine
from materialization.edges.stores import dataset_files, offline_store
from serving.datasets.joining import Stores


def dataset_stores() -> Stores:
    return Stores(dataset_files(), offline_store(), engine(bounded=True))
