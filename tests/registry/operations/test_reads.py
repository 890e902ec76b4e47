"""Definitions of views that read other views: what they may name, and what becomes of it.

Not for values (``tests/materialization/test_read_views.py``).
"""

from __future__ import annotations

import pytest

from registry.choices import State
from registry.lineage import graph_of
from registry.lineage_graph import Key
from registry.models import FeatureViewVersion
from registry.operations.lifecycle import releases
from registry.operations.lifecycle.packets import ReadNotApproved
from registry.operations.registration.exported import exported, names_in
from registry.reading.parsing import InvalidDefinitions
from registry.reading.writing import written
from registry.remembered import lowered
from tests import factories
from tests.factories import AT, make_version

pytestmark = pytest.mark.django_db
READ = "driver_hourly:conv_rate"
SQL = "SELECT ride_id, at, price * driver_hourly.conv_rate AS worth FROM rides"
RIDES = """
kind: Entity
name: ride
join_keys: [{{name: ride_id, type: int64}}]
---
kind: DataSource
name: rides
type: file
path: rides.parquet
event_timestamp: at
---
kind: FeatureView
name: ride_profile
entities: [ride]
source: rides
views: {views}
sql: {sql}
features:
  - {{name: worth, type: float64, sensitivity: {sensitivity}}}
"""


def rides(views=f'[{{features: ["{READ}"], on: {{driver_id: driver}}}}]', **said):
    return RIDES.format(**{"views": views, "sql": SQL, "sensitivity": "internal", **said})


def sensitive(cast, level):
    """Approve an upstream version of which ``conv_rate`` is sensitive."""
    column = "name: conv_rate, type: float32,"
    text = factories.DEFINITIONS.replace(column, f"{column} sensitivity: {level},")
    version = make_version(cast, text=text)
    if version.state == State.IN_REVIEW:
        factories.approve(version, cast.second_steward)


@pytest.fixture
def upstream(cast):
    return make_version(cast)


def test_what_is_read_is_named_by_its_number_and_embedded(cast, upstream):
    version = make_version(cast, text=rides())

    (read,) = version.spec.reads
    assert version.spec.view.views[0].features == ("driver_hourly@1.0.0:conv_rate",)
    assert (read.name, read.version, read.data) == (
        "driver_hourly", "1.0.0", upstream.data_fingerprint,
    )  # fmt: skip
    assert [(key.name, key.type, key.column) for key in read.keys] == [
        ("driver_id", "int64", "driver")
    ]
    assert (read.features, read.ttl) == ({"conv_rate": "float32"}, "2d")
    assert [each.change for each in factories.apply(rides(), cast)] == ["unchanged"] * 3


def test_an_export_sent_again_changes_nothing(cast, upstream):
    make_version(cast, text=rides())
    found = exported(names_in(cast.project, State), cast.project)
    text = "\n---\n".join(written(each.kind, each.spec) for each in found)

    assert "driver_hourly@1.0.0:conv_rate" in text
    assert {each.change for each in factories.apply(text, cast)} == {"unchanged"}


REFUSED = {
    "no sql": ({"sql": "null"}, "features of other views stand beside each row for `sql` to name"),
    "star": ({"sql": '"SELECT * FROM rides"'}, "`*` would take what is read"),
    "unknown view": (
        {
            "views": '[{features: ["nobody:x"]}]',
            "sql": SQL.replace("driver_hourly.conv_rate", "nobody.x"),
        },
        "no feature view 'nobody'",
    ),
    "unknown feature": (
        {
            "views": '[{features: ["driver_hourly:conv"]}]',
            "sql": SQL.replace("conv_rate", "conv"),
        },
        "driver_hourly@1.0.0 has no feature 'conv'. Did you mean 'conv_rate'?",
    ),
    "unread feature": (
        {"sql": SQL.replace("conv_rate", "acc_rate")},
        "'acc_rate' is not among what the view reads of driver_hourly",
    ),
    "unused feature": (
        {"views": f'[{{features: ["{READ}", "driver_hourly:acc_rate"]}}]'},
        "driver_hourly.acc_rate is read and not used",
    ),
    "whole": (
        {
            "sql": SQL.replace(
                "driver_hourly.conv_rate", "struct_extract(driver_hourly, 'conv_rate')"
            )
        },
        "write driver_hourly.feature, of conv_rate",
    ),
    "row": (
        {"sql": SQL.replace("price", "CAST(rides AS VARCHAR)")},
        "rides is a whole row; name a column",
    ),
    "other case": (
        {"sql": SQL.replace("driver_hourly.", "Driver_Hourly.")},
        "names mean what is written; write driver_hourly.conv_rate",
    ),
    "unknown version": (
        {"views": '[{features: ["driver_hourly@2.0.0:conv_rate"]}]'},
        "no approved version '2.0.0'",
    ),
    "unknown key": (
        {"views": f'[{{features: ["{READ}"], on: {{driver: driver}}}}]'},
        "'driver' is no join key of driver_hourly@1.0.0; write {theirs: ours}",
    ),
    "all features": (
        {"views": '[{features: ["driver_hourly:*"]}]'},
        "name each feature that is read",
    ),
    "itself": (
        {
            "views": '[{features: ["ride_profile:worth"]}]',
            "sql": SQL.replace("driver_hourly.conv_rate", "ride_profile.worth"),
        },
        "ride_profile cannot read itself",
    ),
    "two versions in one": (
        {"views": f'[{{features: ["{READ}", "driver_hourly@1.0.0:acc_rate"]}}]'},
        "one entry reads one version of one view",
    ),
    "two of one name": (
        {"views": f'[{{features: ["{READ}"]}}, {{features: ["{READ}"]}}]'},
        "'driver_hourly' stands twice",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_in_words(cast, upstream, case):
    said, words = REFUSED[case]

    with pytest.raises(InvalidDefinitions) as refused:
        factories.apply(rides(**said), cast)

    assert any(words in problem.message for problem in refused.value.problems), [
        problem.message for problem in refused.value.problems
    ]


def test_windows_as_of_any_instant_are_not_read(cast):
    features = factories.VIEW.split("features:")[0]
    text = "\n---\n".join((factories.ENTITY, factories.SOURCE, features)) + (
        "aggregations: [{column: conv_rate, functions: [sum], windows: [1h]}]\n"
        "accuracy: temporal\nschedule: {every: 1h}\n"
        "features: [{name: conv_rate, column: conv_rate_sum_1h, type: float64}]\n"
    )
    make_version(cast, text=text)

    with pytest.raises(InvalidDefinitions, match="driver_hourly@1.0.0 has accuracy temporal"):
        factories.apply(rides(), cast)


def test_a_version_that_is_read_is_not_retired_and_its_packet_names_who_reads_it(cast, upstream):
    reader = make_version(cast, text=rides())
    upstream.refresh_from_db()

    with pytest.raises(releases.VersionInUse, match="feature view ride_profile@1.0.0"):
        releases.retire_version(version=upstream, actor=cast.steward, at=AT)
    releases.retire_version(
        version=upstream, actor=cast.steward, at=AT, force=True, comment="it is wrong"
    )

    assert reader.packet["derived"] == []
    with pytest.raises(InvalidDefinitions, match="driver_hourly@1.0.0 is retired"):
        factories.apply(rides(sensitivity="public"), cast)


def test_the_next_version_of_what_is_read_tells_who_reads_it(cast, upstream):
    make_version(cast, text=rides())

    text = factories.DEFINITIONS.replace("Conversion rate", "Conversions a ride")
    newer = make_version(cast, text=text)

    assert newer.packet["derived"] == ["ride_profile@1.0.0: driver_hourly@1.0.0:conv_rate"]


def test_what_is_read_has_to_be_there_still_when_it_is_approved(cast, upstream):
    waiting = make_version(cast, text=rides(), state=State.IN_REVIEW)
    releases.retire_version(
        version=upstream, actor=cast.steward, at=AT, force=True, comment="it is wrong"
    )

    with pytest.raises(ReadNotApproved, match="reads driver_hourly@1.0.0, which is not approved"):
        factories.approve(FeatureViewVersion.objects.get(pk=waiting.pk), cast.steward)


def test_another_number_of_the_same_data_is_a_patch_and_other_data_a_major_change(cast, upstream):
    first = make_version(cast, text=rides())
    make_version(cast, text=factories.DEFINITIONS.replace("Conversion rate", "Conversions"))
    pinned = '[{features: ["driver_hourly@1.0.1:conv_rate"], on: {driver_id: driver}}]'

    same = make_version(cast, text=rides(pinned))
    make_version(cast, text=factories.DEFINITIONS.replace("ttl: 2d", "ttl: 3d"))
    pinned = pinned.replace("1.0.1", "1.1.0")
    other = make_version(cast, text=rides(pinned))

    assert (same.change_class, same.data_fingerprint) == ("patch", first.data_fingerprint)
    assert other.change_class == "major"
    assert "what is read of other views changed" in other.packet["reasons"]


def test_it_is_remembered_how_sensitive_what_is_read_is(cast):
    sensitive(cast, "confidential")

    draft = make_version(cast, text=rides(), state=State.DRAFT)

    (weaker,) = lowered(cast.project, draft.spec)
    assert (weaker.feature, weaker.was, weaker.version) == (
        "worth", "confidential", "driver_hourly@1.0.0",
    )  # fmt: skip
    assert draft.change_class == "first"


def test_what_decides_rows_or_their_keys_is_remembered_too(cast):
    sensitive(cast, "restricted")
    chosen = "SELECT ride_id, at, price AS worth FROM rides WHERE driver_hourly.conv_rate > 0.5"
    keyed = "CAST(driver_hourly.conv_rate * 1000 AS BIGINT) AS ride_id"
    key = f"SELECT {keyed}, at, price AS worth FROM rides"

    for sql in (chosen, key):
        draft = make_version(cast, text=rides(sql=sql), state=State.DRAFT)
        assert [each.was for each in lowered(cast.project, draft.spec)] == ["restricted"]


def test_lineage_leads_through_what_is_read(cast, upstream):
    make_version(cast, text=rides())

    graph = graph_of(cast.project)
    above = graph.around([Key("feature", "ride_profile@1.0.0:worth")], up=3, down=0)

    assert {str(step.key.name) for step in above} >= {
        "driver_hourly@1.0.0:conv_rate", "driver_stats.conv_rate", "rides.price", "rides.driver",
    }  # fmt: skip


def test_making_what_is_read_sensitive_tells_who_goes_on_giving_it(cast, upstream):
    make_version(cast, text=rides())
    column = "name: conv_rate, type: float32,"
    text = factories.DEFINITIONS.replace(column, f"{column} sensitivity: confidential,")

    raised = make_version(cast, text=text, state=State.IN_REVIEW)

    assert (
        "feature conv_rate: ride_profile@1.0.0:worth is computed from it as internal, and goes on"
        " doing so"
    ) in raised.packet["reasons"]


def test_less_sensitive_than_what_it_reads_takes_as_many_people(cast):
    sensitive(cast, "restricted")

    waiting = make_version(cast, text=rides(), state=State.IN_REVIEW)

    assert waiting.packet["guard"]
    assert waiting.packet["approvals_required"] == 2


def test_a_mask_over_what_is_read_is_for_the_view_that_stores_it(cast, upstream):
    text = rides(sql="SELECT ride_id, at, driver_hourly.conv_rate AS worth FROM rides").replace(
        "{name: worth, type: float64,", "{name: worth, type: string, mask: hash,"
    )

    with pytest.raises(InvalidDefinitions, match="Mask what is read of another view in the view"):
        factories.apply(text, cast)


def test_what_is_deprecated_is_read_with_a_warning(cast, upstream):
    releases.deprecate_version(version=upstream, actor=cast.steward, at=AT)

    planned = factories.apply(rides(), cast, dry_run=True)

    assert "reads driver_hourly@1.0.0, which is deprecated" in planned[-1].warnings
