"""What a plan means: what changes, what breaks, and whether that is more than somebody would take.
Not for writing it down; the command does, for people and for pull requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

from assay.shapes import JSON

FailOn: TypeAlias = Literal["none", "breaking", "major"]
FAIL_ON: tuple[FailOn, ...] = ("none", "breaking", "major")
#: How the server warns of what ``breaks`` says in full.
_BREAKS = "as the default it breaks "


class Summary(NamedTuple):
    """How many objects a plan is about, how many differ, and how many of those break something."""

    objects: int
    changed: int
    major: int
    breaking: int


def summary(plan: JSON) -> Summary:
    changes = plan["changes"]
    return Summary(
        objects=len(changes),
        changed=sum(change["change"] != "unchanged" for change in changes),
        major=sum(c["change"] != "unchanged" and c.get("class") == "major" for c in changes),
        breaking=sum(bool(change.get("breaks")) for change in changes),
    )


def too_much(plan: JSON, fail_on: FailOn) -> str:
    """Say what of a plan goes beyond what is taken; empty where nothing does."""
    found = summary(plan)
    said = []
    if fail_on != "none" and found.breaking:
        said.append(f"{_count(found.breaking, 'object')} would break what reads it")
    if fail_on == "major" and found.major:
        said.append(f"{_count(found.major, 'change')} of the class major")
    return " and ".join(said)


def breaks(change: JSON) -> Iterator[str]:
    """Say of each reader that breaks which it is, and what it loses."""
    for each in change.get("breaks") or []:
        yield f"{each['kind']} {each['name']}: {', '.join(each['why'])}"


def warnings(change: JSON) -> list[str]:
    """Return the warnings of a change that ``breaks`` does not say already."""
    told = bool(change.get("breaks"))
    return [w for w in change.get("warnings") or [] if not (told and w.startswith(_BREAKS))]


def named(change: JSON) -> str:
    return f"{change['kind']} {change['name']}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else f'{noun}s'}"
