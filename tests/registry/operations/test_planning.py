"""A plan reads and nothing else: nobody waits for it, and its reads do not grow with what is sent.

Not for what a plan says: ``test_definitions``.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry import audit
from registry.models import AuditEntry, Entity, Feature, FeatureView, Project, VersionEditor
from registry.operations.registration.apply import RegisteredMeanwhile
from registry.reading.parsing import InvalidDefinitions
from tests.factories import DEFINITIONS, ENTITY, SOURCE, VIEW, apply, look, make_version

SERVICE = "kind: FeatureService\nname: eta_{n}\nfeatures: ['driver_hourly_{n}:*']\n"


def many(count: int) -> str:
    """Return so many entities, sources, views and services, each view on its own of them."""
    parts = []
    for n in range(count):
        view = VIEW.replace("driver_hourly", f"driver_hourly_{n}")
        view = view.replace("source: driver_stats", f"source: driver_stats_{n}")
        source = SOURCE.replace("name: driver_stats", f"name: driver_stats_{n}")
        parts += [ENTITY.replace("name: driver\n", f"name: driver_{n}\n"), source]
        parts += [view.replace("[driver]", f"[driver_{n}]"), SERVICE.format(n=n)]
    return "\n---\n".join(parts)


def statements(call) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        call()
    return [query["sql"] for query in captured.captured_queries]


@pytest.mark.parametrize("submit", [False, True])
def test_a_plan_is_reads_alone(committed_cast, submit):
    make_version(committed_cast)
    changed = DEFINITIONS.replace("Conversion rate", "Share")

    said = statements(
        lambda: apply(changed + "\n---\n" + many(2), committed_cast, dry_run=True, submit=submit)
    )

    assert {text.split()[0] for text in said} == {"SELECT"}
    assert not [text for text in said if "FOR " in text and "UPDATE" in text]


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="the lock of a whole SQLite database")
def test_others_write_while_a_plan_is_made(committed_cast):
    """1,000 objects; the look at each source and the reads after it leave the database alone."""
    writes = []

    def write() -> None:
        Project.objects.filter(pk=committed_cast.project.pk).update(title=f"{len(writes)}")
        writes.append(1)
        connection.close()

    def looking(*, specs, project, unseen=()):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(write).result(60)
        return look(specs=specs, project=project)

    changes = apply(many(250), committed_cast, look=looking, dry_run=True)

    assert len(changes) == 1000
    assert writes
    assert not FeatureView.objects.exists()


def test_what_is_read_grows_with_the_views_at_most_and_slowly(cast):
    """Three questions a view and one a source, of the look ahead; the rest is asked once."""

    def read(count: int) -> int:
        return len(statements(lambda: apply(many(count), cast, dry_run=True)))

    few, more, most = read(3), read(30), read(57)
    assert more - few == most - more
    assert (more - few) / 27 <= 6


def test_what_is_stored_takes_few_statements(cast):
    """An entity, a source, a view with its draft and a service, and an entry of each."""

    def stored(first: int, count: int) -> int:
        text = many(first + count).split("\n---\n")[4 * first :]
        said = statements(lambda: apply("\n---\n".join(text), cast))
        return len([text for text in said if not text.startswith("SELECT")])

    few, many_more = stored(0, 3), stored(3, 30)
    assert many_more - few <= 27 + 12  # a service's pointer; large inserts go in several statements
    assert (Entity.objects.count(), FeatureView.objects.count()) == (33, 33)
    assert AuditEntry.objects.filter(verb__endswith="ed", subject_type="entity").count() == 33
    assert (
        Feature.objects.count()
        == 33 * Feature.objects.filter(version__feature_view__name="driver_hourly_0").count()
    )
    assert VersionEditor.objects.filter(user=cast.author).count() == 33
    assert audit.verify() is None


def test_the_trail_tells_the_changes_in_the_order_they_were_sent(cast):
    apply(many(2), cast)

    entries = AuditEntry.objects.filter(actor_id=cast.author.pk, project_name="rides")
    assert [entry.verb for entry in entries.order_by("id")] == [
        *["entity.created"] * 2,
        *["data_source.created"] * 2,
        *["feature_view_version.drafted"] * 2,
        *["feature_service.created"] * 2,
    ]
    assert len({entry.act_id for entry in entries}) == 1


def test_what_changed_while_it_was_decided_is_decided_again(committed_cast):
    """Somebody's edit lands between a look and the storing of another: none of them is lost."""
    cast = committed_cast
    apply(DEFINITIONS, cast)
    once = []

    def looking(*, specs, project, unseen=()):
        if not once:
            once.append(1)
            apply(VIEW.replace("Conversion rate", "Share"), cast, actor=cast.owner)
        return look(specs=specs, project=project)

    (applied,) = apply(VIEW.replace("Conversion rate", "Portion"), cast, look=looking)

    edits = AuditEntry.objects.filter(verb="feature_view_version.edited").order_by("id")
    assert applied.change == "updated"
    assert [entry.actor_name for entry in edits] == ["owner", "author"]
    assert edits[1].before == edits[0].after


def test_nothing_is_looked_at_while_others_wait(committed_cast):
    """The source moves at every look: no file is read under the lock, the caller is told."""
    cast = committed_cast
    apply(DEFINITIONS, cast)
    looked = []

    def looking(*, specs, project, unseen=()):
        assert not connection.in_atomic_block
        looked.append(specs)
        path = f"other_{len(looked)}.parquet"
        apply(SOURCE.replace("driver_stats.parquet", path), cast, actor=cast.owner)
        return look(specs=specs, project=project)

    with pytest.raises(RegisteredMeanwhile, match="repeat"):
        apply(VIEW.replace("Conversion rate", "Portion"), cast, look=looking)

    assert len(looked) == 2


def test_views_that_follow_are_looked_at_before_anything_is_held(committed_cast):
    cast = committed_cast
    make_version(cast)

    def looking(*, specs, project, unseen=()):
        assert not connection.in_atomic_block
        return look(specs=specs, project=project)

    changes = apply(
        SOURCE.replace("driver_stats.parquet", "other.parquet"), cast, look=looking, submit=True
    )

    assert [(each.name, each.state) for each in changes][1:] == [("driver_hourly", "in_review")]


def test_a_plan_of_a_submission_says_what_the_submission_does(cast):
    planned = apply(DEFINITIONS, cast, dry_run=True, submit=True)
    done = apply(DEFINITIONS, cast, submit=True)

    assert [(a.name, a.version, a.state) for a in planned] == [
        (a.name, a.version, a.state) for a in done
    ]


def test_only_the_first_wrong_names_are_compared_with_all_there_are(cast):
    text = many(30).replace("source: driver_stats_", "source: driver_stat_")

    with pytest.raises(InvalidDefinitions) as caught:
        apply(text, cast, dry_run=True)

    messages = [each.message for each in caught.value.problems]
    assert len(messages) == 30
    assert sum("Did you mean" in each for each in messages) == 10
