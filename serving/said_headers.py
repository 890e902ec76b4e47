"""What answers say beside their bodies, in headers: warnings, and what is deprecated. [pure]"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.deprecation import Deprecation

#: Carries a JSON list of what a reader should know, as that a version is deprecated.
WARNINGS_HEADER = "Assay-Warnings"
#: Bytes of one. Proxies refuse an answer whose headers have more than 4 or 8 kB, clients one of 64.
MOST_BYTES = 3_000
#: Characters of one warning where there are too many bytes of all.
_MOST_OF_ONE = 400


def said_headers(warnings: Sequence[str], deprecation: Deprecation) -> list[tuple[str, str]]:
    """Return the headers; warnings that have no room are counted in the last that has."""
    said = [*deprecation.headers]
    return [*said, (WARNINGS_HEADER, _within(warnings))] if warnings else said


def _within(warnings: Sequence[str]) -> str:
    """Return a JSON list, in ASCII as headers must be."""
    whole = json.dumps(warnings)
    if len(whole) <= MOST_BYTES:
        return whole
    kept: list[str] = []
    for place, each in enumerate(warnings):
        short = each if len(each) <= _MOST_OF_ONE else f"{each[:_MOST_OF_ONE]}…"
        more = f"{len(warnings) - place} more: ask for fewer features at once to be told each."
        if len(json.dumps([*kept, short, more])) > MOST_BYTES:
            return json.dumps([*kept, more])
        kept.append(short)
    return json.dumps(kept)
