"""A masked feature from its source to every reader: its form everywhere, its values nowhere."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
from bisect import bisect_right as bisect
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command

from lib.connections import get_redis
from materialization.edges.looks import look_at_sources
from materialization.models import Quarantine
from materialization.openlineage import EventType, Told, event
from registry.choices import State
from registry.mask_keys import keys_of, secret_of
from registry.models import Feature, MaskKey
from registry.operations.registration.apply import apply_definitions
from registry.reading.parsing import InvalidDefinitions, parse_files
from tests import factories
from tests.materialization.run_world import (
    AT,
    HOUR,
    ROWS,
    committed,
    differences,
    materialize,
    offline,
    online,
    write_rows,
)
from tests.materialization.runner.test_assaying import assayed
from tests.materialization.test_grants import DOORS, SECRET, TEXTS, admin
from tests.serving import historical_world, online_world

pytestmark = pytest.mark.django_db

RAW = "{name: avg_daily_trips, type: int32, sensitivity: internal}"
HASHED = "{name: hashed, type: string, column: avg_daily_trips, mask: hash%s}"
RESTRICTED = "{name: avg_daily_trips, type: string, sensitivity: restricted}"
VIEW = factories.DEFINITIONS.replace(RAW, HASHED)


def make(cast, sources, text):
    """Return an approved version with evidence, whose source has the secret in every row."""
    write_rows(sources, [(*row[:3], 0.5, SECRET) for row in ROWS], TEXTS)
    with committed():
        version = factories.make_version(cast, state=State.IN_REVIEW, text=text)
        assayed(version)
        for steward in (cast.steward, cast.second_steward):
            version.refresh_from_db()
            if version.state == State.IN_REVIEW:
                factories.approve(version, steward)
    version.refresh_from_db()
    return version


def digest(version, value, feature="hashed"):
    key = keys_of(version.spec)[feature]
    return hmac.new(key, value.encode(), hashlib.sha256).hexdigest()


@pytest.fixture
def stored(cast, sources):
    """A run of hashes that succeeded."""
    run = materialize(make(cast, sources, VIEW % ""))
    assert run.status == "succeeded", run.error
    return run


@pytest.fixture
def failed(cast, sources):
    """A run whose hashes a check refused."""
    run = materialize(make(cast, sources, VIEW % ", checks: {allowed: [a]}"))
    assert run.error_code == "checks_failed"
    return run


@pytest.mark.parametrize("door", sorted({*DOORS} - {"profile of one", "page of a feature"}))
def test_no_door_shows_the_value_of_a_hash(request, client, cast, door):
    which, address = DOORS[door]
    run = request.getfixturevalue(which)
    factories.give_grant(cast, cast.consumer, level="restricted")
    client.force_login(cast.consumer)

    response = client.get(address(run))

    assert response.status_code == 200
    assert SECRET not in response.content.decode()


def test_rows_in_quarantine_have_the_hash(client, cast, failed):
    client.force_login(cast.consumer)
    page = admin("materialization_quarantine_rows", Quarantine.objects.get(run=failed))

    said = client.get(page).content.decode()

    assert digest(failed.version, SECRET) in said
    assert SECRET not in said


def test_nothing_that_is_kept_has_the_value_or_the_secret(cast, stored, tmp_path, capsys):
    """Both stores, the folders of runs and the database, as bytes."""
    secret = secret_of(MaskKey.objects.get())
    offline_store = Path(django_settings.OFFLINE_STORE)
    files = [each.read_bytes() for each in offline_store.rglob("*") if each.is_file()]
    redis = get_redis()
    values = [redis.dump(key) or b"" for key in redis.keys("*")]
    call_command("dumpdata")
    dumped = capsys.readouterr().out.encode()

    for kept in [*files, *values, dumped]:
        assert SECRET.encode() not in kept
        assert secret not in kept
        assert secret.hex().encode() not in kept
    assert files
    assert values


def test_evidence_has_hashes_of_no_key_that_is_stored(client, cast, sources):
    version = make(cast, sources, VIEW % "")
    client.force_login(cast.owner)

    said = client.get("/api/v1/projects/rides/feature-views/driver_hourly/versions/1.0.0/review")

    assert "hashed" in said.content.decode()
    assert digest(version, SECRET) not in said.content.decode()


def test_a_reader_without_a_grant_reads_the_form_and_not_the_value(client, cast, sources):
    both = factories.DEFINITIONS.replace(RAW, f"{RESTRICTED}\n  - {HASHED % ''}")
    version = make(cast, sources, both.replace("ttl: 2d\n", ""))
    assert materialize(version).status == "succeeded"
    token = factories.token_for(cast.consumer)

    def ask(world, feature, entities):
        asked = {"features": [f"driver_hourly@1.0.0:{feature}"], "entities": entities}
        return world.ask(client, token, asked)

    one = {"driver_id": [1001]}
    doors = [(online_world, one), (historical_world, one | {"event_timestamp": [AT.isoformat()]})]
    for world, entities in doors:
        refused, read = (ask(world, each, entities) for each in ("avg_daily_trips", "hashed"))
        assert (refused.status_code, refused.json()["code"]) == (403, "grant_needed")
        assert "avg_daily_trips" in refused.content.decode()
        assert read.status_code == 200
        assert digest(version, SECRET) in read.content.decode()
        assert SECRET not in read.content.decode()


def test_two_views_over_one_column_can_be_joined(cast, sources):
    first = make(cast, sources, VIEW % "")
    second = make(cast, sources, (VIEW % "").replace("driver_hourly", "driver_daily"))
    for each in (first, second):
        assert materialize(each).status == "succeeded"

    of_one = offline(first, {"driver_id": [1001]}, at=AT)["hashed"]

    assert of_one == offline(second, {"driver_id": [1001]}, at=AT)["hashed"]
    assert of_one == [digest(first, SECRET)]


BANDS = ("<-1", "[-1, 0)", "[0, 1)", ">=1")
MASKED = factories.DEFINITIONS.replace(
    RAW,
    "\n  - ".join(
        [
            "{name: trips, type: string, column: avg_daily_trips, mask: hash}",
            "{name: band, type: string, column: avg_daily_trips, mask: {bucket: [-1, 0, 1]}}",
            "{name: rate, type: int32, column: conv_rate, mask: {bucket: [0.25, 0.5]}}",
            "{name: rate_hash, type: string, column: conv_rate, mask: {hash: rates}}",
        ]
    ),
)


@pytest.mark.parametrize("seed", range(4))
def test_online_is_what_a_training_set_has_of_random_histories(cast, sources, seed):
    dice = random.Random(seed)
    rows = [(1001, AT - 9 * HOUR, AT - 9 * HOUR, 0.5, 1)]
    for _ in range(30):
        event = AT - dice.randrange(1, 600) * HOUR / 60
        rows.append(
            (
                dice.choice([1001, 1002, 1003]),
                event,
                event + dice.choice([0, 0, 2]) * HOUR,
                dice.choice([None, 0.25, 0.5, float("nan")]),
                dice.choice([None, -2, -1, 0, 1, 7]),
            )
        )
    write_rows(sources, rows)
    with committed():
        version = factories.make_version(cast, text=MASKED)
    entities = {"driver_id": [1001, 1002, 1003, 4711]}

    for end in (AT - 4 * HOUR, AT):
        assert materialize(version, end=end).status == "succeeded"
        read = online(version, entities, at=end)
        assert repr(read).replace("'NaN'", "nan") == repr(offline(version, entities, at=end))
        compared, found = differences(version, at=end)
        assert (compared > 0, found) == (True, [])

    last = max(
        (row for row in rows if row[0] == 1001 and max(row[1], row[2]) <= AT),
        key=lambda row: (row[1], row[2]),
    )
    if [row[:3] for row in rows].count(last[:3]) == 1:
        trips, rate = last[4], last[3]
        wanted = None if trips is None else digest(version, str(trips), "trips")
        assert read["trips"][0] == wanted
        place = None if trips is None else bisect([-1, 0, 1], trips)
        assert read["band"][0] == (None if place is None else BANDS[place])
        known = None if rate is None else -1 if rate != rate else bisect([0.25, 0.5], rate)
        assert read["rate"][0] == known


def test_a_plan_over_a_masked_column_quotes_no_value(cast, sources):
    write_rows(sources, [(*row[:3], 0.5, SECRET) for row in ROWS], TEXTS)
    numbers = (VIEW % "").replace("mask: hash", "mask: {bucket: [1]}")

    with pytest.raises(InvalidDefinitions) as caught:
        apply_definitions(
            parse_files([("f.yaml", numbers)]), project=cast.project, actor=cast.author,
            at=AT, look=look_at_sources, dry_run=True,
        )  # fmt: skip

    assert "are not float64 values" in str(caught.value.data)
    assert SECRET not in str(caught.value.data)


def test_what_a_mask_is_stands_in_the_catalogue_and_in_the_review(client, cast, sources):
    text = (VIEW % "").replace("mask: hash", "mask: {bucket: [18, 30]}")
    version = factories.make_version(cast, state=State.IN_REVIEW, text=text)
    feature = Feature.objects.get(version=version, name="hashed")
    client.force_login(cast.consumer)
    listed = "/api/v1/projects/rides/features"

    found = client.get(listed, {"q": "masked"}).json()
    page = client.get(admin("registry_feature_change", feature)).content.decode()
    review = client.get(admin("registry_featureviewversion_change", version)).content.decode()

    assert [(each["name"], each["mask"]) for each in found["results"]] == [
        ("hashed", "bucket of 3")
    ]
    assert "bucket of 3" in page
    assert "&lt;18 · [18, 30) · &gt;=30" in page
    assert "masked: bucket of 3" in review


def test_open_lineage_says_that_a_column_is_masked(cast):
    spec = factories.make_version(cast, state=State.DRAFT, text=VIEW % "").spec
    told = Told("assay", "rides", "driver_hourly", "1.0.0", 1, AT, AT, "backfill")

    found = event(EventType.COMPLETE, told, spec, at=AT)

    assert '"description": "hash", "masking": true' in json.dumps(found)
