"""Noting the reads that are not online: training sets, jobs, datasets, downloads, files.

Not for online reads (``online.watching``), which cannot wait for a lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.models.names import pseudonym_of
from serving.historical.features import JoinedFeature
from serving.on_demand.features import inputs_of
from serving.usage.buffer import BUFFER
from serving.usage.edges import is_noted, send_or_retry
from serving.usage.noting import Answers, Reading, reads_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User

    from registry.models import FeatureViewVersion, Project
    from serving.choices import Door
    from serving.historical.plan import TrainingPlan
    from serving.models import Dataset, HistoricalJob

    Asked = Iterable[tuple[FeatureViewVersion | str, str, str]]


def note_read(
    asked: Asked,
    door: Door,
    *,
    project: Project,
    actor: User | AnonymousUser,
    at: datetime,
    service: str | None = None,
    rows: int = 0,
    seconds: float | None = None,
) -> None:
    """Note one read of features: (version, feature, the version that is computed from it)."""
    if not is_noted() or not actor.is_authenticated:
        return
    answers = Answers()
    answers.add(rows=rows, seconds=seconds)
    reading = Reading(project.name, pseudonym_of(actor), service or "", reads_of(asked))
    BUFFER.add(answers.records(reading, door, at=at))
    send_or_retry()


def asked_by(plan: TrainingPlan) -> Iterator[tuple[FeatureViewVersion | str, str, str]]:
    """Give what a training set reads."""
    for column in plan.columns:
        if isinstance(column, JoinedFeature):
            yield plan.uses[column.part].version, column.feature, ""
            continue
        yield column.feature.version, column.feature.name, ""
        for part, name in column.stored:
            yield plan.uses[part].version, name, column.feature.version


def note_kept(
    of: Dataset | HistoricalJob, door: Door, *, actor: User | AnonymousUser, at: datetime
) -> None:
    """Note that what a job or a dataset has was read: when it was made, or downloaded."""
    service = of.request.get("feature_service")
    asked = _kept_by(of) if is_noted() else ()
    note_read(
        asked, door, project=of.project, actor=actor, at=at, service=service, rows=of.rows or 0
    )


def _kept_by(of: Dataset | HistoricalJob) -> Iterator[tuple[FeatureViewVersion | str, str, str]]:
    """Give what its columns are, and what the computed ones are computed of."""
    parts = of.parts.select_related("version__feature_view")
    versions = [part.version for part in parts]
    for column in of.columns:
        version = versions[column["part"]]
        yield version, column["feature"], ""
        if "inputs" in column:
            read = zip(inputs_of(version, column["feature"]), column["inputs"], strict=True)
            for each, place in read:
                yield versions[place], each.feature, str(version)
