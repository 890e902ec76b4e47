"""What DuckDB says of an expression that fails on a value, without the value. [pure]

Not for errors of files. Its messages go on with what was read, so only the words that stand here
are repeated: what is not known is not told.
"""

from __future__ import annotations

import re

_TYPE = r"U?INT(?:8|16|32|64|128)|DECIMAL\([0-9]+\)|FLOAT|DOUBLE|INTERVAL|DATE|TIMESTAMP"
#: How RE2 says what is wrong with a regular expression, before it repeats it.
_PATTERN = (
    "bad repetition operator",
    "bad named capture group",
    "invalid character class range",
    "invalid character class",
    "invalid escape sequence",
    "invalid named capture group",
    "invalid perl operator",
    "invalid repetition size",
    "invalid UTF-8",
    "missing )",
    "missing ]",
    "no argument for repetition operator",
    "pattern too large",
    "trailing \\",
    "unexpected )",
)
_WORDS = (
    "Argument index",
    "Cannot left-shift by negative number",
    "Cannot left-shift negative number",
    "Could not parse string",
    "Date out of range",
    "Division by zero",
    "Failed to parse format specifier",
    "Group index must be between 0 and 9",
    "Interval value",
    "Invalid UTF8 Codepoint",
    "Invalid input for hex digit",
    "Invalid type specifier",
    "Jaccard Function: An argument too short",
    "Left-shift value",
    "Malformed JSON",
    "Map keys can not be NULL",
    "Map keys must be unique",
    "Mismatch Function: Strings must be of equal length",
    "Slice step cannot be zero",
    "Substring length outside of supported range",
    "Substring offset outside of supported range",
    "Unknown TimeZone",
    "Value out of range",
    "'to_base' number must be greater than or equal to 0",
    "'to_base' radix must be between 2 and 36",
    "invalid format string",
    "lcm value is out of range",
    "list_cosine_similarity: list dimensions must be equal",
    "list_inner_product: list dimensions must be equal",
)
_OVERFLOW = re.compile(
    rf"Overflow in (?:addition|subtraction|multiplication|division|negation) of (?:{_TYPE})\b"
)


def expression_fault(line: str) -> str:
    """Return the words of an error's first line that quote nothing; empty where none are known."""
    _, _, said = line.partition(" Error: ")
    if found := _OVERFLOW.match(said):
        return found[0]
    if fault := next((words for words in _PATTERN if said.startswith(words)), ""):
        return f"a regular expression is not one: {fault}"
    return next((words for words in _WORDS if said.startswith(words)), "")
