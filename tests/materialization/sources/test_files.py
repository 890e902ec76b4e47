from __future__ import annotations

import pytest

from materialization.errors import (
    SourceFileEmpty,
    SourceFileMissing,
    SourceFileUnsupported,
    SourceOutsideRoots,
)
from materialization.sources.files import SourceAmbiguous, resolve_source
from registry.spec.sources import FileSource, TimeColumn


def source(path):
    return FileSource(name="s", path=path, event_timestamp=TimeColumn(column="t"))


def touch(path, content="x\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return str(path.resolve())


def test_a_glob_gives_the_sorted_real_paths_under_the_one_root_that_has_any(tmp_path):
    second = touch(tmp_path / "two/data/b.csv")
    first = touch(tmp_path / "two/data/a.csv")
    touch(tmp_path / "three/other/c.csv")

    roots = [str(tmp_path / name) for name in ("one", "two", "three")]
    found = resolve_source(source("data/*.csv"), roots=roots)

    assert found.paths == (first, second)
    assert found.format == "csv"


def test_files_under_two_roots_are_refused_whichever_comes_first(tmp_path):
    touch(tmp_path / "one/data/a.csv")
    touch(tmp_path / "two/data/a.csv")
    roots = [str(tmp_path / "one"), str(tmp_path / "two")]

    for order in (roots, roots[::-1]):
        with pytest.raises(SourceAmbiguous, match=f"under {order[0]} and under {order[1]}"):
            resolve_source(source("data/*.csv"), roots=order)
    nested = [str(tmp_path / "one"), str(tmp_path / "one")]
    assert len(resolve_source(source("data/*.csv"), roots=nested).paths) == 1


def test_nothing_found_names_the_pattern_and_the_roots(tmp_path):
    with pytest.raises(SourceFileMissing) as caught:
        resolve_source(source("data/*.csv"), roots=[str(tmp_path)])

    assert caught.value.data == {"path": "data/*.csv", "roots": [str(tmp_path)]}
    assert "data/*.csv" in caught.value.message


def test_an_empty_file_is_named(tmp_path):
    touch(tmp_path / "a.csv", "")
    with pytest.raises(SourceFileEmpty, match="a.csv has 0 bytes"):
        resolve_source(source("a.csv"), roots=[str(tmp_path)])


@pytest.mark.parametrize(
    "path", ["../secret.csv", "a/../../secret.csv", "/etc/passwd.csv", "~/x.csv"]
)
def test_a_path_cannot_leave_the_roots(tmp_path, path):
    with pytest.raises(SourceOutsideRoots):
        resolve_source(source(path), roots=[str(tmp_path)])


def test_a_link_out_of_the_root_is_refused_and_one_inside_is_followed(tmp_path):
    touch(tmp_path / "secret.csv")
    inside = touch(tmp_path / "root/real/a.csv")
    (tmp_path / "root/link").symlink_to(tmp_path / "root/real")
    (tmp_path / "root/out.csv").symlink_to(tmp_path / "secret.csv")

    assert resolve_source(source("link/*.csv"), roots=[str(tmp_path / "root")]).paths == (inside,)
    with pytest.raises(SourceOutsideRoots, match="leaves"):
        resolve_source(source("out.csv"), roots=[str(tmp_path / "root")])


def test_our_own_stores_are_left_out(tmp_path):
    own = touch(tmp_path / "store/t.parquet")
    theirs = touch(tmp_path / "data/t.parquet")
    forbidden = [str(tmp_path / "store")]

    assert (
        own
        not in resolve_source(
            source("**/*.parquet"), roots=[str(tmp_path)], forbidden=forbidden
        ).paths
    )
    assert resolve_source(
        source("data/*.parquet"), roots=[str(tmp_path)], forbidden=forbidden
    ).paths == (theirs,)
    with pytest.raises(SourceOutsideRoots, match="own stores"):
        resolve_source(source("store/*.parquet"), roots=[str(tmp_path)], forbidden=forbidden)


def test_names_duckdb_would_expand_and_mixed_formats_are_refused(tmp_path):
    touch(tmp_path / "odd/a[1].csv")
    touch(tmp_path / "mixed/a.csv")
    touch(tmp_path / "mixed/a.json")

    with pytest.raises(SourceFileUnsupported, match="rename it"):
        resolve_source(source("odd/*.csv"), roots=[str(tmp_path)])
    with pytest.raises(SourceFileUnsupported, match="one format"):
        resolve_source(source("mixed/*"), roots=[str(tmp_path)])


def test_compressed_text_is_of_its_format_and_parquet_is_compressed_inside(tmp_path):
    for name in ("a.csv", "b.csv.gz", "C.CSV.ZST"):
        touch(tmp_path / "text" / name)
    touch(tmp_path / "wrong/a.parquet.gz")

    assert resolve_source(source("text/*"), roots=[str(tmp_path)]).format == "csv"
    with pytest.raises(SourceFileUnsupported, match=r"these end in \.parquet\.gz\."):
        resolve_source(source("wrong/*"), roots=[str(tmp_path)])
