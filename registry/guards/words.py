"""The words in which ``guards`` and its parts say what the database refuses. [pure]"""

from __future__ import annotations

from typing import TypeAlias

#: (event, refusal) → the condition on OLD and NEW under which it is raised. ``JSON_TEXT(column,
#: key)`` stands for a key's value as text (``key.key`` for one inside), ``SAME_JSON(column, key,
#: other)`` for whether it is what another column has: the databases write each their own way.
Rules: TypeAlias = dict[tuple[str, str], str]
ALWAYS = "1 = 1"
TRAIL = "registry_auditentry"
LAST = f"SELECT max(id) FROM {TRAIL}"  # noqa: S608 - a constant name


def kept(refusal: str) -> Rules:
    """Return the rules of rows that are written once."""
    return {("UPDATE", refusal): ALWAYS, ("DELETE", refusal): ALWAYS}


def changes(*names: str) -> str:
    """Return the condition that an update changes one of these columns."""
    return " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in names)
