"""What a request for a dataset may say: a historical request, a name and words. [pure]

Not for the entity frame (``historical.forms``) or for whether features exist (``historical.plan``).
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from lib.decoding import converter
from lib.errors import SHOWN_LENGTH, Invalid
from registry.spec.durations import parse_duration
from serving.datasets.splits import Split, check_split
from serving.historical.request import PARAMETERS as HISTORICAL
from serving.historical.request import HistoricalRequest, parsed_body, parsed_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
MOST_WORDS = 2_000
#: A dataset that is over before anybody can have read it was asked for in vain.
SHORTEST = timedelta(hours=1)


class BadDatasetName(Invalid):
    code = "invalid_dataset_name"


class BadDescription(Invalid):
    code = "invalid_description"


class BadExpiry(Invalid):
    code = "invalid_expires"


class DatasetRequest(HistoricalRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``name``: the dataset of which this makes the next version; ``expires``: how long it is."""

    name: str
    description: str = ""
    split: Split | None = None
    expires: str | None = None

    @property
    def keeps_for(self) -> timedelta | None:
        """:raises BadDuration: ``expires`` is none."""
        return None if self.expires is None else parse_duration(self.expires)


#: What uploads say in query parameters.
PARAMETERS = {
    "name": "The dataset of which this makes the next version; uploads only.",
    "description": "What it is for; uploads only.",
    "expires": "How long it is kept, as in 90d; without it until somebody ends it; uploads only.",
    "split": "The JSON object that a body has under this name; uploads only.",
    **HISTORICAL,
}
_read = converter(DatasetRequest)
_read_parameters = converter(DatasetRequest, strict=False)


def parse_body(body: bytes) -> DatasetRequest:
    """Read a JSON request.

    :raises BadRequest: as of a historical request.
    :raises BadDatasetName, BadDescription, BadDuration, BadExpiry: those.
    """
    return _checked(parsed_body(body, DatasetRequest, _read, what="dataset"))


def parse_parameters(parameters: Mapping[str, list[str]]) -> DatasetRequest:
    """Read the query parameters beside an uploaded frame.

    :raises BadRequest: as of a historical request.
    :raises BadDatasetName, BadDescription, BadDuration, BadExpiry: those.
    """
    return _checked(parsed_parameters(parameters, _read_parameters))


def _checked(found: DatasetRequest) -> DatasetRequest:
    if not NAME.fullmatch(found.name):
        raise BadDatasetName(
            f"name {found.name[:SHOWN_LENGTH]!r}: use lower-case letters, digits and _, beginning"
            " with a letter, at most 63."
        )
    if len(found.description) > MOST_WORDS or "\x00" in found.description:
        raise BadDescription(
            f"the description has {len(found.description):,} characters; write at most"
            f" {MOST_WORDS:,}, and no NUL."
        )
    if found.split is not None:
        check_split(found.split)
    if (kept_for := found.keeps_for) is not None and kept_for < SHORTEST:
        raise BadExpiry(f"expires {found.expires!r}: a dataset is kept for an hour at least.")
    return found
