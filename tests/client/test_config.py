"""Where the address, the token and the project come from."""

from __future__ import annotations

import pytest

from assay.config import load
from assay.errors import NotConfigured

FILE = 'url = "https://file.example"\ntoken_file = "secrets/token"\nproject = "from_file"\n'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "assay.toml").write_text(FILE)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "token").write_text("file-token\n")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    return below


def test_arguments_win_over_environment_wins_over_the_file_above(folder):
    environ = {"ASSAY_TOKEN": "env-token", "ASSAY_PROJECT": "from_env"}

    found = load(project="argument", environ=environ, cwd=folder)

    assert (found.url, found.token, found.project) == (
        "https://file.example",
        "env-token",
        "argument",
    )


def test_a_token_file_is_relative_to_the_file_that_names_it(folder):
    assert load(environ={}, cwd=folder).token == "file-token"


def test_the_token_stays_out_of_what_is_printed(folder):
    assert "file-token" not in repr(load(environ={}, cwd=folder))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('projct = "x"', "unknown key 'projct'; did you mean 'project'?"),
        ("project = 3", "project must be a string, not 3"),
        ("project = ", r"assay\.toml cannot be read"),
        ('url = "file.example"', "'file.example' is not the address of a server"),
        ('token = "a b"', "the token has a space"),
        ('url = "http://[::1"', "is not the address of a server"),
        ('url = "http://host:port"', "is not the address of a server"),
        ('token_file = "absent"', "token file .*absent cannot be read: No such file"),
        ('token_file = "empty"', "token file .*empty is empty; make your own with"),
        ('token_file = "latin"', "token file .*latin cannot be read: it is not UTF-8 text"),
    ],
)
def test_an_unusable_setting_is_named(tmp_path, text, message):
    (tmp_path / "assay.toml").write_text(text)
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "latin").write_bytes(b"\xff")

    with pytest.raises(NotConfigured, match=message):
        load(environ={}, cwd=tmp_path)
