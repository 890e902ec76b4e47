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
from registry.fittings import fitted_of
from registry.models.names import pseudonym_of
from registry.spec.fingerprints import canonical_json
from serving.datasets.content import WAY, content_hash
from serving.datasets.joining import joined_parts
from serving.historical.kept_plan import computed_again

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from materialization.compute.limits import EngineIdentity
    from materialization.stores.kept_files import Kept
    from serving.historical.training_set import TrainingSet
    from serving.models import Dataset, DatasetPart

FORMAT = "assay-dataset-1"
#: What is said of each file that was read: when its events were decides nothing of the rows.
_FILE_FACTS = ("name", "size", "sha256")


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
    nonce = secrets.token_hex(32)
    return {
        "format": FORMAT,
        # Told with the hashes only: without it nobody tries them out on the manifest's own.
        "nonce": nonce,
        "project": dataset.project.name,
        "dataset": dataset.name,
        "version": dataset.number,
        "description": dataset.description,
        "requested_by": pseudonym_of(dataset.requested_by),
        "requested_at": timestamp(dataset.requested_at),
        "made_at": timestamp(at),
        "request": {k: v for k, v in dataset.request.items() if k != "frame_warnings"},
        "frame": {
            "rows": frame.num_rows,
            "columns": _columns(frame),
            "sha256": dataset.frame_sha256,
            "content_hash": content_hash([frame], frame.schema),
        },
        "features": features,
        "split": _split(table, split) if split else None,
        "views": [
            _view(part, found.matched, table.num_rows, nonce)
            for part, found in zip(joined_parts(parts), made.answer.parts, strict=True)
        ],
        "on_demand": _computed(dataset, parts),
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
        "warnings": [*dataset.request.get("frame_warnings", []), *made.answer.warnings],
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


def _computed(dataset: Dataset, parts: Sequence[DatasetPart]) -> list[dict[str, Any]]:
    """Return the versions that computed features, and what of.

    Each input by its version: what an expression follows may be another one by now.
    """
    said: dict[int, dict[str, Any]] = {}
    for column in dataset.columns:
        if "inputs" not in column:
            continue
        version = parts[column["part"]].version
        view = said.setdefault(
            column["part"],
            {
                "feature_view": version.feature_view.name,
                "version": version.number,
                "data_fingerprint": version.data_fingerprint,
                "metadata_fingerprint": version.metadata_fingerprint,
                "features": {},
            },
        )
        feature = computed_again(column, parts).feature
        view["features"][feature.name] = {
            "inputs": [
                f"{parts[place].version}:{each.feature}"
                for each, place in zip(feature.stored, column["inputs"], strict=True)
            ],
            "request": {key.name: str(key.type) for key in feature.request},
        }
    return list(said.values())


def parameters_of(part: DatasetPart) -> dict[str, str]:
    """Return, by feature that the dataset has, what each step of its encoding was fitted to.

    As JSON text: a database that keeps JSON as values gives some numbers back otherwise.
    """
    fitted = fitted_of(part.version.spec)
    return {name: canonical_json(list(fitted[name])) for name in part.features if name in fitted}


def hashed_parameters(part: DatasetPart, nonce: str) -> dict[str, str]:
    """Return the hash of each of ``parameters_of``, which have values of the source.

    A manifest outlives its rows, so none is in it.
    """
    said = parameters_of(part).items()
    return {name: hashlib.sha256(f"{nonce}\n{each}".encode()).hexdigest() for name, each in said}


def _view(part: DatasetPart, matched: int, rows: int, nonce: str) -> dict[str, Any]:
    version, hold = part.version, part.hold
    files = hold.files if hold else []
    return {
        "feature_view": version.feature_view.name,
        "version": version.number,
        "data_fingerprint": version.data_fingerprint,
        "metadata_fingerprint": version.metadata_fingerprint,
        # What encodings were fitted to, by its names, and of the features that it has by a hash.
        "fittings": version.spec.fittings,
        "parameters_sha256": hashed_parameters(part, nonce),
        "features": part.features,
        "rows_matched": matched,
        "rows_without": rows - matched,
        "table": version.table.uid if version.table else None,
        "delta_table": hold.stored_as if hold else None,
        "delta_version": hold.stored_version if hold else None,
        "files": [{fact: file[fact] for fact in _FILE_FACTS} for file in files],
    }
