"""The verbs of the audit trail, and how each reads: every app registers its own. [pure]

Not for the sentence of an entry (``trail.deeds``) and not for writing one (``audit``, which refuses
a verb that nobody registered).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Verb(NamedTuple):
    """How one thing that happens reads: ``<actor> <words> <subject>``.

    ``words`` may name keys of the value after, or of the value before where there is none after, as
    in ``made {user} {role} of``. ``icon`` is the name of a Material symbol. An outcome is nobody's
    doing and reads ``<subject> <words>``. A routine happens often and has pages of its own, so the
    latest deeds leave it out.
    """

    words: str
    icon: str = "history"
    is_outcome: bool = False
    is_routine: bool = False


SHAPE = re.compile(r"[a-z_]+\.[a-z_]+")

_verbs: dict[str, Verb] = {}


def register(verbs: Mapping[str, Verb]) -> None:
    """Add the verbs of an app, when it starts; the same table twice is one.

    :raises ValueError: a name is not ``namespace.past_tense``, or reads otherwise already.
    """
    for name, verb in verbs.items():
        if not SHAPE.fullmatch(name):
            raise ValueError(f"audit verb {name!r}: write namespace.past_tense")
        if _verbs.setdefault(name, verb) != verb:
            raise ValueError(f"audit verb {name!r} is registered already, and reads otherwise")


def require(name: str) -> None:
    """Return if an app registered the verb.

    :raises ValueError: none did: whoever records it forgot to say how it reads.
    """
    if name not in _verbs:
        raise ValueError(f"audit verb {name!r} is not registered: add it to the app's words.py")


def find(name: str) -> Verb:
    """Return how a verb reads; one that is only in old entries reads as its own last part."""
    return _verbs.get(name) or Verb(name.rpartition(".")[2].replace("_", " "))


def routine() -> list[str]:
    """Return the verbs that the latest deeds leave out."""
    return [name for name, verb in _verbs.items() if verb.is_routine]
