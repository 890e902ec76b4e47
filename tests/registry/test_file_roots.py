"""Which directories a project's sources may be read from."""

from __future__ import annotations

import pytest

from registry.file_roots import RootNotAllowed, check_roots


def test_a_root_outside_the_installations_says_what_to_set_on_the_server(settings, tmp_path):
    settings.FILE_ROOTS = [str(tmp_path / "data")]

    with pytest.raises(RootNotAllowed, match="set FILE_ROOTS on the server and restart it"):
        check_roots([str(tmp_path)])


def test_a_root_that_is_not_there_is_refused(settings, tmp_path):
    settings.FILE_ROOTS = [str(tmp_path)]

    assert check_roots([str(tmp_path)]) == [str(tmp_path)]
    with pytest.raises(RootNotAllowed, match="is not a directory on the server"):
        check_roots([str(tmp_path / "nowhere")])
