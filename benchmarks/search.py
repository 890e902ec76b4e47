"""Searches of vectors: recall@10 against plain NumPy, and how long one takes, beside that floor.

Run: ``python -m benchmarks.search [--rows 20000] [--length 384] [--asked 100] [--cells-from N]``.
Vectors lie in clusters, as those of texts do. One search is the governed one, in this process,
without HTTP: plan, candidates, the rows of now, features. The *floor* is one product of a matrix in
memory with the query, in 32 bits, and the ten greatest. From ``--cells-from`` vectors on those of
the nearest cells are compared, and all for ``exact``. Not for many at once.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import parts

if TYPE_CHECKING:
    from collections.abc import Callable

DEFINITIONS = """
kind: Entity
name: document
join_keys: [{{name: document_id, type: int64}}]
---
kind: DataSource
name: documents
type: file
path: documents.parquet
event_timestamp: event_timestamp
---
kind: FeatureView
name: documents
entities: [document]
source: documents
features:
  - {{name: embedding, type: "vector<{length}>"}}
  - {{name: kind, type: int32}}
  - {{name: title, type: string}}
"""
K, CLUSTERS, KINDS = 10, 200, 10


def main() -> None:
    asked = _arguments()
    if asked.cells_from is not None:
        os.environ["SEARCH_CELLS_FROM"] = str(asked.cells_from)
    random = np.random.default_rng(7)
    vectors = clustered(random, asked.rows, asked.length)
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as name:
        folder = Path(name)
        with parts.redis_server(folder) as redis_url:
            token = load(folder, redis_url, vectors)
            queries = clustered(random, asked.asked, asked.length)
            _report(asked, vectors, queries, token)


def clustered(random: np.random.Generator, count: int, length: int) -> np.ndarray:
    """Return unit vectors around some centres; the same centres whenever it is called."""
    centres = np.random.default_rng(1).standard_normal((CLUSTERS, length))
    found = centres[random.integers(0, CLUSTERS, count)]
    found = found + 0.5 * random.standard_normal((count, length))
    unit: np.ndarray = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit.astype(np.float32)


def load(folder: Path, redis_url: str, vectors: np.ndarray) -> str:
    """Serve a version with the vectors; return a token of somebody who may read it."""
    parts.use_server(folder, redis_url)
    from benchmarks.materialization import whole_run
    from materialization.models import VectorIndex
    from tests import factories

    write_source(parts.source_folder(folder) / "documents.parquet", vectors)
    people = factories.make_cast(root=str(parts.source_folder(folder)))
    version = factories.make_version(people, text=DEFINITIONS.format(length=vectors.shape[1]))
    began = time.perf_counter()
    whole_run(version)
    index = VectorIndex.objects.get()
    print(
        f"loaded in {time.perf_counter() - began:.1f} s, of which the index took"
        f" {index.seconds:.1f} s; it has {index.bytes / 1e6:,.0f} MB"
    )
    for told in index.cells.values():
        reach = next(iter(told["reaches"]["cosine"]), None)
        looked = f"{reach['rows']:,} vectors, recall {reach['recall']}" if reach else "all"
        print(f"{told['cells']:,} cells; looked at for {K} by the cosine, as told: {looked}")
    return factories.token_for(people.consumer)


def write_source(path: Path, vectors: np.ndarray) -> None:
    count, length = vectors.shape
    instant = np.datetime64("2026-01-01", "us")
    offsets = pa.array(np.arange(0, count * length + 1, length), pa.int32())
    table = pa.table(
        {
            "document_id": np.arange(count),
            "event_timestamp": pa.array(np.full(count, instant)).cast(pa.timestamp("us", "UTC")),
            "embedding": pa.ListArray.from_arrays(offsets, pa.array(vectors.reshape(-1))),
            "kind": pa.array(np.arange(count) % KINDS, pa.int32()),
            "title": [f"document {number}" for number in range(count)],
        }
    )
    pq.write_table(table, path)


def _report(
    asked: argparse.Namespace, vectors: np.ndarray, queries: np.ndarray, token: str
) -> None:
    print(f"{asked.rows:,} vectors of {asked.length} numbers, {asked.asked} searches for {K}")
    nearest = [plain(vectors, query) for query in queries]
    floor = _times(lambda query: plain(vectors, query), queries)[0]
    _line("floor", floor, floor, "")
    for name, told in (
        ("bare", {}),
        ("exact", {"exact": True}),
        ("with a title", {"features": ["documents:title"]}),
        ("a tenth of them", {"filter": {"kind": 3}}),
    ):
        taken, answers = _times(lambda query: ask(token, query, **told), queries)  # noqa: B023
        recall = ""
        if "filter" not in told:
            share = [
                len({*found} & {*right}) / K for found, right in zip(answers, nearest, strict=True)
            ]
            recall = f"recall@{K} {sum(share) / len(share):.4f}"
        _line(name, taken, floor, recall)


def plain(vectors: np.ndarray, query: np.ndarray) -> list[int]:
    """Return the nearest of unit vectors."""
    near = vectors @ query
    best = np.argpartition(-near, K)[:K]
    found: list[int] = best[np.argsort(-near[best])].tolist()
    return found


def ask(token: str, query: np.ndarray, **told: Any) -> list[int]:
    """Search as the API does, JSON aside."""
    from django.utils import timezone

    from serving.edges import online_limits
    from serving.search.read import search
    from serving.search.request import SearchRequest

    request = SearchRequest("documents:embedding", query.tolist(), k=K, **told)
    answer = search(
        project="rides", token=token, request=request, at=timezone.now(), limits=online_limits()
    )
    return [entity["document_id"] for entity in answer.entities]


def _times(
    act: Callable[[np.ndarray], list[int]], queries: np.ndarray
) -> tuple[list[float], list[list[int]]]:
    """Return the milliseconds of each, once it is warm, and what each answered."""
    act(queries[0])
    taken, answers = [], []
    for query in queries:
        began = time.perf_counter()
        answers.append(act(query))
        taken.append(1000 * (time.perf_counter() - began))
    return taken, answers


def _line(name: str, taken: list[float], floor: list[float], recall: str) -> None:
    half, most = median(taken), quantiles(taken, n=100)[98]
    ratio = half / median(floor)
    print(f"  {name:16} p50 {half:7.2f} ms  p99 {most:7.2f} ms  {ratio:6.2f} x  {recall}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--length", type=int, default=384)
    parser.add_argument("--asked", type=int, default=100)
    parser.add_argument("--cells-from", type=int, help="default: as SEARCH_CELLS_FROM says")
    return parser.parse_args()


if __name__ == "__main__":
    main()
