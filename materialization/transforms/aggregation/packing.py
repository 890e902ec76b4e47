"""Whole numbers that are added up beside each other in one of 128 bits: one sum for several. [pure]

Not for what is added (``states``), nor for when (``edges``). Adding up is what a total costs, and
carrying what is to be added through a sort: numbers whose totals are known to stay small share one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from materialization.transforms.aggregation.function import Amount

#: What a HUGEINT holds beside its sign, and a bit to spare for the difference of two.
_ROOM = 126


class Field(NamedTuple):
    """An amount's place: ``width`` bits from ``shift`` on, of which one is for the sign."""

    amount: Amount
    shift: int
    width: int

    @property
    def half(self) -> int:
        return 1 << self.width - 1


class Packed(NamedTuple):
    """Amounts that share a number; one alone is as it is, whatever its type."""

    fields: Sequence[Field]

    @property
    def is_whole(self) -> bool:
        """Say whether the number is a HUGEINT."""
        return all(field.amount.bits is not None for field in self.fields)

    @property
    def added(self) -> str:
        """Return SQL of what a row adds."""
        if len(self.fields) == 1 and not self.fields[0].amount.bits:
            return self.fields[0].amount.sql
        return " + ".join(
            f"coalesce(CAST({amount.sql} AS HUGEINT), 0) * {1 << shift}::HUGEINT"
            for amount, shift, _ in self.fields
        )

    def raised(self, total: str) -> str:
        """Return a total of which no field is below zero, so that none borrows of the next."""
        if len(self.fields) == 1:
            return total
        return f"{total} + {sum(field.half << field.shift for field in self.fields)}::HUGEINT"

    def parted(self, raised: str) -> Iterable[tuple[Amount, str]]:
        """Yield the total of each amount out of the column ``raised``."""
        first, *others = self.fields
        if not others:
            yield first.amount, raised
            return
        for amount, shift, width in self.fields:
            bits = f"(({raised} >> {shift}) & {(1 << width) - 1}::HUGEINT)"
            yield amount, f"{bits} - {1 << width - 1}::HUGEINT"


def packed(amounts: Iterable[Amount], rows: int) -> list[Packed]:
    """Return amounts of so many rows in as few numbers as hold their totals."""
    alone: list[Packed] = []
    numbers: list[list[Field]] = []
    fields = [(amount, _width(amount, rows)) for amount in amounts]
    # The widest first, as the narrow ones still fit beside them.
    for amount, width in sorted(fields, key=lambda each: -each[1]):
        if width > _ROOM:
            alone.append(Packed([Field(amount, 0, width)]))
            continue
        for number in numbers:
            shift = number[-1].shift + number[-1].width
            if shift + width <= _ROOM:
                number.append(Field(amount, shift, width))
                break
        else:
            numbers.append([Field(amount, 0, width)])
    return [*map(Packed, numbers), *alone]


def _width(amount: Amount, rows: int) -> int:
    """Return how many bits a total takes, with its sign."""
    return _ROOM + 1 if amount.bits is None else amount.bits + rows.bit_length() + 1
