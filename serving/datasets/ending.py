"""Ending a dataset: its rows, its frame and its profile go, and its tables' files are let go.

Its row, its manifest and the trail stay, and say who ended it, when and why. Not for what attempts
left behind: ``files.remove_unneeded`` sweeps that, and what a crash after an end leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import transaction
from django.db.models import Count, Max, Q

from lib.commits import once_committed
from lib.errors import Conflict, Invalid
from lib.instants import timestamp
from materialization.requests.reasons import MAX_REASON, is_kept
from registry import access, audit
from registry.choices import Right
from registry.models import AuditEntry
from registry.scopes import scope_of
from serving.choices import WorkStatus
from serving.datasets.files import remove_others
from serving.datasets.holding import let_go
from serving.datasets.reading import require_made
from serving.models import Dataset

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User
    from django.db.models import QuerySet

    from materialization.stores.kept_files import FileKeeper

#: Datasets whose time is over that one sweep ends.
MOST_A_SWEEP = 100
TIME_OVER = "its time was over"


class EndNeedsReason(Invalid):
    code = "reason_needed"


class DatasetWasDownloaded(Conflict):
    code = "dataset_was_downloaded"


class Downloads(NamedTuple):
    """How often a dataset was downloaded, and when last: what may have been trained on it."""

    number: int
    last_at: datetime | None

    def __str__(self) -> str:
        times = "once" if self.number == 1 else f"{self.number:,} times"
        return f"{times}, last at {timestamp(self.last_at)}"


def downloads_of(dataset: Dataset) -> Downloads:
    found = downloads_in_trail(dataset).aggregate(number=Count("pk"), last_at=Max("at"))
    return Downloads(found["number"], found["last_at"])


def downloads_in_trail(dataset: Dataset) -> QuerySet[AuditEntry]:
    """Return the entries that stand for one download each.

    Readers of Parquet ask for ranges and never for the beginning: of whoever had nothing but such
    parts the last one stands for all.
    """
    told = AuditEntry.objects.filter(subject_type="dataset", subject_id=str(dataset.pk))
    whole = told.filter(verb="dataset.downloaded")
    parts = told.filter(verb="dataset.download_resumed")
    parts = parts.exclude(actor_pseudonym__in=whole.values("actor_pseudonym")).order_by()
    last = parts.values("actor_pseudonym").annotate(last=Max("pk")).values("last")
    return told.filter(Q(verb="dataset.downloaded") | Q(pk__in=last))


def may_end(dataset: Dataset, user: User | AnonymousUser) -> bool:
    """Return whether somebody may end a dataset: whoever asked may, while they may read it."""
    return access.can(user, Right.END_DATASET, dataset.project) or _is_theirs(dataset, user)


def end_dataset(
    *,
    dataset: Dataset,
    actor: User,
    reason: str,
    despite_downloads: bool,
    keeper: FileKeeper,
    at: datetime,
) -> Dataset:
    """End a dataset that is made: nobody reads its rows any more, or computes them again.

    :raises ActionNotPermitted: it is not theirs, and they lack the right.
    :raises EndNeedsReason: without a reason.
    :raises DatasetNotMade, DatasetEnded: there is nothing to end.
    :raises DatasetWasDownloaded: a model may name it; ``despite_downloads`` says this is known.
    """
    _require(dataset, actor)
    reason = _checked(reason)
    require_made(dataset)
    downloads = downloads_of(dataset)
    _require_meant(dataset, downloads, actor, despite_downloads=despite_downloads)
    with transaction.atomic():
        _require(dataset, access.reloaded(actor))
        columns = {"ended_by": actor, "end_reason": reason}
        if not _end(dataset, columns, keeper, at):
            dataset.refresh_from_db()
            require_made(dataset)
        audit.record(
            actor=actor,
            verb="dataset.ended",
            subject=dataset,
            before=WorkStatus.DONE,
            after=WorkStatus.ENDED,
            data={
                "reason": reason,
                "manifest_hash": dataset.manifest_hash,
                "downloads": downloads.number,
            },
            at=at,
        )
    return dataset


def _require_meant(
    dataset: Dataset, downloads: Downloads, actor: User, *, despite_downloads: bool
) -> None:
    """Return if nobody has the rows, or a person says that it is meant all the same.

    :raises DatasetWasDownloaded, ServiceAccountMayNotDecide: as ``end_dataset``.
    """
    if not downloads.number:
        return
    if not despite_downloads:
        raise DatasetWasDownloaded(
            f"{dataset} was downloaded {downloads}. A model that was trained on it names a manifest"
            " whose rows nobody can have or compute again once it is ended. Say that it is meant by"
            ' "despite_downloads": true (assay datasets end … --despite-downloads).',
            downloads=downloads.number,
        )
    if not access.is_person(actor):
        raise access.ServiceAccountMayNotDecide(
            f"{dataset} was downloaded {downloads}: that nobody can have it again is for people to"
            " decide."
        )


def end_expired(*, keeper: FileKeeper, at: datetime) -> None:
    """End the datasets whose time is over, as whoever asked for them said."""
    over = Dataset.objects.filter(status=WorkStatus.DONE, expires_at__lte=at)
    for dataset in over.select_related("project").order_by("expires_at")[:MOST_A_SWEEP]:
        with transaction.atomic():
            if not _end(dataset, {"end_reason": TIME_OVER}, keeper, at):
                continue  # somebody ended it just now
            audit.record(
                actor=None,
                verb="dataset.expired",
                subject=dataset,
                before=WorkStatus.DONE,
                after=WorkStatus.ENDED,
                data={
                    "expires_at": timestamp(dataset.expires_at),
                    "manifest_hash": dataset.manifest_hash,
                },
                at=at,
            )


def _end(dataset: Dataset, columns: dict[str, Any], keeper: FileKeeper, at: datetime) -> bool:
    """Write down that it is over, in the caller's transaction; False: it is over already.

    Its profile goes as well, which has values. Files go once that is certain.
    """
    ended = {**columns, "status": WorkStatus.ENDED, "ended_at": at, "profile": {}}
    if not Dataset.objects.filter(pk=dataset.pk, status=WorkStatus.DONE).update(**ended):
        return False
    for name, value in ended.items():
        setattr(dataset, name, value)
    let_go(dataset)
    what = f"removing the files of dataset {dataset.pk}"
    once_committed(what, remove_others, keeper=keeper, dataset=dataset)
    return True


def _require(dataset: Dataset, actor: User) -> None:
    if not _is_theirs(dataset, actor):
        access.require(actor, Right.END_DATASET, dataset.project)


def _is_held_back(user: User | AnonymousUser) -> bool:
    """Return whether they came with a token for less: ending cannot be undone."""
    scope = scope_of(user)
    if scope is None or not (scope.rights or scope.views):
        return False
    return Right.END_DATASET not in scope.rights


def _is_theirs(dataset: Dataset, user: User | AnonymousUser) -> bool:
    if user.pk != dataset.requested_by_id or _is_held_back(user):
        return False
    parts = dataset.parts.select_related("version__feature_view__project")
    return all(access.can(user, Right.READ_OFFLINE, part.version.feature_view) for part in parts)


def _checked(reason: str) -> str:
    said = reason.strip()
    if not is_kept(said):
        raise EndNeedsReason(
            f"say why, in 1 to {MAX_REASON:,} characters, as text can be stored; the trail keeps"
            " it."
        )
    return said
