"""How large an expression may become: in parts for the engine, in text for a row. [pure]

Not for what may be written at all (``row_sql``, ``sql_growth``): rows of a request bring texts of
megabytes, so what multiplies them is held tighter here than in the SQL of a run.
"""

from __future__ import annotations

import re

from sqlglot import exp

from registry.spec.dialect import DIALECT
from registry.spec.scalar.kinds import Untyped

#: Parts that an expression may have, those counted that the engine repeats.
MOST_PARTS = 10_000
#: Calls of the engine in one another, as a sum of whole numbers has one a term: it looks into each
#: many times, and goes only so deep.
MOST_CALLS = 104
#: How many times as long as what a row brings a text may become.
MOST_GROWTH = 32


def check_sizes(tree: exp.Expr) -> None:
    """Refuse what would be written out many times, and texts that would outgrow their row.

    :raises Untyped: it would become too large.
    """
    if _parts(tree) > MOST_PARTS:
        raise Untyped(
            "nullif, BETWEEN and CASE with a subject are nested in each other too deeply: the"
            " engine repeats what they compare. Split the feature, or write CASE WHEN."
        )
    if _growth(tree) > MOST_GROWTH:
        raise Untyped(
            f"a text in it may become over {MOST_GROWTH} times as long as what it is made of;"
            " join fewer, or replace by what is shorter."
        )


def check_calls(sql: str) -> None:
    """:raises Untyped: the engine would not look so deep into what was made."""
    depth = 0
    for sign in re.findall(r"'(?:[^']|'')*'|[()]", sql):
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if depth > MOST_CALLS:
            raise Untyped(
                "it is nested too deeply: of whole numbers and decimals, whose sums are checked one"
                " by one, write some 100 terms at most, or put brackets in the middle, as in"
                " (a + b) + (c + d)."
            )


def _parts(node: exp.Expr) -> int:
    repeated: dict[type[exp.Expr], int] = {
        exp.Nullif: 2,
        exp.Between: 4,
        exp.Case: 1 + len(node.args.get("ifs") or ()),
    }
    times = repeated.get(type(node), 1)
    subject = node.args.get("this")
    return 1 + sum(
        _parts(each) * (times if each is subject else 1) for each in node.iter_expressions()
    )


def _growth(node: exp.Expr) -> int:
    """Return how many times the texts of a row may stand in a result; what is written counts not.

    :raises Untyped: a row decides it.
    """
    if isinstance(node, exp.Column):
        return 1
    below = [_growth(each) for each in node.iter_expressions()]
    if isinstance(node, exp.ConcatWs):
        return sum(below) + below[0] * max(0, len(below) - 2)
    if isinstance(node, (exp.Concat, exp.DPipe)):
        return sum(below)
    if isinstance(node, exp.RegexpReplace):
        return max(below, default=0) * _found_replaced(node)
    return max(below, default=0) * (_replaced(node) if isinstance(node, exp.Replace) else 1)


def _found_replaced(node: exp.RegexpReplace) -> int:
    """Each group that it names is as long as what was found; the rest stands at each place."""
    new = node.args.get("replacement")
    text = new.name if isinstance(new, exp.Literal) else ""
    signs = re.findall(r"\\.|.", text, re.DOTALL)  # an escaped backslash names no group
    named = sum(1 for each in signs if re.fullmatch(r"\\[0-9]", each))
    everywhere = len(signs) - named if node.args.get("modifiers") is not None else 0
    return 1 + named + everywhere


def _replaced(node: exp.Replace) -> int:
    old, new = node.expression, node.args.get("replacement")
    if not isinstance(new, exp.Literal):
        raise Untyped(
            f"{node.sql(dialect=DIALECT)[:80]!r}: write out what takes the text's place, as in"
            " replace(name, '-', ' '); a row's own text could make it too long."
        )
    shortest = len(old.name) if isinstance(old, exp.Literal) and old.name else 1
    return max(1, -(-len(new.name) // shortest))
