"""What else than commas separates the names in the first line of a text. [pure]

Not for reading such a text: nothing here does, and whoever is told writes it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

#: What separates fields elsewhere, and how it is called.
_OTHERS = {";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}


def other_delimiter(header: Sequence[str], needed: Collection[str]) -> tuple[str, str] | None:
    """Return a name that is several, and what separates them; of a line that was read by commas.

    ``needed`` are names that must be there.
    """
    for name in header:
        for delimiter in (each for each in _OTHERS if each in name):
            parts = {part.strip(' "') for part in name.split(delimiter)} - {""}
            # One column alone, and none that is needed: whatever else it is, it has no commas.
            alone = len(header) == 1 and name not in needed
            if len(parts) > 1 and (alone or parts.intersection(needed)):
                return name, _OTHERS[delimiter]
    return None
