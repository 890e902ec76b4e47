"""Semantic version numbers ``MAJOR.MINOR.PATCH``. [pure]

Not for deciding which part a change needs: ``change`` does.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from lib.errors import Invalid
from registry.choices import ChangeClass

_VERSION = re.compile(r"(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})")


class BadVersion(Invalid):
    code = "invalid_version"


class Version(NamedTuple):
    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    def after(self, change: ChangeClass) -> Version:
        """Return the least version a change of this class may have; ``guard`` counts as a patch.

        What comes after versions that are all retired is the first again, and a major one.
        """
        if change in (ChangeClass.FIRST, ChangeClass.MAJOR):
            return Version(self.major + 1, 0, 0)
        if change is ChangeClass.MINOR:
            return Version(self.major, self.minor + 1, 0)
        return Version(self.major, self.minor, self.patch + 1)


FIRST = Version(1, 0, 0)


def parse_version(text: str) -> Version:
    """Read ``1.2.0``.

    :raises BadVersion: for anything but three plain numbers.
    """
    match = _VERSION.fullmatch(text)
    if match is None:
        raise BadVersion(f'version {text!r}: write three numbers, as in "1.2.0".', value=text)
    return Version(int(match[1]), int(match[2]), int(match[3]))
