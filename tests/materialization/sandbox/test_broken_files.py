"""Files that are cut off, damaged, or not what their name says: what their owner is told."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pytest

from tests.materialization.engine_cases import make_spec, write_parquet
from tests.materialization.sandbox.test_look import SCHEMA, look, rows

CSV = "k,event,created,x\n" + "".join(
    f"{n},2024-03-01T12:00:00Z,2024-03-01T12:00:00Z,{n * 7919 % 1000}\n" for n in range(3000)
)
LONG = CSV + "".join(
    f"{n},2024-03-01T12:00:00Z,2024-03-01T12:00:00Z,{n * 7919 % 104729}\n" for n in range(60000)
)
JSONL = '{"k": 1, "event": "2024-03-01T12:00:00Z", "x": "1"}\n' * 2000
HTML = b"<!doctype html><html><body>Sign in to go on</body></html>"


def parquet(folder) -> bytes:
    write_parquet(folder, rows(*(f"text number {n * 7919 % 1000}" for n in range(3000))), SCHEMA)
    content: bytes = (folder / "rows.parquet").read_bytes()
    (folder / "rows.parquet").unlink()
    return content


def zstd(text: str) -> bytes:
    made: bytes = pa.compress(text.encode(), codec="zstd", asbytes=True)
    return made


BROKEN = [
    ("rows.parquet", lambda folder: parquet(folder)[:-500], "cut off"),
    ("rows.parquet", lambda folder: parquet(folder)[:9], "cut off"),
    ("rows.parquet", lambda folder: HTML, "no Parquet file"),
    ("rows.parquet", lambda folder: b"<a>", "no Parquet file"),
    ("rows.parquet", lambda folder: parquet(folder)[:-300] + parquet(folder)[-8:], "damaged"),
    ("rows.parquet", lambda folder: parquet(folder)[:900] + parquet(folder)[2900:], "damaged"),
    ("rows.csv.gz", lambda folder: gzip.compress(CSV.encode())[:-2000], "cut off"),
    ("rows.csv.gz", lambda folder: HTML, "not compressed with gzip"),
    ("rows.csv.zst", lambda folder: zstd(CSV)[:-2000], "cut off"),
    ("rows.csv.zst", lambda folder: HTML, "not compressed with zstd"),
    ("rows.jsonl.gz", lambda folder: gzip.compress(JSONL.encode())[:-30], "cut off"),
    # Beyond what is looked at for the header, another reader meets the end.
    ("rows.csv.gz", lambda folder: gzip.compress(LONG.encode())[:-2000], "cut off"),
    ("rows.csv.zst", lambda folder: zstd(LONG)[:-2000], "cut off"),
    ("rows.json", lambda folder: b"[" + JSONL.encode()[:40], "cut off"),
    ("rows.json.gz", lambda folder: gzip.compress(JSONL.encode())[:-30], "cut off"),
    ("rows.json", lambda folder: HTML, "no JSON from object 1, character 1 on"),
]


@pytest.mark.parametrize(("name", "content", "said"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_file_is_named_with_what_is_wrong_and_what_to_do(tmp_path, name, content, said):
    broken = content(tmp_path)
    (tmp_path / name).write_bytes(broken)

    [(path, found)] = look(make_spec(name), tmp_path).problems

    assert path == ("source", "path")
    assert found.startswith(f"{name}: "), found
    assert said in found
    assert "Write it again" in found
    assert "bytes found" not in found


def test_a_line_that_is_no_json_is_named_and_what_may_be_cut_off(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(JSONL.encode()[:-20])
    [(_, cut)] = look(make_spec("rows.jsonl"), tmp_path).problems
    (tmp_path / "rows.jsonl").write_bytes(HTML)
    [(_, html)] = look(make_spec("rows.jsonl"), tmp_path).problems

    assert cut == (
        "rows.jsonl, line 2000: it is no JSON object: unterminated string starting at, at its "
        "character 19. Where that is its last one, it is cut off. Write it again, whole, or take "
        "it out of the source's path."
    )
    assert html == (
        "rows.jsonl, line 1: it is no JSON object: expecting value, at its character 1."
    )
