"""The syntax and scalar functions a view's SQL may be made of; all else is refused. [pure]

Not for checking anything: ``row_sql`` does. Nothing here reads files, settings, the environment or
the clock, looks at other rows or depends on chance: a row must mean the same each time it is read.
Nor is what a version of the engine, a platform or a locale decides: ``hash``, ``format_bytes`` and
``json_structure`` give other values after an upgrade, ``parse_path`` on another system, ``COLLATE``
with other tables of a language. Sizes are bounded by ``sql_growth``.
"""

from __future__ import annotations

from sqlglot import exp

#: What a row-wise SELECT consists of beside functions; operators are ``Binary`` and ``Unary``.
SYNTAX: tuple[type[exp.Expr], ...] = (
    exp.Select, exp.From, exp.Table, exp.TableAlias, exp.Where, exp.Alias, exp.Column,
    exp.Identifier, exp.Star, exp.Literal, exp.Boolean, exp.Null, exp.Tuple, exp.Binary, exp.Unary,
    exp.Between, exp.In, exp.Interval, exp.Var, exp.Bracket, exp.Slice, exp.AtTimeZone,
    exp.DataType, exp.DataTypeParam, exp.Cast, exp.TryCast, exp.Case, exp.If, exp.Extract,
    exp.JSONPath, exp.JSONPathRoot, exp.JSONPathKey, exp.JSONPathSubscript,
)  # fmt: skip
#: Functions the parser has a class for. One that is new there is refused until it stands here.
FUNCTIONS: frozenset[type[exp.Expr]] = frozenset({
    # choosing
    exp.Coalesce, exp.Greatest, exp.Least, exp.Nullif,
    # numbers
    exp.Abs, exp.Acos, exp.Acosh, exp.Asin, exp.Asinh, exp.Atan, exp.Atan2, exp.Atanh, exp.Cbrt,
    exp.Ceil, exp.Cos, exp.Cosh, exp.Cot, exp.Degrees, exp.Exp, exp.Factorial, exp.Floor, exp.IsInf,
    exp.IsNan, exp.Ln, exp.Log, exp.Pi, exp.Radians, exp.Round, exp.Sign, exp.Sin, exp.Sinh,
    exp.Sqrt, exp.Tan, exp.Tanh, exp.Trunc,
    # text and bytes
    exp.Ascii, exp.BitLength, exp.Chr, exp.Concat, exp.ConcatWs, exp.Contains, exp.Decode,
    exp.Encode, exp.EndsWith, exp.Format, exp.FromBase64, exp.Hex, exp.JarowinklerSimilarity,
    exp.Left, exp.Length, exp.Levenshtein, exp.Lower, exp.MD5, exp.Pad, exp.RegexpExtract,
    exp.RegexpExtractAll, exp.RegexpFullMatch, exp.RegexpReplace, exp.RegexpSplit,
    exp.Repeat, exp.Replace, exp.Reverse,
    exp.Right, exp.SHA, exp.SHA2, exp.Split, exp.SplitPart, exp.StartsWith, exp.StrPosition,
    exp.Substring, exp.ToBase64, exp.Translate, exp.Trim, exp.Unhex, exp.Unicode, exp.Upper,
    # times
    exp.DateAdd, exp.DateBin, exp.DateDiff, exp.DateFromParts, exp.Day, exp.DayOfMonth,
    exp.DayOfWeek, exp.DayOfWeekIso, exp.DayOfYear, exp.Dayname, exp.Hour, exp.LastDay, exp.Minute,
    exp.Month, exp.Monthname, exp.Quarter, exp.Second, exp.StrToTime, exp.TimeFromParts,
    exp.TimeToStr, exp.TimeToUnix, exp.TimestampFromParts, exp.TimestampTrunc, exp.ToDays,
    exp.UnixToTime, exp.Week, exp.WeekOfYear, exp.Year,
    # lists, maps and structs
    exp.Array, exp.ArrayAppend, exp.ArrayConcat, exp.ArrayDistinct, exp.ArrayMax, exp.ArrayMin,
    exp.ArrayPrepend, exp.ArraySize, exp.ArraySlice, exp.ArraySort, exp.ArrayToString,
    exp.CosineDistance, exp.EuclideanDistance, exp.Flatten, exp.Map, exp.MapFromEntries,
    exp.MapKeys, exp.Struct, exp.StructExtract, exp.ToMap,
    # JSON
    exp.JSONArray, exp.JSONKeys, exp.JSONObject, exp.JSONType, exp.ParseJSON,
})  # fmt: skip
#: DuckDB's scalar functions the parser knows by name only.
NAMED_FUNCTIONS = frozenset({
    # choosing
    "constant_or_null",
    # numbers
    "add", "bit_count", "divide", "even", "fmod", "gamma", "gcd", "greatest_common_divisor",
    "isfinite", "lcm", "least_common_multiple", "lgamma", "multiply", "nextafter", "round_even",
    "signbit", "subtract",
    # text and bytes
    "base64", "bin", "hamming", "jaccard", "jaro_similarity", "mismatches", "nfc_normalize",
    "octet_length", "ord", "prefix", "printf", "regexp_escape", "regexp_split_to_array",
    "strip_accents", "strlen", "suffix", "to_base", "url_decode", "url_encode",
    # times
    "century", "date_part", "date_sub", "datepart", "datesub", "decade", "epoch_ns", "epoch_us",
    "era", "isoyear", "julian", "make_timestamp_ms", "make_timestamp_ns", "make_timestamptz",
    "microsecond", "millisecond", "nanosecond", "timezone", "to_hours", "to_microseconds",
    "to_milliseconds", "to_minutes", "to_months", "to_seconds", "to_weeks", "to_years",
    "try_strptime", "weekday", "yearweek",
    # lists, maps and structs
    "array_cosine_distance", "array_cosine_similarity", "array_cross_product", "array_distance",
    "array_extract", "array_has_any", "array_inner_product", "array_value", "cardinality",
    "element_at", "list_aggregate", "list_any_value", "list_avg", "list_cosine_similarity",
    "list_count", "list_dot_product", "list_element", "list_extract", "list_first", "list_has_all",
    "list_indexof", "list_inner_product", "list_intersect", "list_last", "list_position",
    "list_resize", "list_reverse", "list_reverse_sort", "list_slice", "list_sort", "list_sum",
    "list_unique", "list_where", "list_zip", "map_contains", "map_entries", "map_extract",
    "map_values", "row", "struct_insert",
    # JSON
    "array_to_json", "json_array_length", "json_contains", "json_exists", "json_merge_patch",
    "json_quote", "json_valid", "json_value", "row_to_json", "to_json",
})  # fmt: skip
#: Functions DuckDB finds behind a bare name, quoted or not, where the source has no such column.
BARE_FUNCTIONS = frozenset({
    "current_catalog", "current_date", "current_role", "current_schema", "current_time",
    "current_timestamp", "current_user", "localtime", "localtimestamp", "session_user", "user",
})  # fmt: skip
#: What ``list_aggregate`` may make of a list. Others estimate, draw samples or know no order.
LIST_AGGREGATES = frozenset({
    "avg", "bit_and", "bit_or", "bit_xor", "bool_and", "bool_or", "count", "max", "mean", "median",
    "min", "product", "stddev_pop", "stddev_samp", "sum", "var_pop", "var_samp",
})  # fmt: skip
#: Lists without an order of their own: DuckDB gives the values as its hash table has them.
UNORDERED = ("list_distinct", "array_distinct", "array_unique", "list_intersect", "array_intersect")
#: What the order of a list does not matter to.
ORDERLESS = (exp.ArraySort, exp.ArraySize, exp.Length, exp.ArrayMax, exp.ArrayMin)
ORDERLESS_NAMED = frozenset({"list_sort", "list_reverse_sort", "list_count"})
