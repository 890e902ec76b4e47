"""Roots are assigned, moved and released by superusers only, and a move makes drafts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.management import CommandError, call_command
from django.urls import reverse

from registry.access import ActionNotPermitted
from registry.choices import State
from registry.file_roots import RootsOverlap
from registry.models import AuditEntry, FeatureViewVersion, FileRoot, Project
from registry.operations.registration import roots
from registry.reading.parsing import InvalidDefinitions
from tests import factories
from tests.factories import AT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db(transaction=False)


@pytest.fixture(autouse=True)
def _looked_at(settings) -> None:
    settings.SOURCE_LOOK = "tests.factories.look"


def assign(cast, folder: Path, *, actor=None, project=None, name="default") -> FileRoot:
    folder.mkdir(parents=True, exist_ok=True)
    return roots.assign_root(
        project=project or cast.project, path=str(folder), actor=actor, at=AT, name=name
    )


def last_entry() -> tuple[str, str, object, object]:
    entry = AuditEntry.objects.latest("id")
    return entry.verb, entry.actor_name, entry.before, entry.after


PEOPLE = ["owner", "author", "steward", "operator", "consumer", "auditor", "outsider"]


@pytest.mark.parametrize("who", PEOPLE)
def test_nobody_in_a_project_decides_where_its_files_are(cast, sources, who):
    root, actor = assign(cast, sources / "a"), getattr(cast, who)
    (sources / "b").mkdir()
    path = str(sources / "b")

    with pytest.raises(ActionNotPermitted, match="only superusers"):
        roots.assign_root(project=cast.project, path=path, actor=actor, at=AT, name="more")
    with pytest.raises(ActionNotPermitted, match="only superusers"):
        roots.move_root(root=root, path=path, actor=actor, at=AT)
    with pytest.raises(ActionNotPermitted, match="only superusers"):
        roots.release_root(root=root, actor=actor, at=AT)
    assert list(FileRoot.objects.values_list("path", flat=True)) == [str(sources / "a")]


def test_nobody_at_all_is_not_the_shell_of_the_server(cast, sources):
    with pytest.raises(ActionNotPermitted):
        assign(cast, sources / "a", actor=AnonymousUser())


def test_assigning_moving_and_releasing_leave_their_entries(cast, sources):
    root = assign(cast, sources / "a", actor=cast.superuser)
    first = {"name": "default", "path": str(sources / "a"), "identity": root.identity}
    assert last_entry() == ("file_root.assigned", "superuser", None, first)

    (sources / "b").mkdir()
    roots.move_root(root=root, path=str(sources / "b"), actor=cast.superuser, at=AT)
    root.refresh_from_db()
    second = {"name": "default", "path": str(sources / "b"), "identity": root.identity}
    assert last_entry() == ("file_root.moved", "superuser", first, second)

    roots.release_root(root=root, actor=cast.superuser, at=AT)
    assert last_entry() == ("file_root.released", "superuser", second, None)
    assert not FileRoot.objects.exists()


@pytest.mark.parametrize("theirs", ["", "a", "a/deep", "link"])
def test_a_strangers_project_cannot_have_what_is_under_our_root(cast, sources, theirs):
    assign(cast, sources / "a")
    (sources / "link").symlink_to(sources / "a")
    stranger = factories.make_project("trips", cast.outsider)

    with pytest.raises(RootsOverlap, match="the root default of project rides"):
        assign(cast, sources / theirs, project=stranger)
    root = assign(cast, sources / "b", project=stranger)
    with pytest.raises(RootsOverlap):
        roots.move_root(root=root, path=str(sources / "a"), actor=cast.superuser, at=AT)


def test_two_roots_of_one_project_do_not_overlap_either(cast, sources):
    assign(cast, sources / "a")

    with pytest.raises(RootsOverlap):
        assign(cast, sources / "a/b", name="more")
    with pytest.raises(roots.RootNameTaken, match="move that one"):
        assign(cast, sources / "b")


def test_a_root_grows_into_the_directory_around_it(cast, sources):
    root = assign(cast, sources / "a/b")
    assert roots.move_root(root=root, path=str(sources / "a"), actor=cast.superuser, at=AT) == []


def test_a_move_makes_major_drafts_of_the_views_under_the_root_and_of_no_other(cast, sources):
    root = assign(cast, sources / "a")
    assign(cast, sources / "other", name="other")
    approved = factories.make_version(cast)
    aside = factories.DEFINITIONS.replace("name: driver_stats", "name: elsewhere\nroot: other")
    aside = aside.replace("source: driver_stats", "source: elsewhere")
    factories.make_version(cast, text=aside.replace("driver_hourly", "driver_daily"))
    (sources / "b").mkdir()

    moved = roots.move_root(root=root, path=str(sources / "b"), actor=cast.superuser, at=AT)

    assert [(each.name, each.classification) for each in moved] == [("driver_hourly", "major")]
    assert moved[0].reasons == ["place of the source's root changed"]
    draft = FeatureViewVersion.objects.get(feature_view=approved.feature_view, state=State.DRAFT)
    root.refresh_from_db()
    assert draft.spec.root_identity == root.identity != approved.spec.root_identity
    assert draft.data_fingerprint != approved.data_fingerprint
    assert draft.metadata_fingerprint == approved.metadata_fingerprint
    approved.refresh_from_db()
    assert approved.state == State.APPROVED


def test_whoever_moves_a_root_cannot_approve_what_follows(cast, sources):
    root = assign(cast, sources / "a")
    factories.make_version(cast)
    (sources / "b").mkdir()

    moved = roots.move_root(root=root, path=str(sources / "b"), actor=cast.superuser, at=AT)

    assert moved[0].draft is not None
    assert moved[0].draft.editors.filter(user=cast.superuser).exists()


def test_a_move_to_where_it_is_changes_nothing(cast, sources):
    root = assign(cast, sources / "a")
    factories.make_version(cast)
    entries = AuditEntry.objects.count()

    assert roots.move_root(root=root, path=root.path, actor=cast.superuser, at=AT) == []
    assert AuditEntry.objects.count() == entries


def test_a_root_that_versions_read_is_not_released(cast, sources):
    root = assign(cast, sources / "a")
    factories.make_version(cast)

    with pytest.raises(roots.RootInUse, match=r"driver_hourly@1\.0\.0; retire them first"):
        roots.release_root(root=root, actor=cast.superuser, at=AT)
    assert FileRoot.objects.exists()


# --- the doors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["assign_root", "move_root", "release_root"])
@pytest.mark.parametrize(("who", "may"), [("superuser", True), ("owner", False), ("author", False)])
def test_who_may_press_the_buttons_of_the_admin(as_, cast, sources, who, may, door):
    root = assign(cast, sources / "a")
    (sources / "b").mkdir()
    post = {"name": "more" if door == "assign_root" else "default", "path": str(sources / "b")}
    entries = AuditEntry.objects.exclude(verb="access.denied").count()

    url = reverse(f"admin:registry_project_{door}", args=[cast.project.pk])
    response = as_(who).post(url, post)

    assert response.status_code == 302
    verb = "access.denied" if not may else f"file_root.{door.partition('_')[0]}"
    assert AuditEntry.objects.latest("id").verb.startswith(verb)
    assert (AuditEntry.objects.exclude(verb="access.denied").count() > entries) is may
    kept = [root.path] == list(FileRoot.objects.values_list("path", flat=True))
    assert kept is not may


def test_what_is_typed_wrongly_stays_on_the_page(as_, cast, sources):
    url = reverse("admin:registry_project_assign_root", args=[cast.project.pk])

    response = as_("superuser").post(url, {"name": "", "path": "/typed"})

    assert (response.status_code, 'value="/typed"' in response.text) == (422, True)


@pytest.mark.parametrize(("who", "sees"), [("owner", True), ("consumer", False)])
def test_members_see_roots_and_owners_see_where_they_are(as_, api, cast, sources, who, sees):
    root = assign(cast, sources / "a")

    answer = api(getattr(cast, who)).get("/api/v1/projects/rides/roots").json()["results"]
    page = as_(who).get(reverse("admin:registry_project_change", args=[cast.project.pk])).text

    assert [(each["name"], each["identity"]) for each in answer] == [("default", root.identity)]
    assert ("path" in answer[0]) is sees
    assert (root.path in page) is sees
    assert root.identity in page


def test_outsiders_do_not_learn_of_roots(api, cast):
    assert api(cast.outsider).get("/api/v1/projects/rides/roots").status_code == 404
    assert api().get("/api/v1/projects/rides/roots").status_code == 401


def test_a_root_is_assigned_at_the_shell_of_the_server(cast, sources, capsys):
    call_command("assign_root", "rides", str(sources), "--name", "sales")

    assert "reads" in capsys.readouterr().out
    assert last_entry()[:2] == ("file_root.assigned", "system")
    with pytest.raises(CommandError, match="overlaps"):
        call_command("assign_root", "rides", str(sources), "--name", "again")
    with pytest.raises(CommandError, match="no project 'trips'"):
        call_command("assign_root", "trips", str(sources))


def test_a_project_is_made_with_its_roots_or_not_at_all(cast, sources):
    for name in ("a", "b"):
        (sources / name).mkdir()
    given = [f"--root={sources}/a", f"--root=costs={sources}/b"]

    call_command("create_project", "trips", "--owner", "owner", *given)

    found = dict(FileRoot.objects.values_list("name", "path"))
    assert found == {"default": str(sources / "a"), "costs": str(sources / "b")}
    with pytest.raises(CommandError, match="overlaps"):
        call_command("create_project", "food", "--owner", "owner", *given)
    assert not Project.objects.filter(name="food").exists()


def test_a_definition_cannot_name_a_place_or_a_roots_identity(cast):
    for key, value in (("root", "../etc"), ("root_identity", "0" * 16)):
        text = factories.DEFINITIONS.replace("type: file", f"type: file\n{key}: {value!r}")
        with pytest.raises(InvalidDefinitions):
            factories.apply(text, cast)
