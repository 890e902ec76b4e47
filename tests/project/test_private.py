"""What we keep is closed to others, and no project's source is read from there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from featurestore_project import private, processes
from featurestore_project.startup import (
    refuse_packages_in_our_state,
    refuse_roots_in_our_state,
)
from registry.file_roots import RootNotAllowed, check_directory
from tests import servers


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def state(tmp_path, settings):
    settings.FILE_UMASK = 0o077
    settings.STATE_DIR, settings.OFFLINE_STORE = tmp_path / "state", tmp_path / "offline"
    settings.METRICS_DIR = settings.STATE_DIR / "metrics"
    for folder in (settings.STATE_DIR, settings.OFFLINE_STORE, settings.METRICS_DIR):
        folder.mkdir()
        folder.chmod(0o755)
    return settings


def test_what_was_open_is_closed_and_said_to_have_been(state, caplog):
    private.close_our_files()

    assert [mode(each) for each in (state.STATE_DIR, state.OFFLINE_STORE)] == [0o700, 0o700]
    assert (
        f"{state.OFFLINE_STORE} was open to other users of the machine (mode 0755)" in caplog.text
    )
    caplog.clear()
    private.close_our_files()
    assert caplog.text == ""


def test_a_group_may_read_where_the_setting_says_so(state):
    state.FILE_UMASK = 0o027

    private.close_our_files()

    assert mode(state.OFFLINE_STORE) == 0o750


def test_a_folder_that_all_share_is_left_as_it_is_and_refused(state, tmp_path):
    state.STATE_DIR.chmod(0o1777)

    with pytest.raises(ImproperlyConfigured, match="all users of the machine share"):
        private.close_our_files()

    assert mode(state.STATE_DIR) == 0o1777


@pytest.mark.parametrize("root", ["", "state", "state/redis", "offline/t", "db", "socket", "key"])
def test_a_start_is_refused_where_sources_could_read_what_we_keep(state, tmp_path, root):
    state.SECRET_FILES = [tmp_path / "key" / "secret"]
    state.DESK_SOCKET = str(tmp_path / "socket" / "desk.sock")
    state.REDIS_URL = f"unix://{tmp_path}/db/redis.sock"
    (tmp_path / root).mkdir(parents=True, exist_ok=True)
    (tmp_path / "link").symlink_to(tmp_path / root)
    state.FILE_ROOTS = [str((tmp_path / "link").resolve())]

    with pytest.raises(ImproperlyConfigured, match="keeps its own state"):
        refuse_roots_in_our_state()
    with pytest.raises(RootNotAllowed, match="keeps its own state"):
        check_directory(str(tmp_path / root))


@pytest.mark.parametrize("folder", ["", "state", "offline"])
def test_a_start_is_refused_where_functions_could_read_what_we_keep(state, tmp_path, folder):
    state.PYTHON_FOLDER = str(tmp_path / folder)
    (tmp_path / "packages").mkdir()

    refuse_packages_in_our_state()  # nothing is listed
    state.PYTHON_DISTRIBUTIONS = ["texts"]
    with pytest.raises(ImproperlyConfigured, match="keeps its own state"):
        refuse_packages_in_our_state()
    state.PYTHON_FOLDER = str(tmp_path / "packages")
    refuse_packages_in_our_state()


def test_source_data_of_its_own_is_no_state(state, tmp_path):
    state.FILE_ROOTS = [str(tmp_path / "data")]

    refuse_roots_in_our_state()


def start(*command, state_dir, **extra):
    return subprocess.run(
        [sys.executable, *command],
        env=servers.server_env(state_dir, **extra),
        cwd=servers.ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        umask=0o000,
    )


def test_whatever_a_command_makes_is_its_owners_alone(tmp_path):
    state = tmp_path / "state"
    ended = start("manage.py", "migrate", "-v0", state_dir=state)

    assert ended.returncode == 0, ended.stderr
    made = [path for path in (state, *state.rglob("*")) if not path.is_socket()]
    assert len(made) > 1
    assert {str(path): f"{mode(path):o}" for path in made if mode(path) & 0o077} == {}


def test_a_part_does_not_start_where_sources_could_read_our_state(tmp_path):
    ended = start(
        *("-m", "featurestore_project.web", "--port", str(servers.free_port())),
        state_dir=tmp_path / "state",
        FILE_ROOTS=str(tmp_path),
    )

    assert ended.returncode == processes.REFUSED
    assert f"FILE_ROOTS has {tmp_path}, which meets" in ended.stdout + ended.stderr


@pytest.mark.parametrize("mask", ["0", "777", "077x", "700", "99"])
def test_a_mask_that_is_none_is_named(mask):
    question = "from featurestore_project import settings"
    ended = subprocess.run(
        [sys.executable, "-c", question],
        env=dict(os.environ, FILE_UMASK=mask),
        cwd=servers.ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert f"FILE_UMASK='{mask}' is no mask" in ended.stderr
