"""The catalogue's pages: features searched and shown, and open to people without staff rights."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from django.contrib.admin import site
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from registry.admin.lineage_chart import MOST_IN_COLUMN
from registry.models import AuditEntry, DataSource, FeatureService, FeatureView
from registry.operations.lifecycle import releases
from registry.site import PAGES, SENT
from tests.factories import AT, VIEW, apply, make_ready, make_version

pytestmark = pytest.mark.django_db

SEARCH = "/admin/registry/feature/"
HOSTILE = "<script>alert(1)</script>"
MORE = """
kind: FeatureView
name: ratings
description: "Per trip <img src=x onerror=alert(1)>"
entities: [driver]
source: driver_stats
sql: SELECT driver_id, event_timestamp, created, stars * 2 AS rate FROM driver_stats WHERE paid
features:
  - {name: rating, column: rate, type: float64,
     description: "# Stars\\n**Twice** <script>alert(1)</script> [x](javascript:alert(1))"}
tags: {domain: people}
owner: "<script>alert(1)</script>"
---
kind: OnDemandFeatureView
name: share
inputs: {features: ["driver_hourly:conv_rate"], request: {total: float64}}
features: [{name: part, type: float64, sql: "conv_rate / nullif(total, 0)"}]
---
kind: FeatureService
name: eta_model
features: ["driver_hourly:conv_rate", "share:part"]
"""


@pytest.fixture
def version(cast):
    made = make_ready(make_version(cast))
    apply(MORE, cast)
    return made


@pytest.fixture
def reader(as_, cast, version):
    """The consumer, without staff rights."""
    type(cast.consumer).objects.filter(pk=cast.consumer.pk).update(is_staff=False)
    return as_("consumer")


def of(kind: str, name: str) -> str:
    return f"{SEARCH}of/rides/{kind}/{name}"


@pytest.mark.parametrize(
    ("query", "found", "not_found"),
    [
        ("", "conv_rate", "Nothing matches"),
        ("q=conversoin", "conv_rate", "ratings"),
        ("q=stars", "rating", "acc_rate"),
        ("tag=domain:people", "rating", "acc_rate"),
        ("q=xyzzy", "nothing is near it", "acc_rate"),
        ("q=" + "x" * 201, "at most 200", "acc_rate"),
        ("q=%00", "conv_rate", "Nothing matches"),
        ("p=99", "conv_rate", "Nothing matches"),
        ("p=x&owner=%00", "Nothing matches", "acc_rate"),
        ("o=1", "conv_rate", "Nothing matches"),
        (f"owner={quote(HOSTILE)}", "rating", "acc_rate"),
    ],
)
def test_features_are_searched(as_, version, query, found, not_found):
    response = as_("consumer").get(f"{SEARCH}?{query}")

    assert response.status_code == 200
    assert found in response.text
    assert not_found not in response.text
    assert HOSTILE not in response.text


def test_facets_lead_to_less_and_back(as_, version):
    client = as_("consumer")
    page = client.get(f"{SEARCH}?owner=rides&p=1")

    (back,) = re.findall(r'class="as-chip" href="([^"]*)"', page.text)
    assert back == "?"
    assert "3 features" in page.text
    assert "?owner=rides&amp;type=int32" in page.text


def test_features_of_no_project_are_found_by_outsiders(as_, version):
    page = as_("outsider").get(SEARCH)

    assert "You have no role in any project yet" in page.text
    assert as_("outsider").get(of("feature", "driver_hourly:conv_rate")).status_code == 404


def test_a_feature_has_a_page_with_all_that_is_known(as_, version, cast):
    words = VIEW.replace("Conversion rate", "Share of calls won")
    second = make_ready(make_version(cast, text=words))
    releases.promote_version(version=second, actor=cast.steward, at=AT)

    page = as_("consumer").get(of("feature", "driver_hourly:conv_rate"), follow=True)

    assert page.status_code == 200
    for words in (
        "<p>Share of calls won</p>",
        "description: Conversion rate became Share of calls won",
        "eta_model</a> <span",
        "features=[&#x27;driver_hourly:conv_rate&#x27;]",
        "[{&#x27;driver_id&#x27;: 1001}]",
        "curl -H",
        "kind: FeatureService",
        "<title>column driver_stats.conv_rate</title>",
        "<title>feature share:part, internal</title>",
        'aria-current="true"',
    ):
        assert words in page.text, words
    old = as_("consumer").get(of("feature", "driver_hourly@1.0.0:conv_rate"), follow=True)
    assert "speaks for the view" in old.text
    assert "driver_hourly@1.0.0:conv_rate" in old.text


def test_what_people_wrote_is_no_part_of_the_page(as_, version):
    page = as_("consumer").get(of("feature", "ratings:rating"), follow=True).text
    assert "Not answered: ratings@draft is draft." in page

    assert "<h4>Stars</h4>" in page
    assert "<strong>Twice</strong>" in page
    for bad in (HOSTILE, "<img src=x", 'href="javascript'):
        assert bad not in page


def test_what_is_computed_at_the_request_is_read_with_what_the_request_brings(as_, version):
    page = as_("consumer").get(of("feature", "share:part"), follow=True).text

    assert "get_online_features" in page
    assert "&#x27;driver_id&#x27;: 1001, &#x27;total&#x27;: 1.5" in page
    assert "kind: FeatureService" in page
    assert "conv_rate / " in page


@pytest.mark.parametrize(
    ("kind", "name", "status"),
    [
        ("data-source", "driver_stats", 302),
        ("column", "driver_stats.conv_rate", 302),
        ("feature-service", "eta_model", 302),
        ("feature-view", "share", 302),
        ("feature", "share:part", 302),
        ("feature", "driver_hourly@v1:acc_rate", 302),
        ("feature", "driver_hourly@9.0.0:acc_rate", 404),
        ("feature", "driver_hourly", 404),
        ("feature", "driver_hourly:nothing", 404),
        ("data-source", "%00", 404),
        ("dataset", "x", 404),
    ],
)
def test_things_have_addresses_by_name(as_, version, kind, name, status):
    assert as_("consumer").get(of(kind, name)).status_code == status


def test_a_wide_lineage_is_drawn_in_part_and_says_so(as_, cast, version):
    names = [f"m{place}" for place in range(MOST_IN_COLUMN + 3)]
    services = "\n---\n".join(
        f'kind: FeatureService\nname: {name}\nfeatures: ["driver_hourly:acc_rate"]'
        for name in names
    )
    apply(services, cast)

    page = as_("consumer").get(of("feature", "driver_hourly:acc_rate"), follow=True).text

    assert f"Services, {MOST_IN_COLUMN} of {len(names)}" in page
    assert f">{len(names)}</span>" in page  # all of them are named beside it


# --- people without staff rights ---------------------------------------------------------------


def test_a_reader_logs_in_and_finds_the_catalogue(client, cast, version):
    type(cast.consumer).objects.filter(pk=cast.consumer.pk).update(is_staff=False)

    page = client.post(
        "/admin/login/?next=/admin/", {"username": "consumer", "password": "pw"}, follow=True
    )

    assert page.redirect_chain[-1][0] == SEARCH
    for closed in ("Review desk", "Alert channels", "API tokens"):
        assert closed not in page.text
    for opened in ("Feature services", ">Notifications<", 'class="as-bell"', ">Grants<"):
        assert opened in re.sub(r"\s*([<>])\s*", r"\1", page.text)


def test_without_a_role_or_staff_rights_nobody_logs_in(client, cast, version):
    type(cast.outsider).objects.filter(pk=cast.outsider.pk).update(is_staff=False)

    page = client.post("/admin/login/", {"username": "outsider", "password": "pw"})

    assert page.status_code == 200
    assert "staff account" in page.text
    client.force_login(cast.outsider)
    assert client.get(SEARCH).status_code == 302


def test_a_reader_reads_the_pages_of_the_catalogue(reader, cast, version):
    objects = (
        version,
        version.feature_view,
        version.features.first(),
        DataSource.objects.get(),
        FeatureService.objects.get(),
        cast.project.entity_set.get(),
    )
    for obj in objects:
        model = obj._meta.model_name
        page = reader.get(reverse(f"admin:registry_{model}_change", args=[obj.pk]))
        assert page.status_code == 200, model
        forms = re.findall(r"<form[^>]*method=.post[^>]*>", page.text)
        closed = [form for form in forms if not re.search(r"/(logout|feature/\d+/ask)/", form)]
        assert closed == [], model
    for model in (
        "feature", "featureview", "featureservice", "entity", "datasource", "notification",
    ):  # fmt: skip
        assert reader.get(reverse(f"admin:registry_{model}_changelist")).status_code == 200


def _addresses(patterns, prefix=""):
    for each in patterns:
        if isinstance(each, URLResolver):
            yield from _addresses(each.url_patterns, prefix)
        elif isinstance(each, URLPattern) and each.name:
            yield each


def test_every_other_page_of_the_admin_is_closed_to_readers(reader, cast, version):
    """All there are, not those that were thought of: a new page is closed until it is listed."""
    resolver = next(
        each for each in get_resolver().url_patterns
        if isinstance(each, URLResolver) and each.namespace == "admin"
    )  # fmt: skip
    for each in _addresses(resolver.url_patterns):
        name, arguments = each.name, each.pattern.converters
        if name in ("login", "logout") or (name in PAGES and name not in SENT):
            continue
        try:
            url = reverse(f"admin:{name}", kwargs=dict.fromkeys(arguments, version.pk))
        except Exception:  # noqa: BLE001, S112 - patterns whose arguments are no numbers
            continue
        if name not in PAGES:
            assert reader.get(url).status_code == 403, name
        if name not in SENT:
            assert reader.post(url).status_code in (403, 405), name
    page = reverse("admin:registry_featureview_changelist")
    assert reader.post(page).status_code == 403
    assert AuditEntry.objects.filter(verb="access.denied", actor_id=cast.consumer.pk).exists()


def test_a_role_taken_away_closes_the_catalogue_at_once(reader, cast, version):
    cast.project.memberships.filter(user=cast.consumer).delete()

    assert reader.get(SEARCH).status_code == 302


def test_readers_see_no_more_than_their_projects(reader, cast, version):
    from tests.factories import make_project

    other = make_project("secret", cast.owner)
    view = FeatureView.objects.create(project=other, name="quite_secret", created_at=AT)

    assert reader.get(f"/admin/registry/featureview/{view.pk}/change/").status_code == 302
    assert "quite_secret" not in reader.get("/admin/registry/featureview/").text


def test_the_site_is_the_one_that_opens_the_catalogue():
    assert type(site._wrapped if hasattr(site, "_wrapped") else site).__name__ == "AssaySite"
