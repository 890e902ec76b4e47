"""Where a directory really is, when paths do not tell."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from lib.places import find_place, place_of

MOUNTS = [
    "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw",
    r"23 22 8:2 / /srv/my\040data rw,relatime - ext4 /dev/sdb1 rw",
    "24 22 8:2 /sales /mnt/sales rw,relatime - ext4 /dev/sdb1 rw",
    "25 22 8:1 /var/files /exports rw,relatime - ext4 /dev/sda1 rw",
    "26 22 0:40 / /exports rw,relatime - tmpfs tmpfs rw",
]


def place(path: str):
    return find_place(PurePosixPath(path), MOUNTS)


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        ("/data", "/data", True),
        ("/data", "/data/a", True),
        ("/data/a", "/data", True),
        ("/data", "/data2", False),
        ("/data/a", "/data/b", False),
        # a second mount of a part of the same file system
        ("/mnt/sales/2024", "/srv/my data/sales", True),
        ("/mnt/sales", "/srv/my data", True),
        ("/mnt/sales", "/srv/my data/costs", False),
        # equal paths inside two file systems
        ("/sales", "/mnt/sales", False),
        # what was mounted first is hidden
        ("/exports", "/var/files", False),
    ],
)
def test_two_directories_overlap_where_a_file_can_be_in_both(one, other, overlap):
    assert place(one).overlaps(place(other)) is overlap
    assert place(other).overlaps(place(one)) is overlap


def test_a_directory_is_found_on_this_machine(tmp_path):
    (tmp_path / "in").mkdir()

    assert place_of(str(tmp_path / "in")).overlaps(place_of(str(tmp_path)))
    assert not place_of(str(tmp_path)).overlaps(place_of("/proc"))


def test_without_a_list_of_mounts_paths_decide():
    assert find_place(PurePosixPath("/a/b"), []).overlaps(find_place(PurePosixPath("/a"), []))
    assert not find_place(PurePosixPath("/a"), []).overlaps(find_place(PurePosixPath("/b"), []))
