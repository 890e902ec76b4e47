"""What every spec is made of: frozen, unknown keys refused, defaults left out of its JSON. [pure]

Not for any kind of object: ``model``, ``sources`` and ``transforms`` have those.
"""

from __future__ import annotations

import msgspec

Name = str
Tags = dict[str, str]


class Spec(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Base of all specs: immutable, unknown keys refused, defaults left out of the JSON."""


class Described(Spec, frozen=True):
    """The words every catalogue object carries."""

    name: Name
    description: str = ""
    owner: str = ""
    tags: Tags = {}
