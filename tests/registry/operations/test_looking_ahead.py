"""Data are looked at where something is new: not of what is registered as it is sent."""

from __future__ import annotations

import pytest

from registry.choices import State
from registry.models import FeatureViewVersion
from registry.operations.registration.apply import apply_definitions
from registry.reading.parsing import InvalidDefinitions, parse_files
from registry.spec.sources.base import SourceColumn, SourceSchema
from tests.factories import AT, DEFINITIONS, SOURCE, VIEW, Report, make_version

pytestmark = pytest.mark.django_db

SCHEMA = SourceSchema(format="parquet", columns=(SourceColumn(name="conv_rate", type="FLOAT"),))
OTHER = VIEW.replace("driver_hourly", "driver_daily")


class Looks:
    """Notes what is looked at: a list of names a call."""

    def __init__(self):
        self.asked = []

    def __call__(self, *, specs, project, unseen=()):
        self.asked.append([spec.view.name for spec in specs])
        return [Report(schema=SCHEMA) for _ in specs]


def applied(cast, text, **options):
    look = Looks()
    changes = apply_definitions(
        parse_files([("f.yaml", text)]), project=cast.project, actor=cast.author, at=AT,
        look=look, **options,
    )  # fmt: skip
    return look.asked, {each.name: (each.change, each.looked_at) for each in changes}


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_is_registered_so_is_not_looked_at(cast, dry_run):
    applied(cast, DEFINITIONS, submit=True)

    asked, changes = applied(cast, DEFINITIONS, dry_run=dry_run)

    assert asked == []
    assert changes["driver_hourly"] == ("unchanged", False)
    assert FeatureViewVersion.objects.get().spec.schema == SCHEMA


@pytest.mark.parametrize("state", [State.DRAFT, State.IN_REVIEW, State.APPROVED])
def test_in_whatever_state_it_is(cast, state):
    make_version(cast, state=state)

    asked, changes = applied(cast, DEFINITIONS)

    assert (asked, changes["driver_hourly"]) == ([], ("unchanged", False))


def test_it_is_looked_at_where_that_is_asked_for(cast):
    applied(cast, DEFINITIONS, submit=True)

    asked, changes = applied(cast, DEFINITIONS, look_all=True)

    assert (asked, changes["driver_hourly"]) == ([["driver_hourly"]], ("unchanged", True))


def test_a_draft_is_looked_at_when_it_is_submitted(cast):
    make_version(cast, state=State.DRAFT)

    asked, _ = applied(cast, DEFINITIONS, submit=True)

    assert asked == [["driver_hourly"]]
    version = FeatureViewVersion.objects.get()
    assert (version.state, version.packet["source"]["rows"]) == (State.IN_REVIEW, 12)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("driver_stats.parquet", "other.parquet"),
        ("type: int64}]", "type: string}]"),
        ("Conversion rate", "Share of rides taken"),
    ],
)
def test_another_source_entity_or_view_is_looked_at(cast, old, new):
    make_version(cast)
    assert old in DEFINITIONS

    asked, changes = applied(cast, DEFINITIONS.replace(old, new))

    assert (asked, changes["driver_hourly"]) == ([["driver_hourly"]], ("updated", True))


def test_only_what_is_new_is_looked_at_and_all_of_it_at_once(cast):
    make_version(cast)
    third = VIEW.replace("driver_hourly", "driver_weekly")

    asked, changes = applied(cast, "---".join([DEFINITIONS, OTHER, third]))

    assert asked == [["driver_daily", "driver_weekly"]]
    assert [name for name, (_, looked) in changes.items() if not looked] == ["driver_hourly"]


def test_a_source_alone_is_looked_at_when_it_is_new(cast):
    make_version(cast)

    assert applied(cast, SOURCE)[0] == []
    assert applied(cast, SOURCE.replace("driver_stats.p", "new.p"))[0] == [["driver_stats"]]


def test_a_definition_of_before_is_looked_at(cast):
    make_version(cast)
    make_version(cast, text=VIEW.replace("Conversion rate", "Share of rides taken"))

    assert applied(cast, VIEW, dry_run=True)[0] == [["driver_hourly"]]


def test_what_somebody_changes_meanwhile_is_not_drafted_unseen(cast):
    make_version(cast)

    def slow(*, specs, project, unseen=()):
        make_version(cast, text=VIEW.replace("Conversion rate", "Share of rides taken"))
        return [Report() for _ in specs]

    with pytest.raises(InvalidDefinitions, match="send the definitions again"):
        apply_definitions(
            parse_files([("f.yaml", DEFINITIONS + "---" + OTHER)]), project=cast.project,
            actor=cast.author, at=AT, look=slow, submit=True,
        )  # fmt: skip
    assert FeatureViewVersion.objects.count() == 2
