"""Online answers as Feast's JSON, to the letter. [pure]

Not for what the answer is: ``read`` says that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from serving.online.read import OnlineAnswer

#: Carries a JSON list of what a reader should know, as that a version is deprecated.
WARNINGS_HEADER = "Assay-Warnings"

_encode = msgspec.json.Encoder().encode


def answer_json(answer: OnlineAnswer) -> bytes:
    """Return ``{"metadata": {…}, "results": [{"values", "statuses", "event_timestamps"}, …]}``."""
    metadata: dict[str, Any] = {"feature_names": answer.names, "value_types": answer.types}
    if answer.feature_views is not None:
        metadata["feature_view_metadata"] = answer.feature_views
    return _encode({"metadata": metadata, "results": answer.columns})


def warnings_json(answer: OnlineAnswer) -> str:
    return _encode(answer.warnings).decode()
