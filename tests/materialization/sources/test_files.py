from __future__ import annotations

import pytest

from materialization.errors import (
    SourceFileEmpty,
    SourceFileMissing,
    SourceFileUnsupported,
    SourceFolderUnreadable,
    SourceOutsideRoots,
)
from materialization.sources.files import Whereabouts, resolve_source
from registry.spec.sources.base import TimeColumn
from registry.spec.sources.files import FileSource
from tests.unreadable import entered, unreadable


def source(path):
    return FileSource(name="s", path=path, event_timestamp=TimeColumn(column="t"))


def touch(path, content="x\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return str(path.resolve())


def test_a_glob_gives_the_sorted_real_paths_under_the_root(tmp_path):
    second = touch(tmp_path / "two/data/b.csv")
    first = touch(tmp_path / "two/data/a.csv")
    touch(tmp_path / "one/data/c.csv")

    found = resolve_source(source("data/*.csv"), root=str(tmp_path / "two"))

    assert found.paths == (first, second)
    assert found.format == "csv"


def test_nothing_found_names_the_pattern_and_the_root_but_not_where_it_is(tmp_path):
    with pytest.raises(SourceFileMissing) as caught:
        resolve_source(source("data/*.csv"), root=str(tmp_path), name="sales")

    assert caught.value.data == {"path": "data/*.csv", "root": "sales"}
    assert "'data/*.csv' under the root sales" in caught.value.message
    assert str(tmp_path) not in caught.value.message


def test_a_root_that_is_not_there_is_said_and_not_that_it_has_no_file(tmp_path):
    with pytest.raises(SourceFolderUnreadable, match="folder of the root sales is not there"):
        resolve_source(source("*.csv"), root=str(tmp_path / "unmounted"), name="sales")


def test_a_link_into_a_folder_that_may_not_be_entered_is_said(tmp_path):
    touch(tmp_path / "private/a.csv")
    (tmp_path / "link.csv").symlink_to("private/a.csv")
    tmp_path.chmod(0o755)

    with (
        entered(tmp_path),
        unreadable(tmp_path / "private"),
        pytest.raises(SourceFolderUnreadable, match="private cannot be read .Permission denied"),
    ):
        resolve_source(source("*.csv"), root=str(tmp_path))


def test_a_root_that_may_not_be_read_is_called_by_its_name(tmp_path):
    where = Whereabouts(root=str(tmp_path), name="sales")

    with unreadable(tmp_path), pytest.raises(SourceFolderUnreadable) as caught, where.telling():
        resolve_source(source("*.csv"), root=str(tmp_path), name="sales")

    assert caught.value.message.startswith("the folder of the root sales cannot be read")


def test_an_empty_file_is_named(tmp_path):
    touch(tmp_path / "a.csv", "")
    with pytest.raises(SourceFileEmpty, match="a.csv has 0 bytes"):
        resolve_source(source("a.csv"), root=str(tmp_path))


@pytest.mark.parametrize(
    "path", ["../secret.csv", "a/../../secret.csv", "/etc/passwd.csv", "~/x.csv"]
)
def test_a_path_cannot_leave_the_roots(tmp_path, path):
    with pytest.raises(SourceOutsideRoots):
        resolve_source(source(path), root=str(tmp_path))


def test_a_link_out_of_the_root_is_refused_and_one_inside_is_followed(tmp_path):
    touch(tmp_path / "secret.csv")
    inside = touch(tmp_path / "root/real/a.csv")
    (tmp_path / "root/link").symlink_to(tmp_path / "root/real")
    (tmp_path / "root/out.csv").symlink_to(tmp_path / "secret.csv")

    assert resolve_source(source("link/*.csv"), root=str(tmp_path / "root")).paths == (inside,)
    with pytest.raises(SourceOutsideRoots, match="leaves"):
        resolve_source(source("out.csv"), root=str(tmp_path / "root"))


def test_our_own_stores_are_left_out(tmp_path):
    own = touch(tmp_path / "store/t.parquet")
    theirs = touch(tmp_path / "data/t.parquet")
    forbidden = [str(tmp_path / "store")]

    assert (
        own
        not in resolve_source(source("**/*.parquet"), root=str(tmp_path), forbidden=forbidden).paths
    )
    assert resolve_source(
        source("data/*.parquet"), root=str(tmp_path), forbidden=forbidden
    ).paths == (theirs,)
    with pytest.raises(SourceOutsideRoots, match="own stores"):
        resolve_source(source("store/*.parquet"), root=str(tmp_path), forbidden=forbidden)


def test_names_duckdb_would_expand_and_mixed_formats_are_refused(tmp_path):
    touch(tmp_path / "odd/a[1].csv")
    touch(tmp_path / "mixed/a.csv")
    touch(tmp_path / "mixed/a.json")

    with pytest.raises(SourceFileUnsupported, match="rename it"):
        resolve_source(source("odd/*.csv"), root=str(tmp_path))
    with pytest.raises(SourceFileUnsupported, match="one format"):
        resolve_source(source("mixed/*"), root=str(tmp_path))


def test_compressed_text_is_of_its_format_and_parquet_is_compressed_inside(tmp_path):
    for name in ("a.csv", "b.csv.gz", "C.CSV.ZST"):
        touch(tmp_path / "text" / name)
    touch(tmp_path / "wrong/a.parquet.gz")

    assert resolve_source(source("text/*"), root=str(tmp_path)).format == "csv"
    with pytest.raises(SourceFileUnsupported, match=r"these end in \.parquet\.gz\."):
        resolve_source(source("wrong/*"), root=str(tmp_path))
