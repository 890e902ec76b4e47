"""Random scalar expressions of every operator and function, and rows of nulls and edge values.

Not for comparing forms: ``contracts.test_engine_expressions`` does.
"""

from __future__ import annotations

import contextlib
import math
import re
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlglot import exp

from registry.spec.row_sql import BadSql, check_expression
from registry.spec.scalar.compiling import compiled
from registry.spec.scalar.functions import NAMES
from registry.spec.scalar.kinds import Untyped
from registry.spec.sql_functions import FUNCTIONS, NAMED_FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

#: Two inputs of each kind: name → type.
INPUTS = {
    "i": "int64", "j": "int64", "f": "float64", "g": "float64", "s": "string", "u": "string",
    "p": "decimal(38,2)", "q": "decimal(38,2)", "x": "decimal(38,5)", "y": "decimal(38,0)",
    "b": "bool", "c": "bool", "t": "timestamp", "w": "timestamp", "d": "date", "e": "date",
}  # fmt: skip
#: The kind of most decimals here; those with more or fewer digits after the point come of it.
DECIMAL, LONG, WHOLES = "decimal(38,2)", "decimal(38,5)", "decimal(38,0)"
NOW = 1_767_225_600_000_000
VALUES: dict[str, list[Any]] = {
    "int64": [0, 1, -1, 2, 3, -7, 10, 100, 2**31 - 1, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63)],
    "float64": [
        0.0, -0.0, 1.0, -1.5, 2.5, 0.1, 1e308, -1e308, 5e-324, math.inf, -math.inf, math.nan, 0.5,
        -2.5, 2.0**53 + 2, 9.3e18, 1e15, 0.49999999999999994, 2.345, 1e-7, 123456.789,
    ],
    DECIMAL: [
        0, 1, -1, 5, -5, 49, 50, 51, 149, -150, 250, 123_456, 10**18, -(10**18), 10**36, 10**37,
        10**38 - 1, -(10**38) + 1, 5 * 10**37, 2**53 + 1, -(2**63) * 100 - 50, 2**63 * 100 - 51,
    ],
    "string": [
        "", "a", "A", "abc", "é", "ß", "🤦🏼‍♂️", "z", " x ", "\u3000\t x\u00a0\n \u2009", "ab\x00c",
        "true", "日本語", "İß", "ΑΣ", "ǆŉ", "a,b,,c", ".*[a]\\", "aaab\nc", "{0}",
    ],
    "bool": [True, False],
    "timestamp": [
        0, 1, -1, NOW, 951_782_400_000_000, -62_135_596_800_000_000, 253_402_300_799_999_999,
        1_709_164_800_000_001, 1_706_659_200_000_001, 1_711_843_199_999_999, 1_709_164_800_000_000,
        1_677_542_400_000_000, -86_400_000_000, 1_735_603_199_999_999,
    ],
    "date": [0, -1, 20_000, 11_016, -719_162, 2_932_896, 20_454, 365, 59, -141_427],
}  # fmt: skip
VALUES |= {LONG: VALUES[DECIMAL], WHOLES: VALUES[DECIMAL]}
ARROW = {
    "int64": pa.int64(), "float64": pa.float64(), "string": pa.string(), "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", "UTC"), "date": pa.date32(),
    DECIMAL: pa.decimal128(38, 2), LONG: pa.decimal128(38, 5), WHOLES: pa.decimal128(38, 0),
}  # fmt: skip
#: Dates and times as the whole numbers that the other form has for them.
WHOLE = {"timestamp": pa.int64(), "date": pa.int32()}
KINDS = tuple(VALUES)
_EXACT = Context(prec=80)
_TIMES = ("timestamp", "date")
_NUMBERS = ("int64", "float64", DECIMAL)
_DECIMALS = (DECIMAL, LONG, WHOLES)
_LITERALS = {
    "int64": ["0", "1", "2", "3", "7", "2147483648", "9223372036854775807"],
    "float64": ["0.0", "1.5", "0.1", "1e300", "2.0"],
    "string": ["''", "'a'", "'é'", "'abc'", "'it''s'"],
    DECIMAL: ["CAST(0.05 AS DECIMAL(3,2))", "CAST('-12.5' AS DECIMAL(38,2))"],
    LONG: ["CAST(1 AS DECIMAL(9,5))"],
    WHOLES: ["CAST(7 AS DECIMAL(38,0))"],
    "bool": ["TRUE", "FALSE"],
    "timestamp": ["TIMESTAMPTZ '2026-01-31T12:00:00Z'"],
    "date": ["DATE '2024-02-29'"],
}
_UNITS = ["year", "quarter", "month", "day", "hour", "minute"]
_UNITS += ["second", "millisecond", "microsecond"]
_TRUNCATED = ["year", "quarter", "month", "week", "day", "hour", "minute", "second"]
_DAY_PARTS = ["year", "quarter", "month", "week", "day", "dow", "isodow", "doy"]
_CALLED_PARTS = ["year", "quarter", "month", "week", "day", "dayofweek", "isodow", "dayofyear"]
_CALLED_PARTS += ["dayofmonth", "weekofyear"]
#: Of LIKE: all that is a sign of it or of regular expressions, and what has a case.
PATTERNS = (
    "", "%", "_", "%%", "a%", "%a", "%b%", "_b_", "%_", "a_%c", "_%_", "%a%a%", "A%", "%ß", "%ẞ%",
    "%é%_", ".*", "%.%", "a|b", "[a]_", "\\%", "{0}%", "%İ_", "ας", "%日__%", "____%",
)  # fmt: skip
#: Of RE2: what is found once, and what may be found everywhere; and what is put in its place.
EXPRESSIONS = (
    "", "a", "(a)(b)?", "^.", ".$", "(?i)ß|é|k", "[^a-z]", "\\w+", "\\b", "(?m:^)", "a*?b", "x|",
    "(?s:.)", "[[:alpha:]]+|,", "(\\s)(.)?", "日|\\x{1F926}", "\\.|\\*|[{}]", "(?P<n>.)(?U)a*",
)  # fmt: skip
EVERYWHERE = (
    "",
    "a",
    "(.)(b)?",
    "[^a-z]+",
    "\\s{1,3}",
    "x?",
    "(?i)[ß-ÿ]",
    "\\b",
    "$",
    "é|🤦",
    "a{2,}",
)
REPLACEMENTS = ("", "-", "<\\0>", "{0}", "é\\\\")
ANY = (
    "coalesce({k}, {k})", "nullif({k}, {k})", "greatest({k}, {k}, {k})", "least({k}, {k})",
    "CASE WHEN {bool} THEN {k} WHEN {bool} THEN {k} ELSE {k} END",
    "CASE {x} WHEN {x} THEN {k} WHEN {x} THEN {k} END", "if({bool}, {k}, {k})",
)  # fmt: skip
#: Templates by the kind that they give; ``{n}`` is a number, ``{x}`` some kind, one a template.
TEMPLATES: dict[str, tuple[str, ...]] = {
    "int64": (
        *(f"({{int64}} {sign} {{int64}})" for sign in ("+", "-", "*", "//", "%")),
        "(-{int64})", "abs({int64})", "sign({n})", "length({string})", "round({int64})",
        "strpos({string}, {string})", "CAST({float64} AS BIGINT)", "CAST({bool} AS BIGINT)",
        "CAST({int64} AS INT)",
        *(f"date_diff('{unit}', {{time}}, {{time}})" for unit in _UNITS),
        *(f"date_sub('{unit}', {{time}}, {{time}})" for unit in (*_UNITS, "week")),
        *["date_sub('month', {timestamp}, {timestamp})"] * 3,
        *(f"extract({part} FROM {{time}})" for part in _DAY_PARTS),
        *(f"date_part('{part}', {{timestamp}})" for part in ("hour", "minute", "second")),
        *(f"{part}({{timestamp}})" for part in ("hour", "minute", "second")),
        *(f"{part}({{time}})" for part in _CALLED_PARTS), "CAST({m} AS BIGINT)",
    ),
    DECIMAL: (
        *(f"({{decimal}} {sign} {{decimal}})" for sign in ("+", "-", "%")), "({whole} * {decimal})",
        "({decimal} - {int64})", "({decimal} * 2)", "(p + 0.25)", "(1.5 - y - 0.25)",
        "(y * -0.01)", "(-{decimal})", "abs({decimal})", "round(coalesce({long}, x), 2)",
        "round(coalesce({decimal}, q), 4)", "CAST({m} AS DECIMAL(12,2))",
        "CAST({int64} AS DECIMAL(20,2))", "CAST({float64} AS DECIMAL(9,2))",
        "greatest(p, {whole}, 0.5)", "coalesce({whole}, {decimal})",
    ),
    LONG: (
        "({long} + {decimal})", "({decimal} % {long})",
        "({decimal} * CAST({int64} AS DECIMAL(38,3)))",
        "CASE WHEN {bool} THEN {m} ELSE {long} END", "CAST({decimal} AS DECIMAL(38,5))",
        "CAST({float64} AS DECIMAL(38,5))",
    ),
    WHOLES: (
        *(f"{name}(coalesce({{m}}, x))" for name in ("floor", "ceil", "round", "trunc")),
        "round(coalesce({decimal}, q), 0)",
        "({whole} * {whole})", "CAST({m} AS DECIMAL(38,0))", "CAST({m} AS DECIMAL(3,0))",
    ),
    "float64": (
        *(f"({{n}} {sign} {{float64}})" for sign in ("+", "-", "*", "%")), "({n} / {n})",
        "(-{float64})", "abs({float64})", "round({float64})", "round({n}, 2)", "round({n}, 15)",
        *(f"{name}({{n}})" for name in ("floor", "ceil", "sqrt", "exp", "ln", "log10", "log")),
        *(f"{name}({{n}})" for name in ("log2", "cbrt", "sin", "cos", "tan", "asin", "acos")),
        *(f"{name}({{n}})" for name in ("atan", "radians", "degrees")), "trunc({float64})",
        "pow({n}, {n})", "atan2({n}, {n})", "({float64} * pi())",
        "CAST({m} AS DOUBLE)", "({m} / {m})", "({m} + {float64})",
        "CAST({int64} AS DOUBLE)", "CAST({bool} AS DOUBLE)", "epoch({time})",
    ),
    "string": (
        "({string} || {string})", "concat({string}, {string}, {string})",
        "substring({string}, {int64}, {int64})", "substring({string}, {int64})",
        "substring({string}, -2, 2)", "substring({string}, 2, -1)", "substring({string}, 0, 2)",
        "left({string}, {int64})", "right({string}, {int64})", "left({string}, -1)",
        "right({string}, -1)", "replace({string}, {string}, 'é')", "replace({string}, 'a', '')",
        "replace({string}, 'ab', 'xyz')", "lower({string})", "upper({string})",
        "concat_ws({string}, {string}, {string})", "split_part({string}, {string}, {int64})",
        *(f"split_part({{string}}, '{sign}', {n})" for sign in ("", "a", "b,") for n in (1, 2, -1)),
        "CAST({int64} AS VARCHAR)", "CAST({m} AS VARCHAR)", "CAST({bool} AS VARCHAR)",
        *["regexp_extract({string}, {regexp})", "regexp_extract({string}, {regexp}, 0, 'i')"] * 4,
        *["regexp_replace({string}, {regexp}, {new})"] * 4,
        "regexp_extract({string}, '(.)(b)?(.)', 2, 's')",
        *["regexp_replace({string}, {everywhere}, {new}, 'g')"] * 9,
        "regexp_replace({string}, '([ab])(.)', '\\2\\1', 'gis')",
        "md5({string})", "sha256({string})",
        *(f"{name}({{string}})" for name in ("trim", "ltrim", "rtrim")),
        *(f"{name}({{string}}, {{string}})" for name in ("trim", "ltrim", "rtrim")),
    ),
    "bool": (
        *(f"({{x}} {sign} {{x}})" for sign in ("=", "<>", "<", "<=", ">", ">=")),
        *(f"({{n}} {sign} {{n}})" for sign in ("=", "<", ">=")), "({m} < {m})", "({m} = {int64})",
        "({m} BETWEEN -0.5 AND {m})", "({m} IN (0.05, {decimal}))",
        "({bool} AND {bool})", "({bool} OR {bool})", "(NOT {bool})", "({x} IS NULL)",
        "({x} IS NOT NULL)", "({bool} IS TRUE)", "({bool} IS NOT FALSE)",
        "({x} IS DISTINCT FROM {x})", "({x} IS NOT DISTINCT FROM {x})", "({x} IN ({x}, {x}))",
        "({x} NOT IN ({x}, {x}))", "({x} BETWEEN {x} AND {x})",
        *(f"{name}({{string}}, {{string}})" for name in ("starts_with", "ends_with", "contains")),
        *(f"{name}({{n}})" for name in ("isnan", "isinf", "isfinite")), "CAST({int64} AS BOOLEAN)",
        *["regexp_matches({string}, {regexp})", "regexp_full_match({string}, {regexp}, 'is')"] * 4,
        *["({string} LIKE {pattern})", "({string} NOT ILIKE {pattern})"] * 9,
    ),
    "timestamp": (
        "CAST({date} AS TIMESTAMP WITH TIME ZONE)", "now",
        *(f"date_trunc('{unit}', {{timestamp}})" for unit in _TRUNCATED),
        "({time} + INTERVAL '3 days')", "({timestamp} - INTERVAL 90 MINUTE)",
        "(INTERVAL 1 WEEK + {time})", "({time} - INTERVAL '1' microsecond)",
        "({time} + INTERVAL 1 MONTH)", "({time} - INTERVAL '13 months')",
        "({time} - INTERVAL 4 YEAR)", "({time} + INTERVAL 3 QUARTER)",
        "({time} - INTERVAL 9999 YEAR)",
        "({time} + INTERVAL 4000000 DAY)", "({time} - INTERVAL '12 hours')",
    ),
    "date": ("CAST({timestamp} AS DATE)",),
}  # fmt: skip


_SIGNS = (
    "a", "b", "é", "ß", "日", ".", "\\d", "\\w", "\\S", "\\b", "^", "$", "[ab]", "[^a]", "[a-zß]",
    "K", "ſ", "[[:alpha:]]", "\\x61", "\\n", "\\A", "\\z", "(?i:a)", "(?s:.)", "(?m:^)", "(?m:$)",
    "[\\d\\-x]",
)  # fmt: skip
_JOINED = (
    "{0}{1}", "{0}{1}", "{0}|{1}", "({0})", "(?P<n{2}>{0})", "(?:{0})*", "(?:{0})+?", "(?:{0})?",
    "(?:{0}){{2}}", "(?:{0}){{0,2}}?", "(?:{0}){{2,}}", "(?i){0}", "(?U){0}", "(?m){0}",
)  # fmt: skip
#: Texts with signs that the case of another is, and such as a pattern may stop at.
SIGNS = "aAbBß ẞéÉ日本İiı\n\t 01-_.kKſsSΣσς🤦\x00\r"


def regexp(rng: Random, depth: int) -> str:
    """Return a random regular expression, nested ``depth`` deep at most."""
    if depth == 0 or rng.random() < 0.25:
        return rng.choice(_SIGNS)
    parts = regexp(rng, depth - 1), regexp(rng, depth - 1), rng.randrange(10**9)
    return rng.choice(_JOINED).format(*parts)


_WRITTEN = {
    "pattern": PATTERNS, "regexp": EXPRESSIONS, "everywhere": EVERYWHERE, "new": REPLACEMENTS,
}  # fmt: skip


def expression(rng: Random, kind: str, depth: int) -> str:
    """Return a random expression of ``kind``, nested ``depth`` deep at most."""
    if depth == 0 or rng.random() < 0.15:
        if rng.random() < 0.7:
            return rng.choice([name for name, each in INPUTS.items() if each == kind])
        return rng.choice([*_LITERALS[kind], "NULL"])
    return filled(rng, rng.choice((*TEMPLATES[kind] * 2, *ANY)), kind, depth)


def nested(rng: Random, kind: str) -> str:
    """Return one nested three deep, whose texts do not outgrow their row."""
    while True:
        text = expression(rng, kind, 3)
        try:
            compiled(check_expression(text), inputs=INPUTS, declared=kind)
        except Untyped as exc:
            if "times as long" in exc.message:
                continue
            raise
        return text


def chain(rng: Random, kind: str, terms: int) -> str:
    """Return so many terms with operators between them, and no brackets."""
    signs = {"int64": "+-*", "float64": "+-*/", "string": ["||"], "bool": ["AND", "OR"]}[kind]
    text = expression(rng, kind, 0)
    for _ in range(terms - 1):
        text += f" {rng.choice(signs)} {expression(rng, kind, 1 if rng.random() < 0.1 else 0)}"
    return text


def filled(rng: Random, template: str, kind: str, depth: int) -> str:
    """Return a template with random expressions in its places."""
    of: dict[str, tuple[str, ...]] = {
        "m": _DECIMALS, "decimal": (DECIMAL,), "long": (LONG,), "whole": (WHOLES,),
    }  # fmt: skip
    of |= {"n": _NUMBERS, "time": _TIMES, "k": (kind,), "x": (rng.choice(KINDS),)}

    def part(place: re.Match[str]) -> str:
        name = place[1]
        if name in _WRITTEN:
            return f"'{rng.choice(_WRITTEN[name])}'"
        return expression(rng, rng.choice(of.get(name, (name,))), depth - 1)

    return re.sub(r"\{([a-z0-9]+)\}", part, template)


#: Every function that a view's SQL may call, and forms that read like operators: as often as each
#: has arguments.
CALLED = sorted(
    {
        *NAMED_FUNCTIONS,
        *(
            name.lower()
            for kind in FUNCTIONS
            if issubclass(kind, exp.Func)
            for name in kind.sql_names()
        ),
        "if",
    }
    | {"ifnull", "strpos", "epoch", "log10", "dayofweek", "isodow", "dayofyear", "date_diff"}
    | set(NAMES)
)
_FORMS = (
    "(-{0}) IS NULL", "({0} + {1}) IS NOT NULL", "{0} BETWEEN {1} AND {2}", "{0} IN ({1}, {2})",
    "coalesce({0}, -{1})", "NOT {0} IS TRUE", "CASE {0} WHEN {1} THEN {2} END", "abs(-{0})",
    "CAST({0} AS DOUBLE)", "CAST({0} AS BIGINT)", "CAST({0} AS VARCHAR)", "({0} || {1})",
    "CAST({0} AS TIMESTAMP WITH TIME ZONE)", "CAST({0} AS DATE)", "CAST({0} AS BOOLEAN)",
    "{0} IS NOT DISTINCT FROM {1}", "-({0} % {1})", "({0} // {1})", "({0} / {1})",
    "nullif({0}, {1}) = {2}", "extract(year FROM {0})", "date_part({0}, {1})", "if({0}, {1}, {2})",
    "CAST({0} AS DECIMAL(9,1))", "greatest({0}, {1})", "least({0})", "date_diff({0}, {1}, {2})",
    "round(-{0}, 2)",
)  # fmt: skip


def call(rng: Random, name: str, count: int) -> str:
    """Return a call of a function with so many arguments, or one of an operator, perhaps nested."""
    leaves = [*INPUTS, "NULL", "NULL", "'day'", "'a'", "2", "1.5", "TRUE", "(-NULL)"]
    same = rng.choice(leaves)
    given = [same if rng.random() < 0.4 else rng.choice(leaves) for _ in range(max(count, 3))]
    text = f"{name}({', '.join(given[:count])})"
    return text if rng.random() < 0.7 else rng.choice(_FORMS).format(text, *given)


def kind_of_call(text: str) -> str | None:
    """Return the kind that an expression gives; None: it is refused."""
    with contextlib.suppress(BadSql):
        checked = check_expression(text)
        for kind in KINDS:
            with contextlib.suppress(Untyped):
                for each in (checked, text):
                    compiled(each, inputs=INPUTS, declared=kind)
                return kind
    return None


def rows(rng: Random, count: int) -> list[list[Any]]:
    """Return rows of the inputs and ``now``, a fifth of whose values are null."""
    return [
        [*(None if rng.random() < 0.2 else rng.choice(VALUES[k]) for k in INPUTS.values()), NOW]
        for _ in range(count)
    ]


def _as_arrow(values: Iterable[Any], kind: str) -> pa.Array:
    if kind not in _DECIMALS:
        return pa.array(values, WHOLE.get(kind, ARROW[kind])).cast(ARROW[kind])
    scale = ARROW[kind].scale
    found = [None if v is None else Decimal(v).scaleb(-scale, _EXACT) for v in values]
    return pa.array(found, ARROW[kind])


def unscaled(values: Iterable[Any], kind: str) -> list[Any]:
    """Return decimals as the whole numbers that the other form has for them."""
    scale = ARROW[kind].scale
    return [None if v is None else int(v.scaleb(scale, _EXACT)) for v in values]


def table(given: list[list[Any]]) -> pa.Table:
    """Return the rows as the engine reads them: columns ``i0``, ``i1`` and so on."""
    kinds = [*INPUTS.values(), "timestamp"]
    columns = zip(zip(*given, strict=True), kinds, strict=True)
    arrays = [_as_arrow(values, kind) for values, kind in columns]
    return pa.table(arrays, names=[f"i{place}" for place in range(len(kinds))])
