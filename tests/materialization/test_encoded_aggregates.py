"""Encoded aggregates from a definition to readers: online, offline and as of any instant alike.

Every value is compared with scikit-learn on what the loop over the source's rows gives. Not for
ticks and instants in themselves (``tests/contracts/test_encoded_aggregates.py``).
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from materialization.compute.questions import Timing
from materialization.edges.looks import look_at_sources
from registry.choices import EvidencePart, State
from registry.evidence import shown_parts, sight_of
from registry.fittings import fitted_of
from registry.spec.lineage import origins_of
from tests import factories
from tests.factories import ENTITY, SOURCE
from tests.materialization.run_world import (
    AT,
    HOUR,
    committed,
    fresh,
    materialize,
    online,
    write_rows,
)
from tests.materialization.runner.test_assaying import assayed
from tests.materialization.test_encodings import approve, fit_part
from tests.materialization.test_loaded_windows import certified
from tests.materialization.test_temporal_views import values
from tests.oracle_ticks import changes_in, values_as_of

pytestmark = pytest.mark.django_db

FIT = f"fit: {{from: '{(AT - 12 * HOUR).isoformat()}', to: '{AT.isoformat()}'}}"
VIEW = f"""
kind: FeatureView
name: driver_windows
entities: [driver]
source: driver_stats
aggregations:
  - {{column: avg_daily_trips, functions: [count, sum, last], windows: [1h, 3h]}}
features:
  - {{name: sum, column: avg_daily_trips_sum_3h, type: float64,
     encode: {{steps: [standard], {FIT}}}}}
  - {{name: last, column: avg_daily_trips_last_3h, type: list<float32>,
     encode: {{steps: [one_hot], {FIT}}}}}
  - {{name: some, column: avg_daily_trips_count_1h, type: int64}}
  - {{name: share, type: float64, sql: 'some / nullif(sum, 0)',
     encode: {{steps: [standard], {FIT}}}}}
ttl: 5h
schedule: {{every: 1h}}
owner: rides
"""
TEXT = "\n---\n".join((ENTITY, SOURCE, VIEW))
TEMPORAL = TEXT.replace("ttl: 5h\n", "ttl: 5h\naccuracy: temporal\n")
EXACT = TEMPORAL.replace("temporal", "exact")
OUTPUTS = {
    "sum": ("n", "sum", 3 * HOUR),
    "last": ("n", "last", 3 * HOUR),
    "some": ("n", "count", HOUR),
}
NAMES = ["sum", "last", "some", "share"]
ROWS = [
    (driver, AT - n * HOUR / 2, AT - n * HOUR / 2, 0.5, 1 + (n * driver + n // 3) % 4)
    for driver in (1, 2, 3)
    for n in range(1 + driver, 20)
]
LOOP = [{"key": (k,), "event": event, "created": known, "n": n} for k, event, known, _, n in ROWS]
MORE = "type: int64}\n  - {name: more, column: avg_daily_trips_last_1h, type: int64}"
TICKS = [AT - n * HOUR for n in range(12, 0, -1)]
DRIVERS = {"driver_id": [1, 2, 3, 4]}


@pytest.fixture
def source(sources):
    write_rows(sources, ROWS)
    return sources


def submit(cast, text=TEXT):
    with committed():
        return factories.make_version(cast, state=State.IN_REVIEW, text=text, look=look_at_sources)


def _share(found):
    total = found["sum"]
    return None if not total else found["some"] / total


def encoded():
    """Return what makes of the loop's values what scikit-learn does."""
    sums = [[v["sum"]] for *_, v in changes_in(LOOP, TICKS, OUTPUTS, "sum") if v["sum"] is not None]
    lasts = [
        [v["last"]] for *_, v in changes_in(LOOP, TICKS, OUTPUTS, "last") if v["last"] is not None
    ]
    moved = {
        (key, tick): _share(found)
        for name in ("sum", "some")
        for key, tick, found in changes_in(LOOP, TICKS, OUTPUTS, name)
    }
    scaler, places = StandardScaler().fit(sums), OneHotEncoder(sparse_output=False).fit(lasts)
    shares = StandardScaler().fit([[each] for each in moved.values() if each is not None])

    def made(found):
        if found is None:
            return None
        share = _share(found)
        return {
            "sum": None if found["sum"] is None else scaler.transform([[found["sum"]]])[0][0],
            "last": None if found["last"] is None else places.transform([[found["last"]]])[0],
            "some": found["some"],
            "share": None if share is None else shares.transform([[share]])[0][0],
        }

    return made


def same(found, wanted):
    if found is None or wanted is None:
        assert found is wanted
        return
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        close = None if value is None else pytest.approx(value, abs=1e-6)
        assert found[name] == close, name


def wanted_at(at):
    made = encoded()
    return [
        made(values_as_of(LOOP, (driver,), at, OUTPUTS, ttl=5 * HOUR))
        for driver in DRIVERS["driver_id"]
    ]


@pytest.mark.parametrize("text", [TEXT, TEMPORAL])
def test_online_offline_and_scikit_learn_say_the_same(cast, source, text):
    version = approve(cast, submit(cast, text))
    for end in (AT - 5 * HOUR, AT - HOUR / 3, AT):
        run = materialize(version, end=end)
        assert run.status == "succeeded", run.error
    there = online(version, DRIVERS, at=AT)

    asked = [(driver, AT) for driver in DRIVERS["driver_id"]]
    ticks = values(fresh(version), asked, *NAMES, of_ticks=True)
    assert [one or dict.fromkeys(NAMES) for one in ticks] == [
        {name: there[name][place] for name in NAMES} for place, _ in enumerate(asked)
    ]
    for place, wanted in enumerate(wanted_at(AT)):
        found = {name: there[name][place] for name in NAMES}
        same(None if found == dict.fromkeys(NAMES) else found, wanted)


@pytest.mark.parametrize("text", [TEMPORAL, EXACT])
def test_as_of_any_instant_it_is_what_scikit_learn_says(cast, source, text):
    version = approve(cast, submit(cast, text))
    materialize(version)
    ahead = (AT + HOUR / 3, AT + 4 * HOUR, AT + 9 * HOUR)
    for at in (AT, AT - HOUR / 3, AT - timedelta(microseconds=1), AT - 2 * HOUR, *ahead):
        asked = [(driver, at) for driver in DRIVERS["driver_id"]]

        found = values(fresh(version), asked, *NAMES, timing=Timing.KNOWN)

        for one, wanted in zip(found, wanted_at(at), strict=True):
            same(one, wanted)
        if text == EXACT and at >= AT:
            there = online(fresh(version), DRIVERS, at=at)
            rows = [dict(zip(there, row, strict=True)) for row in zip(*there.values(), strict=True)]
            assert rows == [one or dict.fromkeys(there) for one in found]
            assert certified(version, at=at).status == "equal"
        few = values(fresh(version), asked, "last")
        assert few == [None if one is None else {"last": one["last"]} for one in found]


def test_a_reviewer_sees_on_how_many_ticks_it_is_fitted_and_to_what(cast, source):
    version = submit(cast)
    evidence = assayed(version)

    found = fit_part(version)

    count = len(changes_in(LOOP, TICKS, OUTPUTS, "sum"))
    assert found["facts"]["features"]["sum"]["rows"] == count
    assert found["values"]["last"] == [{"categories": ["1", "2", "3", "4"]}]
    assert fitted_of(version.spec).keys() == {"sum", "last", "share"}
    seen = shown_parts(evidence, sight_of(cast.consumer, version, at=AT))[EvidencePart.FIT]
    assert seen["values"] == found["values"]


def test_whoever_may_not_read_the_values_sees_no_parameters(cast, source):
    text = TEXT.replace("3h, type: float64,", "3h, type: float64, sensitivity: restricted,")
    version = submit(cast, text)

    sight = sight_of(cast.consumer, version, at=AT)
    seen = shown_parts(assayed(version), sight)[EvidencePart.FIT]

    assert "sum" not in seen.get("values", {})
    assert "sum" in seen["withheld"]


@pytest.mark.parametrize(
    "change",
    [
        ("windows: [1h, 3h]", "windows: [1h, 3h, 7h]"),
        ("ttl: 5h", "ttl: 9h"),
        ("ttl: 5h", "ttl: 5h\naccuracy: temporal"),
        ("1h, type: int64}", f"1h, {MORE}"),
        ("owner: rides", "owner: drives"),
    ],
)  # fmt: skip
def test_what_decides_nothing_of_it_fits_nothing_anew(cast, source, change):
    first = approve(cast, submit(cast))

    second = submit(cast, TEXT.replace(*change))

    assert second.pk != first.pk
    assert second.spec.fittings == first.spec.fittings


@pytest.mark.parametrize(
    ("change", "anew"),
    [
        (("every: 1h", "every: 2h"), {"sum", "last", "share"}),
        (("column: avg_daily_trips_sum_3h", "column: avg_daily_trips_sum_1h"), {"sum", "share"}),
        (("3h, type: float64,", "3h, type: float32,"), set()),
        (("1h, type: int64}", "1h, type: float64}"), {"share"}),
        (("some / nullif", "2 * some / nullif"), {"share"}),
        (("steps: [one_hot]", "steps: [{step: one_hot, most: 2}]"), {"last"}),
    ],
)
def test_what_decides_it_fits_it_anew(cast, source, change, anew):
    first = approve(cast, submit(cast))

    second = submit(cast, TEXT.replace(*change))

    assert second.number == "2.0.0"
    before, after = first.spec.fittings, second.spec.fittings
    assert {name for name in before if before[name] != after[name]} == anew


def test_a_label_is_an_output_at_the_same_tick_and_what_a_feature_is_made_of(cast, source):
    label = "{step: target, label: acc_rate_mean_1h, smooth: 1}"
    text = TEXT.replace(
        "features:", "  - {column: acc_rate, functions: [mean], windows: [1h]}\nfeatures:"
    )
    text = text.replace("type: list<float32>,", "type: float64,").replace("one_hot", label)
    version = approve(cast, submit(cast, text))
    assert materialize(version).status == "succeeded"

    assert origins_of(version.spec)["last"].columns == {"avg_daily_trips", "acc_rate"}
    # All rows of the source have the same rate, so every category has its mean.
    assert online(version, {"driver_id": [1]}, at=AT)["last"] == [pytest.approx(0.5)]
    (parameters,) = fit_part(version)["values"]["last"]
    assert parameters["categories"] == ["1", "2", "3", "4"]
    assert parameters["mean"] == pytest.approx(0.5)
