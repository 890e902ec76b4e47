"""What is read of the API has a name of its bytes, and is not sent to whoever has it."""

from __future__ import annotations

import json

import pytest
from django.http import HttpResponse

from featurestore_project.etags import unchanged_answers
from tests import factories

pytestmark = pytest.mark.django_db

PATH = "/api/v1/projects/rides/feature-views"


def ask(client, token, tag=None, path=PATH):
    headers = {"Authorization": f"Bearer {token}"} | ({"If-None-Match": tag} if tag else {})
    return client.get(path, headers=headers)


def test_what_is_unchanged_is_not_sent_again(client, cast):
    token = factories.token_for(cast.owner)
    first = ask(client, token)

    again = ask(client, token, first["ETag"])

    assert (again.status_code, again.content) == (304, b"")
    assert again["ETag"] == first["ETag"]
    assert first["Cache-Control"] == "private, no-cache"
    assert ask(client, token, f"W/{first['ETag']}").status_code == 304  # as it is when compressed
    factories.make_version(cast)
    changed = ask(client, token, first["ETag"])
    assert (changed.status_code, changed["ETag"] == first["ETag"]) == (200, False)


def test_who_may_not_read_it_any_more_is_told_so(client, cast):
    tag = ask(client, factories.token_for(cast.owner))["ETag"]

    assert ask(client, factories.token_for(cast.outsider), tag).status_code == 404
    assert ask(client, "assay_unknown", tag).status_code == 401
    assert not ask(client, "assay_unknown", tag).has_header("ETag")


def test_pages_have_none(client):
    assert not client.get("/admin/login/").has_header("ETag")


def test_an_age_that_only_grew_is_no_change(rf):
    said = {"covered_until": "2026-11-27T12:00:00Z", "age_seconds": 1.5, "overdue": False}

    def tagged(**changed):
        answer = unchanged_answers(
            lambda _: HttpResponse(json.dumps(said | changed).replace(": ", ":"))
        )
        return answer(rf.get(PATH))["ETag"]

    assert tagged() == tagged(age_seconds=1e-05) == tagged(age_seconds=86400)
    assert tagged().startswith("W/")
    assert len({tagged(), tagged(overdue=True), tagged(age_seconds=None)}) == 3
