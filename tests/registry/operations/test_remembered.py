"""What a source column was ever approved as is remembered, whichever way somebody goes round it."""

from __future__ import annotations

import pytest

from registry import approval
from registry.choices import State
from registry.operations.lifecycle import releases
from registry.operations.lifecycle.bulk import NotInBulk, approve_in_bulk
from registry.remembered import lowered
from tests import factories
from tests.factories import AT, ENTITY, SOURCE, VIEW, approve, make_version, seen

pytestmark = pytest.mark.django_db

RESTRICTED = VIEW.replace("sensitivity: internal", "sensitivity: restricted")
OTHER = VIEW.replace("name: driver_hourly", "name: driver_daily")
COPIES = SOURCE.replace("name: driver_stats", "name: copies")
OF_COPIES = OTHER.replace("source: driver_stats", "source: copies")
SQL = (
    "sql: SELECT driver_id, event_timestamp, created, conv_rate, acc_rate, {} FROM driver_stats{}\n"
)
TRIPS = "{name: avg_daily_trips,"
WORDS = VIEW.replace("Conversion rate", "Rate of conversion")
NO_TRIPS = OTHER.replace("  - {name: avg_daily_trips, type: int32, sensitivity: internal}\n", "")
FEATURES = VIEW[VIEW.index("features:") : VIEW.index("ttl:")]


def text(*documents: str) -> str:
    return "\n---\n".join(documents)


#: How somebody may define the same column again, with less.
WAYS = {
    "another view": text(ENTITY, SOURCE, OTHER),
    "a source of another name": text(ENTITY, COPIES, OF_COPIES),
    "a pattern that has the file": text(
        ENTITY, COPIES.replace("path: driver_", "path: ./*"), OF_COPIES
    ),
    "another name and case": text(
        ENTITY,
        SOURCE,
        OTHER.replace(TRIPS, "{name: trips, column: AVG_daily_trips,"),
    ),
    "something made of it": text(
        ENTITY,
        SOURCE,
        OTHER + SQL.format("CAST(avg_daily_trips + 1 AS INT) AS avg_daily_trips", ""),
    ),
    "a filter by it": text(
        ENTITY,
        SOURCE,
        OTHER.replace(TRIPS, "{name: one,")
        + SQL.format("CAST(1 AS INT) AS one", " WHERE avg_daily_trips > 9"),
    ),
    "a whole row as a value": text(
        ENTITY,
        SOURCE,
        OTHER.replace(f"{TRIPS} type: int32", "{name: one, type: string")
        + SQL.format("CAST(driver_stats AS VARCHAR) AS one", ""),
    ),
    "a row by its alias": text(
        ENTITY,
        SOURCE,
        OTHER.replace(f"{TRIPS} type: int32", "{name: one, type: string")
        + SQL.format("CAST(r AS VARCHAR) AS one", " AS r"),
    ),
    "a join key": text(
        ENTITY.replace("name: driver\n", "name: trip\n").replace("driver_id,", "avg_daily_trips,"),
        SOURCE,
        NO_TRIPS.replace("entities: [driver]", "entities: [trip]"),
    ),
    "the time of events": text(
        ENTITY,
        COPIES.replace("event_timestamp: event_timestamp", "event_timestamp: avg_daily_trips"),
        NO_TRIPS.replace("source: driver_stats", "source: copies"),
    ),
    "a time made of it": text(
        ENTITY,
        SOURCE,
        NO_TRIPS + "sql: SELECT driver_id, CAST(avg_daily_trips AS TIMESTAMP) AS event_timestamp,"
        " created, conv_rate, acc_rate FROM driver_stats\n",
    ),
    "the greatest of it": text(
        ENTITY,
        SOURCE,
        OTHER.replace(
            FEATURES,
            "aggregations:\n  - {column: avg_daily_trips, functions: [max], windows: [3d]}\n"
            "features:\n  - {name: most, column: avg_daily_trips_max_3d, type: int32}\n",
        ),
    ),
}
#: What shares nothing with it.
OTHERWISE = {
    "another column": text(ENTITY, SOURCE, OTHER.replace(TRIPS, "{name: trips, column: trips,")),
    "another file": text(ENTITY, COPIES.replace("path: driver_stats", "path: trips"), OF_COPIES),
}


@pytest.fixture
def cast(db, sources):
    return factories.make_cast(root=str(sources))


@pytest.fixture
def restricted(cast):
    """An approved version whose trips are restricted."""
    return agreed(cast, text(ENTITY, SOURCE, RESTRICTED))


def agreed(cast, definitions):
    version = make_version(cast, state=State.IN_REVIEW, text=definitions)
    approve(version, cast.steward)
    version.refresh_from_db()
    if version.state == State.IN_REVIEW:
        approve(version, cast.second_steward)
        version.refresh_from_db()
    assert version.state == State.APPROVED
    return version


def submitted(cast, definitions):
    return make_version(cast, state=State.IN_REVIEW, text=definitions)


@pytest.mark.parametrize("way", WAYS)
def test_the_same_column_again_is_a_guard_that_takes_as_many(cast, restricted, way):
    version = submitted(cast, WAYS[way])

    assert version.packet["guard"]
    assert version.change_class == "first"
    assert approval.approvals_required(version) == version.packet["approvals_required"] == 2
    reasons = [each for each in version.packet["reasons"] if "restricted" in each]
    said = "was approved as restricted in driver_hourly@1.0.0"
    assert reasons
    assert all(reason.endswith(said) for reason in reasons)
    approve(version, cast.steward)
    version.refresh_from_db()
    assert version.state == State.IN_REVIEW


@pytest.mark.parametrize("way", OTHERWISE)
def test_what_shares_nothing_with_it_is_judged_by_itself(cast, restricted, way):
    version = submitted(cast, OTHERWISE[way])

    assert (version.packet["guard"], approval.approvals_required(version)) == (False, 1)


def test_retiring_the_sensitive_version_first_makes_no_difference(cast, restricted):
    releases.deprecate_version(version=restricted, actor=cast.steward, at=AT)
    releases.retire_version(version=restricted, actor=cast.steward, at=AT, comment="away")

    version = submitted(cast, VIEW)

    assert version.packet["guard"]
    assert approval.approvals_required(version) == 2
    assert "it was approved as restricted in driver_hourly@1.0.0" in str(version.packet["reasons"])


def test_a_plan_says_so_before_anything_is_submitted(cast, restricted):
    (applied,) = [a for a in factories.apply(OTHER, cast) if a.name == "driver_daily"]

    assert "the column driver_stats.avg_daily_trips was approved as restricted" in str(
        applied.reasons
    )


def test_what_two_people_agreed_to_lower_is_settled_for_that_view_alone(cast, restricted):
    lower = agreed(cast, VIEW)
    assert lower.packet["guard"]

    words = submitted(cast, WORDS)

    assert (words.packet["guard"], approval.approvals_required(words)) == (False, 1)
    assert submitted(cast, OTHER).packet["guard"]


def test_what_was_raised_again_is_not_settled(cast, restricted):
    agreed(cast, VIEW)
    raised = agreed(cast, RESTRICTED)
    releases.deprecate_version(version=raised, actor=cast.steward, at=AT)
    releases.retire_version(version=raised, actor=cast.steward, at=AT, comment="away")

    assert approval.approvals_required(submitted(cast, WORDS)) == 2


def test_what_was_lowered_is_not_settled_for_what_is_made_of_more(cast, restricted):
    agreed(
        cast,
        text(
            ENTITY,
            SOURCE,
            OTHER.replace(TRIPS, "{name: trips, column: conv_rate,"),
        ),
    )

    other = OTHER.replace(TRIPS, "{name: trips, column: avg_daily_trips,")

    assert approval.approvals_required(submitted(cast, other)) == 2


SITE = """
kind: DataSource
name: {name}
type: http
connection: {by}
path: {path}
parameters: {{of: {of}}}
schema: {{driver_id: int64, event_timestamp: timestamp, conv_rate: float32, acc_rate: float32, avg_daily_trips: int32}}
event_timestamp: event_timestamp
"""  # noqa: E501 - one line of YAML
PRIVATE = {"name": "priv", "by": "shop", "path": "hr/cards", "of": "all"}
PUBLIC = {"name": "pub", "by": "shop", "path": "cards/masked", "of": "all"}
#: Where the view is led after its columns were lowered, and what it reads by then.
LED = {
    "another source": ("priv", PRIVATE),
    "the source to another address": ("pub", PRIVATE | {"name": "pub"}),
    "the source to another answer": ("pub", PUBLIC | {"of": "hr"}),
    "the source to another connection": ("pub", PUBLIC | {"by": "other"}),
}


@pytest.fixture
def shop(cast, settings, tmp_path):
    lines = 'kind = "http"\nurl = "https://{}.example.com/v1"\ntoken = "t"\nprojects = ["rides"]\n'
    path = tmp_path / "connections.toml"
    path.write_text("".join(f"[{name}]\n{lines.format(name)}" for name in ("shop", "other")))
    path.chmod(0o600)
    settings.CONNECTIONS_FILE = str(path)


@pytest.mark.parametrize("way", LED)
def test_what_was_lowered_of_one_address_is_not_settled_for_another(cast, shop, way):
    agreed(cast, text(ENTITY, SITE.format(**PRIVATE), RESTRICTED.replace("driver_stats", "priv")))
    beside = SITE.format(**PUBLIC | {"name": "beside", "by": "other"})
    other = RESTRICTED.replace("driver_stats", "beside").replace("driver_hourly", "driver_beside")
    agreed(cast, text(ENTITY, beside, other))
    lower = OTHER.replace("driver_stats", "pub")
    assert agreed(cast, text(ENTITY, SITE.format(**PUBLIC), lower)).packet["guard"]

    name, place = LED[way]
    moved = submitted(cast, SITE.format(**place) + "---\n" + OTHER.replace("driver_stats", name))

    assert [each.feature for each in lowered(cast.project, moved.spec)] == ["avg_daily_trips"]
    assert (moved.packet["guard"], approval.approvals_required(moved)) == (True, 2)


def test_what_was_lowered_is_settled_at_the_address_it_was_lowered_for(cast, shop):
    agreed(cast, text(ENTITY, SITE.format(**PRIVATE), RESTRICTED.replace("driver_stats", "priv")))
    lower = OTHER.replace("driver_stats", "pub")
    assert agreed(cast, text(ENTITY, SITE.format(**PUBLIC), lower)).packet["guard"]

    called = SITE.format(**PUBLIC | {"name": "again"})
    moved = submitted(cast, called + "---\n" + lower.replace("source: pub", "source: again"))

    assert (moved.packet["guard"], approval.approvals_required(moved)) == (False, 1)


def test_a_source_that_is_led_to_a_file_that_was_agreed_on_settles_nothing_by_its_name(
    cast, restricted
):
    plain = COPIES.replace("path: driver_stats", "path: trips")
    assert not agreed(cast, text(ENTITY, plain, OF_COPIES)).packet["guard"]

    moved = submitted(cast, text(COPIES, OF_COPIES))

    assert (moved.packet["guard"], approval.approvals_required(moved)) == (True, 2)


CODED = "{name: trips, column: avg_daily_trips, type: int64, encode: {steps: [%s]}}"
RAW = f"{TRIPS} type: int32, sensitivity: internal}}"
BUCKETS = "{step: bucketize, edges: [50]}"
BANDS = CODED % BUCKETS
COUNTED = """aggregations:
  - {column: avg_daily_trips, functions: [count, last], windows: [1d, 3d]}
features:
  - {name: trips, column: avg_daily_trips_count_3d, type: int64}
  - {name: more, type: int64, sql: "trips + 1"}
"""
COUNTS = OTHER.replace(FEATURES, COUNTED)
MADE = OTHER.replace(RAW, f"{TRIPS} type: bool}}") + SQL.format(
    "avg_daily_trips > 9 AS avg_daily_trips", ""
)
#: What was agreed to be less sensitive, and what tells other things of the same column.
SHED = {
    "an encoding": (OTHER.replace(RAW, BANDS), OTHER.replace(RAW, CODED.replace(
        ", encode: {steps: [%s]}", ""))),
    "edges": (OTHER.replace(RAW, BANDS), OTHER.replace(RAW, BANDS.replace("[50]", "[50, 51]"))),
    "an aggregate": (COUNTS, COUNTS.replace("trips_count_3d", "trips_last_3d")),
    "a window": (COUNTS, COUNTS.replace("trips_count_3d", "trips_count_1d")),
    "an expression": (COUNTS, COUNTS.replace("trips + 1", "trips + 2")),
    "sql": (MADE, MADE.replace("> 9", "> 8")),
}  # fmt: skip


@pytest.mark.parametrize("what", SHED)
def test_what_was_lowered_is_settled_as_it_was_made_alone(cast, restricted, what):
    before, after = SHED[what]
    assert agreed(cast, text(ENTITY, SOURCE, before)).packet["guard"]

    words = submitted(cast, before.replace("owner: ", "owner: new-"))
    assert (words.packet["guard"], approval.approvals_required(words)) == (False, 1)

    other = submitted(cast, after)
    assert (other.packet["guard"], approval.approvals_required(other)) == (True, 2)
    assert "was approved as restricted in driver_hourly@1.0.0" in str(other.packet["reasons"])


def test_what_is_made_of_a_column_that_was_lowered_itself_is_settled(cast, restricted):
    agreed(
        cast, text(ENTITY, SOURCE, OTHER.replace(TRIPS, "{name: trips, column: avg_daily_trips,"))
    )

    coded = submitted(cast, OTHER.replace(RAW, BANDS))

    assert (coded.packet["guard"], approval.approvals_required(coded)) == (False, 1)


#: A feature that is restricted, and what is made of the same column in the same version.
OPEN = {
    "an expression": COUNTS.replace("count_3d, type: int64", "count_3d, type: int64, {}"),
    "the column again": OTHER.replace(
        RAW, f"{RAW.replace('sensitivity: internal', '{}')}\n  - {CODED % BUCKETS}"
    ),
}


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("way", OPEN)
def test_less_than_another_of_the_same_version_is_told_until_it_is_agreed(cast, way, is_first):
    name = "more" if way == "an expression" else "trips"
    closed, before = (
        OPEN[way].replace("{}", f"sensitivity: {level}") for level in ("restricted", "internal")
    )
    if not is_first:
        assert not agreed(cast, text(ENTITY, SOURCE, before)).packet["guard"]

    version = agreed(cast, text(ENTITY, SOURCE, closed))
    words = submitted(cast, closed.replace("owner: ", "owner: new-"))

    assert version.packet["guard"]
    made = "trips" if way == "an expression" else "avg_daily_trips"
    assert (
        f"feature {name}: internal, and the column driver_stats.avg_daily_trips, of which {made}"
        " is made, is restricted"
    ) in version.packet["reasons"]
    assert not words.packet["guard"]


def test_what_was_never_approved_is_not_remembered(cast):
    submitted(cast, text(ENTITY, SOURCE, RESTRICTED))

    assert not submitted(cast, OTHER).packet["guard"]


def test_what_was_approved_while_another_waited_counts_at_its_approval(cast):
    waiting = submitted(cast, text(ENTITY, SOURCE, OTHER))
    assert approval.approvals_required(waiting) == 1
    agreed(cast, RESTRICTED)

    approve(waiting, cast.steward)

    waiting.refresh_from_db()
    assert waiting.state == State.IN_REVIEW


def test_public_features_of_a_column_that_was_not_are_no_light_change(cast):
    agreed(cast, text(ENTITY, SOURCE, VIEW))
    public = OTHER.replace("sensitivity: internal", "sensitivity: public")
    public = public.replace("type: float32", "type: float32, sensitivity: public")
    version = submitted(cast, public)

    with pytest.raises(NotInBulk, match="weakens a protection"):
        approve_in_bulk(version=version, actor=cast.steward, at=AT, packet_hash=seen(version))
    assert approval.approvals_required(version) == 1


def test_a_feature_computed_at_the_request_is_held_to_what_it_is_computed_from(cast, restricted):
    factories.make_ready(restricted)
    on_demand = (
        "kind: OnDemandFeatureView\nname: doubled\n"
        "inputs: {features: ['driver_hourly:avg_daily_trips']}\n"
        "features:\n  - {name: twice, type: int32, sql: 'avg_daily_trips * 2'}\n"
    )

    version = submitted(cast, on_demand)

    assert approval.approvals_required(version) == 2
    assert "driver_hourly:avg_daily_trips, of which it is computed, was approved as" in str(
        version.packet["reasons"]
    )


def test_other_projects_remember_for_themselves(cast, restricted):
    elsewhere = factories.make_project("elsewhere", cast.owner)

    assert lowered(elsewhere, restricted.spec) == []


def test_a_column_that_becomes_sensitive_says_which_views_go_on_reading_it(cast):
    agreed(cast, text(ENTITY, SOURCE, OTHER))
    agreed(cast, VIEW)

    (planned,) = (a for a in factories.apply(RESTRICTED, cast, dry_run=True) if a.reasons)
    version = submitted(cast, RESTRICTED)

    said = (
        "feature avg_daily_trips: driver_daily@1.0.0:avg_daily_trips reads the column"
        " driver_stats.avg_daily_trips as internal, and goes on doing so"
    )
    assert said in planned.reasons
    assert said in version.packet["reasons"]
    assert not version.packet["guard"]


def test_a_sensitive_feature_of_another_column_says_which_views_go_on_reading_that(cast):
    agreed(cast, text(ENTITY, SOURCE, OTHER))
    agreed(cast, RESTRICTED)

    made = SQL.format("CAST(conv_rate AS INT) AS avg_daily_trips", "")
    version = submitted(cast, RESTRICTED + made)

    said = [each for each in version.packet["reasons"] if each.endswith("goes on doing so")]
    assert said == [
        "feature avg_daily_trips: driver_daily@1.0.0:conv_rate reads the column"
        " driver_stats.conv_rate as internal, and goes on doing so"
    ]


def test_what_stays_as_sensitive_as_it_was_says_no_more_of_other_views(cast):
    agreed(cast, text(ENTITY, SOURCE, OTHER))
    agreed(cast, RESTRICTED)

    version = submitted(cast, RESTRICTED.replace("Conversion rate", "Rate of conversion"))

    assert "goes on" not in str(version.packet["reasons"])
