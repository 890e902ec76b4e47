"""Sampled values beside the baseline of their version: by the measures of runs, told to few."""

from __future__ import annotations

import math
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.urls import reverse
from django.utils.html import strip_tags

from lib.instants import timestamp
from materialization.compute.limits import EngineLimits
from materialization.compute.session import open_session
from materialization.models import Baseline
from materialization.quality.drift import drift_between
from materialization.quality.profiles import ColumnProfile, Profile
from materialization.quality.profiling import profile_files
from registry.models import AuditEntry
from registry.operations.people.projects import change_project
from serving.choices import Door
from serving.usage.buffer import BUFFER
from serving.usage.edges import stored_usage
from serving.usage.noting import Answers, Read, Reading
from serving.usage.queries import Asked
from serving.usage.sampled import newest_samples
from serving.usage.sampling import MOST_OF_RECORD, Sample
from serving.usage.served import profile_of
from serving.values import encoder
from tests import factories
from tests.materialization.engine_cases import make_spec
from tests.serving.online_world import committed

pytestmark = pytest.mark.django_db
COUNT = 1_200
TRIPS = "avg_daily_trips"


def values_of(kind: str, chance: random.Random) -> list:
    """Values of a type, some of them frequent and some null."""
    start = datetime(1969, 12, 31, tzinfo=UTC)
    make = {
        "bool": lambda: chance.random() < 0.3,
        "string": lambda: chance.choice(("é", "x" * 230, f"n{chance.randrange(40)}")),
        "int32": lambda: chance.randrange(-5, 6),
        "int64": lambda: chance.choice((2**53 + 1, 2**62, chance.randrange(99))),
        "float32": lambda: float(np.float32(chance.choice((0.1, math.nan, chance.random())))),
        "float64": lambda: chance.choice((math.nan, math.inf, 0.1, chance.gauss(0, 1e9))),
        "decimal(12,2)": lambda: Decimal(chance.randrange(-999, 999)) / 100,
        "timestamp": lambda: start + timedelta(microseconds=chance.randrange(10**12)),
        "date": lambda: date(1969, 12, 1) + timedelta(days=chance.randrange(60)),
        "list<int64>": lambda: [chance.randrange(3)],
    }[kind]
    return [None if chance.random() < 0.1 else make() for _ in range(COUNT)]


def test_what_samples_say_is_what_a_run_of_the_same_rows_would(tmp_path):
    kinds = (
        "bool", "string", "int32", "int64", "float32", "float64", "decimal(12,2)", "timestamp",
        "date", "list<int64>",
    )  # fmt: skip
    chance = random.Random(7)
    names = {f"x{number}": kind for number, kind in enumerate(kinds)}
    features = make_spec(features=tuple(names.items())).features
    sides = [{name: values_of(kind, chance) for name, kind in names.items()} for _ in range(2)]
    with open_session(
        EngineLimits(memory_limit_mb=256, threads=1), directory=str(tmp_path)
    ) as asked:
        base, now = (_profiled(asked, tmp_path / f"{n}.parquet", features, side)
                     for n, side in enumerate(sides))  # fmt: skip

    served = []
    for feature in features:
        ready = encoder(feature.value_type) or (lambda value: value)
        samples = [
            {"status": "NULL_VALUE" if value is None else "PRESENT",
             "value": msgspec.json.encode(None if value is None else ready(value)).decode()}
            for value in sides[1][feature.name]
        ]  # fmt: skip
        samples += [{"status": "NOT_FOUND", "value": "null"}] * 99
        served.append(profile_of(feature.name, feature.value_type, samples))

    found = drift_between(base, Profile(COUNT, tuple(served)))
    expected = drift_between(base, now)
    for feature, mine, theirs in zip(features, served, now.columns, strict=True):
        assert (mine.rows, mine.nulls, mine.nans) == (theirs.rows, theirs.nulls, theirs.nans)
        assert mine.marks == theirs.marks, feature
        one, other = found[feature.name], expected[feature.name]
        assert msgspec.structs.asdict(one) == pytest.approx(msgspec.structs.asdict(other)), feature
        is_measured = feature.type != "list<int64>"
        assert ((one.psi is not None), mine.seen > 0) == (is_measured, is_measured)


def _profiled(asked, path, features, side) -> Profile:
    columns = {each.name: pa.array(side[each.name], each.value_type.arrow) for each in features}
    pq.write_table(pa.table(columns), path)
    return profile_files(asked, [str(path)], features, rows=COUNT)


def test_a_text_that_may_be_the_most_frequent_leaves_no_shares():
    [feature] = make_spec(features=(("x", "string"),)).features
    kept = [{"status": "PRESENT", "value": '"a"'}] * 9

    known = profile_of("x", feature.value_type, kept)
    cut = profile_of("x", feature.value_type, [*kept, {"status": "PRESENT", "value": None}])

    assert (known.top, known.seen, known.rows) == ((("a", 9),), 9, 9)
    assert (cut.top, cut.seen, cut.rows) == ((), 0, 10)


@pytest.fixture
def sampled(cast, version, stored, now):
    """A function that stores samples of trips, so many a value, while the project keeps them."""
    with committed():
        sample_every_read(cast)

    def keep(values: list[tuple[str, str]]) -> None:
        note_samples(version, TRIPS, values, at=now)
        stored()

    return keep


def sample_every_read(cast) -> None:
    change_project(
        project=cast.project, actor=cast.owner, at=factories.AT, usage_sampled_one_in=1, title="",
        approvals_required=1, approvals_required_sensitive=2,
    )  # fmt: skip


def note_samples(version, feature: str, values: list[tuple[str, str]], *, at: datetime) -> None:
    """Have this process keep statuses and values of a feature, for whoever stores them."""
    for start in range(0, len(values), MOST_OF_RECORD):
        minute = at.replace(second=0, microsecond=0) - timedelta(minutes=1 + start)
        answers = Answers()
        for status, value in values[start : start + MOST_OF_RECORD]:
            answers.add_sample(str(version), Sample(minute, feature, status, value))
        reading = Reading("rides", "r", "", (Read(str(version), (feature,)),))
        BUFFER.add(answers.records(reading, Door.ONLINE, at=minute))


def recorded(version, column: ColumnProfile, *, at) -> None:
    profile = Profile(column.rows, (column,), column.rows).to_json()
    Baseline.objects.create(
        version=version, profile=profile, rows=column.rows, runs=1, first_run=1, last_run=1,
        set_at=at,
    )  # fmt: skip


def test_it_says_how_far_they_are_on_how_many_that_rests_and_what_lacks(
    as_, cast, version, usage, sampled, now
):
    def compared():
        answer = usage(view="driver_hourly", feature=TRIPS, samples="1")
        assert answer.status_code == 200, answer.text
        return answer.json()["compared"]

    def page(who: str) -> str:
        feature = version.features.get(name=TRIPS)
        text = as_(who).get(reverse("admin:registry_feature_change", args=[feature.pk])).text
        return " ".join(strip_tags(text.replace("<", " <")).split())

    links = reverse("admin:registry_featureviewversion_change", args=[version.pk])
    address = reverse("admin:registry_feature_change", args=[version.features.get(name=TRIPS).pk])
    for who, is_led in (("owner", True), ("auditor", False)):
        _, _, led = as_(who).get(links).text.partition("<h3>Served values</h3>")
        assert (f'href="{address}"' in led.partition("</section>")[0]) == is_led
    assert compared() == []
    assert "No value of this version was sampled yet." in page("owner")
    sampled([("PRESENT", "7"), ("NOT_FOUND", "null")])
    [few] = compared()
    assert (few["samples"], few["baseline"], few["drift"]) == (2, None, {})
    assert few["why_not"].startswith("driver_hourly@1.0.0 has no baseline yet")

    usual = [("PRESENT", str(number % 10)) for number in range(5_000)]
    kind = next(each.value_type for each in version.spec.features if each.name == TRIPS)
    told = [{"status": status, "value": value} for status, value in usual]
    base = msgspec.structs.replace(profile_of(TRIPS, kind, told), std=2.0)
    recorded(version, base, at=now)
    [few] = compared()
    assert few["why_not"].startswith("too few to say: it takes 1,000 values on both sides, and 1 ")
    assert "Not compared in full: too few to say" in page("owner")

    sampled(usual[:990] + [("NULL_VALUE", "null")] * 10 + [("PRESENT", "9")] * 990)
    [said] = compared()
    assert (said["version"], said["samples"], said["why_not"]) == ("1.0.0", 1_992, "")
    assert said["statuses"] == {"PRESENT": 1_981, "NULL_VALUE": 10, "NOT_FOUND": 1}
    assert said["baseline"] == {"set_at": timestamp(now), "rows": 5_000, "nulls": 0}
    # Of ten values alike, one is now eleven twentieths: 9 × 0.05 ln 2 + 0.45 ln 5.5.
    assert said["drift"]["psi"] == pytest.approx(
        0.05 * 9 * math.log(2) + 0.45 * math.log(5.5), abs=0.1
    )
    assert said["drift"]["ks"] == pytest.approx(0.45, abs=0.02)
    assert said["drift"]["null_share"] == pytest.approx(10 / 1_991, abs=1e-6)

    asked = Asked("rides", now - timedelta(days=9), view="driver_hourly", feature=TRIPS)
    every, _ = newest_samples(stored_usage(), asked, 9_999)
    some, _ = newest_samples(stored_usage(), asked, 500)
    assert [each["at"] for each in some] == [each["at"] for each in every[:500]]
    assert len(every) == 1_992
    assert every[0]["at"] > every[-1]["at"]

    shown = page("owner")
    assert "1,992 sampled values since" in shown
    assert "Population stability index, from the baseline" in shown
    assert "Answered NULL_VALUE 10" in shown
    assert "Share of nulls in the baseline 0.00% Share of nulls in the samples 0.50%" in shown
    last = AuditEntry.objects.latest("pk").pk
    for who in ("auditor", "consumer"):
        assert "Served values" not in page(who)
    since = AuditEntry.objects.filter(pk__gt=last).values_list("verb", flat=True)
    assert set(since) <= {"user.logged_in", "user.logged_out"}  # nothing was refused


def test_once_it_is_sensitive_the_page_says_nothing_either(as_, cast, version, sampled):
    sampled([("PRESENT", "7")])
    feature = version.features.get(name=TRIPS)
    address = reverse("admin:registry_feature_change", args=[feature.pk])
    assert "Served values" in as_("owner").get(address).text
    with committed():
        text = factories.DEFINITIONS.replace("y: internal", "y: confidential")
        factories.make_version(cast, text=text)

    assert "Served values" not in as_("owner").get(address).text
