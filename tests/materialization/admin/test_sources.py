"""What a source page shows of reading it: freshness, files in pages, rows by the reader's right."""

from __future__ import annotations

import pytest
from django.urls import reverse

from materialization.models import SourcePart
from registry.choices import State
from registry.models import DataSource
from tests.factories import AT, DEFINITIONS, approve, make_version
from tests.materialization.run_world import ROWS, committed, fresh, materialize, write_rows
from tests.materialization.runner.test_assaying import assayed

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(cast, sources):
    write_rows(sources, ROWS)
    text = DEFINITIONS.replace("ttl: 2d", "ttl: 2d\nfreshness: 2h")
    with committed():
        made = make_version(cast, state=State.IN_REVIEW, text=text)
    assayed(made)
    with committed():
        approve(made, cast.steward)
        materialize(made)
    return fresh(made)


def page(client, **query) -> str:
    source = DataSource.objects.get()
    url = reverse("admin:registry_datasource_change", args=[source.pk])
    return " ".join(client.get(url, query).text.split())


@pytest.mark.parametrize(
    ("who", "files", "rows"),
    [
        ("consumer", True, True),
        ("author", True, True),
        ("operator", True, False),
        ("auditor", False, False),
        ("superuser", True, True),
    ],
)
def test_files_and_rows_are_shown_to_those_who_may_have_them(as_, version, who, files, rows):
    text = page(as_(who))

    assert ("Files that were read" in text) is files
    assert ("Sample rows" in text) is rows
    assert ("1003" in text) is rows
    assert "covered until" in text.lower()
    assert "2h <span" in text  # its promise, long past


def test_sensitive_values_are_withheld_from_a_sample(as_, cast, sources):
    write_rows(sources, ROWS)
    text = DEFINITIONS.replace("type: float32}", "type: float32, sensitivity: confidential}", 1)
    with committed():
        made = make_version(cast, state=State.IN_REVIEW, text=text)
    assayed(made)

    said = page(as_("consumer"))

    assert "Withheld, for want of a grant: acc_rate." in said
    assert "Sample rows" in said


def test_files_come_in_pages(as_, version):
    table = version.table
    SourcePart.objects.bulk_create(
        SourcePart(table=table, name=f"f{n:03}.parquet", identity="x", read_until=AT,
                   has_later=False)
        for n in range(60)
    )  # fmt: skip
    client = as_("author")

    first, last = page(client), page(client, files="3")

    assert "f000.parquet" in first
    assert "f059.parquet" not in first
    assert "f059.parquet" in last
    assert "f000.parquet" in page(client, files="x")
