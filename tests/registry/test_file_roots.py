"""Which directories may become roots, and which root a version is read from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from registry.file_roots import (
    RootMoved,
    RootNotAllowed,
    RootUnknown,
    check_directory,
    find_root,
    root_of,
)
from registry.models import FileRoot
from registry.operations.registration.roots import assign_root
from tests import factories

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db(transaction=False)


def assigned(cast, folder: Path, name: str = "default") -> FileRoot:
    folder.mkdir(exist_ok=True)
    return assign_root(
        project=cast.project, path=str(folder), name=name, actor=None, at=factories.AT
    )


def test_a_root_outside_the_installations_says_what_to_set_on_the_server(settings, tmp_path):
    settings.FILE_ROOTS = [str(tmp_path / "data")]

    with pytest.raises(RootNotAllowed, match="set FILE_ROOTS on the server and restart it"):
        check_directory(str(tmp_path))


def test_a_root_that_is_not_there_is_refused(settings, tmp_path):
    settings.FILE_ROOTS = [str(tmp_path)]

    with pytest.raises(RootNotAllowed, match="is not a directory on the server"):
        check_directory(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("directory", ["", "state", "state/redis", "offline/tables"])
def test_a_root_holds_none_of_our_own_state(settings, tmp_path, directory):
    settings.FILE_ROOTS = [str(tmp_path)]
    settings.STATE_DIR, settings.OFFLINE_STORE = tmp_path / "state", tmp_path / "offline"
    (tmp_path / directory).mkdir(parents=True, exist_ok=True)

    with pytest.raises(RootNotAllowed, match="keeps its own state"):
        check_directory(str(tmp_path / directory))


@pytest.mark.parametrize("key", ["password_file", "sslrootcert"])
def test_a_root_holds_no_file_that_a_connection_names(settings, tmp_path, key):
    settings.FILE_ROOTS = [str(tmp_path)]
    (tmp_path / "keys").mkdir()
    (tmp_path / "data").mkdir()
    settings.CONNECTIONS_FILE = ""
    settings.CONNECTIONS = (
        '[warehouse]\nkind = "postgres"\nhost = "h"\ndatabase = "d"\nuser = "u"\n'
        f'{key} = "{tmp_path}/keys/warehouse.json"\n'
    )

    assert check_directory(str(tmp_path / "data")) == str(tmp_path / "data")
    with pytest.raises(RootNotAllowed, match=r"keys/warehouse\.json', where Assay keeps its own"):
        check_directory(str(tmp_path / "keys"))


def test_a_root_is_the_real_directory_behind_a_link(settings, tmp_path):
    settings.FILE_ROOTS = [str(tmp_path / "data")]
    (tmp_path / "data").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "data/link").symlink_to(tmp_path / "secret")

    with pytest.raises(RootNotAllowed, match=f"root '{tmp_path}/secret' is outside"):
        check_directory(str(tmp_path / "data/link"))


def test_a_source_without_a_root_means_the_default_else_the_only_one(cast, sources):
    assert find_root(cast.project, "") is None
    only = assigned(cast, sources / "a", "sales")
    assert find_root(cast.project, "") == only
    assigned(cast, sources / "b", "costs")
    assert find_root(cast.project, "") is None
    default = assigned(cast, sources / "c")
    assert find_root(cast.project, "") == default
    assert find_root(cast.project, "sales") == only


def test_a_version_names_its_root_and_embeds_which_place_that_is(cast, sources):
    root = assigned(cast, sources / "a", "sales")

    spec = factories.make_version(cast).spec

    assert (spec.rows_from.root, spec.root_identity) == ("sales", root.identity)
    assert root_of(spec, cast.project).path == str(sources / "a")


def test_naming_the_root_that_is_meant_anyway_changes_nothing(cast, sources):
    assigned(cast, sources / "a", "sales")
    factories.make_version(cast)

    named = factories.DEFINITIONS.replace("type: file", "type: file\nroot: sales")
    applied = {each.name: each.change for each in factories.apply(named, cast)}

    assert applied["driver_hourly"] == "unchanged"


def test_a_version_is_never_read_from_another_place(cast, sources):
    """However the row came to say so: the identity is made of the place itself."""
    root = assigned(cast, sources / "a")
    spec = factories.make_version(cast).spec
    (sources / "b").mkdir()

    FileRoot.objects.filter(pk=root.pk).update(path=str(sources / "b"))

    with pytest.raises(RootMoved, match="'default' is in another place than when driver_hourly"):
        root_of(spec, cast.project)


def test_a_link_in_the_place_of_the_directory_is_not_followed(cast, sources):
    assigned(cast, sources / "a")
    spec = factories.make_version(cast).spec
    (sources / "a").rename(sources / "b")
    (sources / "a").symlink_to(sources / "b")

    with pytest.raises(RootNotAllowed, match="behind a symbolic link"):
        root_of(spec, cast.project)


def test_a_root_that_is_not_known_names_those_that_are(cast, sources):
    spec = factories.make_version(cast).spec
    with pytest.raises(RootUnknown, match="manage.py assign_root rides DIRECTORY"):
        root_of(spec, cast.project)
    assigned(cast, sources / "a", "sales")
    assigned(cast, sources / "b", "costs")
    with pytest.raises(RootUnknown, match="several roots; say which: root: costs"):
        root_of(spec, cast.project)
    named = msgspec.structs.replace(spec, source=msgspec.structs.replace(spec.source, root="sale"))
    with pytest.raises(RootUnknown, match="no root 'sale'. Did you mean 'sales'"):
        root_of(named, cast.project)
