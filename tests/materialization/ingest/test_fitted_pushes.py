"""Encodings over pushed rows: fitted on those that came before, as on a file that has them.

Not for each step (``tests/contracts``).
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.urls import reverse

from materialization.edges.looks import look_at_sources
from materialization.edges.stores import push_log
from materialization.runner.assaying import assay_submission
from materialization.runner.draining import drain_logs
from registry.choices import EvidencePart, EvidenceStatus, State
from registry.evidence import NotFitted
from registry.fittings import fitted_of
from registry.models import Evidence, Fitting
from registry.operations.lifecycle.releases import retire_version
from registry.reading.parsing import InvalidDefinitions
from registry.spec.encode_steps import STEPS
from tests import factories
from tests.factories import AT, apply, make_version
from tests.materialization.ingest.push_world import DEFINITIONS, ready
from tests.materialization.ingest.test_transformed_pushes import (
    COLUMNS,
    FILES,
    PUSHED,
    as_json,
    ended,
    send,
    stored,
    view,
)
from tests.materialization.run_world import committed, fresh, materialize, offline, online, table_of
from tests.materialization.runner.test_assaying import assayed

if TYPE_CHECKING:
    from datetime import datetime

    from registry.models import FeatureViewVersion

pytestmark = pytest.mark.django_db
__all__ = ["ended", "send"]  # fixtures
HOUR = timedelta(hours=1)
CUT = AT - 5 * HOUR
FIT = f"fit: {{from: '{(AT - 20 * HOUR).isoformat()}', to: '{CUT.isoformat()}'}}"
PLAIN = """
  - {name: fare, type: float64}
  - {name: town, column: city, type: string}
  - {name: seats, type: int32}
"""
STEPS_OF = {
    "scaled": ("fare", "float64", "standard"),
    "within": ("fare", "float64", "min_max"),
    "stout": ("fare", "float32", "robust"),
    "normal": ("fare", "float64", "{step: quantile, quantiles: 20, output: normal}"),
    "bin": ("fare", "int64", "{step: bucketize, bins: 4}"),
    "wide": ("fare", "int32", "{step: bucketize, bins: 3, by: width}"),
    "filled": ("fare", "float64", "{step: impute, by: mean}, {step: log, plus: 9}, standard"),
    "places": ("seats", "float64", "{step: impute, by: median}, min_max"),
    "number": ("city", "int64", "{step: ordinal, most: 4}"),
    "marks": ("city", "list<float32>", "{step: impute, by: most_frequent}, one_hot"),
    "words": ("city", "list<float64>", "{step: tfidf, terms: 5}"),
    "foretold": ("city", "float64", "{step: target, label: seats, smooth: 2, folds: 3}"),
}


def encoded(**steps: tuple[str, str, str]) -> str:
    return "".join(
        f"  - {{name: {name}, column: {column}, type: '{kind}',"
        f" encode: {{steps: [{said}], {FIT}}}}}\n"
        for name, (column, kind, said) in steps.items()
    )


BODIES = {
    "": f"features:{PLAIN}{encoded(**STEPS_OF)}",
    "_made": "sql: SELECT *, fare * 2 AS doubled, upper(city) AS loud FROM {source}"
    " WHERE fare IS NULL OR fare < 60\nfeatures:\n"
    + encoded(
        scaled=("doubled", "float64", "standard"),
        marks=("loud", "list<float64>", "one_hot"),
        foretold=("loud", "float64", "{step: target, label: doubled}"),
    ),
}


def random_rows(seed: int) -> list[dict[str, Any]]:
    """Rows of distinct moments, three of four in the range; some correct an earlier one."""
    chance = random.Random(seed)
    moments = [AT - 20 * HOUR + timedelta(minutes=5 * n) for n in range(239)]
    rows: list[dict[str, Any]] = []
    for at in moments:
        known = at + timedelta(microseconds=chance.randrange(1_000_000))
        row = {
            "driver_id": chance.randrange(20),
            "at": at,
            "known": known,
            "fare": chance.choice([None, float("nan"), 0.0, 10.0, chance.uniform(-5, 120)]),
            "city": chance.choice([None, "", "Bern am See", "ZÜRICH", "am \U0001f600 see", "Genf"]),
            "seats": chance.choice([None, 0, 4, 5, 7]),
        }
        rows.append(row)
        if chance.random() < 0.1:
            later = known + timedelta(seconds=1)
            rows.append(row | {"fare": 55.0, "city": "Genf", "known": later})
    return rows


def submitted(cast: factories.Cast, text: str, **options: Any) -> FeatureViewVersion:
    with committed():
        return make_version(cast, state=State.IN_REVIEW, text=text, **options)


def fitted(cast: factories.Cast, text: str) -> tuple[FeatureViewVersion, Evidence]:
    """Return a ready version and the evidence on which it was approved."""
    version = submitted(cast, text, look=look_at_sources)
    with committed():
        evidence = assayed(version)
        assert "why" not in evidence.parts[EvidencePart.FIT], evidence.parts[EvidencePart.FIT]
        factories.approve(version, cast.steward)
    with committed():
        run = materialize(version)
    assert run.status == "succeeded", run.error
    return fresh(version), evidence


def test_fitted_on_what_was_pushed_as_on_a_file_that_has_it(client, cast, sources, send):
    rows = random_rows(57)
    before = [row for row in rows if row["at"] < CUT]
    table = pa.Table.from_pylist(rows, schema=pa.schema(COLUMNS))
    pq.write_table(table, sources / "rides.parquet")
    pushes = "\n---\n".join(
        (factories.ENTITY, PUSHED, view("pushes", "rides", f"features:{PLAIN}"))
    )
    since = ready(cast, pushes).table.ready_at.isoformat()

    def push(sent: list[dict[str, Any]]) -> None:
        for at in range(0, len(sent), 100):
            df = as_json(sent[at : at + 100])
            answer = send("push", {"push_source_name": "rides", "df": df})
            assert answer.status_code == 200, answer.content

    push(before)  # nobody has stored them yet: the fit has to see to that
    made = []
    for name, body in BODIES.items():
        files = view(f"files{name}", "rides_of_files", body.replace("{source}", "rides_of_files"))
        filed, known = fitted(cast, "\n---\n".join((factories.ENTITY, FILES, files)))
        pushes = view(f"pushes{name}", "rides", body.replace("{source}", "rides"))
        pushed, told = fitted(cast, "\n---\n".join((factories.ENTITY, PUSHED, pushes)))
        made.append((filed, pushed))

        assert fitted_of(pushed.spec) == fitted_of(filed.spec)
        own, others = (each.parts[EvidencePart.FIT]["facts"]["features"] for each in (told, known))
        beside = {"rows_of": "pushes@1.0.0", "stored_until": AT.isoformat()}
        beside |= {"stored_since": since, "lacks_before": since}
        assert own == {feature: facts | beside for feature, facts in others.items()}
    steps = {
        step.name for each in made[0][0].spec.fitted_features for step in each.encode.all_steps
    }
    assert steps == set(STEPS) - {"clip", "hashed"}

    push(rows)
    drain_logs()
    keys = {"driver_id": list(range(21))}
    token = factories.token_for(cast.consumer)
    for filed, pushed in made:
        assert stored(pushed) == stored(filed)
        for read in (online, offline):
            for at in (CUT, AT):
                assert repr(read(pushed, keys, at=at)) == repr(read(filed, keys, at=at))
        answers = []
        for version in (filed, pushed):
            said = {"feature_view": str(version), "df": as_json(rows[:100])}
            answer = send("compute", said, by=token)
            assert answer.status_code == 200, answer.content
            answers.append([each["values"] for each in answer.json()["results"]])
        assert answers[0] == answers[1]


RANGE = "fit: {from: 2026-02-01, to: 2026-02-20}"
SCALED = DEFINITIONS.replace(
    "features:\n",
    "features:\n  - {name: fare_scaled, column: fare, type: float64,"
    f" encode: {{steps: [standard], {RANGE}}}}}\n",
)
WHERE = "where: city <> 'Genf'\n"
SQL = "sql: SELECT *, fare * 2 AS doubled, length(city) AS long FROM trips WHERE city <> 'Genf'\n"


def trips(*fares: float) -> dict[str, Any]:
    df = {
        "driver_id": list(range(len(fares))),
        "at": [f"2026-02-10T00:00:{n:02d}Z" for n, _ in enumerate(fares)],
        "fare": fares,
        "city": ["Bern"] * len(fares),
    }
    return {"push_source_name": "trips", "df": df}


@pytest.mark.parametrize(
    "before",
    [
        pytest.param("", id="nothing was there"),
        pytest.param(DEFINITIONS + WHERE, id="other rows"),
        pytest.param(
            DEFINITIONS.replace("checks: {min: 0}", "mask: {bucket: [10]}").replace(
                "fare, type: float64", "fare, type: string"
            ),
            id="a masked form",
        ),
        pytest.param(DEFINITIONS.replace("features:", f"{SQL}features:"), id="made rows"),
    ],
)
def test_what_nobody_has_stored_as_it_came_is_refused_at_plan(cast, before):
    if before:
        ready(cast, before)

    with pytest.raises(InvalidDefinitions, match="'trips' with fare as they come") as caught:
        apply(SCALED, cast, look=look_at_sources)

    assert "Have one approved that stores them so first" in str(caught.value)


def why(version: FeatureViewVersion) -> str:
    return str(version.evidence.get(packet_hash=version.packet_hash).parts[EvidencePart.FIT]["why"])


MADE = "features:\n  - {name: doubled, type: float64}\n  - {name: long, type: int64}\n"
FITTED_ON_MADE = MADE + encoded(
    near=("doubled", "float64", "standard"),
    size=("long", "float64", "min_max"),
    foretold=("city", "float64", "{step: target, label: doubled}"),
).replace(FIT, RANGE)


def test_what_the_version_before_made_is_not_made_again(client, cast, send):
    """Rows that its condition chose, and values that its SQL gave."""
    chosen = DEFINITIONS + WHERE
    made = DEFINITIONS.replace("name: last_trip", "name: made_trip")
    named = made.replace("features:", f"{SQL}{MADE}  - {{name: city, type: string}}")
    ready(cast, chosen)
    ready(cast, named)
    rows = trips(1, 2, 6)
    rows["df"]["city"] = ["Bern", "Genf", "Basel"]
    assert send("push", rows).status_code == 200

    of_chosen, chosen_evidence = fitted(cast, SCALED + WHERE)
    text = named.replace(MADE, FITTED_ON_MADE)
    of_made, made_evidence = fitted(cast, text)

    told = [_fit_facts(each) for each in (chosen_evidence, made_evidence)]
    assert told[0] == {"fare_scaled": (2, "last_trip@1.0.0")}
    assert told[1] == dict.fromkeys(("near", "size", "foretold"), (2, "made_trip@1.0.0"))
    assert fitted_of(of_chosen.spec)["fare_scaled"][0]["mean"] == 3.5
    found = fitted_of(of_made.spec)
    assert found["near"][0]["mean"] == 7.0
    assert (found["size"][0]["min"], found["size"][0]["max"]) == (4.0, 5.0)
    client.force_login(cast.steward)
    page = client.get(reverse("admin:registry_featureviewversion_change", args=[of_made.pk]))
    assert "of made_trip@1.0.0" in page.content.decode().replace("<wbr>", "")


def _fit_facts(evidence: Evidence) -> dict[str, tuple[int, str]]:
    facts = evidence.parts[EvidencePart.FIT]["facts"]["features"]
    return {name: (each["rows"], each["rows_of"]) for name, each in facts.items()}


def test_what_is_lacking_at_the_fit_is_said_and_nothing_is_stored(cast, send):
    first = ready(cast, DEFINITIONS)
    version = submitted(cast, SCALED, look=look_at_sources)
    assayed(version)
    assert "fare_scaled: the source has no row from 2026-02-01 to 2026-02-20" in why(version)
    assert why(version).endswith("Its rows are those that last_trip@1.0.0 has stored.")
    with pytest.raises(NotFitted, match="could not be fitted"):
        factories.approve(version, cast.steward)

    other = SCALED.replace("name: last_trip", "name: other_trip")
    other = submitted(cast, other, look=look_at_sources)
    with committed():
        retire_version(version=first, actor=cast.steward, at=AT, force=True, comment="gone")
    assayed(other)
    assert "no ready version has those of the push source 'trips' with fare" in why(other)
    assert not Fitting.objects.exclude(parameters="").exists()


def test_rows_that_somebody_is_storing_are_waited_for(cast, send):
    """The fit chooses among them, and stores them itself where nobody is at it."""
    first = ready(cast, DEFINITIONS)
    rows = trips(1, 100, 3)
    rows["df"]["city"][1] = "Genf"
    assert send("push", rows).status_code == 200
    version = submitted(cast, SCALED + WHERE, look=look_at_sources)

    with push_log().draining(table_of(first).uid) as is_ours:
        assert is_ours
        assert assayed(version).status == EvidenceStatus.WAITING

    def clock() -> datetime:
        uid = table_of(first).uid
        waiting = push_log().entries(uid, after=0, until=push_log().last(uid), count=1)
        return AT if waiting else AT + timedelta(seconds=1)

    evidence = version.evidence.get(packet_hash=version.packet_hash)
    assay_submission(evidence_id=evidence.pk, worker="worker-1", clock=clock)
    evidence.refresh_from_db()
    assert evidence.status == EvidenceStatus.COMPUTED
    assert fitted_of(version.spec)["fare_scaled"][0]["mean"] == 2.0
    told = evidence.parts[EvidencePart.FIT]["facts"]["features"]["fare_scaled"]
    assert told["rows"] == 2
    assert told["stored_until"] == (AT + timedelta(seconds=1)).isoformat()
