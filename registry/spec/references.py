"""Feature references as every door writes them: ``view:feature``, ``view@1.2.0:feature``. [pure]

Not for finding what they name: ``queries`` and ``serving`` resolve them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from lib.errors import Invalid

_PIN = r"[0-9]{1,6}\.[0-9]{1,6}\.[0-9]{1,6}|v?[0-9]{1,6}"
_REFERENCE = re.compile(rf"([A-Za-z][A-Za-z0-9_]*)(?:@({_PIN}))?:([A-Za-z_][A-Za-z0-9_]*|\*)")
_MAJOR = re.compile(r"v?([0-9]{1,6})")


class BadReference(Invalid):
    code = "invalid_reference"


class Reference(NamedTuple):
    """``pin``: None the default, ``1.2.0`` exact, ``v2`` the newest ready of major 2."""

    view: str
    pin: str | None
    feature: str

    def __str__(self) -> str:
        pin = f"@{self.pin}" if self.pin else ""
        return f"{self.view}{pin}:{self.feature}"

    @property
    def major(self) -> int | None:
        """The major version asked for by ``@v2``; None for an exact or absent pin."""
        return parse_major(self.pin) if self.pin else None


def parse_major(pin: str) -> int | None:
    """Return 2 for ``v2`` and ``2``, None for anything else."""
    match = _MAJOR.fullmatch(pin)
    return int(match[1]) if match else None


def parse_reference(text: str) -> Reference:
    """Read one reference; ``*`` as the feature means all of the view's.

    :raises BadReference: naming the text and the valid forms.
    """
    match = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        forms = "view:feature, view@1.2.0:feature or view@v2:feature"
        raise BadReference(f"reference {str(text)[:100]!r}: write {forms}.")
    return Reference(match[1], match[2], match[3])
