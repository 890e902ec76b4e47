"""Patterns are followed within bounds, and what stops a walk is named."""

from __future__ import annotations

import os

import pytest

from materialization.errors import (
    SourceFolderTooLarge,
    SourceFolderUnreadable,
    SourceOutsideRoots,
)
from materialization.sources.files import partitions_of
from materialization.sources.walking import Walk


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x\n")


def names(root, pattern, **bounds):
    walk = Walk(root, **bounds)
    found = {str(match.path.relative_to(root)): match.folders for match in walk.matches(pattern)}
    return found, sorted(str(left.removeprefix(f"{root}/")) for left in walk.left_out)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.csv", {"a.csv": ()}),
        ("a.csv", {"a.csv": ()}),
        ("none/a.csv", {}),
        ("a.csv/b.csv", {}),
        ("p=1/*.csv", {"p=1/b.csv": ()}),
        ("p=*/b.csv", {"p=1/b.csv": ("p=1",)}),
        ("p=*/q/*.csv", {"p=1/q/c.csv": ("p=1", "q")}),
        ("**/*.csv", {"a.csv": (), "p=1/b.csv": ("p=1",), "p=1/q/c.csv": ("p=1", "q")}),
        ("p=1/**/*.csv", {"p=1/b.csv": (), "p=1/q/c.csv": ("q",)}),
        ("[ab].csv", {"a.csv": ()}),
        ("_h/d.csv", {"_h/d.csv": ()}),
        ("**/_h/*.csv", {"_h/d.csv": ("_h",)}),
    ],
)
def test_a_pattern_gives_what_it_names_and_the_folders_its_wildcards_matched(
    tmp_path, pattern, found
):
    for name in ("a.csv", "p=1/b.csv", "p=1/q/c.csv", "_h/d.csv", ".e.csv"):
        touch(tmp_path / name)

    assert names(tmp_path, pattern)[0] == found


def test_what_is_hidden_is_left_out_and_told(tmp_path):
    for name in ("a.csv", ".b.csv", "~$a.csv", "_tmp/c.csv", "_year=2024/d.csv", ".x"):
        touch(tmp_path / name)

    found, left = names(tmp_path, "**/*.csv")
    assert sorted(found) == ["_year=2024/d.csv", "a.csv"]
    assert left == [".b.csv", "_tmp", "~$a.csv"]


def test_a_link_round_and_round_is_walked_once_and_one_out_of_the_root_is_refused(tmp_path):
    root = tmp_path / "root"
    touch(root / "data/a.csv")
    (root / "data/again").symlink_to(root)

    found, _ = names(root, "**/*.csv")
    assert list(found) == ["data/a.csv"]

    (root / "all").symlink_to("/")
    for pattern in ("**/*.csv", "*/*.csv", "all/**/*.csv"):
        with pytest.raises(SourceOutsideRoots, match="all is a link that leaves"):
            names(root, pattern)


@pytest.mark.parametrize("bounds", [{"max_entries": 20}, {"max_seconds": -1.0}])
def test_a_walk_ends(tmp_path, bounds):
    for number in range(21):
        touch(tmp_path / f"f{number}/a.csv")

    with pytest.raises(SourceFolderTooLarge, match="fewer folders"):
        names(tmp_path, "**/*.csv", **bounds)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
@pytest.mark.parametrize("pattern", ["**/*.csv", "closed/*.csv", "closed/a.csv", "closed/b/*.csv"])
def test_a_folder_that_may_not_be_read_is_not_an_empty_one(tmp_path, pattern):
    touch(tmp_path / "closed/a.csv")
    (tmp_path / "closed").chmod(0)
    try:
        with pytest.raises(SourceFolderUnreadable, match="closed cannot be read"):
            names(tmp_path, pattern)
    finally:
        (tmp_path / "closed").chmod(0o700)


def test_folders_say_text_and_the_innermost_counts():
    said = partitions_of(["a=1", "plain", "b=x%20y", "a=-0", "c=50%", "d=%ff", "=e", "f="])

    assert dict(said) == {"a": "-0", "b": "x y", "c": "50%", "d": "%ff", "f": ""}
    assert partitions_of(["a=__HIVE_DEFAULT_PARTITION__"]) == (("a", None),)
