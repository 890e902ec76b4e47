"""Rows come as they are asked for, all of them, each once."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from lib.batches import in_batches

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_every_row_comes_once(size):
    for number in range(7):
        User.objects.create(username=f"u{number}")

    names = [user.username for user in in_batches(User.objects.order_by("username"), size)]

    assert names == [f"u{number}" for number in range(7)]


def test_who_stops_early_reads_no_more(django_assert_num_queries):
    User.objects.bulk_create(User(username=f"u{number}") for number in range(7))

    with django_assert_num_queries(1):
        assert next(in_batches(User.objects.order_by("pk"), 3)).username == "u0"
