"""When each feature was last read, by whom: noted when reads are stored, asked by lists and pages.

Not for how often (``queries``). Noting the same reads again changes nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction

from registry.models import FeatureViewVersion
from registry.spec.versions import parse_version
from serving.models import LastRead

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from serving.usage.noting import UsageRecord

#: What is known to so much is not written again: days are asked for, and there may be many rows.
_NEAR = timedelta(hours=1)
#: Rows that are written at a time.
_AT_ONCE = 500


@transaction.atomic
def note_last_reads(records: Iterable[UsageRecord]) -> None:
    """Note when what these tell of was read, where that is later than is known, to the hour."""
    newest: dict[tuple[str, str], dict[tuple[str, str], datetime]] = {}
    for record in records:
        of = newest.setdefault((record.project, record.version), {})
        for feature in record.features:
            key = (feature, record.reader)
            of[key] = max(of.get(key, record.until), record.until)
    for (project, version), reads in sorted(newest.items()):
        if (pk := _key_of(project, version)) is not None:
            _note(pk, reads)


def _note(pk: int, reads: dict[tuple[str, str], datetime]) -> None:
    known = {
        (row.feature, row.reader): row
        for row in LastRead.objects.filter(version=pk, reader__in={reader for _, reader in reads})
    }
    later = []
    for key, at in reads.items():
        if (row := known.get(key)) is not None and row.read_at < at - _NEAR:
            row.read_at = at
            later.append(row)
    new = [
        LastRead(version_id=pk, feature=feature, reader=reader, read_at=at)
        for (feature, reader), at in reads.items()
        if (feature, reader) not in known
    ]
    LastRead.objects.bulk_update(later, ["read_at"], batch_size=_AT_ONCE)
    LastRead.objects.bulk_create(
        new,
        batch_size=_AT_ONCE,
        update_conflicts=True,
        unique_fields=["version", "feature", "reader"],
        update_fields=["read_at"],
    )


def _key_of(project: str, version: str) -> int | None:
    """Return a version's key; None: it is gone by now."""
    view, _, number = version.partition("@")
    major, minor, patch = parse_version(number)
    found = FeatureViewVersion.objects.filter(
        feature_view__project__name=project, feature_view__name=view,
        major=major, minor=minor, patch=patch,
    )  # fmt: skip
    return found.values_list("pk", flat=True).first()
