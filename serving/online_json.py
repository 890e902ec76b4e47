"""Online answers as Feast's JSON, to the letter. [pure]

Not for what the answer is: ``online`` says that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from serving.online import OnlineAnswer

_encode = msgspec.json.Encoder().encode


def answer_json(answer: OnlineAnswer) -> bytes:
    """Return ``{"metadata": {feature_names}, "results": [{values, statuses, event_timestamps}]}``.

    Lists that columns share are encoded once.
    """
    encoded: dict[int, bytes] = {}

    def once(shared: list[str]) -> bytes:
        text = encoded.get(id(shared))
        if text is None:
            text = encoded[id(shared)] = _encode(shared)
        return text

    results = [
        b'{"values":%b,"statuses":%b,"event_timestamps":%b}'
        % (_encode(column.values), once(column.statuses), once(column.event_timestamps))
        for column in answer.columns
    ]
    metadata: dict[str, Any] = {"feature_names": [column.name for column in answer.columns]}
    if answer.feature_views is not None:
        metadata["feature_view_metadata"] = answer.feature_views
    return b'{"metadata":%b,"results":[%b]}' % (_encode(metadata), b",".join(results))
