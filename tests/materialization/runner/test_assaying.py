"""The evidence of a submission: what its rows look like, and what it changes."""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import Decimal
from itertools import chain, repeat
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import Unavailable
from materialization.compute.scratch import own_folder
from materialization.quality.evidence import comparison, gathering
from materialization.requests.evidence import requeue_evidence, wake_for_evidence
from materialization.runner import assaying
from materialization.runner.assaying import assay_submission, claim
from materialization.runner.ending import MAX_ATTEMPTS
from registry.choices import EvidencePart, EvidenceStatus, State
from registry.evidence import sealed
from registry.models import Evidence
from registry.operations.lifecycle import submissions
from tests.factories import AT, DEFINITIONS, VIEW, make_version, verbs_of
from tests.materialization.run_world import HOUR, ROWS, write_rows

pytestmark = pytest.mark.django_db

CHANGED = VIEW.replace(
    "source: driver_stats",
    "source: driver_stats\nsql: SELECT driver_id, event_timestamp, created, conv_rate,"
    " coalesce(conv_rate, 0) AS acc_rate, avg_daily_trips + 5 AS avg_daily_trips FROM driver_stats",
)


def assayed(version, *, at=AT, worker="worker-1") -> Evidence:
    """Do a worker's work on the evidence of the version's submission."""
    (evidence,) = version.evidence.filter(packet_hash=version.packet_hash)
    assay_submission(evidence_id=evidence.pk, worker=worker, clock=lambda: at)
    evidence.refresh_from_db()
    return evidence


def part(evidence, name):
    found = evidence.parts[name]
    assert found["state"] == "computed", found
    return found["facts"], found["values"]


@pytest.fixture
def submitted(cast, sources):
    write_rows(sources, ROWS)
    return make_version(cast, state=State.IN_REVIEW)


@pytest.fixture
def changed(cast, sources):
    """1.0.0 is approved; 2.0.0 gives acc_rate a zero for null, and five trips more."""
    write_rows(sources, ROWS)
    make_version(cast)
    return make_version(cast, state=State.IN_REVIEW, text=CHANGED)


def test_a_submission_has_the_profile_of_the_rows_it_would_make(submitted):
    facts, values = part(assayed(submitted), EvidencePart.PROFILE)

    columns = {column["name"]: column for column in facts["after"]["columns"]}
    assert facts["after"]["rows"] == 4
    assert (columns["conv_rate"]["nulls"], columns["avg_daily_trips"]["mean"]) == (1, 17.75)
    assert "min" not in columns["avg_daily_trips"]
    trips = next(c for c in values["after"]["columns"] if c["name"] == "avg_daily_trips")
    assert (trips["min"], trips["max"]) == (10, 30)
    assert len(values["sample"]) == 4
    assert {row["driver_id"] for row in values["sample"]} == {1001, 1002, 1003}


@pytest.mark.parametrize("late", [0, 1])
def test_all_computations_of_a_submission_have_so_much_time_together(submitted, settings, late):
    """Others wait for the worker: the clock is past it when the first computation is looked at."""
    end = AT + timedelta(seconds=settings.EVIDENCE_MAX_SECONDS + late)
    clock = chain([AT, AT], repeat(end))  # claimed, and begun
    (evidence,) = submitted.evidence.all()

    assay_submission(evidence_id=evidence.pk, worker="worker-1", clock=lambda: next(clock))

    evidence.refresh_from_db()
    states = {name: found["state"] for name, found in evidence.parts.items()}
    assert states[EvidencePart.PROFILE] == ("not_computed" if late else "computed")
    if late:
        why = evidence.parts[EvidencePart.PROFILE]["why"]
        assert "took longer than 1,800 s" in why
        assert "raise EVIDENCE_MAX_SECONDS" in why


def test_what_there_is_nothing_to_compare_with_says_so(submitted):
    evidence = assayed(submitted)

    assert evidence.parts[EvidencePart.COMPARISON] == {
        "state": "not_applicable",
        "why": "it is the first version: there is nothing to compare it with.",
    }
    assert part(evidence, EvidencePart.PROFILE)[0]["before"] == (
        "it is the first version: there is nothing to compare it with."
    )


def test_both_versions_are_compared_on_the_same_rows(changed):
    facts, values = part(assayed(changed), EvidencePart.COMPARISON)

    # Four rows of each version, at three times: of 1001 both rows are true at the same time.
    assert facts["rows"] == 8
    assert facts["features"]["conv_rate"]["equal"] == 8
    # Driver 1003 had no rate and has zero now.
    assert facts["features"]["acc_rate"] | {"psi": None, "ks": None} == {
        "equal": 6, "only_before": 0, "only_after": 2, "psi": None, "ks": None,
    }  # fmt: skip
    assert facts["features"]["avg_daily_trips"]["equal"] == 0
    assert facts["features"]["avg_daily_trips"]["ks"] > 0
    worst = values["avg_daily_trips"][0]
    assert worst["after"] - worst["before"] == 5
    assert {row["key"]["driver_id"] for row in values["acc_rate"]} == {1003}


def test_what_it_costs_is_measured(submitted):
    facts, _ = part(assayed(submitted), EvidencePart.COST)

    assert (facts["rows_read"], facts["rows_made"], facts["online_keys"]) == (4, 4, 3)
    assert facts["runs_a_day"] == 24
    assert facts["source_bytes"] > 0
    assert facts["online_bytes"] > 3 * 96


def test_rows_known_after_their_event_are_counted(submitted):
    facts, _ = part(assayed(submitted), EvidencePart.LEAKAGE)

    # The correction of 1001 came an hour later, the row of 1002 after two.
    assert facts["created_after_event"] == {
        "rows": 4, "later": 2, "median_seconds": 5400.0, "most_seconds": 7200.0,
    }  # fmt: skip
    assert facts["later_rows_removed"]["changed"] == {}
    assert facts["later_rows_removed"]["rows"] == 2
    assert facts["bulk_load"]["looks_so"] is False
    assert "label" in facts["separation"]["why"]


def test_rows_of_one_load_look_like_one(cast, sources):
    rows = [(n, AT - n * HOUR / 60, AT - HOUR / 60, 0.5, n) for n in range(1, 201)]
    write_rows(sources, rows)

    facts, _ = part(assayed(make_version(cast, state=State.IN_REVIEW)), EvidencePart.LEAKAGE)

    assert facts["bulk_load"] == {"rows": 200, "stamps": 1, "looks_so": True}


def test_the_evidence_binds_packet_and_parts(submitted):
    evidence = assayed(submitted)

    assert evidence.hash == sealed(submitted.packet_hash, evidence.parts)
    assert verbs_of(submitted)[-1] == "assayed"


def test_a_source_that_is_gone_is_said_in_every_part(submitted, sources):
    (sources / "driver_stats.parquet").unlink()

    evidence = assayed(submitted)

    assert evidence.is_computed
    assert {found["state"] for found in evidence.parts.values()} == {"not_computed"}
    assert "driver_stats.parquet" in evidence.parts[EvidencePart.COST]["why"]
    assert str(sources) not in str(evidence.parts)


def test_a_base_that_cannot_be_computed_leaves_the_rest(cast, sources):
    old = write_rows(sources, ROWS)
    make_version(cast)
    moved = DEFINITIONS.replace("driver_stats.parquet", "moved.parquet")
    old.rename(sources / "moved.parquet")

    evidence = assayed(make_version(cast, state=State.IN_REVIEW, text=moved))

    why = evidence.parts[EvidencePart.COMPARISON]["why"]
    assert why.startswith("driver_hourly@1.0.0 cannot be computed: ")
    assert "driver_stats.parquet" in why
    assert part(evidence, EvidencePart.PROFILE)[0]["after"]["rows"] == 4


def test_what_was_withdrawn_is_not_computed(submitted, cast):
    submissions.withdraw_version(version=submitted, actor=cast.author, at=AT)

    evidence = Evidence.objects.get(version=submitted)
    assay_submission(evidence_id=evidence.pk, worker="worker-1", clock=lambda: AT)

    evidence.refresh_from_db()
    assert "withdrawn" in evidence.parts[EvidencePart.PROFILE]["why"]


def test_of_several_workers_one_has_it(submitted):
    evidence = Evidence.objects.get(version=submitted)

    assert claim(evidence.pk, worker="worker-1", at=AT) is not None
    assert claim(evidence.pk, worker="worker-2", at=AT) is None


def test_who_lost_the_lease_changes_nothing(submitted):
    evidence = Evidence.objects.get(version=submitted)
    zombie = claim(evidence.pk, worker="worker-1", at=AT)
    requeue_evidence(at=AT + timedelta(days=1))
    done = assayed(submitted, worker="worker-2")

    assaying.end(zombie, assaying.nothing("a zombie"), at=AT)

    evidence.refresh_from_db()
    assert (evidence.hash, evidence.attempt) == (done.hash, 2)
    assert "zombie" not in str(evidence.parts)


def test_after_three_workers_died_it_says_so(submitted):
    evidence = Evidence.objects.get(version=submitted)
    for n in range(MAX_ATTEMPTS):
        assert claim(evidence.pk, worker="worker-1", at=AT + timedelta(days=n)) is not None
        requeue_evidence(at=AT + timedelta(days=n + 1))

    evidence.refresh_from_db()
    assert evidence.status == EvidenceStatus.COMPUTED
    assert evidence.parts[EvidencePart.COST]["why"] == "its worker died 3 times."


def test_an_outage_is_tried_again_and_told_in_the_end(submitted, monkeypatch):
    def away(*_):
        raise Unavailable("the store is away.")

    monkeypatch.setattr(assaying, "find_rows", away)
    for _ in range(MAX_ATTEMPTS - 1):
        assert assayed(submitted).status == EvidenceStatus.WAITING

    assert assayed(submitted).parts[EvidencePart.PROFILE]["why"] == "the store is away."


def test_a_correction_that_came_later_is_no_leak(cast, sources):
    late = (1001, AT - 9 * HOUR, AT - 1 * HOUR, 0.9, 99)
    write_rows(sources, [*ROWS, late])

    facts, _ = part(assayed(make_version(cast, state=State.IN_REVIEW)), EvidencePart.LEAKAGE)

    assert facts["later_rows_removed"]["rows"] > 0
    assert facts["later_rows_removed"]["changed"] == {}


def test_a_version_without_rows_has_nothing_to_show(cast, sources):
    write_rows(sources, [(1, AT + HOUR, AT + HOUR, 0.5, 1)])

    evidence = assayed(make_version(cast, state=State.IN_REVIEW))

    assert "makes no rows of the source" in evidence.parts[EvidencePart.PROFILE]["why"]
    assert evidence.parts[EvidencePart.LEAKAGE]["state"] == "not_computed"
    assert part(evidence, EvidencePart.COST)[0]["rows_made"] == 0


def test_what_nobody_expected_in_one_part_leaves_the_others(submitted, monkeypatch):
    def breaks(*_, **__):
        raise OverflowError("date value out of range")

    monkeypatch.setattr(gathering, "probe", breaks)
    evidence = assayed(submitted)

    assert "unexpected OverflowError" in evidence.parts[EvidencePart.LEAKAGE]["why"]
    assert part(evidence, EvidencePart.COST)


def test_a_trickle_behind_a_large_load_is_not_all_that_is_looked_at(cast, sources, settings):
    settings.EVIDENCE_ROWS = 1000
    load = [
        (n % 7, AT - 5 * HOUR + n * timedelta(seconds=1), AT - 5 * HOUR, 0.5, n)
        for n in range(1500)
    ]
    load = [(k, event, event, rate, trips) for k, event, _, rate, trips in load]
    trickle = [(n, AT - n * HOUR / 60, AT - n * HOUR / 60, 0.5, n) for n in range(1, 4)]
    write_rows(sources, [*load, *trickle])

    facts, _ = part(assayed(make_version(cast, state=State.IN_REVIEW)), EvidencePart.PROFILE)

    assert facts["after"]["rows"] > 500


def test_nothing_stays_on_the_disk(submitted):
    before = set(Path(own_folder()).iterdir())
    assayed(submitted)

    assert set(Path(own_folder()).iterdir()) == before


def test_a_long_history_is_looked_at_from_its_newest_rows(cast, sources, settings):
    settings.EVIDENCE_ROWS = 1000
    rows = [(n % 7, AT - n * HOUR, AT - n * HOUR, 0.5, n) for n in range(5000)]
    write_rows(sources, rows)

    facts, _ = part(assayed(make_version(cast, state=State.IN_REVIEW)), EvidencePart.PROFILE)

    assert 500 <= facts["after"]["rows"] <= 1500
    assert facts["window_end"] == AT.isoformat()
    assert facts["window_start"] > (AT - 1600 * HOUR).isoformat()


def test_rows_of_one_load_are_bounded_too(cast, sources, settings):
    settings.EVIDENCE_ROWS = 10
    write_rows(sources, [(n, AT - n * HOUR, AT - HOUR, 0.5, n) for n in range(1, 400)])

    evidence = assayed(make_version(cast, state=State.IN_REVIEW))

    assert evidence.parts[EvidencePart.PROFILE]["why"] == (
        "the newest part of the source that can be tried out alone has 399 rows, and evidence is"
        " made of at most 200. Parts are cut by the hour in which rows became known: have the"
        " source say it of each row, or raise EVIDENCE_ROWS."
    )


def test_a_compressed_source_is_counted_before_it_is_tried(cast, sources, settings):
    settings.EVIDENCE_ROWS = 10_000
    hours = [AT - n * HOUR for n in range(40)]
    rows = [(key, hour, hour, 0.5, 1) for hour in hours for key in range(1000)]
    path = write_rows(sources, rows)
    pq.write_table(pq.read_table(path), path, compression="zstd", compression_level=19)
    assert path.stat().st_size < 2 * len(rows)

    facts, _ = part(assayed(make_version(cast, state=State.IN_REVIEW)), EvidencePart.PROFILE)

    assert facts["after"]["rows"] <= 15_000


def test_rows_that_are_placed_by_another_time_are_said_to_be(cast, sources):
    write_rows(sources, ROWS)
    make_version(cast)
    known = DEFINITIONS.replace("event_timestamp: event_timestamp", "event_timestamp: created")
    known = known.replace("created_timestamp: created\n", "")
    assert known != DEFINITIONS

    facts, _ = part(
        assayed(make_version(cast, state=State.IN_REVIEW, text=known)), EvidencePart.COMPARISON
    )

    assert facts["times"] == {"before": ["event_timestamp", "created"], "after": ["created"]}


def test_an_aggregation_is_tried_out_too(cast, sources):
    write_rows(sources, [(n % 3, AT - n * HOUR, AT - n * HOUR, 0.5, n) for n in range(1, 60)])
    rolling = DEFINITIONS.partition("features:")[0] + (
        "aggregations:\n  - {column: avg_daily_trips, functions: [sum], windows: [1d]}\n"
        "features:\n  - {name: avg_daily_trips_sum_1d, type: float64}\n"
        "schedule: {every: 1h}\nttl: 2d\n"
    )
    evidence = assayed(make_version(cast, state=State.IN_REVIEW, text=rolling))

    assert part(evidence, EvidencePart.PROFILE)[0]["after"]["rows"] == 60
    leakage, _ = part(evidence, EvidencePart.LEAKAGE)
    assert leakage["later_rows_removed"]["changed"] == {}
    assert leakage["later_rows_removed"]["rows"] == 30
    assert "tick" in leakage["created_after_event"]["why"]


def test_the_sweep_tells_a_worker_once(submitted, monkeypatch):
    told = []
    monkeypatch.setattr("materialization.tasks.assay.delay", lambda **asked: told.append(asked))

    wake_for_evidence(at=AT)
    wake_for_evidence(at=AT + timedelta(seconds=30))
    assert told == [{"evidence_id": Evidence.objects.get(version=submitted).pk}]

    wake_for_evidence(at=AT + timedelta(seconds=90))
    assert len(told) == 2


@given(st.integers(0, 2**32))
def test_equal_and_missing_values_are_counted_as_a_loop_counts_them(seed):
    chance = random.Random(seed)
    kinds = {
        pa.float64(): [None, 0.0, 1.5, float("nan"), -2.0],
        pa.int64(): [None, 0, 1, 7],
        pa.string(): [None, "", "a", "b"],
        pa.list_(pa.int64()): [None, [], [1], [None]],
    }
    kind = chance.choice(list(kinds))
    old, new = (chance.choices(kinds[kind], k=chance.randrange(1, 30)) for _ in range(2))
    rows = min(len(old), len(new))
    old, new = old[:rows], new[:rows]
    asked = pa.table({"k": range(rows), "event_timestamp": pa.array([AT] * rows)})

    facts, examples = comparison._compare(
        pa.chunked_array([pa.array(old, kind)]), pa.chunked_array([pa.array(new, kind)]), asked
    )

    same = [str(a) == str(b) for a, b in zip(old, new, strict=True)]
    assert facts["equal"] == sum(same)
    assert facts["only_before"] == sum(
        a is not None and b is None for a, b in zip(old, new, strict=True)
    )
    assert facts["only_after"] == sum(
        a is None and b is not None for a, b in zip(old, new, strict=True)
    )
    assert len(examples) == min(10, rows - sum(same))


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ([2**53 + 1], [float(2**53)], 0),
        ([2**53], [float(2**53)], 1),
        ([Decimal("0.10")], [0.1], 1),
        ([Decimal("9007199254740993")], [2**53 + 1], 1),
        ([Decimal("9007199254740993")], [2**53], 0),
        ([None], [float("nan")], 0),
        ([None], [None], 1),
    ],
)
def test_numbers_of_two_types_are_equal_by_all_of_their_digits(old, new, same):
    kinds = {int: pa.int64(), float: pa.float64(), Decimal: pa.decimal128(20, 2)}
    kind = kinds.get(type(old[0]), pa.int64())
    asked = pa.table({"k": [1], "event_timestamp": pa.array([AT])})

    facts, _ = comparison._compare(
        pa.chunked_array([pa.array(old, kind)]),
        pa.chunked_array([pa.array(new, kinds.get(type(new[0]), pa.float64()))]),
        asked,
    )

    assert facts["equal"] == same


def test_values_that_python_has_no_word_for_are_shown_as_well():
    instants = pa.chunked_array([pa.array([2**62, None], pa.timestamp("us", tz="UTC"))])
    lists = pa.chunked_array([pa.array([[float("nan")], [1.0]])])
    asked = pa.table({"k": [1, 2], "event_timestamp": pa.array([AT, AT])})

    facts, examples = comparison._compare(instants, pa.chunked_array([[0, 0]]), asked)
    same, _ = comparison._compare(lists, lists, asked)

    assert (facts["equal"], facts["only_after"]) == (0, 1)
    assert examples[0]["before"] == str(2**62)
    assert same["equal"] == 2
