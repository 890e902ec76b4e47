"""Feature references as every door writes them: ``view:feature``, ``view@1.2.0:feature``. [pure]

Not for finding what they name: ``queries`` and ``serving`` resolve them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from registry.errors import Invalid

_REFERENCE = re.compile(r"([A-Za-z][A-Za-z0-9_]*)(?:@([A-Za-z0-9.]+))?:([A-Za-z_][A-Za-z0-9_]*|\*)")
_EXACT = re.compile(r"\d+\.\d+\.\d+")
_MAJOR = re.compile(r"v?(\d+)")


class BadReference(Invalid):
    code = "invalid_reference"


class Reference(NamedTuple):
    """``pin`` is None (the default version), ``1.2.0`` (exact) or ``v2`` (newest ready of major 2)."""

    view: str
    pin: str | None
    feature: str

    def __str__(self) -> str:
        return (
            f"{self.view}@{self.pin}:{self.feature}" if self.pin else f"{self.view}:{self.feature}"
        )

    @property
    def major(self) -> int | None:
        """The major version asked for by ``@v2``; None for an exact or absent pin."""
        match = _MAJOR.fullmatch(self.pin) if self.pin else None
        return int(match[1]) if match else None


def parse_reference(text: str) -> Reference:
    """Read one reference; ``*`` as the feature means all of the view's.

    :raises BadReference: naming the text and the valid forms.
    """
    match = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
    if match is None or (
        match[2] and not (_EXACT.fullmatch(match[2]) or _MAJOR.fullmatch(match[2]))
    ):
        raise BadReference(
            f"reference {text!r}: write view:feature, view@1.2.0:feature or view@v2:feature.",
            reference=text,
        )
    return Reference(match[1], match[2], match[3])
