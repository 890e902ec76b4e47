"""Features that can be searched: what of them is indexed, on the page of each.

Not for building an index: ``runner.indexing`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.template.loader import render_to_string

from materialization.vector_indexes import index_of
from registry.admin.panels import panel
from registry.choices import SERVED_STATES
from registry.models import Feature
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from django.http import HttpRequest


@panel(Feature)
def search_panel(request: HttpRequest, feature: Feature) -> str:
    """Show whether a vector can be searched, and how its index stands."""
    version = feature.version
    if parse_type(feature.type).kind != "vector" or not version.spec.transform.is_stored:
        return ""
    index = None
    if version.state in SERVED_STATES and version.table is not None:
        index = index_of(version.table.uid)
    context = {
        "feature": feature,
        "index": index,
        "is_online": version.spec.view.online,
        "found": index.vectors.get(feature.name, 0) if index is not None else 0,
        "cells": index.cells.get(feature.name) if index is not None else None,
        "is_behind": index is not None and index.stored_version < index.table.stored_version,
    }
    return render_to_string("materialization/admin/feature_search.html", context, request)
