"""How much greater a value may become than what it was made of: bounds on sizes in SQL. [pure]

Not for which functions there are (``sql_functions``). Rows are read by the million, so a size that
a column or a great constant decides would take the memory of everybody.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Callable

#: The greatest size a constant may ask for, and the product of those around each other.
MAX_SIZE, MAX_GROWTH = 1000, 1_000_000
#: A replacement that is no constant is taken for one of so many characters.
_UNKNOWN_TEXT = 10
#: Widths that are too great or come from an argument, in patterns of ``printf`` and ``format``.
_WIDE = re.compile(r"[0-9]{4}|%[^%a-zA-Z]*\*|\{[^{}]*\{")


def growth_problem(node: exp.Expr) -> str | None:
    """Return why a node's size is not bounded; None when it is, or when it has none."""
    if isinstance(node, exp.DataType):
        return _too_long(node.args.get("values") or [])
    if (pattern := _pattern(node)) is not None:
        return _pattern_problem(pattern)
    size = _size(node)
    if size is None:
        return None
    if problem := _too_long([size]):
        return problem
    return (
        None if _growth(node) <= MAX_GROWTH else f"is too great: over {MAX_GROWTH} times a value."
    )


def replacement_problem(node: exp.Expr) -> str | None:
    """Return why texts that replace others may multiply too often; None when they do not."""
    if not isinstance(node, (exp.Replace, exp.RegexpReplace)) or _growth(node) <= MAX_GROWTH:
        return None
    return f"may become over {MAX_GROWTH} times as long; replace in fewer steps."


def _too_long(sizes: list[exp.Expr]) -> str | None:
    for size in sizes:
        if not isinstance(size, exp.Literal) or size.is_string or not str(size.this).isdigit():
            return f"has a size that is not a whole number written out, 0 to {MAX_SIZE}."
        if int(size.this) > MAX_SIZE:
            return f"has a size of {size.this}; at most {MAX_SIZE}."
    return None


def _pattern(node: exp.Expr) -> exp.Expr | None:
    is_printf = isinstance(node, exp.Anonymous) and node.name.lower() == "printf"
    given = [node.this] if isinstance(node, exp.Format) else node.expressions if is_printf else []
    return next(iter(given), None)


def _pattern_problem(pattern: exp.Expr) -> str | None:
    if not isinstance(pattern, exp.Literal) or not pattern.is_string:
        return "has a pattern that is not a constant; write it out."
    wide = _WIDE.search(str(pattern.this))
    return f"has a width that is not a number up to 999: {wide[0]!r}." if wide else None


#: Functions whose result is as great as an argument says.
_SIZES: dict[type[exp.Expr], str] = {exp.Repeat: "times", exp.Pad: "expression"}
_NAMED_SIZES = {"list_resize": 1, "to_base": 2}


def _size(node: exp.Expr) -> exp.Expr | None:
    if type(node) in _SIZES:
        found: list[exp.Expr | None] = [node.args.get(_SIZES[type(node)])]
        return found[0]
    if isinstance(node, exp.Anonymous):
        place = _NAMED_SIZES.get(node.name.lower())
        return node.expressions[place] if place and len(node.expressions) > place else None
    return None


def _growth(node: exp.Expr) -> int:
    """Return the product of what a node and those around it multiply a value by."""
    growth = 1
    each: exp.Expr | None = node
    while each is not None:
        growth *= next((factor(each) for kind, factor in _FACTORS if isinstance(each, kind)), 1)
        each = each.parent
    return growth


def _repeated(node: exp.Expr) -> int:
    size = _size(node)
    return max(1, int(size.this)) if size is not None and _too_long([size]) is None else 1


def _replaced(node: exp.Expr) -> int:
    old, new = node.expression, node.args.get("replacement")
    longer = _length(new) if new is not None else 0
    shorter = _length(old) if isinstance(node, exp.Replace) and old is not None else 1
    return max(1, -(-longer // max(1, shorter)))


def _length(value: exp.Expr) -> int:
    is_text = isinstance(value, exp.Literal) and value.is_string
    return len(str(value.this)) if is_text else _UNKNOWN_TEXT


_FACTORS: tuple[tuple[type[exp.Expr], Callable[[exp.Expr], int]], ...] = (
    (exp.Repeat, _repeated),
    (exp.Replace, _replaced),
    (exp.RegexpReplace, _replaced),
)
