"""Texts, bytes and JSON out of every type: as it is written, or refused. [pure]

Not for reading JSON into other types: ``casts`` takes its scalars as texts.
"""

from __future__ import annotations

from materialization.transforms.pairs.families import as_written, family, has_text
from materialization.transforms.pairs.numbers import inexact

TEXT_WANTED = ("string", "json", "bytes")
#: DuckDB's own check lets pass what its reader is lenient about and RFC 8259 does not know.
_STRING = r'"(?:[^"\\]|\\.)*"'
_LENIENT = r"(?i)nan|inf|,\s*[\]}]"


def text_pair(source: str, have: str, want: str) -> tuple[str, str | None] | None:
    kind = family(have)
    if kind == "other":
        return None
    if want == "bytes":
        return {"bytes": (source, None), "text": (f"encode({source})", None)}.get(kind)
    if kind == "bytes":
        value = f"TRY(decode({source}))"
        unlike = f" OR NOT {is_json(value)}" if want == "json" else ""
        return value, f"({source} IS NOT NULL AND ({value} IS NULL{unlike}))"
    if want == "json" and kind in ("text", "json"):
        value = source if kind == "text" else f"CAST({source} AS VARCHAR)"
        return value, f"({source} IS NOT NULL AND NOT {is_json(value)})"
    if want == "json" or kind in ("list", "nested"):
        return _as_json(source, have)
    if kind == "float":
        return f"CAST({source} AS VARCHAR)", inexact(source, have)
    return (source if kind == "text" else f"CAST({source} AS VARCHAR)"), None


def is_json(text: str) -> str:
    """Return SQL that is true of JSON as RFC 8259 has it: no NaN, no comma before a bracket."""
    bare = f"regexp_replace({text}, '{_STRING}', '0', 'g')"
    return f"(json_valid({text}) AND NOT regexp_matches({bare}, '{_LENIENT}'))"


def _as_json(source: str, have: str) -> tuple[str, str | None] | None:
    """Return a value's JSON; bytes have none, nor do NaN and the infinities."""
    if not has_text(have):
        return None
    value = f"CAST(to_json({as_written(source, have)}) AS VARCHAR)"
    return value, f"({source} IS NOT NULL AND NOT {is_json(value)})"
