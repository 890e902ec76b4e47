"""Which runs and certificates a list is asked for: those of a view, or of one version of it.

Not for who may see them: each list asks that first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from lib.parameters import stored_text
from registry import access

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet
    from rest_framework.request import Request

    Row = TypeVar("Row", bound=Model)

SAYS = "a feature view, or one version of it: view@1.2.0"


def of_view(rows: QuerySet[Row], request: Request, project: str) -> QuerySet[Row]:
    """Return the rows of what ``feature_view`` names; all where it names nothing.

    Versions that share a table have its runs in common.

    :raises BadVersion, FeatureViewNotFound, VersionNotFound: there is no such version.
    """
    named = stored_text(request.query_params, "feature_view")
    if not named:
        return rows
    name, at, number = named.partition("@")
    if not at:
        return rows.filter(version__feature_view__name=name)
    version = access.access_version(request.user, project, name, number)
    if version.table_id is None:
        return rows.filter(version=version)
    return rows.filter(table_id=version.table_id)
