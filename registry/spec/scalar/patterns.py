"""Regular expressions of scalar expressions, in both forms: RE2 in each. [pure]

Not for ``LIKE`` (``text_functions``). RE2 takes a time as long as the text, whatever the pattern;
what would not be linear, or not the same in two versions of it, is refused here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import re2

from registry.spec.scalar.conversions import as_kind
from registry.spec.scalar.folding import torn
from registry.spec.scalar.kinds import (
    BOOL,
    INT,
    MOST_REPLACED,
    NULL,
    TEXT,
    NoResult,
    Scalar,
    Untyped,
    null,
    strict,
)
from registry.spec.scalar.text_functions import MOST_PATTERN, quoted

if TYPE_CHECKING:
    from collections.abc import Callable

#: How many instructions a pattern may become: ``a{1000}`` is a thousand.
MOST_INSTRUCTIONS = 1_000
#: What each letter of the last argument sets. Others of the engine are written in the pattern.
_OPTIONS = {"c": ("case_sensitive", True), "i": ("case_sensitive", False), "s": ("dot_nl", True)}
#: What is not the same in each version of Unicode's tables, or looks inside a character.
_REFUSED = {
    "p": "classes of Unicode change with its versions; list the letters, as in [a-zà-ÿ]",
    "P": "classes of Unicode change with its versions; list the letters, as in [^a-zà-ÿ]",
    "B": "it stands inside of characters, too",
    "C": "it is a part of a character; write (?s:.)",
    "Q": "write a backslash before each sign that is meant as such",
}
#: The parts of a pattern that repeat, or may be repeated: an escape, a class, a sign.
_PART = re.compile(
    r"\\x\{[^}]*\}|\\.|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]|\{\d+,\}|.", re.DOTALL
)
_ENDLESS = re.compile(r"[*+]|\{\d+,\}")


class _Pattern(NamedTuple):
    compiled: re2._Regexp
    text: str
    options: str
    is_global: bool

    @property
    def arguments(self) -> str:
        """What stands behind the pattern and what goes with it, in SQL."""
        letters = self.options + "g" * self.is_global
        return f", {quoted(letters)}" if letters else ""


def matches(arguments: list[Scalar], *, whole: bool) -> Scalar:
    """Return whether a pattern is found in a text, or with ``whole`` is all of it.

    :raises Untyped: the pattern does not stand there, or is refused.
    """
    text, pattern, *options = arguments
    if pattern.kind == NULL:
        return null(BOOL)
    made = _pattern(pattern, options)
    find = made.compiled.fullmatch if whole else made.compiled.search
    name = "regexp_full_match" if whole else "regexp_matches"
    sql = f"{name}({{0}}, {quoted(made.text)}{made.arguments})"
    return strict(BOOL, sql, lambda a: find(a.encode()) is not None, as_kind(text, TEXT))


def extract(arguments: list[Scalar]) -> Scalar:
    """Return what a pattern, or a group of it, finds first in a text; empty where it does not.

    :raises Untyped: the pattern or the group's number does not stand there, or is refused.
    """
    text, pattern, *options, number = arguments  # as the parser has them, 0 where none is written
    if pattern.kind == NULL:
        return null(TEXT)
    made = _pattern(pattern, options)
    group, groups = number.constant, made.compiled.groups
    if number.kind != INT or group not in range(min(groups, 9) + 1):
        raise Untyped(
            f"regexp_extract takes a group's number, written out; {made.text!r} has {groups}, and"
            " 0 is all that it finds."
        )

    def run(a: str) -> str:
        found = made.compiled.search(a.encode())
        return (found[group] or b"").decode() if found else ""

    sql = f"regexp_extract({{0}}, {quoted(made.text)}, {group}{made.arguments})"
    return strict(TEXT, sql, run, as_kind(text, TEXT))


def replace(arguments: list[Scalar]) -> Scalar:
    """Return a text with the first that a pattern finds replaced, or with option ``g`` all.

    :raises Untyped: the pattern or the replacement does not stand there, or is refused.
    """
    text, pattern, new, *options = arguments
    if NULL in (pattern.kind, new.kind):
        return null(TEXT)
    made = _pattern(pattern, options, may_be_global=True)
    written = as_kind(new, TEXT).constant
    if written is None:
        raise Untyped("regexp_replace takes what it puts in written out.")
    pieces = _pieces(written, made.compiled.groups)
    given = "assay_replaced({0})" if made.is_global else "{0}"
    sql = f"regexp_replace({given}, {quoted(made.text)}, {quoted(written)}{made.arguments})"
    run = _replacing(made.compiled, pieces, is_global=made.is_global)
    return strict(TEXT, sql, run, as_kind(text, TEXT))


def _pattern(part: Scalar, options: list[Scalar], *, may_be_global: bool = False) -> _Pattern:
    text = as_kind(part, TEXT).constant
    if text is None or len(text) > MOST_PATTERN:
        raise Untyped(
            "regular expressions take a pattern that is written out, of at most"
            f" {MOST_PATTERN} characters."
        )
    for sign in re.findall(r"\\(.)", text, re.DOTALL):
        if sign in _REFUSED:
            raise Untyped(f"\\{sign} in the pattern {text!r} is not computed: {_REFUSED[sign]}.")
    letters = as_kind(options[0], TEXT).constant if options else ""
    known = {*_OPTIONS, *("g" * may_be_global)}
    if letters is None or set(letters) - known:
        raise Untyped(
            f"options of a regular expression are {', '.join(sorted(known))}, written out; write"
            " others into the pattern, as in (?m)^a."
        )
    if (letter := torn(text, letters)) is not None:
        raise Untyped(
            f"{letter} in the pattern {text!r}, which ignores case, is one letter with another in"
            " some versions of Unicode; leave it out, or list both cases and do not ignore them."
        )
    compiled = _compiled(text, letters)
    is_global = "g" in letters
    if is_global and not _is_linear(text):
        raise Untyped(
            f"all that {text!r} finds may take a time that grows by the square of a text; write"
            " what has an end (a{1,9}), or one sign or class with + alone ([^0-9]+)."
        )
    return _Pattern(compiled, text, letters.replace("g", ""), is_global)


def _compiled(text: str, letters: str) -> re2._Regexp:
    options = re2.Options()
    options.log_errors = False
    for letter in letters.replace("g", ""):
        setattr(options, *_OPTIONS[letter])
    try:
        made = re2.compile(text.encode(), options)
    except (re2.error, UnicodeEncodeError) as exc:
        why = exc.args[0].decode() if isinstance(exc.args[0], bytes) else exc
        raise Untyped(f"{text!r} is no regular expression of RE2: {why}.") from exc
    if max(made.programsize, made.reverseprogramsize) > MOST_INSTRUCTIONS:
        raise Untyped(
            f"{text!r} becomes {made.programsize:,} instructions; at most {MOST_INSTRUCTIONS:,}."
            " Repeat less."
        )
    return made


def _is_linear(text: str) -> bool:
    """Tell whether finding all takes no longer than the text is: none looks far behind its end."""
    parts = _PART.findall(text)
    endless = [place for place, each in enumerate(parts) if _ENDLESS.fullmatch(each)]
    return not endless or (endless == [1] and len(parts) == 2 and parts[0] not in "()|^$")


def _pieces(written: str, groups: int) -> list[bytes | int]:
    """Return a replacement as texts, and the groups that it names by a backslash and number."""
    pieces: list[bytes | int] = []
    for plain, sign, after in re.findall(r"([^\\]+)|(\\)(.?)", written, re.DOTALL):
        if sign and after.isdecimal() and after.isascii() and int(after) <= groups:
            pieces.append(int(after))
        elif not sign or after == "\\":
            pieces.append((plain or after).encode())
        else:
            raise Untyped(
                f"what is put in, {written!r}, has {sign + after!r}: there are \\\\ for a backslash"
                f" and \\0 to \\{min(groups, 9)} for what was found."
            )
    return pieces


def _replacing(
    pattern: re2._Regexp, pieces: list[bytes | int], *, is_global: bool
) -> Callable[[str], str]:
    def put_in(found: re2._Match) -> bytes:
        return b"".join([(found[p] or b"") if isinstance(p, int) else p for p in pieces])

    def first(text: str) -> str:
        data = text.encode()
        if (found := pattern.search(data)) is None:
            return text
        start, end = found.span()
        return (data[:start] + put_in(found) + data[end:]).decode()

    def everywhere(text: str) -> str:
        """As RE2 does: nothing empty is found where the one before ended.

        :raises NoResult: the text is too long for a call of each find.
        """
        if len(text) > MOST_REPLACED:
            raise NoResult("a text too long to replace all in it")
        data, made, place, last = text.encode(), [], 0, -1
        while place <= len(data) and (found := pattern.search(data, place)) is not None:
            start, end = found.span()
            if start == end == last:
                after = place + 1
                while after < len(data) and data[after] & 0xC0 == 0x80:
                    after += 1
                made.append(data[place:after])
                place = after
                continue
            made += [data[place:start], put_in(found)]
            place = last = end
        return (b"".join(made) + data[place:]).decode()

    return everywhere if is_global else first
