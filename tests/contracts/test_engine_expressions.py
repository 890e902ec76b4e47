"""Both forms of scalar expressions give the same: each engine's, and the one without an engine."""

from __future__ import annotations

import contextlib
import math
import random
import struct
import time
from decimal import Context

import duckdb
import pyarrow as pa
import pytest
import sqlglot

from materialization.compute.engine import ENGINES
from materialization.compute.limits import EngineLimits
from materialization.compute.questions import Expression, Trial
from registry.spec.dialect import DIALECT
from registry.spec.row_sql import check_expression, check_row_sql, columns_of
from registry.spec.scalar.compiling import COMPUTED, compiled
from registry.spec.scalar.folding import PAIRS
from registry.spec.scalar.functions import NAMES
from registry.spec.scalar.kinds import MOST_REPLACED, NoResult, Untyped
from registry.spec.scalar.plain import plain_sql
from registry.spec.scalar.texts import lower, upper
from tests import scalar_cases as cases

TEXT = {"s": "string"}
COLUMNS = tuple(f"i{place}" for place in range(len(cases.INPUTS) + 1))


@pytest.fixture(scope="module", params=list(ENGINES))
def engine(request):
    return ENGINES[request.param](EngineLimits(memory_limit_mb=256, threads=1, timeout_s=60))


def same(left, right):
    """Tell whether two values are one: the sign of a zero counts, and NaN is NaN."""
    if left is None or right is None:
        return left is right
    if isinstance(left, float) and isinstance(right, float):
        alike = math.copysign(1, left) == math.copysign(1, right)
        return (left == right and alike) or (math.isnan(left) and math.isnan(right))
    return type(left) is type(right) and left == right


def computed(values, kind):
    """Return a column of the engine as the other form has its values."""
    column = values.combine_chunks()
    found = (column.cast(cases.WHOLE[kind]) if kind in cases.WHOLE else column).to_pylist()
    if kind.startswith("decimal"):
        assert column.type == cases.ARROW[kind]
        return cases.unscaled(found, kind)
    return found


def check(engine, texts, rows, *, warned=False):
    """Compare both forms of expressions, kind → text, on each row.

    ``warned``: and whether either says that an operation had no result. Where they are nested an
    engine need not compute what does not matter, and looks at constants before any row.
    """
    made = [
        (kind, text, compiled(check_expression(text), inputs=cases.INPUTS, declared=kind))
        for kind, text in texts
    ]
    asked = [Expression(scalar.sql, COLUMNS) for _, _, scalar in made]
    for (kind, text, scalar), found in zip(
        made, engine.evaluate(cases.table(rows), asked), strict=True
    ):
        theirs = computed(found.values, kind)
        is_lacking = False
        for row, their in zip(rows, theirs, strict=True):
            without = []
            ours = scalar.run([*row, without])
            is_lacking = is_lacking or bool(without)
            assert same(ours, their), (
                text,
                scalar.sql,
                dict(zip(cases.INPUTS, row, strict=False)),
                ours,
                their,
            )
        assert not warned or found.is_lacking == is_lacking, text


def test_each_operator_and_function_alone(engine):
    rng = random.Random(66)  # noqa: S311
    texts = [
        (kind, cases.filled(rng, template, kind, 1))
        for kind, templates in cases.TEMPLATES.items()
        for template in templates
        for _ in range(3)
    ]
    # What a null is compared with is computed in neither form, so that nothing of it is told.
    texts += [("bool", "(NULL BETWEEN -0.5 AND y)"), ("bool", "(NULL IN (0.5, y))")]

    check(engine, texts, cases.rows(rng, 300), warned=True)


@pytest.mark.parametrize("seed", range(6))
def test_random_expressions(engine, seed):
    rng = random.Random(seed)  # noqa: S311
    texts = []
    for _ in range(60):
        kind = rng.choice(cases.KINDS)
        texts.append((kind, cases.nested(rng, kind)))
    for kind, terms in CHAINS:
        texts.append((kind, cases.chain(rng, kind, terms)))

    check(engine, texts, cases.rows(rng, 60))


@pytest.mark.parametrize("seed", range(2))
def test_any_call_is_refused_or_the_same_in_both_forms(engine, seed):
    """Whatever the parser takes: any number of arguments, of any kind, nulls, an input twice."""
    rng = random.Random(seed)  # noqa: S311
    refused, made = 0, []
    for name in cases.CALLED:
        for count in range(5):
            for _ in range(3 if name in NAMES else 1):
                text = cases.call(rng, name, count)
                kind = cases.kind_of_call(text)
                if kind is None:
                    refused += 1
                else:
                    made.append((kind, text))

    assert refused > 100
    assert len(made) > 30
    check(engine, made, cases.rows(rng, 30))


def random_fraction(rng):
    """Return any double, or one near to a half of some digit."""
    half = (rng.randrange(-(10**9), 10**9) + 0.5) / 10 ** rng.randrange(8)
    (any_bits,) = struct.unpack("<d", rng.randbytes(8))
    towards = rng.choice([-math.inf, math.inf])
    great = rng.uniform(-1, 1) * 10.0 ** rng.randrange(-9, 40)
    return rng.choice([half, math.nextafter(half, towards), any_bits, great])


@pytest.mark.parametrize("scale", [0, 2, 9, 37])
def test_fractions_are_rounded_to_decimals_as_the_engine_does(engine, scale):
    rng = random.Random(scale)  # noqa: S311
    values = [1e38, 9.999999999999999e37, 1e36, math.inf, math.nan, -0.0, 0.5, 2.675]
    values += [random_fraction(rng) for _ in range(10_000)]
    kind = f"decimal(38,{scale})"
    scalar = compiled(f"CAST(f AS {kind})", inputs={"f": "float64"}, declared=kind)

    (found,) = engine.evaluate(pa.table({"f": values}), [Expression(scalar.sql, ("f",))])

    context = Context(prec=80)
    theirs = [
        None if each is None else int(each.scaleb(scale, context))
        for each in found.values.to_pylist()
    ]
    assert theirs == [scalar.run([each, 0, []]) for each in values]


def test_random_regular_expressions(engine):
    rng = random.Random(81)  # noqa: S311
    texts = ["".join(rng.choices(cases.SIGNS, k=rng.randrange(9))) for _ in range(60)]
    forms = (
        ("bool", "regexp_matches(s, '{}', 'is')"), ("bool", "regexp_full_match(s, '{}')"),
        ("string", "regexp_extract(s, '{}', 1)"), ("string", "regexp_replace(s, '{}', '')"),
        ("string", "regexp_replace(s, '{}', '<\\0>é', 'g')"),
        ("string", "regexp_extract(s, '{}', 0, 'i')"),
    )  # fmt: skip
    made = []
    for kind, form in forms * 30:
        with contextlib.suppress(Untyped):
            sql = check_expression(form.format(cases.regexp(rng, 4)))
            made.append(compiled(sql, inputs={"s": "string"}, declared=kind))
    assert len(made) > 120

    asked = [Expression(each.sql, ("s",)) for each in made]
    for scalar, found in zip(made, engine.evaluate(pa.table({"s": texts}), asked), strict=True):
        assert found.values.to_pylist() == [scalar.run([text, 0, []]) for text in texts], scalar.sql


def test_all_that_a_pattern_finds_is_replaced_up_to_a_length(engine):
    sql, inputs = "regexp_replace(s, 'é', 'b', 'g')", TEXT
    scalar = compiled(sql, inputs=inputs, declared="string")
    texts = ["é" * MOST_REPLACED, "é" * (MOST_REPLACED + 1), "é", None]
    reasons: list[NoResult] = []

    started = time.process_time()
    mine = [scalar.run([text, 0, reasons]) for text in texts]

    assert time.process_time() - started < 5
    assert mine == ["b" * MOST_REPLACED, None, "b", None]
    assert [str(each) for each in reasons] == ["a text too long to replace all in it"]
    rows = pa.table({"s": texts})
    (found,) = engine.evaluate(rows, [Expression(scalar.sql, ("s",))])
    assert found.values.to_pylist() == mine
    with duckdb.connect() as session:
        session.register("rows", rows)
        as_null = plain_sql(sql, inputs=inputs, declared="string", null_without_result=True)
        assert [v for (v,) in session.sql(f"SELECT {as_null} FROM rows").fetchall()] == mine
        with pytest.raises(duckdb.ConversionException, match="a text too long: 250001"):
            raising = plain_sql(sql, inputs=inputs, declared="string")
            session.sql(f"SELECT {raising} FROM rows").fetchall()


def test_a_pattern_ignores_the_same_cases_in_both_forms(engine):
    """Of every letter that has two: each library folds by the tables that it was built with."""
    letters = map(chr, range(0x110000))
    every = "".join(each for each in letters if {each.lower(), each.upper()} != {each})
    named = every.translate({ord(letter): None for pair in PAIRS for letter in pair})
    parts = [named[start : start + 50] for start in range(0, len(named), 50)]
    made = [
        compiled(f"regexp_replace(s, '[{part}]', '', 'gi')", inputs=TEXT, declared="string")
        for part in parts
    ]

    asked = [Expression(each.sql, ("s",)) for each in made]
    found = engine.evaluate(pa.table({"s": [every]}), asked)

    for part, scalar, theirs in zip(parts, made, found, strict=True):
        assert theirs.values.to_pylist() == [scalar.run([every, 0, []])], part


@pytest.mark.parametrize("pattern", [*"ΐΰﬅﬆ", "[Ͱ-Ͽ]", "a[^ΐ]", "\\x{1fd3}", "[\\x{300}-ϿA]"])
def test_letters_that_are_one_in_some_versions_are_refused_where_case_is_ignored(pattern):
    sql = f"regexp_matches(s, '{pattern}'"

    with pytest.raises(Untyped, match="which ignores case, is one letter with another"):
        compiled(f"{sql}, 'i')", inputs=TEXT, declared="bool")
    with pytest.raises(Untyped, match="which ignores case"):
        compiled(f"regexp_matches(s, '(?si:{pattern})')", inputs=TEXT, declared="bool")
    assert compiled(f"{sql})", inputs=TEXT, declared="bool")
    assert compiled("regexp_matches(s, '[é-￿]|[^a]', 'i')", inputs=TEXT, declared="bool")


def test_every_character_has_the_same_case_in_both_forms(engine):
    """Each alone, and each among others: what a language makes of a place in a word is not meant.

    Python's tables are those of its own version of Unicode; a newer one shows here.
    """
    everything = [chr(each) for each in range(0x110000) if not 0xD800 <= each < 0xE000]
    texts = [*everything, *(f"Σ{each}σΣ" for each in everything if each.isalpha())]
    small, capital = engine.evaluate(
        pa.table({"i0": texts}),
        [Expression("lower(i0)", ("i0",)), Expression("upper(i0)", ("i0",))],
    )

    assert small.values.to_pylist() == [*map(lower, texts)]
    assert capital.values.to_pylist() == [*map(upper, texts)]


@pytest.mark.parametrize(
    ("sql", "values", "result"),
    [
        (f"CAST(s LIKE '{'%a_' * 60}b' AS VARCHAR)", ("a" * 500_000, ""), "false"),
        (f"CAST(s LIKE '%{'_' * 190}b%' AS VARCHAR)", ("a" * 500_000, ""), "false"),
        (f"regexp_extract(s, '{'(.*)' * 9}a.{{30}}(z)', 1)", ("a" * 500_000, ""), ""),
        ("regexp_extract(s, '(([ab]?){30}[ab]*)*z$', 1)", ("ab" * 250_000, ""), ""),
        ("regexp_replace(s, '[ab]{9}c|b', '', 'g')", ("ab" * 100_000, ""), "a" * 100_000),
        ("trim(s, u)", ("a" * 500_000, "b" * 500_000 + "a"), ""),
        ("split_part(s, u, 250000)", ("a," * 250_000, ","), "a"),
        ("replace(s, u, '')", ("a" * 500_000, "a" * 250_000 + "b"), "a" * 500_000),
    ],
)
def test_no_text_of_a_request_takes_an_expression_long(sql, values, result):
    """What takes a matcher that goes back exponentially long, or a search by squares minutes."""
    scalar = compiled(sql, inputs={"s": "string", "u": "string"}, declared="string")

    started = time.process_time()
    assert scalar.run([*values, 0, []]) == result
    assert time.process_time() - started < 5


def test_every_function_is_among_them():
    written = " ".join(text for each in cases.TEMPLATES.values() for text in each)
    written += " coalesce( nullif( greatest( least( if("

    assert [name for name in NAMES if f"{name}(" not in written] == []


def test_all_that_is_computed_is_among_them():
    """What is new in the tables of the compiler has a case here."""
    rng = random.Random(0)  # noqa: S311
    templates = [(kind, each) for kind, given in cases.TEMPLATES.items() for each in given]
    templates += [("int64", each) for each in cases.ANY]
    texts = [cases.filled(rng, each, kind, 1) for kind, each in templates]
    trees = [sqlglot.parse_one(text, read=DIALECT) for text in texts]

    assert COMPUTED - {type(node) for tree in trees for node in tree.walk()} == set()


def test_an_operation_without_a_result_is_null_where_it_is(engine):
    others = [None] * (len(cases.INPUTS) - 2)
    rows = [[2**63 - 1, 0, *others, 0], [1, 2, *others, 0]]
    sql = "coalesce(i + 1, 7) + coalesce(1 // j, 0)"
    scalar = compiled(check_expression(sql), inputs=cases.INPUTS, declared="int64")

    plain = Expression("i0", COLUMNS)
    found, other = engine.evaluate(cases.table(rows), [Expression(scalar.sql, COLUMNS), plain])

    assert (found.values.to_pylist(), found.is_lacking) == ([7, 2], True)
    assert (other.values.to_pylist(), other.is_lacking) == ([2**63 - 1, 1], False)


def test_what_an_engine_cannot_run_it_says_before_anybody_asks(engine):
    sound = compiled("fare / nullif(trips, 0)", inputs={"fare": "float64", "trips": "int32"},
                     declared="float64")  # fmt: skip
    given = [
        Trial(sound.sql, ("float64", "int64", "timestamp")),
        Trial("assay_divide(CAST(1 AS BIGINT), CAST(0 AS BIGINT))", ()),
        Trial("no_such_function(i0)", ("int64",)),
        Trial("(i0 + i1)", ("int64", "string")),
    ]

    nothing, lacking, unknown, mixed = engine.refused(given)

    assert (nothing, lacking) == (None, None)
    assert "no_such_function" in unknown
    assert mixed


#: What a source declares narrower than it is computed with, by the input it is.
#: As many terms as are promised; a text may not outgrow its row.
CHAINS = (("int64", 90), ("float64", 90), ("float64", 300), ("bool", 200), ("string", 14))
NARROW = {"j": "int32", "g": "float32", "q": "decimal(9,2)", "x": "decimal(18,5)"}


def narrowed(given):
    """Return rows of inputs that are declared narrower, each value one that its type holds."""
    arrow = {"j": pa.int32(), "g": pa.float32(), "q": pa.decimal128(9, 2)}
    arrow["x"] = pa.decimal128(18, 5)
    fits = {
        "j": lambda value: -(2**31) <= value < 2**31,
        "g": lambda value: not math.isfinite(value) or abs(value) < 3e38,
        "q": lambda value: abs(value) < 10**9,
        "x": lambda value: abs(value) < 10**18,
    }
    places = {name: place for place, name in enumerate(cases.INPUTS)}
    for row in given:
        for name, holds in fits.items():
            if (value := row[places[name]]) is not None and not holds(value):
                row[places[name]] = None
            elif name == "g" and value is not None:
                row[places[name]] = pa.array([value], pa.float32())[0].as_py()
    rows = cases.table(given).rename_columns([*cases.INPUTS, "now"]).drop_columns("now")
    for name, kind in arrow.items():
        rows = rows.set_column(places[name], name, rows[name].cast(kind))
    return rows


def resulting(scalar, rows):
    """Return what is computed at the request of each row that has a result, by its place."""
    found = {}
    for place, row in enumerate(rows):
        without = []
        value = scalar.run([*row, without])
        if not without:
            found[place] = value
    return found


def written(session, sql, rows):
    """Return what the engine makes of rows, by place; of those that it takes, one by one."""
    session.register("rows", rows)
    try:
        return session.sql(sql).to_arrow_table()
    except duckdb.Error:
        if len(rows) == 1:
            return None
    parts = [written(session, sql, rows.slice(at, 1)) for at in range(len(rows))]
    taken = [part for part in parts if part is not None]
    return pa.concat_tables(taken) if taken else None


def either_way(session, text, kind, inputs, given):
    sql = plain_sql(text, inputs=inputs, declared=kind, null_without_result=True)
    made = session.sql(f"SELECT {sql} AS v FROM all_rows ORDER BY place").to_arrow_table()
    run = compiled(text, inputs=inputs, declared=kind).run
    for row, their in zip(given, computed(made["v"], kind), strict=True):
        mine = run([*row, []])
        assert same(mine, their), (text, sql, row, mine, their)


def test_what_is_written_is_what_is_computed_at_the_request():
    """Of rows that have a result: each alone in every function, and nested; narrow inputs too.

    Where an operation without one is to be null, of all rows.
    """
    rng = random.Random(78)  # noqa: S311
    texts = [("int64", "j * 1000000"), ("float64", "g * 3"), ("float64", "j * 1.1")]
    for kind, templates in cases.TEMPLATES.items():
        texts += [(kind, cases.filled(rng, template, kind, 1)) for template in templates]
    alone = len(texts)
    for kind in rng.choices(cases.KINDS, k=100):
        texts.append((kind, cases.nested(rng, kind)))
    for kind, terms in CHAINS:
        texts.append((kind, cases.chain(rng, kind, terms)))
    given, inputs, same_rows, refused_rows = cases.rows(rng, 80), cases.INPUTS | NARROW, 0, 0
    sent = narrowed(given).append_column("place", pa.array(range(len(given))))
    with duckdb.connect(config={"threads": 1}) as session:
        session.execute("SET TimeZone = 'UTC'")
        session.register("all_rows", sent)
        for number, (kind, text) in enumerate(texts):
            checked = check_expression(text)
            if "now" in columns_of(checked):
                continue
            either_way(session, checked, kind, inputs, given)
            expected = resulting(compiled(checked, inputs=inputs, declared=kind), given)
            value = plain_sql(checked, inputs=inputs, declared=kind)
            sql = check_row_sql(f'SELECT "place", {value} AS v FROM "rows"', source="rows")
            made = written(session, sql, sent.take(pa.array(expected, pa.int64())))
            if made is None:
                assert not expected or number >= alone, (text, sql)
                continue
            theirs = zip(made["place"].to_pylist(), computed(made["v"], kind), strict=True)
            for place, their in theirs:
                assert same(expected[place], their), (text, sql, given[place], expected[place])
            refused = len(expected) - len(made)
            assert not refused or number >= alone, (text, sql)  # what is not chosen may fail
            same_rows, refused_rows = same_rows + len(made), refused_rows + refused
    assert same_rows > 15_000
    assert refused_rows < same_rows / 100
