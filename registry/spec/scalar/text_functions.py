"""The functions of texts that scalar expressions may call, in both forms. [pure]

Not for what they give in Python (``texts``), nor for others (``functions``).
"""

from __future__ import annotations

import hashlib
from functools import partial
from string import punctuation
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from registry.spec.dialect import DIALECT
from registry.spec.scalar import arithmetic, texts
from registry.spec.scalar.conversions import as_kind
from registry.spec.scalar.kinds import (
    BOOL,
    INT,
    NULL,
    TEXT,
    Scalar,
    Untyped,
    null,
    strict,
)

if TYPE_CHECKING:
    from collections.abc import Callable

#: The longest pattern of LIKE, in characters.
MOST_PATTERN = 200
#: Functions of texts that give what ``kind`` says.
OF_TEXTS: dict[type[exp.Expr], tuple[str, str, Callable[..., Any]]] = {
    exp.Lower: (TEXT, "lower({0})", texts.lower),
    exp.Upper: (TEXT, "upper({0})", texts.upper),
    exp.Length: (INT, "length({0})", len),
    exp.StartsWith: (BOOL, "starts_with({0}, {1})", str.startswith),
    exp.EndsWith: (BOOL, "ends_with({0}, {1})", str.endswith),
    exp.Contains: (BOOL, "contains({0}, {1})", str.__contains__),
    exp.MD5: (TEXT, "md5({0})", lambda text: _digest("md5", text)),
    exp.StrPosition: (INT, "strpos({0}, {1})", lambda text, part: text.find(part) + 1),
}
#: How what trims is called, and whether it does to the left and to the right.
_TRIMS = {
    "BOTH": ("trim", True, True),
    "LEADING": ("ltrim", True, False),
    "TRAILING": ("rtrim", False, True),
}


def substring(arguments: list[Scalar]) -> Scalar:
    text, *numbers = arguments
    parts = [as_kind(text, TEXT), *(_place(each) for each in numbers)]
    places = ", ".join(f"{{{place}}}" for place in range(len(parts)))
    return strict(TEXT, f"substring({places})", texts.substring, *parts)


def _place(part: Scalar) -> Scalar:
    """Return a place in a text, or a number of characters: the engine takes 32 bits."""
    return strict(INT, "assay_int32({0})", arithmetic.as_int32, as_kind(part, INT))


def left(arguments: list[Scalar]) -> Scalar:
    text, count = as_kind(arguments[0], TEXT), _place(arguments[1])
    return strict(TEXT, "left({0}, {1})", texts.left, text, count)


def right(arguments: list[Scalar]) -> Scalar:
    text, count = as_kind(arguments[0], TEXT), _place(arguments[1])
    return strict(TEXT, "right({0}, {1})", texts.right, text, count)


def replace(arguments: list[Scalar]) -> Scalar:
    parts = [as_kind(each, TEXT) for each in arguments]
    return strict(TEXT, "replace({0}, {1}, {2})", texts.replaced, *parts)


def split_part(arguments: list[Scalar]) -> Scalar:
    text, separator, number_of = arguments
    parts = (as_kind(text, TEXT), as_kind(separator, TEXT), as_kind(number_of, INT))
    return strict(TEXT, "split_part({0}, {1}, {2})", texts.split_part, *parts)


def like(text: Scalar, pattern: Scalar, *, cased: bool) -> Scalar:
    """Return whether a text is of a pattern.

    :raises Untyped: the pattern does not stand there, or is too long.
    """
    written = as_kind(pattern, TEXT).constant
    if pattern.kind == NULL:
        return null(BOOL)
    if written is None or len(written) > MOST_PATTERN:
        raise Untyped(
            f"LIKE takes a pattern that is written out, of at most {MOST_PATTERN} characters; for"
            " a text of the row there are contains, starts_with and ends_with."
        )
    subject = as_kind(text, TEXT)
    if not cased:
        subject, written = strict(TEXT, "lower({0})", texts.lower, subject), texts.lower(written)
    return strict(BOOL, _like_sql(written), texts.like(written), subject)


def _like_sql(pattern: str) -> str:
    """Return the engine's form that takes a time as long as the text: LIKE with ``_`` does not."""
    if "_" not in pattern:
        return f"({{0}} LIKE {quoted(pattern)})"
    signs = {"%": ".*", "_": "."} | {sign: f"\\{sign}" for sign in punctuation if sign not in "%_"}
    expression = "(?s)" + "".join(signs.get(each, each) for each in pattern)
    return f"regexp_full_match({{0}}, {quoted(expression)})"


def quoted(text: str) -> str:
    """Return a text as SQL in a form whose braces are places."""
    sql = exp.Literal.string(text).sql(dialect=DIALECT)
    return sql.replace("{", "{{").replace("}", "}}")


def sha2(arguments: list[Scalar]) -> Scalar:
    """:raises Untyped: it is not the one of 256 bits."""
    text, *bits = arguments
    if bits and bits[0].constant != 256:
        raise Untyped("of its kind there is sha256 alone.")
    return strict(TEXT, "sha256({0})", lambda a: _digest("sha256", a), as_kind(text, TEXT))


def _digest(name: str, text: str) -> str:
    return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()


def trimmed(parts: list[Scalar], position: str) -> Scalar:
    """Return a text without blanks, or characters that are named, at its ends.

    :raises Untyped: they are no texts.
    """
    name, left_too, right_too = _TRIMS[position]
    given = [as_kind(each, TEXT) for each in parts]
    strip = partial(texts.trimmed, left=left_too, right=right_too)
    if len(given) == 1:
        return strict(TEXT, f"{name}({{0}})", lambda text: strip(text, texts.BLANKS), *given)
    return strict(TEXT, f"{name}({{0}}, {{1}})", strip, *given)
