"""How a question about features is sent: what is asked, of whom, and a frame as bytes.
Not for asking; each group of calls has its own address.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

from assay.all_entities import AllEntities
from assay.entity_query import EntityQuery
from assay.errors import Invalid
from assay.extras import require
from assay.shapes import JSON, Columns, Features, NamedViews


def arrow_bytes(table: Any) -> bytes:
    ipc = require("pyarrow.ipc", "sending a frame")
    sink = io.BytesIO()
    with ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def unframed(about: Any) -> AllEntities | EntityQuery | None:
    """Give what stands in for a frame, where no frame is sent: a text is a query.

    :raises Invalid: the text names no source.
    """
    if isinstance(about, str):
        return EntityQuery.of(about)
    return about if isinstance(about, AllEntities | EntityQuery) else None


def whole_body(
    options: JSON, views: NamedViews, about: Columns | AllEntities | EntityQuery
) -> JSON:
    """Give a request that says all in its body: whom it is about too."""
    whom: JSON = {"entities": about}
    if isinstance(about, AllEntities | EntityQuery):
        whom = {about.key: about.sent()}
    return {**options, **({"views": views} if views else {}), **whom}


def as_parameters(views: NamedViews) -> JSON:
    """Give ``views`` as it goes into a query: JSON text."""
    return {"views": json.dumps(views)} if views else {}


def selection(features: Features, feature_service: str | None) -> JSON:
    """Give ``{"features": […]}`` or ``{"feature_service": name}``, whichever was asked for.

    :raises Invalid: neither or both were given.
    """
    if isinstance(features, Mapping):  # what get_feature_service answers
        features = str(features["name"])
    if isinstance(features, str):
        # A reference always has a colon, the name of a service never.
        by_name = {"features": [features]} if ":" in features else {"feature_service": features}
    else:
        by_name = {"features": list(features)} if features else {}
    if bool(by_name) == bool(feature_service):
        raise Invalid(
            "give either features (like ['view:feature']) or a feature service, "
            + ("not both" if by_name else "neither was given"),
        )
    return by_name or {"feature_service": feature_service}
