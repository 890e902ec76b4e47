"""Calls for training sets that are kept: made once by the server, proven whenever it is asked.
Not for training sets that are answered at once; see reads.
"""

from __future__ import annotations

import json
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import cast

from assay import shapes
from assay.all_entities import AllEntities
from assay.asking import arrow_bytes, as_parameters, selection, unframed, whole_body
from assay.calls import Calls
from assay.dataset import Dataset, shown
from assay.entity_query import EntityQuery
from assay.errors import DatasetFailed, Invalid, NotFound, WaitTimedOut
from assay.files import content_type, opened_frame, replace_file
from assay.frames import entity_frame
from assay.historical import ARROW_STREAM
from assay.progress import looking
from assay.references import dataset_of, version_of_dataset
from assay.resuming import resumed
from assay.shapes import JSON, EntityFrame, Features, Listed, NamedViews, Timing
from assay.waiting import OnProgress, Waiting

#: It is over: nothing is waited for any more.
OVER = ("done", "failed", "ended")


class DatasetCalls(Calls):
    """Datasets by name and version: each version immutable, the next one another."""

    def create_dataset(
        self,
        name: str,
        entity_df: EntityFrame | AllEntities | EntityQuery | Path | str,
        features: Features = None,
        full_feature_names: bool = False,
        *,
        description: str = "",
        feature_service: str | None = None,
        timing: Timing = "known",
        views: NamedViews = None,
        split: JSON | None = None,
        expires: str | None = None,
        timeout_seconds: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> Dataset:
        """Have the next version of a dataset made, wait for it, and give it.

        What it takes is as for ``get_historical_features``; ``entity_df`` may also be the path of
        a file (.parquet, .csv, .arrow), and ``AllEntities`` are those that there are now. ``split``
        adds a column that says which part a row is of: ``{"by": "random", "shares": {"train": 0.8,
        "test": 0.2}, "seed": 7}``, ``{"by": "entity", "keys": ["user_id"], …}`` or ``{"by":
        "time", "before": {"train": "2026-01-01", "test": None}}``. ``expires`` is how long it is
        kept (``"90d"``): then the server ends it by itself. ``on_progress`` gets what each look
        found.

        :raises DatasetFailed: it could not be made; says why.
        :raises WaitTimedOut: it takes longer than ``timeout_seconds``; it goes on being made.
        """
        asked = self.request_dataset(
            name,
            entity_df,
            features,
            full_feature_names,
            description=description,
            feature_service=feature_service,
            timing=timing,
            views=views,
            split=split,
            expires=expires,
        )
        return self.wait_for_dataset(
            name, asked["version"], timeout_seconds=timeout_seconds, on_progress=on_progress
        )

    def request_dataset(
        self,
        name: str,
        entity_df: EntityFrame | AllEntities | EntityQuery | Path | str,
        features: Features = None,
        full_feature_names: bool = False,
        *,
        description: str = "",
        feature_service: str | None = None,
        timing: Timing = "known",
        views: NamedViews = None,
        split: JSON | None = None,
        expires: str | None = None,
    ) -> JSON:
        """Ask for the next version of a dataset, and give what is queued, without waiting."""
        options: JSON = {
            "name": name,
            "description": description,
            **selection(features, feature_service),
            "full_feature_names": full_feature_names,
            "timing": timing,
            **({"expires": expires} if expires else {}),
        }
        query = {
            **options,
            **as_parameters(views),
            **({"split": json.dumps(split)} if split else {}),
        }
        if isinstance(entity_df, Path):
            with opened_frame(entity_df) as file:
                return self._send("datasets", query, file.read(), content_type(entity_df))
        beside = {"split": split} if split else {}
        if (about := unframed(entity_df)) is not None:
            asked = whole_body(options, views, about)
            return self._post("datasets", value={**asked, **beside})
        frame = entity_frame(cast("EntityFrame", entity_df))
        if frame.table is not None:
            return self._send("datasets", query, arrow_bytes(frame.table), ARROW_STREAM)
        asked = whole_body(options, views, frame.columns)
        return self._post("datasets", value={**asked, **beside})

    def wait_for_dataset(
        self,
        name: str,
        version: int | None = None,
        *,
        timeout_seconds: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> Dataset:
        """Wait until a version (``churn@3``) is made, and give it.

        ``on_progress`` gets what each look found.

        :raises DatasetFailed: it could not be made; says why.
        :raises WaitTimedOut: it takes longer than ``timeout_seconds``; it goes on.
        """
        name, version = version_of_dataset(name, version)
        wait = Waiting(timeout_seconds, pause=self._transport.pause)
        about = f"dataset {name}@{version}"
        with looking(on_progress, about, lambda found: str(found["status"])) as tell:
            while (found := self._of(name, version))["status"] not in OVER:
                tell(found)
                if wait.is_over:
                    raise WaitTimedOut(f"{name}@{version} is {found['status']}; see get_dataset")
                wait.pause()
        return self._dataset(found)

    def get_dataset(self, name: str, version: int | None = None) -> Dataset:
        """Give one version of a dataset (``churn@3``), by default the newest that is made.

        Of one that was ended there is the manifest alone (``.ended_at``); its rows raise ``Gone``.

        :raises NotFound: there is none. :raises DatasetFailed: it could not be made.
        :raises Conflict: it is not made yet.
        """
        name, version = dataset_of(name, version)
        if version is not None:
            return self._dataset(self._of(name, version))
        made = self.datasets(name=name, status="done", limit=1)
        if not made:
            raise NotFound(f"no version of {name} is made; see datasets(name={name!r})")
        return self._dataset(made[0])

    def datasets(
        self, *, name: str | None = None, status: str | None = None, limit: int | None = None
    ) -> Listed:
        """List datasets, newest first: dicts with ``name``, ``version``, ``status``, ``rows``, …"""
        return self._list("datasets", query={"name": name, "status": status}, limit=limit)

    def write_dataset(self, name: str, output: shapes.Path, version: int | None = None) -> Dataset:
        """Write the rows of a dataset to a Parquet file, once all of it has arrived and is right.

        :raises Invalid: the file cannot be written.
        :raises ServerError: what arrived is not the file that the manifest names.
        """
        found = self.get_dataset(name, version)
        with closing(found.chunks()) as chunks:  # type: ignore[type-var]
            replace_file(Path(output), shown(found, chunks))
        return found

    def end_dataset(
        self,
        name: str,
        version: int | None = None,
        reason: str = "",
        *,
        despite_downloads: bool = False,
    ) -> JSON:
        """End ``churn@3``: its rows are removed for good, its manifest stays and says so and why.

        It takes a ``reason``. Whoever asked for the dataset may, and stewards and owners.

        :raises Conflict: it was downloaded, so a model may name it; ``despite_downloads`` says that
            this is known.
        :raises Gone: it was ended before.
        """
        name, version = version_of_dataset(name, version)
        if not reason:
            raise Invalid(f"say why it is ended: end_dataset('{name}@{version}', reason=…)")
        asked = {"reason": reason, "despite_downloads": despite_downloads}
        found: JSON = self._post("datasets", name, str(version), "end", value=asked)
        return found

    def _of(self, name: str, version: int) -> JSON:
        found: JSON = self._get("datasets", name, str(version))
        return found

    def _dataset(self, found: JSON) -> Dataset:
        name, version = found["name"], str(found["version"])
        if found["status"] == "failed":
            raise DatasetFailed(f"{name}@{version} could not be made: {found['error']}", **found)
        path = self._transport.project_path("datasets", name, version, "download")
        return Dataset(
            found,
            self._get("datasets", name, version, "manifest"),
            download=partial(resumed, self._transport, path),
            check=partial(self._checked, name, version),
        )

    def _checked(self, name: str, version: str) -> JSON:
        check = self._post("datasets", name, version, "verify", value={})
        wait = Waiting(None, pause=self._transport.pause)
        about = f"dataset {name}@{version} is computed again"
        with looking(None, about, lambda found: str(found["status"])) as tell:
            while check["status"] not in OVER:
                tell(check)
                wait.pause()
                check = self._get("datasets", name, version, "checks", str(check["id"]))
        return check
