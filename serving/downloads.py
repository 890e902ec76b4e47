"""What the trail has of a download: that it began, or that it went on after a cut.

Not for who may: whoever opens the file asked that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction

from lib.resumable import begins_at
from registry import audit
from serving.choices import Door
from serving.usage.slow_reads import note_kept

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User
    from django.http.response import HttpResponseBase

    from serving.models import Dataset, HistoricalJob


def noted(
    response: HttpResponseBase,
    of: Dataset | HistoricalJob,
    *,
    kind: str,
    actor: User | AnonymousUser,
    data: dict[str, Any],
    at: datetime,
) -> HttpResponseBase:
    """Return the answer once the trail has it; one that has no bytes is no download.

    ``kind`` begins the verb. One that goes on has a verb of its own, so that downloads are counted
    once however often they were cut.
    """
    start = begins_at(response)
    if start is None:
        return response
    verb = f"{kind}.download_resumed" if start else f"{kind}.downloaded"
    more = {"from_byte": start} if start else {}
    try:
        with transaction.atomic():
            audit.record(actor=actor, verb=verb, subject=of, data={**data, **more}, at=at)
    except BaseException:
        response.close()
        raise
    if not start:
        note_kept(of, Door.DOWNLOAD, actor=actor, at=at)
    return response
