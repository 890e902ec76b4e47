"""A dataset's manifest: all that says what its rows are and what they were made of.

Its hash is what a model names. Not for computing anything: what is in it is passed in.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

import deltalake
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from lib.instants import timestamp
from registry.models.names import pseudonym_of
from registry.spec.fingerprints import canonical_json
from serving.datasets.content import WAY, content_hash

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from materialization.compute.limits import EngineIdentity
    from materialization.stores.kept_files import Kept
    from serving.historical.training_set import TrainingSet
    from serving.models import Dataset, DatasetPart

FORMAT = "assay-dataset-1"


class Made(NamedTuple):
    """What one attempt made: the rows and their file."""

    answer: TrainingSet
    kept: Kept


def hash_of(manifest: dict[str, Any]) -> str:
    """Return the hash of a manifest: of its JSON with sorted keys and no blanks."""
    return hashlib.sha256(canonical_json(manifest).encode()).hexdigest()


def make_manifest(
    dataset: Dataset,
    parts: Sequence[DatasetPart],
    made: Made,
    *,
    engine: EngineIdentity,
    at: datetime,
) -> dict[str, Any]:
    table = made.answer.table
    features, split = _features(dataset), dataset.request["split"]
    others = {*(feature["name"] for feature in features), *([split["column"]] if split else [])}
    frame = table.select([name for name in table.column_names if name not in others])
    return {
        "format": FORMAT,
        # Told with the hashes only: without it nobody tries them out on the manifest's own.
        "nonce": secrets.token_hex(32),
        "project": dataset.project.name,
        "dataset": dataset.name,
        "version": dataset.number,
        "description": dataset.description,
        "requested_by": pseudonym_of(dataset.requested_by),
        "requested_at": timestamp(dataset.requested_at),
        "made_at": timestamp(at),
        "request": dataset.request,
        "frame": {
            "rows": frame.num_rows,
            "columns": _columns(frame),
            "sha256": dataset.frame_sha256,
            "content_hash": content_hash([frame], frame.schema),
        },
        "features": features,
        "split": _split(table, split) if split else None,
        "views": [
            _view(part, found.matched, table.num_rows)
            for part, found in zip(parts, made.answer.parts, strict=True)
        ],
        "rows": {
            "count": table.num_rows,
            "columns": _columns(table),
            "content_hash": content_hash([table], table.schema),
            "hashed_as": WAY,
            "sha256": made.kept.sha256,
            "size": made.kept.size,
        },
        "engine": msgspec.to_builtins(engine),
        "made_with": {"pyarrow": pa.__version__, "deltalake": deltalake.__version__},
        "warnings": list(made.answer.warnings),
    }


def _split(table: pa.Table, split: dict[str, Any]) -> dict[str, Any]:
    """Say how the rows were split, and what each part is."""
    column = split["column"]
    named = split["before"] if split["by"] == "time" else split["shares"]
    parts = {name: table.filter(pc.equal(table[column], name)) for name, _ in named}
    return {
        **split,
        "parts": [
            {
                "name": name,
                "rows": part.num_rows,
                "content_hash": content_hash([part], part.schema),
            }
            for name, part in parts.items()
        ],
    }


def _columns(table: pa.Table) -> list[dict[str, str]]:
    return [{"name": field.name, "type": str(field.type)} for field in table.schema]


def _features(dataset: Dataset) -> list[dict[str, str]]:
    references = dataset.request["features"]
    return [
        {"name": column["name"], "reference": reference, "type": column["type"]}
        for column, reference in zip(dataset.columns, references, strict=True)
    ]


def _view(part: DatasetPart, matched: int, rows: int) -> dict[str, Any]:
    version, hold = part.version, part.hold
    return {
        "feature_view": version.feature_view.name,
        "version": version.number,
        "data_fingerprint": version.data_fingerprint,
        "metadata_fingerprint": version.metadata_fingerprint,
        # What encodings were fitted to, by its names: they stay, as the version does.
        "fittings": version.spec.fittings,
        "features": part.features,
        "rows_matched": matched,
        "rows_without": rows - matched,
        "table": version.table.uid if version.table else None,
        "delta_table": hold.stored_as if hold else None,
        "delta_version": hold.stored_version if hold else None,
        "files": hold.files if hold else [],
    }
