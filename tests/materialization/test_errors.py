"""What an engine says, on its way to people."""

from __future__ import annotations

import pytest

from materialization.errors import SourceUnreadable, from_report, to_report


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("\x1b[31mred\x1b[0m", r"\u001b[31mred\u001b[0m"),
        ("bell\a, back\b, csi\x9b2J, line\r", r"bell\u0007, back\u0008, csi\u009b2J, line\u000d"),
        ("gnp\u202e.exe", r"gnp\u202e.exe"),
        ("two\nlines\tkept, ümlaut too", "two\nlines\tkept, ümlaut too"),
        (
            'Could not write "/var/tmp/assay-engine-x1y_2/spill/duckdb_temp-0.tmp": disk full',
            'Could not write "a temporary file": disk full',
        ),
        ("see /tmp/assay-engine-ab and 'x'", "see a temporary file and 'x'"),
        ("/data/assay.csv, line 3", "/data/assay.csv, line 3"),
    ],
)
def test_nothing_that_a_terminal_obeys_and_no_path_of_ours_is_told(said, told):
    error = from_report(to_report(SourceUnreadable(said)))

    assert (type(error), error.message, str(error)) == (SourceUnreadable, told, told)
