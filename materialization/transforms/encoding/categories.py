# ruff: noqa: S608 - the sub-selects are our own, categories go through text()
"""Steps over categories, which are texts: one place for each that the fit saw. [pure]"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from lib.sql_text import text
from materialization.errors import FitFailed
from materialization.transforms.encoding.scaling import Stateless
from materialization.transforms.encoding.step import OTHER_RANGE, writable
from registry.spec.encode_steps import MOST_CATEGORIES, MOST_PLACES, Hashed, OneHot, Ordinal, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.transforms.encoding.step import Ask, Parameters, StepKind


def categories(ask: Ask, rows: str, *, most: int | None, limit: int, way_out: str) -> list[str]:
    """Return the categories of some rows, the commonest ``most`` of them, in order of their code.

    Whole numbers are ordered as numbers, however long they are. Of two that are as common the
    lesser counts first.

    :raises FitFailed: there is none, or more than ``limit``.
    """
    wanted = most or limit + 1
    found = ask(
        f"SELECT v FROM {rows} WHERE v IS NOT NULL GROUP BY v"
        f" ORDER BY count(*) DESC, v LIMIT {wanted:d}"
    )
    if not found:
        raise FitFailed(f"no row of its range has a value; {OTHER_RANGE}")
    if most is None and len(found) > limit:
        raise FitFailed(f"its range has more than {limit:,} categories; {way_out}")
    values = [str(value) for (value,) in found]
    writable(values)
    return sorted(values, key=Decimal) if all(map(_is_whole, values)) else sorted(values)


def _is_whole(value: str) -> bool:
    digits = value.removeprefix("-")
    return digits.isascii() and digits.isdigit() and (digits == "0" or digits[0] != "0")


def code(values: Sequence[str], v: str) -> str:
    """Return SQL of the place of a category, -1 of one that is not among them."""
    among = f"ENUM({', '.join(map(text, values))})"
    place = f"coalesce(enum_code(TRY_CAST({v} AS {among}))::BIGINT, -1)"
    return f"CASE WHEN {v} IS NULL THEN NULL ELSE {place} END"


class PlacesKind:
    """What has a place for each category of its range, of at most ``limit``."""

    limit: ClassVar[int]
    way_out: ClassVar[str] = "say how many of the commonest have a place (most: 100)"

    def fit(self, step: Step, ask: Ask, rows: str) -> dict[str, Any]:
        if not isinstance(step, OneHot | Ordinal):
            raise TypeError(f"{step} has no place for a category")
        found = categories(ask, rows, most=step.most, limit=self.limit, way_out=self.way_out)
        return {"categories": found}


class OneHotKind(PlacesKind):
    """As OneHotEncoder(handle_unknown="ignore"): all zeros of what the fit did not see."""

    limit = MOST_PLACES
    way_out = f"{PlacesKind.way_out}, or use hashed"

    def stages(self, step: Step, fitted: Parameters, v: str) -> Sequence[str]:
        values = fitted["categories"]
        return (code(values, v), places(v, v, "1::DOUBLE", len(values)))


def places(v: str, place: str, mark: str, width: int) -> str:
    """Return SQL of a list of zeros with a mark at a place, at none where that is -1."""
    one = f"CASE WHEN i = {place} THEN {mark} ELSE 0::DOUBLE END"
    made = f"list_transform(range({width:d}), lambda i: {one})"
    return f"CASE WHEN {v} IS NULL THEN NULL ELSE {made} END"


class OrdinalKind(PlacesKind):
    """As OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)."""

    limit = MOST_CATEGORIES

    def stages(self, step: Step, fitted: Parameters, v: str) -> Sequence[str]:
        return (code(fitted["categories"], v),)


class HashedKind(Stateless):
    """By the MD5 of a category's text, in UTF-8.

    Its last eight bytes, the least first, are a number: the remainder by the width is the place.
    Where the lowest bit of its first byte is set the mark is -1.
    """

    def stages(self, step: Step, fitted: Parameters, v: str) -> Sequence[str]:
        if not isinstance(step, Hashed):
            raise TypeError(f"{step} is no hashed")
        place = f"(md5_number_lower({v}) % {step.width:d})::BIGINT"
        mark = f"CASE WHEN md5_number_upper({v}) % 2 = 1 THEN -1::DOUBLE ELSE 1::DOUBLE END"
        pair = f"CASE WHEN {v} IS NULL THEN NULL ELSE {{'place': {place}, 'mark': {mark}}} END"
        return (pair, places(v, f"{v}.place", f"{v}.mark", step.width))


KINDS: dict[type[Step], StepKind] = {
    OneHot: OneHotKind(),
    Ordinal: OrdinalKind(),
    Hashed: HashedKind(),
}
