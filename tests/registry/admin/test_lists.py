"""Each line of a list leads to its object by one link; stored data have their view's page alone."""

from __future__ import annotations

import re

import pytest
from django.contrib import admin
from django.urls import reverse

from registry.choices import State
from registry.models import FeatureTable
from tests.factories import VIEW, apply, make_version, token_for

pytestmark = pytest.mark.django_db
SERVICE = 'kind: FeatureService\nname: eta\nfeatures: ["driver_hourly:conv_rate"]\n'


def test_each_line_leads_to_its_object_by_one_link(client, cast):
    make_version(cast, state=State.APPROVED)
    apply("\n---\n".join((SERVICE, VIEW.replace("Conversion rate", "Share"))), cast, submit=True)
    token_for(cast.superuser)
    client.force_login(cast.superuser)
    looked = set()
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        row = model._default_manager.order_by("-pk").first()
        page = client.get(reverse(f"{name}_changelist")).content.decode()
        found = re.search(r'<tr class="data-row.*?</tr>', page, re.DOTALL)
        if row is None or found is None:
            continue
        line = found[0]
        own = rf'<a [^>]*href="{reverse(f"{name}_changelist")}[0-9]+/change/[^>]*>(.*?)</a>'
        assert model is FeatureTable or len(re.findall(own, line, re.DOTALL)) == 1, model
        assert not re.search(r"<a [^>]*>(?:(?!</a>).)*<a ", line, re.DOTALL), model
        looked.add(model._meta.model_name)
    assert looked >= {"featureview", "featureviewversion", "featureservice", "entity", "user"}
