"""Every step of an encoding against scikit-learn's, or a loop of its own, on the same random rows.

Fitted in the sandbox on a range, applied as a run applies it to rows inside and outside of that.
"""

from __future__ import annotations

import hashlib
import io
import math
import random
from datetime import timedelta

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import norm
from sklearn import preprocessing
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer

from lib.json_floats import json_float
from materialization.compute.jobs import Envelope, FitJob
from materialization.compute.reports import Report
from materialization.errors import FitFailed, NotFitted, from_report
from materialization.sandbox import compute as sandbox_run
from materialization.sources.files import resolve_source
from materialization.stores.columns import INSTANT
from materialization.transforms.encoding.kinds import KINDS
from materialization.transforms.encoding.singles import SINGLES
from materialization.transforms.windows.encoding import window_encodings
from registry.spec.encode_steps import NOT_AT_READS, STEPS
from registry.spec.encodes import EncodeSpec, FitRange
from tests.materialization.engine_cases import LIMITS, at, compute_here, make_spec, write_parquet

START, TO = at("2024-01-01"), at("2024-02-01")
RANGE = FitRange(start="2024-01-01", to="2024-02-01")
#: Ten minutes apart: the range has the first 4,464 of them.
APART = timedelta(minutes=10)


def encoded_spec(*steps, kind="float64", fit=RANGE):
    spec = make_spec(features=[("y", kind, "x")])
    encode = msgspec.convert({"steps": list(steps)}, EncodeSpec)
    if encode.is_fitted:
        encode = msgspec.structs.replace(encode, fit=fit)
    feature = msgspec.structs.replace(spec.features[0], encode=encode)
    return msgspec.structs.replace(
        spec, view=msgspec.structs.replace(spec.view, features=(feature,))
    )


def write(folder, values, kind):
    schema = pa.schema([("k", pa.int64()), ("event", INSTANT), ("x", kind)])
    rows = [{"k": n, "event": START + n * APART, "x": x} for n, x in enumerate(values)]
    write_parquet(folder, rows, schema)


def fit_here(spec, folder):
    """Return the parameters of y, found out as the child does."""
    job = FitJob(spec, resolve_source(spec.source, root=str(folder)), ("y",))
    said = io.StringIO()
    sandbox_run.run(
        Envelope(job, LIMITS, str(folder)), asked=io.BytesIO(), told=io.BytesIO(), report=said
    )
    report = msgspec.json.decode(said.getvalue(), type=Report)
    if report.error is not None:
        raise from_report(report.error)
    return report.fit.parameters["y"]


def fitted(spec, folder):
    """Return the spec with its parameters, as they come back from being stored."""
    if not spec.fitted_features:
        return spec
    kept = msgspec.json.decode(msgspec.json.encode(fit_here(spec, folder)))
    return msgspec.structs.replace(spec, fitted={"y": tuple(kept)})


DOUBLE = pa.float64()


def applied(values, *steps, folder, kind=DOUBLE, gives="float64"):
    """Return what is stored of each value, in order."""
    write(folder, values, kind)
    spec = fitted(encoded_spec(*steps, kind=gives), folder)
    table, _ = compute_here(spec, folder)
    found = table.sort_by("k")["y"].to_pylist()
    (feature,) = spec.features
    if not any(isinstance(step, NOT_AT_READS) for step in feature.encode.all_steps):
        _same_one_by_one(spec, values, kind, found)
    return found


def _same_one_by_one(spec, values, kind, found):
    """Hold what reads make of single values to what is stored of them, to the bit."""
    (encoding,) = window_encodings(spec)
    is_number = encoding.takes.kind == "float64"
    for value, stored in zip(values, found, strict=True):
        if value is None or is_number or kind == pa.string():
            given = json_float(float(value)) if is_number and value is not None else value
            assert repr(encoding.of(given, "view")) == repr(_as_read(stored)), value


def _as_read(value):
    if isinstance(value, list):
        return [_as_read(each) for each in value]
    return json_float(value) if isinstance(value, float) else value


def inside(values):
    """Return the values in the range."""
    return [x for n, x in enumerate(values) if START + n * APART < TO]


def as_column(values):
    return np.array([[math.nan if x is None else x] for x in values], dtype=float)


def numbers(seed, count=6000):
    """Return numbers of several sizes, some null and some NaN, and other ones after the range."""
    source = random.Random(seed)
    sizes = [source.choice([1.0, 1e-3, 1e6]) for _ in range(3)]

    def one(n):
        if source.random() < 0.05:
            return source.choice([None, math.nan])
        return source.gauss(n / count, 1) * source.choice(sizes)

    return [one(n) for n in range(count)]


def same_numbers(found, wanted):
    for got, want in zip(found, wanted, strict=True):
        if want is None or got is None:
            assert got is want
        else:
            assert got == pytest.approx(want, rel=1e-9, abs=1e-9, nan_ok=True)


#: The scaler of scikit-learn for each step that has one.
SCALERS = {
    "standard": preprocessing.StandardScaler(),
    "min_max": preprocessing.MinMaxScaler(),
    "robust": preprocessing.RobustScaler(),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SCALERS)
def test_scaled_as_scikit_learn_scales(name, seed, tmp_path):
    values = numbers(seed)
    scaler = SCALERS[name].fit(as_column(inside(values)))

    found = applied(values, name, folder=tmp_path)

    wanted = scaler.transform(as_column(values))[:, 0]
    # NaN and null are told apart by us only
    same_numbers(found, [None if x is None else y for x, y in zip(values, wanted, strict=True)])


@pytest.mark.parametrize("name", SCALERS)
@pytest.mark.parametrize("value", [3.0, 0.1, 1e300, -7e-12])
def test_a_constant_column_becomes_one_number(name, value, tmp_path):
    found = applied([value] * 50, name, folder=tmp_path)

    assert found == [0.0] * 50


@pytest.mark.parametrize("name", SCALERS)
def test_one_row_is_enough(name, tmp_path):
    assert applied([5.0], name, folder=tmp_path) == [0.0]


def test_a_range_of_its_own_for_min_and_max(tmp_path):
    step = {"step": "min_max", "low": -1, "high": 3}

    assert applied([0.0, 5.0, 10.0], step, folder=tmp_path) == [-1.0, 1.0, 3.0]


def test_whole_numbers_and_decimals_are_scaled(tmp_path):
    assert applied([1, 2, 3], "min_max", folder=tmp_path, kind=pa.int32()) == [0.0, 0.5, 1.0]
    many = [1, 2, None]
    kind = pa.decimal128(10, 2)
    assert applied(many, "min_max", folder=tmp_path, kind=kind) == [0.0, 1.0, None]


def test_what_comes_later_lies_beyond_what_was_fitted(tmp_path):
    values = [0.0, 1.0] * 2232 + [10.0, math.inf]

    assert applied(values, "min_max", folder=tmp_path)[-2:] == [10.0, math.inf]


LOGS = [(1.0, 0.0), (math.e, 1.0), (0.0, -math.inf), (math.inf, math.inf), (None, None)]


def test_logarithms(tmp_path):
    found = applied([x for x, _ in LOGS] + [-1.0, math.nan], "log", folder=tmp_path)

    assert found[:-2] == [y for _, y in LOGS]
    assert all(map(math.isnan, found[-2:]))


def test_a_logarithm_of_more(tmp_path):
    step = {"step": "log", "plus": 1}
    values = [0.0, 1.0, 1e9, -1.0, 1e-7]

    same_numbers(applied(values[:3], step, folder=tmp_path), np.log1p(values[:3]))
    assert applied([-1.0], step, folder=tmp_path) == [-math.inf]


def test_what_is_clipped_keeps_null_and_nan(tmp_path):
    step = {"step": "clip", "min": 0, "max": 2.5}
    values = [-1.0, 0.0, 1.5, 99.0, math.inf, -math.inf, None, math.nan]

    found = applied(values, step, folder=tmp_path)

    assert found[:-1] == [0.0, 0.0, 1.5, 2.5, 2.5, 0.0, None]
    assert math.isnan(found[-1])


def test_steps_are_fitted_to_what_the_ones_before_them_make(tmp_path):
    values = [x if x is None else abs(x) for x in numbers(7)]
    clipped = np.clip(as_column(inside(values)), 0.5, 100)
    scaler = preprocessing.StandardScaler().fit(np.log(clipped))

    steps = ({"step": "clip", "min": 0.5, "max": 100}, "log", "standard")
    found = applied(values, *steps, folder=tmp_path)

    wanted = scaler.transform(np.log(np.clip(as_column(values), 0.5, 100)))[:, 0]
    same_numbers(found, [None if x is None else y for x, y in zip(values, wanted, strict=True)])


def test_many_steps_cost_as_many_times_one(tmp_path):
    """Each names the value before it several times: nothing may write all of them out."""
    steps = [{"step": "clip", "min": -2, "max": 2}] * 15 + ["quantile"]

    found = applied([float(n % 7 - 3) for n in range(500)], *steps, folder=tmp_path)

    assert (min(found), max(found)) == (0.0, 1.0)


WORDS = ["red", "green", "blue", "", "Ünïcode", "o'clock", "a,b", "x" * 300, "null", "-1", "\n"]


def test_one_place_for_each_category(tmp_path):
    source = random.Random(5)
    values = [source.choice([*WORDS, None]) for _ in range(5000)] + ["unseen", "RED"]
    encoder = preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    encoder.fit([[x] for x in inside(values) if x is not None])

    found = applied(values, "one_hot", folder=tmp_path, kind=pa.string(), gives="list<float64>")

    wanted = [None if x is None else encoder.transform([[x]])[0].tolist() for x in values]
    assert found == wanted
    assert found[-1] == [0.0] * len(WORDS)


def test_whole_numbers_are_categories_in_their_order(tmp_path):
    values = [10, 9, -3, 10]

    found = applied(values, "one_hot", folder=tmp_path, kind=pa.int64(), gives="list<float32>")

    assert found == [[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_the_commonest_categories_have_a_place(tmp_path):
    step = {"step": "one_hot", "most": 2}
    values = ["b", "a", "c", "c", "b", "d"]

    found = applied(values, step, folder=tmp_path, kind=pa.string(), gives="list<float32>")

    assert found == [[1, 0], [0, 0], [0, 1], [0, 1], [1, 0], [0, 0]]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("many", [2, 10, 1000])
@pytest.mark.parametrize("output", ["uniform", "normal"])
def test_quantiles_as_scikit_learn_has_them(seed, many, output, tmp_path):
    source = random.Random(seed)
    # some values are many times there, so that quantiles share them
    values = [
        x if x is None or math.isnan(x) or source.random() < 0.5 else float(round(x))
        for x in numbers(seed)
    ]
    values += [math.inf, -math.inf, 1e300]
    there = [x for x in inside(values) if x is not None and not math.isnan(x)]
    values += [end + step for end in (min(there), max(there)) for step in (-9e-8, 0, 9e-8, 2e-7)]
    scaler = preprocessing.QuantileTransformer(
        n_quantiles=many, subsample=None, output_distribution=output
    )
    scaler.fit(as_column(inside(values)))

    step = {"step": "quantile", "quantiles": many, "output": output}
    found = applied(values, step, folder=tmp_path)

    finite = np.clip(as_column(values), -1e308, 1e308)  # it takes no infinite ones
    wanted = scaler.transform(finite)[:, 0]
    same_numbers(found, [None if x is None else y for x, y in zip(values, wanted, strict=True)])


def test_quantiles_of_one_value_and_of_one_row(tmp_path):
    assert applied([3.0, 3.0], "quantile", folder=tmp_path) == [0.0, 0.0]
    assert applied([3.0], "quantile", folder=tmp_path) == [0.0]
    normal = {"step": "quantile", "output": "normal"}
    assert applied([3.0, 3.0], normal, folder=tmp_path) == [-5.199337582605575] * 2


def test_shares_of_a_normal_distribution(tmp_path):
    """Two quantiles, so that a value is its share."""
    shares = [n / 1000 for n in range(1001)] + [1e-7, 2e-7, 1e-6, 0.075, 0.925, 1 - 1e-6, 1 - 2e-7]
    values = [x if START + n * APART < TO else None for n, x in enumerate(shares)]
    step = {"step": "quantile", "quantiles": 2, "output": "normal"}

    found = applied(values, step, folder=tmp_path)

    assert (found[0], found[1000]) == (-5.199337582605575, 5.19933758270342)
    for share, got in zip(shares, found, strict=True):
        if 0 < share < 1:
            assert got == pytest.approx(norm.ppf(share), rel=1e-13, abs=1e-15)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("by", "strategy"), [("width", "uniform"), ("quantile", "quantile")])
def test_bins_as_scikit_learn_has_them(by, strategy, seed, tmp_path):
    source = random.Random(seed)
    values = [source.gauss(0, 1) for _ in range(6000)]
    binner = preprocessing.KBinsDiscretizer(
        n_bins=7, encode="ordinal", strategy=strategy, quantile_method="linear", subsample=None
    ).fit(as_column(inside(values)))

    step = {"step": "bucketize", "bins": 7, "by": by}
    found = applied(values, step, folder=tmp_path, gives="int64")

    assert found == binner.transform(as_column(values))[:, 0].tolist()


def test_bins_of_whole_numbers_share_no_edge(tmp_path):
    values = [0, 0, 0, 0, 1, 2, 3, None]
    step = {"step": "bucketize", "bins": 5}
    binner = preprocessing.KBinsDiscretizer(
        n_bins=5, encode="ordinal", strategy="quantile", quantile_method="linear"
    )
    with pytest.warns(UserWarning, match="too small"):
        binner.fit(as_column(values[:-1]))

    found = applied(values, step, folder=tmp_path, kind=pa.int32(), gives="int32")

    assert found == [*binner.transform(as_column(values[:-1]))[:, 0].tolist(), None]


@pytest.mark.parametrize("by", ["width", "quantile"])
def test_one_value_is_one_bin(by, tmp_path):
    step = {"step": "bucketize", "bins": 4, "by": by}

    found = applied([5.0] * 4464 + [1.0, 9.0], step, folder=tmp_path, gives="int64")

    assert set(found) == {0}


def test_edges_that_are_given(tmp_path):
    step = {"step": "bucketize", "edges": [18, 30.5, 65]}
    values = [17.9, 18, 30.5, 64, 65, math.inf, -math.inf, None, math.nan]

    found = applied(values, step, folder=tmp_path, gives="int64")

    assert found == [0, 1, 2, 2, 3, 3, 0, None, -1]


def test_codes_of_categories(tmp_path):
    source = random.Random(5)
    values = [source.choice([*WORDS, None]) for _ in range(5000)] + ["unseen"]
    encoder = preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    encoder.fit([[x] for x in inside(values) if x is not None])

    found = applied(values, "ordinal", folder=tmp_path, kind=pa.string(), gives="int64")

    assert found == [None if x is None else encoder.transform([[x]])[0, 0] for x in values]


def test_categories_of_very_many_digits(tmp_path):
    values = ["9" * 5000, "-" + "9" * 5000, "10", "9", "-10"]

    found = applied(values, "ordinal", folder=tmp_path, kind=pa.string(), gives="int64")

    assert found == [4, 0, 3, 2, 1]


def test_ten_thousand_categories(tmp_path):
    values = [f"c{n:05}" for n in range(10_000)]
    write(tmp_path, values, pa.string())
    spec = encoded_spec("ordinal", kind="int64", fit=FitRange(start="2024-01-01", to="2025-01-01"))

    table, _ = compute_here(fitted(spec, tmp_path), tmp_path)

    assert table.sort_by("k")["y"].to_pylist() == list(range(10_000))


def test_one_category_more_is_said(tmp_path):
    write(tmp_path, [f"c{n:05}" for n in range(10_001)], pa.string())
    spec = encoded_spec("ordinal", kind="int64", fit=FitRange(start="2024-01-01", to="2025-01-01"))

    with pytest.raises(FitFailed, match="more than 10,000 categories"):
        fit_here(spec, tmp_path)


def test_truths_and_days_are_categories(tmp_path):
    assert applied(
        [True, False, None], "ordinal", folder=tmp_path, kind=pa.bool_(), gives="int64"
    ) == [1, 0, None]


def by_hash(value, width):
    """Return what the hash of a category makes of it, as the documentation says."""
    if value is None:
        return None
    digest = hashlib.md5(value.encode()).digest()  # noqa: S324 - no secret
    made = [0.0] * width
    made[int.from_bytes(digest[8:], "little") % width] = -1.0 if digest[0] & 1 else 1.0
    return made


@pytest.mark.parametrize("width", [1, 7, 64])
def test_categories_by_their_hashes(width, tmp_path):
    values = [*WORDS, None, *(f"c{n}" for n in range(300))]
    step = {"step": "hashed", "width": width}

    found = applied(values, step, folder=tmp_path, kind=pa.string(), gives="list<float32>")

    assert found == [by_hash(value, width) for value in values]


@pytest.mark.parametrize("by", ["mean", "median", "most_frequent"])
def test_values_that_are_imputed(by, tmp_path):
    source = random.Random(11)
    values = [source.choice([None, math.nan, 1.0, 2.0, 7.5, 9.0]) for _ in range(6000)]
    imputer = SimpleImputer(strategy=by).fit(as_column(inside(values)))

    found = applied(values, {"step": "impute", "by": by}, folder=tmp_path)

    same_numbers(found, imputer.transform(as_column(values))[:, 0])


def test_a_value_that_is_given_and_what_follows(tmp_path):
    steps = ({"step": "impute", "value": 0}, "min_max")

    assert applied([None, 10.0, math.nan], *steps, folder=tmp_path) == [0.0, 1.0, 0.0]


def test_categories_that_are_imputed(tmp_path):
    steps = ({"step": "impute", "by": "most_frequent"}, "ordinal")
    options = {"folder": tmp_path, "kind": pa.string(), "gives": "int64"}

    assert applied(["b", None, "b", "a"], *steps, **options) == [1, 1, 1, 0]
    steps = ({"step": "impute", "value": "it's none"}, "ordinal")
    assert applied(["b", None, "a"], *steps, **options) == [1, 2, 0]


def test_texts_that_are_imputed_alone(tmp_path):
    step = {"step": "impute", "value": "none"}

    found = applied(["b", None], step, folder=tmp_path, kind=pa.string(), gives="string")

    assert found == ["b", "none"]


TERMS = ["red", "Green", "blau", "Ünïcode", "o'clock", "x_1", "12", "a", "naïve", "Straße", "東京"]


def texts(seed):
    source = random.Random(seed)
    made = [
        source.choice([" ", ", ", "-", "\n"]).join(source.choices(TERMS, k=source.randrange(12)))
        for _ in range(3000)
    ]
    return [None if source.random() < 0.05 else each for each in made]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("at_least", [1, 1060])
def test_terms_as_scikit_learn_weighs_them(seed, at_least, tmp_path):
    values = [*texts(seed), "", "words nobody saw", "red red RED"]
    vectorizer = TfidfVectorizer(min_df=at_least)
    vectorizer.fit([x for x in inside(values) if x is not None])

    step = {"step": "tfidf", "at_least": at_least}
    found = applied(values, step, folder=tmp_path, kind=pa.string(), gives="list<float64>")

    wanted = vectorizer.transform([x or "" for x in values]).toarray()
    for x, got, want in zip(values, found, wanted, strict=True):
        assert (got is None) == (x is None)
        if got is not None:
            assert got == pytest.approx(want, abs=1e-12)


def test_the_commonest_terms_have_a_place(tmp_path):
    values = ["bb bb aa", "cc bb", "cc dd"]
    step = {"step": "tfidf", "terms": 2}
    vectorizer = TfidfVectorizer(max_features=2).fit(values)

    found = applied(values, step, folder=tmp_path, kind=pa.string(), gives="list<float64>")

    assert np.array(found) == pytest.approx(vectorizer.transform(values).toarray())


@pytest.mark.parametrize(
    ("values", "steps", "words"),
    [
        ([None, None], ["standard"], "y: standard: no row of its range has a number"),
        ([math.nan], ["robust"], "no row of its range has a number"),
        ([1.0, math.inf], ["min_max"], "1 of 2 numbers of its range are infinite; put a clip"),
        ([1e308, -1e308], ["min_max"], "its width is beyond every number"),
        ([-1.0, 1.0, 0.0], ["log", "standard"], "1 of 2 numbers of its range are infinite"),
        ([None], ["quantile"], "no row of its range has a number"),
        ([1e308, -1e308], ["quantile"], "its width is beyond every number"),
        ([math.nan], [{"step": "bucketize", "bins": 3}], "no row of its range has a number"),
        ([None], [{"step": "impute", "by": "mean"}], "no row of its range has a number"),
        ([None], [{"step": "impute", "by": "most_frequent"}], "no row of its range has a number"),
    ],
)
def test_what_nothing_can_be_fitted_to_is_said(values, steps, words, tmp_path):
    write(tmp_path, values, pa.float64())

    with pytest.raises(FitFailed, match=words):
        fit_here(encoded_spec(*steps), tmp_path)


def test_a_range_without_rows_is_said(tmp_path):
    write(tmp_path, [1.0], pa.float64())
    spec = encoded_spec("standard", fit=FitRange(start="2023-01-01", to="2024-01-01"))

    with pytest.raises(FitFailed, match="y: the source has no row from 2023-01-01 to 2024-01-01"):
        fit_here(spec, tmp_path)


def test_too_many_categories_are_said(tmp_path):
    write(tmp_path, [f"c{n}" for n in range(1001)], pa.string())

    with pytest.raises(FitFailed, match="more than 1,000 categories; say how many .*most: 100"):
        fit_here(encoded_spec("one_hot", kind="list<float32>"), tmp_path)


@pytest.mark.parametrize("step", ["one_hot", "ordinal", "tfidf"])
def test_texts_that_nothing_can_be_fitted_to_are_said(step, tmp_path):
    write(tmp_path, [None, None], pa.string())
    gives = "int64" if step == "ordinal" else "list<float32>"

    with pytest.raises(FitFailed, match=f"y: {step}: no (row of its range has a value|word of)"):
        fit_here(encoded_spec(step, kind=gives), tmp_path)


@pytest.mark.parametrize("step", ["ordinal", {"step": "impute", "by": "most_frequent"}])
def test_a_text_that_cannot_be_written_is_said(step, tmp_path):
    write(tmp_path, ["a\0b"], pa.string())
    steps = [step] if step == "ordinal" else [step, "ordinal"]

    with pytest.raises(FitFailed, match="a value of its range holds a NUL"):
        fit_here(encoded_spec(*steps, kind="int64"), tmp_path)


def test_a_text_that_comes_later_and_cannot_be_written_is_unseen(tmp_path):
    values = ["a"] * 4464 + ["a\0b"]

    found = applied(values, "ordinal", folder=tmp_path, kind=pa.string(), gives="int64")

    assert found == [0] * 4464 + [-1]


def test_parameters_have_a_bound(tmp_path):
    write(tmp_path, [f"{n}{'x' * 3000}" for n in range(1000)], pa.string())

    with pytest.raises(FitFailed, match="y: what it is fitted to takes 3,.* at most 2,000,000"):
        fit_here(encoded_spec("one_hot", kind="list<float32>"), tmp_path)


def test_without_parameters_nothing_is_stored_in_their_place(tmp_path):
    write(tmp_path, [1.0], pa.float64())

    with pytest.raises(NotFitted, match="y: what its encoding is fitted to is not at hand"):
        compute_here(encoded_spec("standard"), tmp_path)


def test_every_step_is_there():
    assert set(KINDS) == set(STEPS.values()) == {*SINGLES, *NOT_AT_READS}
    assert not set(SINGLES).intersection(NOT_AT_READS)


def labelled(source, count):
    """Return categories and a label that is commoner of some; some have none."""

    def one():
        word = source.choice([*WORDS, None])
        label = source.gauss(len(word or ""), 3) if source.random() < 0.9 else None
        return word, label

    return [one() for _ in range(count)]


def of_label(rows, folder, **parameters):
    """Return what is stored of each row, and the parameters."""
    schema = pa.schema(
        [("k", pa.int64()), ("event", INSTANT), ("x", pa.string()), ("label", pa.float64())]
    )
    given = [
        {"k": n, "event": START + n * APART, "x": x, "label": y} for n, (x, y) in enumerate(rows)
    ]
    write_parquet(folder, given, schema)
    spec = fitted(encoded_spec({"step": "target", "label": "label", **parameters}), folder)
    table, _ = compute_here(spec, folder)
    return table.sort_by("k")["y"].to_pylist()


def fold_of(key, folds):
    digest = hashlib.md5(str(key).encode()).digest()  # noqa: S324 - no secret
    return int.from_bytes(digest[8:], "little") % folds


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("smooth", ["auto", 0, 20.5])
def test_labels_means_as_scikit_learn_draws_them(seed, smooth, tmp_path):
    rows = [*labelled(random.Random(seed), 5000), ("unseen", 1.0)]
    folds = 4

    found = of_label(rows, tmp_path, smooth=smooth, folds=folds)

    many = len(inside(rows))
    taught = [(n, x, y) for n, (x, y) in enumerate(rows[:many]) if x is not None and y is not None]

    def encoder(some):
        made = preprocessing.TargetEncoder(smooth=smooth, target_type="continuous")
        return made.fit([[x] for _, x, _ in some], [y for *_, y in some])

    whole = encoder(taught)
    without = [encoder([each for each in taught if fold_of(each[0], folds) != n]) for n in range(4)]
    wanted = [
        None
        if x is None
        else (without[fold_of(n, folds)] if n < many else whole).transform([[x]])[0, 0]
        for n, (x, _) in enumerate(rows)
    ]
    same_numbers(found, wanted)


def test_a_row_of_the_range_is_not_told_its_own_label(tmp_path):
    """A category of one row says nothing of its label, while it is trained on; later it does."""
    rows = [("common", 0.0)] * 50 + [("rare", 100.0)] + [("common", 0.0)] * 4413 + [("rare", None)]

    found = of_label(rows, tmp_path, smooth=0)

    assert (found[50], found[-1]) == (0.0, 100.0)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("a", None), (None, 1.0)], "target: no row of its range has a value"),
        ([("a", 1.0), ("b", math.nan)], "target: a fold has all rows .* have more entities"),
        ([("a", math.inf), ("b", 1.0)], "target: 1 labels of its range are infinite"),
        ([("a", 1e153), ("b", -1e153)] * 500, "target: its variance is beyond every number"),
    ],
)
def test_labels_that_say_nothing_are_said(rows, words, tmp_path):
    with pytest.raises(FitFailed, match=words):
        of_label(rows, tmp_path)


def test_a_step_after_a_label_is_fitted_to_what_is_stored(tmp_path):
    rows = labelled(random.Random(4), 2000)
    schema = pa.schema(
        [("k", pa.int64()), ("event", INSTANT), ("x", pa.string()), ("label", pa.float64())]
    )
    given = [
        {"k": n, "event": START + n * APART, "x": x, "label": y} for n, (x, y) in enumerate(rows)
    ]
    write_parquet(tmp_path, given, schema)
    spec = fitted(encoded_spec({"step": "target", "label": "label"}, "standard"), tmp_path)
    table, _ = compute_here(spec, tmp_path)

    found = [y for y in table["y"].to_pylist() if y is not None]
    assert (np.mean(found), np.std(found)) == pytest.approx((0, 1), abs=1e-9)
