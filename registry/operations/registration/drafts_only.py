"""Registering nothing that counts at once: what is new, and drafts that nobody else wrote.

For whoever proposes for others, as agents do. Not for who may register at all: rights say that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.errors import Conflict
from registry.models import AuditEntry
from registry.operations.registration.storing import CatalogChange, DraftChange, ServiceChange

if TYPE_CHECKING:
    from registry.models import FeatureViewVersion
    from registry.operations.registration.applied import Application
    from registry.operations.registration.storing import Change


class NotOnlyDrafts(Conflict):
    code = "not_only_drafts"


def require_only_drafts(application: Application) -> None:
    """Return if all that is to be stored is new, or a draft that the actor alone has written.

    :raises NotOnlyDrafts: naming the first that is not.
    """
    for change in application.changes:
        if why := _why_not(change, application):
            raise NotOnlyDrafts(
                f"{why}. With drafts_only no more is registered than new entities, new data"
                " sources and drafts of feature views that are new or your own, and nothing was."
                " Show the definition to a person, who registers it with `assay apply FILE`."
            )


def _why_not(change: Change, application: Application) -> str:
    if isinstance(change, ServiceChange):
        return f"feature service {change.row.feature_service.name} would change at once for all"
    if change.before is None:
        return ""
    if isinstance(change, CatalogChange):
        return f"{change.row} would change at once, for all who use it"
    name = change.row.feature_view.name
    is_others = _is_of_others(change, application)
    return f"the open draft of {name} is, in part or whole, somebody else's" if is_others else ""


def _is_of_others(change: DraftChange, application: Application) -> bool:
    """Ask the trail: editors are also those who wrote what a draft embeds."""
    row: FeatureViewVersion = change.row
    entries = AuditEntry.objects.filter(
        subject_type=row._meta.model_name, subject_id=str(row.pk), verb__in=WRITTEN
    )
    actor = application.actor
    return row.created_by_id != actor.pk or entries.exclude(actor=actor).exists()


#: What the trail calls the writing of a draft.
WRITTEN = ("feature_view_version.drafted", "feature_view_version.edited")
