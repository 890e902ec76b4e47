"""A token made by somebody for a program: it reads no longer than its maker is let in."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from registry.choices import Role
from registry.operations.people import tokens, users
from tests import factories
from tests.serving.online_world import ask, columns, committed, loaded_view

pytestmark = pytest.mark.django_db

REQUEST = {"features": ["driver_hourly:avg_daily_trips"], "entities": {"driver_id": [1001]}}


def let_in(cast, *, active: bool) -> None:
    maker = User.objects.get(pk=cast.owner.pk)
    maker.is_active = active
    with committed():
        users.change_user(user=maker, actor=cast.superuser, at=timezone.now())


def test_shutting_out_the_maker_counts_from_the_very_next_request_of_a_warm_process(client, cast):
    now = timezone.now()
    row = {"driver_id": 1001, "event": now, "avg_daily_trips": 7}
    loaded_view(cast, factories.DEFINITIONS, [row], at=now)
    with committed():
        scorer = factories.make_service_account("scorer", cast, Role.CONSUMER)
    _, text = tokens.issue_token(
        user=scorer, name="t", actor=cast.owner, at=now, project=cast.project
    )
    for _ in ("cold", "warm"):
        assert columns(ask(client, text, REQUEST))["avg_daily_trips"][0] == [7]

    let_in(cast, active=False)
    response = ask(client, text, REQUEST)
    assert (response.status_code, response.json()["code"]) == (401, "token_unknown")

    let_in(cast, active=True)
    assert ask(client, text, REQUEST).status_code == 200
