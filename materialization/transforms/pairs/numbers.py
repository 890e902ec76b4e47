"""Numbers and booleans out of numbers, booleans and texts: exactly, or not at all. [pure]

Not for what is done with them. A float is the number its shortest writing says, a text the number
it says; a float that is declared takes the nearest to a fraction written in tens, no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.transforms.pairs.families import EXACT_BELOW, family

if TYPE_CHECKING:
    from registry.spec.value_types import ValueType

NUMERIC_WANTED = ("int32", "int64", "float32", "float64", "decimal")
_FLOATS = ("float32", "float64")
_WIDE = ("HUGEINT", "UHUGEINT")
#: DuckDB would also read 1_000 and 0x10, of which nobody can say that a number was meant.
_NUMERAL = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,4})?"
_INFINITE = r"[+-]?inf(inity)?"
_NO_NUMBER = rf"{_INFINITE}|[+-]?nan"


#: As Arrow reads them in frames; the engine would take t, yes and n as well.
_BOOL_TEXT = "(?i:true|false|1|0)"


def number_pair(source: str, have: str, want: ValueType) -> tuple[str, str | None] | None:
    if have == want.duckdb:
        return source, None
    kind = family(have)
    if kind not in ("integer", "float", "decimal", "bool", "text"):
        return None
    value = _value(source, have, want)
    unlike = {"text": _unlike_text, "bool": _nothing}.get(kind, _unlike_number)(source, have, want)
    return value, f"({source} IS NOT NULL AND ({value} IS NULL OR {unlike}))"


def inexact(source: str, have: str) -> str:
    """Return SQL that is true of a float that stands for several whole numbers."""
    return f"(isfinite({source}) AND abs({source}) >= {EXACT_BELOW[have]})"


def nearest_double_sql(exact: str, have: str = "HUGEINT") -> str:
    """Return the double nearest to an integer or decimal of type ``have``.

    DuckDB's own cast of what is beyond 2^53 rounds twice; by way of its text it is rounded once.
    """
    scale = have.rstrip(")").partition(",")[2]
    small = 2**53 // 10 ** int(scale or 0)
    plain, by_text = f"CAST({exact} AS DOUBLE)", f"CAST(CAST({exact} AS VARCHAR) AS DOUBLE)"
    return f"CASE WHEN {exact} BETWEEN -{small} AND {small} THEN {plain} ELSE {by_text} END"


def _value(source: str, have: str, want: ValueType) -> str:
    kind = family(have)
    by_text = (kind == "float" and want.kind == "decimal") or (
        want.kind in _FLOATS and (kind == "decimal" or have in _WIDE)
    )
    # DuckDB multiplies or divides by a power of ten as a double, and so adds digits of its own; of
    # wide integers it takes some neighbour of -2^53 - 2, which is a double, for that.
    source = f"CAST({source} AS VARCHAR)" if by_text else source
    return f"TRY_CAST({source} AS {want.duckdb})"


def _nothing(source: str, have: str, want: ValueType) -> str:
    return "FALSE"


def _unlike_number(source: str, have: str, want: ValueType) -> str:
    """Return SQL that is true where DuckDB's cast would give another number and say nothing."""
    kind, value = family(have), _value(source, have, want)
    if want.kind == "bool":  # every number but 0 would be true
        return f"{source} NOT IN (0, 1)"
    if kind == "float":
        if want.kind in ("int32", "int64"):  # 1.5 would be 2
            return f"{source} <> trunc({source}) OR {inexact(source, have)}"
        if want.kind == "decimal":
            return (
                f"{inexact(source, have)} OR {_behind(f'CAST({source} AS VARCHAR)')} > {want.scale}"
            )
        widened = have == "FLOAT" and want.kind == "float64"
        return "FALSE" if widened else f"CAST({value} AS {have}) IS DISTINCT FROM {source}"
    if kind == "decimal" and want.kind in _FLOATS:  # the float has to be written the same way
        back = f"TRY_CAST(CAST({value} AS VARCHAR) AS {have})"
        return f"{back} IS DISTINCT FROM {source}"
    if kind == "integer" and want.kind not in _FLOATS:
        return "FALSE"
    return f"TRY_CAST({value} AS {have}) IS DISTINCT FROM {source}"


def _unlike_text(source: str, have: str, want: ValueType) -> str:
    if want.kind == "bool":
        return f"NOT regexp_full_match({source}, '{_BOOL_TEXT}')"
    numeral = f"regexp_full_match({source}, '{_NUMERAL}')"
    if want.kind in _FLOATS:
        return f"CASE WHEN {numeral} THEN {_unlike_float(source, want)} ELSE {_no_word(source)} END"
    scale = want.scale if want.kind == "decimal" else 0
    return f"CASE WHEN {numeral} THEN {_behind(source)} > {scale} ELSE TRUE END"


def _unlike_float(source: str, want: ValueType) -> str:
    """Too great or too small for any, or a whole number in full that is not the nearest float."""
    value = f"TRY_CAST({source} AS {want.duckdb})"
    vanished = f"({value} = 0 AND regexp_matches({source}, '^[^eE]*[1-9]'))"
    whole = f"TRY_CAST(regexp_extract({source}, '^[+-]?[0-9]+') AS HUGEINT)"
    in_full = f"regexp_full_match({source}, '[+-]?[0-9]+([.]0*)?')"
    return (
        f"isinf({value}) OR {vanished} OR "
        f"({in_full} AND TRY_CAST({value} AS HUGEINT) IS DISTINCT FROM {whole})"
    )


def _no_word(source: str) -> str:
    return f"NOT regexp_full_match({source}, '{_NO_NUMBER}', 'i')"


def _behind(numeral: str) -> str:
    """Return SQL for how many digits a numeral has behind the point, its zeros at the end aside."""
    digits = f"regexp_replace(regexp_extract({numeral}, '^[^eE]*'), '[^0-9]', '', 'g')"
    zeros = f"len({digits}) - len(rtrim({digits}, '0'))"
    written = f"len(regexp_extract({numeral}, '[.]([0-9]*)', 1))"
    exponent = f"TRY_CAST(regexp_extract({numeral}, '[eE](.*)$', 1) AS INTEGER)"
    places = f"{written} - ({zeros}) - coalesce({exponent}, 0)"
    is_more = f"regexp_matches({numeral}, '[.eE]') AND {zeros} < len({digits})"  # 0e-5 is 0
    return f"CASE WHEN {is_more} THEN {places} ELSE 0 END"
