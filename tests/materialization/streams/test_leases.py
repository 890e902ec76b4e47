"""Which consumer has which part, where processes died."""

from __future__ import annotations

import os
import subprocess

import pytest

from materialization.models import StreamConsumer, StreamPart
from materialization.streams.leases import end_dead, name_of_us, note_living, share
from tests.factories import AT, make_version
from tests.materialization.run_world import table_of

pytestmark = pytest.mark.django_db


def test_who_begins_has_at_once_what_dead_processes_of_its_machine_had(cast):
    table = table_of(make_version(cast))
    died = subprocess.Popen(["true"])
    died.wait()
    me = name_of_us()
    machine = me.rsplit("-", 2)[0]
    dead = [f"{machine}-{died.pid}-aa", f"{machine}-{os.getpid()}-bb"]
    alive = [f"{machine}-{os.getppid()}-cc", f"{machine}-2-{died.pid}-dd", f"other-{died.pid}-ee"]
    for number, name in enumerate(dead + alive):
        StreamPart.objects.create(table=table, stream="trips", partition=number)
        note_living(name, at=AT)
        share(name, StreamPart.objects.filter(partition=number), 1, at=AT)
    assert set(StreamPart.objects.values_list("consumer", flat=True)) == {*dead, *alive}

    end_dead(me)

    assert set(StreamConsumer.objects.values_list("name", flat=True)) == set(alive)
    parts = StreamPart.objects.all()
    assert share(me, parts, note_living(me, at=AT), at=AT) == {
        part.pk for part in parts if part.partition < 2
    }
