"""A compiled expression as SQL of its source's columns, without macros of ours. [pure]

Not for training sets: those have the macros (``kinds.MACROS``). What is stored as rows arrive is
computed by this text, by the same casts, so that it is what the request would be answered with.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import sqlglot

from registry.spec.dialect import DIALECT
from registry.spec.scalar.compiling import compiled, kinds_of
from registry.spec.scalar.kinds import MACROS, Untyped, engine_type, joined_text
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Of what is declared in other types than it is computed in.
_NARROW = {"int32": "INTEGER", "float32": "FLOAT"}
_TOO_DEEP = (
    "it is nested too deeply to be written as rows arrive: some 35 operations in one another, fewer"
    " where the engine looks at one repeatedly, as for times. A sum, a product or conditions, of"
    " however many, are one such. Split the feature."
)
#: Letters that it may have.
MOST_TEXT = 200_000
#: SQL that we have written: texts and names in quotes, words, signs.
_PIECES = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\w+|\s+|.", re.DOTALL)


def plain_sql(
    sql: str, *, inputs: Mapping[str, str], declared: str, null_without_result: bool = False
) -> str:
    """Return an expression as SQL of columns named as ``inputs`` are, of the type that is declared.

    An operation without a result is an error of the engine in it, or null.

    :raises Untyped: it cannot be computed alike in both forms, or becomes too large; says what.
    """
    text = compiled(sql, inputs=inputs, declared=declared).sql
    columns = {
        f"i{place}": _cast(name, engine_type(kind), inputs[name])
        for place, (name, kind) in enumerate(zip(inputs, kinds_of(inputs), strict=False))
    }
    macros = _NULLS if null_without_result else _ERRORS
    made = _written_out(text, macros, columns)
    if (narrow := _declared(declared)) is not None:
        made = f"CAST({made} AS {narrow})"
    if not null_without_result:
        _require_parsed(made)
    return made


def _require_parsed(sql: str) -> None:
    """:raises Untyped: a view's SQL cannot have it: parsers go only so deep."""
    try:
        sqlglot.parse_one(sql, read=DIALECT)
    except RecursionError as exc:
        raise Untyped(_TOO_DEEP) from exc


def _cast(name: str, kind: str, declared: str) -> str:
    """Return a column as it is computed with; one that is of that type needs no cast."""
    column = '"' + name.replace('"', '""') + '"'
    is_wider = declared in _NARROW or parse_type(declared).kind == "decimal"
    return f"CAST({column} AS {kind})" if is_wider else column


def _declared(declared: str) -> str | None:
    return declared.upper() if parse_type(declared).kind == "decimal" else _NARROW.get(declared)


class _Macro(NamedTuple):
    """What a call is written out as: texts, and between them its arguments by their places."""

    parts: tuple[str | int, ...]
    #: Where it is one operator of its first argument and the second: that operator.
    sign: str

    def of(self, arguments: Sequence[_Text]) -> _Text:
        if self.sign:
            (left, by), (right, _) = arguments
            return _Text(joined_text(left, by, self.sign, right), self.sign)
        texts = (arguments[each].sql if isinstance(each, int) else each for each in self.parts)
        return _Text("".join(texts))


class _Text(NamedTuple):
    """SQL, and the operator that its outermost brackets hold together, if a macro wrote it."""

    sql: str
    joined_by: str = ""


def _written_out(sql: str, macros: Mapping[str, _Macro], columns: Mapping[str, str]) -> str:
    """Put in columns by their names, and in place of macros what they say; from left to right.

    No tree is made of it: a parser goes deep into each call, and a sum of many is many of them.
    :raises Untyped: it becomes too large, as where each macro repeats what the one below repeats.
    """
    # Of each call or pair of brackets around a place: its macro, and its arguments in pieces.
    around: list[tuple[_Macro | None, list[list[_Text]]]] = [(None, [[]])]
    macro: _Macro | None = None
    for piece in _PIECES.findall(sql):
        if piece == "(":
            around.append((macro, [[]]))
        elif piece == "," and around[-1][0] is not None:
            around[-1][1].append([])
        elif piece == ")":
            called, arguments = around.pop()
            given = [_one(each) for each in arguments]
            made = called.of(given) if called is not None else _Text(f"({given[0].sql})")
            if len(made.sql) > MOST_TEXT:
                raise Untyped(_TOO_DEEP)
            around[-1][1][-1].append(made)
        elif piece not in macros:
            around[-1][1][-1].append(_Text(columns.get(piece, piece)))
        macro = macros.get(piece)
    return _one(around[0][1][0]).sql


def _one(pieces: Sequence[_Text]) -> _Text:
    told = [each for each in pieces if not each.sql.isspace()]
    return told[0] if len(told) == 1 else _Text("".join(each.sql for each in pieces).strip())


def _macro(head: str, body: str) -> tuple[str, _Macro]:
    name, _, names = head.rstrip(")").partition("(")
    for error, failing in _FAILING.items():
        body = body.replace(error, failing)
    places = {name: place for place, name in enumerate(names.split(", "))}
    sign = re.fullmatch(r"a (\S+) b", body)
    pieces = _PIECES.findall(f"({body})")
    return name, _Macro(tuple(places.get(each, each) for each in pieces), sign[1] if sign else "")


#: A view's SQL may call no ``error``: these fail by a cast that nothing else comes to.
_FAILING = {
    "error('out of range')": "CAST('out of range: ' || CAST(a AS VARCHAR) AS TINYINT)",
    "error('too long')": "CAST(CAST('a text too long: ' || length(a) AS TINYINT) AS VARCHAR)",
    "error('no such time')": (
        "CAST('no such time: ' || CAST(a AS VARCHAR) AS TIMESTAMP WITH TIME ZONE)"
    ),
}
#: Macros by name: what their arguments are called, and what they say of them, in either way.
_ERRORS = dict(_macro(head, raising) for head, raising, _ in MACROS)
_NULLS = dict(_macro(head, null) for head, _, null in MACROS)
