"""Texts that are times or booleans in a source are so in a frame, and no others."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lib.errors import AssayError
from registry.spec.value_types import parse_type
from serving.historical.forms import TextFrame
from serving.historical.typed_columns import instants
from serving.values import KeyColumn
from tests.lib.test_instants import INSTANTS, NONE
from tests.materialization.engine_cases import compute_here, make_spec

BOOLEANS = {"true": True, "TRUE": True, "False": False, "1": True, "0": False}
NO_BOOLEANS = ["t", "yes", "n", "on", "2", "01", "1.0"]


def in_source(tmp_path, text, kind):
    (tmp_path / "a.csv").write_text(f'k,event,x\na,2024-01-01,"{text}"\n')
    spec = make_spec("a.csv", keys=[("k", "string")], features=[("x", kind)])
    return compute_here(spec, tmp_path)[0]["x"].to_pylist()


@pytest.mark.parametrize("text", [t for t in INSTANTS if ".123456789" not in t])
def test_an_instant_is_one_in_both(tmp_path, text):
    assert in_source(tmp_path, text, "timestamp") == [INSTANTS[text]]
    assert instants(pa.chunked_array([[text]]), name="t").to_pylist() == [INSTANTS[text]]


@pytest.mark.parametrize("text", [t for t in NONE if t.strip() == t and t])
def test_what_is_none_is_none_in_both(tmp_path, text):
    with pytest.raises(AssayError, match="is not a timestamp"):
        in_source(tmp_path, text, "timestamp")
    with pytest.raises(AssayError, match="is not an instant"):
        instants(pa.chunked_array([[text]]), name="t")


def in_frame(text):
    key = KeyColumn("k", parse_type("bool"), "view")
    return TextFrame(pa.table({"k": [text]})).key(key).to_pylist()


@pytest.mark.parametrize("text", BOOLEANS)
def test_true_and_false_are_so_in_both(tmp_path, text):
    assert in_source(tmp_path, text, "bool") == in_frame(text) == [BOOLEANS[text]]


@pytest.mark.parametrize("text", NO_BOOLEANS)
def test_what_is_neither_true_nor_false_is_so_in_both(tmp_path, text):
    with pytest.raises(AssayError):
        in_source(tmp_path, text, "bool")
    with pytest.raises(AssayError):
        in_frame(text)
