"""What every offline store promises: once however often, all or nothing, snapshots that stay."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pytest

from materialization.edges.stores import OFFLINE, offline_store
from materialization.stores import delta_care
from materialization.stores.columns import stored_schema
from materialization.stores.offline import DeltaOfflineStore
from materialization.stores.offline_protocol import (
    BadStagedFile,
    OfflineStoreBehind,
    OfflineStoreUnavailable,
    TableOutsideStore,
)
from materialization.stores.offline_values import StoredFile, TableAt
from tests.buckets import Bucket
from tests.materialization.store_cases import SPEC, US, T, batch, commit, row, write_staged
from tests.unreadable import as_nobody, entered, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR, MILLISECOND = timedelta(hours=1), timedelta(milliseconds=1)


class FolderWorld:
    """What an offline store keeps in a folder, as somebody else may change it."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        """There is nothing to be made ready."""

    def write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def has(self, path: Path) -> bool:
        return path.exists()

    def lose(self, path: Path) -> None:
        path.unlink()

    def kept(self, table: Path) -> dict[str, bytes]:
        """Return each file of a table by its name there."""
        files = (each for each in table.rglob("*") if each.is_file())
        return {str(each.relative_to(table)): each.read_bytes() for each in files}

    def give(self, table: Path, kept: dict[str, bytes]) -> None:
        for name, content in kept.items():
            self.write(table / name, content)


class BucketWorld(FolderWorld):
    """The same in a bucket; the folder has copies, which tell nothing."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        settings = request.getfixturevalue("settings")
        self._bucket = Bucket(request.getfixturevalue("storage"))
        self._root = request.getfixturevalue("tmp_path")
        settings.OFFLINE_BUCKET = self._bucket.as_store

    def write(self, path: Path, content: bytes) -> None:
        self._bucket.put(self._key(path), content)

    def has(self, path: Path) -> bool:
        return self._key(path) in self._bucket.keys("store")

    def lose(self, path: Path) -> None:
        self._bucket.remove(self._key(path))

    def give(self, table: Path, kept: dict[str, bytes]) -> None:
        super().give(table, kept)
        for name, content in kept.items():
            (table / name).parent.mkdir(parents=True, exist_ok=True)
            (table / name).write_bytes(content)

    def kept(self, table: Path) -> dict[str, bytes]:
        keys = self._bucket.keys(self._key(table))
        return {str(Path(key).relative_to(self._key(table))): self._bucket.get(key) for key in keys}

    def _key(self, path: Path) -> str:
        return f"store/{path.relative_to(self._root).as_posix()}"


WORLDS = {"folder": FolderWorld, "bucket": BucketWorld}


@pytest.fixture(params=OFFLINE)
def world(request, settings, tmp_path):
    settings.OFFLINE_STORE = tmp_path
    return WORLDS[request.param](request)


@pytest.fixture
def store(world):
    return offline_store()


@pytest.fixture
def in_a_folder(tmp_path):
    """Give a store in a folder, for what only folders have."""
    return DeltaOfflineStore(tmp_path)


@pytest.fixture
def place(tmp_path):
    return TableAt(str(tmp_path / "rides" / "driver_stats" / "abc"))


def read(files):
    offline_store().bring(files)
    return duckdb.sql("SELECT * FROM read_parquet(?)", params=[list(files)]).fetchall()


@pytest.mark.parametrize("known", [True, False])
def test_a_folder_that_may_not_be_entered_is_no_table_that_is_not_there(
    in_a_folder, place, tmp_path, known
):
    store = in_a_folder
    written = commit(store, place, [batch(row())])
    at = TableAt(place.uri, written.identity, written.version) if known else place

    with unreadable(tmp_path), pytest.raises(OfflineStoreUnavailable) as caught:
        store.snapshot(at)

    assert caught.value.code == "offline_store_unavailable"
    assert "Permission denied" in caught.value.message


def test_what_the_library_says_is_one_line_without_colours(in_a_folder, place):
    store = in_a_folder
    commit(store, place, [batch(row())])
    with unreadable(Path(place.uri)), pytest.raises(OfflineStoreUnavailable) as caught:
        store.snapshot(place)

    assert "Permission denied" in caught.value.message
    assert not any(each in caught.value.message for each in ("u001b", "\x1b", "\n", "↳"))


@contextmanager
def write_protected(place: TableAt, name: str) -> Iterator[None]:
    """Let nobody write to one folder of a table, root included, and anybody to the others."""
    root = Path(place.uri)
    folders = [root, root / "_staging", *(root / "_staging").iterdir(), root / "_delta_log"]
    for folder in folders:
        folder.chmod(0o777)
    (root / name).chmod(0o555)
    try:
        with entered(root), as_nobody():
            yield
    finally:
        for folder in folders:
            folder.chmod(0o755)


@pytest.mark.parametrize("closed", ["", "_delta_log"])
def test_a_folder_that_may_not_be_written_is_named_with_what_to_do(in_a_folder, place, closed):
    store = in_a_folder
    commit(store, place, [batch(row())])
    schema = stored_schema(SPEC)
    with store.staging(place, "2") as folder:
        staged = [write_staged(Path(folder) / "0.parquet", batch(row()), schema, 2)]
        told = {"schema": schema, "sequence": 2, "transaction": "run-2", "rows": 1}
        with write_protected(place, closed), pytest.raises(OfflineStoreUnavailable) as caught:
            store.commit(place, staged, **told)

    assert place.uri in caught.value.message
    assert caught.value.message.endswith("; let the server's user write there.")


def test_where_nothing_may_be_staged_is_named_too(in_a_folder, place):
    store = in_a_folder
    commit(store, place, [batch(row())])

    with (
        write_protected(place, "_staging"),
        pytest.raises(OfflineStoreUnavailable, match="_staging/3 cannot be made: Permission"),
        store.staging(place, "3"),
    ):
        pass


def test_a_table_is_not_there_until_it_is_written(store, place):
    assert (store.snapshot(place).version, store.snapshot(place).files) == (-1, ())

    commit(store, place, [batch(row())])

    assert store.snapshot(place).rows == 1


def test_a_commit_repeated_appears_once_and_is_not_looked_at_again(store, place):
    first = commit(store, place, [batch(row(), row(x=2.0))])

    schema = stored_schema(SPEC)
    again = store.commit(place, ["gone"], schema=schema, sequence=1, transaction="run-1", rows=1)

    assert (first.already, again.already) == (False, True)
    assert (first.rows, again.rows) == (2, 2)
    assert first.files == again.files
    assert store.snapshot(place).rows == 2


def test_every_row_carries_the_sequence_of_its_commit(store, place):
    commit(store, place, [batch(row(x=1.0)), batch(row(x=2.0))], sequence=7)

    assert {tuple(r[4:]) for r in read(store.snapshot(place).files)} == {(7, 1.0), (7, 2.0)}


def test_sequences_may_commit_in_any_order_and_several_times(store, place):
    commit(store, place, [batch(row())], sequence=5, transaction="five")
    commit(store, place, [batch(row(), row())], sequence=3, transaction="three-a")
    second = commit(store, place, [batch(row())], sequence=3, transaction="three-b")

    assert second.rows == 1
    assert store.snapshot(place, sequence=3).rows == 3
    assert set(store.snapshot(place, sequence=3).files) < set(store.snapshot(place).files)


def test_a_snapshot_stays_what_it_was(store, place):
    commit(store, place, [batch(row(x=1.0))])
    before = store.snapshot(place)

    commit(store, place, [batch(row(x=2.0))], sequence=2, transaction="run-2")

    assert [r[-1] for r in read(before.files)] == [1.0]
    assert store.snapshot(place).version > before.version


def test_the_same_commit_from_many_threads_appears_once(store, place):
    together, results = threading.Barrier(4), []

    def attempt():
        together.wait()
        results.append(commit(store, place, [batch(row())]))

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(result.already for result in results) == [False, True, True, True]
    assert store.snapshot(place).rows == 1


@pytest.mark.parametrize("fault", ["columns", "sequence", "cut short", "not there", "too few"])
def test_of_files_that_are_not_what_they_should_be_nothing_is_stored(store, place, fault):
    commit(store, place, [batch(row())])
    schema = stored_schema(SPEC)

    with store.staging(place, "run-2") as folder:
        good, bad = Path(folder) / "good.parquet", Path(folder) / "bad.parquet"
        write_staged(good, batch(row()), schema, 2)
        other = schema.set(schema.get_field_index("x"), pa.field("x", pa.int64()))
        kind, sequence = (other, 2) if fault == "columns" else (schema, 3)
        write_staged(bad, batch(row()), kind, sequence if fault == "sequence" else 2)
        if fault == "cut short":
            bad.write_bytes(bad.read_bytes()[:-20])
        if fault == "not there":
            bad.unlink()
        rows, said = (3, "2 rows, not 3") if fault == "too few" else (2, r"bad\.parquet")
        with pytest.raises(BadStagedFile, match=said):
            files = [str(good), str(bad)]
            store.commit(place, files, schema=schema, sequence=2, transaction="run-2", rows=rows)

    assert store.snapshot(place).rows == 1
    assert commit(store, place, [batch(row())], sequence=2, transaction="run-2").already is False


def test_what_is_staged_is_nobodys_and_gone_afterwards(store, place):
    commit(store, place, [batch(row())])

    with store.staging(place, "a") as folder:
        write_staged(Path(folder) / "a.parquet", batch(row()), stored_schema(SPEC), 2)
        assert store.snapshot(place).rows == 1

    assert not Path(folder).exists()
    assert [file.name for file in Path(place.uri).rglob("*.parquet")] == [
        Path(file).name for file in store.snapshot(place).files
    ]


def test_what_the_dead_left_in_staging_is_cleared(store, place):
    block = store.staging(place, "dead")
    left = Path(block.__enter__()) / "a.parquet"
    left.write_bytes(b"half")

    store.clear_staging(place)

    assert not left.exists()
    store.clear_staging(place)


def test_what_is_kept_staged_outlives_its_block_and_clearing_until_it_is_dropped(store, place):
    with store.staging(place, "7-1") as folder:
        Path(folder, "a.parquet").write_bytes(b"half")
        now = store.keep_staged(place, folder, "7")
    left = store.staging(place, "7-2").__enter__()

    store.clear_staging(place, keep="7")

    kept = store.staged(place, "7")
    assert kept == now
    assert store.list_staged(place) == ["7"]
    assert not Path(left).exists()
    assert kept is not None
    assert Path(kept, "a.parquet").exists()
    store.drop_staged(place, "7")
    assert (store.staged(place, "7"), store.list_staged(place)) == (None, [])


def test_what_is_set_aside_stays_out_of_the_table_until_it_is_removed(store, place):
    commit(store, place, [batch(row())])
    before = store.snapshot(place)
    with store.staging(place, "7-1") as folder:
        write_staged(Path(folder, "a.parquet"), batch(row()), stored_schema(SPEC), 1)
        name = store.set_aside(place, folder)
    store.clear_staging(place)

    kept = store.aside(place, name)

    assert (len(kept.files), kept.size) == (1, Path(kept.files[0]).stat().st_size)
    assert store.snapshot(place) == before
    assert store.aside(place, "other") == ((), 0, ())
    with pytest.raises(OfflineStoreUnavailable):
        store.set_aside(place, folder)
    store.keep_aside(place, {name})
    assert store.aside(place, name) == kept
    store.remove_aside(place, name)
    store.remove_aside(place, name)
    store.keep_aside(place, set())
    assert (store.aside(place, name), store.snapshot(place)) == (((), 0, ()), before)


def test_a_commit_without_rows_is_remembered(store, place):
    assert commit(store, place, []).rows == 0
    assert commit(store, place, []).already is True
    assert store.snapshot(place).is_empty


def test_a_table_tells_which_commits_it_has(store, place):
    assert store.committed(place, ["one", "two"]) == {}

    commit(store, place, [batch(row())], transaction="one")

    assert store.committed(place, ["one", "two"]) == {"one": 1}


def test_a_deleted_table_is_gone_and_deleting_it_again_is_fine(store, place):
    files = commit(store, place, [batch(row())]).files
    assert len(read(files)) == 1

    store.delete_table(place)
    store.delete_table(place)

    assert store.snapshot(place).version == -1


@pytest.mark.parametrize("outside", ["..", ".", "../elsewhere"])
def test_nothing_outside_the_store_is_touched(store, tmp_path, outside):
    with pytest.raises(TableOutsideStore):
        store.delete_table(TableAt(str(tmp_path / outside)))


def ways_to_open(store, place):
    return {
        "snapshot": lambda: store.snapshot(place),
        "list_files": lambda: store.list_files(place),
        "committed": lambda: store.committed(place, ["run-1"]),
        "commit": lambda: commit(store, place, [batch(row())], transaction="run-9"),
    }


@pytest.mark.parametrize("way", ["snapshot", "list_files", "committed", "commit"])
@pytest.mark.parametrize("lost", ["gone", "older", "another"])
def test_a_table_that_is_not_as_recorded_is_refused_however_it_is_opened(
    store, place, way, lost, tmp_path
):
    last = commit(store, place, [batch(row())])
    known = place._replace(identity=last.identity, version=last.version)
    assert ways_to_open(store, known)["snapshot"]().rows == 1
    if lost == "older":
        known = known._replace(version=last.version + 1)
    else:
        store.delete_table(place)
    if lost == "another":
        commit(store, place, [batch(row())])
        commit(store, place, [batch(row())], transaction="run-2")
    before = store.snapshot(place)

    with pytest.raises(OfflineStoreBehind, match="forget_stored_data"):
        ways_to_open(store, known)[way]()

    assert store.snapshot(place) == before  # and nothing was made in its place


def test_a_newer_table_than_recorded_is_fine(store, place):
    """A worker can die between the commit and the row that records it."""
    first = commit(store, place, [batch(row())])
    known = place._replace(identity=first.identity, version=first.version)
    second = commit(store, known, [batch(row(x=2.0))], sequence=2, transaction="run-2")

    assert (second.identity, second.version) == (first.identity, first.version + 1)
    assert store.snapshot(known).rows == 2


@pytest.mark.parametrize("way", ["snapshot", "list_files"])
def test_a_table_that_lacks_one_of_its_files_is_refused(store, world, place, way):
    result = commit(store, place, [batch(row())])
    world.lose(Path(result.files[0]))

    with pytest.raises(OfflineStoreBehind, match="lacks its file"):
        ways_to_open(store, place)[way]()


def test_each_file_is_listed_with_its_rows_and_the_event_times_it_may_hold(store, place):
    later = T + HOUR + 123_456 * US
    commit(store, place, [batch(row(event=later), row(event=later - US))], transaction="late")
    commit(store, place, [batch(row(event=T))], sequence=2, transaction="early")

    listed = store.list_files(place)

    assert [file.rows for file in listed.files] == [1, 2]
    assert {file.uri for file in listed.files} == set(store.snapshot(place).files)
    assert listed.version == store.snapshot(place).version
    for file in listed.files:
        events = [r[2] for r in read([file.uri])]
        assert file.first_event <= min(events) < file.first_event + MILLISECOND
        assert file.last_event - MILLISECOND < max(events) <= file.last_event


@pytest.mark.parametrize(
    ("start", "end", "kept"),
    [
        (None, None, True),
        (T, T, True),
        (T + 456 * US, T + 456 * US, True),
        (T + MILLISECOND, None, False),
        (None, T - US, False),
        (T - HOUR, T + HOUR, True),
    ],
)
def test_a_file_is_left_out_only_if_it_can_hold_no_row_of_the_range(store, place, start, end, kept):
    commit(store, place, [batch(row(event=T), row(event=T + 456 * US))])

    (file,) = store.list_files(place).files

    assert file.may_hold(start, end) is kept


def test_a_file_without_statistics_may_hold_anything():
    file = StoredFile(uri="a.parquet", rows=1, size=1, first_event=None, last_event=None)

    assert file.may_hold(T, T)


def test_the_files_of_a_table_that_is_not_there_are_not_none(store, place):
    with pytest.raises(OfflineStoreUnavailable):
        store.list_files(place)

    commit(store, place, [])
    assert store.list_files(place).files == ()


# --- Care ---------------------------------------------------------------------------------------

DAY = timedelta(days=1)


#: What 40 commits leave, by the world that they were made in: the same whenever they are made.
_many: dict[type[FolderWorld], dict[str, bytes]] = {}


def many_commits(store, place, world):
    if type(world) in _many:
        world.give(Path(place.uri), _many[type(world)])
        return store.snapshot(place)
    for number in range(1, 41):
        commit(
            store,
            place,
            [batch(row(x=float(number)))],
            sequence=number,
            transaction=f"run-{number}",
        )
    _many[type(world)] = world.kept(Path(place.uri))
    return store.snapshot(place)


def seen_to(store, place, *, keep=DAY):
    return store.care(place, keep=keep, compact=store.snapshot(place).version)


def test_a_version_that_nobody_looked_at_is_not_compacted(store, world, place):
    before = many_commits(store, place, world)

    assert before.small == 40
    assert store.care(place, keep=DAY, compact=before.version - 1).compacted == 0
    assert store.care(place, keep=DAY).compacted == 0
    assert store.snapshot(place).files == before.files


def aged(file: Path, by: timedelta) -> None:
    at = file.stat().st_mtime - by.total_seconds()
    os.utime(file, (at, at))


def test_many_small_files_become_few_and_the_rows_stay_as_they_are(store, world, place):
    before = many_commits(store, place, world)

    cared = seen_to(store, place)

    after = store.snapshot(place)
    assert (len(before.files), len(after.files), cared.files, cared.compacted) == (40, 1, 1, 40)
    assert sorted(read(after.files)) == sorted(read(before.files))  # and those are still there
    assert (after.rows, after.identity) == (40, before.identity)
    assert store.committed(place, ["run-1", "run-40", "run-41"]) == {"run-1": 1, "run-40": 1}
    of_one = store.snapshot(place, sequence=7)
    assert (of_one.files, of_one.rows) == (after.files, 1)  # of the 40 in the file
    assert [file.rows for file in store.list_files(place).files] == [40]


def test_few_files_are_left_alone_and_nothing_is_written_for_nothing(store, place):
    commit(store, place, [batch(row())])
    first = seen_to(store, place)
    before = store.snapshot(place)

    second = seen_to(store, place)

    assert (first.compacted, first.removed) == (0, 0)
    assert second == first
    assert store.snapshot(place) == before


def test_a_table_that_is_not_there_needs_no_care(store, place):
    assert seen_to(store, place) is None


def test_what_left_the_table_goes_when_nobody_can_be_reading_it(store, world, place):
    before = many_commits(store, place, world)
    seen_to(store, place)
    after = store.snapshot(place)

    assert seen_to(store, place).removed == 0
    for name in before.files:
        aged(Path(name), 2 * DAY)
    # By the log they left a moment ago: the files' own age does not make it longer.
    assert seen_to(store, place).removed == 0

    cared = seen_to(store, place, keep=timedelta(0))

    assert (cared.removed, cared.freed > 0) == (40, True)
    assert [world.has(Path(name)) for name in before.files] == [False] * 40
    assert read(store.snapshot(place).files) == read(after.files)
    assert store.snapshot(place).files == after.files
    again = seen_to(store, place, keep=timedelta(0))  # the log still names them
    assert (again.removed, again.version) == (0, cared.version)


def test_files_that_somebody_holds_stay_whatever_took_their_place(store, world, place):
    before = many_commits(store, place, world)
    states = store.file_states(place, before.names[:2])
    seen_to(store, place)
    for name in before.files:
        aged(Path(name), 2 * DAY)
    held = [state.name for state in states]

    cared = store.care(place, keep=timedelta(0), held=held)

    assert cared.removed == 38
    assert [world.has(Path(name)) for name in before.files] == [True] * 2 + [False] * 38
    assert store.file_states(place, held) == states  # what they are is told by their bytes
    assert [len(state.sha256) for state in states] == [64, 64]
    with pytest.raises(OfflineStoreBehind, match=before.names[2]):
        store.file_states(place, before.names[:3])
    assert store.care(place, keep=timedelta(0)).removed == 2


def test_files_of_killed_runs_are_collected_and_nothing_that_is_set_aside(
    store, world, place, monkeypatch
):
    written = commit(store, place, [batch(row())])
    folder, source = Path(place.uri), Path(written.files[0])
    young = folder / "0000000010-alive.parquet"
    kept = folder / "_quarantine" / "3" / "a.parquet"
    for file in (young, kept):
        world.write(file, source.read_bytes())
    assert seen_to(store, place, keep=timedelta(0)).removed == 0
    monkeypatch.setattr(delta_care, "YOUNG", timedelta(0))  # nobody sets a bucket's clock

    cared = seen_to(store, place, keep=timedelta(0))

    assert (cared.removed, cared.freed) == (1, source.stat().st_size)
    assert [world.has(file) for file in (young, kept)] == [False, True]
    assert store.snapshot(place).rows == 1


def test_files_of_killed_runs_are_collected_and_those_on_their_way_are_not(in_a_folder, place):
    store = in_a_folder
    written = commit(store, place, [batch(row())])
    folder, source = Path(place.uri), Path(written.files[0])
    old, young = folder / "0000000009-dead.parquet", folder / "0000000010-alive.parquet"
    kept = [folder / name / "3" / "a.parquet" for name in ("_staging", "_quarantine")]
    for file in (old, young, *kept):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(source.read_bytes())
    for file in (old, *kept):
        aged(file, 2 * DAY)

    cared = seen_to(store, place)

    assert (cared.removed, cared.freed) == (1, source.stat().st_size)
    assert [file.exists() for file in (old, young, *kept)] == [False, True, True, True]


def test_a_commit_beside_care_is_neither_lost_nor_refused(store, world, place):
    many_commits(store, place, world)
    failed = []

    def care():
        try:
            seen_to(store, place, keep=timedelta(0))
        except Exception as exc:  # noqa: BLE001 - told to the test
            failed.append(exc)

    thread = threading.Thread(target=care)
    thread.start()
    for number in range(41, 61):
        commit(
            store,
            place,
            [batch(row(x=float(number)))],
            sequence=number,
            transaction=f"run-{number}",
        )
    thread.join()

    assert failed == []
    assert sorted(r[-1] for r in read(store.snapshot(place).files)) == [
        float(number) for number in range(1, 61)
    ]
