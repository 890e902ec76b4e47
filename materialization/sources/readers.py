"""DuckDB's readers of files, with every option said that would else be guessed. [pure]

Not for choosing files (``files``) or for what the rows become (``transforms``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.sql_text import text, text_list, text_struct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registry.spec.sources import FormatName

#: What a CSV file is. All of it is said, because what is not is guessed from the first rows, and
#: differently once they change: quotes would stay in the text, rows behind a # would be no rows.
_CSV = (
    "header = true",
    "skip = 0",
    "delim = ','",
    "quote = '\"'",
    "escape = '\"'",
    "comment = ''",
    "decimal_separator = '.'",
    # Nothing at all is NULL, "" is the empty text.
    "nullstr = ''",
    "allow_quoted_nulls = false",
    # A line that is longer or shorter than the header is an error, never a shifted or dropped row.
    "strict_mode = true",
    "null_padding = false",
    "ignore_errors = false",
)


def reader_sql(
    paths: Sequence[str],
    format: FormatName,  # noqa: A002 - the word the definitions use
    *,
    all_text: bool = False,
    types: Mapping[str, str] | None = None,
) -> str:
    """Return the table function that reads the files, columns matched by name.

    CSV is read as text when ``all_text`` (leading zeros stay, casts are ours); ``types`` overrides
    what the reader guesses: single columns for CSV, all of them for JSON.
    """
    options = ["union_by_name = true"]
    if format == "csv":
        options += _CSV
        options.append("all_varchar = true" if all_text else "sample_size = -1")
        if types and not all_text:
            options.append(f"types = {text_struct(types)}")
    elif format in ("json", "jsonl"):
        options.append("format = 'newline_delimited'" if format == "jsonl" else "format = 'auto'")
        options.append(f"columns = {text_struct(types)}" if types else "sample_size = -1")
    name = {"jsonl": "read_json"}.get(format, f"read_{format}")
    return f"{name}({text_list(paths)}, {', '.join(options)})"


def csv_lines_sql(path: str) -> str:
    """Return the table function that reads a text's lines as they are, the first one too."""
    options = "auto_detect = false, header = false, delim = '\\x01', quote = '', escape = ''"
    return f"read_csv({text(path)}, {options}, columns = {text_struct({'line': 'VARCHAR'})})"


def csv_columns_sql(path: str, count: int) -> str:
    """Return the table function that reads a CSV of ``count`` columns as text, guessing nothing."""
    columns = text_struct({f"c{number}": "VARCHAR" for number in range(count)})
    options = ", ".join(("auto_detect = false", *_CSV, f"columns = {columns}"))
    return f"read_csv({text(path)}, {options})"
