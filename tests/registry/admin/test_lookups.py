"""A list's address asks what its filters offer: no pattern to run, no column that nobody shows."""

from __future__ import annotations

import pytest
from django.contrib import admin

from registry.admin.base import ScopedAdmin
from registry.models import FeatureView
from tests.factories import AT
from tests.registry.admin.test_access import list_url

pytestmark = pytest.mark.django_db

PAGES = {
    f"{model._meta.app_label}_{model._meta.model_name}": page
    for model, page in admin.site._registry.items()
    if isinstance(page, ScopedAdmin)
}
#: Databases run patterns without an end to their time, and SQLite runs them in this process.
LOOKUPS = ("id__regex", "id__iregex", "pk__regex", "pk__contains", "id__in", "id__gte", "id")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("lookup", LOOKUPS)
def test_no_list_takes_a_lookup_of_the_callers_making(client, cast, name, lookup):
    client.force_login(cast.superuser)

    assert client.get(list_url(name), {lookup: "^(1+)+$"}).status_code == 400


@pytest.mark.parametrize(
    ("name", "lookup"),
    [
        ("registry_featureview", "name__regex"),
        ("registry_featureview", "project__name__iregex"),
        ("registry_featureviewversion", "state__regex"),
        ("registry_apitoken", "digest__startswith"),
        ("registry_apitoken", "digest"),
        ("auth_user", "is_active__regex"),
        ("auth_user", "email__startswith"),
        ("registry_auditentry", "at__regex"),
        ("registry_auditentry", "actor_pseudonym__iregex"),
    ],
)
def test_nor_one_of_a_column_that_a_filter_is_about(client, cast, name, lookup):
    client.force_login(cast.superuser)

    assert client.get(list_url(name), {lookup: "^(a+)+$"}).status_code == 400


def test_a_name_made_for_a_pattern_does_not_hold_the_process(client, cast):
    FeatureView.objects.create(project=cast.project, name=f"{'a' * 40}_x", created_at=AT)
    client.force_login(cast.author)

    answer = client.get(list_url("registry_featureview"), {"name__regex": "^(a+)+$"})

    assert answer.status_code == 400


@pytest.mark.parametrize("name", PAGES)
def test_what_the_filters_ask_is_answered(client, cast, name):
    client.force_login(cast.superuser)
    for each in PAGES[name].list_filter:
        if isinstance(each, str):
            asked = {f"{each}__exact": "1"}
        elif isinstance(each, tuple):
            asked = {f"{each[0]}_from_0": "2026-01-01", f"{each[0]}_to_1": "10:00"}
        else:
            asked = {each.parameter_name: "x"}
        answer = client.get(list_url(name), asked)
        assert (answer.status_code, asked) == (200, asked)
    assert client.get(list_url(name), {"q": "a", "o": "1", "p": "1"}).status_code == 200
