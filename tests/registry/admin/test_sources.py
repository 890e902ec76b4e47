"""A source's page: what versions took it for, what it is now, and what is made of it."""

from __future__ import annotations

import pytest
from django.urls import reverse

from registry.choices import State
from registry.contracts import contract_of
from registry.models import DataSource
from registry.operations.lifecycle import submissions
from registry.spec.sources.base import SourceColumn, SourceSchema
from tests import factories
from tests.factories import ENTITY, SOURCE, VIEW, Report, apply, make_version

pytestmark = pytest.mark.django_db

SCHEMA = SourceSchema(
    format="parquet",
    columns=(SourceColumn("conv_rate", "FLOAT"), SourceColumn("acc_rate", "FLOAT")),
)
MOVED = SourceSchema(format="parquet", columns=(SourceColumn("conv_rate", "VARCHAR"),))
SEEN = {"schema": SCHEMA}


def look(*, specs, project, unseen=()):
    return [Report(schema=SEEN["schema"]) for _ in specs]


@pytest.fixture
def source(cast, settings, monkeypatch):
    monkeypatch.setitem(SEEN, "schema", SCHEMA)
    settings.SOURCE_LOOK = "tests.registry.admin.test_sources.look"
    draft = make_version(cast, state=State.DRAFT)
    submissions.submit_version(version=draft, actor=cast.author, at=factories.AT, look=look)
    return DataSource.objects.get()


def page_url(source, name: str = "change") -> str:
    return reverse(f"admin:registry_datasource_{name}", args=[source.pk])


def test_the_page_says_what_versions_took_the_source_for(as_, source):
    page = as_("consumer").get(page_url(source)).text

    assert "<code>FLOAT</code>" in page
    assert 'id="column-conv_rate"' in page
    assert "driver_hourly@1.0.0:conv_rate" in page
    assert "Compare with the source now" not in page
    assert "not looked at yet" in page  # avg_daily_trips is no column of it


def test_whoever_may_write_definitions_compares_it_with_the_source(as_, source, monkeypatch):
    client = as_("author")
    assert "Compare with the source now" in client.get(page_url(source)).text
    assert "is what versions took it for" not in client.post(page_url(source, "look")).text

    monkeypatch.setitem(SEEN, "schema", MOVED)
    page = client.post(page_url(source, "look")).text

    assert "The source is not what versions took it for." in page
    assert "<code>acc_rate</code> is there no more: 1 feature needs it" in page
    assert "<code>conv_rate</code> is VARCHAR now: 1 feature needs it" in page


@pytest.mark.parametrize(
    ("who", "status"), [("consumer", 302), ("outsider", 404), ("anonymous", 302)]
)
def test_others_do_not_have_sources_looked_at(as_, source, who, status):
    assert as_(who).post(page_url(source, "look")).status_code == status


def test_versions_that_took_it_for_something_else_are_named(cast, source, monkeypatch):
    monkeypatch.setitem(SEEN, "schema", MOVED)
    draft = make_version(cast, state=State.DRAFT, text=VIEW.replace("ttl: 2d", "ttl: 3d"))
    submissions.submit_version(version=draft, actor=cast.author, at=factories.AT, look=look)

    contract = contract_of(source)

    (column,) = [each for each in contract.columns if each.name == "conv_rate"]
    assert set(column.types) <= {"FLOAT", "VARCHAR"}
    assert column.sensitivity == "internal"


def test_a_source_that_nothing_reads_says_so(as_, cast):
    apply(f"{ENTITY}\n---\n{SOURCE}", cast)

    page = as_("consumer").get(page_url(DataSource.objects.get())).text

    assert "No view reads it yet" in page
    assert "Nothing is read of it" in page
