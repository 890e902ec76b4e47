"""A version's page names who did what to it, and asks for all of them at once."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry.choices import State
from registry.operations.lifecycle import submissions
from tests.factories import AT, look, make_version

pytestmark = pytest.mark.django_db


def test_who_did_it_is_asked_once_however_long_the_history(client, cast):
    version = make_version(cast, state=State.IN_REVIEW)
    for _ in range(3):
        submissions.withdraw_version(version=version, actor=cast.author, at=AT)
        submissions.submit_version(version=version, actor=cast.author, at=AT, look=look)
    client.force_login(cast.steward)

    with CaptureQueriesContext(
        connection,
    ) as asked:
        page = client.get(f"/admin/registry/featureviewversion/{version.pk}/change/")

    assert "author" in page.content.decode()
    names = [each["sql"] for each in asked if "registry_pseudonym" in each["sql"]]
    assert len(names) <= 3  # of the history, who looks, and whether their rights are as told
