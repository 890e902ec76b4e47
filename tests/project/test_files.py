"""Files made for one answer: who removes them, and when."""

from __future__ import annotations

import asyncio
import io
import os

import pytest

from featurestore_project.files import send_file
from lib.sent_files import FileWrapper, SentOnce, whole_file


class Server:
    """The one call of granian's that is needed here."""

    def response_file(self, status, headers, path):
        self.said = (status, headers, path)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "answer"
    path.write_bytes(b"abc")
    return path


def test_a_file_is_gone_once_it_was_read(path):
    with SentOnce(str(path)) as file:
        assert b"".join(FileWrapper(file, 2)) == b"abc"

    assert not path.exists()


def test_a_file_that_is_left_to_the_server_is_there_after_the_response(path):
    file = FileWrapper(SentOnce(str(path)))
    left = file.file.leave()
    file.close()

    assert (left, path.read_bytes()) == (str(path), b"abc")


def test_the_server_removes_it_once_it_is_open(path):
    async def answered():
        loop, server = asyncio.get_running_loop(), Server()
        await asyncio.to_thread(send_file, server, 200, [], str(path), loop, opened_seconds=0.05)
        assert path.exists()
        gone = asyncio.Event()
        loop.call_later(0.06, gone.set)
        await gone.wait()
        return server.said

    assert asyncio.run(answered()) == (200, [], str(path))
    assert not path.exists()


def test_a_file_that_stays_is_sent_by_its_path_if_all_of_it_is_meant(path):
    with path.open("rb") as file:
        assert whole_file(file) == str(path)
        file.read(1)
        assert whole_file(file) is None
    assert whole_file(io.BytesIO(b"abc")) is None
    with os.fdopen(os.open(path, os.O_RDONLY), "rb") as numbered:
        assert whole_file(numbered) is None
