"""Parts that die: started again after growing pauses, and when that is given up."""

from __future__ import annotations

import sys

import pytest

from featurestore_project import processes, supervision
from featurestore_project.supervision import Part, PartFailed, Supervisor


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(said, monkeypatch):
    monkeypatch.setattr(supervision, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(supervision, "LOOK_SECONDS", 0.01)
    made = Supervisor(said.append)
    yield made
    made.stop(grace_seconds=1)


def dying(tmp_path, code: int) -> Part:
    words = f"import sys; print('last words', flush=True); sys.exit({code})"
    return Part("worker", [sys.executable, "-c", words], tmp_path / "worker.log")


def test_a_part_that_dies_again_and_again_before_all_ran_ends_the_rest(supervisor, said, tmp_path):
    supervisor.start(dying(tmp_path, 3))

    with pytest.raises(PartFailed, match=r"worker ended by itself 5 times .*exit 3"):
        supervisor.watch()

    assert len(said) == supervision.QUICK_DEATHS - 1


def test_a_part_that_refuses_to_start_before_all_ran_ends_the_rest(supervisor, said, tmp_path):
    supervisor.start(dying(tmp_path, processes.REFUSED))

    with pytest.raises(PartFailed, match=r"worker refuses to start.*\nlast words"):
        supervisor.watch()

    assert said == []


@pytest.mark.parametrize(
    ("code", "words"), [(3, "ended by itself (exit 3)"), (processes.REFUSED, "refuses to start")]
)
def test_once_all_ran_none_is_given_up(supervisor, said, tmp_path, code, words):
    supervisor.settle()
    supervisor.start(dying(tmp_path, code))

    supervisor.watch(until=lambda: len(said) > supervision.QUICK_DEATHS + 1)

    log = tmp_path / "worker.log"
    pauses = ["0.01", "0.02", "0.04", "0.08", "0.16", "0.32", "0.64"]
    assert said == [
        f"worker {words}; it is started again in {pause} s. Its log: {log}" for pause in pauses
    ]


def test_the_longest_pause_is_half_a_minute():
    assert [supervision._pause_after(deaths) for deaths in (0, 1, 2, 5, 7, 8, 1000)] == [
        0.5,
        0.5,
        1,
        8,
        30,
        30,
        30,
    ]
